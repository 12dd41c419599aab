//! Paths with places in them.

use super::route::RouteInvalid;

/// A path whose segments are literal, any one, or any rest.
#[derive(Clone, Debug)]
pub(super) struct Template {
    text: Box<str>,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Any,
    Rest,
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
                None if !segment.contains(['{', '}']) => Segment::Literal(resolved(segment).join("/").into()),
                Some(_) | None => return Err(RouteInvalid::Segment(segment.into())),
            });
        }
        Ok(Self { text: text.into(), segments })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        let mut own = self.segments.iter();
        let asked = resolved(path);
        let mut asked = asked.iter();
        loop {
            match (own.next(), asked.next()) {
                (None, None) | (Some(Segment::Rest), _) => return true,
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

/// The segments of a path as the origin behind may resolve them (RFC 3986, 6.2.2): a request must not escape its guard by another
/// spelling of its path, so more is taken for the same here than some servers do.
fn resolved(path: &str) -> Vec<String> {
    let mut segments: Vec<String> = Vec::new();
    for segment in unescaped(path).split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment.to_owned()),
        }
    }
    segments
}

/// With every percent-encoded character in place, a slash included.
fn unescaped(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.first_chunk::<2>().filter(|_| *byte == b'%');
        let decoded = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match decoded {
            Some(decoded) => {
                bytes.push(decoded);
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

    // covers: S6
    #[test]
    fn another_spelling_of_a_path_is_the_same_route() {
        let orders = Template::parse("/v1/orders").unwrap();
        for path in [
            "/v1/orders",
            "/v1/orders/",
            "//v1//orders",
            "/v1/%6Frders",
            "/v1/./orders",
            "/x/../v1/orders",
            "/v1%2Forders",
            "/v1/%6frders/%ff/..",
        ] {
            assert!(orders.matches(path), "{path}");
        }
        for path in ["/", "/v1", "/v1/order", "/v1/orders/7", "/V1/orders", "/v1/ord%ers", "/v1/orders%"] {
            assert!(!orders.matches(path), "{path}");
        }
    }

    #[test]
    fn places_stand_for_one_segment_and_a_rest_for_any() {
        let item = Template::parse("/orders/{id}/items/{item}").unwrap();
        assert!(item.matches("/orders/7/items/8"));
        assert!(!item.matches("/orders/7/items"));
        let rest = Template::parse("/hooks/{*rest}").unwrap();
        assert!(["/hooks", "/hooks/", "/hooks/a/b"].iter().all(|path| rest.matches(path)));
        assert!(!rest.matches("/hook"));
        assert!(Template::parse("/").unwrap().matches("/"));
        assert!(!Template::parse("/").unwrap().matches("/a"));
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
        ];
        for (text, expected) in rows {
            assert_eq!(Template::parse(text).map(|_| ()), Err(expected), "{text}");
        }
    }
}
