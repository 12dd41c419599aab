//! The form holds what was put in, refuses what was damaged, and does not change silently.

use std::time::Duration;

use onceward_core::{
    actor::{ActorTag, KeyTag, Tenant},
    fingerprint::Fingerprint,
    record::{
        AfterRetention, Attempt, AttemptId, DoubtReason, Epoch, Inquiry, Interest, OnLapse, OnMismatch,
        Sealed, Settlement, Terms, TombstoneKind,
    },
    time::Timestamp,
};
use proptest::prelude::*;

use super::*;

fn attempts() -> impl Strategy<Value = Attempt> {
    (any::<u64>(), any::<[u8; 16]>())
        .prop_map(|(epoch, id)| Attempt { epoch: Epoch(epoch), id: AttemptId(id) })
}

fn times() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_ms)
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![any::<Duration>(), Just(Duration::MAX), Just(Duration::ZERO)]
}

fn reasons() -> impl Strategy<Value = DoubtReason> {
    prop_oneof![
        Just(DoubtReason::NoAnswer),
        Just(DoubtReason::AnswerCut),
        any::<u16>().prop_map(DoubtReason::AmbiguousStatus),
        Just(DoubtReason::DeadlinePassed),
        Just(DoubtReason::LeaseLapsed),
        Just(DoubtReason::HolderGone),
        Just(DoubtReason::ShutDown),
        Just(DoubtReason::Panicked),
    ]
}

fn states() -> impl Strategy<Value = State> {
    let outcome = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40).prop_map(Sealed));
    let how = prop_oneof![
        Just(Settlement::Answered),
        Just(Settlement::AnsweredLate),
        Just(Settlement::Vouched),
        Just(Settlement::Diverged)
    ];
    let interest = prop_oneof![Just(Interest::Wanted), Just(Interest::Abandoned)];
    let kind = prop_oneof![Just(TombstoneKind::Expired), Just(TombstoneKind::Cancelled)];
    prop_oneof![
        Just(State::Absent),
        (attempts(), times()).prop_map(|(attempt, lease_until)| State::Claimed { attempt, lease_until }),
        (attempts(), outcome, how, times()).prop_map(|(attempt, outcome, how, expires_at)| State::Done {
            attempt,
            outcome,
            how,
            expires_at
        }),
        (attempts(), reasons(), interest).prop_map(|(attempt, reason, interest)| State::InDoubt {
            attempt,
            reason,
            interest
        }),
        (kind, times()).prop_map(|(kind, forget_at)| State::Tombstone { kind, forget_at }),
    ]
}

fn terms() -> impl Strategy<Value = Terms> {
    (durations(), any::<bool>(), durations(), durations(), any::<bool>(), any::<bool>()).prop_map(
        |(lease, lapse, retention, remember, after, mismatch)| Terms {
            lease,
            on_lapse: if lapse { OnLapse::Execute } else { OnLapse::Doubt },
            retention,
            remember,
            after_retention: if after { AfterRetention::Execute } else { AfterRetention::Refuse },
            on_mismatch: if mismatch { OnMismatch::Replay } else { OnMismatch::Refuse },
        },
    )
}

fn fingerprints() -> impl Strategy<Value = Fingerprint> {
    (0..=1_u8, any::<[u8; 32]>()).prop_map(|(version, digest)| fingerprint(version, digest))
}

fn fingerprint(version: u8, digest: [u8; 32]) -> Fingerprint {
    let mut bytes = vec![version];
    bytes.extend_from_slice(&digest);
    Fingerprint::from_bytes(&bytes).expect("a known version")
}

fn records() -> impl Strategy<Value = Record> {
    (
        proptest::option::of(fingerprints()),
        any::<u64>(),
        states(),
        times(),
        times(),
        proptest::option::of(terms()),
        proptest::option::of(attempts()),
        proptest::option::of(inquiries()),
    )
        .prop_map(|(fingerprint, epoch, state, since, claimed_at, terms, overruled, inquiry)| Record {
            fingerprint,
            epoch: Epoch(epoch),
            inquiry: inquiry.filter(|_| matches!(state, State::Claimed { .. } | State::InDoubt { .. })),
            state,
            since,
            claimed_at,
            terms,
            overruled,
        })
}

fn inquiries() -> impl Strategy<Value = Inquiry> {
    let request = proptest::collection::vec(any::<u8>(), 0..40).prop_map(Sealed);
    (request, any::<u32>(), times(), proptest::option::of(any::<[u8; 16]>())).prop_map(
        |(request, looks, next_at, looker)| Inquiry {
            request,
            looks,
            next_at,
            looker: looker.map(AttemptId),
        },
    )
}

fn labels() -> impl Strategy<Value = Label> {
    ("[a-zä]{0,8}", any::<[u8; 8]>(), any::<[u8; 8]>(), "\\PC{0,24}").prop_map(
        |(tenant, actor, key, effect)| Label {
            tenant: Tenant::named(&tenant),
            actor: ActorTag::from_bytes(actor),
            key: KeyTag::from_bytes(key),
            effect,
        },
    )
}

const ID: LookupId = LookupId::from_bytes([7; 32]);

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(record in records(), label in labels()) {
        let row = encode(ID, record.clone(), &label);
        prop_assert_eq!(decode(ID, &row.head, row.outcome), Ok((record, label)));
    }

    // covers: L8
    #[test]
    fn every_single_flipped_bit_is_refused(record in records(), label in labels()) {
        let row = encode(ID, record, &label);
        for bit in 0..row.head.len() * 8 {
            let mut head = row.head.clone();
            head[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(ID, &head, row.outcome.clone()), Err(Unreadable));
            prop_assert_eq!(decode_head(ID, &head), Err(Unreadable));
        }
        let outcome = row.outcome.unwrap_or_default();
        for bit in 0..outcome.len() * 8 {
            let mut outcome = outcome.clone();
            outcome[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(ID, &row.head, Some(outcome)), Err(Unreadable));
        }
    }

    // covers: L8
    #[test]
    fn a_truncated_or_lengthened_head_is_refused(record in records(), label in labels(), cut in any::<usize>()) {
        let row = encode(ID, record, &label);
        let cut = cut % row.head.len();
        prop_assert_eq!(decode(ID, &row.head[..cut], row.outcome.clone()), Err(Unreadable));
        let longer = [row.head.as_slice(), &[0]].concat();
        prop_assert_eq!(decode(ID, &longer, row.outcome), Err(Unreadable));
    }

    /// Arbitrary bytes under a right sum reach the strict reader itself: what it accepts, it accepts in one form only.
    #[test]
    fn what_the_reader_accepts_has_one_form(record in records(), label in labels(), at in any::<usize>(), to in any::<u8>()) {
        let row = encode(ID, record, &label);
        let mut body = row.head[..row.head.len() - SUM_BYTES].to_vec();
        // Of the version, another one may be as good.
        let at = 1 + at % (body.len() - 1);
        body[at] = to;
        body.extend_from_slice(&sum(HEAD, ID, &body));
        if let Ok((record, label)) = decode(ID, &body, row.outcome) {
            prop_assert_eq!(encode(ID, record, &label).head, body);
        }
    }
}

fn sample() -> (Record, Label) {
    let attempt = Attempt { epoch: Epoch(0x0102), id: AttemptId([0xaa; 16]) };
    let terms = Terms {
        lease: Duration::from_millis(30_500),
        on_lapse: OnLapse::Doubt,
        retention: Duration::from_hours(24),
        remember: Duration::from_hours(9_600),
        after_retention: AfterRetention::Execute,
        on_mismatch: OnMismatch::Refuse,
    };
    let state = State::Done {
        attempt,
        outcome: Some(Sealed(b"sealed".to_vec())),
        how: Settlement::AnsweredLate,
        expires_at: Timestamp::from_ms(0x0304),
    };
    let record = Record {
        fingerprint: Some(fingerprint(1, [0xbb; 32])),
        epoch: Epoch(0x0102),
        state,
        since: Timestamp::from_ms(0x0506),
        claimed_at: Timestamp::from_ms(0x0708),
        terms: Some(terms),
        overruled: None,
        inquiry: None,
    };
    let label = Label {
        tenant: Tenant::named("acme"),
        actor: ActorTag::from_bytes([0xcc; 8]),
        key: KeyTag::from_bytes([0xdd; 8]),
        effect: "POST /order".to_owned(),
    };
    (record, label)
}

/// An effect in doubt whose request is kept.
fn asked() -> (Record, Label) {
    let (done, label) = sample();
    let state = State::InDoubt {
        attempt: Attempt { epoch: Epoch(0x0102), id: AttemptId([0xaa; 16]) },
        reason: DoubtReason::AmbiguousStatus(502),
        interest: Interest::Abandoned,
    };
    let inquiry = Inquiry {
        request: Sealed(b"asked".to_vec()),
        looks: 3,
        next_at: Timestamp::from_ms(0x090a),
        looker: Some(AttemptId([0xee; 16])),
    };
    (Record { state, inquiry: Some(inquiry), ..done }, label)
}

/// What is alike in the two samples: behind the version, behind the state, and behind what is asked.
const BEGIN: &[&[u8]] = &[
    &[1, 1], // a fingerprint of c1
    &[0xbb; 32],
    &[0, 0, 0, 0, 0, 0, 1, 2], // epoch
];
const MIDDLE: &[&[u8]] = &[
    &[0, 0, 0, 0, 0, 0, 5, 6],                      // since
    &[0, 0, 0, 0, 0, 0, 7, 8],                      // claimed at
    &[1, 0, 0, 0, 0, 0, 0, 0, 30],                  // terms: 30 s
    &[0x1d, 0xcd, 0x65, 0x00],                      // and 500,000,000 ns of lease
    &[0],                                           // doubt on lapse
    &[0, 0, 0, 0, 0, 1, 0x51, 0x80, 0, 0, 0, 0],    // 86,400 s of retention
    &[0, 0, 0, 0, 2, 0x0f, 0x58, 0x00, 0, 0, 0, 0], // 34,560,000 s of remembrance
    &[1, 0],                                        // run after retention, refuse on mismatch
    &[0],                                           // nothing overruled
];
const END: &[&[u8]] =
    &[&[0, 0, 0, 0, 0, 0, 0, 4], b"acme", &[0xcc; 8], &[0xdd; 8], &[0, 0, 0, 0, 0, 0, 0, 11], b"POST /order"];

/// The sums, computed with Python's zlib.crc32 over purpose, id and bytes.
const OUTCOME_SUM: [u8; 4] = [0xc7, 0xe6, 0xb2, 0xb0];
const DONE_SUM: [u8; 4] = [0xbd, 0x44, 0xad, 0x2b];
const REQUEST_SUM: [u8; 4] = [0x33, 0x8f, 0xe3, 0x5b];
const ASKED_SUM: [u8; 4] = [0xeb, 0xda, 0x01, 0x76];

fn form(parts: &[&[&[u8]]]) -> Vec<u8> {
    parts.concat().concat()
}

/// The form of version 1, byte by byte, which is read for ever.
#[test]
fn the_first_form_is_still_read() {
    let state: &[&[u8]] = &[
        &[2, 0, 0, 0, 0, 0, 0, 1, 2], // done, by epoch
        &[0xaa; 16],                  // and attempt
        &[1],                         // with an answer
        &OUTCOME_SUM,
        &[1, 0, 0, 0, 0, 0, 0, 3, 4], // answered late, expires
    ];
    let head = form(&[&[&[1]], BEGIN, state, MIDDLE, END, &[&DONE_SUM]]);
    assert_eq!(decode(ID, &head, Some(b"sealed".to_vec())), Ok(sample()));
}

/// The form of version 2, byte by byte. Whoever changes it breaks every file out there: take a new version instead.
#[test]
fn the_form_is_what_it_was() {
    let state: &[&[u8]] = &[
        &[3, 0, 0, 0, 0, 0, 0, 1, 2], // in doubt, by epoch
        &[0xaa; 16],                  // and attempt
        &[2, 0x01, 0xf6],             // for its status 502
        &[1],                         // abandoned
    ];
    let inquiry: &[&[u8]] = &[
        &[1],
        &REQUEST_SUM,
        &[0, 0, 0, 3],                 // looks
        &[0, 0, 0, 0, 0, 0, 0x09, 10], // no other before
        &[1],
        &[0xee; 16], // looker
    ];
    let head = form(&[&[&[2]], BEGIN, state, MIDDLE, inquiry, END, &[&ASKED_SUM]]);
    let (record, label) = asked();
    let row = encode(ID, record.clone(), &label);
    assert_eq!(row, Row { head: head.clone(), outcome: Some(b"asked".to_vec()) });
    assert_eq!(decode(ID, &head, row.outcome), Ok((record, label)));
}

// covers: L8
#[test]
fn a_request_passes_for_no_answer_and_no_answer_has_one() {
    let (record, label) = asked();
    let inquiry = record.inquiry.clone();
    let request = encode(ID, record, &label);
    assert_eq!(decode(ID, &request.head, None), Err(Unreadable));
    assert_eq!(decode(ID, &request.head, Some(b"sealed".to_vec())), Err(Unreadable));
    let (done, label) = sample();
    let impossible = encode(ID, Record { inquiry, ..done }, &label);
    assert_eq!(decode(ID, &impossible.head, impossible.outcome), Err(Unreadable));
}

// covers: L8
#[test]
fn a_record_moved_under_another_id_is_refused() {
    let (record, label) = sample();
    let row = encode(ID, record, &label);
    let elsewhere = LookupId::from_bytes([8; 32]);
    assert_eq!(decode(elsewhere, &row.head, row.outcome), Err(Unreadable));
}

// covers: L8
#[test]
fn an_answer_that_went_missing_or_came_from_nowhere_is_refused() {
    let (record, label) = sample();
    let row = encode(ID, record, &label);
    assert_eq!(decode(ID, &row.head, None), Err(Unreadable));
    let (record, label) = (Record::absent(), sample().1);
    let row = encode(ID, record, &label);
    assert_eq!(decode(ID, &row.head, Some(Vec::new())), Err(Unreadable));
}
