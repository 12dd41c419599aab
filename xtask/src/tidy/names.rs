//! Names that say nothing, and tests named after something that passes.

use super::{Finding, rust::Source, tree::Tree};

/// Files of these names collect what nobody placed.
const EMPTY: &[&str] = &["common", "helper", "helpers", "misc", "mod", "models", "types", "util", "utils"];

/// No file has a name that says nothing.
pub(super) fn files(tree: &Tree) -> Vec<Finding> {
    let sources = tree.ending(&["js", "mjs", "rs", "ts"]);
    let empty = sources.filter(|file| EMPTY.contains(&file.stem()));
    let finding = |path: &str| {
        let mend = "name it after what it holds; a module's root is `foo.rs` beside `foo/`";
        Finding::new(path, 1, "the file's name says nothing", mend)
    };
    empty.map(|file| finding(&file.path)).collect()
}

/// No test is named after an issue or a version of the code.
pub(super) fn tests(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let source = Source::of(file);
        for line in source.tests() {
            if let Some(name) = function_name(&line.code).filter(|name| is_passing(name)) {
                let what = format!("`{name}` is named after an issue or a version");
                let mend = "name it after the behaviour that it proves";
                findings.push(Finding::new(&file.path, line.number, what, mend));
            }
        }
    }
    findings
}

fn function_name(code: &str) -> Option<&str> {
    let (_, rest) = code.split_once("fn ")?;
    rest.split(['(', '<']).next().map(str::trim)
}

/// Whether a word of the name is `v1`, `issue`, `issue12`, `bug7`, `gh3`. A UUID's version is a fact of the world.
fn is_passing(name: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    words.iter().enumerate().any(|(index, word)| {
        let before = index.checked_sub(1).and_then(|before| words.get(before)).copied().unwrap_or_default();
        let next_is_number = words.get(index + 1).is_some_and(|next| is_number(next));
        let is_version = word.strip_prefix('v').is_some_and(is_number) && before != "uuid";
        let is_report = ["issue", "bug", "gh", "pr"].iter().any(|kind| {
            word.strip_prefix(kind).is_some_and(|rest| is_number(rest) || rest.is_empty() && next_is_number)
        });
        is_version || is_report
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_says_nothing_is_found() {
        let tree = Tree::of(&[
            ("a/src/utils.rs", ""),
            ("a/src/key/mod.rs", ""),
            ("a/src/key.rs", ""),
            ("docs/types.md", ""),
        ]);
        let paths: Vec<String> = files(&tree).into_iter().map(|found| found.path).collect();
        assert_eq!(paths, ["a/src/utils.rs", "a/src/key/mod.rs"]);
    }

    #[test]
    fn a_test_named_after_what_passes_is_found() {
        let text = "fn v1() {}\n#[cfg(test)]\nmod tests {\n    fn works_in_v2() {}\n    async fn issue_12() {}\n    fn bug7<T>() {}\n    fn uuid_v7_is_dated() {}\n    fn answers_408() {}\n    fn issue_time_is_read() {}\n}\n";
        let found: Vec<String> =
            tests(&Tree::of(&[("a.rs", text)])).into_iter().map(|found| found.what).collect();
        let expected = ["works_in_v2", "issue_12", "bug7"]
            .map(|name| format!("`{name}` is named after an issue or a version"));
        assert_eq!(found, expected);
    }
}
