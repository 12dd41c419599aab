//! Paths with places in them, in the syntax of the gateway's routes.

use crate::request::decoded_utf8;

/// A path whose segments are literal, `{name}` for any one, or at the end `{*name}` for any rest.
#[derive(Clone, Debug)]
pub(super) struct PathPattern {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug)]
enum Segment {
    Literal(String),
    Any,
    Rest,
}

impl PathPattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix('/').ok_or_else(|| format!("`{text}`: a path begins with `/`"))?;
        let mut segments = Vec::new();
        for segment in path.split('/') {
            if matches!(segments.last(), Some(Segment::Rest)) {
                return Err(format!("`{text}`: `{{*name}}` is the last segment"));
            }
            let place = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
            segments.push(match place.map(|name| (name.strip_prefix('*'), name)) {
                Some((Some(name), _)) if is_name(name) => Segment::Rest,
                Some((None, name)) if is_name(name) => Segment::Any,
                None if !segment.contains(['{', '}', '?', '#']) => Segment::Literal(segment.to_owned()),
                _ => {
                    return Err(format!(
                        "`{segment}` is neither a literal segment nor `{{name}}` nor `{{*name}}`"
                    ));
                }
            });
        }
        Ok(Self { segments })
    }

    /// Whether it means a path. A path with dot segments or a segment that decodes to several is none that a recipe was written for.
    pub(super) fn matches(&self, path: &str) -> bool {
        let mut asked = path.strip_prefix('/').unwrap_or(path).split('/').map(decoded_utf8);
        for own in &self.segments {
            let next = asked.next();
            let is_met = match (own, next) {
                (Segment::Rest, _) => return true,
                (Segment::Any, Some(Some(segment))) => {
                    !segment.is_empty() && !segment.contains('/') && !matches!(segment.as_str(), "." | "..")
                }
                (Segment::Literal(own), Some(Some(segment))) => *own == segment,
                (Segment::Any | Segment::Literal(_), _) => false,
            };
            if !is_met {
                return false;
            }
        }
        asked.next().is_none()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
