//! Heads of requests and answers, between the `http` 0.2 of actix and the `http` 1 of everybody else.

use std::error::Error;

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    http::{
        ConnectionType, StatusCode, Version,
        header::{self as actix_header, HeaderMap, HeaderName, HeaderValue},
    },
};
use http::{Method, Request, Response, header};
use http_body::{Body, SizeHint};
use onceward_tower::ResponseBody;

use crate::body::{Answer, Piped};

/// A head that one version of `http` admits and the other does not; none is known.
pub(crate) type HeadError = Box<dyn Error + Send + Sync>;

/// A request's head, with the target as it came, whatever scopes have matched of it.
pub(crate) fn request(request: &HttpRequest) -> Result<Request<()>, HeadError> {
    let mut converted = Request::new(());
    *converted.method_mut() = Method::from_bytes(request.method().as_str().as_bytes())?;
    *converted.uri_mut() = request.uri().to_string().parse()?;
    *converted.version_mut() = version(request.version());
    *converted.headers_mut() = fields(request.headers())?;
    Ok(converted)
}

/// How much content a request announces.
pub(crate) fn announced(request: &HttpRequest) -> SizeHint {
    let len = request.headers().get(actix_header::CONTENT_LENGTH);
    let len = len.and_then(|len| len.to_str().ok()?.parse().ok());
    len.map_or_else(SizeHint::default, SizeHint::with_exact)
}

fn version(version: Version) -> http::Version {
    match version {
        Version::HTTP_09 => http::Version::HTTP_09,
        Version::HTTP_10 => http::Version::HTTP_10,
        Version::HTTP_2 => http::Version::HTTP_2,
        Version::HTTP_3 => http::Version::HTTP_3,
        _ => http::Version::HTTP_11,
    }
}

/// Status and fields of an answer that passes.
pub(crate) fn passing<B>(response: &HttpResponse<B>) -> Result<Response<()>, HeadError> {
    let mut converted = Response::new(());
    *converted.status_mut() = http::StatusCode::from_u16(response.status().as_u16())?;
    *converted.headers_mut() = fields(response.headers())?;
    Ok(converted)
}

/// Makes an answer that passes say what `head` says.
pub(crate) fn amend<B>(
    response: &mut HttpResponse<B>,
    head: &http::response::Parts,
) -> Result<(), HeadError> {
    if response.status().as_u16() != head.status.as_u16() {
        *response.status_mut() = StatusCode::from_u16(head.status.as_u16())?;
    }
    set_fields(response.headers_mut(), &head.headers)
}

/// The head of an answer that is recorded: with the fields that actix would write, and without those that it would not.
pub(crate) fn recorded<B: MessageBody>(
    method: &Method,
    response: &HttpResponse<B>,
) -> Result<Response<()>, HeadError> {
    let mut converted = passing(response)?;
    let (head, size) = (response.head(), response.body().size());
    let is_own_len_written =
        response.status() == StatusCode::NOT_MODIFIED || (size == BodySize::Stream && !head.chunked());
    let fields = converted.headers_mut();
    fields.remove(header::TRANSFER_ENCODING);
    if !is_own_len_written {
        fields.remove(header::CONTENT_LENGTH);
    }
    // Actix measures the content for an answer to HEAD and then leaves it out.
    if let (&Method::HEAD, BodySize::Sized(len)) = (method, size) {
        fields.insert(header::CONTENT_LENGTH, len.into());
    }
    if head.connection_type() == ConnectionType::Close {
        fields.append(header::CONNECTION, http::HeaderValue::from_static("close"));
    }
    Ok(converted)
}

/// Whether an answer has no content whatever its fields say (RFC 9110, 6.4.1).
pub(crate) fn is_bodiless(method: &Method, status: http::StatusCode) -> bool {
    *method == Method::HEAD || matches!(status, http::StatusCode::NO_CONTENT | http::StatusCode::NOT_MODIFIED)
}

/// The guard's answer as one of actix.
pub(crate) fn answer(
    method: &Method,
    answer: Response<ResponseBody<Piped>>,
) -> Result<HttpResponse, HeadError> {
    let (head, body) = answer.into_parts();
    let has_len = head.headers.contains_key(header::CONTENT_LENGTH);
    // Actix writes a length of its own for every size but `Stream`, and only then one that stands among the fields.
    let size = match body.size_hint().exact() {
        _ if is_bodiless(method, head.status) => {
            if has_len {
                BodySize::Stream
            } else {
                BodySize::None
            }
        }
        Some(len) => BodySize::Sized(len),
        None => BodySize::Stream,
    };
    let status = StatusCode::from_u16(head.status.as_u16())?;
    let mut response = HttpResponse::with_body(status, BoxBody::new(Answer { body, size }));
    response.head_mut().no_chunking(has_len && size == BodySize::Stream);
    if is_closing(&head.headers) {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    set_fields(response.headers_mut(), &head.headers)?;
    Ok(response)
}

fn is_closing(fields: &http::HeaderMap) -> bool {
    let lines = fields.get_all(header::CONNECTION).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"))
}

/// All lines, those of one name in their order; actix keeps no order among names.
pub(crate) fn fields(from: &HeaderMap) -> Result<http::HeaderMap, HeadError> {
    let mut fields = http::HeaderMap::with_capacity(from.len());
    for (name, value) in from {
        let name = http::HeaderName::from_bytes(name.as_str().as_bytes())?;
        fields.append(name, http::HeaderValue::from_bytes(value.as_bytes())?);
    }
    Ok(fields)
}

/// Makes `to` say what `from` says. Most often it does already, and nothing is copied.
pub(crate) fn set_fields(to: &mut HeaderMap, from: &http::HeaderMap) -> Result<(), HeadError> {
    let mut pairs = to.iter().zip(from);
    let is_same = to.len() == from.len()
        && pairs.all(|(old, new)| old.0.as_str() == new.0.as_str() && old.1.as_bytes() == new.1.as_bytes());
    if is_same {
        return Ok(());
    }
    to.clear();
    for (name, value) in from {
        let name = HeaderName::from_bytes(name.as_str().as_bytes())?;
        to.append(name, HeaderValue::from_bytes(value.as_bytes())?);
    }
    Ok(())
}
