//! Under one key each operation is an effect of its own, and a drifted body is the same one.

use super::{
    kit::{Proxy, asked, committed, post, post_with, replayed},
    origin::{Origin, say},
};

const JSON: (&str, &str) = ("content-type", "application/json");
const KEY: (&str, &str) = ("x-idem-key", "step-1");

async fn numbered() -> Origin {
    Origin::http(|number, _| async move { say(201, "", &format!("answer {number}")) }).await
}

fn first(number: usize) -> String {
    committed(201, &[], &format!("answer {number}"))
}

fn again(number: usize) -> String {
    replayed(201, &[], &format!("answer {number}"))
}

// covers: B2
#[tokio::test]
async fn methods_paths_and_origins_of_one_step_are_effects_of_their_own() {
    let (origin, other) = (numbered().await, numbered().await);
    let proxy = Proxy::start().await;
    let mut client = proxy.plain().await;
    let order = origin.url("/order");
    let requests = || {
        [
            (asked("POST", &order, &[KEY], "a"), 1),
            (asked("PUT", &order, &[KEY], "a"), 2),
            (asked("POST", &origin.url("/pay"), &[KEY], "a"), 3),
            (asked("POST", &other.url("/order"), &[KEY], "a"), 1),
            (post(&order, "step-2", "a"), 4),
        ]
    };
    for (request, number) in requests() {
        assert_eq!(client.ask(request).await, first(number));
    }
    for (request, number) in requests() {
        assert_eq!(client.ask(request).await, again(number));
    }
    assert_eq!((origin.requests(), other.requests()), (4, 1));
}

// covers: B2
#[tokio::test]
async fn operations_that_a_body_names_are_effects_of_their_own() {
    let origin = numbered().await;
    let proxy = Proxy::start().await;
    let mut client = proxy.plain().await;
    let graphql = |operation: &str, card: &str| {
        let body = format!(
            r#"{{"operationName":"{operation}","query":"mutation {operation} {{ x }}","variables":{{"card":"{card}"}}}}"#
        );
        post_with(&origin.url("/graphql"), &[KEY, JSON], &body)
    };
    let call = |method: &str, id: u32| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#);
        post_with(&origin.url("/rpc"), &[KEY, JSON], &body)
    };
    for (request, expected) in [
        (graphql("AddToCart", "1"), first(1)),
        (graphql("PlaceOrder", "1"), first(2)),
        (graphql("PlaceOrder", "2"), again(2)),
        (graphql("AddToCart", "1"), again(1)),
        (call("cart.add", 1), first(3)),
        (call("order.place", 2), first(4)),
        (call("order.place", 3), again(4)),
    ] {
        assert_eq!(client.ask(request).await, expected);
    }
    assert_eq!(origin.requests(), 4);
}

// covers: B2
#[tokio::test]
async fn a_server_action_is_one_whatever_page_it_is_posted_to() {
    let origin = numbered().await;
    let proxy = Proxy::start().await;
    let mut client = proxy.plain().await;
    let action = |path: &str, id: &'static str, boundary: &str| {
        let multipart = format!("multipart/form-data; boundary={boundary}");
        let body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"1\"\r\n\r\n[]\r\n--{boundary}--\r\n"
        );
        let lines = [KEY, ("next-action", id), ("content-type", &*multipart)];
        post_with(&origin.url(path), &lines, &body)
    };
    assert_eq!(client.ask(action("/cart", "40f1", "aa")).await, first(1));
    assert_eq!(client.ask(action("/thanks", "40f1", "bb")).await, again(1));
    assert_eq!(client.ask(action("/cart", "7c22", "aa")).await, first(2));
}

// covers: B2 F1 A1
#[tokio::test]
async fn a_drifted_body_replays_and_the_audit_log_says_so() {
    let origin = numbered().await;
    let proxy = Proxy::start().await;
    let mut client = proxy.plain().await;
    let form = |body: &str| {
        post_with(&origin.url("/order"), &[KEY, ("content-type", "application/x-www-form-urlencoded")], body)
    };
    let json = |body: &str| post_with(&origin.url("/pay"), &[KEY, JSON], body);
    for (request, expected) in [
        (form("item=1&nonce=1"), first(1)),
        // The fields of common frameworks do not count, and the order does not.
        (form("nonce=1&csrfmiddlewaretoken=x&item=1"), again(1)),
        (form("item=1&nonce=2"), again(1)),
        (json(r#"{"a":1,"b":2}"#), first(2)),
        (json(r#"{"b":2.0,"a":1}"#), again(2)),
        // Neither a body that cannot be read nor another media type stands in the way.
        (json(r#"{"a":1,"#), again(2)),
        (post_with(&origin.url("/pay"), &[KEY], "plain"), again(2)),
    ] {
        assert_eq!(client.ask(request).await, expected);
    }
    let drifted = "replayed drifted";
    assert_eq!(
        proxy.decisions().await,
        ["executed", "replayed", drifted, "executed", "replayed", drifted, drifted]
    );
}

// covers: B2
#[tokio::test]
async fn a_repeated_call_gets_the_answer_under_its_own_id() {
    let origin = Origin::http(|_, _| async {
        say(200, "Content-Type: application/json\r\n", r#"{"jsonrpc":"2.0","id":1,"result":"ordered"}"#)
    })
    .await;
    let proxy = Proxy::start().await;
    let mut client = proxy.plain().await;
    let call = |id: u32| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"order"}}"#);
        post_with(&origin.url("/rpc"), &[KEY, JSON], &body)
    };
    let answer = |id: u32| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"ordered"}}"#);
    let lines = ["content-type: application/json"];
    assert_eq!(client.ask(call(1)).await, committed(200, &lines, &answer(1)));
    assert_eq!(client.ask(call(27)).await, replayed(200, &lines, &answer(27)));
}
