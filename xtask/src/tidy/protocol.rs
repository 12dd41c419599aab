//! Every promise that is built is proven by a test, and every proof names a promise.

use super::{
    Finding,
    tree::{File, Tree},
};

const PAGE: &str = "docs/protocol.md";

/// What precedes the ids that a test proves.
const MARK: &str = "covers:";

/// One promise of the page.
struct Promise<'a> {
    id: &'a str,
    line: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In whole or in part.
    Built,
    Later,
}

/// The promises of the page and the citations of the tests agree.
pub(super) fn citations(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(page) = tree.get(PAGE) else {
        return vec![Finding::new(PAGE, 1, "is not there", "list the promises in it")];
    };
    let promises = promises(page, &mut findings);
    let mut cited = Vec::new();
    for file in tree.ending(&["js", "mjs", "py", "rs", "ts"]).filter(|file| !file.path.starts_with("xtask/"))
    {
        for (line, id) in cited_in(file) {
            match promises.iter().find(|promise| promise.id == id) {
                None => {
                    let what = format!("cites {id}, which {PAGE} does not list");
                    findings.push(Finding::new(
                        &file.path,
                        line,
                        what,
                        "cite the promise that the test proves, or list it",
                    ));
                }
                Some(Promise { state: State::Later, .. }) => {
                    let what = format!("proves {id}, which {PAGE} calls later");
                    findings.push(Finding::new(
                        &file.path,
                        line,
                        what,
                        "say on the page which part of it is built",
                    ));
                }
                Some(Promise { state: State::Built, .. }) => cited.push(id),
            }
        }
    }
    for promise in
        promises.iter().filter(|promise| promise.state == State::Built && !cited.contains(&promise.id))
    {
        let what = format!("{} is called built and no test cites it", promise.id);
        findings.push(Finding::new(
            PAGE,
            promise.line,
            what,
            format!("prove it, and write `// {MARK} {}` above the test", promise.id),
        ));
    }
    findings
}

/// Reads `- **L4** *(built)* text`, where the state is `built`, `built in part` or `later`.
fn promises<'a>(page: &'a File, findings: &mut Vec<Finding>) -> Vec<Promise<'a>> {
    let mut promises: Vec<Promise<'_>> = Vec::new();
    for (line, text) in page.lines() {
        let Some(rest) = text.strip_prefix("- **") else { continue };
        let Some((id, rest)) = rest.split_once("** ").filter(|(id, _)| is_id(id)) else { continue };
        let state = if rest.starts_with("*(built)* ") || rest.starts_with("*(built in part)* ") {
            State::Built
        } else if rest.starts_with("*(later)* ") {
            State::Later
        } else {
            let mend = "write `*(built)*`, `*(built in part)*` or `*(later)*` behind it";
            findings.push(Finding::new(PAGE, line, format!("{id} has no state"), mend));
            continue;
        };
        if promises.iter().any(|promise| promise.id == id) {
            findings.push(Finding::new(
                PAGE,
                line,
                format!("{id} stands twice"),
                "give one of them another id",
            ));
        }
        promises.push(Promise { id, line, state });
    }
    promises
}

fn is_id(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| first.is_ascii_uppercase())
        && !characters.as_str().is_empty()
        && characters.all(|digit| digit.is_ascii_digit())
}

/// The ids behind the mark of each comment: `// covers: L4, L5`.
fn cited_in(file: &File) -> Vec<(usize, &str)> {
    let mut cited = Vec::new();
    for (number, line) in file.lines() {
        let comment = line.split_once("//").or_else(|| line.split_once('#')).map(|(_, comment)| comment);
        let comment = comment.map(|comment| comment.trim_start_matches(['/', '!', ' ']));
        let Some(ids) = comment.and_then(|comment| comment.strip_prefix(MARK)) else { continue };
        let ids = ids.split([',', ' ']).map(str::trim).filter(|id| !id.is_empty());
        cited.extend(ids.map(|id| (number, id)));
    }
    cited
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMISES: &str =
        "# Promises\n\n- **L1** *(built)* One.\n- **L2** *(later)* Two.\n- **L3** *(built in part)* Three.\n";

    fn found(page: &str, tests: &str) -> Vec<String> {
        let tree = Tree::of(&[(PAGE, page), ("crates/a/tests/it/b.rs", tests)]);
        citations(&tree)
            .into_iter()
            .map(|found| format!("{}:{} {}", found.path, found.line, found.what))
            .collect()
    }

    #[test]
    fn promises_and_proofs_that_agree_are_tidy() {
        assert_eq!(found(PROMISES, "// covers: L1, L3\nfn a() {}\n"), [""; 0]);
        assert_eq!(found(PROMISES, "/// covers: L1 L3\n"), [""; 0]);
    }

    #[test]
    fn an_unproven_promise_is_found() {
        assert_eq!(
            found(PROMISES, "// covers: L1\n"),
            ["docs/protocol.md:5 L3 is called built and no test cites it"]
        );
        assert_eq!(found(PROMISES, "let a = \"covers: L3\"; // covers: L1\n").len(), 1);
    }

    #[test]
    fn a_proof_of_nothing_is_found() {
        assert_eq!(
            found(PROMISES, "// covers: L1, L3, L4\n// covers: L2\n"),
            [
                "crates/a/tests/it/b.rs:1 cites L4, which docs/protocol.md does not list",
                "crates/a/tests/it/b.rs:2 proves L2, which docs/protocol.md calls later",
            ]
        );
    }

    #[test]
    fn a_promise_needs_a_state_and_an_id_of_its_own() {
        assert_eq!(found("- **L1** One.\n", ""), ["docs/protocol.md:1 L1 has no state"]);
        let twice = "- **L1** *(later)* One.\n- **L1** *(later)* Two.\n";
        assert_eq!(found(twice, ""), ["docs/protocol.md:2 L1 stands twice"]);
        assert_eq!(citations(&Tree::of(&[])).len(), 1);
    }

    #[test]
    fn scripts_prove_promises_too() {
        let tree = Tree::of(&[(PAGE, "- **B6** *(built)* Six.\n"), ("e2e/a.mjs", "  // covers: B6\n")]);
        assert_eq!(citations(&tree), []);
    }
}
