//! Where an actor comes from, and what credentials that say nothing mean (K4).

use http::{HeaderName, Request};
use onceward_core::actor::Actor;
use onceward_tower::origin::{
    ActorHook, ActorSource, Anonymous, CredentialsUnreadable, OriginSettings, TlsSubject, TrustedHeader,
};

use super::{keyed, shop, sources, told};
use crate::kit::{AnyBody, Lines};

const X_USER: HeaderName = HeaderName::from_static("x-user");

fn cookie() -> ActorSource {
    ActorSource::Cookie("sid".into())
}

fn trusted() -> ActorSource {
    ActorSource::TrustedHeader(TrustedHeader(X_USER))
}

/// Knows the principals of `x-token: key-…`, nobody without the field, and takes any other value for one that it cannot read.
fn hook() -> ActorSource {
    ActorSource::Hook(ActorHook::new(|head| {
        let Some(token) = head.headers.get("x-token") else { return Ok(None) };
        let principal = token.as_bytes().strip_prefix(b"key-").ok_or(CredentialsUnreadable)?;
        Ok(Some(Actor::new("principal", principal)))
    }))
}

/// An order under the key `k` with these fields, from the owner of a certificate where there is one.
fn order(lines: Lines, subject: Option<&[u8]>) -> Request<AnyBody> {
    let mut request = keyed("POST /orders", "k", lines, "a");
    if let Some(subject) = subject {
        request.extensions_mut().insert(TlsSubject(subject.to_vec()));
    }
    request
}

/// Two callers.
type Two<'a> = [(Lines, Option<&'a [u8]>); 2];

// covers: K4
#[tokio::test(start_paused = true)]
async fn callers_whom_a_source_tells_apart_have_keys_of_their_own() {
    let rows: [(ActorSource, Two<'_>); 8] = [
        (
            ActorSource::Authorization,
            [(&[("authorization", "Bearer a")], None), (&[("authorization", "Bearer b")], None)],
        ),
        // One credential in two schemes is two credentials.
        (
            ActorSource::Authorization,
            [(&[("authorization", "Bearer a")], None), (&[("authorization", "bearer a")], None)],
        ),
        (ActorSource::Authorization, [(&[("authorization", "Bearer a")], None), (&[], None)]),
        (cookie(), [(&[("cookie", "x=1; sid=a; y=2")], None), (&[("cookie", "sid=b")], None)]),
        (cookie(), [(&[("cookie", "sid=a")], None), (&[("cookie", "sid=a=")], None)]),
        (trusted(), [(&[("x-user", "a")], None), (&[("x-user", "b")], None)]),
        (hook(), [(&[("x-token", "key-a")], None), (&[("x-token", "key-b")], None)]),
        (ActorSource::TlsSubject, [(&[], Some(b"CN=a")), (&[], Some(b"CN=b"))]),
    ];
    for (source, [one, other]) in rows {
        let label = format!("{source:?} {one:?} {other:?}");
        let (_, _, shop) = shop(sources([source])).await;
        for (caller, expected) in [
            (one, "201 first order 1"),
            (other, "201 first order 2"),
            (one, "201 again order 1"),
            (other, "201 again order 2"),
        ] {
            assert_eq!(told(&shop, order(caller.0, caller.1)).await, expected, "{label}");
        }
    }
}

// covers: K4
#[tokio::test(start_paused = true)]
async fn the_same_text_from_two_sources_is_two_actors() {
    let all = [ActorSource::Authorization, cookie(), trusted(), ActorSource::TlsSubject, hook()];
    let (_, count, shop) = shop(sources(all)).await;
    let rows: [(Lines, Option<&[u8]>); 6] = [
        (&[("authorization", "a")], None),
        (&[("cookie", "sid=a")], None),
        (&[("x-user", "a")], None),
        (&[], Some(b"a")),
        (&[("x-token", "key-a")], None),
        (&[], None),
    ];
    for (index, (lines, subject)) in rows.into_iter().enumerate() {
        let expected = format!("201 first order {}", index + 1);
        assert_eq!(told(&shop, order(lines, subject)).await, expected, "{lines:?}");
    }
    assert_eq!(count.get(), 6);
}

// covers: K4
#[tokio::test(start_paused = true)]
async fn the_first_source_that_knows_the_caller_decides() {
    const BOTH: Lines = &[("authorization", "a"), ("cookie", "sid=b")];
    const HEADER: Lines = &[("authorization", "a")];
    const COOKIE: Lines = &[("cookie", "sid=b")];
    for (order_of, same, other) in [
        ([ActorSource::Authorization, cookie()], HEADER, COOKIE),
        ([cookie(), ActorSource::Authorization], COOKIE, HEADER),
    ] {
        let (_, _, shop) = shop(sources(order_of)).await;
        assert_eq!(told(&shop, order(BOTH, None)).await, "201 first order 1");
        assert_eq!(told(&shop, order(same, None)).await, "201 again order 1");
        assert_eq!(told(&shop, order(other, None)).await, "201 first order 2");
    }
    // A source that knows nobody leaves it to the next; one that cannot read what is there does not.
    let (_, _, shop) = shop(sources([hook(), ActorSource::Authorization])).await;
    assert_eq!(told(&shop, order(HEADER, None)).await, "201 first order 1");
    const TORN: Lines = &[("authorization", "a"), ("x-token", "torn")];
    assert_eq!(told(&shop, order(TORN, None)).await, "403 actor-unknown");
}

// covers: K4
#[tokio::test(start_paused = true)]
async fn a_cookie_is_found_by_its_whole_name_wherever_it_stands() {
    let (_, _, shop) = shop(sources([cookie()])).await;
    assert_eq!(told(&shop, order(&[("cookie", "sid=a")], None)).await, "201 first order 1");
    let same: [Lines; 6] = [
        &[("cookie", "x=1;sid=a;y=2")],
        &[("cookie", "x=1"), ("cookie", "sid=a")],
        &[("cookie", "sid=a; sid=a")],
        &[("cookie", "sid=a"), ("cookie", "sid=a")],
        // Servers that take the blanks off read the same cookie.
        &[("cookie", "sid = a")],
        &[("cookie", "; ;=;sid; sid=a")],
    ];
    for lines in same {
        assert_eq!(told(&shop, order(lines, None)).await, "201 again order 1", "{lines:?}");
    }
    // None of these is it, so they are nobody's: one anonymous actor.
    let nobodys: [Lines; 7] = [
        &[],
        &[("cookie", "")],
        &[("cookie", "sid2=a; xsid=a; Sid=a; SID=a")],
        &[("cookie", "x=sid=a")],
        &[("cookie", "x=\"1")],
        &[("cookie", "sid")],
        &[("x-sid", "a")],
    ];
    for (index, lines) in nobodys.into_iter().enumerate() {
        let expected = if index == 0 { "201 first order 2" } else { "201 again order 2" };
        assert_eq!(told(&shop, order(lines, None)).await, expected, "{lines:?}");
    }
}

// covers: K4 C3
#[tokio::test(start_paused = true)]
async fn credentials_that_cannot_be_read_are_refused_and_never_anonymous() {
    let all = || [ActorSource::Authorization, cookie(), trusted(), ActorSource::TlsSubject, hook()];
    let rows: [(Lines, Option<&[u8]>); 13] = [
        (&[("authorization", "")], None),
        (&[("authorization", "a"), ("authorization", "b")], None),
        (&[("authorization", "a"), ("authorization", "a")], None),
        (&[("cookie", "sid=")], None),
        (&[("cookie", "sid=; x=1")], None),
        (&[("cookie", "sid=a; sid=b")], None),
        (&[("cookie", "sid=a"), ("cookie", "sid=b")], None),
        (&[("cookie", "sid=a; sid =b")], None),
        (&[("x-user", "")], None),
        (&[("x-user", "a"), ("x-user", "b")], None),
        (&[("x-token", "torn")], None),
        (&[("x-token", "")], None),
        // The empty subject of a certificate is shared by all that have alternative names only.
        (&[], Some(b"")),
    ];
    for anonymous in [Anonymous::Shared, Anonymous::Refuse] {
        let (world, count, shop) = shop(OriginSettings { anonymous, ..sources(all()) }).await;
        for (lines, subject) in rows {
            assert_eq!(told(&shop, order(lines, subject)).await, "403 actor-unknown", "{lines:?}");
        }
        assert_eq!((count.get(), world.records().await), (0, 0));
    }
}

// covers: K4
#[tokio::test(start_paused = true)]
async fn without_credentials_the_policy_decides_and_credentials_of_no_source_are_refused() {
    const CREDENTIALS: Lines = &[("authorization", "Bearer a")];
    let rows: [(Anonymous, Vec<ActorSource>, Lines, &str); 6] = [
        (Anonymous::Shared, vec![cookie()], &[], "201 first order 1"),
        (Anonymous::Refuse, vec![cookie()], &[], "403 actor-unknown"),
        // Whoever shows credentials is somebody, though no source here reads them.
        (Anonymous::Shared, vec![cookie()], CREDENTIALS, "403 actor-unknown"),
        (Anonymous::Refuse, vec![cookie()], CREDENTIALS, "403 actor-unknown"),
        (Anonymous::Shared, vec![], &[], "201 first order 1"),
        (Anonymous::Refuse, vec![], &[], "403 actor-unknown"),
    ];
    for (anonymous, actors, lines, expected) in rows {
        let label = format!("{anonymous:?} {actors:?} {lines:?}");
        let (_, _, shop) = shop(OriginSettings { anonymous, ..sources(actors) }).await;
        assert_eq!(told(&shop, order(lines, None)).await, expected, "{label}");
    }
    // The policy is about keys: a request without one passes.
    let (_, _, shop) = shop(OriginSettings { anonymous: Anonymous::Refuse, ..sources([cookie()]) }).await;
    assert_eq!(told(&shop, crate::kit::asking("POST /orders", &[], "a")).await, "201 passed order 1");
}
