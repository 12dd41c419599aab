//! Refusals on the wire: RFC 9457 problem details as JSON, Markdown for agents, and HTML for browsers (C3).

mod page;
mod shape;

pub use page::page;

use alloc::{borrow::ToOwned, format, string::String, vec::Vec};

use crate::{
    key::Key,
    profile::Manner,
    refusal::{Duplicate, Earlier, Refusal, Retry, Told},
    time::Timestamp,
};

/// A refusal with what this one request adds to it.
#[derive(Clone, Debug)]
pub struct Problem<'a> {
    /// Why.
    pub refusal: &'a Refusal,
    /// Where the pages of the problem types are served, without the slug and with a closing slash.
    pub type_base: &'a str,
    /// The request's path, or an id of this occurrence.
    pub instance: &'a str,
    /// The caller's own key, given back to it.
    pub key: Option<&'a Key>,
    /// What was asked, for a person: `POST https://shop.example/order`.
    pub effect: Option<&'a str>,
    /// What went wrong below, in the words of whoever saw it.
    pub cause: Option<&'a str>,
    /// Where the state of this key can be read.
    pub status_url: Option<&'a str>,
    /// Where the state of the effect can be read that this request may repeat.
    pub earlier_url: Option<&'a str>,
}

/// The form in which a problem is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/problem+json` (RFC 9457, 3).
    Json,
    /// `text/markdown` with YAML front matter.
    Markdown,
    /// `text/html`.
    Html,
}

impl Form {
    /// Chooses by the request's `Accept` (RFC 9110, 12.5.1); JSON where nothing speaks against it.
    ///
    /// Of equal weights the one that is named outright wins: agents send `text/markdown, text/html, */*` and mean the first. Markdown
    /// comes before HTML, because no browser asks for it.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        let Some(accept) = accept else { return Self::Json };
        let mut best = (Self::Json, Preference::default());
        for (form, media_types) in [
            (Self::Json, ["application/problem+json", "application/json"].as_slice()),
            (Self::Markdown, ["text/markdown"].as_slice()),
            (Self::Html, ["text/html", "application/xhtml+xml"].as_slice()),
        ] {
            for media_type in media_types {
                let preference = Preference::of(accept, media_type);
                if preference > best.1 {
                    best = (form, preference);
                }
            }
        }
        best.0
    }

    /// The value of `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/problem+json",
            Self::Markdown => "text/markdown; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

/// How much a media type is wanted. Weight decides before how closely it is named.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    /// The quality value in thousandths; zero where it is not wanted.
    thousandths: u32,
    /// How closely the range names it: 3 by type and subtype, 2 by type, 1 by `*/*`.
    specificity: u32,
}

impl Preference {
    /// Reads `accept`; the most specific range that covers `media_type` decides (RFC 9110, 12.5.1).
    fn of(accept: &str, media_type: &str) -> Self {
        let kind = media_type.split('/').next().unwrap_or_default();
        let mut closest = Self::default();
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let specificity = if name == media_type {
                3
            } else if name.strip_suffix("/*") == Some(kind) {
                2
            } else if name == "*/*" {
                1
            } else {
                continue;
            };
            let thousandths = parts.find_map(quality).unwrap_or(1_000);
            if specificity > closest.specificity {
                closest = Self { thousandths, specificity };
            }
        }
        if closest.thousandths == 0 { Self::default() } else { closest }
    }
}

/// Reads a weight parameter in thousandths (RFC 9110, 12.4.2); what is malformed counts as unwanted.
fn quality(parameter: &str) -> Option<u32> {
    let (name, value) = parameter.split_once('=')?;
    name.eq_ignore_ascii_case("q").then(|| thousandths(value))
}

fn thousandths(value: &str) -> u32 {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return 0;
    }
    match (whole, format!("{fraction:0<3}").parse().unwrap_or(0)) {
        ("1", 0) => 1_000,
        ("0", fraction) => fraction,
        _ => 0,
    }
}

impl Problem<'_> {
    /// Writes the problem in one form, as onceward's own contract has it.
    #[must_use]
    pub fn render(&self, form: Form) -> String {
        self.render_as(form, &Manner::ONCEWARD)
    }

    /// Writes the problem in one form, as a contract has it; [`Manner::content_type`] and [`Manner::status`] go with the text.
    #[must_use]
    pub fn render_as(&self, form: Form, manner: &Manner) -> String {
        match form {
            Form::Json => self.shaped(manner),
            Form::Markdown => self.markdown(manner),
            Form::Html => self.html(manner),
        }
    }

    /// What happened, in sentences: the member `detail`, and the first paragraph of every page.
    #[must_use]
    pub fn detail(&self) -> String {
        let Refusal::OutcomeUnknown(doubt) = self.refusal else {
            return sentence(&format!("{}", self.refusal));
        };
        let who = match doubt.told {
            Told::First => "This request",
            Told::Repeat => "An identical request",
        };
        let effect = self.effect.map(|effect| format!(" ({effect})")).unwrap_or_default();
        let when = clock_time(doubt.sent_at);
        let why = sentence(&format!("{}", self.refusal));
        format!("{who}{effect} was sent at {when}; its outcome is unknown. Do not submit again. {why}")
    }

    fn markdown(&self, manner: &Manner) -> String {
        let problem_type = self.refusal.problem_type();
        // A JSON string is a YAML double-quoted scalar, so no value can break out of the front matter.
        let mut text = String::from("---\n");
        for (name, value) in self.members(manner) {
            text.push_str(name);
            text.push_str(": ");
            value.push(&mut text);
            text.push('\n');
        }
        text.push_str("---\n\n# ");
        text.push_str(problem_type.title);
        text.push_str("\n\n");
        text.push_str(&escape_markdown(&self.detail()));
        text.push_str("\n\n**What to do:** ");
        text.push_str(problem_type.next_action);
        text.push('\n');
        text
    }

    fn html(&self, manner: &Manner) -> String {
        let problem_type = self.refusal.problem_type();
        let mut rows = String::new();
        for (name, value) in self.members(manner) {
            let mut plain = String::new();
            value.push_plain(&mut plain);
            // A page that shows its key would put it into screenshots and prompts (K6); programs read it, and what goes with it, in the
            // other forms.
            if !matches!(name, "idempotency_key" | "confirm") {
                rows.push_str("<dt>");
                push_escaped(&mut rows, name);
                rows.push_str("</dt><dd>");
                push_escaped(&mut rows, &plain);
                rows.push_str("</dd>");
            }
        }
        let mut text = String::from(HTML_HEAD);
        text.push_str("<title>");
        push_escaped(&mut text, problem_type.title);
        text.push_str("</title></head><body><main data-problem=\"");
        text.push_str(problem_type.slug);
        text.push_str("\"><h1>");
        push_escaped(&mut text, problem_type.title);
        text.push_str("</h1><p role=\"alert\">");
        push_escaped(&mut text, &self.detail());
        text.push_str("</p><p><strong>What to do:</strong> ");
        push_escaped(&mut text, problem_type.next_action);
        text.push_str("</p>");
        if let Refusal::PossibleDuplicate(duplicate) = self.refusal {
            // No form of a page can send a field.
            text.push_str("<p>A page cannot confirm. To have it once more from here, submit it anew after ");
            push_escaped(&mut text, &clock_time(duplicate.earlier.until));
            text.push_str(".</p>");
        }
        text.push_str("<dl>");
        text.push_str(&rows);
        text.push_str("</dl><footer>Answered by onceward, not by the site.</footer></main></body></html>\n");
        text
    }

    /// The members of RFC 9457 and onceward's own, in their order.
    fn members(&self, manner: &Manner) -> impl Iterator<Item = (&'static str, Value)> {
        let problem_type = self.refusal.problem_type();
        let retryable = problem_type.retry == Retry::SameKey;
        [
            ("type", Some(Value::Text(format!("{}{}", self.type_base, problem_type.slug)))),
            ("title", Some(Value::Text(problem_type.title.to_owned()))),
            ("status", Some(Value::Number(u64::from(manner.status(self.refusal))))),
            ("detail", Some(Value::Text(self.detail()))),
            ("instance", Some(Value::Text(self.instance.to_owned()))),
            ("retryable", Some(Value::Bool(retryable))),
            ("idempotency_key", self.key.map(|key| Value::Text(key.expose().to_owned()))),
            ("effect", Some(Value::Text(self.refusal.effect().as_str().to_owned()))),
            ("retry", Some(Value::Text(problem_type.retry.as_str().to_owned()))),
            ("retry_after", self.refusal.retry_after().map(|pause| Value::Number(seconds_up(pause)))),
            ("next_action", Some(Value::Text(problem_type.next_action.to_owned()))),
            ("cause", self.cause.map(|cause| Value::Text(cause.to_owned()))),
            ("status_url", self.status_url.map(|url| Value::Text(url.to_owned()))),
            ("earlier", self.duplicate().map(|duplicate| self.earlier(&duplicate.earlier))),
            ("confirm", self.duplicate().map(|duplicate| Value::Text(duplicate.confirmation.to_text()))),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    fn duplicate(&self) -> Option<&Duplicate> {
        match self.refusal {
            Refusal::PossibleDuplicate(duplicate) => Some(duplicate),
            _ => None,
        }
    }

    fn earlier(&self, earlier: &Earlier) -> Value {
        let members = [
            ("key", earlier.key.map(|key| format!("{key}"))),
            ("state", Some(earlier.seen.as_str().to_owned())),
            ("sent_at", Some(format!("{}", earlier.sent_at))),
            ("until", Some(format!("{}", earlier.until))),
            ("status_url", self.earlier_url.map(ToOwned::to_owned)),
        ];
        let members = members.into_iter().filter_map(|(name, text)| Some((name, Value::Text(text?))));
        Value::Members(members.collect())
    }
}

/// A pause in whole seconds as `Retry-After` carries it, never zero and never too short.
#[must_use]
pub fn seconds_up(pause: core::time::Duration) -> u64 {
    u64::try_from(pause.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX).max(1)
}

/// One member's value.
enum Value {
    Text(String),
    Number(u64),
    Bool(bool),
    /// An object: as JSON writes it, it is a flow mapping of YAML, too (YAML 1.2.2, 7.4.2).
    Members(Vec<(&'static str, Value)>),
}

impl Value {
    fn push(&self, text: &mut String) {
        match self {
            Self::Text(value) => push_quoted(text, value),
            Self::Number(_) | Self::Bool(_) => self.push_plain(text),
            Self::Members(members) => {
                for (number, (name, value)) in members.iter().enumerate() {
                    text.push(if number == 0 { '{' } else { ',' });
                    push_quoted(text, name);
                    text.push(':');
                    value.push(text);
                }
                text.push('}');
            }
        }
    }

    fn push_plain(&self, text: &mut String) {
        match self {
            Self::Text(value) => text.push_str(value),
            Self::Number(value) => text.push_str(&format!("{value}")),
            Self::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Self::Members(members) => {
                for (number, (name, value)) in members.iter().enumerate() {
                    text.push_str(if number == 0 { "" } else { ", " });
                    text.push_str(name);
                    text.push(' ');
                    value.push_plain(text);
                }
            }
        }
    }
}

const HTML_HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><meta name=\"robots\" content=\"noindex\"><style>\
body{font:1rem/1.5 system-ui,sans-serif;margin:0;background:#fff8e6;color:#1c1917}\
main{max-width:42rem;margin:10vh auto;padding:0 1.5rem}\
h1{font-size:1.6rem;line-height:1.2}[role=alert]{font-size:1.15rem;border-left:.3rem solid #b45309;padding-left:1rem}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;font-size:.85rem;color:#57534e;overflow-wrap:anywhere}\
dd{margin:0}footer{font-size:.85rem;color:#57534e}\
@media(prefers-color-scheme:dark){body{background:#1c1917;color:#fafaf9}dl,footer{color:#a8a29e}}</style>";

/// `12:00:03 UTC on 2026-11-21`.
fn clock_time(at: Timestamp) -> String {
    let text = format!("{at}");
    let (date, time) = text.split_once('T').unwrap_or(("", &text));
    format!("{} UTC on {date}", time.trim_end_matches('Z'))
}

/// A fragment as a sentence: capital first, full stop last.
fn sentence(fragment: &str) -> String {
    let mut characters = fragment.chars();
    let mut text: String = characters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    text.push_str(characters.as_str());
    text.push('.');
    text
}

/// Appends a JSON string (RFC 8259, 7).
fn push_quoted(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            hidden if is_hidden(hidden) => text.push_str(&format!("\\u{:04x}", u32::from(hidden))),
            plain => text.push(plain),
        }
    }
    text.push('"');
}

/// Appends text for HTML content and double-quoted attributes.
fn push_escaped(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            hidden if is_hidden(hidden) => text.push(' '),
            plain => text.push(plain),
        }
    }
}

/// Keeps a site's path from acting as Markdown: it could hold instructions to an agent or HTML.
fn escape_markdown(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '!' | '&' => {
                text.push('\\');
                text.push(character);
            }
            hidden if is_hidden(hidden) => text.push(' '),
            plain => text.push(plain),
        }
    }
    text
}

/// Whether a character ends a line, reorders text or steers a terminal instead of showing (Unicode, PropList: `Bidi_Control`).
///
/// YAML does not let the others stand in a scalar either: line separators, the byte order mark and noncharacters (YAML 1.2.2, 5.1).
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fffe}'
                | '\u{ffff}'
        )
}
