//! Effects in doubt whose answer was lost are found out without a person: at the gateway and at the forward proxy, also after a crash.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::{Value, json};

use crate::kit::{self, Answer, Exchange, Home, Server};

/// How long a verdict may take: looks have pauses of some seconds.
const VERDICT_TIME_MAX: Duration = Duration::from_secs(40);

/// What becomes of an order whose answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is booked, and the connection breaks off.
    Booked,
    /// The connection breaks off before it is booked.
    Lost,
}

/// A shop that breaks off the first connection of each order, and tells who asks for its orders.
struct Shop {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
}

#[derive(Default)]
struct Books {
    /// Bookings by reference.
    orders: BTreeMap<String, Vec<String>>,
    /// How often an order was sent, by reference.
    sent: BTreeMap<String, usize>,
    /// The order of each key, where the shop honours keys.
    keys: BTreeMap<String, String>,
    /// Whether it tells nobody about its orders.
    is_closed: bool,
}

impl Shop {
    fn open(fate: Fate, honours_keys: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let books: Arc<Mutex<Books>> = Arc::default();
        let told = Arc::clone(&books);
        thread::spawn(move || {
            // Ends with the test's process.
            while let Ok((stream, _)) = listener.accept() {
                let books = Arc::clone(&told);
                thread::spawn(move || serve(stream, &books, fate, honours_keys));
            }
        });
        Self { address, books }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often the order was booked, and how often it was sent.
    fn counted(&self, reference: &str) -> (usize, usize) {
        let books = self.books.lock().unwrap();
        let booked = books.orders.get(reference).map_or(0, Vec::len);
        (booked, books.sent.get(reference).copied().unwrap_or_default())
    }
}

fn serve(stream: TcpStream, books: &Mutex<Books>, fate: Fate, honours_keys: bool) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reader = BufReader::new(&stream);
    loop {
        let Some((line, fields, body)) = read_request(&mut reader) else { return };
        let mut answer = None;
        if line.starts_with("POST /orders ") {
            let order: Value = serde_json::from_slice(&body).unwrap();
            let reference = order["reference"].as_str().unwrap().to_owned();
            let mut books = books.lock().unwrap();
            let sent = books.sent.entry(reference.clone()).or_default();
            *sent += 1;
            let is_first = *sent == 1;
            let key = fields.get("idempotency-key").filter(|_| honours_keys);
            if let Some(number) = key.and_then(|key| books.keys.get(key).cloned()) {
                answer = Some(number);
            } else if !is_first || fate == Fate::Booked {
                let number = format!("A{}", books.orders.values().map(Vec::len).sum::<usize>() + 1);
                books.orders.entry(reference).or_default().push(number.clone());
                if let Some(key) = key {
                    books.keys.insert(key.clone(), number.clone());
                }
                answer = Some(number).filter(|_| !is_first);
            }
            drop(books);
            let Some(number) = answer else { return };
            say(&stream, 201, &json!({"number": number}));
        } else {
            let reference = line.split("reference=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
            let books = books.lock().unwrap();
            if books.is_closed {
                say(&stream, 503, &json!({}));
                continue;
            }
            let found = books.orders.get(reference).cloned().unwrap_or_default();
            let orders: Vec<_> =
                found.iter().map(|number| json!({"number": number, "reference": reference})).collect();
            say(&stream, 200, &json!({"count": orders.len(), "orders": orders}));
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<(String, BTreeMap<String, String>, Vec<u8>)> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut fields = BTreeMap::new();
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        let Some((name, value)) = field.trim_end().split_once(": ") else { break };
        fields.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; fields.get("content-length").map_or(0, |len| len.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some((line, fields, body))
}

fn say(mut stream: &TcpStream, status: u16, body: &Value) {
    let now = jiff::Timestamp::try_from(SystemTime::now()).unwrap();
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).unwrap();
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} Said\r\ndate: {date}\r\ncontent-type: application/json");
    // Whoever has gone does not hear it.
    drop(write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
}

const RECIPE: &str = r#"
recipe = 1
name = "shop"
title = "The shop of this test: an order, by our reference"
source = "https://shop.example/docs/orders"

[effect]
methods = ["POST"]
paths = ["/orders"]

[probe]
url = "/orders?reference={json $.reference}"
send_if_present = ["authorization"]
settle = "1s"

[found]
as = "json"
shown = { pick = "$.orders" }
items = "$.orders[*]"
fields.number = { pick = "$.number" }
fields.reference = { pick = "$.reference" }
match = [{ field = "reference", equals = "{json $.reference}", as = "exact", unique = true }]
reference = "number"
complete = { total = { pick = "$.count" } }
"#;

/// A home whose configuration has this resolver; `{recipe}` stands for the recipe's file.
fn home(resolver: &str) -> (Home, PathBuf) {
    let home = Home::new();
    let (recipe, config) = (home.join("shop.toml"), home.join("onceward.toml"));
    fs::write(&recipe, RECIPE).unwrap();
    fs::write(&config, resolver.replace("{recipe}", recipe.to_str().unwrap())).unwrap();
    (home, config)
}

const PROBE: &str = "[[resolver]]\nrecipe = \"{recipe}\"\n";

fn gateway(home: &Home, config: &Path, shop: &Shop) -> Server {
    let upstream = shop.url();
    let arguments = ["gateway", "--listen", "127.0.0.1:0", "--json", "--upstream", &upstream];
    Server::start(home.command(&arguments).arg("--config").arg(config))
}

fn order(server: &Server, key: &str) -> Answer {
    let body = json!({"reference": key}).to_string();
    let request = format!(
        "POST /orders HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/json\r\n\
         idempotency-key: {key}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    Exchange::start(server.address, &request).answer()
}

/// Asks again until the effect is not in doubt any more.
fn settled(ask: impl Fn() -> Answer) -> Answer {
    let deadline = Instant::now() + VERDICT_TIME_MAX;
    loop {
        let answer = ask();
        let is_unknown = answer.status == 409 && answer.problem().1 == "outcome-unknown";
        if !is_unknown {
            return answer;
        }
        assert!(Instant::now() < deadline, "nobody found out");
        // waits: for a resolver, whose verdict nobody announces.
        thread::sleep(Duration::from_millis(100));
    }
}

/// The evidence of the verdict.
fn evidence(home: &Home, config: &Path, key: &str) -> String {
    let shown = home.run(&["effects", "show", key, "--json", "--config", config.to_str().unwrap()]).json();
    let log = shown["effects"][0]["audit"].as_array().unwrap_or_else(|| panic!("{shown}"));
    let resolved =
        log.iter().find(|line| line["decision"] == "resolved").unwrap_or_else(|| panic!("{shown}"));
    resolved["evidence"].as_str().unwrap().to_owned()
}

// covers: D2, D3, D4
#[test]
fn an_order_that_was_booked_is_found_and_not_placed_again() {
    let (home, config) = home(PROBE);
    let shop = Shop::open(Fate::Booked, false);
    let gateway = gateway(&home, &config, &shop);
    assert_eq!(order(&gateway, "r1").problem(), (409, "outcome-unknown".to_owned()));
    let told = settled(|| order(&gateway, "r1"));
    assert_eq!(told.problem(), (409, "outcome-not-kept".to_owned()));
    assert_eq!(told.json()["effect"], json!("done"));
    assert_eq!(shop.counted("r1"), (1, 1));
    assert!(
        evidence(&home, &config, "r1").starts_with("shop saw happened: "),
        "{}",
        evidence(&home, &config, "r1")
    );
}

// covers: D3
#[test]
fn an_order_that_was_lost_is_placed_by_the_next_retry_once_nothing_is_on_its_way() {
    let (home, config) = home(PROBE);
    let shop = Shop::open(Fate::Lost, false);
    let gateway = gateway(&home, &config, &shop);
    let began = Instant::now();
    assert_eq!(order(&gateway, "r1").problem(), (409, "outcome-unknown".to_owned()));
    let placed = settled(|| order(&gateway, "r1"));
    assert_eq!((placed.status, placed.json()["number"].clone()), (201, json!("A1")));
    assert!(began.elapsed() >= Duration::from_secs(1), "the settling time had not passed");
    assert_eq!(shop.counted("r1"), (1, 2));
    assert!(
        evidence(&home, &config, "r1").starts_with("shop saw nothing"),
        "{}",
        evidence(&home, &config, "r1")
    );
}

// covers: D2, L10
#[test]
fn the_looking_goes_on_after_a_crash() {
    let (home, config) = home(PROBE);
    let shop = Shop::open(Fate::Booked, false);
    shop.books.lock().unwrap().is_closed = true;
    let first = gateway(&home, &config, &shop);
    assert_eq!(order(&first, "r1").problem(), (409, "outcome-unknown".to_owned()));
    first.kill();
    shop.books.lock().unwrap().is_closed = false;
    let second = gateway(&home, &config, &shop);
    assert_eq!(settled(|| order(&second, "r1")).problem(), (409, "outcome-not-kept".to_owned()));
    assert_eq!(shop.counted("r1"), (1, 1));
}

// covers: D0, D2
#[test]
fn an_origin_that_honours_keys_is_asked_again_and_its_answer_replayed() {
    let (home, config) = home("[[resolver]]\npassthrough = true\npaths = [\"/orders\"]\n");
    for (fate, key) in [(Fate::Booked, "r1"), (Fate::Lost, "r2")] {
        let shop = Shop::open(fate, true);
        let gateway = gateway(&home, &config, &shop);
        assert_eq!(order(&gateway, key).problem(), (409, "outcome-unknown".to_owned()));
        let answer = settled(|| order(&gateway, key));
        assert_eq!((answer.status, answer.json()["number"].clone()), (201, json!("A1")), "{fate:?}");
        assert_eq!(answer.field("idempotent-replayed"), Some("true"));
        assert_eq!(shop.counted(key), (1, 2), "{fate:?}");
    }
}

// covers: D2
#[test]
fn a_command_finds_out() {
    let (home, config) =
        home("[[resolver]]\ncommand = [\"{recipe}.sh\"]\npaths = [\"/orders\"]\nsettle = \"1s\"\n");
    let script = home.join("shop.toml.sh");
    let told = home.join("told.json");
    let text = format!(
        "#!/bin/sh\ncat > {}\necho '{{\"verdict\": \"happened\", \"evidence\": \"in the books\"}}'\n",
        told.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let shop = Shop::open(Fate::Booked, false);
    let gateway = gateway(&home, &config, &shop);
    assert_eq!(order(&gateway, "r1").problem(), (409, "outcome-unknown".to_owned()));
    assert_eq!(settled(|| order(&gateway, "r1")).problem(), (409, "outcome-not-kept".to_owned()));
    assert_eq!(evidence(&home, &config, "r1"), "command saw happened: in the books");
    let told: Value = serde_json::from_slice(&fs::read(&told).unwrap()).unwrap();
    assert_eq!((&told["method"], &told["body"]), (&json!("POST"), &json!("{\"reference\":\"r1\"}")));
    assert_eq!((&told["url"], &told["reason"]), (&json!("http://shop.example/orders"), &json!("no-answer")));
}

// covers: D2
#[test]
fn the_forward_proxy_finds_out_too() {
    let (home, config) = home(PROBE);
    let shop = Shop::open(Fate::Booked, false);
    let proxy = home.serve(&["--config", config.to_str().unwrap()]);
    let ask = || {
        let body = json!({"reference": "r1"}).to_string();
        let request = format!(
            "POST {}/orders HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: application/json\r\n\
             x-idem-key: r1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            shop.url(),
            shop.address,
            body.len()
        );
        Exchange::start(proxy.address, &request).answer()
    };
    assert_eq!(ask().problem(), (409, "outcome-unknown".to_owned()));
    assert_eq!(settled(ask).problem(), (409, "outcome-not-kept".to_owned()));
    assert_eq!(shop.counted("r1"), (1, 1));
}

#[test]
fn the_examples_in_the_documentation_are_good() {
    let pages = [include_str!("../../../../docs/operations.md"), include_str!("../../../../docs/recipes.md")];
    for page in pages {
        let example = page.split("```toml\n").find(|block| block.starts_with("[[resolver]]")).unwrap();
        let (home, config) = home(example.split("```").next().unwrap());
        let ran = home.run(&["config", "check", "--config", config.to_str().unwrap()]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_resolver_that_cannot_be_is_refused_with_its_line() {
    let cases = [
        ("[[resolver]]\nrecipe = \"oscar\"\n", "there is no recipe `oscar`"),
        ("[[resolver]]\npassthrough = true\n", "say it with `paths"),
        ("[[resolver]]\ncommand = [\"/bin/true\"]\npaths = [\"/a\"]\n", "`settle = \"2m\"`"),
        ("[[resolver]]\npassthrough = true\npaths = [\"/a\"]\nkey_header = \"a b\"\n", "key_header = "),
        (
            "[[resolver]]\npassthrough = true\npaths = [\"/a\"]\nkey_json = \"key\"\n",
            "key_json: `key` is no jsonpath",
        ),
        (
            "[[resolver]]\npassthrough = true\npaths = [\"/a\"]\nkey_json = \"$.key\"\nkey_header = \"key\"\n",
            "give `key_header` or `key_json`",
        ),
        ("[[resolver]]\npassthrough = true\npaths = [\"/a\"]\nkey_lifetime = \"1w\"\n", "key_lifetime: "),
        (
            "[[resolver]]\npassthrough = true\npaths = [\"/a\"]\nkey_lifetime = \"5m\"\n",
            "five minutes or less",
        ),
        ("[[resolver]]\npassthrough = true\npaths = [\"/a\"]\nundecided = [42]\n", "undecided = [42]"),
        ("[[resolver]]\nrecipe = \"redmine\"\nsettle = \"1s\"\n", "`settle` has no meaning for a recipe"),
        (
            "[[resolver]]\nrecipe = \"redmine\"\nundecided = [422]\n",
            "`undecided` has no meaning for a recipe",
        ),
        ("[[resolver]]\n", "needs a `recipe`, a `command`, `passthrough = true` or `webhook = true`"),
        ("[[resolver]]\nreciep = \"redmine\"\n", "did you mean `recipe`?"),
        ("[[resolver]]\nrecipe = \"redmine\"\nparameters = \"a\"\n", "write parameters = {"),
    ];
    for (text, expected) in cases {
        let (home, config) = home(text);
        let ran = home.run(&["config", "check", "--config", config.to_str().unwrap()]);
        assert_eq!(ran.code, Some(2), "{text}");
        let said = ran.stderr.to_lowercase();
        assert!(said.contains(&expected.to_lowercase()) && said.contains("onceward.toml:"), "{text}: {said}");
    }
}

// covers: D2
#[test]
fn a_recipe_is_tried_on_files_before_it_is_trusted() {
    let (home, _) = home(PROBE);
    let write = |name: &str, text: &str| {
        fs::write(home.join(name), text).unwrap();
        home.join(name).to_str().unwrap().to_owned()
    };
    let request = write(
        "lost.http",
        "POST https://shop.example/orders HTTP/1.1\r\ncontent-type: application/json\r\nauthorization: Bearer s3cret\r\n\r\n\
         {\"reference\":\"r1\"}",
    );
    let recipe = home.join("shop.toml").to_str().unwrap().to_owned();
    let head =
        "HTTP/1.1 200 OK\r\ndate: Sun, 22 Nov 2026 12:00:00 GMT\r\ncontent-type: application/json\r\n\r\n";
    let cases = [
        (r#"{"count": 1, "orders": [{"number": "A7", "reference": "r1"}]}"#, "found", json!("A7"), 0),
        (r#"{"count": 0, "orders": []}"#, "not found", json!(null), 0),
        (r#"{"error": "log in"}"#, "unclear", json!(null), 1),
    ];
    for (body, saw, reference, code) in cases {
        let answer = write("answer.http", &format!("{head}{body}"));
        let arguments = ["resolve", "try", &recipe, "--request", &request, "--against", &answer, "--json"];
        let ran = kit::ran(&mut kit::command(&arguments));
        let told: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((ran.code, told["sighting"]["saw"].as_str()), (Some(code), Some(saw)), "{told}");
        assert_eq!(told["sighting"]["reference"], reference);
        assert_eq!(told["look"]["url"], json!("https://shop.example/orders?reference=r1"));
        assert!(!ran.stdout.contains("s3cret"), "{}", ran.stdout);
    }
    let ran = kit::ran(&mut kit::command(&["resolve", "try", &recipe, "--request", &request]));
    let expected = "the look: GET https://shop.example/orders?reference=r1\n";
    assert!(ran.code == Some(0) && ran.stdout.starts_with(expected), "{ran:?}");
    let relative = write("relative.http", "POST /orders HTTP/1.1\r\n\r\n");
    let ran = kit::ran(&mut kit::command(&["resolve", "try", &recipe, "--request", &relative]));
    assert!(ran.code == Some(2) && ran.stderr.contains("write the whole address"), "{ran:?}");
}

#[test]
fn the_recipes_that_come_along_are_listed() {
    let listed = kit::ran(&mut kit::command(&["resolve", "recipes", "--json"])).json();
    let names: Vec<_> =
        listed["recipes"].as_array().unwrap().iter().map(|recipe| recipe["name"].clone()).collect();
    assert!(names.contains(&json!("redmine")) && names.contains(&json!("django-oscar")), "{names:?}");
    assert!(listed["recipes"][0]["source"].as_str().unwrap().starts_with("https://"), "{listed}");
}
