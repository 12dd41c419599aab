//! The pages behind the `type` of each problem (C3), embedded so that a running program can always explain itself.

use crate::refusal::PROBLEM_SLUGS;

macro_rules! pages {
    ($($slug:literal),+ $(,)?) => {
        /// Slug and page, in the order of [`PROBLEM_SLUGS`]. A page that is missing fails the build.
        const PAGES: &[(&str, &str)] =
            &[$(($slug, include_str!(concat!("../../../../docs/problems/", $slug, ".md")))),+];
    };
}

pages![
    "key-invalid",
    "key-missing",
    "actor-unknown",
    "body-invalid",
    "body-too-large",
    "head-ambiguous",
    "body-incomplete",
    "key-reused",
    "in-progress",
    "outcome-unknown",
    "outcome-not-kept",
    "key-expired",
    "cancelled",
    "history-lost",
    "record-corrupt",
    "store-unavailable",
    "upstream-unreachable",
    "overloaded",
    "intent-missing",
    "intent-mismatch",
    "intent-unrepresentable",
    "intent-expired",
    "too-early",
    "precondition-required",
    "precondition-invalid",
    "precondition-failed",
    "snapshot-stale",
    "possible-duplicate",
];

/// A problem type that core defines and this table lacks must not ship without its page.
const _: () = assert!(PAGES.len() == PROBLEM_SLUGS.len(), "a problem type has no page");

/// The page of a problem type, in Markdown; `None` where there is no such type.
#[must_use]
pub fn page(slug: &str) -> Option<&'static str> {
    PAGES.iter().find(|(known, _)| *known == slug).map(|(_, page)| *page)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    // covers: C3
    #[test]
    fn every_problem_type_has_its_page() {
        let slugs: Vec<&str> = PAGES.iter().map(|(slug, _)| *slug).collect();
        assert_eq!(slugs, PROBLEM_SLUGS);
        for (slug, page) in PAGES {
            assert!(!page.trim().is_empty(), "the page of {slug} is empty");
        }
    }
}
