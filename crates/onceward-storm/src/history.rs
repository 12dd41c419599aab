//! What everybody who asked for one key saw, and whether one record can have told it to all of them.

use std::{collections::HashSet, time::Duration};

/// What one who asked for a key saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Saw {
    /// The answer of an execution for this very request: the number of its booking.
    Ran(u64),
    /// The first one's answer, told again.
    Told(u64),
    /// That another request of the key runs.
    Busy,
    /// That nobody knows what became of it.
    Unknown,
    /// That nothing was done for this request.
    Refused,
    /// No answer: it may have done all or nothing, and may go on.
    Lost,
}

/// One request of a key, from the moment it was sent to the moment its answer was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Since the storm began.
    pub called: Duration,
    /// Since the storm began; of no meaning for what was [`Saw::Lost`].
    pub returned: Duration,
    /// What came of it.
    pub saw: Saw,
}

/// The record of one key, as the protocol has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Record {
    Free,
    /// Under the claim of the operation at this place.
    Held(usize),
    Doubt,
    Done(u64),
}

/// One thing that an operation does to the record, or sees of it, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Claim,
    /// The claim ends with the proof that nothing was done.
    Release,
    /// The claim ends, and nobody knows.
    Doubt,
    Finish(u64),
    MeetHeld,
    MeetDoubt,
    MeetDone(u64),
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Progress {
    Ahead,
    /// On one of its ways, with so many steps done.
    Under {
        way: usize,
        steps: usize,
    },
    Over,
}

/// Whether there is one order of steps, each within the time of its operation, in which one record told all of them what they saw, and which
/// agrees with the `bookings` that the service has under this key.
///
/// The search visits every order, so that a history of a key should have a dozen operations at the most.
#[must_use]
pub fn explain(operations: &[Operation], bookings: &[u64]) -> bool {
    let booking = match bookings {
        [] => None,
        [booking] => Some(*booking),
        _ => return false,
    };
    let ways = operations.iter().map(|operation| ways(operation.saw, booking)).collect();
    let mut search = Search { operations, ways, booking, seen: HashSet::new() };
    search.finds(&mut vec![Progress::Ahead; operations.len()], Record::Free)
}

/// In what steps an operation can have come to see this.
fn ways(saw: Saw, booking: Option<u64>) -> Vec<Vec<Step>> {
    match saw {
        Saw::Ran(number) => vec![vec![Step::Claim, Step::Finish(number)]],
        Saw::Told(number) => vec![vec![Step::MeetDone(number)]],
        Saw::Busy => vec![vec![Step::MeetHeld]],
        Saw::Unknown => vec![vec![Step::MeetDoubt], vec![Step::Claim, Step::Doubt]],
        Saw::Refused => vec![vec![], vec![Step::Claim, Step::Release]],
        Saw::Lost => {
            let finished = booking.map(|number| vec![Step::Claim, Step::Finish(number)]);
            [vec![], vec![Step::Claim, Step::Doubt]].into_iter().chain(finished).collect()
        }
    }
}

/// A search for an order, depth first.
struct Search<'a> {
    operations: &'a [Operation],
    ways: Vec<Vec<Vec<Step>>>,
    booking: Option<u64>,
    /// Where it was before, and found none.
    seen: HashSet<(Vec<Progress>, Record)>,
}

impl Search<'_> {
    fn finds(&mut self, progress: &mut Vec<Progress>, record: Record) -> bool {
        if self.is_whole(progress, record) {
            return true;
        }
        if !self.seen.insert((progress.clone(), record)) {
            return false;
        }
        for place in 0..self.operations.len() {
            if !self.may_go_on(progress, place) {
                continue;
            }
            for (progressed, stepped) in self.next(progress, record, place) {
                let Some(slot) = progress.get_mut(place) else { continue };
                let before = std::mem::replace(slot, progressed);
                if self.finds(progress, stepped) {
                    return true;
                }
                if let Some(slot) = progress.get_mut(place) {
                    *slot = before;
                }
            }
        }
        false
    }

    /// Everybody has seen what they saw, and the books agree.
    fn is_whole(&self, progress: &[Progress], record: Record) -> bool {
        let is_over = |(operation, progress): (&Operation, &Progress)| {
            operation.saw == Saw::Lost || *progress == Progress::Over
        };
        let agree = match (record, self.booking) {
            (Record::Free, booking) => booking.is_none(),
            // The claim may have had its effect or not.
            (Record::Held(_) | Record::Doubt, _) => true,
            (Record::Done(number), booking) => booking == Some(number),
        };
        agree && self.operations.iter().zip(progress).all(is_over)
    }

    /// Nobody does anything once another, who had their answer before it was asked, is still to do something.
    fn may_go_on(&self, progress: &[Progress], place: usize) -> bool {
        let Some(asked) = self.operations.get(place) else { return false };
        self.operations.iter().zip(progress).all(|(other, progress)| {
            *progress == Progress::Over || other.saw == Saw::Lost || other.returned >= asked.called
        })
    }

    /// What the operation can do next, and how the record is then.
    fn next(&self, progress: &[Progress], record: Record, place: usize) -> Vec<(Progress, Record)> {
        let ways = self.ways.get(place).map(Vec::as_slice).unwrap_or_default();
        let taken = |way: usize, done: usize| {
            let steps = ways.get(way)?;
            let Some(step) = steps.get(done) else { return Some((Progress::Over, record)) };
            let stepped = step.taken(place, record)?;
            let is_over = done + 1 == steps.len();
            Some((if is_over { Progress::Over } else { Progress::Under { way, steps: done + 1 } }, stepped))
        };
        match progress.get(place) {
            Some(Progress::Ahead) => (0..ways.len()).filter_map(|way| taken(way, 0)).collect(),
            Some(Progress::Under { way, steps }) => taken(*way, *steps).into_iter().collect(),
            Some(Progress::Over) | None => Vec::new(),
        }
    }
}

impl Step {
    /// The record after this step of the operation at `place`; `None` where it cannot be taken.
    fn taken(self, place: usize, record: Record) -> Option<Record> {
        match (self, record) {
            (Self::Claim, Record::Free) => Some(Record::Held(place)),
            (Self::Release, Record::Held(holder)) if holder == place => Some(Record::Free),
            (Self::Doubt, Record::Held(holder)) if holder == place => Some(Record::Doubt),
            (Self::Finish(number), Record::Held(holder)) if holder == place => Some(Record::Done(number)),
            (Self::MeetHeld, Record::Held(_)) | (Self::MeetDoubt, Record::Doubt) => Some(record),
            (Self::MeetDone(number), Record::Done(kept)) if kept == number => Some(record),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it shows, when who was told what, and what was booked.
    type Case = (&'static str, &'static [(u64, u64, Saw)], &'static [u64]);

    fn history(operations: &[(u64, u64, Saw)]) -> Vec<Operation> {
        let at = Duration::from_millis;
        operations
            .iter()
            .map(|&(called, returned, saw)| Operation { called: at(called), returned: at(returned), saw })
            .collect()
    }

    #[test]
    fn what_one_record_can_have_told_is_explained() {
        let explained: &[Case] = &[
            ("nobody asked", &[], &[]),
            ("one ran, one was told", &[(0, 5, Saw::Ran(1)), (6, 7, Saw::Told(1))], &[1]),
            ("a repeat that came first and waited", &[(0, 9, Saw::Told(1)), (1, 8, Saw::Ran(1))], &[1]),
            ("a repeat while it ran", &[(0, 9, Saw::Ran(1)), (3, 4, Saw::Busy)], &[1]),
            ("a crash before the claim", &[(0, 5, Saw::Lost), (6, 7, Saw::Ran(1))], &[1]),
            ("a crash after the claim", &[(0, 5, Saw::Lost), (6, 7, Saw::Unknown)], &[]),
            ("a crash after the effect", &[(0, 5, Saw::Lost), (6, 7, Saw::Unknown)], &[1]),
            ("a crash after the answer was kept", &[(0, 5, Saw::Lost), (6, 7, Saw::Told(1))], &[1]),
            (
                "the lost one goes on after its client is gone",
                &[(0, 1, Saw::Lost), (2, 3, Saw::Busy), (4, 5, Saw::Told(1))],
                &[1],
            ),
            (
                "a frozen holder, met in doubt before it knows",
                &[(0, 9, Saw::Unknown), (3, 4, Saw::Unknown)],
                &[1],
            ),
            ("refused, then run", &[(0, 1, Saw::Refused), (2, 3, Saw::Ran(1))], &[1]),
            ("busy with one that was refused in the end", &[(0, 9, Saw::Refused), (2, 3, Saw::Busy)], &[]),
        ];
        for (name, operations, bookings) in explained {
            assert!(explain(&history(operations), bookings), "{name}");
        }
    }

    #[test]
    fn what_no_record_can_have_told_is_not() {
        let impossible: &[Case] = &[
            ("two effects", &[(0, 5, Saw::Ran(1)), (6, 7, Saw::Ran(2))], &[1, 2]),
            ("two effects, of which one is seen", &[(0, 5, Saw::Lost), (6, 7, Saw::Ran(2))], &[1, 2]),
            ("an answer that was made up", &[(0, 5, Saw::Ran(1))], &[]),
            ("another's answer", &[(0, 5, Saw::Ran(1)), (6, 7, Saw::Told(2))], &[1]),
            ("an answer before anything ran", &[(0, 1, Saw::Told(1)), (2, 5, Saw::Ran(1))], &[1]),
            ("forgotten after it was done", &[(0, 5, Saw::Ran(1)), (6, 7, Saw::Unknown)], &[1]),
            ("busy after it was done", &[(0, 5, Saw::Ran(1)), (6, 7, Saw::Busy)], &[1]),
            ("run again out of doubt", &[(0, 5, Saw::Unknown), (6, 7, Saw::Ran(1))], &[1]),
            ("in doubt, and nobody held it", &[(0, 1, Saw::Unknown), (2, 3, Saw::Ran(1))], &[1]),
            ("an effect of a request that was told of none", &[(0, 5, Saw::Refused)], &[1]),
            ("an effect, and nobody asked", &[], &[1]),
            ("busy with nobody", &[(0, 1, Saw::Busy), (2, 3, Saw::Refused)], &[]),
            (
                "told, then unknown, then told",
                &[(0, 1, Saw::Lost), (2, 3, Saw::Told(1)), (4, 5, Saw::Unknown), (6, 7, Saw::Told(1))],
                &[1],
            ),
        ];
        for (name, operations, bookings) in impossible {
            assert!(!explain(&history(operations), bookings), "{name}");
        }
    }
}
