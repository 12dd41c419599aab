//! What is kept of a request for its resolvers.

use std::{sync::Arc, time::Duration};

use http::{Request, request::Parts};
use onceward_core::{
    actor::LookupId,
    header::Cookies,
    outcome::{Content, Policy},
    record::{Attempt, AttemptId, DoubtReason, Epoch},
    time::Timestamp,
};
use onceward_engine::{Doubtful, Sight};
use onceward_resolve::{
    Command, EffectRequest, Effects, Fetch, FetchFuture, Fetched, Finder, KEPT_BYTES_MAX, Passthrough, Place,
    Resolvers, builtin_named,
};

use crate::kit;

fn head(uri: &str) -> Parts {
    let request = Request::post(uri)
        .header("content-type", "application/json")
        .header("x-redmine-api-key", "k")
        .header("cookie", "sid=s3cret");
    request.body(()).unwrap().into_parts().0
}

fn command(path: &str) -> Arc<dyn Finder> {
    let effects = Effects::new(&["POST"], &[path], None).unwrap();
    Arc::new(Command::new("ask".into(), effects, "/bin/true".into(), Vec::new(), Duration::ZERO))
}

fn kept(resolvers: &Resolvers, uri: &str, body: &[u8]) -> Option<EffectRequest> {
    let kept = resolvers.keep(&head(uri), Some(("https", "shop.example")), body)?;
    Some(EffectRequest::decode(&kept).unwrap())
}

// covers: D2, S4
#[test]
fn of_a_request_no_more_is_kept_than_somebody_needs() {
    let redmine = builtin_named("redmine").unwrap().recipe(&[]).unwrap();
    let probe: Arc<dyn Finder> = Arc::new(onceward_resolve::Probe::new(redmine, Arc::new(kit::Nowhere)));
    let resolvers = Resolvers::new(vec![Arc::clone(&probe), command("/refunds")]);
    let issue = kept(&resolvers, "/projects/7/issues.json", br#"{"issue": {"subject": "Leak"}}"#).unwrap();
    let names: Vec<_> = issue.headers().keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["content-type", "x-redmine-api-key"], "no cookie");
    assert_eq!(issue.uri().to_string(), "https://shop.example/projects/7/issues.json");
    let refund = kept(&resolvers, "https://other.example/refunds", b"all").unwrap();
    assert_eq!((refund.headers().len(), refund.body()), (3, b"all".as_slice()));
    assert_eq!(refund.uri().to_string(), "https://other.example/refunds");
    assert_eq!(kept(&resolvers, "/orders", b"x"), None);
    // Both look: what both need.
    let both = Resolvers::new(vec![probe, command("/{*any}")]);
    assert_eq!(kept(&both, "/projects/7/issues.json", b"{}").unwrap().headers().len(), 3);
}

// covers: S1
#[test]
fn a_request_that_is_too_large_is_not_kept() {
    let resolvers = Resolvers::new(vec![command("/orders")]);
    let body = vec![b'x'; KEPT_BYTES_MAX];
    assert_eq!(kept(&resolvers, "/orders", &body).unwrap().body().len(), KEPT_BYTES_MAX);
    assert_eq!(kept(&resolvers, "/orders", &[body.as_slice(), b"x"].concat()), None);
}

#[test]
fn a_request_whose_site_is_not_known_is_not_kept() {
    let resolvers = Resolvers::new(vec![command("/orders")]);
    assert!(resolvers.keep(&head("/orders"), None, b"x").is_none());
}

/// Answers every request with 201 and so many bytes.
#[derive(Debug)]
struct Answers(usize);

impl Fetch for Answers {
    fn fetch(&self, _: Request<Vec<u8>>, _: Place) -> FetchFuture<'_> {
        let parts = http::Response::builder().status(201).header("set-cookie", "sid=1").body(()).unwrap();
        let body = vec![b'x'; self.0];
        Box::pin(async { Ok(Fetched { parts: parts.into_parts().0, body }) })
    }
}

// covers: D2, O2, O7
#[tokio::test]
async fn of_an_answer_to_a_repeated_request_no_more_is_kept_than_of_any_other() {
    let policy = Policy { outcome_bytes_max: 10, cookies: Cookies::Drop, ..Policy::forward_proxy() };
    let mut seen = Vec::new();
    for answer_bytes in [10, 11] {
        let effects = Effects::new(&["POST"], &["/orders"], None).unwrap();
        let fetch = Arc::new(Answers(answer_bytes));
        let finder: Arc<dyn Finder> = Arc::new(Passthrough::new("again".into(), effects, &policy, fetch));
        let resolvers = Resolvers::new(vec![Arc::clone(&finder)]);
        let request = resolvers.keep(&head("/orders"), Some(("https", "shop.example")), b"x").unwrap();
        let at = Timestamp::from_ms(1_000);
        let doubt = Doubtful {
            id: LookupId::from_bytes([1; 32]),
            attempt: Attempt { epoch: Epoch(1), id: AttemptId([1; 16]) },
            reason: DoubtReason::NoAnswer,
            claimed_at: at,
            doubted_at: at,
            now: at,
            looks: 1,
            request,
        };
        let Sight::Happened(Some(outcome)) = finder.look(&doubt).await.sight else { panic!("not seen") };
        assert_eq!((outcome.status, outcome.fields.len()), (201, 0));
        seen.push(match outcome.content {
            Content::Kept(bytes) => (bytes.len(), true),
            Content::NotKept { len, .. } => (usize::try_from(len).unwrap(), false),
            Content::None { .. } => (0, false),
        });
    }
    assert_eq!(seen, [(10, true), (11, false)]);
}
