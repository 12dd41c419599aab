//! Requests that reach the service once.

use onceward_core::profile::Profile;
use onceward_proxy::gateway::guarding_of;
use onceward_tower::origin::{Guarding, OriginSettings};
use tokio::{io::AsyncWriteExt, sync::watch};

use super::{
    kit::{Answer, Running, Scripted, before, closed_address, read_head, read_message, rules, say},
    recorder::Recorder,
};

/// A keyed order, as curl sends it.
fn order(key: &str, fields: &str, body: &str) -> String {
    format!(
        "POST /orders HTTP/1.1\r\nHost: shop.example\r\nIdempotency-Key: \"{key}\"\r\n{fields}\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A shop that books an order a request and answers with its number and a cookie.
async fn shop() -> (Scripted, watch::Receiver<usize>) {
    let (count, orders) = watch::channel(0);
    let shop = Scripted::open(move |_, mut socket| {
        let count = count.clone();
        async move {
            while let Some(message) = read_message(&mut socket).await {
                let mut number = 0;
                if message.starts_with("POST ") {
                    count.send_modify(|orders| *orders += 1);
                    number = *count.borrow();
                }
                say(&mut socket, 201, "Set-Cookie: cart=empty\r\n", &format!("order {number}")).await;
            }
        }
    })
    .await;
    (shop, orders)
}

fn shown(answer: &Answer) -> (u16, &str, Option<&str>, Option<&str>) {
    (answer.status, &answer.body, answer.field("idempotent-replayed"), answer.field("set-cookie"))
}

// covers: K1, L1, O1, O2, O3, F1, F6
#[tokio::test]
async fn a_repeat_is_answered_from_what_is_remembered() {
    let (shop, orders) = shop().await;
    let gateway = Running::start(&[&shop.url()]).await;
    let first = gateway.ask(&order("order-17", "", r#"{"tea":1,"milk":null}"#)).await;
    assert_eq!(shown(&first), (201, "order 1", None, Some("cart=empty")));
    let again = gateway.ask(&order("order-17", "", r#"{ "milk": null, "tea": 1.0 }"#)).await;
    assert_eq!(shown(&again), (201, "order 1", Some("true"), None));
    let other = gateway.ask(&order("order-17", "", r#"{"tea":2}"#)).await;
    assert_eq!(other.problem(), (422, "key-reused".to_owned()));
    let elsewhere = order("order-17", "", r#"{"tea":1,"milk":null}"#).replace("shop.example", "pay.example");
    assert_eq!(gateway.ask(&elsewhere).await.problem(), (422, "key-reused".to_owned()));
    assert_eq!(*orders.borrow(), 1);
}

// covers: K4
#[tokio::test]
async fn keys_belong_to_whoever_the_credentials_or_the_cookie_name() {
    let (shop, _orders) = shop().await;
    let gateway = Running::start(&[&shop.url()]).await;
    let mut orders = Vec::new();
    for fields in [
        "",
        "Authorization: Bearer a\r\n",
        "Authorization: Bearer b\r\n",
        "Cookie: x=1; sid=a\r\n",
        "Cookie: sid=b\r\n",
        "Authorization: Bearer a\r\nCookie: sid=b\r\n",
        "Cookie: other=1\r\n",
    ] {
        orders.push(gateway.ask(&order("k", fields, "{}")).await.body);
    }
    assert_eq!(orders, ["order 1", "order 2", "order 3", "order 4", "order 5", "order 2", "order 1"]);
}

// covers: L14, K1
#[tokio::test]
async fn the_service_is_told_the_key_and_the_epoch() {
    let service = Recorder::open().await;
    let gateway = Running::start(&[&service.url()]).await;
    gateway.ask(&order("a", "Onceward-Epoch: 999\r\nOnceward_Epoch: 998\r\n", "{}")).await;
    gateway.ask(&order("b", "", "{}")).await;
    let unkeyed = order("c", "Onceward-Epoch: 997\r\n", "{}").replace("Idempotency-Key: \"c\"\r\n", "");
    gateway.ask(&unkeyed).await;
    let heard = service.heard();
    let keys: Vec<_> = heard.iter().map(|heard| heard.all("idempotency-key")).collect();
    assert_eq!(keys, [vec!["\"a\""], vec!["\"b\""], vec![]]);
    let epochs: Vec<Vec<u64>> = heard
        .iter()
        .map(|heard| heard.all("onceward-epoch").iter().map(|epoch| epoch.parse().unwrap()).collect())
        .collect();
    let [[first], [second], []] = &epochs.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] else {
        panic!("{epochs:?}")
    };
    assert!(first < second && ![997, 998, 999].contains(first), "{epochs:?}");
    assert!(heard.iter().all(|heard| heard.all("onceward_epoch").is_empty()));
}

// covers: K3
#[tokio::test]
async fn a_required_key_is_asked_for() {
    let service = Recorder::open().await;
    let profile = Profile::onceward();
    let required = Guarding { is_key_required: true, ..guarding_of(&profile) };
    let settings = OriginSettings { others: Some(required), ..rules() };
    let gateway = Running::start_with(before(&[&service.url()]), settings).await;
    let unkeyed = order("c", "", "{}").replace("Idempotency-Key: \"c\"\r\n", "");
    let refused = gateway.ask(&unkeyed).await;
    assert_eq!(refused.problem(), (400, "key-missing".to_owned()));
    assert!(refused.field("link").is_some_and(|link| link.contains("describedby")), "{refused:?}");
    assert_eq!(service.told(), Vec::<String>::new());
}

// covers: D1, O4, L4
#[tokio::test]
async fn without_a_verdict_of_the_service_the_effect_is_in_doubt() {
    let cases: [(&str, &str); 5] = [
        ("HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n", "a bad gateway"),
        ("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", "an overload"),
        ("HTTP/1.1 408 X\r\nContent-Length: 0\r\n\r\n", "a timeout"),
        ("HTTP/1.1 201 X\r\nContent-Length: 10\r\n\r\norder", "half an answer"),
        ("", "no answer"),
    ];
    for (answer, name) in cases {
        let (count, orders) = watch::channel(0);
        let shop = Scripted::open(move |_, mut socket| {
            let count = count.clone();
            async move {
                if read_message(&mut socket).await.is_some() {
                    count.send_modify(|orders| *orders += 1);
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        })
        .await;
        // A second instance that must not be tried.
        let gateway = Running::start(&[&shop.url(), &shop.url()]).await;
        let doubt = (409, "outcome-unknown".to_owned());
        assert_eq!(gateway.ask(&order("k", "", "{}")).await.problem(), doubt, "{name}");
        assert_eq!(gateway.ask(&order("k", "", "{}")).await.problem(), doubt, "{name}");
        assert_eq!(*orders.borrow(), 1, "{name}");
    }
}

// covers: L5
#[tokio::test]
async fn what_provably_did_not_arrive_goes_to_the_next_instance_or_is_free_again() {
    let (shop, orders) = shop().await;
    let closed = format!("http://{}", closed_address().await);
    let gateway = Running::start(&[&closed, &shop.url()]).await;
    for number in 1..=4 {
        let answer = gateway.ask(&order(&format!("k{number}"), "", "{}")).await;
        assert_eq!((answer.status, *orders.borrow()), (201, number));
    }

    let gateway = Running::start(&[&closed]).await;
    for _ in 0..2 {
        let answer = gateway.ask(&order("k", "", "{}")).await;
        assert_eq!(answer.field("idempotency-key-consumed"), Some("false"), "{answer:?}");
        assert!(!answer.body.contains("127.0.0.1"), "the service's network is nobody's business: {answer:?}");
    }
}

// covers: W1, L6
#[tokio::test]
async fn a_duplicate_waits_for_the_first_and_a_client_that_left_finds_its_answer() {
    let (arrived, mut arrivals) = watch::channel(0);
    let (go_on, going) = watch::channel(false);
    let shop = Scripted::open(move |_, mut socket| {
        let (arrived, mut going) = (arrived.clone(), going.clone());
        async move {
            read_head(&mut socket).await;
            arrived.send_modify(|count| *count += 1);
            going.wait_for(|going| *going).await.unwrap();
            say(&mut socket, 201, "", "order 1").await;
        }
    })
    .await;
    let gateway = Running::start(&[&shop.url()]).await;
    let mut impatient = gateway.dial().await;
    impatient.write_all(order("k", "", "{}").as_bytes()).await.unwrap();
    arrivals.wait_for(|count| *count == 1).await.unwrap();
    drop(impatient);
    let request = order("k", "", "{}");
    let again = gateway.ask(&request);
    let told = async {
        // The duplicate has its turn first; whether it waits already or finds the outcome, it gets the same.
        tokio::task::yield_now().await;
        go_on.send_replace(true);
    };
    let (again, ()) = tokio::join!(again, told);
    assert_eq!((again.status, &*again.body, *arrivals.borrow()), (201, "order 1", 1));
    assert_eq!(again.field("idempotent-replayed"), Some("true"));
}

// covers: C3
#[tokio::test]
async fn the_contract_is_told_by_the_gateway_itself() {
    let service = Recorder::open().await;
    let gateway = Running::start(&[&service.url()]).await;
    let get = |path: &str, fields: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n")
    };
    let contract = gateway.ask(&get("/.well-known/idempotency", "")).await;
    assert_eq!((contract.status, contract.field("content-type")), (200, Some("application/json")));
    let problem = gateway.ask(&get("/.well-known/idempotency/problems/key-reused", "")).await;
    assert_eq!(problem.status, 200);
    assert_eq!(service.told(), Vec::<String>::new());

    gateway.ask(&order("k", "Authorization: Bearer a\r\n", "{}")).await;
    let state = |actor: &str| {
        get(
            "/.well-known/idempotency/effects",
            &format!("Idempotency-Key: \"k\"\r\nAuthorization: Bearer {actor}\r\n"),
        )
    };
    assert_eq!(gateway.ask(&state("a")).await.status, 200);
    let own = gateway.ask(&state("a")).await.body;
    assert_ne!(gateway.ask(&state("b")).await.body, own, "another's key is not told of");
}
