//! Every flag and every setting is documented, with its default.

use super::{
    Finding,
    tree::{File, Tree},
};

const FOLDER: &str = "crates/onceward-cli/src/";
const SPECS: &str = "crates/onceward-cli/src/settings/spec.rs";
const PAGE: &str = "docs/operations.md";

/// What may stand in a table `[[route]]`, and the page that has a row for each.
const ROUTE_NAMES: &str = "crates/onceward-cli/src/settings/route.rs";
const ROUTES_PAGE: &str = "docs/gateway.md";

/// One setting, declared as `spec("policy.wait", "wait", "TIME", Some("60s"), …)`.
struct Setting<'a> {
    key: &'a str,
    flag: &'a str,
    /// Where it does not depend on the machine.
    default: Option<&'a str>,
}

/// Each flag that the code declares stands on the page; each setting has a row there, and each row a setting.
pub(super) fn documented(tree: &Tree) -> Vec<Finding> {
    let Some(page) = tree.get(PAGE) else { return Vec::new() };
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| file.path.starts_with(FOLDER)) {
        for (line, flag) in flags(file).filter(|(_, flag)| !mentions(page, &format!("--{flag}"))) {
            let what = format!("the flag `--{flag}` is not in {PAGE}");
            findings.push(Finding::new(
                &file.path,
                line,
                what,
                "say there what it does and what its default is",
            ));
        }
    }
    if let Some(specs) = tree.get(SPECS) {
        findings.extend(rows(specs, page));
    }
    if let (Some(source), Some(page)) = (tree.get(ROUTE_NAMES), tree.get(ROUTES_PAGE)) {
        findings.extend(route_rows(source, page));
    }
    findings
}

/// Each name that a table `[[route]]` may have stands in the first cell of a row.
fn route_rows(source: &File, page: &File) -> Vec<Finding> {
    let list = source.text.split_once("const NAMES: &[&str] = &[").and_then(|(_, rest)| rest.split_once(']'));
    let names = list.map_or("", |(list, _)| list).split('"').skip(1).step_by(2);
    let cells: Vec<&str> =
        page.lines().filter_map(|(_, line)| line.strip_prefix("| ")?.split(" | ").next()).collect();
    names
        .filter(|name| !cells.iter().any(|cell| cell.contains(&format!("`{name}`"))))
        .map(|name| {
            let what = format!("{ROUTES_PAGE} has no row for `{name}` of a route");
            Finding::new(ROUTE_NAMES, source.line_of(&format!("\"{name}\"")), what, "say there what it does")
        })
        .collect()
}

/// Holds the page's table of settings against the code's.
fn rows(specs: &File, page: &File) -> Vec<Finding> {
    let settings: Vec<Setting<'_>> = specs.text.split("spec(").skip(1).filter_map(setting).collect();
    let rows: Vec<(usize, &str, &str)> = page.lines().filter_map(row).collect();
    let mut findings = Vec::new();
    for setting in &settings {
        let default = setting.default.map_or_else(String::new, |default| format!(" `{default}` |"));
        let expected = format!("| `{}` | `--{}` |{default}", setting.key, setting.flag);
        if !rows.iter().any(|(_, _, line)| line.starts_with(&expected)) {
            let what = format!("{PAGE} has no row for the setting `{}` as it is", setting.key);
            let mend = format!("let a row there begin with: {expected}");
            findings.push(Finding::new(SPECS, specs.line_of(&format!("\"{}\"", setting.key)), what, mend));
        }
    }
    for (number, key, _) in
        rows.iter().filter(|(_, key, _)| !settings.iter().any(|setting| setting.key == *key))
    {
        let mend = format!("remove the row, or name a setting of {SPECS}");
        findings.push(Finding::new(PAGE, *number, format!("there is no setting `{key}`"), mend));
    }
    findings
}

/// Reads what stands behind `spec(`; `None` where that is its declaration.
fn setting(text: &str) -> Option<Setting<'_>> {
    let mut literals = text.trim_start().strip_prefix('"')?.split('"');
    let (key, flag) = (literals.next()?, literals.nth(1)?);
    let (_value_name, behind) = (literals.nth(1)?, literals.next()?);
    // Before a default stands `, Some(`; without one, `, None, …` goes on to the help text.
    let default = if behind.trim_end().ends_with("Some(") { literals.next() } else { None };
    Some(Setting { key, flag, default: default.filter(|default| !default.is_empty()) })
}

/// A row of the table of settings: `` | `policy.wait` | `--wait` | … ``.
fn row((number, line): (usize, &str)) -> Option<(usize, &str, &str)> {
    let (key, rest) = line.strip_prefix("| `")?.split_once('`')?;
    let is_setting = rest.starts_with(" | `--") && key.contains('.');
    is_setting.then_some((number, key, line))
}

/// The names in `.long("name")`.
fn flags(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.lines().flat_map(|(number, line)| {
        line.split(".long(\"").skip(1).filter_map(move |rest| Some((number, rest.split('"').next()?)))
    })
}

/// Whether the flag stands on the page as a word of its own.
fn mentions(page: &File, flag: &str) -> bool {
    let is_end = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '-');
    page.text.match_indices(flag).any(|(at, _)| page.text.get(at + flag.len()..).is_some_and(is_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLI: &str = "fn json() -> Arg {\n    Arg::new(\"json\").long(\"json\").help(\"JSON\")\n}\n";
    const SETTINGS: &str = "const S: &[Spec] = &[\n    spec(\"policy.wait\", \"wait\", \"TIME\", Some(\"60s\"), TakenBy::Proxy,\n        \"How long\"),\n    spec(\"store.url\", \"store\", \"URL\", None, TakenBy::All,\n        \"Where\"),\n];\n";
    const RIGHT: &str = "`--json`\n\n| `policy.wait` | `--wait` | `60s` | How long |\n| `store.url` | `--store` | a file | Where |\n";

    fn found(page: &str) -> Vec<String> {
        let tree = Tree::of(&[("crates/onceward-cli/src/cli.rs", CLI), (SPECS, SETTINGS), (PAGE, page)]);
        documented(&tree)
            .into_iter()
            .map(|found| format!("{}:{} {}", found.path, found.line, found.what))
            .collect()
    }

    #[test]
    fn a_page_that_agrees_is_tidy() {
        assert_eq!(found(RIGHT), [""; 0]);
    }

    #[test]
    fn a_flag_without_words_is_found() {
        assert_eq!(
            found(&RIGHT.replace("--json", "--json-lines")),
            ["crates/onceward-cli/src/cli.rs:2 the flag `--json` is not in docs/operations.md"]
        );
    }

    #[test]
    fn a_setting_without_its_row_or_with_another_default_is_found() {
        let expected = [
            "crates/onceward-cli/src/settings/spec.rs:2 docs/operations.md has no row for the setting `policy.wait` as it is",
        ];
        assert_eq!(found(&RIGHT.replace("60s", "5s")), expected);
        assert_eq!(found(&RIGHT.replace("--wait", "--patience")), expected);
    }

    #[test]
    fn a_name_of_a_route_without_its_row_is_found() {
        let names = "const NAMES: &[&str] = &[\n    \"path\",\n    \"wait\",\n    \"lease\",\n];\n";
        let page = "`lease`\n\n| Name | Values | Meaning |\n| `path` | `/a` | Which |\n| `wait`, `run_time_max` | times | `lease` |\n";
        let tree = Tree::of(&[(ROUTE_NAMES, names), (ROUTES_PAGE, page), (PAGE, "")]);
        let found: Vec<String> = documented(&tree).iter().map(ToString::to_string).collect();
        let expected = format!(
            "{ROUTE_NAMES}:4: {ROUTES_PAGE} has no row for `lease` of a route\n    mend: say there what it does"
        );
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_row_without_a_setting_is_found() {
        let page = format!("{RIGHT}| `policy.hope` | `--hope` | `1` | No |\n");
        assert_eq!(found(&page), ["docs/operations.md:5 there is no setting `policy.hope`"]);
    }
}
