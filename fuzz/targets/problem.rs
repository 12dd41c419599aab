//! Fed: lines; the first is an `Accept`, the others are what a request adds to its refusal. The last byte picks the refusal and its form.
//!
//! What must hold: of the forms that the `Accept` takes, one that it wants most is chosen; JSON where it takes none, and where there is
//! none (RFC 9110, 12.5.1). Whatever the request says of itself stands as it is in the JSON and in the Markdown, and changes no tag and
//! no line of a page (C3).

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use onceward_core::{
    key::Key,
    problem::{Form, Problem},
    profile::Profile,
    record::DoubtReason,
    refusal::{Doubt, Refusal, Told},
    time::Timestamp,
};
use serde_json::{Map, Value};

fuzz_target!(|data: &[u8]| {
    let Some((pick, text)) = data.split_last() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let (accept, words) = text.split_once('\n').unwrap_or((text, ""));
    negotiated(accept);

    let mut words = words.splitn(5, '\n');
    let mut word = || words.next().unwrap_or_default();
    let refusal = refusal(*pick, word());
    let key = Key::new(word()).ok();
    let problem = Problem {
        refusal: &refusal,
        type_base: "https://onceward.test/problems/",
        instance: word(),
        key: key.as_ref(),
        effect: Some(word()),
        cause: Some(word()),
        status_url: None,
        earlier_url: None,
    };
    rendered(&problem, *pick / 6);
});

/// A text in quotes has commas that are none: such lists are another matter.
fn negotiated(accept: &str) {
    assert_eq!(Form::accepted(None), Form::Json);
    if accept.contains('"') {
        return;
    }
    let weights = [
        (Form::Json, weight(accept, "application/problem+json").max(weight(accept, "application/json"))),
        (Form::Markdown, weight(accept, "text/markdown")),
        (Form::Html, weight(accept, "text/html").max(weight(accept, "application/xhtml+xml"))),
    ];
    let chosen = Form::accepted(Some(accept));
    let most = weights.iter().map(|(_, weight)| *weight).max().unwrap_or_default();
    let own = weights.iter().find(|(form, _)| *form == chosen).map(|(_, weight)| *weight);
    assert_eq!(own, Some(most), "{chosen:?} of {weights:?}");
    if most == 0 {
        assert_eq!(chosen, Form::Json);
    }
}

/// The weight of a media type in thousandths: that of the closest range, the first of several.
fn weight(accept: &str, media_type: &str) -> u32 {
    let (kind, _) = media_type.split_once('/').expect("a media type");
    for range in [media_type, &format!("{kind}/*"), "*/*"] {
        for item in accept.split(',') {
            let mut parts = item.split(';').map(str::trim);
            if !parts.next().is_some_and(|name| name.eq_ignore_ascii_case(range)) {
                continue;
            }
            let weight = parts.find_map(|part| {
                let (name, value) = part.split_once('=')?;
                name.eq_ignore_ascii_case("q").then_some(value)
            });
            return match weight.map(|text| (text, text.as_bytes())) {
                None => 1_000,
                // By the grammar of RFC 9110, 12.4.2.
                Some((text, [whole @ (b'0' | b'1'), rest @ ..])) => {
                    let digits = rest.strip_prefix(b".").unwrap_or(rest);
                    let is_number = rest.is_empty() || rest[0] == b'.';
                    let is_short = digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit);
                    let value = text.parse::<f64>().map_or(0.0, |value| value * 1_000.0);
                    let is_in_range = *whole == b'0' || value <= 1_000.0;
                    if is_number && is_short && is_in_range { value.round() as u32 } else { 0 }
                }
                Some(_) => 0,
            };
        }
    }
    0
}

fn refusal(pick: u8, word: &str) -> Refusal {
    match pick % 6 {
        0 => Refusal::BodyInvalid(word.to_owned()),
        1 => Refusal::OutcomeUnknown(Doubt {
            reason: DoubtReason::AmbiguousStatus(u16::from(pick) * 7),
            sent_at: Timestamp::from_ms(1_795_000_000_000),
            told: Told::Repeat,
        }),
        2 => Refusal::InProgress { retry_after: Duration::from_millis(u64::from(pick)) },
        3 => Refusal::KeyReused,
        4 => Refusal::OutcomeNotKept { status: Some(200 + u16::from(pick)) },
        _ => Refusal::PreconditionFailed,
    }
}

fn rendered(problem: &Problem<'_>, pick: u8) {
    let json: Map<String, Value> = serde_json::from_str(&problem.render(Form::Json)).expect("an object");
    assert_eq!(json["instance"], problem.instance);
    assert_eq!(json["cause"], problem.cause.unwrap_or_default());
    assert_eq!(json["detail"], problem.detail());
    assert_eq!(json.get("idempotency_key").and_then(Value::as_str), problem.key.map(Key::expose));

    let plain_refusal = match problem.refusal {
        Refusal::BodyInvalid(_) => Refusal::BodyInvalid("plain".to_owned()),
        other => other.clone(),
    };
    let plain = Problem {
        refusal: &plain_refusal,
        instance: "i",
        effect: Some("e"),
        cause: Some("c"),
        ..problem.clone()
    };
    match pick % 3 {
        0 => {
            let markdown = problem.render(Form::Markdown);
            assert_eq!(front_matter(&markdown), json);
            assert_eq!(markdown.lines().count(), plain.render(Form::Markdown).lines().count());
        }
        1 => assert_eq!(tags(&problem.render(Form::Html)), tags(&plain.render(Form::Html))),
        _ => {
            let name = Profile::NAMES[usize::from(pick / 3) % Profile::NAMES.len()];
            let manner = Profile::named(name).expect("a profile of its name").manner;
            let object =
                |problem: &Problem<'_>| serde_json::from_str(&problem.render_as(Form::Json, &manner));
            let (object, plain): (Value, Value) =
                (object(problem).expect("JSON"), object(&plain).expect("JSON"));
            assert_eq!(shape(&object), shape(&plain));
        }
    }
}

fn front_matter(markdown: &str) -> Map<String, Value> {
    let rest = markdown.strip_prefix("---\n").expect("front matter");
    let (members, _) = rest.split_once("\n---\n").expect("its end");
    let member = |line: &str| {
        let (name, value) = line.split_once(": ").expect("a member");
        (name.to_owned(), serde_json::from_str(value).expect("a value as JSON writes it"))
    };
    members.split('\n').map(member).collect()
}

/// The tags of a page, in their order, with what is in them.
fn tags(html: &str) -> Vec<&str> {
    html.split('<').skip(1).map(|tag| tag.split('>').next().unwrap_or_default()).collect()
}

/// Names and kinds, without the texts.
fn shape(value: &Value) -> Value {
    match value {
        Value::String(_) => Value::Null,
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        other => other.clone(),
    }
}
