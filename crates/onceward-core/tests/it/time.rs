//! Points in time: arithmetic that never wraps, and RFC 3339.

use std::time::Duration;

use onceward_core::time::Timestamp;

/// Seconds since the epoch as `date -u -d TEXT +%s` of GNU coreutils counts them.
const DATES: [(u64, &str); 17] = [
    (0, "1970-01-01T00:00:00Z"),
    (59, "1970-01-01T00:00:59Z"),
    (3_599, "1970-01-01T00:59:59Z"),
    (86_399, "1970-01-01T23:59:59Z"),
    (86_400, "1970-01-02T00:00:00Z"),
    (5_097_599, "1970-02-28T23:59:59Z"),
    (5_097_600, "1970-03-01T00:00:00Z"),
    (68_169_600, "1972-02-29T00:00:00Z"),
    (94_694_399, "1972-12-31T23:59:59Z"),
    // 2000 is a leap year, 2100 is none.
    (951_782_400, "2000-02-29T00:00:00Z"),
    (951_868_800, "2000-03-01T00:00:00Z"),
    (1_709_164_800, "2024-02-29T00:00:00Z"),
    (1_795_262_403, "2026-11-21T12:00:03Z"),
    (4_107_542_399, "2100-02-28T23:59:59Z"),
    (4_107_542_400, "2100-03-01T00:00:00Z"),
    (13_574_563_200, "2400-02-29T00:00:00Z"),
    (253_402_300_799, "9999-12-31T23:59:59Z"),
];

#[test]
fn a_point_in_time_is_written_as_rfc_3339() {
    for (seconds, text) in DATES {
        assert_eq!(Timestamp::from_ms(seconds * 1_000).to_string(), text);
        assert_eq!(Timestamp::from_ms(seconds * 1_000 + 999).to_string(), text, "to the second");
    }
}

// covers: L9
#[test]
fn nothing_expires_by_overflow() {
    let now = Timestamp::from_ms(1_000);
    assert_eq!(now.after(Duration::from_millis(250)), Timestamp::from_ms(1_250));
    assert_eq!(now.after(Duration::MAX), Timestamp::from_ms(u64::MAX));
    assert_eq!(now.after(Duration::from_millis(u64::MAX)), Timestamp::from_ms(u64::MAX));
    assert_eq!(now.after(Duration::from_nanos(999_999)), now, "whole milliseconds count");
}

// covers: L9
#[test]
fn a_clock_that_went_back_measures_nothing() {
    let (earlier, later) = (Timestamp::from_ms(1_000), Timestamp::from_ms(1_250));
    assert_eq!(later.since(earlier), Duration::from_millis(250));
    assert_eq!(earlier.since(later), Duration::ZERO);
    assert_eq!(later.as_ms(), 1_250);
}
