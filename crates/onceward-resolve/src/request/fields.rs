//! The values that a request carries: in its query, its form, its JSON, its headers.

use http::{HeaderName, header::CONTENT_ENCODING, header::CONTENT_TYPE};
use serde_json::{Number, Value};
use serde_json_path::JsonPath;

use super::EffectRequest;
use crate::template::LookError;

/// Most significant digits that a JSON number with a fraction or an exponent keeps when it is read as a 64-bit float (IEEE 754: 15).
const FLOAT_DIGITS_MAX: usize = 15;

impl EffectRequest {
    /// The one value of a name in the query.
    pub(crate) fn query_value(&self, name: &str) -> Result<String, LookError> {
        let query = self.uri.query().unwrap_or_default();
        one_value(form_urlencoded::parse(query.as_bytes()).into_owned(), name, format!("query.{name}"))
    }

    /// The one value of a name in the form that the body is.
    pub(crate) fn form_value(&self, name: &str) -> Result<String, LookError> {
        let what = format!("form.{name}");
        let media_type = self.media_type(&what)?;
        let essence = media_type.split(';').next().unwrap_or_default();
        match essence.trim().to_ascii_lowercase().as_str() {
            "application/x-www-form-urlencoded" => {
                one_value(form_urlencoded::parse(&self.body).into_owned(), name, what)
            }
            "multipart/form-data" => {
                let parts = multipart(&self.body, &media_type);
                let parts =
                    parts.ok_or(LookError::Unreadable { what: what.clone(), why: "the body's parts" })?;
                one_value(parts.into_iter(), name, what)
            }
            _ => Err(LookError::Unreadable { what, why: "the body is no form" }),
        }
    }

    /// The one scalar that a path names in the body.
    pub(crate) fn json_value(&self, path: &JsonPath) -> Result<String, LookError> {
        let what = format!("json {path}");
        let media_type = self.media_type(&what)?;
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence != "application/json" && !essence.ends_with("+json") {
            return Err(LookError::Unreadable { what, why: "the body is no JSON" });
        }
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else {
            return Err(LookError::Unreadable { what, why: "the body is no valid JSON" });
        };
        match path.query(&body).all().as_slice() {
            [] | [Value::Null] => Err(LookError::Missing { what }),
            [Value::String(text)] => Ok(text.clone()),
            [Value::Bool(truth)] => Ok(truth.to_string()),
            [Value::Number(number)] if is_readable(number) => Ok(number.to_string()),
            [_] => Err(LookError::Unreadable {
                what,
                why: "it is no text, truth value or number of up to 15 digits",
            }),
            _ => Err(LookError::Several { what }),
        }
    }

    /// The one value of a header.
    pub(crate) fn header_value(&self, name: &HeaderName) -> Result<String, LookError> {
        let what = format!("header.{name}");
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().ok_or_else(|| LookError::Missing { what: what.clone() })?;
        if values.next().is_some() {
            return Err(LookError::Several { what });
        }
        match value.to_str() {
            Ok(value) => Ok(value.to_owned()),
            Err(_) => Err(LookError::Unreadable { what, why: "it is not visible ASCII" }),
        }
    }

    /// The body's type, where the body can be read as it stands.
    fn media_type(&self, what: &str) -> Result<String, LookError> {
        let coded = self.headers.get_all(CONTENT_ENCODING).iter();
        if coded.into_iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(LookError::Unreadable { what: what.into(), why: "the body is compressed" });
        }
        self.header_value(&CONTENT_TYPE)
    }
}

/// Whether a JSON number means the same to everybody: most readers round a long fraction (RFC 8259, section 6).
pub(crate) fn is_readable(number: &Number) -> bool {
    let text = number.to_string();
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits: Vec<u8> =
        mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').collect();
    !number.is_f64() || digits.len() <= FLOAT_DIGITS_MAX
}

/// With percent-encoding undone; `None` where what comes out is no UTF-8.
pub(crate) fn decoded_utf8(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.first_chunk::<2>().filter(|_| *byte == b'%');
        let undone = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if undone.is_some() { after.get(2..).unwrap_or_default() } else { after };
        bytes.push(undone.unwrap_or(*byte));
    }
    String::from_utf8(bytes).ok()
}

fn one_value(
    pairs: impl Iterator<Item = (String, String)>,
    name: &str,
    what: String,
) -> Result<String, LookError> {
    let mut values = pairs.filter(|(own, _)| own == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (None, _) => Err(LookError::Missing { what }),
        (Some(value), None) => Ok(value),
        (Some(_), Some(_)) => Err(LookError::Several { what }),
    }
}

/// The text fields of a `multipart/form-data` body (RFC 7578); files are left out. `None` where it is malformed or not UTF-8.
fn multipart(body: &[u8], media_type: &str) -> Option<Vec<(String, String)>> {
    let boundary = parameter(media_type, "boundary")?;
    let body = str::from_utf8(body).ok()?;
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter's line break may be missing at the body's start.
    let body = format!("\r\n{body}");
    let mut parts = body.split(delimiter.as_str());
    parts.next()?;
    let mut fields = Vec::new();
    for part in parts {
        if part.starts_with("--") {
            return Some(fields);
        }
        let part = part.trim_start_matches([' ', '\t']).strip_prefix("\r\n")?;
        let (head, content) = part.split_once("\r\n\r\n")?;
        let disposition = head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-disposition").then_some(value)
        })?;
        if parameter(disposition, "filename").is_none() {
            fields.push((parameter(disposition, "name")?, content.to_owned()));
        }
    }
    None
}

/// The value of a parameter behind a field's first `;`: a token, or a quoted text (in which HTML forms encode `"` as `%22`, so no escape is undone).
fn parameter(field: &str, name: &str) -> Option<String> {
    let mut rest = field;
    while let Some((_, after)) = rest.split_once(';') {
        let (own, value) = after.split_once('=')?;
        let (value, tail) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_at(value.find(';').unwrap_or(value.len())),
        };
        if own.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim().to_owned());
        }
        rest = tail;
    }
    None
}
