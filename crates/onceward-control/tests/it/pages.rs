//! The pages of the problem types.

use onceward_core::refusal::PROBLEM_SLUGS;

use crate::{raw::request, stage::Stage};

// covers: C3
#[tokio::test]
async fn every_problem_type_resolves_to_a_page() {
    let stage = Stage::open().await;
    for slug in PROBLEM_SLUGS {
        let answer = stage.get(&format!("/problems/{slug}")).await;
        assert_eq!(
            (answer.status, answer.field("content-type")),
            (200, Some("text/markdown; charset=utf-8"))
        );
        assert!(answer.body.contains(slug), "the page of {slug} is another's: {}", answer.body);
    }
    assert_eq!(stage.get("/problems/nothing").await.status, 404);
    assert_eq!(stage.get("/problems/%ff").await.status, 404);
}

// covers: C3
#[tokio::test]
async fn a_browser_gets_a_page_that_is_escaped() {
    let stage = Stage::open().await;
    let accept = "text/html,application/xhtml+xml,*/*;q=0.8";
    let fields = [("Host", "localhost"), ("Accept", accept)];
    let answer = stage.ask(&request("GET", "/problems/outcome-unknown", &fields, "")).await;
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(answer.field("content-security-policy"), Some("default-src 'none'"));
    // The page quotes the next action as a Markdown quotation.
    assert!(answer.body.contains("&gt; Do not submit again."), "{}", answer.body);
}
