//! An engine with two doors, and a few effects of every kind.

use std::{
    fs::Permissions,
    net::SocketAddr,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
    sync::Arc,
};

use onceward_control::{
    Control, Reach, TcpDoor, Token, UnixDoor, client::ControlClient, serve_tcp, serve_unix,
};
use onceward_core::{
    actor::{Actor, ActorTag, KeyTag, LookupId, Scope, Tenant},
    fingerprint::{Equality, Fingerprint, Request},
    key::Key,
    outcome::{Content, Evidence, Outcome, Policy, Untouched},
    record::DoubtReason,
    secret::Secret,
    time::Timestamp,
};
use onceward_engine::{
    Call, Effected, Engine, Limits, Parts, Ran, SelfTestError, SystemEntropy, Trace, Twins,
};
use onceward_store::{AuditCursor, ManualClock, Memory, MemoryLimits, Undated};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, UnixStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    flaky::Flaky,
    raw::{self, Answer},
};

/// 2026-11-21T12:00:00Z, where the clock stands.
pub(crate) const NOW: Timestamp = Timestamp::from_ms(1_795_262_400_000);

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

pub(crate) const BEARER: &str = "Bearer 0123456789abcdef0123456789abcdef";

pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<Flaky>,
    pub(crate) tcp: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) servers: JoinSet<()>,
    secret: Secret,
    directory: TempDir,
}

impl Stage {
    pub(crate) async fn open() -> Self {
        Self::open_after(Ok(())).await
    }

    /// A stage whose self-test said this.
    pub(crate) async fn open_after(self_test: Result<(), SelfTestError>) -> Self {
        let clock = Arc::new(ManualClock::standing_at(NOW));
        let memory = Arc::new(Memory::new(MemoryLimits::default(), clock.clone()));
        let store = Arc::new(Flaky::over(Arc::clone(&memory)));
        let secret = Secret::new([7; 32]);
        let parts = Parts {
            store: store.clone(),
            audit_log: memory,
            secret: secret.clone(),
            clock,
            entropy: Arc::new(SystemEntropy),
            limits: Limits::default(),
        };
        let engine = Engine::start(parts).await.expect("a fresh store answers");
        let control = Control::new(engine.clone(), self_test);
        let directory = private_directory();
        let shutdown = CancellationToken::new();
        let mut servers = JoinSet::new();
        let unix = UnixDoor::open(&directory.path().join("control.sock")).await.expect("a free path");
        servers.spawn(serve_unix(unix, control.clone(), shutdown.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let names = [String::from("Ops.example")];
        let door = TcpDoor::new(listener, token(), &names, Reach::Loopback).expect("loopback");
        let tcp = door.local_addr();
        servers.spawn(serve_tcp(door, control, shutdown.clone()));
        Self { engine, store, tcp, shutdown, servers, secret, directory }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    pub(crate) fn client(&self) -> ControlClient {
        ControlClient::unix(&self.socket())
    }

    /// The user that these tests run as, as an audit line names it.
    pub(crate) fn user(&self) -> String {
        let uid = self.directory.path().metadata().expect("our directory").uid();
        format!("user {uid} on the control socket")
    }

    /// Asks over the Unix socket, where no token and no particular host is needed.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.ask(&raw::request("GET", target, &[("Host", "localhost")], "")).await
    }

    pub(crate) async fn ask(&self, request: &str) -> Answer {
        raw::over(UnixStream::connect(self.socket()).await.expect("the socket accepts"), request).await
    }

    pub(crate) async fn ask_tcp(&self, request: &str) -> Answer {
        raw::over_tcp(self.tcp, request).await
    }

    /// `Host` as a client of the TCP door sends it.
    pub(crate) fn host(&self) -> String {
        self.tcp.to_string()
    }

    pub(crate) fn id(&self, key: &str) -> String {
        let id = LookupId::of(&self.secret, &Tenant::single(), &actor(), &Scope::Actor, &self::key(key));
        id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn key_tag(&self, key: &str) -> String {
        KeyTag::of(&self.secret, &self::key(key)).to_string()
    }

    pub(crate) fn actor_tag(&self) -> ActorTag {
        actor().tag(&self.secret, &Tenant::single())
    }

    /// Sends the order of this key through the engine, as a proxy would.
    pub(crate) async fn order(
        &self,
        key: &str,
        effect: impl Future<Output = Effected<()>> + Send + 'static,
    ) -> Ran<()> {
        self.engine.run(self.call(key, actor()), move |_| effect).await
    }

    /// An order whose connection broke after it was sent.
    pub(crate) async fn doubtful_order(&self, key: &str) -> String {
        self.order(key, async { Effected::Unanswered(Evidence::Unknown(DoubtReason::NoAnswer)) }).await;
        self.id(key)
    }

    /// An order that the shop answered.
    pub(crate) async fn answered_order(&self, key: &str) -> String {
        self.order(key, async { answered() }).await;
        self.id(key)
    }

    /// An order that provably never left.
    pub(crate) async fn released_order(&self, key: &str) -> String {
        self.order(key, async { Effected::Unanswered(Evidence::Untouched(Untouched::ConnectFailed)) }).await;
        self.id(key)
    }

    /// The epoch of an effect's latest attempt, as the API shows it.
    pub(crate) async fn epoch(&self, id: &str) -> u64 {
        self.client().effect(id).await.expect("a remembered effect").effect.epoch
    }

    /// Another actor's order under the same key.
    pub(crate) async fn strangers_order(&self, key: &str) {
        let stranger = Actor::new("session", b"a stranger");
        self.engine.run(self.call(key, stranger), |_| async { answered() }).await;
    }

    /// Waits until the audit writer has written this many lines; it writes beside the answers.
    pub(crate) async fn audit_lines(&self, count: usize) {
        loop {
            let lines = self.engine.audit(AuditCursor(0), None, 1_000).await.expect("the log answers");
            if lines.len() >= count {
                assert_eq!(lines.len(), count, "{lines:?}");
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn call(&self, key: &str, actor: Actor) -> Call {
        let request = Request {
            scheme: Some("https"),
            authority: Some("shop.example"),
            method: "POST",
            path_and_query: "/order",
            media_type: None,
            body: b"2 x tea",
        };
        let fingerprint = Fingerprint::of(&self.secret, &request, &Equality::Bytes);
        Call {
            tenant: Tenant::single(),
            actor,
            scope: Scope::Actor,
            key: self::key(key),
            fingerprint: fingerprint.expect("bytes have a fingerprint"),
            fingerprint_as: Box::new(|_| None),
            policy: Arc::new(Policy::forward_proxy()),
            effect: String::from("POST https://shop.example/order"),
            trace: Trace::default(),
            undated: Undated::Execute,
            request: None,
            twins: Twins::Ignored,
        }
    }
}

pub(crate) fn private_directory() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().expect("a directory")
}

pub(crate) fn token() -> Token {
    Token::new(TOKEN).expect("a valid token")
}

pub(crate) fn answered() -> Effected<()> {
    let outcome = Outcome {
        status: 201,
        fields: vec![
            ("content-type".into(), b"text/plain".to_vec()),
            ("set-cookie".into(), b"cart=c00kie-value".to_vec()),
        ],
        content: Content::Kept(b"order 4711".to_vec()),
        trailers: Vec::new(),
        sent_at: NOW,
    };
    Effected::Whole { answer: (), outcome, consumed: None }
}

fn actor() -> Actor {
    Actor::new("session", b"agent one")
}

fn key(text: &str) -> Key {
    Key::new(text).expect("a valid key")
}
