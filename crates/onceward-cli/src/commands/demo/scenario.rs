//! The scenarios, and what each must come to.

use super::{
    Stage,
    agent::{Agent, Heard},
    ledger::FIRST_ORDER,
    plot::Plot,
    report::Row,
    shop::{Answering, Shop},
    tls,
};

/// How the shop is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// One way in which an order is placed again.
#[derive(Debug)]
pub(super) struct Scenario {
    title: &'static str,
    answering: Answering,
    plot: Plot,
    attempts: usize,
    without: Without,
    ending: Ending,
}

/// What the same attempts come to without onceward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    /// Several orders.
    Repeats,
    /// One: what goes wrong here is no reason to repeat anything, and onceward must not lose the order either.
    One,
}

/// What the agent is told in the end, with onceward. The shop has booked once in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The number of its order, which an earlier attempt placed.
    Replay,
    /// The number of its order, which the last attempt placed.
    Number,
    /// That the outcome is unknown: the proxy never learned of the order that the shop has booked.
    Doubt,
}

pub(super) const SCENARIOS: [Scenario; 7] = [
    Scenario {
        title: "slow success",
        answering: Answering::Slowly,
        plot: Plot::Impatience,
        attempts: 4,
        without: Without::Repeats,
        ending: Ending::Replay,
    },
    Scenario {
        title: "concurrent double submit",
        answering: Answering::Promptly,
        plot: Plot::AtOnce,
        attempts: 5,
        without: Without::Repeats,
        ending: Ending::Replay,
    },
    Scenario {
        title: "answer lost to the agent",
        answering: Answering::Promptly,
        plot: Plot::LostAnswers,
        attempts: 3,
        without: Without::Repeats,
        ending: Ending::Replay,
    },
    Scenario {
        title: "dropped before the head",
        answering: Answering::CutBeforeHead { orders: 2 },
        plot: Plot::Repeat,
        attempts: 3,
        without: Without::Repeats,
        ending: Ending::Doubt,
    },
    Scenario {
        title: "dropped within the body",
        answering: Answering::CutWithinBody { orders: 2 },
        plot: Plot::Repeat,
        attempts: 3,
        without: Without::Repeats,
        ending: Ending::Doubt,
    },
    Scenario {
        title: "proxy killed, restarted",
        answering: Answering::SilentOnFirst,
        plot: Plot::ProxyKilled,
        attempts: 2,
        without: Without::Repeats,
        ending: Ending::Doubt,
    },
    Scenario {
        title: "connection refused first",
        answering: Answering::Promptly,
        plot: Plot::LateOpening,
        attempts: 3,
        without: Without::One,
        ending: Ending::Number,
    },
];

/// Whether the order is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard {
    Without,
    With,
}

/// What one run came to.
#[derive(Clone, Debug)]
struct Run {
    orders: usize,
    heard: Vec<Heard>,
}

impl Scenario {
    pub(super) fn name(&self, scheme: Scheme) -> String {
        format!("{}, {}", self.title, scheme.as_str())
    }

    /// Plays it without and with onceward, each against a new shop.
    pub(super) async fn perform(&self, scheme: Scheme, stage: &mut Stage) -> anyhow::Result<Row> {
        let without = self.run(scheme, Guard::Without, stage).await?;
        let before = stage.proxy.records_in_doubt().await?;
        let with = self.run(scheme, Guard::With, stage).await?;
        let in_doubt = stage.proxy.records_in_doubt().await?.saturating_sub(before);
        Ok(Row {
            name: self.name(scheme),
            attempts: with.heard.len(),
            orders_without: without.orders,
            orders_with: with.orders,
            in_doubt,
            told: with.heard.iter().rev().find_map(Heard::to_line).unwrap_or_else(|| "nothing".to_owned()),
            broken: self.broken_promises(&without, &with, in_doubt),
        })
    }

    async fn run(&self, scheme: Scheme, guard: Guard, stage: &mut Stage) -> anyhow::Result<Run> {
        let name = self.name(scheme);
        let ledger = stage.folder.path().join(format!("{name}, {guard:?}.ledger"));
        let tls = (scheme == Scheme::Https).then(|| stage.certificate.acceptor());
        let mut shop = Shop::new(&ledger, self.answering, tls)?;
        let agent = self.agent(scheme, guard, &shop, stage)?;
        let heard = self.plot.play(self.attempts, &agent, &mut shop, &mut stage.proxy).await?;
        Ok(Run { orders: shop.orders()?, heard })
    }

    fn agent(&self, scheme: Scheme, guard: Guard, shop: &Shop, stage: &Stage) -> anyhow::Result<Agent> {
        let key = (guard == Guard::With).then(|| self.name(scheme).replace([',', ' '], "-"));
        // A proxy that dies in the middle needs a proxy: without onceward, it is one that nobody asked to guard anything.
        let proxy = (guard == Guard::With || self.plot == Plot::ProxyKilled).then(|| stage.proxy.address());
        let ca_file = if proxy.is_some() { stage.proxy.ca_file() } else { stage.certificate.ca_file() };
        Ok(Agent { scheme, shop: shop.address(), proxy, tls: tls::trusting(ca_file)?, key })
    }

    /// Every promise that was not kept, in words.
    fn broken_promises(&self, without: &Run, with: &Run, in_doubt: u64) -> Vec<String> {
        let (repeats_without, promise_without) = match self.without {
            Without::Repeats => (without.orders > 1, "without onceward there are several orders"),
            Without::One => (without.orders == 1, "without onceward there is one order too"),
        };
        let in_doubt_promised = match self.ending {
            Ending::Replay | Ending::Number => 0,
            Ending::Doubt => 1,
        };
        let is_told = with.heard.last().is_some_and(|last| self.ending.is(last));
        [
            (with.orders == 1, "with onceward there is one order"),
            (repeats_without, promise_without),
            (without.heard.len() == with.heard.len(), "the agent tries as often in both runs"),
            (is_told, self.ending.promise()),
            (with.heard.iter().all(|heard| self.ending.allows(heard)), "no attempt is told otherwise"),
            (in_doubt == in_doubt_promised, "what is in doubt is recorded so, and nothing else"),
        ]
        .into_iter()
        .filter(|(is_kept, _)| !is_kept)
        .map(|(_, promise)| promise.to_owned())
        .collect()
    }
}

impl Ending {
    const fn promise(self) -> &'static str {
        match self {
            Self::Replay => "the agent is told the number of the order that it has already placed",
            Self::Number => "the agent is told the number of its order",
            Self::Doubt => "the agent is told that the outcome is unknown, and not to submit again",
        }
    }

    /// Whether this is how it was to end.
    const fn is(self, last: &Heard) -> bool {
        match self {
            Self::Replay => matches!(last, Heard::Order { number: FIRST_ORDER, replayed: true }),
            Self::Number => matches!(last, Heard::Order { number: FIRST_ORDER, replayed: false }),
            Self::Doubt => matches!(last, Heard::Doubt { .. }),
        }
    }

    /// Whether this may be heard on the way there.
    const fn allows(self, heard: &Heard) -> bool {
        match heard {
            Heard::Order { number, .. } => !matches!(self, Self::Doubt) && *number == FIRST_ORDER,
            Heard::Doubt { .. } => matches!(self, Self::Doubt),
            Heard::Nothing | Heard::Refusal { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: Heard = Heard::Order { number: 4711, replayed: false };
    const REPLAY: Heard = Heard::Order { number: 4711, replayed: true };
    const SECOND_ORDER: Heard = Heard::Order { number: 4712, replayed: false };
    const KEPT: [&str; 0] = [];

    fn scenario(title: &str) -> &'static Scenario {
        SCENARIOS.iter().find(|scenario| scenario.title == title).unwrap()
    }

    fn run(orders: usize, heard: impl IntoIterator<Item = Heard>) -> Run {
        Run { orders, heard: heard.into_iter().collect() }
    }

    fn doubt() -> Heard {
        Heard::Doubt { text: "outcome unknown: do not submit again".to_owned() }
    }

    fn refusal() -> Heard {
        Heard::Refusal { text: "upstream unreachable: nothing was sent".to_owned() }
    }

    #[test]
    fn a_replay_is_one_order_whose_number_every_attempt_gets() {
        let scenario = scenario("concurrent double submit");
        let without = run(2, [ORDER, SECOND_ORDER]);
        assert_eq!(scenario.broken_promises(&without, &run(1, [ORDER, REPLAY]), 0), KEPT);
        assert_eq!(
            scenario.broken_promises(&without, &run(2, [ORDER, SECOND_ORDER]), 0),
            [
                "with onceward there is one order",
                "the agent is told the number of the order that it has already placed",
                "no attempt is told otherwise",
            ]
        );
        // Nothing was suppressed where the last attempt is the one that ordered.
        assert_eq!(
            scenario.broken_promises(&without, &run(1, [Heard::Nothing, ORDER]), 0),
            ["the agent is told the number of the order that it has already placed"]
        );
    }

    #[test]
    fn doubt_must_be_told_and_recorded() {
        let scenario = scenario("dropped before the head");
        let without = run(3, [Heard::Nothing, Heard::Nothing, ORDER]);
        assert_eq!(scenario.broken_promises(&without, &run(1, [doubt(), doubt(), doubt()]), 1), KEPT);
        assert_eq!(
            scenario.broken_promises(&without, &run(1, [Heard::Nothing, refusal(), refusal()]), 0),
            [
                "the agent is told that the outcome is unknown, and not to submit again",
                "what is in doubt is recorded so, and nothing else",
            ]
        );
        assert_eq!(
            scenario.broken_promises(&without, &run(1, [REPLAY, doubt(), doubt()]), 1),
            ["no attempt is told otherwise"]
        );
    }

    #[test]
    fn an_order_that_was_never_sent_must_not_be_lost() {
        let scenario = scenario("connection refused first");
        let without = run(1, [Heard::Nothing, Heard::Nothing, ORDER]);
        assert_eq!(scenario.broken_promises(&without, &run(1, [refusal(), refusal(), ORDER]), 0), KEPT);
        assert_eq!(
            scenario.broken_promises(&without, &run(0, [refusal(), refusal(), refusal()]), 0),
            ["with onceward there is one order", "the agent is told the number of its order"]
        );
    }

    #[test]
    fn a_scenario_that_repeats_nothing_by_itself_proves_nothing() {
        let scenario = scenario("slow success");
        let with = run(1, [Heard::Nothing, REPLAY]);
        assert_eq!(
            scenario.broken_promises(&run(1, [ORDER]), &with, 0),
            ["without onceward there are several orders", "the agent tries as often in both runs"]
        );
    }
}
