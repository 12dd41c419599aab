//! The rules of the service, as they hold at its gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use onceward_core::actor::Scope;
use onceward_core::outcome::{Policy, Statuses};
use onceward_core::profile::{Manner, Profile};
use onceward_core::refusal::Refusal;
use onceward_tower::origin::Guarding;
use onceward_tower::{Judgement, Origin, Plan, Rules, SeekKey};
use zeroize::Zeroizing;

/// How a profile guards at a gateway: 502, 503, 504, 408 and 421 may come from something between it and the handler, and are
/// doubt (O4).
#[must_use]
pub fn guarding_of(profile: &Profile) -> Guarding {
    let policy = Policy { statuses: Statuses::Upstream, ..profile.policy.clone() };
    Guarding { policy: Arc::new(policy), ..Guarding::of(profile) }
}

/// Of two credentials one server takes the first and another the last.
const CREDENTIALS_REPEATED: &str = "the credentials are given twice";

/// Adds to what a request asks for whom it asks (F3): a service may stand for several hosts, and they are not the same shop.
///
/// What says twice who asks does not reach the service, guarded or not (S6).
#[derive(Clone, Debug)]
pub(super) struct AtGateway<R>(pub(super) R);

/// Goes with a request, and comes back marked where its head was refused for having two readings.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspicion(Arc<AtomicBool>);

impl Suspicion {
    /// Whether what follows the request cannot be trusted to be a request (S6).
    pub(super) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<R: Rules> Rules for AtGateway<R> {
    fn judge(&self, head: &mut Parts) -> Judgement {
        let judged = match self.0.judge(head) {
            // Answered here, perhaps because the rules could not tell whose the key is (K4).
            answered @ (Judgement::Refuse { .. } | Judgement::Tell(_) | Judgement::Hear { .. }) => answered,
            _ if head.headers.get_all(AUTHORIZATION).iter().nth(1).is_some() => Judgement::Refuse {
                refusal: Refusal::HeadAmbiguous(CREDENTIALS_REPEATED),
                key: None,
                manner: Manner::ONCEWARD,
            },
            Judgement::Guard(plan) => {
                Judgement::Guard(Box::new(Plan { origin: Some(origin(head)), ..*plan }))
            }
            Judgement::SeekKey(seek) => {
                let (origin, seek) = (origin(head), *seek);
                let plan = seek.plan;
                let plan = Box::new(move |key| Plan { origin: Some(origin), ..plan(key) });
                Judgement::SeekKey(Box::new(SeekKey { plan, ..seek }))
            }
            passed @ (Judgement::Pass | Judgement::PassUnkeyed) => passed,
        };
        let suspicion = head.extensions.get::<Suspicion>();
        if let (Judgement::Refuse { refusal: Refusal::HeadAmbiguous(_), .. }, Some(suspicion)) =
            (&judged, suspicion)
        {
            suspicion.0.store(true, Ordering::Relaxed);
        }
        judged
    }

    fn keep(&self, head: &Parts, origin: Option<&Origin>, content: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.0.keep(head, origin, content)
    }

    fn advertise(&self, headers: &mut HeaderMap) {
        self.0.advertise(headers);
    }

    fn scope(&self, head: &Parts, body: &[u8]) -> Scope {
        self.0.scope(head, body)
    }
}

/// The server has given the request the scheme of its connection and the authority without the scheme's own port.
fn origin(head: &Parts) -> Origin {
    let authority = head.uri.authority().map_or("", http::uri::Authority::as_str);
    Origin {
        scheme: head.uri.scheme_str().unwrap_or("http").to_owned(),
        authority: authority.to_ascii_lowercase(),
    }
}
