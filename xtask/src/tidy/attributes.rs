//! Exceptions that hide: tests that do not run, and lints that are switched off.

use super::{Finding, rust::Source, tree::Tree};

/// What may not stand, and what to do instead.
const FORBIDDEN: &[(&str, &str)] = &[
    ("#[ignore", "let it run, or remove it; what it needs is installed by `cargo xtask test`"),
    ("#[should_panic", "assert on the value or the error"),
    ("#[allow(", "mend what the lint shows, or say `#[expect(…, reason = \"…\")]` on the smallest item"),
    ("#![allow(", "mend what the lint shows, or say `#[expect(…, reason = \"…\")]` on the smallest item"),
];

/// No attribute that hides something, in code or in tests.
pub(super) fn exceptions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for line in &Source::of(file).lines {
            for (attribute, mend) in FORBIDDEN.iter().filter(|(attribute, _)| line.code.contains(attribute)) {
                let what = format!("`{attribute}` hides something");
                findings.push(Finding::new(&file.path, line.number, what, *mend));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hiding_attribute_is_found() {
        let text = "#![allow(dead_code)]\n#[ignore = \"slow\"]\n#[should_panic]\n    #[allow(unused)]\n";
        let found: Vec<usize> =
            exceptions(&Tree::of(&[("a.rs", text)])).into_iter().map(|found| found.line).collect();
        assert_eq!(found, [1, 2, 3, 4]);
    }

    #[test]
    fn talking_about_one_is_not_using_it() {
        let text = "// #[ignore]\nlet a = \"#[should_panic]\";\n#[expect(unused, reason = \"b\")]\n";
        assert_eq!(exceptions(&Tree::of(&[("a.rs", text)])), []);
    }
}
