//! What the parts of a URL stand for.

/// Percent-decoding (RFC 3986, section 2.1); `None` where the text is not so encoded, or stands for no UTF-8.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        // A sign is read as part of a number, too.
        let digits = Some(digits).filter(|digits| !digits.starts_with('+'))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::percent_decoded;

    #[test]
    fn what_is_encoded_comes_back_and_what_is_not_is_refused() {
        let rows = [
            ("", Some("")),
            ("plain+word", Some("plain+word")),
            ("p%40ss%3a%2F", Some("p@ss:/")),
            ("%C3%B6", Some("ö")),
            ("%25%32%35", Some("%25")),
            ("100%", None),
            ("%4", None),
            ("%+4", None),
            ("%g0", None),
            ("%aö", None),
            ("%FF", None),
        ];
        for (text, expected) in rows {
            assert_eq!(percent_decoded(text).as_deref(), expected, "{text}");
        }
    }
}
