//! What `onceward gateway` prints when it listens, and how it is tried.

use std::{net::SocketAddr, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    settings::{GatewaySettings, StoreSettings},
    wiring,
};

/// A running gateway's addresses.
pub(super) struct Starts {
    server: String,
    upstreams: Vec<String>,
    control: Option<String>,
    control_socket: Option<PathBuf>,
}

impl Starts {
    pub(super) fn new(
        address: SocketAddr,
        settings: &GatewaySettings,
        store: &StoreSettings,
        control: Option<SocketAddr>,
    ) -> Self {
        let scheme = if settings.certificate.is_some() { "https" } else { "http" };
        Self {
            server: format!("{scheme}://{address}"),
            upstreams: settings.upstreams.iter().map(ToString::to_string).collect(),
            control: control.map(|address| format!("http://{address}")),
            control_socket: wiring::control_socket(store),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "listening": self.server,
            "upstreams": self.upstreams,
            "control": self.control,
            "control_socket": self.control_socket,
            "contract": format!("{}/.well-known/idempotency", self.server),
            "try": self.trial(),
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("listening on {}\n", self.server);
        let mut row = |name: &str, value: &str| text.push_str(&format!("  {name:<16} {value}\n"));
        for upstream in &self.upstreams {
            row("upstream", upstream);
        }
        if let Some(control) = &self.control {
            row("control API", control);
        }
        if let Some(socket) = &self.control_socket {
            row("control socket", &socket.display().to_string());
        }
        row("contract", &format!("{}/.well-known/idempotency", self.server));
        row("try it twice", &self.trial());
        text.push_str(
            "  the second answer says `Idempotent-Replayed: true`, and your service has seen one request\n",
        );
        text
    }

    fn trial(&self) -> String {
        let insecure = if self.server.starts_with("https:") { "-k " } else { "" };
        format!("curl -i {insecure}-X POST -H 'Idempotency-Key: try-1' -d a=1 {}/", self.server)
    }
}
