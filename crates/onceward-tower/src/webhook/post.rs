//! The body of a post: which effect, which attempt, what became of it and how that is known.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue};
use onceward_core::{
    actor::LookupId,
    header::{Cookies, is_kept},
    key::{Carriers, Key},
    outcome::{Content, Outcome},
    record::Epoch,
    time::Timestamp,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::contract::lookup_id;

/// Characters of the evidence, which goes into the audit log: a few sentences.
const EVIDENCE_CHARS_MAX: usize = 1_000;

/// Header fields of a posted answer, and bytes of their names and values: what servers and clients take of a head without being told to.
const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// What somebody posts of an effect.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) named: Named,
    /// The epoch of the attempt that it is about.
    pub(super) judged: Epoch,
    pub(super) word: Word,
    /// How it was found out.
    pub(super) evidence: String,
}

/// How an effect is named.
#[derive(Debug)]
pub(super) enum Named {
    /// As its origin knows it.
    Key(Key),
    /// As listings show it.
    Id(LookupId),
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Word {
    Happened(Option<Answer>),
    Absent,
    Multiple,
}

/// What the effect was answered, or would have been.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    headers: Vec<(HeaderName, HeaderValue)>,
    content: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    key: Option<String>,
    id: Option<String>,
    epoch: u64,
    verdict: WrittenVerdict,
    evidence: String,
    answer: Option<WrittenAnswer>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenVerdict {
    Happened,
    Absent,
    Multiple,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAnswer {
    status: u16,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
}

impl Post {
    /// Reads a body.
    ///
    /// # Errors
    /// What is wrong with it, for whoever wrote it.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let written: Written = serde_json::from_slice(body).map_err(|error| format!("the body: {error}"))?;
        let named = match (&written.key, &written.id) {
            (Some(key), None) => Named::Key(key_of(key)?),
            (None, Some(id)) => {
                Named::Id(lookup_id(id).ok_or("`id` has 64 hexadecimal digits, small letters")?)
            }
            (Some(_), Some(_)) | (None, None) => return Err("either `key` or `id` names the effect".into()),
        };
        let word = match (written.verdict, written.answer) {
            (WrittenVerdict::Happened, answer) => Word::Happened(answer.map(Answer::read).transpose()?),
            (WrittenVerdict::Absent, None) => Word::Absent,
            (WrittenVerdict::Multiple, None) => Word::Multiple,
            (WrittenVerdict::Absent | WrittenVerdict::Multiple, Some(_)) => {
                return Err("only an effect that happened has an `answer`".into());
            }
        };
        let evidence = evidence_of(&written.evidence)?;
        Ok(Self { named, judged: Epoch(written.epoch), word, evidence })
    }
}

/// As the origin read it from its header: quoted or bare, it is the same key (K1).
fn key_of(text: &str) -> Result<Key, String> {
    let carrier = "idempotency-key";
    match Carriers::new(&[carrier]).read(std::iter::once((carrier, text.as_bytes()))) {
        Ok(Some(key)) => Ok(key),
        Ok(None) => Err("`key` is empty".into()),
        Err(invalid) => Err(format!("`key`: {invalid}")),
    }
}

fn evidence_of(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > EVIDENCE_CHARS_MAX || text.chars().any(char::is_control) {
        return Err("`evidence` says in one line of up to 1,000 characters how it was found out".into());
    }
    Ok(text.to_owned())
}

impl Answer {
    fn read(written: WrittenAnswer) -> Result<Self, String> {
        let WrittenAnswer { status, headers, body, body_base64 } = written;
        if !matches!(status, 200..=599) {
            return Err("`answer.status` is 200 to 599".into());
        }
        let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
            return Err("`answer.headers` has more than 100 fields or 16 KiB".into());
        }
        let header = |(name, value): (String, String)| {
            let field = name.parse::<HeaderName>().ok().zip(HeaderValue::try_from(value).ok());
            field.ok_or_else(|| format!("`answer.headers`: `{name}` is no header field"))
        };
        let headers = headers.into_iter().map(header).collect::<Result<_, _>>()?;
        let content = match (body, body_base64) {
            (Some(_), Some(_)) => return Err("`answer` has one of `body` and `body_base64`".into()),
            (Some(text), None) => text.into_bytes(),
            (None, Some(encoded)) => {
                STANDARD.decode(encoded).map_err(|error| format!("`answer.body_base64`: {error}"))?
            }
            (None, None) => Vec::new(),
        };
        if has_no_content(status) && !content.is_empty() {
            return Err(format!("an answer of status {status} has no body"));
        }
        Ok(Self { status, headers, content })
    }

    /// The answer as it is stored: what is kept of it is what is kept of any other (O2, O7).
    pub(super) fn into_outcome(
        self,
        cookies: Cookies,
        content_bytes_max: usize,
        sent_at: Timestamp,
    ) -> Outcome {
        let Self { status, headers, content } = self;
        let kept = headers.into_iter().filter(|(name, _)| is_kept(name.as_str(), cookies));
        Outcome {
            status,
            fields: kept.map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec())).collect(),
            content: if has_no_content(status) {
                Content::None { announced_len: None }
            } else if content.len() > content_bytes_max {
                Content::NotKept { len: content.len() as u64, sha256: Sha256::digest(&content).into() }
            } else {
                Content::Kept(content)
            },
            trailers: Vec::new(),
            sent_at,
        }
    }
}

/// RFC 9110, 15.3.5, 15.3.6 and 15.4.5.
const fn has_no_content(status: u16) -> bool {
    matches!(status, 204 | 205 | 304)
}
