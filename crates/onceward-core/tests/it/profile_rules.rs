//! What profiles are made of: rules for keys, and sets of statuses.

use onceward_core::key::{KEY_CHARS_MAX, Key, KeyForm, KeyInvalid, KeyRule};
use onceward_core::outcome::{Finality, Policy, StatusSet, Untouched};
use onceward_core::record::DoubtReason;

const UUID_V4: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";
const UUID_V7: &str = "019aa5e0-7b2c-7c3d-9e4f-0123456789ab";
const ULID: &str = "01KAJY0YSC7GYSWKRF5J8YQ3AB";

// covers: K2
#[test]
fn a_form_takes_its_own_keys() {
    let rows: &[(KeyForm, &[&str], &[&str])] = &[
        (KeyForm::Any, &["a", "order/17", UUID_V4, UUID_V7, ULID], &[]),
        (
            KeyForm::Uuid,
            &[UUID_V4, UUID_V7, "8E03978E-40D5-43E8-BC93-6894A57F9324"],
            &[
                "a",
                ULID,
                "8e03978e40d543e8bc936894a57f9324",
                "8e03978e-40d5-43e8-bc93-6894a57f932",
                "8e03978e-40d5-43e8-bc93-6894a57f93245",
                "8e03978e-40d5-43e8-bc93_6894a57f9324",
                "ge03978e-40d5-43e8-bc93-6894a57f9324",
                "8e03978-e40d5-43e8-bc93-6894a57f9324",
            ],
        ),
        (KeyForm::UuidV4, &[UUID_V4], &["a", UUID_V7, ULID]),
        (KeyForm::Timed, &[UUID_V7, ULID], &["a", UUID_V4]),
        (KeyForm::Word, &["a", "A_b.c:d-9", UUID_V4, ULID], &["a/b", "a+b", "a~b", "a@b", "a=b"]),
    ];
    for (form, taken, refused) in rows {
        let rule = KeyRule { form: *form, ..KeyRule::ANY };
        for text in *taken {
            assert_eq!(rule.check(&Key::new(text).unwrap()), Ok(()), "{form:?}: {text}");
        }
        for text in *refused {
            let found = rule.check(&Key::new(text).unwrap());
            assert_eq!(found, Err(KeyInvalid::WrongForm(*form)), "{form:?}: {text}");
        }
    }
}

// covers: K2
#[test]
fn lengths_are_bounds_that_count_themselves() {
    let rule = KeyRule { chars_min: 3, chars_max: 5, form: KeyForm::Word };
    let rows = [
        ("ab", Err(KeyInvalid::TooShort { chars_min: 3 })),
        ("abc", Ok(())),
        ("abcde", Ok(())),
        ("abcdef", Err(KeyInvalid::LongerThanAllowed { chars_max: 5 })),
        // The length is told first.
        ("//", Err(KeyInvalid::TooShort { chars_min: 3 })),
    ];
    for (text, expected) in rows {
        assert_eq!(rule.check(&Key::new(text).unwrap()), expected, "{text}");
    }
    assert_eq!(KeyRule::ANY, KeyRule { chars_min: 1, chars_max: KEY_CHARS_MAX, form: KeyForm::Any });
}

// covers: K2
#[test]
fn a_key_that_breaks_a_rule_is_told_which() {
    let rows = [
        (KeyInvalid::TooShort { chars_min: 21 }, "the key has fewer than 21 characters"),
        (KeyInvalid::LongerThanAllowed { chars_max: 108 }, "the key has more than 108 characters"),
        (KeyInvalid::WrongForm(KeyForm::Any), "the key has another form than this route asks for"),
        (KeyInvalid::WrongForm(KeyForm::Uuid), "the key is not a UUID"),
        (KeyInvalid::WrongForm(KeyForm::UuidV4), "the key is not a UUID of version 4"),
        (KeyInvalid::WrongForm(KeyForm::Timed), "the key is neither a UUIDv7 nor a ULID"),
        (
            KeyInvalid::WrongForm(KeyForm::Word),
            "the key has other characters than letters, digits and `_.:-`",
        ),
    ];
    for (why, text) in rows {
        assert_eq!(why.to_string(), text);
    }
}

fn members(set: StatusSet) -> Vec<u16> {
    (0..=u16::MAX).filter(|status| set.contains(*status)).collect()
}

// covers: O4
#[test]
fn a_set_of_statuses_holds_what_was_put_in() {
    let rows: &[((u16, u16), Vec<u16>)] = &[
        ((100, 100), vec![100]),
        ((99, 100), vec![100]),
        ((0, 99), vec![]),
        ((599, 600), vec![599]),
        ((600, u16::MAX), vec![]),
        ((404, 403), vec![]),
        // The edges of the words in which the bits are kept: 64 statuses each, from 100.
        ((163, 164), vec![163, 164]),
        ((227, 228), vec![227, 228]),
        ((547, 548), vec![547, 548]),
        ((500, 502), vec![500, 501, 502]),
        ((0, u16::MAX), (100..600).collect()),
    ];
    for ((first, last), expected) in rows {
        assert_eq!(&members(StatusSet::NONE.with(*first, *last)), expected, "{first} to {last}");
    }
    assert_eq!(members(StatusSet::NONE), [0; 0]);
    assert_eq!(StatusSet::default(), StatusSet::NONE);
    let both = StatusSet::NONE.with(400, 401).with(401, 403);
    assert_eq!(members(both), [400, 401, 402, 403]);
}

// covers: L5, O4
#[test]
fn a_routes_own_sets_outrank_how_statuses_are_read() {
    let policy = Policy {
        final_statuses: StatusSet::NONE.with(429, 429).with(500, 500),
        released_statuses: StatusSet::NONE.with(429, 429).with(409, 409).with(501, 501),
        doubtful_statuses: StatusSet::NONE.with(500, 502).with(401, 401),
        ..Policy::middleware()
    };
    let doubtful = |status| Finality::Doubtful(DoubtReason::AmbiguousStatus(status));
    let released = |status| Finality::Released(Untouched::Declined(status));
    let rows = [
        (200, Finality::Final),
        (401, doubtful(401)),
        (403, released(403)),
        (409, released(409)),
        (429, Finality::Final),
        (500, Finality::Final),
        (501, released(501)),
        (502, doubtful(502)),
        (503, Finality::Final),
    ];
    for (status, expected) in rows {
        assert_eq!(policy.finality(status, None), expected, "{status}");
        assert_eq!(policy.finality(status, Some(true)), Finality::Final, "{status}");
        assert_eq!(
            policy.finality(status, Some(false)),
            Finality::Released(Untouched::NotConsumed),
            "{status}"
        );
    }
}
