//! No file grows past what a reader takes in.

use super::{
    Finding,
    rust::Source,
    tree::{File, Tree},
};

/// Lines of code of one file, without blank lines, comments and the unit tests at its end.
const LINES_MAX: usize = 500;

/// Files that are longer, with their lines of code. An entry may only shrink, and goes once its file is short enough.
const LONGER: &[(&str, usize)] = &[];

/// Every source file is short enough, or no longer than its entry says.
pub(super) fn files(tree: &Tree) -> Vec<Finding> {
    judge(tree, LONGER)
}

fn judge(tree: &Tree, longer: &[(&str, usize)]) -> Vec<Finding> {
    let sources = tree.ending(&["js", "mjs", "rs", "ts"]);
    let mut findings: Vec<Finding> = sources.filter_map(|file| judge_file(file, longer)).collect();
    for (path, _) in longer.iter().filter(|(path, _)| tree.get(path).is_none()) {
        findings.push(Finding::new(path, 1, "is listed as too long and is not there", "remove its entry"));
    }
    findings
}

fn judge_file(file: &File, longer: &[(&str, usize)]) -> Option<Finding> {
    let lines = lines_of_code(file);
    let listed = longer.iter().find(|(path, _)| *path == file.path).map(|(_, lines)| *lines);
    let finding = |what: String, mend: &str| Some(Finding::new(&file.path, 1, what, mend));
    match listed {
        None if lines > LINES_MAX => finding(
            format!("has {lines} lines of code; {LINES_MAX} is the limit"),
            "split it along its meaning: `foo.rs` and `foo/bar.rs`",
        ),
        Some(listed) if lines > listed => finding(
            format!("has grown from {listed} to {lines} lines of code"),
            "move something out; its entry may only shrink",
        ),
        Some(listed) if lines < listed => {
            let mend = if lines > LINES_MAX {
                "lower its entry in xtask/src/tidy/length.rs"
            } else {
                "remove its entry in xtask/src/tidy/length.rs"
            };
            finding(format!("has shrunk from {listed} to {lines} lines of code"), mend)
        }
        None | Some(_) => None,
    }
}

fn lines_of_code(file: &File) -> usize {
    if file.path.ends_with(".rs") {
        let source = Source::of(file);
        let counted = if source.production().is_empty() { source.tests() } else { source.production() };
        counted.iter().filter(|line| !line.code.trim().is_empty()).count()
    } else {
        // A comment of JavaScript stands on lines of its own here.
        let is_code =
            |line: &str| !line.is_empty() && !["//", "/*", "*"].iter().any(|mark| line.starts_with(mark));
        file.lines().filter(|(_, line)| is_code(line.trim())).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(lines: usize) -> String {
        let tests = "#[cfg(test)]\nmod tests {\n    fn c() {}\n}\n";
        format!("//! Doc.\n\n{}{tests}", "fn a() {} // why\n// b\n".repeat(lines))
    }

    fn found(path: &str, text: &str, longer: &[(&str, usize)]) -> Vec<String> {
        judge(&Tree::of(&[(path, text)]), longer).into_iter().map(|found| found.what).collect()
    }

    #[test]
    fn code_is_counted_and_nothing_else() {
        assert_eq!(found("a.rs", &rust(500), &[]), [""; 0]);
        assert_eq!(found("a.rs", &rust(501), &[]), ["has 501 lines of code; 500 is the limit"]);
        let script = "// a\n/**\n * b\n */\ncode();\n\n".repeat(501);
        assert_eq!(found("a.mjs", &script, &[]), ["has 501 lines of code; 500 is the limit"]);
        assert_eq!(
            found("crates/a/tests/it/b.rs", &rust(498), &[]),
            ["has 502 lines of code; 500 is the limit"]
        );
    }

    #[test]
    fn an_exception_may_only_shrink() {
        assert_eq!(found("a.rs", &rust(510), &[("a.rs", 510)]), [""; 0]);
        assert_eq!(found("a.rs", &rust(511), &[("a.rs", 510)]), ["has grown from 510 to 511 lines of code"]);
        assert_eq!(found("a.rs", &rust(505), &[("a.rs", 510)]), ["has shrunk from 510 to 505 lines of code"]);
        assert_eq!(found("a.rs", &rust(1), &[("b.rs", 510)]), ["is listed as too long and is not there"]);
    }
}
