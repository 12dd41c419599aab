//! Verdicts and cancellations, from the listing to the retry.

use onceward_control::{
    client::{ClientError, ControlClient, EffectsQuery},
    wire::{Barrier, Cancel, Change, ChangeResult, RaiseBarrier, Resolve, Verdict},
};
use onceward_core::{outcome::Policy, refusal::Refusal};
use onceward_engine::{Ran, Standing};
use onceward_store::AuditCursor;
use tokio::{sync::oneshot, task::JoinSet};

use crate::stage::{NOW, Stage, answered, token};

fn happened(epoch: u64, reason: &str) -> Resolve {
    Resolve { verdict: Verdict::Happened, epoch, reason: reason.to_owned() }
}

fn absent(epoch: u64, reason: &str) -> Resolve {
    Resolve { verdict: Verdict::Absent, epoch, reason: reason.to_owned() }
}

fn unwanted() -> Cancel {
    Cancel { reason: String::from("ordered by phone") }
}

fn status(result: Result<Change, ClientError>) -> u16 {
    refused(result).0
}

fn refused<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (u16, String) {
    match result {
        Err(ClientError::Refused { status, problem }) => {
            assert_eq!(status.as_u16(), problem.status);
            (problem.status, problem.detail)
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
    let verdict = happened(effect.epoch, "order 4711 is in the list");
    for _told_again in 0..2 {
        let change = stage.client().resolve(&effect.id, &verdict).await.unwrap();
        assert_eq!(change, Change { id: stage.id("order-1"), result: ChangeResult::Resolved });
    }
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
    let verdict = absent(stage.epoch(&id).await, "the shop has no such order, and the socket is closed");
    stage.client().resolve(&id, &verdict).await.unwrap();
    let ran = retry(&stage, "order-1").await;
    assert!(matches!(ran, Ran::Answered { standing: Standing::Recorded, .. }), "{ran:?}");
}

// covers: D3 L13
#[tokio::test]
async fn a_verdict_about_an_attempt_ends_no_doubt_about_a_later_one() {
    let stage = Stage::open().await;
    let id = stage.doubtful_order("order-1").await;
    let first = stage.epoch(&id).await;
    stage.client().resolve(&id, &absent(first, "not in the list")).await.unwrap();
    stage.doubtful_order("order-1").await;
    let second = stage.epoch(&id).await;
    let detail = format!("attempt {first} is not the one in doubt; list the effect again");
    let late = stage.client().resolve(&id, &happened(first, "order 4711 is in the list")).await;
    assert_eq!(refused(late), (409, detail));
    // Told again it is taken as said before, and takes no effect on the second attempt.
    let repeated = stage.client().resolve(&id, &absent(first, "not in the list")).await.unwrap();
    assert_eq!(repeated, Change { id: id.clone(), result: ChangeResult::Resolved });
    assert!(matches!(retry(&stage, "order-1").await, Ran::Refused(Refusal::OutcomeUnknown(_))));
    stage.client().resolve(&id, &absent(second, "still not in the list")).await.unwrap();
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
    let epochs = [stage.epoch(&first).await, stage.epoch(&second).await];
    stage.client().resolve(&first, &happened(epochs[0], " order 4711 is in the list ")).await.unwrap();
    let over_tcp = ControlClient::tcp(stage.tcp, token());
    over_tcp.resolve(&second, &absent(epochs[1], "rolled back")).await.unwrap();
    let lines = stage.get("/v1/audit").await;
    let lines: Vec<serde_json::Value> =
        lines.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let judged: Vec<_> = lines.iter().map(|line| line["epoch"].as_u64()).collect();
    assert_eq!(judged[2..], epochs.map(Some));
    let told: Vec<_> = lines
        .iter()
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
    let detail = String::from("the effect is not in doubt; there is nothing to resolve");
    let verdict = absent(stage.epoch(&done).await, "not in the list");
    assert_eq!(refused(client.resolve(&done, &verdict).await), (409, detail));
    assert_eq!(status(client.resolve(&stage.id("unknown"), &verdict).await), 404);
    let epoch = stage.epoch(&doubtful).await;
    for reason in ["", "  ", "a\nb", &"x".repeat(1_001)] {
        assert_eq!(status(client.resolve(&doubtful, &absent(epoch, reason)).await), 400, "{reason:?}");
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
        let verdict = absent(stage.epoch(&id).await, "never sent");
        assert_eq!(status(stage.client().resolve(&id, &verdict).await), 409);
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
    let verdict = absent(stage.epoch(&id).await, "the shop cancelled it");
    stage.client().resolve(&id, &verdict).await.unwrap();
    let ran = retry(&stage, "order-1").await;
    assert!(matches!(ran, Ran::Refused(Refusal::Cancelled)), "{ran:?}");
    // A cancelled key is remembered for as long as its route said.
    let effect = stage.client().effect(&id).await.unwrap().effect;
    let remembered = NOW.after(Policy::forward_proxy().remember).to_string();
    assert_eq!(effect.expires_at, Some(remembered));
}

#[tokio::test]
async fn a_dark_store_refuses_a_verdict_and_says_when_to_try_again() {
    let stage = Stage::open().await;
    let id = stage.doubtful_order("order-1").await;
    let verdict = absent(stage.epoch(&id).await, "rolled back");
    stage.store.go_dark();
    assert_eq!(status(stage.client().resolve(&id, &verdict).await), 503);
    let answer = stage.get("/v1/effects").await;
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("2")));
}

// covers: T5, A1
#[tokio::test]
async fn a_barrier_is_raised_and_written_down() {
    let stage = Stage::open().await;
    let earlier = RaiseBarrier { at: Some("2020-01-01T00:00:00Z".to_owned()) };
    let now = Barrier { history_barrier: Some(NOW.to_string()) };
    // A memory store begins with one, and it never falls.
    for raise in [RaiseBarrier::default(), earlier] {
        assert_eq!(stage.client().raise_barrier(&raise).await.unwrap(), now);
    }
    assert_eq!(stage.client().store().await.unwrap().history_barrier, now.history_barrier);
    let lines = stage.engine.audit(AuditCursor(0), None, 10).await.unwrap();
    let expected = serde_json::json!({
        "time": NOW.to_string(), "decision": "barrier-raised", "barrier": NOW.to_string(), "evidence": stage.user(),
    });
    let lines: Vec<serde_json::Value> =
        lines.iter().map(|(_, line)| serde_json::from_str(&line.json).unwrap()).collect();
    assert_eq!(lines, [expected.clone(), expected]);
    let wrong = RaiseBarrier { at: Some("yesterday".to_owned()) };
    let told = "`at` is no time, such as 2026-11-21T12:00:00Z".to_owned();
    assert_eq!(refused(stage.client().raise_barrier(&wrong).await), (400, told));
}
