//! What the proxy itself says to a client: never an empty answer, for a browser puts a failed form submit on a blank
//! error page then.

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};

use crate::server::ProxyBody;

/// A page for a person where the request accepts HTML, else one line of text.
#[must_use]
pub fn page(status: StatusCode, detail: &str, request: &HeaderMap) -> Response<ProxyBody> {
    let (media_type, text) = if accepts_html(request) {
        (HeaderValue::from_static("text/html; charset=utf-8"), html(status, detail))
    } else {
        (HeaderValue::from_static("text/plain; charset=utf-8"), format!("onceward: {detail}\n"))
    };
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn accepts_html(request: &HeaderMap) -> bool {
    request.get_all(ACCEPT).iter().any(|field| {
        field.to_str().is_ok_and(|types| {
            types.split(',').any(|item| {
                let media_type = item.split(';').next().unwrap_or_default();
                media_type.trim().eq_ignore_ascii_case("text/html")
            })
        })
    })
}

fn html(status: StatusCode, detail: &str) -> String {
    let title = escaped(&status.to_string());
    let detail = escaped(detail);
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n\
         <h1>{title}</h1>\n<p>{detail}</p>\n<p>This is the answer of the onceward proxy, not of the site.</p>\n</html>\n"
    )
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(accept: Option<&'static str>) -> (String, String) {
        let request: HeaderMap =
            accept.map(|types| (ACCEPT, HeaderValue::from_static(types))).into_iter().collect();
        let response = page(StatusCode::BAD_GATEWAY, "no route to <b>", &request);
        let media_type = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (media_type, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn programs_get_text_and_browsers_a_page() {
        let plain = ("text/plain; charset=utf-8".to_owned(), "onceward: no route to <b>\n".to_owned());
        assert_eq!(text(None).await, plain);
        assert_eq!(text(Some("application/json, */*")).await, plain);
        let (media_type, page) = text(Some("application/xml, text/html;q=0.9")).await;
        assert_eq!(media_type, "text/html; charset=utf-8");
        assert!(page.contains("<h1>502 Bad Gateway</h1>\n<p>no route to &lt;b&gt;</p>"), "{page}");
    }
}
