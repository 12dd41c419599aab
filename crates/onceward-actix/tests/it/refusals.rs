//! Problems as their readers get them, and what they do not give away.

use onceward_core::outcome::Policy;

use crate::kit::{Count, Lines, World, ask, post, response};

/// The fields of each problem.
fn page(content_type: &str, content: &str) -> String {
    let len = content.len();
    format!(
        "409\ncache-control: no-store\ncontent-length: {len}\ncontent-security-policy: default-src 'none'; \
         style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'\n\
         content-type: {content_type}\nidempotency-key-consumed: true\nintent-status: unknown\n\
         link: <https://onceward.example/problems/outcome-unknown>; rel=\"describedby\"\nretry-after: 30\n\
         vary: Accept, Origin\nx-content-type-options: nosniff\n\n"
    )
}

// covers: C2 C3 D1
#[actix_web::test]
async fn a_problem_is_json_markdown_or_a_page() {
    let (world, count) = (World::start().await, Count::default());
    let site = count.site(|_| {
        response(200, &[]).streaming(futures_util::stream::iter([Err::<actix_web::web::Bytes, _>(
            std::io::Error::other("cut"),
        )]))
    });
    let addr = world.serve(Policy::middleware(), site).addr;
    ask(addr, &post("k", "a")).await;
    for (accept, content_type, begins) in [
        ("*/*", "application/problem+json", "{"),
        ("text/html,*/*;q=0.8", "text/html; charset=utf-8", "<!doctype html>"),
        ("text/markdown, */*", "text/markdown; charset=utf-8", "---\\ntype: "),
    ] {
        let line = format!("Host: a\r\nAccept: {accept}");
        let answer = ask(addr, &post("k", "a").replacen("Host: a", &line, 1)).await;
        let (_, content) = answer.split_once("\n\n").unwrap();
        assert!(content.starts_with(begins) && content.contains("its outcome is unknown"), "{answer}");
        let content = content.replace("\\n", "\n").replace("\\\"", "\"").replace("\\'", "'");
        assert!(answer.starts_with(&page(content_type, &content)), "{answer}");
    }
    assert_eq!(count.get(), 1);
}

// covers: F6 C3
#[actix_web::test]
async fn a_reused_key_gives_nothing_of_its_first_request_away() {
    const SECRET: Lines = &[("x-first", "1"), ("content-type", "text/secret")];
    let (world, count) = (World::start().await, Count::default());
    let addr =
        world.serve(Policy::middleware(), count.site(|_| response(201, SECRET).body("first answer"))).addr;
    ask(addr, &post("k", "first body")).await;
    let other = ask(addr, &post("k", "other body")).await;
    assert!(other.starts_with("422\n") && other.contains("/problems/key-reused"), "{other}");
    assert!(!other.contains("first") && !other.contains("201"), "{other}");
    // The owner's record is as it was.
    assert!(ask(addr, &post("k", "first body")).await.ends_with("\nfirst answer"));
    assert_eq!(count.get(), 1);
}
