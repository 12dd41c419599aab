//! `docs/model.md` is what the crate prints.

use std::{fs, path::Path};

use onceward_model::HEAD;

/// The headings of the page's sections, in their order; each section is compared by the test that makes it.
const SECTIONS: [&str; 5] = [
    "## Where everything holds",
    "## What was decided",
    "## What others ship",
    "## Planted mistakes",
    "## Where the limits are",
];

pub(crate) fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/model.md");
    fs::read_to_string(path).expect("docs/model.md is there")
}

#[test]
fn the_page_has_its_head_and_its_sections_and_no_more() {
    let page = page();
    assert!(page.starts_with(HEAD), "run `cargo run -p onceward-model > docs/model.md`");
    let headings: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
    assert_eq!(headings, SECTIONS);
}
