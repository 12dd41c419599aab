//! The audit log as JSON Lines (A1).

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_TYPE, LINK},
};
use onceward_store::AuditCursor;
use serde::Deserialize;

use super::intake::{Asked, asked_key, page_len};
use crate::{control::Control, refused::Refused};

/// The query of `GET /v1/audit`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    after: Option<u64>,
    key: Option<String>,
    limit: Option<usize>,
}

/// Lines as they were written, oldest first. `Link: <…>; rel="next"` (RFC 8288) goes on behind the last one, also where the log has
/// no more at present, so that a reader can follow it.
pub(super) async fn read(
    State(control): State<Control>,
    headers: HeaderMap,
    Asked(query): Asked<AuditQuery>,
) -> Result<Response, Refused> {
    let key = asked_key(control.engine(), &headers, query.key.as_deref())?;
    let lines_max = page_len(query.limit)?;
    let after = AuditCursor(query.after.unwrap_or_default());
    let lines = control.engine().audit(after, key, lines_max).await?;
    let AuditCursor(reached) = lines.last().map_or(after, |(cursor, _)| *cursor);
    let mut text = String::new();
    for (_, line) in lines {
        text.push_str(&line.json);
        text.push('\n');
    }
    let key = key.map(|key| format!("&key={key}")).unwrap_or_default();
    let link = format!("</v1/audit?after={reached}&limit={lines_max}{key}>; rel=\"next\"");
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    // Digits and our own words: always a valid value.
    headers.extend(HeaderValue::try_from(link).ok().map(|link| (LINK, link)));
    Ok(response)
}
