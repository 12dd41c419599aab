//! Every metric is documented, and every documented metric exists.

use super::{
    Finding,
    tree::{File, Tree},
};

const SOURCE: &str = "crates/onceward-engine/src/telemetry.rs";
const PAGE: &str = "docs/operations.md";
const PREFIX: &str = "onceward_";

/// What a registration with `Unit::Seconds` appends to a name.
const SECONDS: &str = "_seconds";

/// What the text format appends to a name by the metric's kind (OpenMetrics 1.0).
const KINDS: &[&str] = &["", "_total", "_bucket", "_sum", "_count"];

/// The names that the code registers and the names on the page are the same.
pub(super) fn documented(tree: &Tree) -> Vec<Finding> {
    let (Some(source), Some(page)) = (tree.get(SOURCE), tree.get(PAGE)) else { return Vec::new() };
    let registered = registered(source);
    let documented = documented_in(page);
    let mut findings = Vec::new();
    for name in registered.iter().filter(|name| !documented.iter().any(|(_, text)| is_of(text, name))) {
        let what = format!("the metric `{PREFIX}{name}` is not in {PAGE}");
        let line = source.line_of(&format!("\"{}\"", name.trim_end_matches(SECONDS)));
        findings.push(Finding::new(SOURCE, line, what, "say there what it counts and when to worry"));
    }
    for (line, text) in documented.iter().filter(|(_, text)| !registered.iter().any(|name| is_of(text, name)))
    {
        let what = format!("there is no metric `{PREFIX}{text}`");
        findings.push(Finding::new(PAGE, *line, what, format!("name one that {SOURCE} registers")));
    }
    findings
}

fn is_of(text: &str, name: &str) -> bool {
    text.strip_prefix(name).is_some_and(|kind| KINDS.contains(&kind))
}

/// The first argument of each `register` and `register_with_unit`, the latter with its unit.
fn registered(source: &File) -> Vec<String> {
    let calls = source.text.split(".register").skip(1);
    let name = |call: &str| {
        let (unit, arguments) = call.split_once('(')?;
        let name = arguments.trim_start().strip_prefix('"')?.split('"').next()?;
        let with_unit = unit == "_with_unit" && arguments.split(';').next()?.contains("Unit::Seconds");
        Some(if with_unit { format!("{name}{SECONDS}") } else { name.to_owned() })
    };
    calls.filter_map(name).collect()
}

/// The names on the page, without the prefix.
fn documented_in(page: &File) -> Vec<(usize, &str)> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut names = Vec::new();
    for (number, line) in page.lines() {
        let words = line.split(|character| !is_name(character));
        names.extend(words.filter_map(|word| word.strip_prefix(PREFIX)).map(|name| (number, name)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const TELEMETRY: &str = "registry.register(\"requests\", \"Help\", a);\nregistry.register_with_unit(\n    \"duration\",\n    \"Help\",\n    Unit::Seconds,\n    b,\n);\n";

    fn found(page: &str) -> Vec<String> {
        let tree = Tree::of(&[(SOURCE, TELEMETRY), (PAGE, page)]);
        documented(&tree)
            .into_iter()
            .map(|found| format!("{}:{} {}", found.path, found.line, found.what))
            .collect()
    }

    #[test]
    fn names_with_their_unit_and_kind_agree() {
        assert_eq!(found("`onceward_requests_total` and\n`onceward_duration_seconds`\n"), [""; 0]);
    }

    #[test]
    fn a_metric_without_words_and_words_without_a_metric_are_found() {
        assert_eq!(
            found("`onceward_requests_total{a=\"b\"}`\n`onceward_duration`\n"),
            [
                "crates/onceward-engine/src/telemetry.rs:3 the metric `onceward_duration_seconds` is not in docs/operations.md",
                "docs/operations.md:2 there is no metric `onceward_duration`",
            ]
        );
    }
}
