//! The start-up proof that replay works against the store at hand (A3).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use onceward_core::{
    actor::{Actor, Scope, Tenant},
    fingerprint::{Equality, Fingerprint, Request},
    key::Key,
    outcome::{Content, Outcome, Policy},
};
use onceward_store::Undated;

use crate::{
    audit::Trace,
    call::{Call, Effected, Ran, Twins},
    engine::Engine,
};

/// How long the self-test's record is kept: past the slowest two round trips, and not for long after that.
const SELF_TEST_RETENTION: Duration = Duration::from_secs(60);

/// Replay does not work against this store; nothing may be promised.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// The repeated call ran again, or neither did.
    #[error("self-test: one effect called twice ran {executions} times")]
    Executions {
        /// How often it ran.
        executions: usize,
    },
    /// The repeat did not get the first one's answer.
    #[error("self-test: the repeat did not get the first answer: {got}")]
    Replay {
        /// What it got.
        got: String,
    },
    /// No random key could be made.
    #[error("self-test: no random source")]
    Entropy(#[from] crate::entropy::EntropyError),
}

impl Engine {
    /// Runs one effect, repeats it, and publishes whether the repeat got the first one's answer (A3).
    ///
    /// # Errors
    /// Says what went wrong; a program that starts in spite of it promises what it cannot keep.
    pub async fn prove_replay(&self) -> Result<(), SelfTestError> {
        let proven = self.prove().await;
        self.0.telemetry.set_self_test(proven.is_ok());
        proven
    }

    async fn prove(&self) -> Result<(), SelfTestError> {
        let mut random = [0; 16];
        self.0.entropy.fill(&mut random)?;
        let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let executions = Arc::new(AtomicUsize::new(0));
        let expected = Outcome {
            status: 201,
            fields: vec![("content-type".into(), b"text/plain".to_vec())],
            content: Content::Kept(random.to_vec()),
            trailers: Vec::new(),
            sent_at: self.now(),
        };
        let mut got = String::from("nothing");
        for _ in 0..2 {
            let (counter, outcome) = (Arc::clone(&executions), expected.clone());
            let call =
                self.self_test_call(&digits).ok_or_else(|| SelfTestError::Replay { got: got.clone() })?;
            let ran: Ran<()> = self
                .run(call, move |_| async move {
                    counter.fetch_add(1, Ordering::SeqCst);
                    Effected::Whole { answer: (), outcome, consumed: None }
                })
                .await;
            match ran {
                Ran::Stored { outcome, .. } if outcome == expected => got.clear(),
                other => got = format!("{other:?}"),
            }
        }
        match executions.load(Ordering::SeqCst) {
            1 if got.is_empty() => Ok(()),
            1 => Err(SelfTestError::Replay { got }),
            executions => Err(SelfTestError::Executions { executions }),
        }
    }

    fn self_test_call(&self, digits: &str) -> Option<Call> {
        let request = Request {
            scheme: None,
            authority: None,
            method: "POST",
            path_and_query: "/self-test",
            media_type: None,
            body: digits.as_bytes(),
        };
        let policy = Policy {
            retention: SELF_TEST_RETENTION,
            remember: Duration::ZERO,
            wait: Duration::ZERO,
            ..Policy::middleware()
        };
        Some(Call {
            tenant: Tenant::named("onceward-self-test"),
            actor: Actor::anonymous(),
            scope: Scope::Actor,
            key: Key::new(digits).ok()?,
            fingerprint: Fingerprint::of(&self.0.secret, &request, &Equality::Bytes).ok()?,
            fingerprint_as: Box::new(|_| None),
            policy: Arc::new(policy),
            effect: "POST onceward:self-test".to_owned(),
            trace: Trace::default(),
            undated: Undated::Execute,
            request: None,
            twins: Twins::Ignored,
        })
    }
}
