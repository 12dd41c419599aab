//! What is measured: samples, and what several of them say.

use std::time::Duration;

/// What a rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Request,
    /// A claim and its completion.
    Pair,
    /// A million bytes of an answer's body.
    Megabyte,
}

impl Unit {
    pub(crate) const fn one(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Pair => "pair",
            Self::Megabyte => "MB",
        }
    }

    pub(crate) const fn rate(self) -> &'static str {
        match self {
            Self::Request => "requests/s",
            Self::Pair => "pairs/s",
            Self::Megabyte => "MB/s",
        }
    }
}

/// One contender under one load for a few seconds, without an error.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// How many units were done.
    pub(crate) count: f64,
    pub(crate) span: Duration,
    /// What the contender used of all processors, by the kernel's accounting.
    pub(crate) cpu: Duration,
    /// As the generator saw it, with as many requests under way as it has connections.
    pub(crate) latency: Option<Latency>,
    /// By how much the contender's memory grew while it was measured, at the most.
    pub(crate) growth_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Sample {
    pub(crate) fn rate(&self) -> f64 {
        self.count / self.span.as_secs_f64()
    }

    pub(crate) fn cpu_us_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count
    }

    /// How much of one core it used. Where that is far from 1, something else set its rate.
    pub(crate) fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.span.as_secs_f64()
    }
}

/// The middle of several values, and their ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (below, above) = (values.get((values.len() - 1) / 2)?, values.get(values.len() / 2)?);
        Some(Self { median: f64::midpoint(*below, *above), min, max })
    }

    /// From end to end, as a share of the median.
    pub(crate) fn width(&self) -> f64 {
        (self.max - self.min) / self.median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_median_in_the_middle() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0, 1.0, 8.0]), Some(Spread { median: 3.0, min: 1.0, max: 8.0 }));
        let even = Spread::of([4.0, 1.0, 2.0, 8.0]).unwrap();
        assert_eq!(even, Spread { median: 3.0, min: 1.0, max: 8.0 });
        assert_eq!(Spread { median: 4.0, min: 3.0, max: 5.0 }.width(), 0.5);
    }

    #[test]
    fn a_sample_says_what_one_unit_took() {
        let sample = Sample {
            count: 100_000.0,
            span: Duration::from_secs(4),
            cpu: Duration::from_secs(3),
            latency: None,
            growth_bytes: None,
        };
        assert_eq!((sample.rate(), sample.cpu_us_each(), sample.busy()), (25_000.0, 30.0, 0.75));
    }
}
