//! Refusals on the wire, against `vectors/problem.json` and against values that try to break out.

use std::collections::BTreeMap;
use std::time::Duration;

use onceward_core::key::Key;
use onceward_core::problem::{Form, Problem, page, seconds_up};
use onceward_core::refusal::{PROBLEM_SLUGS, Refusal};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::refusal::refusal;
use crate::vectors;

#[derive(Deserialize)]
struct Vectors {
    types: Vec<Named>,
    accept: Vec<AcceptCase>,
    goldens: Vec<Golden>,
}

#[derive(Deserialize)]
struct Named {
    refusal: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptCase {
    description: String,
    source: String,
    accept: Option<String>,
    form: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    description: String,
    source: String,
    refusal: String,
    instance: String,
    key: Option<String>,
    effect: Option<String>,
    status_url: Option<String>,
    earlier_url: Option<String>,
    json: String,
    markdown: Vec<String>,
    html: String,
}

const TYPE_BASE: &str = "https://onceward.test/problems/";

fn cases() -> Vectors {
    vectors::read(include_str!("../../../../vectors/problem.json"))
}

fn problem<'a>(refusal: &'a Refusal, instance: &'a str) -> Problem<'a> {
    Problem {
        refusal,
        type_base: TYPE_BASE,
        instance,
        key: None,
        effect: None,
        cause: None,
        status_url: None,
        earlier_url: None,
    }
}

// covers: C3
#[test]
fn accept_chooses_the_form() {
    for case in cases().accept {
        let expected = match &*case.form {
            "json" => Form::Json,
            "markdown" => Form::Markdown,
            "html" => Form::Html,
            other => panic!("unknown form {other}"),
        };
        let found = Form::accepted(case.accept.as_deref());
        assert_eq!(found, expected, "{} ({}): {:?}", case.description, case.source, case.accept);
    }
}

// covers: C3
#[test]
fn a_form_has_its_media_type() {
    let types = [Form::Json, Form::Markdown, Form::Html].map(Form::content_type);
    assert_eq!(
        types,
        ["application/problem+json", "text/markdown; charset=utf-8", "text/html; charset=utf-8"]
    );
}

// covers: C3, D1, W1, P5
#[test]
fn a_refusal_is_written_as_the_goldens_have_it() {
    for golden in cases().goldens {
        let context = format!("{} ({})", golden.description, golden.source);
        let key = golden.key.as_deref().map(|key| Key::new(key).unwrap());
        let refusal = refusal(&golden.refusal);
        let problem = Problem {
            key: key.as_ref(),
            effect: golden.effect.as_deref(),
            cause: None,
            status_url: golden.status_url.as_deref(),
            earlier_url: golden.earlier_url.as_deref(),
            ..problem(&refusal, &golden.instance)
        };
        assert_eq!(problem.render(Form::Json), golden.json, "{context}");
        assert_eq!(problem.render(Form::Markdown), golden.markdown.join("\n"), "{context}");
        let html = problem.render(Form::Html);
        let (_, body) = html.split_once("</style>").unwrap();
        let (body, footer) = body.split_once("<footer>").unwrap();
        assert_eq!(body, golden.html, "{context}");
        assert_eq!(
            footer, "Answered by onceward, not by the site.</footer></main></body></html>\n",
            "{context}"
        );
    }
}

// covers: K6
#[test]
fn no_page_shows_its_key() {
    let key = Key::new("8e03978e-40d5-43dd").unwrap();
    for named in cases().types {
        let refusal = refusal(&named.refusal);
        let problem = Problem { key: Some(&key), ..problem(&refusal, "/") };
        assert!(!problem.render(Form::Html).contains(key.expose()), "{}", named.refusal);
        assert!(problem.render(Form::Json).contains(key.expose()), "{}", named.refusal);
        assert!(!format!("{problem:?}").contains(key.expose()), "{}", named.refusal);
    }
}

// covers: C3
#[test]
fn every_refusal_has_every_member() {
    for named in cases().types {
        let refusal = refusal(&named.refusal);
        let value: Value = serde_json::from_str(&problem(&refusal, "/orders").render(Form::Json)).unwrap();
        for member in
            ["type", "title", "status", "detail", "instance", "retryable", "effect", "retry", "next_action"]
        {
            assert!(!value[member].is_null(), "{}: {member}", named.refusal);
        }
        let retry_after = refusal.retry_after().map(|pause| Value::from(seconds_up(pause)));
        assert_eq!(value.get("retry_after"), retry_after.as_ref(), "{}", named.refusal);
    }
}

// covers: W1
#[test]
fn a_pause_is_whole_seconds_and_never_too_short() {
    let pauses_ms = [0, 1, 999, 1_000, 1_001, 1_500, 2_000, 30_000];
    let seconds = pauses_ms.map(|pause_ms| seconds_up(Duration::from_millis(pause_ms)));
    assert_eq!(seconds, [1, 1, 1, 1, 2, 2, 2, 30]);
    assert_eq!(seconds_up(Duration::from_secs(u64::MAX)), u64::MAX);
}

/// Values that have broken out of somebody's quotes.
const HOSTILE: [&str; 14] = [
    "\"",
    "\\",
    "\\\"",
    "a\nb: c\n---\n",
    "a\r\nb",
    "a\u{2028}b\u{2029}c\u{85}d",
    "</p><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "&lt;b&gt;&#x202e;",
    "![x](javascript:alert(1)) [y](http://evil.example) `z` **bold** _it_ # h | t ~s~ <b>",
    "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m",
    "\u{202e}drowssap\u{2066}\u{feff}\u{fffe}\u{ffff}\u{61c}\u{200f}",
    "\0\u{7f}\u{80}\u{9f}",
];

/// The doubt page has every value that comes from outside.
fn doubtful<'a>(refusal: &'a Refusal, value: &'a str, key: &'a Key) -> Problem<'a> {
    Problem {
        key: Some(key),
        effect: Some(value),
        cause: Some(value),
        status_url: Some(value),
        ..problem(refusal, value)
    }
}

fn check_hostile(value: &str) {
    let refusal = refusal("outcome-unknown");
    let hostile_key = Key::new("\"\\<b>'&`---").unwrap();
    let (problem, plain) =
        (doubtful(&refusal, value, &hostile_key), doubtful(&refusal, "plain", &hostile_key));

    let json = problem.render(Form::Json);
    assert_eq!(json.find(is_unprintable), None, "{value:?}: {json}");
    let members: BTreeMap<String, Value> = serde_json::from_str(&json).unwrap();
    let detail = members["detail"].as_str().unwrap().to_owned();
    for name in ["instance", "cause", "status_url"] {
        assert_eq!(members[name], value, "{name}");
    }
    assert_eq!(members["idempotency_key"], hostile_key.expose());
    assert!(detail.contains(value), "{detail}");

    let markdown = problem.render(Form::Markdown);
    assert_eq!(markdown.find(|char| char != '\n' && is_unprintable(char)), None, "{value:?}: {markdown}");
    let lines: Vec<_> = markdown.lines().collect();
    assert_eq!(lines.len(), plain.render(Form::Markdown).lines().count(), "{markdown}");
    let front: BTreeMap<String, Value> = lines[1..]
        .iter()
        .take_while(|line| **line != "---")
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, json)| (name.to_owned(), serde_json::from_str(json).unwrap()))
        .collect();
    assert_eq!(front, members);
    assert_eq!(marks(&markdown), marks(&plain.render(Form::Markdown)), "{markdown}");

    let html = problem.render(Form::Html);
    assert_eq!(html.find(|char| char != '\n' && is_unprintable(char)), None, "{value:?}: {html}");
    assert_eq!(tags(&html), tags(&plain.render(Form::Html)), "{html}");
    assert_eq!(html.matches('\n').count(), 1, "{html}");
}

/// Control characters, Unicode's line separators and its `Bidi_Control`, and what YAML 1.2.2 (5.1) does not print.
fn is_unprintable(character: char) -> bool {
    let hidden =
        ['\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'];
    let ranges = ['\u{0}'..='\u{1f}', '\u{7f}'..='\u{9f}', '\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];
    hidden.contains(&character) || ranges.iter().any(|range| range.contains(&character))
}

/// What acts as Markdown behind the front matter: its special characters that no backslash disarms.
fn marks(markdown: &str) -> String {
    let body = markdown.splitn(3, "---\n").nth(2).unwrap_or_default();
    let mut marks = String::new();
    let mut characters = body.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '!' | '&' | '\n' => {
                marks.push(character)
            }
            _ => {}
        }
    }
    marks
}

/// Every tag of a page, attributes and all; text between them has to be free of what could open one.
fn tags(html: &str) -> Vec<&str> {
    html.split('<').skip(1).map(|tag| tag.split_once('>').unwrap_or((tag, "")).0).collect()
}

// covers: C3, K6
#[test]
fn no_hostile_value_breaks_out() {
    for value in HOSTILE {
        check_hostile(value);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // covers: C3
    #[test]
    fn no_value_breaks_out(value in any::<String>()) {
        check_hostile(&value);
    }
}

// covers: C3
#[test]
fn a_type_leads_to_its_own_page() {
    for slug in PROBLEM_SLUGS {
        let page = page(slug).unwrap();
        assert!(page.contains(&format!("\n`{slug}` · HTTP ")), "{slug}: {page}");
    }
    for stranger in ["", "key-reused.md", "KEY-REUSED", "nothing"] {
        assert_eq!(page(stranger), None, "{stranger:?}");
    }
}
