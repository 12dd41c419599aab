//! An answer to a look, read as far as it can be trusted.

use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE},
    response::Parts,
};
use scraper::{Html, Selector};
use serde_json::Value;

use crate::{
    moment::Skew,
    pick::{Kind, Node},
};

/// Most bytes of an answer that is read. A page of orders is far below; parsing costs memory in proportion.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most elements of a page that is parsed. Parsing (HTML, 13.2.6) looks through all open elements at each tag, so its time may grow with
/// their square: 0.8 s for so many, each within the last.
const ELEMENTS_MAX: usize = 10_000;

/// Most formatting elements that a page may leave open: each is opened anew in every paragraph that follows, so memory may grow with the
/// product of both (HTML, 13.2.4.3).
const FORMATTING_OPEN_MAX: usize = 100;

/// The elements that are opened anew.
const FORMATTING: [&str; 14] =
    ["a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"];

/// What a site answered to a look, and when.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Status and headers.
    pub parts: &'a Parts,
    /// The whole body. A body that broke off is no answer and must not be handed in.
    pub body: &'a [u8],
    /// When the look was sent, in milliseconds since the Unix epoch, by the clock that the claim's time is of.
    pub asked_at_ms: u64,
    /// When the answer had come, by the same clock.
    pub received_at_ms: u64,
}

/// A body, parsed.
pub(crate) enum Document {
    Json(Value),
    Html(Html),
    Text(String),
}

impl Document {
    pub(crate) fn root(&self) -> Node<'_> {
        match self {
            Self::Json(value) => Node::Json(value),
            Self::Html(html) => Node::Element(html.root_element()),
            Self::Text(text) => Node::Text(text),
        }
    }
}

impl Answer<'_> {
    /// The body, where it is whole, fresh and of the expected kind; else why not.
    pub(crate) fn document(&self, kind: Kind) -> Result<Document, String> {
        let headers = &self.parts.headers;
        if headers.contains_key(CONTENT_RANGE) {
            return Err("the answer is a part of another".into());
        }
        if one(headers, &AGE)?.is_some_and(|age| age != "0") {
            return Err("a cache answered".into());
        }
        if one(headers, &CONTENT_ENCODING)?.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err("the answer is compressed".into());
        }
        let len = one(headers, &CONTENT_LENGTH)?.map(str::parse::<usize>);
        if len.is_some_and(|len| len != Ok(self.body.len())) {
            return Err("the answer was cut".into());
        }
        if self.body.len() > ANSWER_BYTES_MAX {
            return Err("the answer is longer than 4 MiB".into());
        }
        let content_type = one(headers, &CONTENT_TYPE)?.ok_or("the answer does not say its type")?;
        is_expected(content_type, kind)?;
        let text = str::from_utf8(self.body).or(Err("the answer is not UTF-8"))?;
        parsed(text, kind)
    }

    /// How far apart the site's clock and ours may be; `None` where its answer does not say its time.
    pub(crate) fn skew(&self) -> Option<Skew> {
        let asked_at_ms = i64::try_from(self.asked_at_ms).ok()?;
        let received_at_ms = i64::try_from(self.received_at_ms).ok()?;
        let date_ms = self.date_ms()?;
        (asked_at_ms <= received_at_ms).then(|| Skew::bounded(date_ms, asked_at_ms, received_at_ms))
    }

    /// The second that the answer's `Date` names, in milliseconds since the Unix epoch.
    pub(crate) fn date_ms(&self) -> Option<i64> {
        let date = one(&self.parts.headers, &DATE).ok().flatten()?;
        let date = httpdate::parse_http_date(date).ok()?;
        let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    }
}

/// Why a status says nothing about the effect.
pub(crate) fn meaning(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 407 => "the site asks who is looking",
        403 => "the site does not let us look",
        429 => "the site asks for fewer looks",
        300..=399 => "the site leads elsewhere, perhaps to its login",
        500..=599 => "the site fails",
        _ => "the recipe does not know this status",
    }
}

fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, String> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(value.trim())),
        _ => Err(format!("the answer's {name} cannot be read")),
    }
}

fn is_expected(content_type: &str, kind: Kind) -> Result<(), String> {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_expected = match kind {
        Kind::Json => essence == "application/json" || essence.ends_with("+json"),
        Kind::Html => matches!(essence.as_str(), "text/html" | "application/xhtml+xml"),
        Kind::Text => essence.starts_with("text/") && essence != "text/html",
    };
    if !is_expected {
        return Err("the answer is of another type than expected".into());
    }
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    match charset {
        Some(charset) if !matches!(charset.to_ascii_lowercase().as_str(), "utf-8" | "utf8" | "us-ascii") => {
            Err("the answer is not UTF-8".into())
        }
        _ => Ok(()),
    }
}

fn parsed(text: &str, kind: Kind) -> Result<Document, String> {
    match kind {
        Kind::Json => match serde_json::from_str(text) {
            Ok(value) => Ok(Document::Json(value)),
            Err(_) => Err("the answer is no valid JSON".into()),
        },
        Kind::Html => {
            // A page whose end is missing may have been cut before what it was asked for.
            if !text.to_ascii_lowercase().contains("</html") {
                return Err("the page has no end".into());
            }
            if !is_parsed_in_bounds(text) {
                return Err("the page has too many elements".into());
            }
            let html = Html::parse_document(text);
            let password = Selector::parse("input[type=password i]");
            if password.is_ok_and(|password| html.select(&password).next().is_some()) {
                return Err("the page asks for a password".into());
            }
            Ok(Document::Html(html))
        }
        Kind::Text => Ok(Document::Text(text.to_owned())),
    }
}

/// Whether a page can be parsed without harm, whoever wrote it.
fn is_parsed_in_bounds(text: &str) -> bool {
    let (mut elements, mut open) = (0_usize, 0_usize);
    for tag in text.split('<').skip(1) {
        let (is_end, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        let name = tag.split(|character: char| !character.is_ascii_alphanumeric()).next().unwrap_or_default();
        let is_formatting = FORMATTING.iter().any(|own| own.eq_ignore_ascii_case(name));
        match (is_end, is_formatting) {
            (true, true) => open = open.saturating_sub(1),
            (false, true) => open += 1,
            (true | false, false) => {}
        }
        elements += usize::from(!is_end && !name.is_empty());
        if elements > ELEMENTS_MAX || open > FORMATTING_OPEN_MAX {
            return false;
        }
    }
    true
}
