//! Paths with places in them.

use super::route::RouteInvalid;

/// A path whose segments are literal, any one, or any rest.
#[derive(Clone, Debug)]
pub(super) struct Template {
    text: Box<str>,
    segments: Vec<Segment>,
    ends_in_slash: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Any,
    Rest,
}

/// A request's path as a server reads it.
///
/// Servers differ in how they read one: a request must not get around its guard by a spelling that the guard reads in one way and the
/// origin in the other, so both readings are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spelled {
    segments: Vec<String>,
    /// `None` where a trailing slash says nothing.
    ends_in_slash: Option<bool>,
}

impl Spelled {
    /// As servers do that resolve it (RFC 3986, 6.2.2), and some more: every percent-encoded character is decoded, a slash included, and
    /// dot segments, doubled and trailing slashes go.
    pub(super) fn resolved(path: &str) -> Self {
        Self { segments: resolved(path), ends_in_slash: None }
    }

    /// As servers do that take it as it stands: only what no URL carries bare is decoded.
    pub(super) fn literal(path: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let bare = path.strip_suffix('/').unwrap_or(path);
        let segments = bare.split('/').filter(|_| !bare.is_empty());
        Self {
            segments: segments.map(|segment| decoded(segment, |byte| !is_bare(byte))).collect(),
            ends_in_slash: Some(path.ends_with('/')),
        }
    }
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, RouteInvalid> {
        let path = text.strip_prefix('/').ok_or(RouteInvalid::NotAbsolute)?;
        let mut segments = Vec::new();
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            if segments.last() == Some(&Segment::Rest) {
                return Err(RouteInvalid::RestNotLast);
            }
            let place = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
            segments.push(match place.map(|name| (name.strip_prefix('*'), name)) {
                Some((Some(name), _)) if is_name(name) => Segment::Rest,
                Some((None, name)) if is_name(name) => Segment::Any,
                None => literal(segment).ok_or_else(|| RouteInvalid::Segment(segment.into()))?,
                Some(_) => return Err(RouteInvalid::Segment(segment.into())),
            });
        }
        Ok(Self { text: text.into(), segments, ends_in_slash: path.ends_with('/') })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it means a path.
    pub(super) fn matches(&self, path: &Spelled) -> bool {
        let mut own = self.segments.iter();
        let mut asked = path.segments.iter();
        loop {
            match (own.next(), asked.next()) {
                (Some(Segment::Rest), _) => return true,
                (None, None) => return path.ends_in_slash.is_none_or(|ends| ends == self.ends_in_slash),
                (Some(Segment::Any), Some(_)) => {}
                (Some(Segment::Literal(own)), Some(asked)) if **own == **asked => {}
                (Some(_), _) | (None, Some(_)) => return false,
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A segment that stands for itself; `None` where it cannot be one: it has braces, or resolves to none or to several.
fn literal(segment: &str) -> Option<Segment> {
    match resolved(segment).as_slice() {
        [one] if !segment.contains(['{', '}']) => Some(Segment::Literal(one.as_str().into())),
        _ => None,
    }
}

fn resolved(path: &str) -> Vec<String> {
    let mut segments: Vec<String> = Vec::new();
    for segment in decoded(path, |_| true).split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment.to_owned()),
        }
    }
    segments
}

/// Whether a character needs no encoding (RFC 3986, 2.3), or changes the path's structure by it.
const fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b'%')
}

/// With those percent-encoded characters in place that `is_undone` admits.
fn decoded(path: &str, is_undone: impl Fn(u8) -> bool) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.first_chunk::<2>().filter(|_| *byte == b'%');
        let undone = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|byte| is_undone(*byte));
        match undone {
            Some(undone) => {
                bytes.push(undone);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a path is read: `r` where its resolved reading is meant, `l` where its literal one is.
    fn read(template: &str, path: &str) -> &'static str {
        let template = Template::parse(template).unwrap();
        match (template.matches(&Spelled::resolved(path)), template.matches(&Spelled::literal(path))) {
            (true, true) => "rl",
            (true, false) => "r",
            (false, true) => "l",
            (false, false) => "",
        }
    }

    // covers: S6
    #[test]
    fn another_spelling_of_a_path_is_the_same_where_it_is_resolved() {
        let rows = [
            ("/v1/orders", "rl"),
            ("/v1/orders/", "r"),
            ("//v1//orders", "r"),
            ("/v1/%6Frders", "r"),
            ("/v1/./orders", "r"),
            ("/x/../v1/orders", "r"),
            ("/v1%2Forders", "r"),
            ("/v1/%6frders/%ff/..", "r"),
            ("/", ""),
            ("/v1", ""),
            ("/v1/order", ""),
            ("/v1/orders/7", ""),
            ("/V1/orders", ""),
            ("/v1/ord%ers", ""),
            ("/v1/orders%", ""),
            ("/v1/orders/..", ""),
        ];
        for (path, expected) in rows {
            assert_eq!(read("/v1/orders", path), expected, "{path}");
        }
    }

    // covers: S6
    #[test]
    fn a_place_takes_what_stands_there_and_a_rest_takes_any() {
        let rows = [
            ("/orders/{id}/items/{item}", "/orders/7/items/8", "rl"),
            ("/orders/{id}/items/{item}", "/orders/7/items", ""),
            ("/orders/{id}", "/orders/a%2Fb", "l"),
            ("/orders/{id}", "/orders/..", "l"),
            ("/hooks/{*rest}", "/hooks", "rl"),
            ("/hooks/{*rest}", "/hooks/", "rl"),
            ("/hooks/{*rest}", "/hooks/a/b", "rl"),
            ("/hooks/{*rest}", "/hooks/../orders", "l"),
            ("/hooks/{*rest}", "/orders/..%2fhooks", "r"),
            ("/hooks/{*rest}", "/hook", ""),
            ("/", "/", "rl"),
            ("/", "/a", ""),
            ("/orders/", "/orders/", "rl"),
            ("/orders/", "/orders", "r"),
            ("/caf\u{e9}", "/caf%C3%A9", "rl"),
            ("/caf%c3%a9", "/caf%C3%A9", "rl"),
            ("/a b", "/a%20b", "rl"),
        ];
        for (template, path, expected) in rows {
            assert_eq!(read(template, path), expected, "{template} {path}");
        }
    }

    #[test]
    fn a_mistake_is_named() {
        let rows = [
            ("orders", RouteInvalid::NotAbsolute),
            ("/{*rest}/a", RouteInvalid::RestNotLast),
            ("/a{id}", RouteInvalid::Segment("a{id}".into())),
            ("/{}", RouteInvalid::Segment("{}".into())),
            ("/{*}", RouteInvalid::Segment("{*}".into())),
            ("/{a b}", RouteInvalid::Segment("{a b}".into())),
            // These would never be asked for.
            ("/a/../b", RouteInvalid::Segment("..".into())),
            ("/a/%2e/b", RouteInvalid::Segment("%2e".into())),
            ("/a%2fb", RouteInvalid::Segment("a%2fb".into())),
        ];
        for (text, expected) in rows {
            assert_eq!(Template::parse(text).map(|_| ()), Err(expected), "{text}");
        }
    }
}
