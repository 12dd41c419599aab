//! What probes and scrapers are told.

use std::time::Duration;

use onceward_control::wire::{Resolve, Verdict};
use onceward_engine::{SelfTestError, UpstreamSeen};
use serde_json::json;
use tokio::sync::watch;

use crate::stage::Stage;

// covers: A3
#[tokio::test]
async fn a_proven_instance_is_ready() {
    let stage = Stage::open().await;
    for target in ["/readyz", "/healthz"] {
        let answer = stage.get(target).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"ready": true, "reasons": []})), "{target}");
        assert_eq!(answer.field("cache-control"), Some("no-store"), "{target}");
    }
}

// covers: A3
#[tokio::test]
async fn an_instance_in_which_replay_does_not_engage_is_not_ready() {
    let stage = Stage::open_after(Err(SelfTestError::Executions { executions: 2 })).await;
    let answer = stage.get("/readyz").await;
    let reason = json!({"check": "self-test", "detail": "self-test: one effect called twice ran 2 times"});
    assert_eq!((answer.status, answer.json()), (503, json!({"ready": false, "reasons": [reason]})));
}

#[tokio::test]
async fn a_draining_instance_is_alive_and_not_ready() {
    let stage = Stage::open().await;
    stage.engine.drain(Duration::ZERO).await;
    let answer = stage.get("/readyz").await;
    let reason = json!({"check": "draining", "detail": "the program is shutting down"});
    assert_eq!((answer.status, answer.json()), (503, json!({"ready": false, "reasons": [reason]})));
    assert_eq!(stage.get("/livez").await.status, 200);
}

#[tokio::test]
async fn an_instance_whose_store_is_dark_is_alive_and_not_ready() {
    let stage = Stage::open().await;
    stage.store.go_dark();
    let answer = stage.get("/readyz").await;
    let reason = json!({"check": "store", "detail": "store unavailable: switched off"});
    assert_eq!((answer.status, answer.json()), (503, json!({"ready": false, "reasons": [reason]})));
    assert_eq!(stage.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_gateway_without_a_well_instance_is_alive_and_not_ready() {
    let stage = Stage::open().await;
    let (wellness, is_well) = watch::channel(false);
    let seen = move |is_up| UpstreamSeen { is_up, requests: 4, connect_failures: 3 };
    stage.engine.telemetry().watch_upstreams(move || vec![seen(false), seen(*is_well.borrow())]);
    let answer = stage.get("/readyz").await;
    let reason = json!({"check": "upstream", "detail": "no instance of the service is well"});
    assert_eq!((answer.status, answer.json()), (503, json!({"ready": false, "reasons": [reason]})));
    assert_eq!(stage.get("/livez").await.status, 200);
    wellness.send_replace(true);
    assert_eq!(stage.get("/readyz").await.status, 200, "one is enough");
}

#[tokio::test]
async fn metrics_number_the_instances_of_a_gateway() {
    let stage = Stage::open().await;
    assert!(
        !stage.get("/metrics").await.body.contains("upstream"),
        "without a gateway there is nothing to say"
    );
    stage.engine.telemetry().watch_upstreams(|| {
        vec![
            UpstreamSeen { is_up: true, requests: 7, connect_failures: 0 },
            UpstreamSeen { is_up: false, requests: 4, connect_failures: 3 },
        ]
    });
    let answer = stage.get("/metrics").await;
    let shown: Vec<&str> =
        answer.body.lines().filter(|line| line.starts_with("onceward_upstream_")).collect();
    let expected = [
        "onceward_upstream_up{upstream=\"1\"} 1",
        "onceward_upstream_up{upstream=\"2\"} 0",
        "onceward_upstream_requests_total{upstream=\"1\"} 7",
        "onceward_upstream_requests_total{upstream=\"2\"} 4",
        "onceward_upstream_connect_failures_total{upstream=\"1\"} 0",
        "onceward_upstream_connect_failures_total{upstream=\"2\"} 3",
    ];
    assert_eq!(shown, expected);
}

// covers: A2
#[tokio::test]
async fn metrics_are_openmetrics_and_count_verdicts() {
    let stage = Stage::open().await;
    let id = stage.doubtful_order("order-1").await;
    let epoch = stage.epoch(&id).await;
    let verdict = Resolve { verdict: Verdict::Happened, epoch, reason: String::from("seen in the list") };
    stage.client().resolve(&id, &verdict).await.unwrap();
    let answer = stage.get("/metrics").await;
    assert_eq!(
        (answer.status, answer.field("content-type")),
        (200, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"))
    );
    assert!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
    for line in [
        "onceward_in_doubt_total{reason=\"no-answer\"} 1",
        "onceward_resolutions_total{verdict=\"happened\"} 1",
    ] {
        assert!(answer.body.lines().any(|known| known == line), "{line} in {}", answer.body);
    }
}
