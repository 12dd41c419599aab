//! How a no is written (C2, C3).

use crate::{
    case::{Case, Judged, Stop, cases},
    expect::{Problem, equal, failed, field, holds, refused},
    talk::Talk,
    wire::Answer,
};

pub(super) const CASES: &[Case] = cases! {
    a_refusal_has_the_members_of_a_problem [] "C3";
    a_refusal_is_not_cached_and_loads_nothing [] "C3";
    a_refusal_leads_to_its_page [] "C3";
    the_page_of_a_refusal_is_served [] "C3";
    a_refusal_is_markdown_where_that_is_preferred [] "C3";
    a_refusal_is_a_page_where_that_is_preferred [] "C3";
    weights_decide_about_the_form [] "C3";
    what_is_not_wanted_is_not_sent [] "C3";
    a_browser_gets_a_page [] "C3";
    a_quote_in_a_key_does_not_break_the_front_matter [] "C3";
    an_invalid_key_is_not_consumed [] "C2";
    a_mismatch_says_so [] "C2";
};

/// A refusal that every server of this contract gives: the key is a list.
async fn refusal(talk: &Talk<'_>, accept: Option<&str>) -> Result<Answer, Stop> {
    let ask = talk.unkeyed().with("Idempotency-Key", "no, key");
    let ask = accept.into_iter().fold(ask, |ask, accept| ask.with("Accept", accept));
    talk.ask(&ask).await
}

async fn problem(talk: &Talk<'_>) -> Result<(Answer, Problem), Stop> {
    let answer = refusal(talk, None).await?;
    let problem = refused(&answer, 400, "key-invalid")?;
    Ok((answer, problem))
}

async fn a_refusal_has_the_members_of_a_problem(talk: &Talk<'_>) -> Judged {
    let (_, problem) = problem(talk).await?;
    problem.has("title", &"The idempotency key is not valid".into())?;
    problem.has("status", &400.into())?;
    problem.has("detail", &"The field holds a list of keys.".into())?;
    let path = talk.subject.path.split('?').next().unwrap_or_default();
    problem.has("instance", &path.into())?;
    problem.has("retryable", &false.into())?;
    problem.has("effect", &"none".into())?;
    problem.has("retry", &"new-key".into())?;
    problem.has("next_action", &"Send one key of 1 to 255 visible ASCII characters.".into())
}

async fn a_refusal_is_not_cached_and_loads_nothing(talk: &Talk<'_>) -> Judged {
    let (answer, _) = problem(talk).await?;
    field(&answer, "cache-control", Some("no-store"))?;
    field(&answer, "x-content-type-options", Some("nosniff"))?;
    let policy = answer.field("content-security-policy").unwrap_or_default();
    holds("no Content-Security-Policy that forbids by default", policy.starts_with("default-src 'none'"))?;
    let vary = answer.field("vary").unwrap_or_default().to_ascii_lowercase();
    holds("no Vary that names Accept", vary.split(',').any(|name| name.trim() == "accept"))
}

async fn a_refusal_leads_to_its_page(talk: &Talk<'_>) -> Judged {
    let (answer, problem) = problem(talk).await?;
    field(&answer, "link", Some(&format!("<{}>; rel=\"describedby\"", problem.text("type"))))
}

async fn the_page_of_a_refusal_is_served(talk: &Talk<'_>) -> Judged {
    let (_, problem) = problem(talk).await?;
    let path = talk.own_path(&problem.text("type"))?;
    let page = talk.ask(&talk.get(&path)).await?;
    equal("status of the page", page.status, 200)?;
    holds("the page does not name the problem", page.text().contains("key-invalid"))?;
    let unknown = talk.ask(&talk.get(&format!("{path}-there-is-not"))).await?;
    equal("status of a page that there is not", unknown.status, 404)
}

/// The form that an `Accept` gets.
async fn form(talk: &Talk<'_>, accept: &str) -> Result<&'static str, Stop> {
    let answer = refusal(talk, Some(accept)).await?;
    equal("status", answer.status, 400)?;
    let content_type = answer.field("content-type").unwrap_or_default();
    let (form, begins) = match content_type.as_str() {
        "application/problem+json" => ("json", "{"),
        "text/markdown; charset=utf-8" => ("markdown", "---\n"),
        "text/html; charset=utf-8" => ("html", "<!doctype html>"),
        _ => return failed(format!("content-type: {content_type:?} upon Accept: {accept}")),
    };
    holds("the content is not of its type", answer.text().starts_with(begins))?;
    Ok(form)
}

async fn a_refusal_is_markdown_where_that_is_preferred(talk: &Talk<'_>) -> Judged {
    equal("form", form(talk, "text/markdown").await?, "markdown")?;
    equal("form", form(talk, "text/markdown, text/html, */*").await?, "markdown")
}

async fn a_refusal_is_a_page_where_that_is_preferred(talk: &Talk<'_>) -> Judged {
    equal("form", form(talk, "text/html").await?, "html")?;
    equal("form", form(talk, "application/xhtml+xml").await?, "html")
}

/// RFC 9110, 12.5.1.
async fn weights_decide_about_the_form(talk: &Talk<'_>) -> Judged {
    for (accept, expected) in [
        ("application/json;q=0.2, text/markdown;q=0.9", "markdown"),
        ("text/html;q=0.3, application/json", "json"),
        ("text/markdown;q=0.5, text/html;q=0.6", "html"),
        ("text/*;q=0.9, application/problem+json;q=0.1", "markdown"),
        ("*/*", "json"),
        ("image/png", "json"),
    ] {
        equal(&format!("form upon Accept: {accept}"), form(talk, accept).await?, expected)?;
    }
    Ok(())
}

async fn what_is_not_wanted_is_not_sent(talk: &Talk<'_>) -> Judged {
    let found = form(talk, "text/markdown;q=0, text/html;q=0.001").await?;
    equal("form", found, "html")
}

/// What Chromium sends with a navigation.
async fn a_browser_gets_a_page(talk: &Talk<'_>) -> Judged {
    let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7";
    equal("form", form(talk, accept).await?, "html")
}

async fn a_quote_in_a_key_does_not_break_the_front_matter(talk: &Talk<'_>) -> Judged {
    let key = format!("{}\"\\", talk.key());
    talk.ask(&talk.order(&key)).await?;
    let other = talk.order(&key).with("Accept", "text/markdown").with_query("drill=1");
    let answer = talk.ask(&other).await?;
    equal("status", answer.status, 422)?;
    let line = format!("\nidempotency_key: {}\n", serde_json::json!(key));
    holds(&format!("no line {line:?}"), answer.text().contains(&line))
}

async fn an_invalid_key_is_not_consumed(talk: &Talk<'_>) -> Judged {
    let (answer, _) = problem(talk).await?;
    field(&answer, "idempotency-key-consumed", Some("false"))?;
    field(&answer, "intent-status", None)
}

async fn a_mismatch_says_so(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    talk.ask(&talk.order(&key)).await?;
    let other = talk.order(&key).with_query("drill=1");
    let answer = talk.ask(&other).await?;
    let problem = refused(&answer, 422, "key-reused")?;
    field(&answer, "idempotency-key-consumed", Some("true"))?;
    field(&answer, "intent-status", Some("mismatch"))?;
    problem.has("retry", &"new-key".into())?;
    problem.has("idempotency_key", &key.into())
}
