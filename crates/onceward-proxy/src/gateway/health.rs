//! Whether an instance of the service gets requests, by what was seen of it.

use tokio::time::Instant;

use super::limits::{CHECK_FAILURES_MAX, CHECK_PASSES_MIN, CONNECT_FAILURES_MAX, EJECTION};

/// What is known of one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    /// Connects that failed, one after the other.
    connect_failures: u32,
    /// Since then it is left alone, until this instant.
    ejected_until: Option<Instant>,
    /// Checks that ended alike, one after the other.
    check_run: u32,
    is_last_check_passed: bool,
    is_checked_out: bool,
}

/// What was seen of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// A request reached it.
    Reached,
    /// No connection to it came about.
    Unreachable,
    /// It answered a check as it should.
    CheckPassed,
    /// It did not.
    CheckFailed,
}

impl Health {
    /// Whether it gets requests.
    pub(super) fn is_up(&self, now: Instant) -> bool {
        !self.is_checked_out && self.ejected_until.is_none_or(|until| until <= now)
    }

    /// Takes note of what was seen.
    pub(super) fn on(self, sighting: Sighting, now: Instant) -> Self {
        match sighting {
            Sighting::Reached => Self { connect_failures: 0, ejected_until: None, ..self },
            Sighting::Unreachable => {
                let connect_failures = (self.connect_failures + 1).min(CONNECT_FAILURES_MAX);
                // Once out, a single failure puts it out again: it is not three times as slow to find out.
                let is_out = connect_failures == CONNECT_FAILURES_MAX;
                Self { connect_failures, ejected_until: is_out.then(|| now + EJECTION), ..self }
            }
            Sighting::CheckPassed => self.after_check(true),
            Sighting::CheckFailed => self.after_check(false),
        }
    }

    fn after_check(self, is_passed: bool) -> Self {
        let is_run = self.check_run > 0 && self.is_last_check_passed == is_passed;
        let check_run = if is_run { self.check_run.saturating_add(1) } else { 1 };
        let checked = Self { check_run, is_last_check_passed: is_passed, ..self };
        match is_passed {
            true if check_run >= CHECK_PASSES_MIN => {
                Self { is_checked_out: false, connect_failures: 0, ejected_until: None, ..checked }
            }
            false if check_run >= CHECK_FAILURES_MAX => Self { is_checked_out: true, ..checked },
            true | false => checked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn after(sightings: &[Sighting], now: Instant) -> Health {
        sightings.iter().fold(Health::default(), |health, sighting| health.on(*sighting, now))
    }

    #[test]
    fn failed_connects_put_an_instance_out_for_a_while() {
        use Sighting::{Reached, Unreachable};
        let now = Instant::now();
        assert!(after(&[Unreachable, Unreachable], now).is_up(now));
        assert!(after(&[Unreachable, Unreachable, Reached, Unreachable, Unreachable], now).is_up(now));
        let out = after(&[Unreachable; 3], now);
        assert!(!out.is_up(now + Duration::from_millis(9_999)));
        let later = now + Duration::from_secs(10);
        assert!(out.is_up(later));
        assert!(!out.on(Unreachable, later).is_up(later), "one more failure is enough then");
        assert!(out.on(Reached, later).on(Unreachable, later).is_up(later), "an answer forgives all");
    }

    #[test]
    fn checks_put_an_instance_out_and_in_again() {
        use Sighting::{CheckFailed, CheckPassed, Reached, Unreachable};
        let now = Instant::now();
        assert!(after(&[CheckFailed, CheckFailed], now).is_up(now));
        assert!(after(&[CheckFailed, CheckFailed, CheckPassed, CheckFailed, CheckFailed], now).is_up(now));
        let out = after(&[CheckFailed; 3], now);
        assert!(!out.is_up(now + Duration::from_hours(1)), "no time, only checks, bring it back");
        assert!(
            !out.on(Reached, now).is_up(now),
            "an answer to a request that was under way does not either"
        );
        assert!(!out.on(CheckPassed, now).is_up(now));
        assert!(out.on(CheckPassed, now).on(CheckPassed, now).is_up(now));
        let ejected = after(&[Unreachable; 3], now);
        assert!(ejected.on(CheckPassed, now).on(CheckPassed, now).is_up(now), "checks end an ejection early");
    }
}
