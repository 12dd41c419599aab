//! How long is measured, and how often.

/// The size of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Each round measures every contender once.
    pub(crate) rounds: usize,
    /// How long one contender is measured in a round. A tick of the kernel's accounting is 10 ms, a third of a percent of 3 s.
    pub(crate) seconds: u64,
    /// How long each is driven before that; with 0 not at all.
    pub(crate) warm_up_seconds: u64,
    /// Connections of the generator, or tasks, where one number is enough.
    pub(crate) connections: usize,
    /// The same where it is what is varied.
    pub(crate) connections_varied: &'static [usize],
    pub(crate) tasks_varied: &'static [usize],
    /// Bytes of the large answer.
    pub(crate) download_bytes: u64,
    /// How often a case is measured at the most before it is reported as unsteady.
    pub(crate) tries_max: usize,
    /// Whether the figures say anything about speed.
    pub(crate) is_judged: bool,
}

impl Plan {
    pub(crate) const FULL: Self = Self {
        rounds: 5,
        seconds: 3,
        warm_up_seconds: 1,
        connections: 32,
        connections_varied: &[1, 32, 256],
        tasks_varied: &[1, 16, 256],
        download_bytes: 100_000_000,
        tries_max: 2,
        is_judged: true,
    };

    /// Shows within a minute that every benchmark runs and yields its figures. wrk measures no less than a second.
    pub(crate) const SMOKE: Self = Self {
        rounds: 1,
        seconds: 1,
        warm_up_seconds: 0,
        connections: 8,
        connections_varied: &[8],
        tasks_varied: &[4],
        download_bytes: 4_000_000,
        tries_max: 1,
        is_judged: false,
    };
}
