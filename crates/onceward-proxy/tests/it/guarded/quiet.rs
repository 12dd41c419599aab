//! Nothing of a request but its method, origin and path is ever logged.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing_subscriber::fmt::MakeWriter;

use super::{
    kit::{Proxy, post_with},
    origin::{Origin, Reply, say},
};

/// Everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

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

// covers: K6
#[tokio::test]
async fn no_key_body_cookie_or_credential_is_logged_or_audited() {
    const SECRETS: [(&str, &str); 4] = [
        ("x-idem-key", "secret-key"),
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

    let reply = |_, request: String| async move {
        match request.split(' ').nth(1).unwrap_or_default() {
            "/kept?card=secret" => say(201, "Set-Cookie: a=secret-cookie\r\n", "secret-answer"),
            "/cut?card=secret" => {
                Reply::Leave("HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\nsecret".to_owned())
            }
            _ => Reply::Leave(String::new()),
        }
    };
    let (plain, secure) = (Origin::http(reply).await, Origin::https(reply).await);
    let proxy = Proxy::start().await;
    // "secret-agent:secret" in Base64.
    let credentials = "Proxy-Authorization: Basic c2VjcmV0LWFnZW50OnNlY3JldA==\r\n";
    for path in ["/kept?card=secret", "/cut?card=secret", "/closed?card=secret"] {
        for body in [r#"{"card":"secret-body"}"#, "{secret-body"] {
            let clients = [
                (proxy.plain().await, plain.url(path)),
                (proxy.secure1(secure.address).await, secure.url(path)),
                (proxy.secure2(secure.address, credentials).await, secure.url(path)),
            ];
            for (mut client, url) in clients {
                client.ask(post_with(&url, &SECRETS, body)).await;
                client.ask(post_with(&url, &[SECRETS[0], SECRETS[0]], body)).await;
                // Last: where the origin cuts an unguarded answer, so does the proxy, with the connection.
                client.ask(post_with(&url, &SECRETS[1..], body)).await;
            }
        }
    }
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // The subscriber was there, for the libraries' own words too.
    assert!(logged.contains("answer broke off") && logged.contains(" h2::"), "{logged}");
    let leaks: Vec<_> =
        logged.lines().filter(|line| line.contains("secret") || line.contains("c2VjcmV0")).collect();
    assert_eq!(leaks, [""; 0]);
    let audited = proxy.engine.audit(onceward_store::AuditCursor::default(), None, 1_000).await.unwrap();
    assert!(!format!("{audited:?}").contains("secret"), "{audited:?}");
}
