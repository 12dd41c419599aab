//! Every refusal has a page, and every page is one of a refusal.

use super::{
    Finding,
    tree::{File, Tree},
};

const SOURCE: &str = "crates/onceward-core/src/refusal.rs";
const FOLDER: &str = "docs/problems/";

/// The list that the pages are held against: `Self::KeyMissing => "key-missing", 400, "Title", NewKey, "What to do.";`.
const LIST: &str = "\nproblem_types! {";

/// What the program says of one problem type.
struct Problem<'a> {
    slug: &'a str,
    status: &'a str,
    title: &'a str,
    retry: String,
    next_action: &'a str,
}

/// The pages under `docs/problems/` say what the program says.
pub(super) fn pages(tree: &Tree) -> Vec<Finding> {
    let Some(source) = tree.get(SOURCE) else { return Vec::new() };
    let problems = problems(source);
    if problems.is_empty() {
        let mend = "read it anew in xtask/src/tidy/problems.rs";
        return vec![Finding::new(SOURCE, 1, "the list of problem types is not where it was", mend)];
    }
    let mut findings: Vec<Finding> = problems.iter().flat_map(|problem| judge(problem, tree)).collect();
    let pages = tree.all().filter(|file| file.path.starts_with(FOLDER) && file.name() != "README.md");
    for page in pages.filter(|page| !problems.iter().any(|problem| problem.slug == page.stem())) {
        findings.push(Finding::new(
            &page.path,
            1,
            "is the page of no refusal",
            "remove it, or name it after one",
        ));
    }
    findings
}

fn problems(source: &File) -> Vec<Problem<'_>> {
    let list = source
        .text
        .split_once(LIST)
        .and_then(|(_, rest)| rest.split_once("\n}"))
        .map_or("", |(list, _)| list);
    list.split("=> \"").skip(1).filter_map(problem).collect()
}

/// Reads what stands behind `=> "`.
fn problem(text: &str) -> Option<Problem<'_>> {
    let (slug, rest) = text.split_once("\", ")?;
    let (status, rest) = rest.split_once(", \"")?;
    let (title, rest) = rest.split_once("\", ")?;
    let (retry, rest) = rest.split_once(',')?;
    let next_action = rest.split('"').nth(1)?;
    Some(Problem { slug, status, title, retry: hyphenated(retry), next_action })
}

/// `SameKey` as it is written on the wire: `same-key`.
fn hyphenated(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

fn judge(problem: &Problem<'_>, tree: &Tree) -> Vec<Finding> {
    let path = format!("{FOLDER}{}.md", problem.slug);
    let Some(page) = tree.get(&path) else {
        let what = format!("the refusal `{}` has no page", problem.slug);
        return vec![Finding::new(
            &path,
            1,
            what,
            "write it: what it means, what became of the effect, what to do",
        )];
    };
    let expected = [
        format!("# {}", problem.title),
        format!("`{}` · HTTP {} · retry `{}`", problem.slug, problem.status, problem.retry),
        problem.next_action.to_owned(),
    ];
    let missing = expected.into_iter().filter(|text| !page.text.contains(text.as_str()));
    missing
        .map(|text| Finding::new(&path, 1, "does not say what the program says", format!("put in: {text}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSALS: &str = "macro_rules! problem_types {}\n\nproblem_types! {\n    Self::KeyMissing => \"key-missing\", 400, \"A key is needed\", NewKey,\n        \"Mint a key.\";\n}\n";
    const RIGHT: &str =
        "# A key is needed\n\n`key-missing` · HTTP 400 · retry `new-key` · effect `none`\n\nMint a key.\n";

    fn found(pages: &[(&str, &str)]) -> Vec<String> {
        let files = [&[(SOURCE, REFUSALS)], pages].concat();
        super::pages(&Tree::of(&files))
            .into_iter()
            .map(|found| format!("{} {}", found.path, found.what))
            .collect()
    }

    #[test]
    fn a_page_that_agrees_is_tidy() {
        assert_eq!(found(&[("docs/problems/key-missing.md", RIGHT)]), [""; 0]);
    }

    #[test]
    fn a_refusal_without_a_page_and_a_page_without_a_refusal_are_found() {
        assert_eq!(
            found(&[("docs/problems/key-lost.md", RIGHT)]),
            [
                "docs/problems/key-missing.md the refusal `key-missing` has no page",
                "docs/problems/key-lost.md is the page of no refusal"
            ]
        );
    }

    #[test]
    fn a_page_that_says_something_else_is_found() {
        for (right, wrong) in [
            ("HTTP 400", "HTTP 409"),
            ("new-key", "never"),
            ("Mint a key.", "Wait."),
            ("# A key", "# No key"),
        ] {
            let page = RIGHT.replace(right, wrong);
            assert_eq!(found(&[("docs/problems/key-missing.md", &page)]).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn a_list_that_moved_is_found() {
        assert_eq!(pages(&Tree::of(&[(SOURCE, "")])).len(), 1);
    }
}
