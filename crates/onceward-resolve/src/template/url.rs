//! The address of a look.

use http::{Uri, uri::Authority};

use super::{LookError, Piece, Place, Source, Template, push_encoded};
use crate::request::{EffectRequest, decoded_utf8};

/// An address whose places are path segments and query values, and nothing else.
#[derive(Clone, Debug)]
pub(crate) struct UrlTemplate {
    pub(crate) origin: Origin,
    /// What the look's path begins with, where it is the effect's own path.
    is_on_effects_path: bool,
    path: Vec<Piece>,
    query: Vec<Piece>,
}

/// Whom a look asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Whoever the effect was sent to.
    Effects,
    /// Another, written out whole.
    Fixed { is_https: bool, text: String },
}

impl UrlTemplate {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (origin, rest) = origin(text)?;
        let template = Template::parse(rest)?;
        let mut this = Self { origin, is_on_effects_path: false, path: Vec::new(), query: Vec::new() };
        let mut pieces = template.pieces.into_iter();
        let mut is_in_query = false;
        // What has been read of the pair that is being read; a place may only stand behind its `=`.
        let mut pair = String::new();
        for (index, piece) in pieces.by_ref().enumerate() {
            match piece {
                Piece::Place(place) if matches!(place.source, Source::Origin) => {
                    return Err("`{origin}` stands at the start or nowhere".into());
                }
                Piece::Place(Place { source: Source::Path, extract: None, .. }) if !is_in_query => {
                    if index > 0 {
                        return Err("the whole `{path}` stands at the path's start or in the query".into());
                    }
                    this.is_on_effects_path = true;
                }
                Piece::Place(_) if is_in_query && !pair.contains('=') => {
                    return Err("in a query, a place stands behind its name and `=`".into());
                }
                Piece::Place(_) if index == 0 => return Err("a path begins with `/` or `{path}`".into()),
                Piece::Place(_) if is_in_query => this.query.push(piece),
                Piece::Place(_) => this.path.push(piece),
                Piece::Literal(literal) => {
                    let literal = checked_literal(&literal)?;
                    let (path, query) = match literal.split_once('?') {
                        Some((path, query)) if !is_in_query => (path, Some(query)),
                        _ if is_in_query => ("", Some(literal)),
                        _ => (literal, None),
                    };
                    this.path.extend((!path.is_empty()).then(|| Piece::Literal(path.to_owned())));
                    if let Some(query) = query {
                        is_in_query = true;
                        match query.rsplit_once('&') {
                            Some((_, last)) => pair = last.to_owned(),
                            None => pair.push_str(query),
                        }
                        this.query.push(Piece::Literal(query.to_owned()));
                    }
                }
            }
        }
        let starts = matches!(this.path.first(), Some(Piece::Literal(path)) if path.starts_with('/'));
        if !starts && !this.is_on_effects_path {
            return Err("a path begins with `/` or `{path}`; another origin is written out whole, as `https://api.example/…`".into());
        }
        Ok(this)
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.path.iter().chain(&self.query).filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Place(place) => Some(place),
        })
    }

    /// The absolute address for one effect.
    pub(crate) fn fill(&self, effect: &EffectRequest) -> Result<Uri, LookError> {
        let origin = match &self.origin {
            Origin::Effects => effect.origin(),
            Origin::Fixed { text, .. } => text.clone(),
        };
        let mut path = if self.is_on_effects_path { effect.uri().path().to_owned() } else { String::new() };
        for piece in &self.path {
            match piece {
                Piece::Literal(literal) => path.push_str(literal),
                Piece::Place(place) => push_encoded(&mut path, &segment_part(place, effect)?),
            }
        }
        let is_dotted = |segment: &str| {
            decoded_utf8(segment).is_none_or(|segment| matches!(segment.as_str(), "." | ".."))
        };
        if path.split('/').any(is_dotted) {
            return Err(LookError::Unsafe { why: "a path segment would lead to another path" });
        }
        let mut address = format!("{origin}{path}");
        for (index, piece) in self.query.iter().enumerate() {
            if index == 0 {
                address.push('?');
            }
            match piece {
                Piece::Literal(literal) => address.push_str(literal),
                Piece::Place(place) => push_encoded(&mut address, &place.value(effect)?),
            }
        }
        let uri = address.parse::<Uri>().or(Err(LookError::Unsafe { why: "it would be no address" }))?;
        let is_same = uri
            .scheme_str()
            .zip(uri.authority())
            .is_some_and(|(scheme, authority)| format!("{scheme}://{authority}") == origin);
        if is_same { Ok(uri) } else { Err(LookError::Unsafe { why: "it would be another origin" }) }
    }
}

/// A value in a path: servers that decode before they split would read a slash as a separator, however it is encoded.
fn segment_part(place: &Place, effect: &EffectRequest) -> Result<String, LookError> {
    let value = place.value(effect)?;
    if value.contains(|character: char| matches!(character, '/' | '\\') || character.is_control()) {
        return Err(LookError::Unsafe { why: "a value in the path has a slash or a control character" });
    }
    Ok(value)
}

fn origin(text: &str) -> Result<(Origin, &str), String> {
    if let Some(rest) = text.strip_prefix("{origin}") {
        return Ok((Origin::Effects, rest));
    }
    let (is_https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Ok((Origin::Effects, text)),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let is_authority = authority.parse::<Authority>().is_ok();
    if !is_authority || authority.contains(['{', '}', '@']) {
        return Err(format!("`{authority}` is no host, with or without a port"));
    }
    let scheme = if is_https { "https" } else { "http" };
    Ok((Origin::Fixed { is_https, text: format!("{scheme}://{authority}") }, path))
}

/// Text of an address that stands for itself.
fn checked_literal(literal: &str) -> Result<&str, String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte);
    match literal.bytes().all(is_plain) {
        true => Ok(literal),
        false => Err(format!(
            "`{literal}`: an address has no spaces, quotes, fragments or bare non-ASCII; percent-encode them"
        )),
    }
}
