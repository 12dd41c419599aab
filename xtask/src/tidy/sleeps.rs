//! Tests wait for what they need, not for time.

use super::{
    Finding,
    rust::{Line, Source},
    tree::{File, Tree},
};

/// Marks a wait that proves something by itself.
const MARK: &str = "waits:";

/// No test sleeps to let something happen.
///
/// A sleep under a paused clock moves the time and costs none: between `pause()` and `resume()`, in a test that starts paused, and
/// anywhere in a test binary whose every test does.
pub(super) fn in_tests(tree: &Tree) -> Vec<Finding> {
    let sources: Vec<(&File, Source)> = tree.rust().map(|file| (file, Source::of(file))).collect();
    let moving: Vec<&str> = sources
        .iter()
        .filter(|(_, source)| runs_in_real_time(source))
        .map(|(file, _)| binary(file))
        .collect();
    let paused: Vec<&str> = (sources.iter())
        .filter(|(_, source)| starts_paused(source))
        .map(|(file, _)| binary(file))
        .filter(|binary| !moving.contains(binary))
        .collect();
    let mut findings = Vec::new();
    for (file, source) in &sources {
        let is_always_paused = paused.contains(&binary(file));
        let mut is_paused = is_always_paused;
        for (index, line) in source.tests().iter().enumerate() {
            is_paused =
                is_always_paused || (is_paused && !ends_pause(&line.code)) || begins_pause(&line.code);
            let sleeps = sleeps(&line.code) && (!is_paused || line.code.contains("thread::sleep("));
            if sleeps && !is_marked(source.tests(), index) {
                let mend = "wait for the event itself, or pause the clock; where time is what is tested, say `// waits: why` on the line before";
                findings.push(Finding::new(&file.path, line.number, "a test sleeps", mend));
            }
        }
    }
    findings
}

/// What is compiled together: a crate's `tests/it/`, or the file with its own unit tests.
fn binary(file: &File) -> &str {
    let end = file.path.find("/tests/it/").map_or(file.path.len(), |at| at + "/tests/it/".len());
    file.path.get(..end).unwrap_or(&file.path)
}

fn starts_paused(source: &Source) -> bool {
    source.tests().iter().any(|line| line.code.contains("start_paused"))
}

fn runs_in_real_time(source: &Source) -> bool {
    source
        .tests()
        .iter()
        .any(|line| line.code.contains("#[tokio::test") && !line.code.contains("start_paused"))
}

fn begins_pause(code: &str) -> bool {
    code.contains("start_paused = true") || code.contains("time::pause()")
}

fn ends_pause(code: &str) -> bool {
    code.contains("time::resume()") || code.contains("#[tokio::test") || code.contains("#[test]")
}

fn sleeps(code: &str) -> bool {
    let is_call = |(at, _): (usize, &str)| {
        let before = code.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(|last| last.is_alphanumeric() || last == '_') && !code.contains("fn sleep(")
    };
    code.match_indices("sleep(").any(is_call)
}

/// Whether the comment on this line, or the one right above it, gives a reason.
fn is_marked(lines: &[Line], index: usize) -> bool {
    let above = lines.get(..index).unwrap_or_default().iter().rev();
    let comments = above.take_while(|line| line.code.trim().is_empty() && !line.comment.is_empty());
    comments.chain(lines.get(index)).any(|line| line.comment.contains(MARK))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str) -> Vec<usize> {
        let tree = Tree::of(&[("crates/a/tests/it/b.rs", body)]);
        in_tests(&tree).into_iter().map(|found| found.line).collect()
    }

    #[test]
    fn a_sleep_without_a_reason_is_found() {
        assert_eq!(found("#[tokio::test]\nasync fn a() {\n    sleep(MS).await;\n}\n"), [3]);
        assert_eq!(found("#[test]\nfn a() {\n    std::thread::sleep(MS);\n}\n"), [3]);
    }

    #[test]
    fn a_reason_or_a_paused_clock_clears_it() {
        let paused = "#[tokio::test(start_paused = true)]\nasync fn a() {\n    sleep(MS).await;\n}\n";
        assert_eq!(found(paused), [0; 0]);
        assert_eq!(
            found(
                "#[test]\nfn a() {\n    // waits: the limit itself is tested,\n    // in real time.\n    sleep(MS);\n}\n"
            ),
            [0; 0]
        );
        assert_eq!(found(&format!("{paused}#[tokio::test]\nasync fn b() {{\n    sleep(MS);\n}}\n")), [7]);
    }

    #[test]
    fn a_clock_may_be_paused_for_a_while() {
        let body = "#[tokio::test]\nasync fn a() {\n    time::pause();\n    sleep(S);\n    time::resume();\n    sleep(S);\n}\n";
        assert_eq!(found(body), [6]);
    }

    #[test]
    fn where_every_test_starts_paused_their_common_parts_may_sleep() {
        let kit = ("crates/a/tests/it/kit.rs", "async fn a() {\n    sleep(S);\n    thread::sleep(S);\n}\n");
        let paused = ("crates/a/tests/it/b.rs", "#[tokio::test(start_paused = true)]\nasync fn b() {}\n");
        let real = ("crates/a/tests/it/c.rs", "#[tokio::test]\nasync fn c() {}\n");
        let lines = |files: &[(&str, &str)]| {
            in_tests(&Tree::of(files)).into_iter().map(|found| found.line).collect::<Vec<_>>()
        };
        assert_eq!(lines(&[kit, paused]), [3]);
        assert_eq!(lines(&[kit, paused, real]), [2, 3]);
    }

    #[test]
    fn production_may_sleep_and_words_may_end_in_it() {
        let tree = Tree::of(&[("crates/a/src/b.rs", "async fn a() { sleep(MS).await }\n")]);
        assert_eq!(in_tests(&tree), []);
        assert_eq!(found("fn a() { oversleep(1); }\n"), [0; 0]);
    }
}
