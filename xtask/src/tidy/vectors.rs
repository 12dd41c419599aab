//! Every vector file is JSON, and a test reads it.

use super::{Finding, tree::Tree};

const FOLDER: &str = "vectors/";

/// No vector file is broken or read by nobody.
pub(super) fn read_by_a_test(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.ending(&["json"]).filter(|file| file.path.starts_with(FOLDER)) {
        if let Err(error) = serde_json::from_str::<serde_json::Value>(&file.text) {
            findings.push(Finding::new(
                &file.path,
                error.line(),
                format!("is no JSON: {error}"),
                "mend its syntax",
            ));
        }
        let is_read = tree.ending(&["js", "mjs", "rs", "ts"]).any(|source| source.text.contains(file.name()));
        if !is_read {
            findings.push(Finding::new(
                &file.path,
                1,
                "is read by no test",
                "read it in a test, or remove it",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_and_an_unread_file_are_found() {
        let test = ("crates/a/tests/it/b.rs", "include_str!(\"../../../../vectors/retry.json\")");
        let found = |files: &[(&str, &str)]| {
            let found = read_by_a_test(&Tree::of(files)).into_iter();
            found.map(|found| format!("{}:{} {}", found.path, found.line, found.what)).collect::<Vec<_>>()
        };
        assert_eq!(found(&[test, ("vectors/retry.json", "[]")]), [""; 0]);
        assert_eq!(found(&[test, ("vectors/keys.json", "[]")]), ["vectors/keys.json:1 is read by no test"]);
        let broken = found(&[test, ("vectors/retry.json", "[\n1,\n]")]);
        assert_eq!(broken, ["vectors/retry.json:3 is no JSON: trailing comma at line 3 column 1"]);
    }
}
