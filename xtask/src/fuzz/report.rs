//! What a target's run came to, out of what libFuzzer says.

use std::{error::Error, fmt::Write as _, fs, path::Path, path::PathBuf};

/// Bytes of an input that are shown.
const SHOWN_BYTES_MAX: usize = 4 * 1024;

/// Lines of a log that are shown: the panic with its place is among the last ones.
const SHOWN_LINES: usize = 40;

/// One target's run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    target: String,
    executions: u64,
    per_second: u64,
    /// Edges that some input passed.
    edges: u64,
    /// Inputs that each showed something new.
    inputs: u64,
    pub(super) finding: Option<Finding>,
}

/// An input that breaks what must hold, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding(String);

impl Report {
    /// Reads a log's last status line (`#7 DONE cov: 5 ft: 6 corp: 3/9b …`) and its statistics.
    pub(super) fn read(target: &str, log: &str, finding: Option<Finding>) -> Self {
        let statistic = |name: &str| {
            let line = log.lines().rev().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
            line.and_then(|rest| rest.trim_start_matches(':').trim().parse().ok()).unwrap_or(0)
        };
        let status = log.lines().rev().find(|line| line.starts_with('#') && line.contains(" cov: "));
        let behind = |mark: &str| {
            let rest = status?.split_once(mark)?.1.trim_start();
            rest.split(|end: char| !end.is_ascii_digit()).next()?.parse().ok()
        };
        Self {
            target: target.to_owned(),
            executions: statistic("number_of_executed_units"),
            per_second: statistic("average_exec_per_sec"),
            edges: behind(" cov:").unwrap_or(0),
            inputs: behind(" corp:").unwrap_or(0),
            finding,
        }
    }
}

impl Finding {
    /// With the log's end, and the input where there is one.
    pub(super) fn of(program: &Path, input: Option<PathBuf>, log: &Path) -> Result<Self, Box<dyn Error>> {
        let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines.split_at(lines.len().saturating_sub(SHOWN_LINES)).1.join("\n");
        let mut words = format!("{end}\nlog:    {}\n", log.display());
        if let Some(input) = input {
            let bytes = fs::read(&input)?;
            let hex: String = bytes.iter().take(SHOWN_BYTES_MAX).map(|byte| format!("{byte:02x}")).collect();
            words.push_str(&format!(
                "input:  {}\nhex:    {hex}\nagain:  {} {}\nkeep:   once it is mended, as a file in fuzz/regressions\n",
                input.display(),
                program.display(),
                input.display()
            ));
        }
        Ok(Self(words))
    }
}

/// The findings, and then a row a target.
pub(super) fn table(reports: &[Report]) -> String {
    let mut reports: Vec<&Report> = reports.iter().collect();
    reports.sort_by(|one, other| one.target.cmp(&other.target));
    let mut text = String::new();
    for report in &reports {
        if let Some(Finding(words)) = &report.finding {
            text.push_str(&format!("\n== {}\n{words}", report.target));
        }
    }
    text.push_str(&format!(
        "\n{:<14} {:>11} {:>9} {:>7} {:>7}  result\n",
        "target", "executions", "a second", "edges", "inputs"
    ));
    for report in &reports {
        let result = if report.finding.is_some() { "FOUND SOMETHING" } else { "ok" };
        // Writing to a String cannot fail.
        match writeln!(
            text,
            "{:<14} {:>11} {:>9} {:>7} {:>7}  {result}",
            report.target, report.executions, report.per_second, report.edges, report.inputs
        ) {
            Ok(()) | Err(std::fmt::Error) => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
INFO: Running with entropic power schedule (0xFF, 100).
#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 26Mb
#9041\tDONE   cov: 883 ft: 1516 corp: 181/1343b lim: 17 exec/s: 795 rss: 28Mb
Done 9041 runs in 13 second(s)
stat::number_of_executed_units: 9041
stat::average_exec_per_sec:     795
stat::new_units_added:          208
";

    fn report(finding: Option<Finding>) -> Report {
        Report {
            target: "key".to_owned(),
            executions: 9_041,
            per_second: 795,
            edges: 883,
            inputs: 181,
            finding,
        }
    }

    #[test]
    fn a_log_is_read_by_its_last_lines() {
        assert_eq!(Report::read("key", LOG, None), report(None));
    }

    #[test]
    fn findings_stand_before_the_table() {
        let other = Report { target: "form".to_owned(), ..report(Some(Finding("a panic\n".to_owned()))) };
        let expected = "
== form
a panic

target          executions  a second   edges  inputs  result
form                  9041       795     883     181  FOUND SOMETHING
key                   9041       795     883     181  ok
";
        assert_eq!(table(&[report(None), other]), expected);
    }
}
