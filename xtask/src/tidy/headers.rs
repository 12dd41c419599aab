//! One spelling for each field name that we read or write.

use super::{Finding, rust::Source, tree::Tree};

/// The names as documents write them; code may write them in lower case, too.
const NAMES: &[&str] = &[
    "Effect-Confirm",
    "Idempotency-Key",
    "Idempotency-Key-Consumed",
    "Idempotent-Replayed",
    "Intent-Expires-At",
    "Intent-SHA256",
    "Intent-Status",
    "X-Agent-Run-Id",
    "X-Idempotency-Key",
    "X-Request-Id",
    "x-idem-key",
];

/// How a name of ours begins; anything else that begins so is a slip.
const FAMILIES: &[&str] = &["Idempotency-", "Idempotent-", "Intent-"];

/// Names of others that begin like ours.
const OTHERS: &[&str] = &["Idempotency-Key-Header"];

/// Every field name is spelt as in the list: in documents exactly, in code exactly or in lower case.
pub(super) fn spelling(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.ending(&["js", "md", "mjs", "rs", "ts"]).filter(|file| !file.path.starts_with("xtask/"))
    {
        let is_document = file.path.ends_with(".md");
        // A test may misspell a name to see it refused.
        let lines_max =
            if file.path.ends_with(".rs") { Source::of(file).production().len() } else { usize::MAX };
        for (number, line) in file.lines().take(lines_max) {
            for word in words(line) {
                if let Some(right) = misspelt(word, is_document) {
                    let what = format!("`{word}` is not how the field is spelt");
                    findings.push(Finding::new(&file.path, number, what, right));
                }
            }
        }
    }
    findings
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !(character.is_ascii_alphanumeric() || character == '-'))
        .map(|word| word.trim_matches('-'))
}

/// How to mend the word, if it names a field wrongly.
fn misspelt(word: &str, is_document: bool) -> Option<String> {
    if let Some(name) = NAMES.iter().find(|name| name.eq_ignore_ascii_case(word)) {
        let is_right = word == *name || (!is_document && word == name.to_ascii_lowercase());
        return (!is_right).then(|| format!("write `{name}`"));
    }
    let is_ours = FAMILIES.iter().any(|family| word.starts_with(family)) && !OTHERS.contains(&word);
    is_ours.then(|| format!("it is none of {}", NAMES.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        spelling(&Tree::of(&[(path, text)])).into_iter().map(|found| found.what).collect()
    }

    #[test]
    fn a_slip_is_found() {
        assert_eq!(found("a.md", "`Intent-Sha256`"), ["`Intent-Sha256` is not how the field is spelt"]);
        assert_eq!(found("a.md", "idempotency-key: 1"), ["`idempotency-key` is not how the field is spelt"]);
        assert_eq!(found("a.md", "X-Idem-Key"), ["`X-Idem-Key` is not how the field is spelt"]);
        assert_eq!(
            found("a.rs", "\"Idempotent-Replay\""),
            ["`Idempotent-Replay` is not how the field is spelt"]
        );
    }

    #[test]
    fn what_is_right_stays() {
        assert_eq!(
            found("a.md", "`Idempotency-Key: 1`, x-idem-key, intent-mismatch, Idempotency_Key"),
            [""; 0]
        );
        assert_eq!(
            found("a.rs", "\"idempotency-key\" draft-ietf-httpapi-idempotency-key-header-07"),
            [""; 0]
        );
    }
}
