//! What is kept of a request for its resolvers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, Request, StatusCode, request::Parts};
use onceward_core::{
    actor::LookupId,
    header::Cookies,
    outcome::{Content, Policy},
    record::{Attempt, AttemptId, DoubtReason, Epoch},
    time::Timestamp,
};
use onceward_engine::{Doubtful, Sight};
use onceward_resolve::{
    Command, EffectRequest, Effects, Fetch, FetchFuture, Fetched, Finder, KEPT_BYTES_MAX, OriginKey,
    Passthrough, Place, Resolvers, builtin_named,
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

/// Answers every request alike, and counts them.
#[derive(Debug)]
struct Answers {
    status: u16,
    field: (&'static str, &'static str),
    body_bytes: usize,
    asked: AtomicUsize,
}

fn created() -> Answers {
    Answers { status: 201, field: ("set-cookie", "sid=1"), body_bytes: 1, asked: AtomicUsize::new(0) }
}

impl Fetch for Answers {
    fn fetch(&self, _: Request<Vec<u8>>, _: Place) -> FetchFuture<'_> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (name, value) = self.field;
        let parts = http::Response::builder().status(self.status).header(name, value).body(()).unwrap();
        let body = vec![b'x'; self.body_bytes];
        Box::pin(async { Ok(Fetched { parts: parts.into_parts().0, body }) })
    }
}

/// A passthrough whose origin knows requests by the header `key`, and a doubt about one of them.
fn passthrough(key: &'static str, policy: &Policy, fetch: Arc<Answers>) -> (Arc<dyn Finder>, Doubtful) {
    let key = OriginKey::header(HeaderName::from_static(key));
    doubted(Passthrough::new("again".into(), orders(), key, policy, fetch), "x")
}

fn orders() -> Effects {
    Effects::new(&["POST"], &["/orders"], None).unwrap()
}

fn doubted(passthrough: Passthrough, body: &str) -> (Arc<dyn Finder>, Doubtful) {
    let finder: Arc<dyn Finder> = Arc::new(passthrough);
    let resolvers = Resolvers::new(vec![Arc::clone(&finder)]);
    let at = Timestamp::from_ms(1_000);
    let doubt = Doubtful {
        id: LookupId::from_bytes([1; 32]),
        attempt: Attempt { epoch: Epoch(1), id: AttemptId([1; 16]) },
        reason: DoubtReason::NoAnswer,
        claimed_at: at,
        doubted_at: at,
        now: at,
        looks: 1,
        request: resolvers.keep(&head("/orders"), Some(("https", "shop.example")), body.as_bytes()).unwrap(),
    };
    (finder, doubt)
}

// covers: D2, D3
#[tokio::test]
async fn a_request_that_its_origin_does_not_know_by_a_key_is_not_sent_again() {
    let site = Arc::new(created());
    let (finder, doubt) = passthrough("idempotency-key", &Policy::forward_proxy(), Arc::clone(&site));
    assert_eq!(finder.look(&doubt).await.sight, Sight::Unclear);
    assert_eq!(site.asked.load(Ordering::SeqCst), 0);
}

// covers: D2, L5
#[tokio::test]
async fn an_answer_that_is_not_the_effects_own_says_nothing() {
    let field = ("x-any", "1");
    let answers = [401, 403, 408, 409, 425, 429, 500, 502, 503].map(|status| (status, field));
    for (status, field) in answers.into_iter().chain([(404, ("idempotency-key-consumed", "false"))]) {
        let site = Arc::new(Answers { status, field, ..created() });
        let (finder, doubt) = passthrough("cookie", &Policy::forward_proxy(), site);
        assert_eq!(finder.look(&doubt).await.sight, Sight::Unclear, "{status}");
    }
}

/// Adyen says so with 422 where the first request still runs.
// covers: D2, D3
#[tokio::test]
async fn an_origin_may_say_with_more_statuses_that_it_has_not_decided() {
    for (undecided, expected) in [(vec![], true), (vec![StatusCode::UNPROCESSABLE_ENTITY], false)] {
        let site = Arc::new(Answers { status: 422, ..created() });
        let key = OriginKey::header(http::header::COOKIE);
        let passthrough = Passthrough::new("again".into(), orders(), key, &Policy::forward_proxy(), site);
        let (finder, doubt) = doubted(passthrough.undecided_at(undecided), "x");
        let is_final = matches!(finder.look(&doubt).await.sight, Sight::Happened(Some(_)));
        assert_eq!(is_final, expected);
    }
}

/// To an origin that has forgotten the key, the same request is a new one.
// covers: D2, D3
#[tokio::test]
async fn a_request_that_its_origin_may_have_forgotten_is_not_sent_again() {
    const HOUR_MS: u64 = 3_600_000;
    /// What has to be left of a key's lifetime.
    const LEFT_MS: u64 = 300_000;
    let rows = [
        (None, 24 * HOUR_MS - LEFT_MS, 1),
        (None, 24 * HOUR_MS - LEFT_MS + 1, 0),
        (Some(Duration::from_hours(6)), 6 * HOUR_MS - LEFT_MS, 1),
        (Some(Duration::from_hours(6)), 6 * HOUR_MS - LEFT_MS + 1, 0),
        (Some(Duration::from_hours(7 * 24)), 24 * HOUR_MS, 1),
    ];
    for (lifetime, age_ms, expected) in rows {
        let site = Arc::new(created());
        let key = OriginKey::header(http::header::COOKIE);
        let fetch: Arc<dyn Fetch> = Arc::clone(&site) as _;
        let mut passthrough =
            Passthrough::new("again".into(), orders(), key, &Policy::forward_proxy(), fetch);
        if let Some(lifetime) = lifetime {
            passthrough = passthrough.knowing_keys_for(lifetime);
        }
        let (finder, doubt) = doubted(passthrough, "x");
        let now = Timestamp::from_ms(doubt.claimed_at.as_ms() + age_ms);
        let sight = finder.look(&Doubtful { now, ..doubt }).await.sight;
        assert_eq!(site.asked.load(Ordering::SeqCst), expected, "{lifetime:?} {age_ms}: {sight:?}");
    }
}

// covers: D2, D3
#[tokio::test]
async fn a_key_may_stand_in_the_body() {
    let rows = [
        (r#"{"idempotency_key": "k-1", "amount": 5}"#, 1),
        (r#"{"idempotency_key": "", "amount": 5}"#, 0),
        (r#"{"idempotency_key": null}"#, 0),
        (r#"{"amount": 5}"#, 0),
        ("idempotency_key=k-1", 0),
    ];
    for (body, expected) in rows {
        let site = Arc::new(created());
        let key = OriginKey::member("$.idempotency_key").unwrap();
        let fetch: Arc<dyn Fetch> = Arc::clone(&site) as _;
        let passthrough = Passthrough::new("again".into(), orders(), key, &Policy::forward_proxy(), fetch);
        let (finder, doubt) = doubted(passthrough, body);
        let sight = finder.look(&doubt).await.sight;
        assert_eq!(site.asked.load(Ordering::SeqCst), expected, "{body}: {sight:?}");
    }
    assert!(OriginKey::member("idempotency_key").unwrap_err().contains("no JSONPath"));
}

// covers: D2, O2, O7
#[tokio::test]
async fn of_an_answer_to_a_repeated_request_no_more_is_kept_than_of_any_other() {
    let policy = Policy { outcome_bytes_max: 10, cookies: Cookies::Drop, ..Policy::forward_proxy() };
    let mut seen = Vec::new();
    for answer_bytes in [10, 11] {
        let (finder, doubt) =
            passthrough("cookie", &policy, Arc::new(Answers { body_bytes: answer_bytes, ..created() }));
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
