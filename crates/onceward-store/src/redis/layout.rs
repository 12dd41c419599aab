//! Where things are in the database: partitions, keys, and the bytes of rows and audit lines.
//!
//! A record belongs to one of 256 partitions by the first byte of its id. All that one partition has lies under one hash tag, so that
//! one script changes it atomically also in a Cluster; a lone server has the same layout. A partition's keys:
//!
//! - `row:` + id: a string, the row.
//! - `births`: a sorted set, a member a row by when it was made; and the *marker*, the reign that the partition was last found under,
//!   by its barrier. Both in one set, so that whatever loses the set loses the marker with it.
//! - `states`: a sorted set of the same members by kind and due time; what is in doubt stands behind the others, by its birth.
//! - `books`: a hash: schema, secret check, last audit position, and what else is kept of the whole.
//! - `log`: a sorted set, audit lines by position.

use std::ops::Range;

use onceward_core::{
    actor::{ActorTag, KeyTag, LookupId},
    time::Timestamp,
};

use crate::{
    port::StoredAudit,
    shared::backend::{Mark, NewRow, StoredRow},
    step::Kind,
};

/// How many partitions there are. Fixed with the layout: a row's place follows from it.
pub(super) const PARTITIONS: u16 = 256;

/// The layout that this program writes.
pub(super) const SCHEMA: &str = "1";

/// Scores of one kind in `states` lie within this much: milliseconds until the year 2286.
pub(super) const KIND_SPAN: u64 = 10_000_000_000_000;

/// The score, within its kind, of a row that no time overtakes.
const NEVER: u64 = KIND_SPAN - 1;

/// Above every score of a kind and every barrier, below every birth (microseconds).
pub(super) const BIRTHS_FROM: u64 = 100_000_000_000_000;

/// Bytes of a row before its head: mark, key tag, actor tag, kind, and the head's length.
const ROW_HEAD_AT: usize = 16 + 8 + 8 + 1 + 4;

/// Bytes of a position in front of an audit line.
const POSITION_BYTES: usize = 16;

/// The part of the keyspace that holds a record's rows and all that belongs to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Partition(pub(super) u8);

impl Partition {
    pub(super) fn of(id: LookupId) -> Self {
        let [first, ..] = *id.as_bytes();
        Self(first)
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Names of keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn under(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    fn of(&self, partition: Partition, name: &str) -> Vec<u8> {
        format!("{}:{{ow{}}}:{name}", self.prefix, partition.0).into_bytes()
    }

    pub(super) fn row(&self, id: LookupId) -> Vec<u8> {
        let mut key = self.of(Partition::of(id), "row:");
        key.extend_from_slice(id.as_bytes());
        key
    }

    pub(super) fn births(&self, partition: Partition) -> Vec<u8> {
        self.of(partition, "births")
    }

    pub(super) fn states(&self, partition: Partition) -> Vec<u8> {
        self.of(partition, "states")
    }

    pub(super) fn books(&self, partition: Partition) -> Vec<u8> {
        self.of(partition, "books")
    }

    /// A key that is never there.
    pub(super) fn probe(&self, partition: Partition) -> Vec<u8> {
        self.of(partition, "probe")
    }

    pub(super) fn log(&self, partition: Partition) -> Vec<u8> {
        self.of(partition, "log")
    }
}

/// A row as one string.
pub(super) fn packed(row: &NewRow) -> Vec<u8> {
    let outcome = row.outcome.as_deref().unwrap_or_default();
    let mut bytes = Vec::with_capacity(ROW_HEAD_AT + row.head.len() + 1 + outcome.len());
    bytes.extend_from_slice(&row.mark.0);
    bytes.extend_from_slice(row.key.as_bytes());
    bytes.extend_from_slice(row.actor.as_bytes());
    bytes.push(row.kind as u8);
    let head_bytes = u32::try_from(row.head.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&head_bytes.to_be_bytes());
    bytes.extend_from_slice(&row.head);
    if row.outcome.is_some() {
        bytes.push(1);
        bytes.extend_from_slice(outcome);
    }
    bytes
}

/// A stored row, and its kind's number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unpacked {
    pub(super) row: StoredRow,
    pub(super) kind: u8,
}

/// Reads a row back, whether its outcome was read with it or not. What is too short for its own lengths comes back as it is, under its
/// mark: the record's checksum refuses it, so that a damaged row is never taken for none (L8).
pub(super) fn unpacked(bytes: &[u8]) -> Unpacked {
    let mut mark = [0; 16];
    for (to, from) in mark.iter_mut().zip(bytes) {
        *to = *from;
    }
    let kind = bytes.get(32).copied().unwrap_or(u8::MAX);
    let head_bytes =
        bytes.get(33..ROW_HEAD_AT).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes);
    let head = head_bytes.and_then(|length| bytes.get(ROW_HEAD_AT..ROW_HEAD_AT + length as usize));
    let rest = head.and_then(|head| bytes.get(ROW_HEAD_AT + head.len()..)).unwrap_or_default();
    let outcome = rest.split_first().map(|(_, outcome)| outcome.to_vec());
    let head = head.map_or_else(Vec::new, <[u8]>::to_vec);
    Unpacked { row: StoredRow { mark: Mark(mark), head, outcome }, kind }
}

/// A row's score in `states`; empty where its birth is to be taken.
pub(super) fn state(row: &NewRow) -> String {
    if row.kind == Kind::InDoubt {
        return String::new();
    }
    let due = row.due_at.map_or(NEVER, |due_at| due_at.as_ms().min(NEVER - 1));
    (row.kind as u64 * KIND_SPAN + due).to_string()
}

/// The scores of all rows of one kind, whatever is due; `None` for those in doubt, who stand behind the others.
pub(super) fn scores(kind: Kind) -> Range<u64> {
    match kind {
        Kind::InDoubt => BIRTHS_FROM..u64::MAX,
        Kind::Absent | Kind::Claimed | Kind::Done | Kind::Tombstone | Kind::Mark => {
            let from = kind as u64 * KIND_SPAN;
            from..from + KIND_SPAN
        }
    }
}

/// The scores of what is due at `now`, of a kind that time overtakes.
pub(super) fn due_scores(kind: Kind, now: Timestamp) -> Range<u64> {
    let from = kind as u64 * KIND_SPAN;
    from..from + now.as_ms().min(NEVER - 1) + 1
}

/// When a row with this score is due, in milliseconds.
pub(super) const fn due_ms(score: u64) -> u64 {
    score % KIND_SPAN
}

/// The id in a member of `births` and `states`.
pub(super) fn member_id(member: &[u8]) -> Option<LookupId> {
    member.get(..32).and_then(|id| id.try_into().ok()).map(LookupId::from_bytes)
}

/// What a member ends with where it is of this key; empty for any.
pub(super) fn key_bytes(key: Option<KeyTag>) -> Vec<u8> {
    key.map_or_else(Vec::new, |key| key.as_bytes().to_vec())
}

/// As [`key_bytes`], of an actor.
pub(super) fn actor_bytes(actor: Option<ActorTag>) -> Vec<u8> {
    actor.map_or_else(Vec::new, |actor| actor.as_bytes().to_vec())
}

/// A place in all partitions' order: by time, and among equal times by partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Microseconds.
    pub(super) position: u64,
    pub(super) partition: Partition,
}

impl Place {
    pub(super) const fn cursor(self) -> u64 {
        self.position << 8 | self.partition.0 as u64
    }

    pub(super) const fn at(cursor: u64) -> Self {
        let [.., partition] = cursor.to_be_bytes();
        Self { position: cursor >> 8, partition: Partition(partition) }
    }
}

/// An audit line without its position: its time, its key, its text.
pub(super) fn packed_line(line: &StoredAudit) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(17 + line.json.len());
    bytes.extend_from_slice(&line.at.as_ms().to_be_bytes());
    bytes.push(u8::from(line.key.is_some()));
    bytes.extend_from_slice(&line.key.map_or([0; 8], |key| *key.as_bytes()));
    bytes.extend_from_slice(line.json.as_bytes());
    bytes
}

/// A member of `log`: its position, and the line; `None` for what onceward did not write.
pub(super) fn unpacked_line(member: &[u8]) -> Option<(u64, StoredAudit)> {
    let (position, line) = member.split_at_checked(POSITION_BYTES)?;
    let position = std::str::from_utf8(position).ok()?.parse().ok()?;
    let (at, line) = line.split_first_chunk::<8>()?;
    let (keyed, line) = line.split_first()?;
    let (key, json) = line.split_first_chunk::<8>()?;
    let key = (*keyed == 1).then(|| KeyTag::from_bytes(*key));
    let json = String::from_utf8(json.to_vec()).ok()?;
    Some((position, StoredAudit { at: Timestamp::from_ms(u64::from_be_bytes(*at)), key, json }))
}

#[cfg(test)]
mod tests {
    use onceward_core::{
        actor::{ActorTag, KeyTag, LookupId},
        time::Timestamp,
    };

    use super::{
        BIRTHS_FROM, Keys, Partition, Place, Unpacked, due_ms, due_scores, packed, packed_line, scores,
        state, unpacked, unpacked_line,
    };
    use crate::{
        port::StoredAudit,
        shared::backend::{Mark, NewRow, StoredRow},
        step::Kind,
    };

    fn row(kind: Kind, due_ms: Option<u64>, outcome: Option<&[u8]>) -> NewRow {
        NewRow {
            mark: Mark([7; 16]),
            kind,
            due_at: due_ms.map(Timestamp::from_ms),
            key: KeyTag::from_bytes([1; 8]),
            actor: ActorTag::from_bytes([2; 8]),
            head: b"head".to_vec(),
            outcome: outcome.map(<[u8]>::to_vec),
        }
    }

    #[test]
    fn a_row_comes_back_with_and_without_its_outcome() {
        let outcomes: [Option<&[u8]>; 3] = [None, Some(b""), Some(b"answer")];
        for outcome in outcomes {
            let bytes = packed(&row(Kind::Done, None, outcome));
            let stored = StoredRow {
                mark: Mark([7; 16]),
                head: b"head".to_vec(),
                outcome: outcome.map(<[u8]>::to_vec),
            };
            assert_eq!(unpacked(&bytes), Unpacked { row: stored.clone(), kind: 2 });
            let head_alone = Unpacked { row: StoredRow { outcome: None, ..stored }, kind: 2 };
            assert_eq!(unpacked(&bytes[..37 + 4]), head_alone);
        }
    }

    // covers: L8
    #[test]
    fn a_row_that_was_cut_keeps_its_mark_and_loses_its_head() {
        let bytes = packed(&row(Kind::Done, None, Some(b"answer")));
        let cut = unpacked(&bytes[..39]);
        assert_eq!(cut.row, StoredRow { mark: Mark([7; 16]), head: Vec::new(), outcome: None });
    }

    #[test]
    fn the_score_of_a_row_tells_its_kind_and_when_it_is_due() {
        let claimed = state(&row(Kind::Claimed, Some(1_700_000_000_000), None));
        assert_eq!(claimed, "11700000000000");
        let score = claimed.parse().expect("a number");
        assert_eq!(due_ms(score), 1_700_000_000_000);
        assert!(scores(Kind::Claimed).contains(&score) && !scores(Kind::Done).contains(&score));
        assert!(due_scores(Kind::Claimed, Timestamp::from_ms(1_700_000_000_000)).contains(&score));
        assert!(!due_scores(Kind::Claimed, Timestamp::from_ms(1_699_999_999_999)).contains(&score));
        assert_eq!(state(&row(Kind::InDoubt, None, None)), "");
        let never: u64 = state(&row(Kind::Tombstone, None, None)).parse().expect("a number");
        assert!(scores(Kind::Tombstone).contains(&never) && never < BIRTHS_FROM);
        assert!(!due_scores(Kind::Tombstone, Timestamp::from_ms(u64::MAX)).contains(&never));
        let mark: u64 = state(&row(Kind::Mark, Some(1_700_000_000_000), None)).parse().expect("a number");
        assert!(
            scores(Kind::Mark).contains(&mark)
                && mark < BIRTHS_FROM
                && !scores(Kind::Tombstone).contains(&mark)
        );
    }

    #[test]
    fn a_cursor_names_one_place() {
        let place = Place { position: 1_792_000_000_123_456, partition: Partition(201) };
        assert_eq!(Place::at(place.cursor()), place);
        let later = Place { position: 1_792_000_000_123_457, partition: Partition(0) };
        assert!(later.cursor() > place.cursor());
    }

    #[test]
    fn an_audit_line_comes_back() {
        for key in [None, Some(KeyTag::from_bytes([9; 8]))] {
            let at = Timestamp::from_ms(1_700_000_000_000);
            let line = StoredAudit { at, key, json: r#"{"of":"ö"}"#.to_owned() };
            let mut member = b"1792000000123456".to_vec();
            member.extend(packed_line(&line));
            assert_eq!(unpacked_line(&member), Some((1_792_000_000_123_456, line)));
        }
        assert_eq!(unpacked_line(b"something else"), None);
    }

    #[test]
    fn all_keys_of_a_partition_share_their_hash_tag() {
        let keys = Keys::under("shop");
        let id = LookupId::from_bytes([17; 32]);
        assert_eq!(keys.row(id), [b"shop:{ow17}:row:".as_slice(), &[17; 32]].concat());
        assert_eq!(keys.books(Partition::of(id)), b"shop:{ow17}:books");
    }
}
