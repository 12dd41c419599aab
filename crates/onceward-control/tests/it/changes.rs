//! Verdicts and cancellations, from the listing to the retry.

use onceward_control::{
    client::{ClientError, ControlClient, EffectsQuery},
    wire::{Cancel, Change, ChangeResult, Resolve, Verdict},
};
use onceward_core::{outcome::Policy, refusal::Refusal};
use onceward_engine::{Ran, Standing};
use tokio::{sync::oneshot, task::JoinSet};

use crate::stage::{Stage, answered, token};

fn happened(reason: &str) -> Resolve {
    Resolve { verdict: Verdict::Happened, reason: reason.to_owned() }
}

fn absent(reason: &str) -> Resolve {
    Resolve { verdict: Verdict::Absent, reason: reason.to_owned() }
}

fn unwanted() -> Cancel {
    Cancel { reason: String::from("ordered by phone") }
}

fn status(result: Result<Change, ClientError>) -> u16 {
    match result {
        Err(ClientError::Refused { status, problem }) => {
            assert_eq!(status.as_u16(), problem.status);
            problem.status
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// The order again, under the same key; it must not come to this.
async fn retry(stage: &Stage, key: &str) -> Ran<()> {
    stage.order(key, async { answered() }).await
}

async fn state_and_how(stage: &Stage, id: &str) -> (String, Option<String>, Option<String>) {
    let effect = stage.client().effect(id).await.unwrap().effect;
    (effect.state, effect.how.or(effect.reason), effect.interest)
}

// covers: D3
#[tokio::test]
async fn after_happened_a_retry_is_told_so_and_never_runs() {
    let stage = Stage::open().await;
    stage.doubtful_order("order-1").await;
    assert!(matches!(retry(&stage, "order-1").await, Ran::Refused(Refusal::OutcomeUnknown(_))));
    let listed = EffectsQuery { in_doubt_only: true, ..EffectsQuery::default() };
    let page = stage.client().effects(&listed).await.unwrap();
    let [effect] = &page.effects[..] else { panic!("one doubt: {page:?}") };
    let change = stage.client().resolve(&effect.id, &happened("order 4711 is in the list")).await.unwrap();
    assert_eq!(change, Change { id: stage.id("order-1"), result: ChangeResult::Resolved });
    let ran = retry(&stage, "order-1").await;
    assert!(matches!(ran, Ran::Refused(Refusal::OutcomeNotKept { status: None })), "{ran:?}");
    let shown = state_and_how(&stage, &effect.id).await;
    assert_eq!(shown, (String::from("done"), Some(String::from("vouched")), None));
    assert_eq!(stage.client().effects(&listed).await.unwrap().effects, []);
}

// covers: D3
#[tokio::test]
async fn after_absent_a_retry_runs() {
    let stage = Stage::open().await;
    let id = stage.doubtful_order("order-1").await;
    stage
        .client()
        .resolve(&id, &absent("the shop has no such order, and the socket is closed"))
        .await
        .unwrap();
    let ran = retry(&stage, "order-1").await;
    assert!(matches!(ran, Ran::Answered { standing: Standing::Recorded, .. }), "{ran:?}");
}

// covers: D4
#[tokio::test]
async fn a_verdict_stands_in_the_audit_log_with_who_found_out_and_how() {
    let stage = Stage::open().await;
    let first = stage.doubtful_order("order-1").await;
    let second = stage.doubtful_order("order-2").await;
    stage.audit_lines(2).await;
    stage.client().resolve(&first, &happened(" order 4711 is in the list ")).await.unwrap();
    let over_tcp = ControlClient::tcp(stage.tcp, token());
    over_tcp.resolve(&second, &absent("rolled back")).await.unwrap();
    let lines = stage.get("/v1/audit").await;
    let told: Vec<_> = lines
        .body
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| {
            ["decision", "reason", "evidence", "key"].map(|name| line[name].as_str().map(str::to_owned))
        })
        .collect();
    let line = |decision: &str, reason: &str, evidence: Option<String>, key: &str| {
        [Some(decision.to_owned()), Some(reason.to_owned()), evidence, Some(stage.key_tag(key))]
    };
    let by_user = format!("{}: order 4711 is in the list", stage.user());
    let by_bearer = String::from("a bearer of the control token: rolled back");
    assert_eq!(
        told,
        [
            line("doubted", "no-answer", None, "order-1"),
            line("doubted", "no-answer", None, "order-2"),
            line("resolved", "happened", Some(by_user), "order-1"),
            line("resolved", "absent", Some(by_bearer), "order-2"),
        ]
    );
}

// covers: D3
#[tokio::test]
async fn a_verdict_needs_a_doubt_and_a_reason() {
    let stage = Stage::open().await;
    let doubtful = stage.doubtful_order("order-1").await;
    let done = stage.answered_order("order-2").await;
    let client = stage.client();
    assert_eq!(status(client.resolve(&done, &absent("not in the list")).await), 409);
    assert_eq!(status(client.resolve(&stage.id("unknown"), &absent("not in the list")).await), 404);
    for reason in ["", "  ", "a\nb", &"x".repeat(1_001)] {
        assert_eq!(status(client.resolve(&doubtful, &absent(reason)).await), 400, "{reason:?}");
    }
    let still = (String::from("in-doubt"), Some(String::from("no-answer")), Some(String::from("wanted")));
    assert_eq!(state_and_how(&stage, &doubtful).await, still);
}

// covers: D5
#[tokio::test]
async fn what_has_not_run_is_cancelled_and_never_runs() {
    let stage = Stage::open().await;
    let id = stage.released_order("order-1").await;
    let change = stage.client().cancel(&id, &unwanted()).await.unwrap();
    assert_eq!(change.result, ChangeResult::Cancelled);
    assert_eq!(
        state_and_how(&stage, &id).await,
        (String::from("tombstone"), Some(String::from("cancelled")), None)
    );
    let ran = retry(&stage, "order-1").await;
    assert!(matches!(ran, Ran::Refused(Refusal::Cancelled)), "{ran:?}");
}

// covers: D5
#[tokio::test]
async fn what_runs_is_neither_cancelled_nor_resolved() {
    let stage = Stage::open().await;
    let (release, released) = oneshot::channel();
    let (begun, began) = oneshot::channel();
    let mut running = JoinSet::new();
    let call = stage.order("order-1", async move {
        begun.send(()).unwrap();
        released.await.unwrap();
        answered()
    });
    // Polled beside the questions below.
    let questions = async {
        began.await.unwrap();
        let id = stage.id("order-1");
        assert_eq!(status(stage.client().cancel(&id, &unwanted()).await), 409);
        assert_eq!(status(stage.client().resolve(&id, &absent("never sent")).await), 409);
        assert_eq!(state_and_how(&stage, &id).await, (String::from("claimed"), None, None));
        running.spawn(async move { release.send(()) });
    };
    let (ran, ()) = tokio::join!(call, questions);
    assert!(matches!(ran, Ran::Answered { standing: Standing::Recorded, .. }), "{ran:?}");
}

// covers: D5
#[tokio::test]
async fn what_is_done_stays_done() {
    let stage = Stage::open().await;
    let id = stage.answered_order("order-1").await;
    let change = stage.client().cancel(&id, &unwanted()).await.unwrap();
    assert_eq!(change, Change { id: id.clone(), result: ChangeResult::AlreadyDone });
    assert_eq!(
        state_and_how(&stage, &id).await,
        (String::from("done"), Some(String::from("answered")), None)
    );
    assert!(matches!(retry(&stage, "order-1").await, Ran::Stored { .. }));
}

// covers: D5
#[tokio::test]
async fn what_is_in_doubt_stays_so_marked_as_abandoned_and_does_not_run_after_absent() {
    let stage = Stage::open().await;
    let id = stage.doubtful_order("order-1").await;
    let change = stage.client().cancel(&id, &unwanted()).await.unwrap();
    assert_eq!(change.result, ChangeResult::Abandoned);
    let abandoned =
        (String::from("in-doubt"), Some(String::from("no-answer")), Some(String::from("abandoned")));
    assert_eq!(state_and_how(&stage, &id).await, abandoned);
    stage.client().resolve(&id, &absent("the shop cancelled it")).await.unwrap();
    let ran = retry(&stage, "order-1").await;
    assert!(matches!(ran, Ran::Refused(Refusal::Cancelled)), "{ran:?}");
    // A cancelled key is remembered for as long as its route said.
    let effect = stage.client().effect(&id).await.unwrap().effect;
    let remembered = crate::stage::NOW.after(Policy::forward_proxy().remember).to_string();
    assert_eq!(effect.expires_at, Some(remembered));
}

#[tokio::test]
async fn a_dark_store_refuses_a_verdict_and_says_when_to_try_again() {
    let stage = Stage::open().await;
    let id = stage.doubtful_order("order-1").await;
    stage.store.go_dark();
    assert_eq!(status(stage.client().resolve(&id, &absent("rolled back")).await), 503);
    let answer = stage.get("/v1/effects").await;
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("2")));
}
