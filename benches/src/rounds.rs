//! Interleaved measuring: each round has every contender once, and begins with another one.

use std::fmt;

use anyhow::Result;

use crate::{
    figures::{Sample, Spread, Unit},
    plan::Plan,
    target::{Target, Verdict},
};

/// A baseline whose rates lie further apart than this share of their median says that something else ran on the machine.
const WIDTH_MAX: f64 = 0.2;

/// One load, and who is measured under it.
pub(crate) struct Case<'a> {
    pub(crate) load: String,
    pub(crate) unit: Unit,
    /// The first one is the baseline.
    pub(crate) contenders: Vec<Contender<'a>>,
    pub(crate) targets: Vec<Target>,
}

/// Something that can be driven.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    /// Starts it, drives it, and stops it.
    pub(crate) sample: Box<dyn Fn() -> Result<Sample> + 'a>,
}

/// What came of a case.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) load: String,
    pub(crate) unit: Unit,
    pub(crate) rows: Vec<Row>,
    /// How often it was measured; the last time is what is reported.
    pub(crate) tries: usize,
    pub(crate) verdicts: Vec<Verdict>,
}

/// A contender's samples, one a round, or why its rate is none.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) samples: Result<Vec<Sample>, String>,
}

impl Measured {
    pub(crate) fn samples(&self, name: &str) -> Option<&[Sample]> {
        self.rows.iter().find(|row| row.name == name)?.samples.as_deref().ok()
    }

    pub(crate) fn baseline(&self) -> Option<Spread> {
        self.rows.first()?.spread(Sample::rate)
    }

    /// Whether the baseline stood still. One round says nothing about that.
    pub(crate) fn is_steady(&self) -> bool {
        self.baseline().is_none_or(|rates| rates.width() <= WIDTH_MAX)
    }
}

impl Row {
    pub(crate) fn spread(&self, figure: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.samples.iter().flatten().map(figure))
    }
}

/// Measures a case, and once more where its baseline did not stand still.
pub(crate) fn measure(bench: &str, case: &Case<'_>, plan: &Plan) -> Measured {
    let mut tries = 0;
    loop {
        tries += 1;
        eprintln!("== {bench}: {} (try {tries} of {} at the most)", case.load, plan.tries_max);
        let rows = play(case, plan.rounds);
        let mut measured =
            Measured { load: case.load.clone(), unit: case.unit, rows, tries, verdicts: Vec::new() };
        if measured.is_steady() || tries == plan.tries_max {
            let judge = |target: &Target| target.judge(&measured, plan.is_judged);
            measured.verdicts = case.targets.iter().map(judge).collect();
            return measured;
        }
    }
}

fn play(case: &Case<'_>, rounds: usize) -> Vec<Row> {
    let row = |contender: &Contender<'_>| Row { name: contender.name, samples: Ok(Vec::new()) };
    let mut rows: Vec<Row> = case.contenders.iter().map(row).collect();
    for round in 0..rounds {
        let mut turns: Vec<_> = case.contenders.iter().zip(&mut rows).collect();
        let first = round % turns.len().max(1);
        turns.rotate_left(first);
        for (contender, row) in turns {
            take(contender, row);
        }
    }
    rows
}

/// A contender that failed once is not asked again: its rates would be none.
fn take(contender: &Contender<'_>, row: &mut Row) {
    let Ok(samples) = &mut row.samples else { return };
    match (contender.sample)() {
        Ok(sample) => {
            eprintln!("{:<32} {}", contender.name, Brief(&sample));
            samples.push(sample);
        }
        Err(error) => {
            eprintln!("{:<32} {error:#}", contender.name);
            row.samples = Err(format!("{error:#}"));
        }
    }
}

struct Brief<'a>(&'a Sample);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(sample) = self;
        write!(f, "{:>9.0} /s {:>8.1} us CPU each", sample.rate(), sample.cpu_us_each())
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, time::Duration};

    use anyhow::bail;

    use super::*;

    fn sample(count: f64) -> Sample {
        Sample {
            count,
            span: Duration::from_secs(1),
            cpu: Duration::from_secs(1),
            latency: None,
            growth_bytes: None,
        }
    }

    fn case<'a>(contenders: Vec<Contender<'a>>) -> Case<'a> {
        Case { load: "a load".to_owned(), unit: Unit::Request, contenders, targets: Vec::new() }
    }

    #[test]
    fn each_round_has_every_contender_and_begins_with_another() {
        let played = RefCell::new(String::new());
        let contender = |name: &'static str| Contender {
            name,
            sample: Box::new(|| {
                played.borrow_mut().push_str(name);
                Ok(sample(1.0))
            }),
        };
        let rows = play(&case(vec![contender("a"), contender("b"), contender("c")]), 4);
        assert_eq!(*played.borrow(), "abcbcacababc");
        assert_eq!(rows.iter().map(|row| row.samples.as_ref().unwrap().len()).collect::<Vec<_>>(), [4, 4, 4]);
    }

    #[test]
    fn a_contender_with_an_error_has_no_rate() {
        let left = RefCell::new(vec![Err("3 timeouts"), Ok(1.0)]);
        let shaky = Contender {
            name: "shaky",
            sample: Box::new(|| match left.borrow_mut().pop() {
                Some(Ok(count)) => Ok(sample(count)),
                Some(Err(what)) => bail!(what),
                None => panic!("was asked again after an error"),
            }),
        };
        let rows = play(&case(vec![shaky]), 3);
        assert_eq!(rows[0].samples, Err("3 timeouts".to_owned()));
    }

    #[test]
    fn a_baseline_that_moves_is_measured_again() {
        let plan = Plan { rounds: 2, tries_max: 3, ..Plan::FULL };
        let tries_of = |rates: &[f64]| {
            let left = RefCell::new(rates.iter().rev().copied().collect::<Vec<_>>());
            let moving =
                Contender { name: "a", sample: Box::new(|| Ok(sample(left.borrow_mut().pop().unwrap()))) };
            let measured = measure("bench", &case(vec![moving]), &plan);
            (measured.tries, measured.is_steady())
        };
        assert_eq!(tries_of(&[100.0, 110.0]), (1, true));
        assert_eq!(tries_of(&[100.0, 150.0, 100.0, 100.0]), (2, true));
        assert_eq!(tries_of(&[100.0, 150.0, 100.0, 150.0, 100.0, 150.0]), (3, false));
    }
}
