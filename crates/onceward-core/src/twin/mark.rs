//! Who holds the mark of one meaning, and who may take it.

use core::time::Duration;

use crate::{actor::LookupId, record::Epoch, time::Timestamp};

/// The effect that holds a mark, by the attempt that took it.
///
/// The epoch is part of it: an attempt that was released and the next one of the same key are two holders, so that whoever saw the first
/// one come to nothing cannot take the mark from the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Under which its record is found.
    pub id: LookupId,
    /// Of the claim that it was let through under.
    pub epoch: Epoch,
}

/// What a store keeps of one meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which effect was last let through.
    pub holder: Holder,
    /// When it took the mark.
    pub since: Timestamp,
    /// From when on the mark stops nobody.
    pub until: Timestamp,
}

/// What an effect asks of a mark before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bid {
    /// Who wants to hold it.
    pub holder: Holder,
    /// For how long, from now on.
    pub window: Duration,
    /// Whose place it may take: a holder whose effect is known not to have happened, or was confirmed.
    pub replaces: Option<Holder>,
}

/// What comes of a bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// This is the mark now, to be written in the step that found the former one.
    Set(Mark),
    /// The bidder holds it already, by an earlier copy of this bid (L11): nothing to write.
    Held,
    /// Another one holds it: nothing to write.
    Taken(Mark),
}

impl Bid {
    /// Decides, over what is found.
    #[must_use]
    pub fn on(self, found: Option<Mark>, now: Timestamp) -> Placed {
        let Some(mark) = found.filter(|mark| now < mark.until) else { return Placed::Set(self.mark(now)) };
        if mark.holder == self.holder {
            return Placed::Held;
        }
        // A later attempt of the same key follows an earlier one, which was released; a late copy of the earlier one's bid gets nothing.
        let follows = mark.holder.id == self.holder.id && mark.holder.epoch < self.holder.epoch;
        if follows || self.replaces == Some(mark.holder) {
            Placed::Set(self.mark(now))
        } else {
            Placed::Taken(mark)
        }
    }

    fn mark(self, now: Timestamp) -> Mark {
        Mark { holder: self.holder, since: now, until: now.after(self.window) }
    }
}
