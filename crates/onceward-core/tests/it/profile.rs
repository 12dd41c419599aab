//! The profiles, each held against its page under `docs/profiles/`, which is written from the published contract.

use std::fmt::Display;
use std::time::Duration;

use onceward_core::fingerprint::{Equality, Fingerprint, Request};
use onceward_core::key::{Key, KeyForm, KeyInvalid};
use onceward_core::outcome::{Finality, Policy, Statuses, WhenStoreDown};
use onceward_core::profile::{Manner, Namespace, Profile, RefusalBody, check_issue};
use onceward_core::record::{AfterRetention, OnMismatch};
use onceward_core::refusal::{Effect, PROBLEM_SLUGS, Refusal};
use onceward_core::secret::Secret;
use onceward_core::time::Timestamp;

use crate::refusal::refusal;

macro_rules! pages {
    ($($name:literal),+ $(,)?) => {
        const PAGES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../../docs/profiles/", $name, ".md")))),+];
    };
}

pages![
    "onceward",
    "ietf-07",
    "stripe-v1",
    "acp",
    "ucp",
    "adcp",
    "adcp-mcp",
    "oasis",
    "paypal",
    "idemstep",
    "idempot-js",
];

fn all() -> impl Iterator<Item = Profile> {
    Profile::NAMES.iter().map(|name| Profile::named(name).unwrap())
}

/// The rows that hold names of fields, which a page spells as people do and the program in lower case.
const FIELD_ROWS: [&str; 4] = ["| Field", "| Repeated", "| On first", "| On re"];

fn folded(line: &str) -> String {
    let is_of_fields = FIELD_ROWS.iter().any(|row| line.starts_with(row));
    if is_of_fields { line.to_ascii_lowercase() } else { line.to_owned() }
}

/// The table of settings that a page has.
fn table_of(page: &str) -> String {
    let (_, rest) = page.split_once("| Setting | Value |\n| --- | --- |\n").expect("the page has the table");
    rest.lines().take_while(|line| line.starts_with('|')).map(folded).collect::<Vec<_>>().join("\n")
}

fn table(profile: &Profile) -> String {
    let Profile { policy, manner, .. } = profile;
    let rows = [
        ("Fields with the key", list(profile.carriers.names().map(code))),
        ("Body member with the key", profile.body_member.as_ref().map_or_else(none, code)),
        ("Field with its time of issue", profile.issue_field.map_or_else(none, code)),
        ("Form of the key", form(profile)),
        ("Without a key", (if profile.is_key_required { "400 `key-missing`" } else { "passes" }).to_owned()),
        ("Guarded methods", list(profile.methods.iter())),
        ("A key is unique in", namespace(profile.namespace).to_owned()),
        ("Bodies are compared by", equality(&profile.equality).to_owned()),
        ("Another request under a key", on_mismatch(policy, manner)),
        ("A duplicate waits", format!("{} s, then {}", policy.wait.as_secs(), status(manner, "in-progress"))),
        ("Outcomes are kept", retention(policy, manner)),
        ("While the store is down", when_store_down(policy, manner)),
        ("Released", statuses(policy, |finality| matches!(finality, Finality::Released(_)))),
        ("In doubt", statuses(policy, |finality| matches!(finality, Finality::Doubtful(_)))),
        ("Cookies of an outcome", format!("{:?}", policy.cookies).to_lowercase()),
        ("Refusals", format!("{:?}", manner.body)),
        ("Codes of its own", list(manner.codes.iter().map(|(slug, own)| format!("{} `{own}`", code(slug))))),
        ("Repeated on every answer", list(manner.echo.iter().map(code))),
        ("On first answers", fields(manner.first)),
        ("On replays", fields(manner.replayed)),
        ("On refusals", fields(manner.refused)),
        ("On refusals of what was let in before", fields(manner.unsettled)),
    ];
    rows.map(|(name, value)| folded(&format!("| {name} | {value} |"))).join("\n")
}

fn none() -> String {
    "none".to_owned()
}

fn code(text: impl Display) -> String {
    format!("`{text}`")
}

fn list(items: impl Iterator<Item = impl Display>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    if items.is_empty() { none() } else { items.join(", ") }
}

fn fields(fields: &[(&str, &str)]) -> String {
    list(fields.iter().map(|(name, value)| code(format!("{name}: {value}"))))
}

fn form(profile: &Profile) -> String {
    let rule = profile.key_rule;
    let form = match rule.form {
        KeyForm::Any => "",
        KeyForm::Uuid => ", a UUID",
        KeyForm::UuidV4 => ", a UUIDv4",
        KeyForm::Timed => ", a UUIDv7 or ULID",
        KeyForm::Word => ", letters, digits and `_.:-`",
    };
    format!("{} to {} characters{form}", rule.chars_min, rule.chars_max)
}

fn namespace(namespace: Namespace) -> &'static str {
    match namespace {
        Namespace::Actor => "its actor",
        Namespace::Route => "a route of its actor",
        Namespace::Operation => "a method and path of its actor",
    }
}

fn equality(equality: &Equality) -> &'static str {
    match equality {
        Equality::Bytes => "their bytes",
        Equality::Canonical(_) => "their canonical form",
    }
}

fn status(manner: &Manner, slug: &str) -> String {
    format!("{} {}", manner.status(&refusal(slug)), code(slug))
}

fn when_store_down(policy: &Policy, manner: &Manner) -> String {
    match policy.when_store_down {
        WhenStoreDown::Closed => status(manner, "store-unavailable"),
        WhenStoreDown::Open => "passes unguarded".to_owned(),
    }
}

fn on_mismatch(policy: &Policy, manner: &Manner) -> String {
    match policy.on_mismatch {
        OnMismatch::Refuse => status(manner, "key-reused"),
        OnMismatch::Replay => "gets the first one's answer".to_owned(),
    }
}

fn retention(policy: &Policy, manner: &Manner) -> String {
    let hours = policy.retention.as_secs() / 3_600;
    let then = match policy.after_retention {
        AfterRetention::Refuse => status(manner, "key-expired"),
        AfterRetention::Execute => "the key is new".to_owned(),
    };
    format!("{hours} h, then {then}")
}

/// The statuses that are read so, as ranges.
fn statuses(policy: &Policy, is_read_so: impl Fn(Finality) -> bool) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for status in (200..600).filter(|status| is_read_so(policy.finality(*status, None))) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == status => *last = status,
            _ => ranges.push((status, status)),
        }
    }
    list(ranges.iter().map(
        |(first, last)| {
            if first == last { first.to_string() } else { format!("{first} to {last}") }
        },
    ))
}

// covers: C4
#[test]
fn each_page_shows_its_profiles_settings() {
    for (name, page) in PAGES {
        assert_eq!(table_of(page), table(&Profile::named(name).unwrap()), "docs/profiles/{name}.md");
    }
}

// covers: C4
#[test]
fn every_profile_is_found_by_its_name() {
    let found: Vec<&str> = all().map(|profile| profile.name).collect();
    assert_eq!(found, Profile::NAMES);
    assert_eq!(PAGES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), Profile::NAMES);
    for stranger in ["", "stripe", "ONCEWARD", "ietf_07", " acp"] {
        assert!(Profile::named(stranger).is_none(), "{stranger:?}");
    }
}

// covers: C4
#[test]
fn what_no_contract_may_set_is_the_same_in_all() {
    let usual = Policy::middleware();
    for Profile { name, policy, .. } in all() {
        let Policy { wait, retention, after_retention, on_mismatch, statuses, cookies, .. } = policy.clone();
        let Policy { final_statuses, released_statuses, doubtful_statuses, .. } = policy.clone();
        let expected = Policy {
            wait,
            retention,
            after_retention,
            on_mismatch,
            statuses,
            final_statuses,
            released_statuses,
            doubtful_statuses,
            cookies,
            ..usual.clone()
        };
        assert_eq!(
            policy, expected,
            "{name}: leases, memory and what a lapse or a panic means are not a contract's"
        );
        let foreign = name == "idemstep";
        assert_eq!(statuses == Statuses::Upstream, foreign, "{name}");
    }
}

// covers: C4, L5, O4
#[test]
fn no_profile_releases_on_a_server_error_or_a_success() {
    for Profile { name, policy, .. } in all() {
        for status in (200..400).chain(500..600) {
            assert!(!matches!(policy.finality(status, None), Finality::Released(_)), "{name}: {status}");
        }
    }
}

// covers: C4
#[test]
fn slugs_are_those_of_problem_types_and_names_of_fields_are_lower_case() {
    for Profile { name, carriers, issue_field, manner, .. } in all() {
        let slugs =
            manner.statuses.iter().map(|(slug, _)| slug).chain(manner.codes.iter().map(|(slug, _)| slug));
        for slug in slugs {
            assert!(PROBLEM_SLUGS.contains(slug), "{name}: {slug}");
        }
        for (slug, status) in manner.statuses {
            assert!((400..600).contains(status), "{name}: {slug} {status}");
        }
        let marks = [manner.first, manner.replayed, manner.refused, manner.unsettled].concat();
        let names = carriers.names().chain(issue_field).chain(manner.echo.iter().copied());
        for field in names.chain(marks.iter().map(|(field, _)| *field)) {
            assert!(!field.is_empty() && field == field.to_ascii_lowercase(), "{name}: {field}");
        }
        assert!(carriers.names().count() > 0 || manner.body == RefusalBody::Adcp, "{name} has no carrier");
    }
}

// covers: C4
#[test]
fn statuses_of_a_contract_take_the_place_of_ours() {
    let rows = [
        ("onceward", "key-reused", 422),
        ("ietf-07", "key-missing", 400),
        ("ietf-07", "key-reused", 422),
        ("ietf-07", "in-progress", 409),
        ("stripe-v1", "key-reused", 400),
        ("stripe-v1", "in-progress", 409),
        ("acp", "key-missing", 400),
        ("acp", "key-reused", 422),
        ("acp", "in-progress", 409),
        ("ucp", "key-reused", 409),
        ("ucp", "store-unavailable", 503),
        ("oasis", "key-invalid", 400),
        ("oasis", "key-reused", 400),
        ("oasis", "key-expired", 412),
        ("oasis", "history-lost", 412),
        ("oasis", "in-progress", 409),
        ("paypal", "key-missing", 400),
        ("paypal", "key-reused", 422),
        ("paypal", "in-progress", 409),
        ("idempot-js", "key-reused", 422),
    ];
    for (name, slug, status) in rows {
        let manner = Profile::named(name).unwrap().manner;
        assert_eq!(manner.status(&refusal(slug)), status, "{name}: {slug}");
    }
}

/// Two bodies, and the profiles under which they are one.
const PAIRS: &[(&str, &str, &[&str])] = &[
    (r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#, Profile::NAMES),
    (r#"{"a":1,"b":2}"#, r#"{ "b":2.0, "a":1 }"#, CANONICAL),
    (r#"{"a":null}"#, r"{}", &[]),
    (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#, &[]),
    (r#"{"a":1,"csrf_token":"x"}"#, r#"{"a":1,"csrf_token":"y"}"#, &["onceward", "ietf-07", "idemstep"]),
    (r#"{"a":1,"idempotency_key":"x"}"#, r#"{"a":1,"idempotency_key":"y"}"#, &["adcp"]),
    (r#"{"a":1,"context":{"trace":1}}"#, r#"{"a":1}"#, &["adcp"]),
    (r#"{"a":1,"governance_context":"x"}"#, r#"{"a":1,"governance_context":"y"}"#, &["adcp"]),
    (
        r#"{"push_notification_config":{"url":"u","authentication":{"schemes":["s"],"credentials":"x"}}}"#,
        r#"{"push_notification_config":{"url":"u","authentication":{"schemes":["s"],"credentials":"y"}}}"#,
        &["adcp"],
    ),
    (
        r#"{"push_notification_config":{"url":"u","authentication":{"schemes":["s"]}}}"#,
        r#"{"push_notification_config":{"url":"v","authentication":{"schemes":["s"]}}}"#,
        &[],
    ),
    (r#"{"ext":{"context":1,"credentials":"x"}}"#, r#"{"ext":{"context":1,"credentials":"y"}}"#, &[]),
    (r#"{"ext":{"context":1}}"#, r#"{"ext":{"context":2}}"#, &[]),
    (r#"{"id":1,"params":{"_meta":{"progressToken":1}}}"#, r#"{"id":"b","params":{}}"#, &["adcp-mcp"]),
    (
        r#"{"params":{"arguments":{"a":1,"context":1,"governance_context":"x","idempotency_key":"x"}}}"#,
        r#"{"params":{"arguments":{"a":1,"context":2,"governance_context":"y","idempotency_key":"y"}}}"#,
        &["adcp-mcp"],
    ),
    (
        r#"{"params":{"arguments":{"push_notification_config":{"url":"u","authentication":{"credentials":"x"}}}}}"#,
        r#"{"params":{"arguments":{"push_notification_config":{"url":"u","authentication":{"credentials":"y"}}}}}"#,
        &["adcp-mcp"],
    ),
    (r#"{"params":{"name":"a","arguments":{}}}"#, r#"{"params":{"name":"b","arguments":{}}}"#, &[]),
    (r#"{"params":{"arguments":{"id":1}}}"#, r#"{"params":{"arguments":{"id":2}}}"#, &[]),
];

const CANONICAL: &[&str] =
    &["onceward", "ietf-07", "stripe-v1", "acp", "adcp", "adcp-mcp", "paypal", "idemstep", "idempot-js"];

// covers: C4, F1
#[test]
fn each_contract_compares_bodies_in_its_own_way() {
    let secret = Secret::new([7; 32]);
    for (left, right, alike) in PAIRS {
        let found: Vec<&str> = all()
            .filter(|profile| {
                let [left, right] = [left, right].map(|body| {
                    let request = Request {
                        scheme: None,
                        authority: None,
                        method: "POST",
                        path_and_query: "/orders",
                        media_type: Some("application/json"),
                        body: body.as_bytes(),
                    };
                    Fingerprint::of(&secret, &request, &profile.equality).unwrap()
                });
                left == right
            })
            .map(|profile| profile.name)
            .collect();
        assert_eq!(&found, alike, "{left} {right}");
    }
}

// covers: C4
#[test]
fn a_refusal_is_not_called_rejected_while_the_first_request_may_have_acted() {
    let oasis = Profile::oasis().manner;
    for slug in PROBLEM_SLUGS {
        let refusal = refusal(slug);
        let is_rejected = refusal.effect() == Effect::None || *slug == "key-expired";
        let expected = if is_rejected { "rejected" } else { "accepted" };
        assert_eq!(oasis.marks(&refusal), [("repeatability-result", expected)], "{slug}");
    }
    assert_eq!(Manner::ONCEWARD.marks(&refusal("in-progress")), []);
}

// covers: C4, K7
#[test]
fn a_time_of_issue_is_used_only_to_refuse() {
    let now = Timestamp::from_ms(1_795_262_403_000);
    let hour = Duration::from_secs(3_600);
    let at = |offset_ms: i64| Some(Timestamp::from_ms(now.as_ms().saturating_add_signed(offset_ms)));
    let invalid = |why| Err(Refusal::KeyInvalid(why));
    let rows = [
        (None, invalid(KeyInvalid::Undated)),
        (at(0), Ok(())),
        (at(5 * 60 * 1_000), Ok(())),
        (at(5 * 60 * 1_000 + 1), invalid(KeyInvalid::FromTheFuture)),
        (at(-3_600_000), Ok(())),
        (at(-3_600_001), Err(Refusal::KeyExpired { effect: Effect::Unknown })),
    ];
    for (issued, expected) in rows {
        assert_eq!(check_issue(issued, now, hour), expected, "{issued:?}");
    }
    assert_eq!(
        KeyInvalid::Undated.to_string(),
        "the field with the key's time of issue is missing or holds no HTTP date"
    );
}

// covers: C4
#[test]
fn guards_knows_the_methods_of_a_contract() {
    let guarded = |name: &str| {
        let profile = Profile::named(name).unwrap();
        ["GET", "POST", "PUT", "PATCH", "DELETE", "post"].map(|method| profile.guards(method))
    };
    assert_eq!(guarded("onceward"), [false, true, true, true, true, false]);
    assert_eq!(guarded("ucp"), [false, true, true, false, false, false]);
    assert_eq!(guarded("stripe-v1"), [false, true, false, false, false, false]);
}

// covers: C4, K2
#[test]
fn keys_are_held_against_the_rule_of_their_contract() {
    let too_short = |chars_min| Err(KeyInvalid::TooShort { chars_min });
    let rows = [
        ("adcp", "order:17_2026-11.a", Ok(())),
        ("adcp", "0123456789abcde", too_short(16)),
        ("adcp", "0123456789abcdef", Ok(())),
        ("adcp", "0123456789abcde/", Err(KeyInvalid::WrongForm(KeyForm::Word))),
        ("ucp", "0123456789abcdefghijk", too_short(22)),
        ("ucp", "8e03978e-40d5-43e8-bc93-6894a57f9324", Ok(())),
        ("idempot-js", "V1StGXR8_Z5jdHi6B-myT", Ok(())),
        ("idempot-js", "V1StGXR8_Z5jdHi6B-my", too_short(21)),
        ("ietf-07", "a", Ok(())),
    ];
    for (name, text, expected) in rows {
        let rule = Profile::named(name).unwrap().key_rule;
        assert_eq!(rule.check(&Key::new(text).unwrap()), expected, "{name}: {text}");
    }
    let paypal = Profile::paypal().key_rule;
    assert_eq!(paypal.check(&Key::new(&"k".repeat(108)).unwrap()), Ok(()));
    assert_eq!(
        paypal.check(&Key::new(&"k".repeat(109)).unwrap()),
        Err(KeyInvalid::LongerThanAllowed { chars_max: 108 })
    );
}
