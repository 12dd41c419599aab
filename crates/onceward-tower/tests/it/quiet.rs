//! What is written down: traces of the caller in the audit log, and no secret anywhere.

use std::{
    io,
    sync::{Arc, Mutex},
};

use onceward_core::{key::Key, outcome::Policy};
use onceward_store::{AuditCursor, AuditLog};
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

use crate::kit::{Count, Keyed, Lines, World, ask, cut, data, frames, post_with, response, site, text};

/// Everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

// covers: A1
#[tokio::test(start_paused = true)]
async fn ids_of_the_callers_traces_reach_the_audit_log_if_they_are_ids() {
    const IDS: Lines = &[
        ("x-request-id", "req-1"),
        ("x-agent-run-id", "run-1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    const NONE: Lines = &[("traceparent", "00-not a trace id at all, but as long-b7-01")];
    let world = World::start().await;
    let guarded =
        world.guard(Keyed::by(Policy::middleware()), Count::default().site(|_| response(201, &[], text(""))));
    ask(&guarded, post_with("k", IDS, text(""))).await;
    ask(&guarded, post_with("k", NONE, text(""))).await;
    world.engine.close().await;
    let tag = world.engine.key_tag(&Key::new("k").unwrap());
    let lines = world.audit_log.read(AuditCursor::default(), Some(tag), 10).await.unwrap();
    let ids: Vec<_> = lines
        .iter()
        .map(|(_, line)| {
            let event: serde_json::Value = serde_json::from_str(&line.json).unwrap();
            ["decision", "request_id", "run_id", "trace_id"]
                .map(|name| event[name].as_str().map(str::to_owned))
        })
        .collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        ids,
        [
            [some("executed"), some("req-1"), some("run-1"), some("0af7651916cd43dd8448eb211c80319c")],
            [some("replayed"), None, None, None],
        ]
    );
}

// covers: K6
#[tokio::test(start_paused = true)]
async fn no_key_body_cookie_or_credential_is_logged_or_audited() {
    const SECRETS: Lines = &[
        ("cookie", "session=secret-cookie"),
        ("authorization", "Bearer secret-token"),
        ("content-type", "application/json"),
    ];
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone());
    let _capturing = tracing::subscriber::set_default(subscriber.finish());

    let world = World::start().await;
    let count = Count::default();
    let counted = count.clone();
    let all = site(move |request| {
        let count = counted.clone();
        async move {
            let lines = &[("set-cookie", "session=secret-cookie")];
            let kind = request.headers()["x-kind"].to_str().unwrap().to_owned();
            count.add();
            match kind.as_str() {
                "kept" => Ok(response(201, lines, text("secret-answer"))),
                "cut" => Ok(response(201, lines, frames(vec![data("secret-answer"), cut()]))),
                "large" => Ok(response(201, lines, text(vec![b's'; 2_000_000]))),
                "panics" => panic!("the service's own"),
                _ => Ok(response(503, lines, text("secret-answer"))),
            }
        }
    });
    let guarded = world.guard(Keyed::by(Policy::forward_proxy()), all);
    let asked = |kind: &'static str, body| {
        let mut request = post_with("secret-key", SECRETS, body);
        request.headers_mut().insert("x-kind", kind.parse().unwrap());
        request.headers_mut().insert("idempotency-key", format!("secret-key-{kind}").parse().unwrap());
        request
    };
    let order = || text(r#"{"card":"secret-body"}"#);
    for kind in ["kept", "cut", "large", "panics", "doubtful"] {
        ask(&guarded, asked(kind, order())).await;
        ask(&guarded, asked(kind, text(r#"{"card":"another secret-body"}"#))).await;
    }
    ask(&guarded, asked("broken", frames(vec![data("secret-body"), cut()]))).await;
    ask(&guarded, asked("unreadable", text("{secret-body"))).await;
    let (_, body) = crate::kit::fed(1);
    drop(guarded.clone().oneshot(asked("left", body)));
    world.engine.drain(std::time::Duration::from_secs(1)).await;
    world.engine.close().await;

    assert_eq!(count.get(), 5);
    let logged = log.text();
    // The subscriber was there: what broke off is logged.
    assert!(logged.contains("answer broke off") && logged.contains("request body broke off"), "{logged}");
    assert!(!logged.contains("secret"), "{logged}");
    let audited = world.audit_log.read(AuditCursor::default(), None, 100).await.unwrap();
    assert_eq!(audited.len(), 10);
    assert!(!format!("{audited:?}").contains("secret"), "{audited:?}");
}
