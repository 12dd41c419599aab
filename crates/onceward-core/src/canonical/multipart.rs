use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::{BodyInvalid, Reason, Volatile, field, parameters};

/// Most bytes of a boundary (RFC 2046 section 5.1.1).
pub const BOUNDARY_BYTES_MAX: usize = 70;

/// Hands on the canonical form of a `multipart/form-data` body (F2).
///
/// Its fields are, for each part in the body's order: name, file name, media type, SHA-256 of the content. File name and
/// media type are preceded by a field that is `1` where the part has one and `0` where it has none, for an absent one is not
/// an empty one. The boundary, what stands before the first part and behind the last, and other part headers do not count.
///
/// # Errors
/// [`BodyInvalid`] if the boundary or a part is malformed (RFC 2046 section 5.1, RFC 7578 section 4). `out` may have been
/// called by then; what it was given is void.
pub fn multipart(
    body: &[u8],
    boundary: &[u8],
    volatile: &Volatile,
    out: &mut dyn FnMut(&[u8]),
) -> Result<(), BodyInvalid> {
    if !is_boundary(boundary) {
        return Err(Reason::Boundary.at(0));
    }
    let root = volatile.root();
    let delimiter = [b"\r\n--", boundary].concat();
    let mut reader = Reader { rest: body, body_len: body.len(), delimiter: &delimiter };
    reader.skip_preamble()?;
    while reader.part_follows()? {
        let part = reader.part()?;
        if volatile.field(&root, &part.name).counts {
            field(&part.name, out);
            optional(part.file_name.as_deref(), out);
            optional(part.media_type.as_deref(), out);
            field(&Sha256::digest(part.content), out);
        }
    }
    Ok(())
}

fn optional(value: Option<&[u8]>, out: &mut dyn FnMut(&[u8])) {
    field(if value.is_some() { b"1" } else { b"0" }, out);
    field(value.unwrap_or_default(), out);
}

fn is_boundary(boundary: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len())
        && boundary.iter().all(allowed)
        && !boundary.ends_with(b" ")
}

struct Reader<'a> {
    rest: &'a [u8],
    body_len: usize,
    /// A line break, two hyphens and the boundary.
    delimiter: &'a [u8],
}

struct Part<'a> {
    name: Vec<u8>,
    file_name: Option<Vec<u8>>,
    media_type: Option<Vec<u8>>,
    content: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Goes just past the first delimiter, whose line break is the body's start if nothing is before it.
    fn skip_preamble(&mut self) -> Result<(), BodyInvalid> {
        let (_, at_start) = self.delimiter.split_at(2);
        match self.rest.strip_prefix(at_start) {
            Some(rest) => self.rest = rest,
            None => {
                self.content()?;
            }
        }
        Ok(())
    }

    /// Reads the rest of a delimiter's line and says whether it opens a part or closes the body.
    fn part_follows(&mut self) -> Result<bool, BodyInvalid> {
        let (opens, padding) = match self.rest.strip_prefix(b"--") {
            Some(padding) => (false, padding),
            None => (true, self.rest),
        };
        let len = padding.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let (_, line_end) = padding.split_at(len);
        match (opens, line_end) {
            (_, [b'\r', b'\n', rest @ ..]) => self.rest = rest,
            (false, []) => self.rest = &[],
            (true, [] | [b'\r']) => return Err(Reason::End.at(self.body_len)),
            // A longer boundary that begins like this one: readers disagree on whether it ends the part.
            _ => return Err(self.fault(Reason::Boundary)),
        }
        Ok(opens)
    }

    fn part(&mut self) -> Result<Part<'a>, BodyInvalid> {
        let start = self.fault(Reason::PartHeader);
        let mut disposition = None;
        let mut media_type = None;
        loop {
            let line_start = self.fault(Reason::PartHeader);
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                return Err(line_start);
            };
            let (name, value) = line.split_at(colon);
            let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
            // A blank at the line's start is a folded header, which two readers may join differently.
            if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
                return Err(line_start);
            }
            let seen = if name.eq_ignore_ascii_case(b"content-disposition") {
                disposition.replace(value).is_some()
            } else if name.eq_ignore_ascii_case(b"content-type") {
                media_type.replace(value.to_vec()).is_some()
            } else {
                false
            };
            if seen {
                return Err(line_start);
            }
        }
        let Some((name, file_name)) = disposition.and_then(names) else {
            return Err(start);
        };
        Ok(Part { name, file_name, media_type, content: self.content()? })
    }

    /// Reads up to a line break. A CR or LF alone is one to some readers.
    fn line(&mut self) -> Result<&'a [u8], BodyInvalid> {
        let len = self.rest.iter().position(is_line_end).unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(len);
        match rest {
            [b'\r', b'\n', rest @ ..] => self.rest = rest,
            [] | [b'\r'] => return Err(Reason::End.at(self.body_len)),
            _ => return Err(Reason::PartHeader.at(self.body_len - rest.len())),
        }
        Ok(line)
    }

    /// Reads up to the next delimiter and past it.
    ///
    /// To some readers a line's first bytes end a part whatever is before them: a CR or LF alone, or the empty line behind the
    /// part's headers. No client chooses a boundary that its parts contain, so such a body is refused.
    fn content(&mut self) -> Result<&'a [u8], BodyInvalid> {
        let (_, dashes) = self.delimiter.split_at(2);
        if self.rest.starts_with(dashes) {
            return Err(self.fault(Reason::Boundary));
        }
        let all = self.rest;
        let mut searched = all;
        while let Some(at) = searched.iter().position(is_line_end) {
            let (_, candidate) = searched.split_at(at);
            if let Some(rest) = candidate.strip_prefix(self.delimiter) {
                self.rest = rest;
                let (content, _) = all.split_at(all.len() - candidate.len());
                return Ok(content);
            }
            (_, searched) = candidate.split_at(1);
            if searched.starts_with(dashes) {
                return Err(Reason::Boundary.at(self.body_len - searched.len()));
            }
        }
        Err(Reason::End.at(self.body_len))
    }

    fn fault(&self, reason: Reason) -> BodyInvalid {
        reason.at(self.body_len - self.rest.len())
    }
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// The name and the file name in a `Content-Disposition: form-data` value (RFC 7578 section 4.2).
///
/// `filename*`, which that section forbids but some clients send, stands in for a missing `filename`, as it is.
fn names(disposition: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let at = disposition.iter().position(|byte| *byte == b';').unwrap_or(disposition.len());
    let (kind, rest) = disposition.split_at(at);
    if !kind.trim_ascii_end().eq_ignore_ascii_case(b"form-data") {
        return None;
    }
    let mut found = parameters(rest)?;
    let mut remove = |wanted: &[u8]| {
        let at = found.iter().position(|(name, _)| name == wanted)?;
        Some(found.swap_remove(at).1)
    };
    let name = remove(b"name")?;
    let file_name = remove(b"filename");
    Some((name, file_name.or_else(|| remove(b"filename*"))))
}
