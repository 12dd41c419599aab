//! The problem pages.

use axum::{
    extract::{Path, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY},
};
use onceward_core::problem::Form;

use onceward_core::problem;

use crate::refused::Refused;

/// The page behind a problem's `type`: for browsers as HTML, for everybody else as it was written.
pub(super) async fn problem(
    slug: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let Ok(Path(slug)) = slug else { return Err(Refused::PathUnknown) };
    let page = problem::page(&slug).ok_or(Refused::PathUnknown)?;
    let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let (form, text) = match Form::accepted((!accept.is_empty()).then(|| accept.join(",")).as_deref()) {
        Form::Html => (Form::Html, html(&slug, page)),
        // There is no JSON of a page.
        Form::Json | Form::Markdown => (Form::Markdown, page.to_owned()),
    };
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    Ok(response)
}

/// Markdown reads well as it is.
fn html(slug: &str, page: &str) -> String {
    let mut escaped = String::with_capacity(page.len());
    for character in page.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            plain => escaped.push(plain),
        }
    }
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{slug}</title></head>\
         <body><pre>{escaped}</pre></body></html>\n"
    )
}
