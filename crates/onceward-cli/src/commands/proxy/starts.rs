//! What `onceward proxy` prints when it listens: how each kind of agent is pointed at it.

use std::net::SocketAddr;

use onceward_proxy::ca::Authority;
use serde_json::{Value, json};

/// A running proxy's address and trust, and a line for each kind of client.
pub(super) struct Starts {
    server: String,
    control: Option<String>,
    cert_file: String,
    spki: String,
}

impl Starts {
    pub(super) fn new(address: SocketAddr, control: Option<SocketAddr>, authority: &Authority) -> Self {
        Self {
            server: format!("http://{address}"),
            control: control.map(|address| format!("http://{address}")),
            cert_file: authority.cert_path().display().to_string(),
            spki: authority.spki_sha256_base64(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let starts: serde_json::Map<_, _> =
            self.lines().into_iter().map(|(client, line)| (client.to_owned(), json!(line))).collect();
        json!({
            "listening": self.server,
            "control": self.control,
            "ca_file": self.cert_file,
            "spki_sha256": self.spki,
            "chromium_flag": self.flag(),
            "starts": starts,
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("listening on {}\n", self.server);
        text.push_str(&format!("  {:<16} {}\n", "CA file", self.cert_file));
        text.push_str(&format!("  {:<16} {}\n", "Chromium flag", self.flag()));
        if let Some(control) = &self.control {
            text.push_str(&format!("  {:<16} {control}\n", "control API"));
        }
        for (client, line) in self.lines() {
            text.push_str(&format!("  {client:<16} {line}\n"));
        }
        text.push_str("  stamp each submit that must happen once with the field x-idem-key\n");
        text
    }

    /// Needs the authority in the served chain, which it is, and no change to the system (B7).
    fn flag(&self) -> String {
        format!("--ignore-certificate-errors-spki-list={}", self.spki)
    }

    fn lines(&self) -> [(&'static str, String); 5] {
        let (server, flag, cert_file) = (&self.server, self.flag(), &self.cert_file);
        // Chromium leaves proxies out for loopback sites unless told not to; Playwright tells it by itself.
        let bypass = "--proxy-bypass-list=<-loopback>";
        [
            (
                "Playwright",
                format!("chromium.launch({{ proxy: {{ server: '{server}' }}, args: ['{flag}'] }})"),
            ),
            (
                "Puppeteer",
                format!("puppeteer.launch({{ args: ['--proxy-server={server}', '{bypass}', '{flag}'] }})"),
            ),
            (
                "Selenium",
                format!(
                    "for arg in ('--proxy-server={server}', '{bypass}', '{flag}'): options.add_argument(arg)"
                ),
            ),
            ("browser-use", format!("Browser(proxy=ProxySettings(server='{server}'), args=['{flag}'])")),
            (
                "curl",
                format!("curl --proxy {server} --cacert '{cert_file}' -H 'x-idem-key: order-1' https://…"),
            ),
        ]
    }
}
