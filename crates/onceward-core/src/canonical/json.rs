use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

use super::number::Literal;
use super::string::{escape, order, run_len, unescape};
use super::volatile::Node;
use super::{BodyInvalid, Reason, Volatile};

/// Most arrays and objects that may be open at once.
///
/// The reader recurses, so this bounds its stack; bodies in use stay under twenty.
pub const DEPTH_MAX: usize = 64;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Hands on the canonical text of a JSON body (F1); [the module page](super) describes it.
///
/// Reads the body once and builds the text beside it, without a tree. Memory is linear in the body and time is
/// O(n log n), for any body. `out` is called once, after the whole body was found valid.
///
/// # Errors
/// [`BodyInvalid`] for what RFC 8259 refuses, and for repeated member names, lone surrogates, a byte order mark, more
/// than [`NUMBER_DIGITS_MAX`](super::NUMBER_DIGITS_MAX) digits in a number and nesting over [`DEPTH_MAX`].
///
/// ```
/// use onceward_core::canonical::{Volatile, json};
///
/// let mut text = Vec::new();
/// let rules = Volatile::common().volatile("$.sent_at")?;
/// json(br#"{"qty": 1.0, "id": "\u0061", "sent_at": 7}"#, &rules, &mut |bytes| text.extend_from_slice(bytes))?;
/// assert_eq!(text, br#"{"id":"a","qty":1}"#);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub fn json(body: &[u8], volatile: &Volatile, out: &mut dyn FnMut(&[u8])) -> Result<(), BodyInvalid> {
    let written = write(body, volatile, Numbers::Exact)?;
    out(&written.text);
    Ok(())
}

/// Which values a number may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Any decimal value.
    Exact,
    /// Those whose RFC 8785 text, which goes through a double, has the same value.
    Double,
}

/// A canonical text and what was found on the way.
pub(crate) struct Written {
    pub(crate) text: Vec<u8>,
    /// Where the first number stands that [`Numbers`] does not allow. Numbers in volatile members are not looked at.
    pub(crate) inexact: Option<usize>,
}

/// [`json`], for both uses of RFC 8785's order and escapes.
pub(crate) fn write(body: &[u8], volatile: &Volatile, numbers: Numbers) -> Result<Written, BodyInvalid> {
    if body.starts_with(BYTE_ORDER_MARK) {
        return Err(Reason::ByteOrderMark.at(0));
    }
    // Once here, so that strings need only be searched for quotes.
    if let Err(error) = core::str::from_utf8(body) {
        return Err(Reason::Encoding.at(error.valid_up_to()));
    }
    let mut writer = Writer {
        rest: body,
        body_len: body.len(),
        text: Vec::with_capacity(body.len()),
        members: Vec::new(),
        digits: Vec::new(),
        volatile,
        numbers,
        inexact: None,
    };
    writer.skip_blanks();
    if !writer.value(&volatile.root())? {
        writer.text.clear();
    }
    writer.skip_blanks();
    if !writer.rest.is_empty() {
        return Err(writer.fault(Reason::Trailing));
    }
    Ok(Written { text: writer.text, inexact: writer.inexact })
}

struct Writer<'a> {
    /// What is still to be read; the body is known to be UTF-8.
    rest: &'a [u8],
    body_len: usize,
    text: Vec<u8>,
    /// The members of all open objects, the innermost object's last.
    members: Vec<Member>,
    /// The current number's digits, kept for its capacity.
    digits: Vec<u8>,
    volatile: &'a Volatile,
    numbers: Numbers,
    inexact: Option<usize>,
}

/// A member of an open object.
struct Member {
    name: Name,
    /// Where its value ends in the text; none if the member does not count.
    end: Option<usize>,
}

struct Name {
    /// Where it stands in the text, between its quotes.
    span: Range<usize>,
    /// Where it stands in the body.
    offset: usize,
    /// Its first bytes, which decide most comparisons; zero if it is empty or does not sort by its bytes.
    head: u64,
}

impl Writer<'_> {
    /// Writes one value and says whether it, or anything in it, counts. If not, the caller takes the text back.
    fn value(&mut self, node: &Node) -> Result<bool, BodyInvalid> {
        match self.rest {
            [b'"', ..] => self.string().map(|_| node.counts),
            [b'{', ..] => self.object(node),
            [b'[', ..] => self.array(node),
            [b'-' | b'0'..=b'9', ..] => self.number().map(|()| node.counts),
            [b't', ..] => self.word(b"true").map(|()| node.counts),
            [b'f', ..] => self.word(b"false").map(|()| node.counts),
            [b'n', ..] => self.word(b"null").map(|()| node.counts),
            _ => Err(self.unexpected()),
        }
    }

    fn object(&mut self, node: &Node) -> Result<bool, BodyInvalid> {
        self.open(node, b'{')?;
        let start = self.text.len();
        let base = self.members.len();
        let mut in_place = true;
        if !self.take(b'}') {
            loop {
                in_place &= self.member(node, base)?;
                self.skip_blanks();
                if self.take(b'}') {
                    break;
                }
                self.expect(b',')?;
                self.skip_blanks();
            }
        }
        if !in_place {
            self.rearrange(start, base)?;
        }
        let (_, own) = self.members.split_at(base);
        let any_kept = own.iter().any(|member| member.end.is_some());
        if any_kept {
            self.text.pop();
        }
        self.text.push(b'}');
        self.members.truncate(base);
        Ok(node.counts || any_kept)
    }

    /// Writes `"name":value,` and says whether it may stay where it stands.
    fn member(&mut self, node: &Node, base: usize) -> Result<bool, BodyInvalid> {
        let offset = self.offset();
        let start = self.text.len();
        if !matches!(self.rest, [b'"', ..]) {
            return Err(self.unexpected());
        }
        let escaped = self.string()?;
        let name_span = start + 1..self.text.len() - 1;
        let name_text = span(&self.text, &name_span);
        let head = if !escaped && name_text.is_ascii() { head(name_text) } else { 0 };
        let child = self.volatile.member(node, name_text);
        let name = Name { span: name_span, offset, head };
        let (_, own) = self.members.split_at(base);
        let in_order = match own.last().map(|previous| compare(&self.text, &previous.name, &name)) {
            None | Some(Ordering::Less) => true,
            Some(Ordering::Equal) => return Err(Reason::DuplicateMember.at(offset)),
            Some(Ordering::Greater) => false,
        };
        let value_start = self.text.len();
        self.skip_blanks();
        self.expect(b':')?;
        self.skip_blanks();
        self.text.push(b':');
        let inexact = self.inexact;
        let end = self.value(&child)?.then_some(self.text.len());
        if end.is_some() {
            self.text.push(b',');
        } else {
            // The name stays until the object closes, for it must not occur again.
            self.text.truncate(value_start);
            self.inexact = inexact;
        }
        self.members.push(Member { name, end });
        Ok(in_order && end.is_some())
    }

    /// Sorts the members from `base` on, whose text begins at `start`, and drops those that do not count.
    fn rearrange(&mut self, start: usize, base: usize) -> Result<(), BodyInvalid> {
        let (_, own) = self.members.split_at_mut(base);
        own.sort_unstable_by(|a, b| compare(&self.text, &a.name, &b.name));
        let repeated = own.windows(2).filter_map(|pair| match pair {
            [Member { name: a, .. }, Member { name: b, .. }] if compare(&self.text, a, b).is_eq() => {
                Some(a.offset.max(b.offset))
            }
            _ => None,
        });
        if let Some(offset) = repeated.min() {
            return Err(Reason::DuplicateMember.at(offset));
        }
        let mark = self.text.len();
        for member in own.iter() {
            if let Some(end) = member.end {
                self.text.extend_from_within(member.name.span.start - 1..end);
                self.text.push(b',');
            }
        }
        self.text.copy_within(mark.., start);
        self.text.truncate(start + self.text.len() - mark);
        Ok(())
    }

    fn array(&mut self, node: &Node) -> Result<bool, BodyInvalid> {
        self.open(node, b'[')?;
        let mut any_kept = false;
        let mut end = self.text.len();
        let mut index = 0;
        if !self.take(b']') {
            loop {
                let start = self.text.len();
                if self.value(&self.volatile.element(node, index))? {
                    any_kept = true;
                    end = self.text.len();
                } else {
                    self.text.truncate(start);
                }
                self.text.push(b',');
                index += 1;
                self.skip_blanks();
                if self.take(b']') {
                    break;
                }
                self.expect(b',')?;
                self.skip_blanks();
            }
        }
        self.text.truncate(end);
        self.text.push(b']');
        Ok(node.counts || any_kept)
    }

    /// Writes a string and says whether its text has escapes.
    fn string(&mut self) -> Result<bool, BodyInvalid> {
        let (_, content) = self.rest.split_at(1);
        let len = run_len(content);
        let (run, rest) = content.split_at(len);
        if let [b'"', ..] = rest {
            let (whole, rest) = self.rest.split_at(len + 2);
            self.text.extend_from_slice(whole);
            self.rest = rest;
            return Ok(false);
        }
        self.text.push(b'"');
        self.text.extend_from_slice(run);
        self.rest = rest;
        self.string_with_escapes()
    }

    fn string_with_escapes(&mut self) -> Result<bool, BodyInvalid> {
        let start = self.text.len();
        loop {
            let (run, rest) = self.rest.split_at(run_len(self.rest));
            self.text.extend_from_slice(run);
            self.rest = rest;
            match rest {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    break;
                }
                [b'\\', ..] => match unescape(rest) {
                    Ok((scalar, len)) => {
                        escape(scalar, &mut self.text);
                        (_, self.rest) = rest.split_at(len);
                    }
                    Err(Reason::End) => return Err(Reason::End.at(self.body_len)),
                    Err(reason) => return Err(self.fault(reason)),
                },
                _ => return Err(self.unexpected()),
            }
        }
        let end = self.text.len();
        self.text.push(b'"');
        Ok(span(&self.text, &(start..end)).contains(&b'\\'))
    }

    fn number(&mut self) -> Result<(), BodyInvalid> {
        let offset = self.offset();
        let literal = Literal::scan(self.rest).map_err(|(reason, distance)| reason.at(offset + distance))?;
        (_, self.rest) = self.rest.split_at(literal.source.len());
        if literal.is_canonical() {
            self.text.extend_from_slice(literal.source);
            return Ok(());
        }
        let value = literal.value(&mut self.digits);
        value.write(&mut self.text);
        let carried = || {
            let source = core::str::from_utf8(literal.source).ok()?;
            Some(value.is_carried_by(source.parse().ok()?))
        };
        if self.numbers == Numbers::Double && self.inexact.is_none() && carried() != Some(true) {
            self.inexact = Some(offset);
        }
        Ok(())
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), BodyInvalid> {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                self.text.extend_from_slice(word);
                Ok(())
            }
            None => {
                let same = self.rest.iter().zip(word).take_while(|(a, b)| a == b).count();
                (_, self.rest) = self.rest.split_at(same);
                Err(self.unexpected())
            }
        }
    }

    fn open(&mut self, node: &Node, bracket: u8) -> Result<(), BodyInvalid> {
        if node.depth >= DEPTH_MAX {
            return Err(self.fault(Reason::Depth));
        }
        self.expect(bracket)?;
        self.skip_blanks();
        self.text.push(bracket);
        Ok(())
    }

    fn take(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), BodyInvalid> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn offset(&self) -> usize {
        self.body_len - self.rest.len()
    }

    fn fault(&self, reason: Reason) -> BodyInvalid {
        reason.at(self.offset())
    }

    fn unexpected(&self) -> BodyInvalid {
        self.fault(if self.rest.is_empty() { Reason::End } else { Reason::Syntax })
    }
}

fn compare(text: &[u8], a: &Name, b: &Name) -> Ordering {
    let names = || (span(text, &a.span), span(text, &b.span));
    if a.head == 0 || b.head == 0 {
        let (a, b) = names();
        return order(a, b);
    }
    a.head.cmp(&b.head).then_with(|| {
        let (a, b) = names();
        a.cmp(b)
    })
}

/// The first eight bytes as a number that sorts as they do; no name has a zero byte, so a shorter one comes first.
fn head(name: &[u8]) -> u64 {
    let bytes = name.first_chunk().copied().unwrap_or_else(|| {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(name).for_each(|(padded, byte)| *padded = *byte);
        bytes
    });
    u64::from_be_bytes(bytes)
}

#[expect(
    clippy::indexing_slicing,
    reason = "every range was taken from this text, which only loses what lies past it"
)]
fn span<'t>(text: &'t [u8], range: &Range<usize>) -> &'t [u8] {
    &text[range.start..range.end]
}
