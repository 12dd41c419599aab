//! An outcome, addressed to the caller that gets it.

use std::borrow::Cow;

use onceward_core::outcome::{Content, Outcome};

use super::{Calls, Field, Renaming, edited, events};
use crate::{
    coding::{codings, decoded},
    execute::is_event_stream,
};

/// Bytes of an encoded answer that is decoded for its ids: sixteen times what is kept by default, and JSON seldom expands
/// further.
const DECODED_BYTES_MAX: usize = 16 * 1_024 * 1_024;

impl Calls {
    /// The outcome with these calls' own ids in its answers.
    ///
    /// Where nothing needs changing, every byte stays (O1). An encoded answer that is changed goes out without its encoding. An answer
    /// stays as it was, with the first request's ids, where those cannot be replaced: its coding is not known (zstd), it decodes to
    /// more than 16 MiB, it is not UTF-8, a request exceeded a limit on ids, or a batch has another number of calls or had an id twice.
    pub(crate) fn addressed(&self, note: Option<&[u8]>, mut outcome: Outcome) -> Outcome {
        let Some(renaming) = self.renaming(note) else { return outcome };
        let Content::Kept(content) = &outcome.content else { return outcome };
        let is_stream = lines(&outcome.fields, "content-type").any(is_event_stream);
        let codings = codings(lines(&outcome.fields, "content-encoding"));
        let plain = if codings.is_empty() {
            Some(Cow::Borrowed(&**content))
        } else {
            decoded(&codings, content, DECODED_BYTES_MAX).map(Cow::Owned)
        };
        let Some(content) = plain.and_then(|plain| renamed(&plain, &renaming, is_stream)) else {
            return outcome;
        };
        outcome.content = Content::Kept(content.into_bytes());
        if !codings.is_empty() {
            outcome.fields.retain(|(name, _)| **name != *"content-encoding");
        }
        unsay(&mut outcome.fields);
        unsay(&mut outcome.trailers);
        outcome
    }
}

/// The content with its new ids; `None` where it stays.
fn renamed(content: &[u8], renaming: &Renaming<'_>, is_stream: bool) -> Option<String> {
    let text = str::from_utf8(content).ok()?;
    let edits = if is_stream { events::edits(text, renaming) } else { super::edits(text, renaming) };
    edited(text, &edits)
}

fn lines<'a>(fields: &'a [Field], name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |(line, _)| **line == *name).map(|(_, value)| &**value)
}

/// Takes back what fields say of bytes that are others now.
///
/// A digest is of the bytes, and a reader that checks it would throw the answer away. A strong entity tag promises equal bytes; a
/// weak one says that the answer means the same, which holds (RFC 9110, 8.8.1).
fn unsay(fields: &mut Vec<Field>) {
    fields
        .retain(|(name, _)| !matches!(&**name, "content-digest" | "repr-digest" | "digest" | "content-md5"));
    for (_, tag) in fields.iter_mut().filter(|(name, value)| **name == *"etag" && value.starts_with(b"\"")) {
        tag.splice(..0, *b"W/");
    }
}
