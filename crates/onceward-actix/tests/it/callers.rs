//! Callers that leave, handlers that fail, and workers that stop.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{
    HttpResponse,
    dev::ServerHandle,
    web::{self, Bytes, ServiceConfig},
};
use futures_util::{StreamExt, stream};
use onceward_core::{
    outcome::{OnPanic, Policy},
    time::Timestamp,
};
use onceward_store::SystemClock;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{Semaphore, mpsc},
};

use crate::kit::{
    Count, Keyed, World, ask, committed, engine, once, post, problem, replayed, response, serve,
};

/// What happens in a handler, told to its test.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Began,
    Ended,
    /// Its future was dropped before its end.
    Dropped,
}

/// Tells of a handler that is dropped.
struct Watch {
    stages: mpsc::UnboundedSender<Stage>,
    is_over: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stages.send(if self.is_over { Stage::Ended } else { Stage::Dropped }).unwrap();
    }
}

/// A handler that begins, and goes on when its test lets it.
struct Held {
    stages: mpsc::UnboundedReceiver<Stage>,
    gate: Arc<Semaphore>,
    count: Count,
}

fn held() -> (Held, impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static) {
    let (sender, stages) = mpsc::unbounded_channel();
    let (gate, count) = (Arc::new(Semaphore::new(0)), Count::default());
    let held = Held { stages, gate: Arc::clone(&gate), count: count.clone() };
    let routes = move |config: &mut ServiceConfig| {
        config.default_service(web::to(move |_: Bytes| {
            let (stages, gate, count) = (sender.clone(), Arc::clone(&gate), count.clone());
            async move {
                let mut watch = Watch { stages, is_over: false };
                watch.stages.send(Stage::Began).unwrap();
                gate.acquire().await.unwrap().forget();
                watch.is_over = true;
                HttpResponse::Created().body(format!("order {}", count.add()))
            }
        }));
    };
    (held, routes)
}

/// Sends a request and breaks its connection as soon as `is_time`.
async fn leave(addr: std::net::SocketAddr, request: &str, is_time: impl Future<Output = ()>) {
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    is_time.await;
    client.set_zero_linger().unwrap();
}

// covers: L6
#[actix_web::test]
async fn a_caller_that_leaves_while_its_effect_runs_stops_nothing() {
    let (world, (mut held, routes)) = (World::start().await, held());
    let addr = world.serve(Policy::middleware(), routes).addr;
    let began = async { assert_eq!(held.stages.recv().await, Some(Stage::Began)) };
    leave(addr, &post("k", "a"), began).await;
    held.gate.add_permits(1);
    assert_eq!(held.stages.recv().await, Some(Stage::Ended));
    assert_eq!(ask(addr, &post("k", "a")).await, replayed(0, "order 1"));
    assert_eq!(held.count.get(), 1);
}

// covers: L6 S6
#[actix_web::test]
async fn a_caller_that_leaves_within_its_body_leaves_nothing() {
    let (world, (mut held, routes)) = (World::start().await, held());
    let addr = world.serve(Policy::middleware(), routes).addr;
    for half in ["", "a"] {
        let request = post("k", "ab");
        leave(addr, &format!("{}{half}", request.strip_suffix("ab").unwrap()), async {}).await;
    }
    held.gate.add_permits(1);
    assert_eq!(ask(addr, &post("k", "ab")).await, committed("order 1"));
    assert_eq!(held.stages.recv().await, Some(Stage::Began));
    assert_eq!((held.count.get(), world.records().await), (1, 1));
}

// covers: K3
#[actix_web::test]
async fn an_unguarded_handler_ends_with_its_caller_as_without_the_middleware() {
    let (world, (mut held, routes)) = (World::start().await, held());
    let addr = world.serve(Policy::middleware(), routes).addr;
    let began = async { assert_eq!(held.stages.recv().await, Some(Stage::Began)) };
    leave(addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", began).await;
    assert_eq!(held.stages.recv().await, Some(Stage::Dropped));
}

// covers: O5
#[actix_web::test]
async fn a_handler_that_panics_is_doubted_or_answered_500_and_not_asked_again() {
    for (on_panic, expected) in [(OnPanic::Doubt, "409\n"), (OnPanic::Final, "500\n")] {
        for at_once in [true, false] {
            let (world, count) = (World::start().await, Count::default());
            let counted = count.clone();
            let policy = Policy { on_panic, ..Policy::middleware() };
            let server = world.serve(policy, move |config| {
                config.default_service(web::to(move |_: Bytes| {
                    counted.add();
                    assert!(!at_once, "the handler's own");
                    async { panic!("the handler's own") as HttpResponse }
                }));
            });
            let addr = server.addr;
            for _ in 0..2 {
                let answer = ask(addr, &post("k", "a")).await;
                assert!(answer.starts_with(expected), "{on_panic:?}, at once {at_once}: {answer}");
            }
            assert_eq!(count.get(), 1, "{on_panic:?}, at once {at_once}");
        }
    }
}

// covers: O5
#[actix_web::test]
async fn an_answer_whose_body_panics_is_doubted() {
    let (world, count) = (World::start().await, Count::default());
    let site = count.site(|_| {
        let panicking = |_: Bytes| -> Result<Bytes, std::io::Error> { panic!("the body's own") };
        response(201, &[]).streaming(stream::iter([Bytes::from_static(b"a")]).map(panicking))
    });
    let addr = world.serve(Policy::middleware(), site).addr;
    for _ in 0..2 {
        assert_eq!(problem(addr, &post("k", "a")).await, "409 outcome-unknown");
    }
    assert_eq!(count.get(), 1);
}

// covers: L1 W1
#[actix_web::test]
async fn fifty_callers_at_once_share_one_effect() {
    let (world, (mut held, routes)) = (World::start().await, held());
    let addr = world.serve(Policy::middleware(), routes).addr;
    let asked: Vec<_> =
        (0..50).map(|_| actix_web::rt::spawn(async move { ask(addr, &post("k", "a")).await })).collect();
    assert_eq!(held.stages.recv().await, Some(Stage::Began));
    held.gate.add_permits(50);
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.unwrap());
    }
    answers.sort();
    let mut expected = vec![replayed(0, "order 1"); 49];
    expected.push(committed("order 1"));
    expected.sort();
    assert_eq!(answers, expected);
    assert_eq!(held.count.get(), 1);
}

// covers: L6 O5
#[actix_web::test]
async fn a_worker_that_stops_leaves_doubt_at_once() {
    let (world, (mut held, routes)) = (World::start().await, held());
    let stopping = world.serve(Policy::middleware(), routes);
    let began = async { assert_eq!(held.stages.recv().await, Some(Stage::Began)) };
    leave(stopping.addr, &post("k", "a"), began).await;
    ServerHandle::stop(&stopping.handle, false).await;
    assert_eq!(held.stages.recv().await, Some(Stage::Dropped));

    let again = Count::default();
    let addr = world.serve(Policy::middleware(), again.site(|_| response(201, &[]).finish())).addr;
    assert_eq!(problem(addr, &post("k", "a")).await, "409 outcome-unknown");
    // What is left is what came to an end: nothing waits for a lease to lapse.
    let report = world.engine.drain(Duration::from_secs(5)).await;
    assert_eq!((report.stopped, again.get()), (0, 0));
}

// covers: L6
#[actix_web::test]
async fn draining_ends_what_still_runs_and_tells_its_caller() {
    let (world, (mut held, routes)) = (World::start().await, held());
    let addr = world.serve(Policy::middleware(), routes).addr;
    let asking = actix_web::rt::spawn(async move { problem(addr, &post("k", "a")).await });
    assert_eq!(held.stages.recv().await, Some(Stage::Began));
    let report = world.engine.drain(Duration::ZERO).await;
    assert_eq!((report.finished, report.stopped), (0, 1));
    assert_eq!(held.stages.recv().await, Some(Stage::Dropped));
    assert_eq!(asking.await.unwrap(), "409 outcome-unknown");
}

// covers: L3
#[actix_web::test]
async fn a_handler_that_blocks_its_worker_loses_no_lease() {
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    let policy = Policy { lease: Duration::from_millis(300), ..Policy::middleware() };
    let engine = engine(Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)))).await;
    let server = serve(once(engine, Keyed::by(policy)), move |config| {
        config.default_service(web::to(move |_: Bytes| {
            // waits: for three leases to lapse on the store's real clock.
            std::thread::sleep(Duration::from_millis(900));
            *counted.lock().unwrap() += 1;
            async { HttpResponse::Created().body("ordered") }
        }));
    });
    assert_eq!(ask(server.addr, &post("k", "a")).await, committed("ordered"));
    assert_eq!(*count.lock().unwrap(), 1);
}
