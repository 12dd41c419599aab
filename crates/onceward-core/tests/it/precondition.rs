//! Preconditions: entity tags, dates and snapshots held against what is current.

use onceward_core::{
    precondition::{Current, ETag, IfMatch, PreconditionInvalid, Preconditions, Snapshot},
    refusal::Refusal,
    time::Timestamp,
};

fn tag(text: &str) -> ETag {
    ETag::parse(text).unwrap()
}

fn time(text: &str) -> Option<Timestamp> {
    (text == "2026-11-21T12:00:03.250Z").then(|| Timestamp::from_ms(1_795_262_403_250))
}

// covers: P2
#[test]
fn a_tag_reads_as_rfc_9110_writes_it() {
    // RFC 9110, 8.8.3: the three examples, and one in which letters of both cases count.
    for text in ["\"xyzzy\"", "W/\"xyzzy\"", "\"\"", "\"aB/c=\""] {
        assert_eq!(tag(text).to_string(), text);
    }
    for text in ["xyzzy", "w/\"xyzzy\"", "\"a\"b", "\"a", "\"a\" \"b\"", "", "*", "\"a b\"", "\"\u{1}\""] {
        assert_eq!(ETag::parse(text), Err(PreconditionInvalid::Tag), "{text}");
    }
    assert_eq!(ETag::strong("xyzzy"), Ok(tag("\"xyzzy\"")));
    assert_eq!(ETag::strong("a\"b"), Err(PreconditionInvalid::Tag));
}

// covers: P2
#[test]
fn tags_compare_strongly() {
    // RFC 9110, 8.8.3.2: the table's column of strong comparison.
    let rows = [
        ("W/\"1\"", "W/\"1\"", false),
        ("W/\"1\"", "W/\"2\"", false),
        ("W/\"1\"", "\"1\"", false),
        ("\"1\"", "\"1\"", true),
    ];
    for (left, right, expected) in rows {
        assert_eq!(tag(left).is_strongly(&tag(right)), expected, "{left} {right}");
    }
}

// covers: P2
#[test]
fn a_list_of_tags_is_read_whole_or_not_at_all() {
    let tags = |texts: &[&str]| Ok(IfMatch::Tags(texts.iter().map(|text| tag(text)).collect()));
    assert_eq!(IfMatch::parse(" * "), Ok(IfMatch::Any));
    assert_eq!(IfMatch::parse("\"a\""), tags(&["\"a\""]));
    assert_eq!(IfMatch::parse("\"a,b\" ,\tW/\"c\",, \"d\","), tags(&["\"a,b\"", "W/\"c\"", "\"d\""]));
    for text in ["", ",", "a", "\"a\" \"b\"", "*, \"a\"", "\"a\", b", "\"a\"*"] {
        assert_eq!(IfMatch::parse(text), Err(PreconditionInvalid::Tag), "{text}");
    }
}

// covers: P2
#[test]
fn a_composite_tag_tells_every_list_from_every_other() {
    let of = ETag::composite;
    let lists: [&[(&str, &str)]; 6] = [
        &[],
        &[("cart", "1"), ("user", "2")],
        &[("user", "2"), ("cart", "1")],
        &[("cart", "12")],
        &[("cart1", "2")],
        &[("cart", "1"), ("user", "3")],
    ];
    for (index, left) in lists.iter().enumerate() {
        for (other, right) in lists.iter().enumerate() {
            assert_eq!(of(left).is_strongly(&of(right)), index == other, "{left:?} {right:?}");
        }
    }
    // printf of the lengths as eight bytes each, big-endian, before "cart", "1", "user", "2"; sha256sum; base64url.
    assert_eq!(of(lists[1]).to_string(), "\"jKX91vof22kSz1ULNmfwkFljmwqH4MG9rmXhBBBq7bs\"");
}

// covers: P2
#[test]
fn a_snapshot_reads_in_each_kind() {
    let rows = [
        ("version: 17", Snapshot::Version(17), "version: 17"),
        ("version=17", Snapshot::Version(17), "version: 17"),
        (" version :17 ", Snapshot::Version(17), "version: 17"),
        (
            "ts=2026-11-21T12:00:03.250Z",
            Snapshot::At(Timestamp::from_ms(1_795_262_403_250)),
            "ts=2026-11-21T12:00:03.250Z",
        ),
        ("lsn:16/B374D848", Snapshot::Lsn(0x16_B374_D848), "lsn:16/B374D848"),
    ];
    for (text, snapshot, written) in rows {
        assert_eq!(Snapshot::parse(text, time), Ok(snapshot), "{text}");
        assert_eq!(snapshot.to_string(), written);
    }
    let refused = [
        "17",
        "version:",
        "version: -1",
        "version: +1",
        "version: 18446744073709551616",
        "Version: 1",
        "ts=yesterday",
        "lsn:B374D848",
        "lsn:1/",
        "lsn:1/100000000",
        "lsn:g/0",
        "etag: \"a\"",
        "",
    ];
    for text in refused {
        assert_eq!(Snapshot::parse(text, time), Err(PreconditionInvalid::Snapshot), "{text}");
    }
}

// covers: P2
#[test]
fn a_write_goes_ahead_on_what_is_current_alone() {
    let at = Timestamp::from_ms;
    let current = Current {
        etag: Some(tag("\"v2\"")),
        modified: Some(at(10_500)),
        snapshot: Some(Snapshot::Version(17)),
    };
    let weak = Current { etag: Some(tag("W/\"v2\"")), ..Current::default() };
    let nothing = Current::default();
    let if_match = |text: &str| Preconditions {
        if_match: Some(IfMatch::parse(text).unwrap()),
        ..Preconditions::default()
    };
    let since = |ms| Preconditions { if_unmodified_since: Some(at(ms)), ..Preconditions::default() };
    let snapshot = |read| Preconditions { snapshot: Some(read), ..Preconditions::default() };
    let failed = Err(Refusal::PreconditionFailed);
    let stale = |current| Err(Refusal::SnapshotStale { current });
    let rows = [
        (Preconditions::default(), &nothing, Ok(())),
        (if_match("\"v2\""), &current, Ok(())),
        (if_match("\"v1\", \"v2\""), &current, Ok(())),
        (if_match("\"v1\""), &current, failed.clone()),
        (if_match("W/\"v2\""), &current, failed.clone()),
        (if_match("\"v2\""), &weak, failed.clone()),
        (if_match("\"v2\""), &nothing, failed.clone()),
        (if_match("*"), &current, Ok(())),
        (if_match("*"), &nothing, failed.clone()),
        // The field counts in seconds: 10.5 s is not after 10 s.
        (since(10_000), &current, Ok(())),
        (since(9_000), &current, failed.clone()),
        (since(11_000), &nothing, failed.clone()),
        // RFC 9110, 13.1.4: a recipient ignores it where there is If-Match.
        (Preconditions { if_unmodified_since: Some(at(0)), ..if_match("\"v2\"") }, &current, Ok(())),
        (snapshot(Snapshot::Version(17)), &current, Ok(())),
        (snapshot(Snapshot::Version(16)), &current, stale(Some(Snapshot::Version(17)))),
        (snapshot(Snapshot::Version(18)), &current, stale(Some(Snapshot::Version(17)))),
        (snapshot(Snapshot::Lsn(17)), &current, stale(Some(Snapshot::Version(17)))),
        (snapshot(Snapshot::Version(17)), &nothing, stale(None)),
        (Preconditions { snapshot: Some(Snapshot::Version(17)), ..if_match("\"v1\"") }, &current, failed),
    ];
    for (preconditions, current, expected) in rows {
        assert_eq!(preconditions.check(current), expected, "{preconditions:?}");
        assert_eq!(preconditions.is_none(), preconditions == Preconditions::default());
    }
}

// covers: P2
#[test]
fn a_snapshot_of_a_moment_holds_until_the_data_change() {
    let at = |ms| Snapshot::At(Timestamp::from_ms(ms));
    let rows = [
        (at(5), at(4), true),
        (at(5), at(5), true),
        (at(5), at(6), false),
        (Snapshot::Lsn(5), Snapshot::Lsn(5), true),
        (Snapshot::Lsn(5), Snapshot::Lsn(6), false),
        (Snapshot::Lsn(5), at(1), false),
    ];
    for (read, changed, holds) in rows {
        assert_eq!(read.holds_at(changed), holds, "{read} {changed}");
    }
}
