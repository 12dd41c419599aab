//! `adcp-mcp`: the Ad Context Protocol 3.x where it is spoken over the Model Context Protocol.

use crate::{canonical::Volatile, fingerprint::Equality, key::KeyPath, profile::Profile};

/// What a comparison leaves out: AdCP's closed list, a level of JSON-RPC deeper, and what JSON-RPC and MCP make anew at each try.
const EXCLUDED: &[&[&str]] = &[
    &["id"],
    &["params", "_meta"],
    &["params", "arguments", "idempotency_key"],
    &["params", "arguments", "context"],
    &["params", "arguments", "governance_context"],
    &["params", "arguments", "push_notification_config", "authentication", "credentials"],
];

impl Profile {
    /// The rules of `adcp`, with the key among a tool call's arguments.
    ///
    /// Handshakes, listings and tools that only read have none, and pass.
    #[must_use]
    pub fn adcp_mcp() -> Self {
        Self {
            name: "adcp-mcp",
            body_member: Some(KeyPath::members(&["params", "arguments", "idempotency_key"])),
            is_key_required: false,
            equality: Equality::Canonical(Volatile::members(&[], EXCLUDED)),
            ..Self::adcp()
        }
    }
}
