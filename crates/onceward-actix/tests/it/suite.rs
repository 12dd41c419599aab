//! The suites that judge every guard, run against this one: the reference origin as an actix handler behind the middleware.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodyStream, SizedStream},
    web::{self, Bytes, PayloadConfig, ServiceConfig},
};
use http_body::Body;
use http_body_util::BodyExt;
use onceward_actix::Once;
use onceward_core::{fingerprint::Equality, outcome::Policy, profile::Profile, time::Timestamp};
use onceward_drill::{
    Finding, Guarding, Heads, Subject, Suite, Target, Trust, Verdict,
    origin::{Equals, OriginBody, ROUTES, Reference, RouteSetup},
    suite,
};
use onceward_store::SystemClock;
use onceward_tower::{
    OriginRules,
    origin::{Demand, Guarding as RouteGuarding, OriginSettings, Route},
};

use crate::kit::{Server, engine, serve};

/// What depends on an answer being somebody else's word; here it is the handler's.
const UPSTREAM: [&str; 4] = [
    "a_502_from_upstream_is_doubt",
    "a_503_from_upstream_is_doubt",
    "a_504_from_upstream_is_doubt",
    "a_408_from_upstream_is_doubt",
];

/// What actix reads before the middleware sees it.
const HEADS: [&str; 16] = [
    "a_length_beside_an_encoding_is_refused",
    "a_length_that_stands_twice_is_refused",
    "two_lengths_are_refused",
    "a_list_of_lengths_is_refused",
    "a_length_with_a_sign_is_refused",
    "a_length_with_a_leading_zero_is_refused",
    "an_encoding_beside_chunked_is_refused",
    "an_encoding_that_stands_twice_is_refused",
    "bare_line_feeds_are_refused",
    "a_head_without_a_host_is_refused",
    "two_hosts_are_refused",
    "a_host_that_differs_from_the_target_is_refused",
    "a_space_before_a_colon_is_refused",
    "a_folded_field_is_refused",
    "a_body_on_a_read_is_refused",
    "a_method_in_small_letters_is_refused",
];

/// What actix does not carry, and how that is seen: it drops the trailers of a request before the middleware sees them, so that a key
/// among them counts for nothing, and writes none with an answer.
const TRAILERS: [(&str, &str); 3] = [
    ("a_key_in_a_trailer_is_refused", r#"201 with "application/json", expected a problem"#),
    ("trailers_are_replayed", r#"trailers: [], expected [("x-sum", [57])]"#),
    ("trailers_are_replayed_over_http2", r#"trailers: [], expected [("x-sum", [57])]"#),
];

/// The largest body that the handler reads; actix's own limit is below what the suites send.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The reference origin behind the middleware, by a profile.
async fn guarded(profile: Profile) -> Server {
    let engine = engine(Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)))).await;
    let routes = ROUTES.iter().filter(|route| profile.name == "onceward" || route.is_key_required);
    let routes = routes.map(|setup| route(setup, &profile)).collect();
    let rules = OriginRules::new(engine.clone(), OriginSettings { routes, ..OriginSettings::of(profile) });
    let surface = rules.surface();
    let reference = web::Data::new(Reference::new());
    serve(Once::new(engine, rules, surface), move |config: &mut ServiceConfig| {
        config.app_data(reference).app_data(PayloadConfig::new(REQUEST_BYTES_MAX));
        config.default_service(web::to(order));
    })
}

fn route(setup: &RouteSetup, profile: &Profile) -> Route {
    if profile.name != "onceward" {
        let guarding = RouteGuarding { is_key_required: setup.is_key_required, ..RouteGuarding::of(profile) };
        return Route::guarded(&[], setup.template, guarding).unwrap();
    }
    let policy = Policy {
        wait: setup.wait.unwrap_or(profile.policy.wait),
        cookies: setup.cookies,
        on_panic: setup.on_panic,
        ..profile.policy.clone()
    };
    let equality = match setup.equality {
        Equals::Canonical => profile.equality.clone(),
        Equals::Bytes => Equality::Bytes,
    };
    let guarding = RouteGuarding {
        is_key_required: setup.is_key_required,
        namespace: setup.namespace,
        equality: Arc::new(equality),
        policy: Arc::new(policy),
        precondition: if setup.is_precondition_required { Demand::Required } else { Demand::Optional },
        ..RouteGuarding::of(profile)
    };
    Route::guarded(setup.methods, setup.template, guarding).unwrap()
}

/// The reference origin, in the types of actix.
async fn order(reference: web::Data<Reference>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let mut asked = http::Request::builder().method(request.method().as_str()).uri(request.uri().to_string());
    for (name, value) in request.headers() {
        asked = asked.header(name.as_str(), value.as_bytes());
    }
    answered(reference.answer(asked.body(body).unwrap()).await)
}

fn answered(response: http::Response<OriginBody>) -> HttpResponse {
    let (head, body) = response.into_parts();
    let mut answer = HttpResponse::build(head.status.as_u16().try_into().unwrap());
    for (name, value) in &head.headers {
        answer.append_header((name.as_str(), value.as_bytes()));
    }
    let len = body.size_hint().exact();
    let content = body.into_data_stream();
    match len {
        Some(len) => answer.body(SizedStream::new(len, content)),
        None => answer.body(BodyStream::new(content)),
    }
}

/// Every case passes but for those that cannot be judged here, and those that fail by what actix lacks.
async fn keeps_all(name: &str, left_out: &[&str], lacking: &[(&str, &str)]) {
    let server = guarded(Profile::named(name).unwrap()).await;
    let target = Target::parse(&format!("http://{}", server.addr), &Trust::Anything).unwrap();
    let guarding = Guarding { verdict: Verdict::Handler, heads: Heads::Foreign };
    let (subject, suite) = (Subject::reference(target, guarding).with_http2(), Suite::named(name).unwrap());
    let report = suite::run(&subject, suite, |_| ()).await.unwrap();
    let failed = report.results.iter().filter_map(|result| match &result.finding {
        Finding::Fail(why) => Some((result.name, why.as_str())),
        Finding::Pass | Finding::NotApplicable(_) | Finding::NotObservable(_) => None,
    });
    assert_eq!(failed.collect::<Vec<_>>(), lacking, "{}", report.text());
    assert_eq!(report.names("not-observable"), [""; 0]);
    assert_eq!(report.names("not-applicable"), left_out);
    let passed = report.names("pass").len();
    assert_eq!(passed + lacking.len() + left_out.len(), suite.cases().count());
}

// covers: K1 K2 K3 K4 K5 K7 F1 F2 F3 F4 F5 F6 L1 L5 L6 W1 W2 O1 O2 O3 O4 O5 O7 O8 O10 D1 P2 C2 C3
#[actix_web::test]
async fn onceward_is_whole_but_for_trailers() {
    keeps_all("onceward", &[UPSTREAM.as_slice(), &HEADS].concat(), &TRAILERS).await;
}

// covers: C4
#[actix_web::test]
async fn the_suites_of_the_published_profiles_are_whole() {
    for name in Suite::names().filter(|name| *name != "onceward") {
        keeps_all(name, &[], &[]).await;
    }
}
