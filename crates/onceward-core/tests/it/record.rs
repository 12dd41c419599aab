//! The record machine, state by state and event by event, against `vectors/record.json`.

mod table;

use std::collections::BTreeSet;
use std::time::Duration;

use onceward_core::record::{
    AfterRetention, Attempt, AttemptId, DoubtReason, Epoch, Event, Record, Sealed, Verdict,
};
use onceward_core::time::Timestamp;

use self::table::{Becomes, Table};
use crate::vectors;

fn table() -> Table {
    vectors::read(include_str!("../../../../vectors/record.json"))
}

// covers: L1, L2, L3, L4, L5, L7, L9, L10, L11, L12, L13, L14, D1, D2, D3, D5, T1, T2, F1, F6, B2, W1
#[test]
fn every_row_of_the_table_holds() {
    let table = table();
    for row in &table.rows {
        for on in &row.on {
            let situation = &table.records[on];
            let before = table.record(&situation.record);
            let expected = match &row.becomes {
                Becomes::Named(name) if name == "unchanged" => before.clone(),
                Becomes::Named(name) => table.record(&table.records[name].record),
                Becomes::Whole(record) => table.record(record),
            };
            for name in &row.events {
                let found = before.clone().on(table.event(name), Timestamp::from_ms(situation.now));
                let context = format!(
                    "{} ({}): {on} ({}) meets {name:?}",
                    row.description, row.source, situation.description
                );
                assert_eq!(found, (expected.clone(), table.decision(&row.decision)), "{context}");
            }
        }
    }
}

/// Situations that only show a boundary of another one.
const BOUNDARIES: [&str; 9] = [
    "claimed-behind",
    "in-doubt-ancient",
    "reclaimed",
    "reclaimed-doubt",
    "claimed-asked",
    "claimed-asked-lapsed",
    "in-doubt-asked",
    "in-doubt-looked",
    "in-doubt-look-due",
];

/// Events that differ from another one only where the record stands for something, or has a newcomer.
const VARIANTS: [&str; 10] = [
    "arrived, its request kept",
    "arrived, epochs gone back",
    "arrived, other request",
    "arrived, other request, drift allowed",
    "arrived, other version",
    "arrived, other version, drift allowed",
    "arrived, execute after retention",
    "arrived, other request, execute after retention",
    "completed by the newcomer",
    "resolved: absent, of the newcomer",
];

#[test]
fn every_situation_meets_every_event_once() {
    let table = table();
    let mut met = BTreeSet::new();
    for row in &table.rows {
        for on in &row.on {
            for event in &row.events {
                assert!(met.insert((&**on, &**event)), "{on} meets {event:?} in two rows");
            }
        }
    }
    let missing: Vec<_> = table
        .records
        .keys()
        .filter(|on| !BOUNDARIES.contains(&on.as_str()))
        .flat_map(|on| {
            let events = table.events.keys().filter(|event| !VARIANTS.contains(&event.as_str()));
            events.map(move |event| (on.as_str(), event.as_str()))
        })
        .filter(|pair| !met.contains(pair))
        .collect();
    assert_eq!(missing, []);
}

// covers: D3
#[test]
fn absence_shows_once_the_holder_is_gone_and_what_it_sent_has_settled() {
    let table = table();
    let settling = Duration::from_secs(20);
    let shows_from = |name: &str, barrier: Option<u64>| {
        let record = table.record(&table.records[name].record);
        record.absence_shows_from(barrier.map(Timestamp::from_ms), settling).map(Timestamp::as_ms)
    };
    // In doubt since 1,010,000; held until 1,015,000; leases of 15 s.
    let cases = [
        ("in-doubt", None, Some(1_030_000)),
        ("claimed-lapsed", None, Some(1_035_000)),
        ("in-doubt", Some(990_000), Some(1_030_000)),
        ("in-doubt", Some(1_000_000), Some(1_035_000)),
        ("claimed-lapsed", Some(1_000_000), Some(1_035_000)),
        ("blank", Some(1_000_000), None),
        ("done", None, None),
        ("expired", None, None),
    ];
    for (name, barrier, expected) in cases {
        assert_eq!(shows_from(name, barrier), expected, "{name} {barrier:?}");
    }
}

// covers: D5, T5
#[test]
fn a_record_that_shows_no_effect_may_lack_what_was_lost_after_its_latest_claim() {
    let table = table();
    let may_lack_claim = |name: &str, barrier: u64, after_retention| {
        let situation = &table.records[name];
        let record = table.record(&situation.record);
        let now = Timestamp::from_ms(situation.now);
        record.may_lack_claim(Timestamp::from_ms(barrier), after_retention, now)
    };
    // Each was last claimed at 1,000,000, but those that never were.
    let (refuse, execute) = (AfterRetention::Refuse, AfterRetention::Execute);
    let cases = [
        ("blank", 0, refuse, true),
        ("released", 1_000_000, refuse, true),
        ("released", 999_999, refuse, false),
        ("released-due", 999_999, refuse, true),
        ("overruled", 1_000_000, refuse, true),
        ("claimed", 2_000_000, execute, false),
        ("execute-lapsed", 2_000_000, execute, false),
        ("in-doubt", 2_000_000, execute, false),
        ("done", 2_000_000, execute, false),
        ("expired", 2_000_000, refuse, false),
        ("expired", 2_000_000, execute, true),
        ("expired", 999_999, execute, false),
        ("expired-due", 999_999, refuse, true),
        ("cancelled", 0, refuse, true),
        ("given-up", 1_000_000, refuse, true),
        ("given-up", 999_999, refuse, false),
    ];
    for (name, barrier, after_retention, expected) in cases {
        let found = may_lack_claim(name, barrier, after_retention);
        assert_eq!(found, expected, "{name}, barrier {barrier}, {after_retention:?}");
    }
}

// covers: D3
#[test]
fn a_record_bears_out_a_verdict_whoever_found_out() {
    let table = table();
    // The newcomer has epoch 7, whoever was before it 5; of no record is 6.
    let verdicts = [
        ("happened", Verdict::Happened(None)),
        ("absent", Verdict::Absent),
        ("multiple", Verdict::Multiple(None)),
        ("unknown", Verdict::Unknown),
    ];
    let said = |name: &str| {
        let record = table.record(&table.records[name].record);
        let mut said = Vec::new();
        for epoch in [5, 6, 7].map(Epoch) {
            let borne_out = verdicts.iter().filter(|(_, verdict)| record.bears_out(verdict, epoch));
            said.extend(borne_out.map(|(word, _)| format!("{} {word}", epoch.0)));
        }
        let known: Vec<u64> = [5, 6, 7].into_iter().filter(|epoch| record.knows(Epoch(*epoch))).collect();
        (known, said.join(", "))
    };
    let cases: [(&str, &[u64], &str); 15] = [
        ("blank", &[], ""),
        ("claimed", &[5], ""),
        ("claimed-lapsed", &[5], ""),
        ("in-doubt", &[5], ""),
        ("abandoned", &[5], ""),
        ("released", &[5], "5 absent"),
        ("overruled", &[5], "5 absent"),
        ("reclaimed", &[5, 7], "5 absent"),
        ("reclaimed-doubt", &[5, 7], "5 absent"),
        ("given-up", &[5], "5 absent"),
        ("done", &[5], "5 happened"),
        ("done-late", &[5], "5 happened"),
        ("vouched", &[5], "5 happened"),
        ("diverged", &[5], "5 multiple"),
        ("expired", &[5], "5 happened"),
    ];
    for (name, known, expected) in cases {
        assert_eq!(said(name), (known.to_vec(), expected.to_owned()), "{name}");
    }
    assert_eq!(said("cancelled"), (vec![], String::new()), "it never ran");
}

// covers: L7, T3
#[test]
fn a_sweep_visits_what_time_changes_and_nothing_else() {
    let table = table();
    for (name, situation) in &table.records {
        let record = table.record(&situation.record);
        let due_at = situation.due_at.map(Timestamp::from_ms);
        assert_eq!(record.due_at(), due_at, "{name}");
        let Some(due_at) = due_at else { continue };
        let early = Timestamp::from_ms(due_at.as_ms() - 1);
        assert_eq!(record.clone().on(Event::Swept, early).0, record, "{name}, a millisecond early");
        assert_ne!(record.clone().on(Event::Swept, due_at).0, record, "{name}, when due");
    }
}

#[test]
fn only_a_record_that_was_never_claimed_is_blank() {
    let table = table();
    let blank: Vec<_> = table
        .records
        .iter()
        .filter(|(_, situation)| table.record(&situation.record).is_blank())
        .map(|(name, _)| &**name)
        .collect();
    assert_eq!(blank, ["blank"]);
    assert_eq!(Record::absent(), table.record(&table.records["blank"].record));
}

// covers: T1
#[test]
fn an_outcome_kept_for_ever_never_expires() {
    let table = table();
    let mut claimed = table.record(&table.records["claimed"].record);
    if let Some(terms) = &mut claimed.terms {
        terms.retention = Duration::MAX;
    }
    let completed = table.event("completed by the holder");
    let (done, _) = claimed.on(completed, Timestamp::from_ms(1_010_000));
    let (later, _) = done.clone().on(Event::Swept, Timestamp::from_ms(u64::MAX - 1));
    assert_eq!(later, done);
}

// covers: K6, S4
#[test]
fn debug_text_shows_no_outcome_and_no_fingerprint() {
    let outcome = Sealed(b"order 4711".to_vec());
    assert_eq!(format!("{outcome:?}"), "Sealed(10 bytes)");
    let table = table();
    let (claimed, _) = Record::absent().on(table.event("arrived"), Timestamp::from_ms(0));
    assert_eq!(format!("{:?}", claimed.fingerprint), "Some(Fingerprint(C1, ..))");
}

#[test]
fn an_attempt_is_written_in_hexadecimal() {
    let id = AttemptId([0x00, 0x01, 0x0f, 0x10, 0x7f, 0x80, 0xab, 0xff, 0, 0, 0, 0, 0, 0, 0, 9]);
    assert_eq!(format!("{id}"), "00010f107f80abff0000000000000009");
    let attempt = Attempt { epoch: Epoch(3), id };
    let text = "Attempt { epoch: Epoch(3), id: AttemptId(00010f107f80abff0000000000000009) }";
    assert_eq!(format!("{attempt:?}"), text);
}

// covers: A2
#[test]
fn each_doubt_has_a_name_of_its_own() {
    let names = [
        (DoubtReason::NoAnswer, "no-answer"),
        (DoubtReason::AnswerCut, "answer-cut"),
        (DoubtReason::AmbiguousStatus(502), "ambiguous-status"),
        (DoubtReason::DeadlinePassed, "deadline-passed"),
        (DoubtReason::LeaseLapsed, "lease-lapsed"),
        (DoubtReason::HolderGone, "holder-gone"),
        (DoubtReason::ShutDown, "shut-down"),
        (DoubtReason::Panicked, "panicked"),
    ];
    for (reason, name) in names {
        assert_eq!(reason.as_str(), name);
    }
}
