//! The part of JSONPath (RFC 9535) that can be followed while a body streams by.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use super::string::{escape, unescape};

/// Most steps that the paths of one route may have together; a set of them is one `u128`.
pub const STEPS_MAX: usize = u128::BITS as usize;

/// Largest array index (RFC 9535 section 2.1: the integers of I-JSON).
const INDEX_MAX: u64 = (1 << 53) - 1;

/// What a path stands for. Where several meet at one value, the greatest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Content,
    Volatile,
    Identity,
}

/// One segment of a compiled path.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) selector: Selector,
    /// Written with `..`: the selector is tried at every depth below.
    pub(super) descends: bool,
    /// Set on a path's last step.
    pub(super) role: Option<Role>,
}

#[derive(Clone, Debug)]
pub(crate) enum Selector {
    /// A member name, as its canonical text between the quotes.
    Name(Box<[u8]>),
    Index(u64),
    Any,
}

/// A path that cannot be used; a mistake in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathInvalid {
    /// What is wrong.
    pub fault: PathFault,
    /// Where, in bytes from the start of the path.
    pub offset: usize,
}

/// What makes a path unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathFault {
    /// It does not begin with `$`.
    Root,
    /// It is `$` alone and so selects the whole body.
    Whole,
    /// Not a segment of RFC 9535.
    Syntax,
    /// `[?…]`.
    Filter,
    /// `[start:end:step]`.
    Slice,
    /// An index that counts from the end, which is not known while the body streams.
    NegativeIndex,
    /// Several selectors in one pair of brackets; a path each says the same.
    Union,
    /// It can select several values, where one is asked for.
    Several,
    /// With it, the route's paths have more than [`STEPS_MAX`] steps.
    Length,
}

impl fmt::Display for PathInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            PathFault::Root => "path does not begin with $",
            PathFault::Whole => "path selects the whole body",
            PathFault::Syntax => "path is not jsonpath",
            PathFault::Filter => "filters are not supported",
            PathFault::Slice => "slices are not supported",
            PathFault::NegativeIndex => "negative indexes are not supported",
            PathFault::Union => "several selectors in one segment are not supported",
            PathFault::Several => "path can select several values",
            PathFault::Length => "paths have too many steps",
        };
        write!(f, "{fault} at byte {}", self.offset)
    }
}

impl Error for PathInvalid {}

/// Compiles `path` behind the steps that a route already has.
pub(super) fn compile(path: &str, role: Role, steps: &mut Vec<Step>) -> Result<(), PathInvalid> {
    let mut reader = Reader::new(path)?;
    while !reader.rest.is_empty() {
        if steps.len() >= STEPS_MAX {
            return Err(reader.fault(PathFault::Length));
        }
        steps.push(reader.segment()?);
    }
    if let Some(last) = steps.last_mut() {
        last.role = Some(role);
    }
    Ok(())
}

/// Reads the selectors of a path that leads to one value: no wildcard, no descent.
pub(crate) fn single(path: &str) -> Result<Vec<Selector>, PathInvalid> {
    let mut reader = Reader::new(path)?;
    let mut selectors = Vec::new();
    while !reader.rest.is_empty() {
        let start = reader.fault(PathFault::Several);
        if selectors.len() >= STEPS_MAX {
            return Err(reader.fault(PathFault::Length));
        }
        let Step { descends, selector, .. } = reader.segment()?;
        if descends || matches!(selector, Selector::Any) {
            return Err(start);
        }
        selectors.push(selector);
    }
    Ok(selectors)
}

struct Reader<'p> {
    rest: &'p str,
    path_len: usize,
}

impl<'p> Reader<'p> {
    /// Reads a path from behind its `$`.
    fn new(path: &'p str) -> Result<Self, PathInvalid> {
        let mut reader = Self { rest: path, path_len: path.len() };
        if !reader.take("$") {
            return Err(reader.fault(PathFault::Root));
        }
        if reader.rest.is_empty() {
            return Err(reader.fault(PathFault::Whole));
        }
        Ok(reader)
    }

    fn segment(&mut self) -> Result<Step, PathInvalid> {
        self.skip_blanks();
        let descends = self.take("..");
        let dotted = descends || self.take(".");
        let selector = if (descends || !dotted) && self.take("[") {
            self.bracketed()?
        } else if dotted && self.take("*") {
            Selector::Any
        } else if dotted {
            self.shorthand()?
        } else {
            return Err(self.fault(PathFault::Syntax));
        };
        Ok(Step { selector, descends, role: None })
    }

    fn bracketed(&mut self) -> Result<Selector, PathInvalid> {
        self.skip_blanks();
        let selector = match self.rest.bytes().next() {
            Some(b'*') => {
                self.skip(1);
                Selector::Any
            }
            Some(quote @ (b'\'' | b'"')) => self.quoted(quote)?,
            Some(b'-' | b':' | b'0'..=b'9') => self.index()?,
            Some(b'?') => return Err(self.fault(PathFault::Filter)),
            _ => return Err(self.fault(PathFault::Syntax)),
        };
        self.skip_blanks();
        match self.rest.bytes().next() {
            Some(b']') => {
                self.skip(1);
                Ok(selector)
            }
            Some(b',') => Err(self.fault(PathFault::Union)),
            _ => Err(self.fault(PathFault::Syntax)),
        }
    }

    fn index(&mut self) -> Result<Selector, PathInvalid> {
        let start = self.fault(PathFault::Syntax);
        let negative = self.take("-");
        let len = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(len);
        if rest.trim_start_matches(BLANKS).starts_with(':') {
            return Err(PathInvalid { fault: PathFault::Slice, ..start });
        }
        if digits.is_empty() || (digits.starts_with('0') && (len > 1 || negative)) {
            return Err(start);
        }
        if negative {
            return Err(PathInvalid { fault: PathFault::NegativeIndex, ..start });
        }
        self.skip(len);
        match digits.parse() {
            Ok(index) if index <= INDEX_MAX => Ok(Selector::Index(index)),
            _ => Err(start),
        }
    }

    fn shorthand(&mut self) -> Result<Selector, PathInvalid> {
        let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric() || !c.is_ascii();
        let len = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (name, _) = self.rest.split_at(len);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.fault(PathFault::Syntax));
        }
        self.skip(len);
        Ok(Selector::Name(name.as_bytes().into()))
    }

    fn quoted(&mut self, quote: u8) -> Result<Selector, PathInvalid> {
        self.skip(1);
        let quote = char::from(quote);
        let mut text = Vec::new();
        loop {
            let Some(scalar) = self.rest.chars().next() else {
                return Err(self.fault(PathFault::Syntax));
            };
            if scalar == quote {
                self.skip(1);
                return Ok(Selector::Name(text.into()));
            }
            let (scalar, len) = match scalar {
                '\\' => self.escaped(quote)?,
                '\0'..'\u{20}' => return Err(self.fault(PathFault::Syntax)),
                scalar => (scalar, scalar.len_utf8()),
            };
            escape(scalar, &mut text);
            self.skip(len);
        }
    }

    /// As in JSON, but of the two quotes only the enclosing one is escaped.
    fn escaped(&self, quote: char) -> Result<(char, usize), PathInvalid> {
        match self.rest.as_bytes() {
            [_, b'\'', ..] if quote == '\'' => Ok(('\'', 2)),
            [_, b'"', ..] if quote == '\'' => Err(self.fault(PathFault::Syntax)),
            bytes => match unescape(bytes) {
                Ok(found) => Ok(found),
                Err(_) => Err(self.fault(PathFault::Syntax)),
            },
        }
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(BLANKS);
    }

    fn take(&mut self, text: &str) -> bool {
        let taken = self.rest.starts_with(text);
        if taken {
            self.skip(text.len());
        }
        taken
    }

    fn skip(&mut self, len: usize) {
        (_, self.rest) = self.rest.split_at(len);
    }

    fn fault(&self, fault: PathFault) -> PathInvalid {
        PathInvalid { fault, offset: self.path_len - self.rest.len() }
    }
}

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];
