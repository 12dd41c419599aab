//! A store that takes no claim, on a route that lets requests through without it.

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use onceward_core::{
    outcome::{Evidence, Policy, WhenStoreDown},
    profile::Profile,
    record::DoubtReason,
};
use onceward_store::{Fault, Faults};
use onceward_tower::{
    Fence, Guarded, IdempotencyKey, Intent, RequestBody,
    origin::{Guarding, OriginSettings},
};
use tower::ServiceExt;

use crate::kit::{
    AnyBody, COMMITTED, Count, Lines, Shop, Site, Trouble, World, asking, problem, replayed, response, site,
    text, written,
};

const ADVERTISED: &str = "accepts-idempotency-key: true\naccepts-intent-hash: sha256\n";

/// As a profile has it, but for what its requests get while the store is down.
fn open(profile: &Profile) -> OriginSettings {
    let mut guarding = Guarding::of(profile);
    guarding.policy =
        std::sync::Arc::new(Policy { when_store_down: WhenStoreDown::Open, ..(*guarding.policy).clone() });
    OriginSettings { others: Some(guarding), ..OriginSettings::of(profile.clone()) }
}

/// A shop whose store refuses so many operations after the engine's look at it.
async fn shop(profile: &Profile, refused: usize, site: Site) -> (World, Shop) {
    let faults = [Fault::None].into_iter().chain(std::iter::repeat_n(Fault::Refused, refused));
    let world = World::failing(Faults::scripted(faults)).await;
    let shop = world.shop(open(profile), site);
    (world, shop)
}

fn order(lines: Lines) -> Request<AnyBody> {
    asking("POST /orders", lines, "{}")
}

/// Claims that one request makes before it goes through: at once, and after 10, 20, 40, 80 and 160 ms.
const TRIES: usize = 6;

// covers: S2, C2, O3
#[tokio::test(start_paused = true)]
async fn an_answer_without_a_claim_is_marked_and_never_replayed() {
    let count = Count::default();
    let site = count.site(|order| response(201, &[], text(format!("order {order}"))));
    let (world, shop) = shop(&Profile::onceward(), 2 * TRIES, site).await;
    let ordered =
        async || written(shop.clone().oneshot(order(&[("idempotency-key", "k")])).await.unwrap()).await;
    let unguarded = |order: usize| format!("201\nintent-status: unguarded\n{ADVERTISED}\norder {order}");
    assert_eq!(ordered().await, unguarded(1));
    assert_eq!(ordered().await, unguarded(2), "nothing is remembered of the first");
    assert_eq!(world.records().await, 0);
    assert_eq!(ordered().await, format!("201\n{COMMITTED}{ADVERTISED}\norder 3"), "the store is back");
    assert_eq!(ordered().await, format!("201\n{}{ADVERTISED}\norder 3", replayed(0)));
    assert_eq!(count.get(), 3);
}

// covers: S2, C2, C4
#[tokio::test(start_paused = true)]
async fn only_what_is_true_without_a_claim_is_said() {
    // A contract that marks first answers and replays, and an origin with a word of its own on the key.
    let profile = Profile::named("idemstep").unwrap();
    let site = Count::default().site(|_| {
        response(503, &[("idempotency-key-consumed", "false"), ("intent-status", "committed")], text(""))
    });
    let (_world, shop) = shop(&profile, TRIES, site).await;
    let answer = written(shop.clone().oneshot(order(&[("x-idem-key", "k")])).await.unwrap()).await;
    let expected = format!("503\nidempotency-key-consumed: false\nintent-status: unguarded\n{ADVERTISED}\n");
    assert_eq!(answer, expected, "an unguarded 503 is the origin's, and no doubt");
}

// covers: S2, L14
#[tokio::test(start_paused = true)]
async fn a_handler_learns_the_key_and_the_intent_and_that_nobody_holds_a_claim() {
    // base64url of SHA-256 of `{}`.
    const DIGEST: &str = "RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o";
    let site = site(|request: Request<RequestBody<AnyBody>>| async move {
        let told = request.extensions();
        let told = format!(
            "{:?} {} {} {}",
            told.get::<IdempotencyKey>().is_some(),
            told.get::<Intent>().is_some(),
            told.get::<Fence>().is_some(),
            told.get::<Guarded>().is_some(),
        );
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok(response(200, &[], text(format!("{told} {}", body.escape_ascii()))))
    });
    let (_world, shop) = shop(&Profile::onceward(), TRIES, site).await;
    for expected in ["true true false false {}", "true true true true {}"] {
        let asked = order(&[("idempotency-key", "k"), ("intent-sha256", DIGEST)]);
        let answer = shop.clone().oneshot(asked).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), expected);
    }
}

// covers: S2, F5
#[tokio::test(start_paused = true)]
async fn what_its_client_does_not_mean_any_more_is_not_sent() {
    let count = Count::default();
    let (_world, shop) =
        shop(&Profile::onceward(), TRIES, count.site(|_| response(200, &[], text("")))).await;
    let expired = order(&[("idempotency-key", "k"), ("intent-expires-at", "2026-11-21T11:59:59Z")]);
    assert_eq!(problem(&shop, expired).await, "400 intent-expired");
    assert_eq!(count.get(), 0);
}

// covers: S2
#[tokio::test(start_paused = true)]
async fn a_service_that_fails_without_a_claim_fails_as_for_a_request_without_a_key() {
    let trouble = || Trouble(Evidence::Unknown(DoubtReason::NoAnswer));
    let (_world, shop) =
        shop(&Profile::onceward(), TRIES, site(move |_| async move { Err(trouble()) })).await;
    let failed = shop.clone().oneshot(order(&[("idempotency-key", "k")])).await;
    assert_eq!(failed.err(), Some(trouble()));
    assert_eq!(
        problem(&shop, order(&[("idempotency-key", "k")])).await,
        "409 outcome-unknown",
        "guarded again"
    );
}
