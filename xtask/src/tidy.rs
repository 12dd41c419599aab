//! The rules that no compiler knows. Each check reads the tree and says where a rule is broken and how to mend it.

mod attributes;
mod headers;
mod length;
mod manifests;
mod metrics;
mod names;
mod problems;
mod profiles;
mod proofs;
mod protocol;
mod rust;
mod settings;
mod sleeps;
mod tree;
mod vectors;

use std::{fmt, io, path::Path};

use tree::Tree;

/// A place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from 1.
    line: usize,
    what: String,
    mend: String,
}

type Check = fn(&Tree) -> Vec<Finding>;

const CHECKS: [Check; 16] = [
    manifests::imports,
    manifests::lints,
    manifests::core_is_pure,
    length::files,
    names::files,
    names::tests,
    attributes::exceptions,
    sleeps::in_tests,
    headers::spelling,
    protocol::citations,
    problems::pages,
    profiles::pages,
    proofs::named,
    metrics::documented,
    settings::documented,
    vectors::read_by_a_test,
];

/// Why the tree is not tidy.
#[derive(Debug)]
pub(crate) enum Untidy {
    /// It could not be read.
    Unreadable(io::Error),
    Findings(String),
}

/// Runs every check over the repository at `root`.
pub(crate) fn run(root: &Path) -> Result<(), Untidy> {
    let tree = Tree::read(root).map_err(Untidy::Unreadable)?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    if findings.is_empty() {
        return Ok(());
    }
    findings.sort_by(|a, b| (&a.path, a.line, &a.what).cmp(&(&b.path, b.line, &b.what)));
    Err(Untidy::Findings(listing(&findings)))
}

fn listing(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|found| format!("\n{found}")).collect::<String>();
    let plural = if findings.len() == 1 { "" } else { "s" };
    format!("{} finding{plural}{lines}", findings.len())
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), mend: mend.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    mend: {}", self.path, self.line, self.what, self.mend)
    }
}

impl fmt::Display for Untidy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(source) => write!(f, "the tree could not be read: {source}"),
            Self::Findings(listing) => f.write_str(listing),
        }
    }
}

impl std::error::Error for Untidy {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_its_place_and_the_way_out() {
        let findings = [Finding::new("a/b.rs", 7, "is wrong", "make it right")];
        assert_eq!(listing(&findings), "1 finding\na/b.rs:7: is wrong\n    mend: make it right");
    }

    #[test]
    fn an_unreadable_tree_is_not_tidy() {
        assert!(matches!(run(Path::new("/nowhere/onceward")), Err(Untidy::Unreadable(_))));
    }
}
