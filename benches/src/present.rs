//! A report, for people as Markdown and for machines as a line of JSON.

use std::{
    fmt::Write as _,
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::{
    figures::{Sample, Spread},
    plan::Plan,
    rounds::{Measured, Row},
    target::Verdict,
};

/// Under which conditions was measured.
#[derive(Debug)]
pub(crate) struct Conditions {
    unix_time_s: u64,
    processor: String,
    build: &'static str,
    rounds: usize,
    seconds: u64,
    is_judged: bool,
}

/// One benchmark's cases.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) bench: &'static str,
    /// What is measured, and what shares which core.
    pub(crate) about: &'static str,
    pub(crate) conditions: &'a Conditions,
    pub(crate) measured: Vec<Measured>,
}

impl Conditions {
    pub(crate) fn here(plan: &Plan) -> Self {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processors.lines().find_map(|line| line.strip_prefix("model name"));
        let processor = processor.map_or("unknown", |name| name.trim_start_matches([' ', '\t', ':']));
        Self {
            unix_time_s: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            processor: processor.to_owned(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            rounds: plan.rounds,
            seconds: plan.seconds,
            is_judged: plan.is_judged,
        }
    }
}

impl Report<'_> {
    /// Whether every contender has its rates.
    pub(crate) fn is_valid(&self) -> bool {
        self.measured.iter().flat_map(|measured| &measured.rows).all(|row| row.samples.is_ok())
    }

    pub(crate) fn text(&self) -> String {
        let Conditions { processor, build, rounds, seconds, .. } = self.conditions;
        let mut text = format!(
            "## {}\n\n{}\n\n{processor}; {build} build; medians of {rounds} interleaved rounds of {seconds} s each.\n",
            self.bench, self.about,
        );
        for measured in &self.measured {
            text.push_str(&case_text(measured));
        }
        let verdicts: Vec<_> = self
            .measured
            .iter()
            .flat_map(|measured| measured.verdicts.iter().map(|verdict| (&measured.load, verdict)))
            .collect();
        if !verdicts.is_empty() {
            let rows = verdicts.iter().map(|(load, verdict)| verdict_cells(load, verdict)).collect();
            text.push_str(&table(&["number to reach", "load", "bound", "reached", ""], rows));
        }
        if !self.conditions.is_judged {
            text.push_str("\nA smoke run: it shows that all of this works, and nothing about speed.\n");
        }
        text
    }

    pub(crate) fn json(&self) -> String {
        let Conditions { unix_time_s, processor, build, rounds, seconds, is_judged } = self.conditions;
        json!({
            "bench": self.bench,
            "unix_time_s": unix_time_s,
            "processor": processor,
            "build": build,
            "rounds": rounds,
            "seconds": seconds,
            "judged": is_judged,
            "valid": self.is_valid(),
            "cases": self.measured.iter().map(case_json).collect::<Vec<_>>(),
        })
        .to_string()
    }
}

fn case_text(measured: &Measured) -> String {
    let baseline = measured.baseline();
    let (rate, cpu) = (measured.unit.rate(), format!("CPU us a {}", measured.unit.one()));
    let head = [&*measured.load, rate, "from-to", "ratio", &*cpu, "cores", "p50 ms", "p99 ms"];
    let mut text = table(&head, measured.rows.iter().map(|row| row_cells(row, baseline)).collect());
    if !measured.is_steady() {
        let tries = measured.tries;
        text.push_str(&format!(
            "\nUNSTEADY: the baseline moved by more than 20 % in each of {tries} tries; run this again on a quiet machine.\n"
        ));
    }
    text
}

fn row_cells(row: &Row, baseline: Option<Spread>) -> Vec<String> {
    let name = row.name.to_owned();
    let rates = match (&row.samples, row.spread(Sample::rate)) {
        (Err(why), _) => {
            return vec![name, format!("invalid: {}", why.lines().next().unwrap_or_default())];
        }
        (Ok(_), None) => return vec![name],
        (Ok(_), Some(rates)) => rates,
    };
    let median = |figure: fn(&Sample) -> f64, digits: usize| {
        row.spread(figure).map_or_else(String::new, |spread| format!("{:.digits$}", spread.median))
    };
    let latency = |of: fn(&Sample) -> Option<Duration>| {
        let all_ms = row.samples.iter().flatten().filter_map(of).map(|latency| latency.as_secs_f64() * 1e3);
        Spread::of(all_ms).map_or_else(String::new, |spread| format!("{:.2}", spread.median))
    };
    vec![
        name,
        format!("{:.0}", rates.median),
        format!("{:.0}-{:.0}", rates.min, rates.max),
        baseline.map_or_else(String::new, |baseline| format!("{:.2}", rates.median / baseline.median)),
        median(Sample::cpu_us_each, 1),
        median(Sample::busy, 2),
        latency(|sample| Some(sample.latency?.p50)),
        latency(|sample| Some(sample.latency?.p99)),
    ]
}

fn verdict_cells(load: &str, verdict: &Verdict) -> Vec<String> {
    let is_met = match verdict.is_met {
        Some(true) => "reached",
        Some(false) => "MISSED",
        None => "not judged",
    };
    vec![
        verdict.what.clone(),
        load.to_owned(),
        verdict.bound.clone(),
        verdict.reached.map_or_else(|| "-".to_owned(), |reached| format!("{reached:.2}")),
        is_met.to_owned(),
    ]
}

/// Rows of Markdown, the cells padded for whoever reads them as they are. Short rows are filled up.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
        // A reason takes the whole row, and would make a column of it.
        cells
            .filter(|cell| !cell.starts_with("invalid"))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
            .max(3)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let rule = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut text = String::from("\n");
    for row in [head, rule].iter().chain(&rows) {
        for (column, width) in widths.iter().enumerate() {
            let cell = row.get(column).map_or("", String::as_str);
            // Writing to a String cannot fail.
            match write!(text, "| {cell:<width$} ") {
                Ok(()) | Err(std::fmt::Error) => {}
            }
        }
        text.push_str("|\n");
    }
    text
}

fn case_json(measured: &Measured) -> Value {
    let targets = measured.verdicts.iter().map(|verdict| {
        json!({
            "what": verdict.what,
            "bound": verdict.bound,
            "reached": verdict.reached,
            "met": verdict.is_met,
        })
    });
    json!({
        "load": measured.load,
        "unit": measured.unit.one(),
        "steady": measured.is_steady(),
        "tries": measured.tries,
        "contenders": measured.rows.iter().map(row_json).collect::<Vec<_>>(),
        "targets": targets.collect::<Vec<_>>(),
    })
}

fn row_json(row: &Row) -> Value {
    let spread = |spread: Option<Spread>| {
        spread.map(|spread| json!({"median": spread.median, "min": spread.min, "max": spread.max}))
    };
    let latency_us = |of: fn(&Sample) -> Option<Duration>| {
        let all_us = row.samples.iter().flatten().filter_map(of).map(|latency| latency.as_secs_f64() * 1e6);
        spread(Spread::of(all_us))
    };
    json!({
        "name": row.name,
        "invalid": row.samples.as_ref().err(),
        "per_s": spread(row.spread(Sample::rate)),
        "cpu_us_each": spread(row.spread(Sample::cpu_us_each)),
        "cores": spread(row.spread(Sample::busy)),
        "p50_us": latency_us(|sample| Some(sample.latency?.p50)),
        "p99_us": latency_us(|sample| Some(sample.latency?.p99)),
        "growth_bytes_max": row.samples.iter().flatten().filter_map(|sample| sample.growth_bytes).max(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Latency, Unit};

    const CONDITIONS: Conditions = Conditions {
        unix_time_s: 1_795_262_400,
        processor: String::new(),
        build: "release",
        rounds: 1,
        seconds: 2,
        is_judged: true,
    };

    fn report(conditions: &Conditions) -> Report<'_> {
        let sample = Sample {
            count: 40_000.0,
            span: Duration::from_secs(2),
            cpu: Duration::from_secs(1),
            latency: Some(Latency { p50: Duration::from_micros(1_250), p99: Duration::from_millis(3) }),
            growth_bytes: None,
        };
        let rows = vec![
            Row { name: "bare", samples: Ok(vec![sample]) },
            Row { name: "own", samples: Err("3 timeouts".to_owned()) },
        ];
        let verdict = Verdict {
            what: "own: CPU us a request above bare".to_owned(),
            bound: "at most 12.0".to_owned(),
            reached: None,
            is_met: None,
        };
        let measured = Measured {
            load: "POST".to_owned(),
            unit: Unit::Request,
            rows,
            tries: 1,
            verdicts: vec![verdict],
        };
        Report { bench: "layer", about: "About.", conditions, measured: vec![measured] }
    }

    #[test]
    fn people_get_tables() {
        let expected = "\
## layer

About.

; release build; medians of 1 interleaved rounds of 2 s each.

| POST | requests/s | from-to     | ratio | CPU us a request | cores | p50 ms | p99 ms |
| ---- | ---------- | ----------- | ----- | ---------------- | ----- | ------ | ------ |
| bare | 20000      | 20000-20000 | 1.00  | 25.0             | 0.50  | 1.25   | 3.00   |
| own  | invalid: 3 timeouts |             |       |                  |       |        |        |

| number to reach                  | load | bound        | reached |            |
| -------------------------------- | ---- | ------------ | ------- | ---------- |
| own: CPU us a request above bare | POST | at most 12.0 | -       | not judged |
";
        assert_eq!(report(&CONDITIONS).text(), expected);
    }

    #[test]
    fn machines_get_one_line() {
        let line = report(&CONDITIONS).json();
        let spread = |value: f64| json!({"median": value, "min": value, "max": value});
        let expected = json!({
            "bench": "layer",
            "unix_time_s": 1_795_262_400,
            "processor": "",
            "build": "release",
            "rounds": 1,
            "seconds": 2,
            "judged": true,
            "valid": false,
            "cases": [{
                "load": "POST",
                "unit": "request",
                "steady": true,
                "tries": 1,
                "contenders": [
                    {
                        "name": "bare",
                        "invalid": null,
                        "per_s": spread(20_000.0),
                        "cpu_us_each": spread(25.0),
                        "cores": spread(0.5),
                        "p50_us": spread(1_250.0),
                        "p99_us": spread(3_000.0),
                        "growth_bytes_max": null,
                    },
                    {
                        "name": "own",
                        "invalid": "3 timeouts",
                        "per_s": null,
                        "cpu_us_each": null,
                        "cores": null,
                        "p50_us": null,
                        "p99_us": null,
                        "growth_bytes_max": null,
                    },
                ],
                "targets": [{
                    "what": "own: CPU us a request above bare",
                    "bound": "at most 12.0",
                    "reached": null,
                    "met": null,
                }],
            }],
        });
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
        assert!(!line.contains('\n'));
    }
}
