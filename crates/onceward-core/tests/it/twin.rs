//! Requests that ask for the same under different keys: their id, their mark, their confirmation, and what stands in their way.

use std::error::Error;
use std::time::Duration;

use onceward_core::actor::{Actor, LookupId, Tenant};
use onceward_core::fingerprint::{Fingerprint, Request};
use onceward_core::outcome::Policy;
use onceward_core::record::{
    Attempt, AttemptId, DoubtReason, Epoch, Event, OnLapse, Precedent, Record, Sealed, Seen, Terms, Verdict,
};
use onceward_core::secret::Secret;
use onceward_core::time::Timestamp;
use onceward_core::twin::{
    Bid, Confirmation, Confirmed, FIELDS_MAX, Holder, Mark, Placed, TwinFields, TwinId, TwinRule,
    TwinRuleInvalid, WINDOW_MAX,
};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn secret() -> Secret {
    Secret::new([7; 32])
}

fn alice() -> Actor {
    Actor::new("session", b"alice")
}

fn fields(paths: &[&str]) -> TwinFields {
    TwinFields::parse(paths.iter().copied()).unwrap()
}

fn request<'a>(media_type: &'a str, body: &'a str) -> Request<'a> {
    Request {
        scheme: Some("https"),
        authority: Some("shop.example"),
        method: "POST",
        path_and_query: "/orders?draft=1",
        media_type: Some(media_type),
        body: body.as_bytes(),
    }
}

fn id_of(request: &Request<'_>, paths: &[&str]) -> Option<TwinId> {
    TwinId::of(&secret(), &Tenant::single(), &alice(), request, &fields(paths))
}

fn id(media_type: &str, body: &str) -> Option<TwinId> {
    id_of(&request(media_type, body), &["$.cart", "$.amount"])
}

// covers: P5
#[test]
fn requests_of_one_meaning_share_an_id() {
    let rows = [
        (
            JSON,
            r#"{"cart":"c1","amount":1}"#,
            r#"{ "amount": 1.0, "note": "again", "cart": "\u00631" }"#,
            true,
        ),
        (JSON, r#"{"cart":{"a":1,"b":2},"amount":1}"#, r#"{"cart":{"b":2,"a":1e0},"amount":1}"#, true),
        (JSON, r#"{"cart":["a","b"],"amount":1}"#, r#"{"cart":["b","a"],"amount":1}"#, false),
        (JSON, r#"{"cart":"c1","amount":1}"#, r#"{"cart":"c1","amount":"1"}"#, false),
        (JSON, r#"{"cart":"c1","amount":1}"#, r#"{"cart":"c1","amount":null}"#, false),
        // One value is not told from another by where it ends.
        (JSON, r#"{"cart":"c1","amount":12}"#, r#"{"cart":"c11","amount":2}"#, false),
        (FORM, "cart=c1&amount=1", "amount=1&token=fresh&cart=c%31", true),
        (FORM, "cart=c1&cart=c2&amount=1", "amount=1&cart=c1&cart=c2", true),
        (FORM, "cart=c1&cart=c2&amount=1", "cart=c2&cart=c1&amount=1", false),
        (FORM, "cart=c1&amount=1", "cart=c1&amount=1.0", false),
        (FORM, "cart=&amount=1", "cart=c1&amount=1", false),
    ];
    for (media_type, first, second, same) in rows {
        let (first_id, second_id) = (id(media_type, first), id(media_type, second));
        assert!(first_id.is_some() && second_id.is_some(), "{first} {second}");
        assert_eq!(first_id == second_id, same, "{first} {second}");
    }
    // A form's text and JSON's are two requests.
    assert_ne!(id_of(&request(FORM, "n=1"), &["$.n"]), id_of(&request(JSON, r#"{"n":1}"#), &["$.n"]));
}

// covers: P5
#[test]
fn a_body_that_lacks_a_field_has_no_id() {
    let rows = [
        (JSON, r#"{"cart":"c1"}"#),
        (JSON, "[]"),
        (JSON, "7"),
        (JSON, ""),
        (JSON, r#"{"cart":"c1","amount":1"#),
        (JSON, r#"{"cart":"c1","amount":1,"amount":2}"#),
        (FORM, "cart=c1"),
        (FORM, ""),
        ("text/plain", r#"{"cart":"c1","amount":1}"#),
        ("multipart/form-data; boundary=x", "--x\r\n\r\n--x--"),
    ];
    for (media_type, body) in rows {
        assert_eq!(id(media_type, body), None, "{media_type} {body}");
    }
    // The fields of a form are no objects.
    assert_eq!(id_of(&request(FORM, "a=1"), &["$.a.b"]), None);
    assert_eq!(id_of(&request(FORM, "a=1"), &["$[0]"]), None);
}

/// Whoever it is, and whatever it is sent to, is part of what is asked.
// covers: P5, K4
#[test]
fn another_actor_or_target_is_another_id() {
    let body = r#"{"cart":"c1","amount":1}"#;
    let base = request(JSON, body);
    let paths = ["$.cart", "$.amount"];
    let mut ids = vec![
        id_of(&base, &paths),
        id_of(&base, &["$.cart"]),
        id_of(&Request { scheme: Some("http"), ..base }, &paths),
        id_of(&Request { authority: Some("other.example"), ..base }, &paths),
        id_of(&Request { method: "PUT", ..base }, &paths),
        id_of(&Request { path_and_query: "/orders", ..base }, &paths),
    ];
    let of = |secret: &Secret, tenant: &Tenant, actor: &Actor| {
        TwinId::of(secret, tenant, actor, &base, &fields(&paths))
    };
    ids.push(of(&Secret::new([8; 32]), &Tenant::single(), &alice()));
    ids.push(of(&secret(), &Tenant::named("other"), &alice()));
    ids.push(of(&secret(), &Tenant::single(), &Actor::new("session", b"bob")));
    ids.push(of(&secret(), &Tenant::single(), &Actor::new("cookie", b"alice")));
    for (number, id) in ids.iter().enumerate() {
        assert!(id.is_some() && !ids[..number].contains(id), "{number}");
    }
    let spelt = Request { scheme: Some("HTTPS"), authority: Some("Shop.Example"), ..base };
    assert_eq!(id_of(&spelt, &["$.amount", "$['cart']", "$.cart"]), ids[0]);
}

/// Computed beside this code: HMAC-SHA-256 over the length-prefixed fields.
// covers: P5
#[test]
fn the_id_is_the_one_that_stores_hold() {
    let found = id(JSON, r#"{"amount": 12.50, "cart": {"id": "c1"}}"#).unwrap();
    let hex: String = found.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "8be4ec76482c74c676b4fcc5afe6badf15b2b74b7505f3e6c7c1c9a5ad3812f1");
    assert_eq!(TwinId::from_bytes(*found.as_bytes()), found);
    assert_eq!(format!("{found:?}"), "TwinId(8be4ec76482c74c6)");
}

// covers: P5, S1
#[test]
fn fields_lead_to_one_value_each_and_are_few() {
    assert_eq!(fields(&["$.b", "$['a']", "$.b"]).paths().collect::<Vec<_>>(), ["$.a", "$.b"]);
    assert_eq!(format!("{:?}", fields(&["$.b", "$.a"])), r#"["$.a", "$.b"]"#);
    assert_eq!(TwinFields::parse([]), Err(TwinRuleInvalid::NoField));
    let many: Vec<_> = (0..=FIELDS_MAX).map(|number| format!("$.f{number}")).collect();
    let parsed = |count: usize| TwinFields::parse(many[..count].iter().map(String::as_str));
    assert!(parsed(FIELDS_MAX).is_ok());
    assert_eq!(parsed(FIELDS_MAX + 1), Err(TwinRuleInvalid::TooMany));
    for path in ["$", "$..a", "$.*", "$[-1]", "cart", "", "$.a[0,1]"] {
        let invalid = TwinFields::parse([path]).unwrap_err();
        assert!(matches!(&invalid, TwinRuleInvalid::Path { path: named, .. } if **named == *path));
        assert!(Error::source(&invalid).is_some(), "{path}");
    }
}

// covers: P5, S1
#[test]
fn a_window_is_some_time_and_a_month_at_most() {
    let rule = |window| TwinRule::new(["$.a"], window).map(|rule| rule.window());
    let shortest = Duration::from_nanos(1);
    assert_eq!(rule(Duration::ZERO), Err(TwinRuleInvalid::Window));
    assert_eq!(rule(shortest), Ok(shortest));
    assert_eq!(rule(WINDOW_MAX), Ok(Duration::from_hours(31 * 24)));
    assert_eq!(rule(WINDOW_MAX + shortest), Err(TwinRuleInvalid::Window));
    assert_eq!(TwinRule::new([], WINDOW_MAX), Err(TwinRuleInvalid::NoField));
}

const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);
const WINDOW: Duration = Duration::from_secs(600);

fn holder(id: u8, epoch: u64) -> Holder {
    Holder { id: LookupId::from_bytes([id; 32]), epoch: Epoch(epoch) }
}

// covers: P5, L11
#[test]
fn a_mark_is_taken_where_it_is_free_or_its_holder_was_seen() {
    let mark = |holder| Mark { holder, since: NOW, until: NOW.after(WINDOW) };
    let held = mark(holder(1, 7));
    let bid = |holder, replaces| Bid { holder, window: WINDOW, replaces };
    let later = NOW.after(Duration::from_secs(1));
    let set = |holder| Placed::Set(Mark { holder, since: later, until: later.after(WINDOW) });
    let rows = [
        (None, bid(holder(2, 8), None), set(holder(2, 8))),
        (Some(held), bid(holder(2, 8), None), Placed::Taken(held)),
        // A repetition says the same again, and moves nothing.
        (Some(held), bid(holder(1, 7), None), Placed::Held),
        // The next attempt of the same key follows; a late copy of an earlier one's bid does not.
        (Some(held), bid(holder(1, 8), None), set(holder(1, 8))),
        (Some(held), bid(holder(1, 6), None), Placed::Taken(held)),
        (Some(held), bid(holder(2, 8), Some(holder(1, 7))), set(holder(2, 8))),
        // Somebody else took it since, be it the same key anew.
        (Some(held), bid(holder(2, 8), Some(holder(1, 6))), Placed::Taken(held)),
        (Some(held), bid(holder(2, 8), Some(holder(3, 7))), Placed::Taken(held)),
    ];
    for (found, bid, expected) in rows {
        assert_eq!(bid.on(found, later), expected, "{bid:?} on {found:?}");
    }
    let other = bid(holder(2, 8), None);
    assert_eq!(other.on(Some(held), Timestamp::from_ms(held.until.as_ms() - 1)), Placed::Taken(held));
    let until = held.until.after(WINDOW);
    let freed = Mark { holder: holder(2, 8), since: held.until, until };
    assert_eq!(other.on(Some(held), held.until), Placed::Set(freed));
}

fn confirmed() -> Confirmed {
    Confirmed { twin: TwinId::from_bytes([1; 32]), own: LookupId::from_bytes([2; 32]), holder: holder(3, 9) }
}

/// 2026-11-21T12:10:03Z.
const UNTIL: Timestamp = Timestamp::from_ms(1_795_263_003_000);

/// The text was computed beside this code.
// covers: P5
#[test]
fn a_confirmation_is_for_one_key_one_effect_and_a_time() {
    let token = Confirmation::issue(&secret(), &confirmed(), UNTIL);
    let text = token.to_text();
    assert_eq!(text, "AAABof4DeXgCbEDNzEsdxX6_stHSdqO0gl8osPy6Ht4tIuB_5PNijA");
    assert_eq!(Confirmation::parse(&text), Some(token));
    assert_eq!(format!("{token:?}"), "Confirmation(..)");
    let before = Timestamp::from_ms(UNTIL.as_ms() - 1);
    assert!(token.confirms(&secret(), &confirmed(), before));
    assert!(!token.confirms(&secret(), &confirmed(), UNTIL));
    assert!(!token.confirms(&Secret::new([8; 32]), &confirmed(), before));
    let others = [
        Confirmed { twin: TwinId::from_bytes([9; 32]), ..confirmed() },
        Confirmed { own: LookupId::from_bytes([9; 32]), ..confirmed() },
        Confirmed { holder: holder(9, 9), ..confirmed() },
        Confirmed { holder: holder(3, 10), ..confirmed() },
    ];
    for other in others {
        assert!(!token.confirms(&secret(), &other, before), "{other:?}");
    }
}

/// Nobody gives himself more time, or any time at all.
// covers: P5
#[test]
fn a_changed_confirmation_is_none() {
    let text = Confirmation::issue(&secret(), &confirmed(), UNTIL).to_text();
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'B' { b'C' } else { b'B' };
        let read = Confirmation::parse(std::str::from_utf8(&changed).unwrap());
        assert!(!read.is_some_and(|read| read.confirms(&secret(), &confirmed(), NOW)), "{at}");
    }
    for text in ["", "yes", &text[1..], &format!("{text}AA"), &format!(" {text}"), "ä"] {
        assert_eq!(Confirmation::parse(text), None, "{text:?}");
    }
}

fn terms(on_lapse: OnLapse) -> Terms {
    Terms { on_lapse, ..Policy::middleware().terms() }
}

const ATTEMPT: Attempt = Attempt { epoch: Epoch(4), id: AttemptId([4; 16]) };

fn claimed(on_lapse: OnLapse) -> Record {
    let fingerprint = Fingerprint::from_bytes(&[1; 33]).unwrap();
    let arrived = Event::Arrived { attempt: ATTEMPT, fingerprint, terms: terms(on_lapse), request: None };
    Record::absent().on(arrived, NOW).0
}

fn then(record: Record, event: Event) -> Record {
    record.on(event, NOW).0
}

/// What is not known not to have happened stands.
// covers: P5
#[test]
fn an_effect_stands_unless_it_is_known_not_to_have_happened() {
    let answer = Sealed(b"201".to_vec());
    let running = claimed(OnLapse::Doubt);
    let doubted = then(running.clone(), Event::Doubted { attempt: ATTEMPT, reason: DoubtReason::NoAnswer });
    let done = then(running.clone(), Event::Completed { attempt: ATTEMPT, outcome: answer.clone() });
    let late = then(doubted.clone(), Event::Completed { attempt: ATTEMPT, outcome: answer.clone() });
    let found = |verdict| then(doubted.clone(), Event::Resolved { verdict, judged: ATTEMPT.epoch });
    let cancel = Event::Cancelled { remember: Duration::from_secs(60) };
    let policy = Policy::middleware();
    let (lapsed, expired) = (NOW.after(policy.lease), NOW.after(policy.retention));
    let stands = Precedent::Stands;
    let rows = [
        ("absent", Record::absent(), NOW, Precedent::None),
        ("running", running.clone(), NOW, stands(Seen::Claimed)),
        ("lapsed", running.clone(), lapsed, stands(Seen::InDoubt)),
        ("lapsed, may run again", claimed(OnLapse::Execute), lapsed, stands(Seen::Claimed)),
        ("released", then(running, Event::Released { attempt: ATTEMPT }), NOW, Precedent::None),
        ("done", done.clone(), NOW, Precedent::Answered(answer.clone())),
        ("done late", late, NOW, Precedent::Answered(answer.clone())),
        ("expired", done.clone(), expired, stands(Seen::Expired)),
        ("forgotten", done, expired.after(policy.remember), Precedent::None),
        ("in doubt", doubted.clone(), NOW, stands(Seen::InDoubt)),
        ("abandoned", then(doubted.clone(), cancel.clone()), NOW, stands(Seen::InDoubt)),
        ("vouched", found(Verdict::Happened(None)), NOW, stands(Seen::Done)),
        ("vouched, with its answer", found(Verdict::Happened(Some(answer))), NOW, stands(Seen::Done)),
        ("diverged", found(Verdict::Multiple(None)), NOW, stands(Seen::Done)),
        ("found absent", found(Verdict::Absent), NOW, Precedent::None),
        ("cancelled", then(Record::absent(), cancel), NOW, Precedent::None),
    ];
    for (name, record, now, expected) in rows {
        assert_eq!(record.precedent(now), expected, "{name}");
    }
}

/// A declined card is no order; a 500 may be one.
// covers: P5
#[test]
fn only_a_verdict_of_the_client_s_fault_says_that_nothing_happened() {
    let standing: Vec<_> = (100..=599).filter(|status| Precedent::stands_by_status(*status)).collect();
    let expected: Vec<_> = (100..=399).chain(500..=599).collect();
    assert_eq!(standing, expected);
}

/// Who configures it is told what is wrong, and where.
// covers: P5
#[test]
fn each_mistake_of_a_rule_says_what_is_wrong() {
    let no_path = TwinFields::parse(["$.."]).unwrap_err();
    let told = [TwinRuleInvalid::NoField, TwinRuleInvalid::TooMany, no_path, TwinRuleInvalid::Window]
        .map(|invalid| (invalid.to_string(), invalid.source().is_some()));
    let expected = [
        ("no field is named", false),
        ("more than 16 fields are named", false),
        ("`$..` does not lead to one value by names and indexes, such as `$.cart`", true),
        ("a window lasts some time, and 31 days at the most", false),
    ];
    assert_eq!(told, expected.map(|(text, has_cause)| (text.to_owned(), has_cause)));
}
