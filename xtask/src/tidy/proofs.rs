//! The page that goes through the draft sentence by sentence names tests that exist.

use super::{
    Finding,
    tree::{File, Tree},
};

const PAGE: &str = "docs/ietf-07.md";

/// How the page calls the cases of a suite, and where they are.
const SUITE: (&str, &str) = ("ietf_07", "crates/onceward-drill/src/suite/ietf.rs");

/// The last cell of a row says which tests prove it, but for what is the clients' part.
pub(super) fn named(tree: &Tree) -> Vec<Finding> {
    let Some(page) = tree.get(PAGE) else { return Vec::new() };
    let mut findings = Vec::new();
    for (line, state, tests) in page.lines().filter_map(row) {
        let proofs: Vec<Proof<'_>> = proofs(tests).collect();
        if proofs.is_empty() && state != "client" {
            let mend = "name it as core `module::test` or as a case `ietf_07::case`";
            findings.push(Finding::new(PAGE, line, "the row names no test", mend));
        }
        for proof in proofs.iter().filter(|proof| !proof.exists(tree)) {
            let what = format!("there is no test `{}::{}`", proof.module, proof.name);
            findings.push(Finding::new(PAGE, line, what, "name the test that proves the row"));
        }
    }
    findings
}

/// State and tests of a row, which begins with its number or, under another one's, with none.
fn row((line, text): (usize, &str)) -> Option<(usize, &str, &str)> {
    let cells: Vec<&str> = text.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [number, _, _, state, tests] = cells.as_slice() else { return None };
    let is_row = number.bytes().all(|digit| digit.is_ascii_digit()) && *state != "State";
    is_row.then_some((line, *state, *tests))
}

/// A test that the page names.
struct Proof<'a> {
    /// The crate of a test that is no case; empty for a case.
    package: &'a str,
    module: &'a str,
    name: &'a str,
}

/// Reads ``core `key::a`, `ietf_07::b` ``.
fn proofs(cell: &str) -> impl Iterator<Item = Proof<'_>> {
    cell.split(", ").filter_map(|proof| {
        let (package, rest) = proof.split_once('`')?;
        let (module, name) = rest.strip_suffix('`')?.split_once("::")?;
        Some(Proof { package: package.trim(), module, name })
    })
}

impl Proof<'_> {
    fn exists(&self, tree: &Tree) -> bool {
        let is_defined = |file: &File| {
            let head = format!("fn {}(", self.name);
            file.lines().any(|(_, line)| line.contains(&head))
        };
        let path = if (self.package, self.module) == ("", SUITE.0) {
            SUITE.1.to_owned()
        } else {
            format!("crates/onceward-{}/tests/it/{}.rs", self.package, self.module)
        };
        tree.get(&path).is_some_and(is_defined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "| | The draft | Here | State | Test |\n| --- | --- | --- | --- | --- |\n";
    const CORE: (&str, &str) = ("crates/onceward-core/tests/it/key.rs", "#[test]\nfn a_key() {}\n");
    const CASES: (&str, &str) = (SUITE.1, "async fn a_case(talk: &Talk<'_>) -> Judged {\n");

    fn found(rows: &str) -> Vec<String> {
        let page = format!("{HEAD}{rows}");
        let tree = Tree::of(&[(PAGE, &page), CORE, CASES]);
        named(&tree).into_iter().map(|found| format!("{} {}", found.line, found.what)).collect()
    }

    #[test]
    fn rows_whose_tests_exist_are_tidy() {
        let rows = "| 1 | A | a `key::b` | built | core `key::a_key`, `ietf_07::a_case` |\n\
                    | | A | – | in part | `ietf_07::a_case` |\n\
                    | 5 | A | – | client | – |\n";
        assert_eq!(found(rows), [""; 0]);
    }

    #[test]
    fn a_test_that_is_gone_is_found_with_its_row() {
        let rows = "| 1 | A | – | built | core `key::a_key_of_old` |\n\
                    | 2 | A | – | client | `ietf_07::a_key` |\n\
                    | 3 | A | – | built | core `actor::a_key`, engine `key::a_key` |\n";
        let expected = [
            "3 there is no test `key::a_key_of_old`",
            "4 there is no test `ietf_07::a_key`",
            "5 there is no test `actor::a_key`",
            "5 there is no test `key::a_key`",
        ];
        assert_eq!(found(rows), expected);
    }

    #[test]
    fn what_is_built_is_proven() {
        assert_eq!(found("| | A | – | in part | – |\n"), ["3 the row names no test"]);
    }
}
