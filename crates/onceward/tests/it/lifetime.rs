//! From a store's name to a stopped service.

use std::{
    convert::Infallible,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use onceward::{DrainReport, Onceward, Profile, RequestBody, Setup, SetupError};
use tokio::sync::Notify;
use tower::{Layer, ServiceExt, service_fn};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn keyed(key: &str) -> Request<Full<Bytes>> {
    Request::post("/transfer").header("idempotency-key", key).body(Full::new(Bytes::from("25.00"))).unwrap()
}

/// Sends one keyed request to a handler that numbers its executions; returns what it said.
async fn transfer(once: &Onceward, executions: &Arc<AtomicUsize>, key: &str) -> String {
    let executions = Arc::clone(executions);
    let handler = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let number = executions.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(format!("transfer {number}"))))) }
    });
    let answer = once.layer(Profile::onceward()).layer(handler).oneshot(keyed(key)).await.unwrap();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(text.to_vec()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_file_remembers_across_starts_under_the_secret_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("once.db");
    let setup = Setup::at(&format!("sqlite:{}", file.display())).unwrap();
    let executions = Arc::default();

    let once = setup.clone().start().await.unwrap();
    assert_eq!(transfer(&once, &executions, "t-1").await, "transfer 1");
    assert_eq!(once.close(PATIENCE).await, DrainReport { finished: 0, stopped: 0 });
    drop(once);

    let once = setup.clone().start().await.unwrap();
    assert_eq!(transfer(&once, &executions, "t-1").await, "transfer 1");
    assert_eq!(transfer(&once, &executions, "t-2").await, "transfer 2");
    // The self-tests of both starts are records, too.
    let looked_at = setup.open_read_only().unwrap().unwrap();
    assert_eq!(looked_at.stats().await.unwrap().records, [0, 0, 4, 0, 0]);
    drop(looked_at);
    once.close(PATIENCE).await;
    drop(once);

    let secret = folder.path().join("once.db.secret");
    assert_eq!((mode(&file), mode(&secret)), (0o600, 0o600));
    fs::remove_file(secret).unwrap();
    let lost = setup.start().await.unwrap_err();
    assert!(matches!(lost, SetupError::Sqlite(_)), "another secret finds nothing: {lost}");
}

#[tokio::test]
async fn a_named_secret_is_the_only_one() {
    let folder = tempfile::tempdir().unwrap();
    let secret_file = folder.path().join("shop.secret");
    let setup = Setup {
        secret_file: Some(secret_file.clone()),
        ..Setup::at(&format!("sqlite:{}", folder.path().join("once.db").display())).unwrap()
    };
    setup.clone().start().await.unwrap().close(PATIENCE).await;
    assert!(secret_file.exists());
    assert!(!folder.path().join("once.db.secret").exists());

    fs::set_permissions(&secret_file, Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(setup.start().await.unwrap_err(), SetupError::Secret(_)));
}

#[tokio::test]
async fn memory_forgets_and_leaves_nothing() {
    let setup = Setup::at("memory:").unwrap();
    let executions = Arc::default();
    for expected in ["transfer 1", "transfer 2"] {
        let once = setup.clone().start().await.unwrap();
        assert_eq!(transfer(&once, &executions, "t-1").await, expected);
        assert_eq!(transfer(&once, &executions, "t-1").await, expected);
        once.close(PATIENCE).await;
    }
    assert!(setup.open_read_only().unwrap().is_none());
}

// covers: L6
#[tokio::test]
async fn closing_waits_for_an_effect_whose_client_left() {
    let once = Setup::at("memory:").unwrap().start().await.unwrap();
    let (begun, may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let ended = Arc::new(AtomicUsize::new(0));
    let handler = {
        let (begun, may_end, ended) = (Arc::clone(&begun), Arc::clone(&may_end), Arc::clone(&ended));
        service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
            let (begun, may_end, ended) = (Arc::clone(&begun), Arc::clone(&may_end), Arc::clone(&ended));
            async move {
                begun.notify_one();
                may_end.notified().await;
                ended.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
            }
        })
    };
    let asking = tokio::spawn(once.layer(Profile::onceward()).layer(handler).oneshot(keyed("t-1")));
    begun.notified().await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());

    let closing = tokio::spawn({
        let once = once.clone();
        async move { once.close(PATIENCE).await }
    });
    while !once.engine().is_closing() {
        tokio::task::yield_now().await;
    }
    may_end.notify_one();
    assert_eq!(closing.await.unwrap(), DrainReport { finished: 1, stopped: 0 });
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}
