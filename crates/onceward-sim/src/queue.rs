//! What is still to happen, in the order of time.

use std::{cmp::Reverse, collections::BinaryHeap};

use onceward_core::{
    fingerprint::Version,
    record::{Attempt, Decision, DoubtReason, Epoch, Record},
    time::Timestamp,
};

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A client makes its request, or repeats it.
    ClientActs(u32),
    /// A client does not wait for this call any longer.
    ClientLeaves {
        client: u32,
        call: u32,
    },
    /// Something reaches a task of a gateway.
    Reaches {
        task: Address,
        what: News,
    },
    /// A question reaches the store; `life` is that of the process whose store it was meant for.
    Question {
        from: Address,
        key: u8,
        ask: Ask,
        life: u32,
    },
    /// A request reaches its origin.
    OriginGets(u32),
    /// Its effect happens.
    OriginActs(u32),
    /// A look reaches the origin.
    OriginIsAsked(Address),
    /// The moment from which a holder would not send any more, whether it runs or is frozen.
    DeadlinePasses(u32),
    /// Something befalls a gateway.
    GatewayFault(u8),
    GatewayStarts {
        gateway: u8,
        life: u32,
    },
    GatewayWakes {
        gateway: u8,
        life: u32,
        slept_ms: u64,
    },
    GatewayStops {
        gateway: u8,
        life: u32,
    },
    GatewayExits {
        gateway: u8,
        life: u32,
    },
    /// Something befalls the store.
    StoreFault,
    StoreIsBack {
        lost: u64,
    },
    Sweep(u8),
    /// A gateway lists what is in doubt.
    Round(u8),
    /// A person looks at what is in doubt.
    PersonActs,
    /// The owner of a key thinks again.
    OwnerActs,
    /// The bad time is over.
    Heals,
    /// Everything has had its time: each key is asked for once more.
    LastRequests,
}

/// A task of a gateway's process that waits for something: what comes for an earlier life, or for an earlier wait, is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) gateway: u8,
    pub(crate) life: u32,
    pub(crate) task: Task,
    pub(crate) token: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// A call, by its number.
    Call(u32),
    /// The keeping of a call's lease.
    Lease(u32),
    /// The renewal of a call's lease.
    Renewal(u32),
    /// A look, a verdict or a cancellation.
    Errand(u32),
}

/// What reaches a task.
#[derive(Clone, Debug)]
pub(crate) enum News {
    Reply(Reply),
    /// The store has not answered for too long.
    NoReply,
    /// A pause is over.
    Due,
    /// A waiting duplicate is woken.
    Woken,
    /// The connection to the origin stands.
    Dialled,
    /// The origin's answer.
    Answer {
        status: u16,
        consumed: Option<bool>,
        answer: u32,
    },
    /// There will be no answer.
    Broken(DoubtReason),
    /// There was no connection, provably.
    Unreachable,
    /// The handler panicked.
    Panicked,
    /// What a look showed.
    Sight(Sight),
}

/// What a look shows, in the words of the engine's `resolve.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    Happened(Option<u32>),
    Multiple(Option<u32>),
    Nothing,
    Never,
    Unclear,
}

/// What the store is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    Claim { run: u32, body: u8, version: Version },
    Renew(Attempt),
    Complete(Attempt, u32),
    Release(Attempt),
    Doubt(Attempt, DoubtReason),
    Get,
    Health,
    Inquire { judged: Epoch, looker: u32, pause_ms: u64 },
    Verdict { word: Word, judged: Epoch },
    Cancel,
}

/// A verdict, its answer by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Happened(Option<u32>),
    Absent,
    Multiple(Option<u32>),
    Unknown,
}

/// What the store says.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Decided {
        decision: Decision,
        at: Timestamp,
    },
    HistoryLost,
    Stored(Option<Box<Record>>),
    Health {
        barrier: Option<Timestamp>,
    },
    /// It did not happen.
    Unavailable,
    /// It may have happened.
    Unknown,
}

/// Events by time; those of one moment in an order of chance.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    order: BinaryHeap<Reverse<(u64, u32, u32)>>,
    /// Kept apart from the order, which moves what it holds.
    events: Vec<Option<Event>>,
    free: Vec<u32>,
}

impl Queue {
    pub(crate) fn push(&mut self, at_ms: u64, tie: u32, event: Event) {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.events.push(None);
                u32::try_from(self.events.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(slot) = self.events.get_mut(place as usize) {
            *slot = Some(event);
        }
        self.order.push(Reverse((at_ms, tie, place)));
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        let Reverse((at_ms, _, place)) = self.order.pop()?;
        let event = self.events.get_mut(place as usize)?.take()?;
        self.free.push(place);
        Some((at_ms, event))
    }
}
