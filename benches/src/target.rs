//! The numbers to reach.

use crate::{
    figures::{Sample, Spread, Unit},
    rounds::Measured,
};

/// A number that a contender is to reach beside a peer.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) contender: &'static str,
    pub(crate) measure: Measure,
}

/// What is compared, and its bound. Compared within each round; the median of the rounds counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Measure {
    /// The contender's rate by the peer's, at least.
    RateTo(&'static str, f64),
    /// Microseconds of CPU a unit beyond the peer's, at most.
    CpuAbove(&'static str, f64),
    /// Growth of its memory while it is measured, at most, in a million bytes.
    GrowthMb(f64),
}

/// What came of a target.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) bound: String,
    /// `None` where a rate that it needs is none.
    pub(crate) reached: Option<f64>,
    /// `None` where it was not judged.
    pub(crate) is_met: Option<bool>,
}

impl Target {
    pub(crate) fn judge(&self, measured: &Measured, is_judged: bool) -> Verdict {
        let reached = self.reached(measured);
        let met = |reached: f64| match self.measure {
            Measure::RateTo(_, bound) => reached >= bound,
            Measure::CpuAbove(_, bound) | Measure::GrowthMb(bound) => reached <= bound,
        };
        Verdict {
            what: self.what(measured.unit),
            bound: match self.measure {
                Measure::RateTo(_, bound) => format!("at least {bound:.2}"),
                Measure::CpuAbove(_, bound) | Measure::GrowthMb(bound) => format!("at most {bound:.1}"),
            },
            reached,
            is_met: reached.filter(|_| is_judged).map(met),
        }
    }

    fn what(&self, unit: Unit) -> String {
        let contender = self.contender;
        match self.measure {
            Measure::RateTo(peer, _) => format!("{contender}: {} by those of {peer}", unit.rate()),
            Measure::CpuAbove(peer, _) => format!("{contender}: CPU us a {} above {peer}", unit.one()),
            Measure::GrowthMb(_) => format!("{contender}: growth of memory, MB"),
        }
    }

    fn reached(&self, measured: &Measured) -> Option<f64> {
        let own = measured.samples(self.contender)?;
        let beside = |peer: &str, compare: fn(&Sample, &Sample) -> f64| {
            let peers = measured.samples(peer)?;
            Spread::of(own.iter().zip(peers).map(|(own, peer)| compare(own, peer)))
        };
        let spread = match self.measure {
            Measure::RateTo(peer, _) => beside(peer, |own, peer| own.rate() / peer.rate()),
            Measure::CpuAbove(peer, _) => beside(peer, |own, peer| own.cpu_us_each() - peer.cpu_us_each()),
            Measure::GrowthMb(_) => {
                Spread::of(own.iter().filter_map(|sample| Some(sample.growth_bytes? as f64 / 1e6)))
            }
        };
        spread.map(|spread| spread.median)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rounds::Row;

    fn row(name: &'static str, figures: &[(f64, u64)]) -> Row {
        let sample = |&(count, cpu_ms): &(f64, u64)| Sample {
            count,
            span: Duration::from_secs(1),
            cpu: Duration::from_millis(cpu_ms),
            latency: None,
            growth_bytes: Some(2_000_000),
        };
        Row { name, samples: Ok(figures.iter().map(sample).collect()) }
    }

    /// By rounds: rates of a half, 0.9 and 0.8 of the peer's; CPU of 10, 2.5 and 5 us more.
    fn measured() -> Measured {
        Measured {
            load: "a load".to_owned(),
            unit: Unit::Request,
            rows: vec![
                row("peer", &[(100_000.0, 1_000), (200_000.0, 1_500), (100_000.0, 1_000)]),
                row("own", &[(50_000.0, 1_000), (180_000.0, 1_800), (80_000.0, 1_200)]),
                Row { name: "broken", samples: Err("3 answers with an error status".to_owned()) },
            ],
            tries: 1,
            verdicts: Vec::new(),
        }
    }

    fn judged(contender: &'static str, measure: Measure) -> (Option<f64>, Option<bool>) {
        let verdict = Target { contender, measure }.judge(&measured(), true);
        (verdict.reached, verdict.is_met)
    }

    #[test]
    fn rounds_are_compared_one_by_one() {
        assert_eq!(judged("own", Measure::RateTo("peer", 0.8)), (Some(0.8), Some(true)));
        assert_eq!(judged("own", Measure::RateTo("peer", 0.9)), (Some(0.8), Some(false)));
        assert_eq!(judged("own", Measure::CpuAbove("peer", 5.0)), (Some(5.0), Some(true)));
        assert_eq!(judged("own", Measure::CpuAbove("peer", 4.0)), (Some(5.0), Some(false)));
        assert_eq!(judged("own", Measure::GrowthMb(1.0)), (Some(2.0), Some(false)));
    }

    #[test]
    fn a_rate_with_errors_meets_nothing() {
        assert_eq!(judged("broken", Measure::RateTo("peer", 0.1)), (None, None));
        assert_eq!(judged("own", Measure::RateTo("broken", 0.1)), (None, None));
    }

    #[test]
    fn a_verdict_names_what_it_is_about() {
        let verdict =
            Target { contender: "own", measure: Measure::RateTo("peer", 0.8) }.judge(&measured(), false);
        assert_eq!(verdict.what, "own: requests/s by those of peer");
        assert_eq!((verdict.bound.as_str(), verdict.is_met), ("at least 0.80", None));
    }
}
