//! Every profile has a page, and every page is one of a profile.

use super::{
    Finding,
    tree::{File, Tree},
};

const SOURCE: &str = "crates/onceward-core/src/profile.rs";
const FOLDER: &str = "docs/profiles/";
const OVERVIEW: &str = "docs/profiles/README.md";

/// The list that the pages are held against.
const LIST: &str = "pub const NAMES: &'static [&'static str] = &[";

/// What a page tells, each under a heading of its own.
const HEADINGS: [&str; 4] =
    ["## What the contract asks", "## Settings", "## Where this differs from the letter", "## Example"];

/// The pages under `docs/profiles/` are those of the profiles. That their settings are right is a test of the core.
pub(super) fn pages(tree: &Tree) -> Vec<Finding> {
    let Some(source) = tree.get(SOURCE) else { return Vec::new() };
    let names = names(source);
    if names.is_empty() {
        let mend = "read it anew in xtask/src/tidy/profiles.rs";
        return vec![Finding::new(SOURCE, 1, "the list of profiles is not where it was", mend)];
    }
    let mut findings: Vec<Finding> = names.iter().flat_map(|name| judge(name, tree)).collect();
    let pages = tree.all().filter(|file| file.path.starts_with(FOLDER) && file.name() != "README.md");
    for page in pages.filter(|page| !names.contains(&page.stem())) {
        findings.push(Finding::new(
            &page.path,
            1,
            "is the page of no profile",
            "remove it, or name it after one",
        ));
    }
    findings
}

fn names(source: &File) -> Vec<&str> {
    let list = source.text.split_once(LIST).and_then(|(_, rest)| rest.split_once(']'));
    list.map_or("", |(list, _)| list).split('"').skip(1).step_by(2).collect()
}

fn judge(name: &str, tree: &Tree) -> Vec<Finding> {
    let path = format!("{FOLDER}{name}.md");
    let Some(page) = tree.get(&path) else {
        let what = format!("the profile `{name}` has no page");
        return vec![Finding::new(&path, 1, what, "write it: what the contract asks, and where we differ")];
    };
    let mut findings = Vec::new();
    if !page.text.starts_with(&format!("# `{name}`\n")) {
        findings.push(Finding::new(
            &path,
            1,
            "does not begin with its profile",
            format!("begin: # `{name}`"),
        ));
    }
    for heading in HEADINGS.iter().filter(|heading| !page.lines().any(|(_, line)| line == **heading)) {
        findings.push(Finding::new(&path, 1, "lacks a part that every page has", format!("add: {heading}")));
    }
    let link = format!("({name}.md)");
    if !tree.get(OVERVIEW).is_some_and(|overview| overview.text.contains(&link)) {
        let what = format!("does not lead to the page of `{name}`");
        findings.push(Finding::new(OVERVIEW, 1, what, format!("add a row with a link to {link}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILES: &str = "    pub const NAMES: &'static [&'static str] = &[\n        \"acp\",\n    ];\n";
    const RIGHT: &str = "# `acp`\n\n## What the contract asks\n\n## Settings\n\n## Where this differs from the letter\n\n## Example\n";
    const OVERVIEW_RIGHT: (&str, &str) = (OVERVIEW, "[`acp`](acp.md)\n");

    fn found(pages: &[(&str, &str)]) -> Vec<String> {
        let files = [&[(SOURCE, PROFILES)], pages].concat();
        super::pages(&Tree::of(&files))
            .into_iter()
            .map(|found| format!("{} {}", found.path, found.what))
            .collect()
    }

    #[test]
    fn a_page_that_has_every_part_is_tidy() {
        assert_eq!(found(&[("docs/profiles/acp.md", RIGHT), OVERVIEW_RIGHT]), [""; 0]);
    }

    #[test]
    fn a_profile_without_a_page_and_a_page_without_a_profile_are_found() {
        assert_eq!(
            found(&[("docs/profiles/acq.md", RIGHT), OVERVIEW_RIGHT]),
            [
                "docs/profiles/acp.md the profile `acp` has no page",
                "docs/profiles/acq.md is the page of no profile"
            ]
        );
    }

    #[test]
    fn a_page_that_lacks_a_part_is_found() {
        for missing in HEADINGS.iter().chain(&["# `acp`\n"]) {
            let page = RIGHT.replace(missing, "");
            assert_eq!(found(&[("docs/profiles/acp.md", &page), OVERVIEW_RIGHT]).len(), 1, "{missing}");
        }
    }

    #[test]
    fn a_page_that_the_overview_leaves_out_is_found() {
        let found = found(&[("docs/profiles/acp.md", RIGHT), (OVERVIEW, "")]);
        assert_eq!(found, ["docs/profiles/README.md does not lead to the page of `acp`"]);
    }

    #[test]
    fn a_list_that_moved_is_found() {
        assert_eq!(pages(&Tree::of(&[(SOURCE, "")])).len(), 1);
    }
}
