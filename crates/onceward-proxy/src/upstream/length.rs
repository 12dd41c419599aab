//! How long an answer says that it is.
//!
//! One rule for all connections (RFC 9110 section 8.6): values that agree, in several fields or in one list, are one
//! length and leave as one field. Values that do not agree, or are no number, make the answer unreadable where they frame
//! its body; where they frame nothing (`HEAD`, 204, 304) the field does not pass.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};

use super::plain::Unreadable;

/// The length that these values of `Content-Length` agree on; `None` where there is none.
pub(super) fn content_length<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<u64>, Unreadable> {
    let mut agreed = None;
    for item in values.into_iter().flat_map(|value| value.split(|&byte| byte == b',')) {
        let length = number(item.trim_ascii()).ok_or(Unreadable)?;
        if *agreed.get_or_insert(length) != length {
            return Err(Unreadable);
        }
    }
    Ok(agreed)
}

/// Decimal digits alone: no sign, no space.
fn number(text: &[u8]) -> Option<u64> {
    let is_plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if is_plain { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// Leaves one `Content-Length` of an answer, or none. An encoding of transfer says where it ends (RFC 9112 section 6.3),
/// and the length beside it is then anybody's.
pub(super) fn settle(headers: &mut HeaderMap) {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let (Some(first), second) = (values.next(), values.next()) else { return };
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
        return;
    }
    if second.is_none() && number(first.as_bytes()).is_some() {
        return;
    }
    match content_length(headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes)) {
        Ok(Some(length)) => drop(headers.insert(CONTENT_LENGTH, length.into())),
        Ok(None) | Err(Unreadable) => drop(headers.remove(CONTENT_LENGTH)),
    }
}

/// Whether an answer is framed in two ways. What follows it on its connection is then not trusted to be the next answer
/// (RFC 9112 section 6.3).
pub(super) fn is_framed_twice(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    // covers: S6
    #[test]
    fn values_that_agree_are_one_length() {
        let cases: [(&[&[u8]], _); 9] = [
            (&[], Ok(None)),
            (&[b"2"], Ok(Some(2))),
            (&[b"2", b"2"], Ok(Some(2))),
            (&[b"2, 2", b"2"], Ok(Some(2))),
            (&[b"2", b"3"], Err(Unreadable)),
            (&[b"2,3"], Err(Unreadable)),
            (&[b"2,"], Err(Unreadable)),
            (&[b"+2"], Err(Unreadable)),
            (&[b"18446744073709551616"], Err(Unreadable)),
        ];
        for (values, expected) in cases {
            assert_eq!(content_length(values.iter().copied()), expected, "{values:?}");
        }
    }

    // covers: S6
    #[test]
    fn one_field_leaves_or_none() {
        let length = ("content-length", "2");
        let cases = [
            (vec![length], Some("2")),
            (vec![length, length], Some("2")),
            (vec![("content-length", "2, 2")], Some("2")),
            (vec![("content-length", "2, 3")], None),
            (vec![length, ("transfer-encoding", "chunked")], None),
        ];
        for (fields, expected) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in &fields {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            settle(&mut headers);
            let left: Vec<_> =
                headers.get_all(CONTENT_LENGTH).iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(left, expected.into_iter().collect::<Vec<_>>(), "{fields:?}");
        }
    }
}
