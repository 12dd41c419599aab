//! Verdicts that are posted, signed by the programs of the documentation: to the gateway, and to the forward proxy's own address.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::kit::{Answer, Exchange, Home, Origin, Server, Then};

const PAGE: &str = include_str!("../../../../docs/webhooks.md");

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The first example of the page in a language.
fn example(language: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{language}\n")).unwrap();
    rest.split("```").next().unwrap()
}

/// In which language somebody posts.
#[derive(Clone, Copy, Debug)]
enum Signer {
    Python,
    Node,
}

impl Signer {
    /// Posts by the page's own program; the status of the answer and its content.
    fn post(self, home: &Home, url: &str, verdict: &Value) -> (u16, Value) {
        let call = |post: &str| format!("{post}({}, {}, \"msg_1\", ", json!(url), json!(SECRET));
        let (file, program, text) = match self {
            Self::Python => {
                let ask = format!("{}json.loads({}))", call("post"), json!(verdict.to_string()));
                let text = format!(
                    "{}\n\nimport urllib.error\n\ntry:\n    answer = {ask}\nexcept urllib.error.HTTPError as error:\n    \
                     answer = error\nprint(answer.status, answer.read().decode())\n",
                    example("python")
                );
                ("post.py", "python3", text)
            }
            Self::Node => {
                let text = format!(
                    "{}\nconst answer = await {}{verdict});\nconsole.log(answer.status, await answer.text());\n",
                    example("js"),
                    call("post")
                );
                ("post.mjs", "node", text)
            }
        };
        let file = home.join(file);
        fs::write(&file, text).unwrap();
        let ran = Command::new(program)
            .arg(&file)
            .env_remove("http_proxy")
            .env_remove("HTTP_PROXY")
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("these tests need `{program}` in the path: {error}"));
        let (said, complained) =
            (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap());
        let (status, content) = said.split_once(' ').unwrap_or_else(|| panic!("{said} {complained}"));
        (status.parse().unwrap(), serde_json::from_str(content).unwrap())
    }
}

/// A home with a secret and this configuration, in which the secret's file is named as on the page.
fn home(config: &str) -> (Home, PathBuf) {
    let home = Home::new();
    let secret = home.join("shop.whsec");
    write_secret(&secret, SECRET, 0o600);
    let file = home.join("onceward.toml");
    fs::write(&file, config.replace("/etc/onceward/shop.whsec", secret.to_str().unwrap())).unwrap();
    (home, file)
}

fn write_secret(file: &Path, text: &str, mode: u32) {
    fs::write(file, format!("{text}\n")).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

/// What the command line says of the one effect of a key.
fn shown(home: &Home, config: &Path, key: &str) -> Value {
    let shown = home.run(&["effects", "show", key, "--json", "--config", config.to_str().unwrap()]).json();
    shown["effects"][0].clone()
}

fn evidence(shown: &Value) -> &str {
    let log = shown["audit"].as_array().unwrap();
    log.iter().find(|line| line["decision"] == "resolved").unwrap()["evidence"].as_str().unwrap()
}

// covers: D2, D3, D4
#[test]
fn the_programs_of_the_page_end_doubts_at_the_gateway() {
    let (home, config) = home(example("toml"));
    let origin = Origin::start(&[Then::Vanish, Then::Vanish, Then::Answer]);
    let arguments = ["gateway", "--listen", "127.0.0.1:0", "--json", "--upstream", &origin.url()];
    let gateway = Server::start(home.command(&arguments).arg("--config").arg(&config));
    let order = |key: &str| -> Answer {
        let request = format!(
            "POST /orders HTTP/1.1\r\nhost: shop.example\r\nidempotency-key: {key}\r\ncontent-length: 9\r\n\
             connection: close\r\n\r\n{{\"tea\":1}}"
        );
        Exchange::start(gateway.address, &request).answer()
    };
    let url = format!("http://{}/.well-known/idempotency/verdicts", gateway.address);
    for key in ["booked", "lost"] {
        assert_eq!(order(key).problem(), (409, "outcome-unknown".to_owned()));
    }
    let verdict = |key: &str, verdict: &str| {
        let epoch = shown(&home, &config, key)["effect"]["epoch"].clone();
        json!({"key": key, "epoch": epoch, "verdict": verdict, "evidence": "looked into the books"})
    };
    let mut happened = verdict("booked", "happened");
    happened["answer"] = json!({"status": 201, "body": "order A17"});
    let (status, told) = Signer::Python.post(&home, &url, &happened);
    assert_eq!((status, &told["result"]), (200, &json!("resolved")));
    let again = order("booked");
    assert_eq!((again.status, again.body.as_str()), (201, "order A17"));
    assert_eq!(again.field("idempotent-replayed"), Some("true"));
    let (status, told) = Signer::Node.post(&home, &url, &verdict("lost", "absent"));
    assert_eq!((status, &told["result"]), (200, &json!("resolved")));
    assert_eq!(order("lost").body, "order 3");
    assert_eq!(evidence(&shown(&home, &config, "lost")), "webhook shop, msg_1: looked into the books");
    let contract = Exchange::start(
        gateway.address,
        "GET /.well-known/idempotency HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(contract.answer().json()["verdicts"], json!("/.well-known/idempotency/verdicts"));
}

/// A webhook for the orders of one site.
fn of_site(origin: &Origin) -> String {
    let host = origin.url().strip_prefix("http://").unwrap().to_owned();
    format!(
        "[[resolver]]\nwebhook = true\nname = \"shop\"\nsecret_files = [\"/etc/onceward/shop.whsec\"]\n\
         paths = [\"/order\"]\nhost = \"{host}\"\n"
    )
}

// covers: D2, D3, S5
#[test]
fn at_the_forward_proxy_a_site_is_judged_at_the_proxys_own_address() {
    let (shop, other) = (Origin::start(&[Then::Vanish, Then::Answer]), Origin::start(&[Then::Vanish]));
    let (home, config) = home(&of_site(&shop));
    let proxy = home.serve(&["--config", config.to_str().unwrap()]);
    assert_eq!(proxy.order(&shop, "k").answer().problem(), (409, "outcome-unknown".to_owned()));
    assert_eq!(proxy.order(&other, "elsewhere").answer().problem(), (409, "outcome-unknown".to_owned()));
    let url = format!("http://{}/verdicts", proxy.address);
    let absent = |key: &str| {
        let effect = shown(&home, &config, key)["effect"].clone();
        json!({"id": effect["id"], "epoch": effect["epoch"], "verdict": "absent", "evidence": "not in the books"})
    };
    let (status, told) = Signer::Python.post(&home, &url, &absent("elsewhere"));
    assert_eq!((status, &told["detail"]), (404, &json!("no such effect is remembered")));
    let (status, told) = Signer::Node.post(&home, &url, &absent("k"));
    assert_eq!((status, &told["result"]), (200, &json!("resolved")));
    assert_eq!(proxy.order(&shop, "k").answer().body, "order 2");
    let own = proxy.address;
    let unsigned = format!(
        "POST /verdicts HTTP/1.1\r\nhost: {own}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
    );
    let refused = Exchange::start(own, &unsigned).answer();
    assert_eq!((refused.status, refused.field("content-type")), (401, Some("application/problem+json")));
    // Not through itself: its own listener is no target of a tunnel.
    let tunnelled = format!("CONNECT {own} HTTP/1.1\r\nhost: {own}\r\n\r\n{unsigned}");
    let inside = Exchange::start(own, &tunnelled).answer().body;
    assert!(inside.starts_with("HTTP/1.1 403") && !inside.contains("application/problem+json"), "{inside}");
}

#[test]
fn without_a_webhook_nothing_is_posted_to_the_forward_proxy() {
    let home = Home::new();
    let proxy = home.serve(&[]);
    let own = proxy.address;
    for (method, status) in [("POST", 405), ("GET", 404)] {
        let request = format!("{method} /verdicts HTTP/1.1\r\nhost: {own}\r\nconnection: close\r\n\r\n");
        assert_eq!(Exchange::start(own, &request).answer().status, status);
    }
}

#[test]
fn a_webhook_of_every_site_is_refused_by_the_forward_proxy_alone() {
    let (home, config) = home(&of_site(&Origin::start(&[])).lines().take(5).collect::<Vec<_>>().join("\n"));
    let config = config.to_str().unwrap();
    let ran = home.run(&["proxy", "--listen", "127.0.0.1:0", "--config", config]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("onceward.toml:1: at the forward proxy a webhook is one site's"), "{ran:?}");
    let ran = home.run(&["config", "check", "--config", config]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_webhook_that_cannot_be_is_refused_with_its_line() {
    let whole = "[[resolver]]\nwebhook = true\nname = \"shop\"\nsecret_files = [\"/etc/onceward/shop.whsec\"]\npaths = [\"/a\"]\n";
    let cases = [
        (whole.replace("name = \"shop\"\n", ""), "say it with `name = \"shop\"`"),
        (
            whole.replace("secret_files = [\"/etc/onceward/shop.whsec\"]\n", ""),
            "with which secret is it signed?",
        ),
        (whole.replace("[\"/etc/onceward/shop.whsec\"]", "[]"), "with which secret is it signed?"),
        (whole.replace("paths = [\"/a\"]\n", ""), "say it with `paths"),
        (whole.replace("shop.whsec", "none.whsec"), "none.whsec"),
        (format!("{whole}settle = \"1s\"\n"), "`settle` has no meaning for a webhook"),
        (format!("{whole}key_header = \"a\"\n"), "`key_header` has no meaning for a webhook"),
        (format!("{whole}passthrough = true\n"), "one of `recipe`, `command`, `passthrough` and `webhook`"),
        (
            whole.replace("webhook = true", "passthrough = true"),
            "`secret_files` has no meaning for a passthrough",
        ),
        (whole.replace("webhook = true", "recipe = \"redmine\""), "has no meaning for a recipe"),
    ];
    for (text, expected) in cases {
        let (home, config) = home(&text);
        let ran = home.run(&["config", "check", "--config", config.to_str().unwrap()]);
        assert_eq!(ran.code, Some(2), "{text}");
        let said = ran.stderr.to_lowercase();
        assert!(said.contains(expected) && said.contains("onceward.toml:1"), "{text}: {said}");
    }
    for (secret, mode, expected) in [
        (SECRET, 0o644, "can be read by others (mode 644)"),
        ("whsec_c2hvcnQ=", 0o600, "expected `whsec_` and 24 to 64 bytes in base64"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 0o600, "expected `whsec_`"),
    ] {
        let (home, config) = home(whole);
        write_secret(&home.join("shop.whsec"), secret, mode);
        let ran = home.run(&["config", "check", "--config", config.to_str().unwrap()]);
        assert_eq!(ran.code, Some(2), "{secret}");
        assert!(ran.stderr.contains(expected) && !ran.stderr.contains(secret), "{}", ran.stderr);
    }
}
