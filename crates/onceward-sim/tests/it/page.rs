//! `docs/evidence.md` holds what the crate prints.

use std::{fs, path::Path};

pub(crate) fn assert_on_page(tables: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/evidence.md");
    let page = fs::read_to_string(path).expect("docs/evidence.md is there");
    assert!(
        page.contains(tables),
        "stale: put what `cargo xtask torture --page` prints into docs/evidence.md"
    );
}

pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
