//! How often is looked.

use std::time::Duration;

/// The bounds of looking (S1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How often the job lists what is in doubt; a doubt that arises in this process is looked at without waiting for that.
    pub period: Duration,
    /// The pause behind the first look; each one behind it is twice as long, with jitter.
    pub pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// How long one look of one resolver may take.
    pub look_time_max: Duration,
    /// Looks at once in this process.
    pub looks_max: usize,
    /// How long after it arose a doubt is still looked at; after that a person has to end it.
    pub age_max: Duration,
    /// From which age on a doubt is warned about.
    pub alert_age: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(5),
            pause: Duration::from_secs(2),
            pause_max: Duration::from_mins(10),
            look_time_max: Duration::from_secs(10),
            looks_max: 8,
            age_max: Duration::from_hours(7 * 24),
            alert_age: Duration::from_mins(15),
        }
    }
}

impl Pace {
    /// The pause to take before the look behind look number `looks` (from 1): between half and the whole of what doubling gives, as `chance` in
    /// 0..=255 has it, and never so short that two looks overlap.
    pub(crate) fn pause_after(&self, looks: u32, resolvers: usize, chance: u8) -> Duration {
        let doubled =
            self.pause.saturating_mul(1_u32.checked_shl(looks.saturating_sub(1)).unwrap_or(u32::MAX));
        let whole = doubled.min(self.pause_max);
        let jittered = whole / 2 + whole / 2 * u32::from(chance) / 255;
        let resolvers = u32::try_from(resolvers).unwrap_or(u32::MAX);
        jittered.max(self.look_time_max.saturating_mul(resolvers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: D2
    #[test]
    fn pauses_double_up_to_the_longest_and_outlast_a_look() {
        let pace = Pace { look_time_max: Duration::from_millis(1_500), ..Pace::default() };
        let pauses =
            |chance| [1, 2, 3, 9, 10, 40].map(|looks| pace.pause_after(looks, 1, chance).as_millis());
        assert_eq!(pauses(255), [2_000, 4_000, 8_000, 512_000, 600_000, 600_000]);
        assert_eq!(pauses(0), [1_500, 2_000, 4_000, 256_000, 300_000, 300_000]);
        assert_eq!(pace.pause_after(1, 4, 0), Duration::from_secs(6));
    }
}
