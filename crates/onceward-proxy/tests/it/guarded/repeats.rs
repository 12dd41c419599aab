//! Second clicks, aborted navigations and crowds: one effect, and everybody gets its answer.

use std::sync::Arc;

use onceward_core::outcome::Policy;
use onceward_proxy::limits::Limits;
use tokio::sync::Semaphore;

use super::{
    kit::{Client, Proxy, Records, committed, post, replayed},
    origin::{DEADLINE, Origin, say},
};

const COOKIES: &str = "Location: /thanks\r\nSet-Cookie: order=1; Path=/\r\nSet-Cookie: cart=; Max-Age=0\r\n";
const COOKIE_LINES: [&str; 3] =
    ["location: /thanks", "set-cookie: cart=; Max-Age=0", "set-cookie: order=1; Path=/"];

/// A site that answers each request when it is allowed to.
async fn slow(secure: bool) -> (Origin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let shared = Arc::clone(&gate);
    let reply = move |number: usize, _: String| {
        let gate = Arc::clone(&shared);
        async move {
            gate.acquire().await.unwrap().forget();
            say(303, COOKIES, &format!("order {number}"))
        }
    };
    (if secure { Origin::https(reply).await } else { Origin::http(reply).await }, gate)
}

// covers: B4 L6 O2
#[tokio::test]
async fn a_browser_that_leaves_stops_nothing_and_its_repeat_gets_the_answer() {
    for way in ["plain", "tunnelled", "http/1.1", "http/2"] {
        let is_secure = way.starts_with("http/");
        let (origin, gate) = slow(is_secure).await;
        let proxy = Proxy::start().await;
        let client = || async {
            match way {
                "plain" => proxy.plain().await,
                "tunnelled" => proxy.tunnelled(origin.address).await,
                "http/1.1" => proxy.secure1(origin.address).await,
                _ => proxy.secure2(origin.address, "").await,
            }
        };
        let mut leaving = client().await;
        let request = post(&origin.url("/order"), "k", "a");
        tokio::select! {
            answer = leaving.ask(request) => panic!("{way}: {answer}"),
            () = origin.asked(1) => {}
        }
        leaving.vanish();
        let mut back = client().await;
        let (answer, ()) = tokio::join!(back.ask(post(&origin.url("/order"), "k", "a")), async {
            waiting(&proxy, 1).await;
            gate.add_permits(1);
        });
        assert_eq!(answer, replayed(303, &COOKIE_LINES, "order 1"), "{way}");
        assert_eq!(origin.requests(), 1, "{way}");
    }
}

/// Completes when so many duplicates wait.
async fn waiting(proxy: &Proxy, count: usize) {
    let waits = async {
        while !proxy.engine.telemetry().render().contains(&format!("\nonceward_waiting {count}\n")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waits).await.expect("they do not wait");
}

/// Lets every client ask once under one key, all at the same time, and sorts what they get.
async fn crowd(
    proxy: &Proxy,
    origin: &Origin,
    gate: &Semaphore,
    clients: Vec<(Client, usize)>,
) -> Vec<String> {
    let total: usize = clients.iter().map(|(_, asks)| asks).sum();
    let mut asking = tokio::task::JoinSet::new();
    for (client, asks) in clients {
        for mut client in client.shared(asks) {
            let request = post(&origin.url("/order"), "k", "a");
            asking.spawn(async move { client.ask(request).await });
        }
    }
    waiting(proxy, total - 1).await;
    gate.add_permits(total);
    let mut answers = asking.join_all().await;
    answers.sort();
    answers
}

/// One execution's answer and the replays of it.
fn one_of(total: usize) -> Vec<String> {
    let mut expected = vec![replayed(303, &COOKIE_LINES, "order 1"); total - 1];
    expected.push(committed(303, &COOKIE_LINES, "order 1"));
    expected.sort();
    expected
}

// covers: L1 W1 B6
#[tokio::test]
async fn fifty_at_once_over_mixed_connections_are_one_effect() {
    let (origin, gate) = slow(true).await;
    let proxy = Proxy::start().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push((proxy.secure2(origin.address, "").await, 10));
    }
    for _ in 0..10 {
        clients.push((proxy.secure1(origin.address).await, 1));
    }
    assert_eq!(crowd(&proxy, &origin, &gate, clients).await, one_of(50));
    assert_eq!(origin.requests(), 1);
}

// covers: L1 W1 B2
#[tokio::test]
async fn one_key_straight_and_through_a_tunnel_at_once_is_one_effect() {
    let (origin, gate) = slow(false).await;
    let proxy = Proxy::start().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push((proxy.plain().await, 1));
        clients.push((proxy.tunnelled(origin.address).await, 1));
    }
    assert_eq!(crowd(&proxy, &origin, &gate, clients).await, one_of(8));
    assert_eq!(origin.requests(), 1);
}

// covers: B3 S1
#[tokio::test]
async fn five_hundred_keys_at_once_all_pass() {
    let origin = Origin::http(|_, _| async { say(201, "", "ordered") }).await;
    let proxy = Proxy::start().await;
    let mut asking = tokio::task::JoinSet::new();
    for connection in 0..50 {
        let mut client = proxy.plain().await;
        let url = origin.url("/order");
        asking.spawn(async move {
            for turn in 0..10 {
                let answer = client.ask(post(&url, &format!("{connection}-{turn}"), "a")).await;
                assert_eq!(answer, committed(201, &[], "ordered"));
            }
        });
    }
    asking.join_all().await;
    assert_eq!((origin.requests(), proxy.records().await), (500, 500));
}

// covers: O1 B4 L10
#[tokio::test]
async fn an_answer_outlives_the_proxy_in_its_file() {
    let (origin, gate) = slow(true).await;
    gate.add_permits(2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("effects.db");
    for expected in [committed(303, &COOKIE_LINES, "order 1"), replayed(303, &COOKIE_LINES, "order 1")] {
        let proxy =
            Proxy::start_with(Records::sqlite(&path), Policy::forward_proxy(), Limits::default()).await;
        let mut client = proxy.secure2(origin.address, "").await;
        assert_eq!(client.ask(post(&origin.url("/order"), "k", "a")).await, expected);
        client.vanish();
        proxy.stop().await;
    }
    assert_eq!(origin.requests(), 1);
}
