//! What is kept of a request for its resolvers.

use std::{sync::Arc, time::Duration};

use http::{Request, request::Parts};
use onceward_resolve::{Command, EffectRequest, Effects, Finder, KEPT_BYTES_MAX, Resolvers, builtin_named};

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
