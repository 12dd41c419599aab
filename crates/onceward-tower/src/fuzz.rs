//! Ways in to what reads bodies and signatures, for the targets of `fuzz/`; in no user's build.

use onceward_core::{
    key::{Key, KeyPath},
    outcome::Outcome,
    refusal::Refusal,
};

use crate::{json_rpc::Calls, member};

pub use crate::webhook::fuzz::is_signed;

/// The key that `path` leads to in a JSON body.
///
/// # Errors
/// As a request with it would be refused.
pub fn key_in_body(path: &KeyPath, body: &[u8]) -> Result<Option<Key>, Refusal> {
    member::key(path, body)
}

/// An outcome as it is kept for a JSON-RPC request and replayed to another one; `None` where either is no JSON-RPC.
#[must_use]
pub fn readdressed(first: &[u8], retry: &[u8], outcome: Outcome) -> Option<Outcome> {
    let note = Calls::of(first)?.note();
    Some(Calls::of(retry)?.addressed(note.as_ref().map(|(_, value)| value.as_slice()), outcome))
}
