//! What passes the gateway, and within which limits.

use std::time::Duration;

use onceward_proxy::{
    gateway::{GatewayConfig, Times, TrustedProxies},
    limits::Limits,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::timeout,
};

use super::{
    both_ways::WAYS,
    kit::{DEADLINE, Running, Scripted, before, read_head, read_message, rules, say},
    recorder::Recorder,
};

fn get(fields: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n")
}

// covers: S6
#[tokio::test]
async fn the_service_is_told_who_asks_and_nothing_that_the_client_made_up() {
    for way in WAYS {
        // Only on the way through the server is there anything to be said of the hop.
        let hop = if way.is_empty() { "" } else { "Keep-Alive: timeout=5\r\nTE: trailers\r\n" };
        let fields = format!(
            "X-Forwarded-For: 198.51.100.9\r\nX_Forwarded_For: 198.51.100.9\r\nForwarded: for=198.51.100.9\r\n\
             X-Forwarded-Proto: https\r\n{hop}Via: 1.1 fred\r\nX-Mine: yes\r\n{way}"
        );
        told_who_asks(&get(&fields), !hop.is_empty()).await;
    }
}

async fn told_who_asks(request: &str, takes_trailers: bool) {
    let service = Recorder::open().await;
    Running::start(&[&service.url()]).await.ask(request).await;
    let heard = &service.heard()[0];
    let mut told: Vec<_> = heard.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    told.sort();
    let mut expected = vec![
        "forwarded: for=127.0.0.1;host=\"shop.example\";proto=http",
        "host: shop.example",
        "via: 1.1 fred, 1.1 onceward",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: shop.example",
        "x-forwarded-proto: http",
        "x-mine: yes",
    ];
    if takes_trailers {
        expected.extend(["connection: TE", "content-length: 0", "te: trailers"]);
        expected.sort_unstable();
    }
    assert_eq!(told, expected);

    service.forget();
    let trusting = GatewayConfig {
        trusted_proxies: TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]),
        upstream_host: Some("inside.example".parse().unwrap()),
        ..before(&[&service.url()])
    };
    Running::start_with(trusting, rules()).await.ask(request).await;
    let heard = &service.heard()[0];
    assert_eq!(heard.host, "inside.example");
    assert_eq!(heard.all("x-forwarded-host"), ["shop.example"]);
    assert_eq!(heard.all("x-forwarded-for"), ["198.51.100.9, 127.0.0.1"]);
    assert_eq!(heard.all("x-forwarded-proto"), ["https"]);
    assert_eq!(heard.all("forwarded"), ["for=198.51.100.9, for=127.0.0.1;host=\"shop.example\";proto=http"]);
    assert_eq!(heard.all("x_forwarded_for"), Vec::<&str>::new());
}

// covers: B6
#[tokio::test]
async fn websockets_pass() {
    let service = Scripted::open(|_, mut socket| async move {
        let asked = read_head(&mut socket).await.to_ascii_lowercase();
        assert!(asked.contains("upgrade: websocket") && asked.contains("connection: upgrade"), "{asked}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        socket.write_all(answer.as_bytes()).await.unwrap();
        let mut bytes = [0; 4];
        socket.read_exact(&mut bytes).await.unwrap();
        bytes.reverse();
        socket.write_all(&bytes).await.unwrap();
    })
    .await;
    let gateway = Running::start(&[&service.url()]).await;
    let mut client = gateway.dial().await;
    let request =
        "GET /ws HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    client.write_all(b"\x00\x01\n\xff").await.unwrap();
    let mut echo = [0; 4];
    timeout(DEADLINE, client.read_exact(&mut echo)).await.unwrap().unwrap();
    assert_eq!(&echo, b"\xff\n\x01\x00");
}

// covers: B6, O8
#[tokio::test]
async fn events_pass_as_they_come() {
    let (go_on, going) = watch::channel(false);
    let service = Scripted::open(move |_, mut socket| {
        let mut going = going.clone();
        async move {
            read_head(&mut socket).await;
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            socket.write_all(format!("{head}8\r\ndata: 1\n\r\n").as_bytes()).await.unwrap();
            going.wait_for(|going| *going).await.unwrap();
            socket.write_all(b"8\r\ndata: 2\n\r\n0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let gateway = Running::start(&[&service.url()]).await;
    let mut client = gateway.dial().await;
    client.write_all(get("Accept: text/event-stream\r\n").as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.contains("text/event-stream"));
    let mut first = [0; 13];
    timeout(DEADLINE, client.read_exact(&mut first)).await.expect("the first event is held back").unwrap();
    assert_eq!(&first, b"8\r\ndata: 1\n\r\n");
    go_on.send_replace(true);
    let mut rest = String::new();
    timeout(DEADLINE, client.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, "8\r\ndata: 2\n\r\n0\r\n\r\n");
}

// covers: B6
#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_go_on_and_trailers_pass() {
    let service = Scripted::open(|_, mut socket| async move {
        let asked = read_head(&mut socket).await.to_ascii_lowercase();
        assert!(!asked.contains("expect:"), "{asked}");
        let mut body = [0; 3 + 2 + 3];
        socket.read_exact(&mut body).await.unwrap();
        let answer = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n";
        socket.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let gateway = Running::start(&[&service.url()]).await;
    let mut client = gateway.dial().await;
    let head = "PUT /a HTTP/1.1\r\nHost: shop.example\r\nExpect: 100-continue\r\nTE: trailers\r\n\
                Transfer-Encoding: chunked\r\nConnection: TE, close\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_head(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"3\r\nabc\r\n0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(DEADLINE, client.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.to_ascii_lowercase().ends_with("1\r\na\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
}

// covers: B6, S1
#[tokio::test]
async fn a_large_upload_waits_for_a_service_that_does_not_read() {
    const BODY_BYTES: usize = 64 * 1024 * 1024;
    let (go_on, going) = watch::channel(false);
    let service = Scripted::open(move |_, mut socket| {
        let mut going = going.clone();
        async move {
            read_head(&mut socket).await;
            going.wait_for(|going| *going).await.unwrap();
            let mut body = (&mut socket).take(BODY_BYTES as u64);
            let count = tokio::io::copy(&mut body, &mut tokio::io::sink()).await.unwrap();
            say(&mut socket, 200, "", &count.to_string()).await;
        }
    })
    .await;
    let gateway = Running::start(&[&service.url()]).await;
    let (mut reader, mut writer) = gateway.dial().await.into_split();
    let head = format!(
        "PUT /a HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    );
    let mut sending = tokio::spawn(async move {
        writer.write_all(head.as_bytes()).await.unwrap();
        writer.write_all(&vec![7; BODY_BYTES]).await.unwrap();
        writer
    });
    // waits: nobody says that a writer is held up; unheld, 64 MiB take a fraction of this on loopback.
    assert!(timeout(Duration::from_secs(1), &mut sending).await.is_err(), "the gateway has taken it all in");
    go_on.send_replace(true);
    let _writer = timeout(DEADLINE, sending).await.unwrap().unwrap();
    let mut answer = String::new();
    timeout(DEADLINE, reader.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.ends_with(&format!("\r\n\r\n{BODY_BYTES}")), "{answer}");
}

// covers: S1
#[tokio::test]
async fn a_service_that_says_nothing_or_stops_in_the_middle_is_given_up() {
    let service = Scripted::open(|_, mut socket| async move {
        let asked = read_head(&mut socket).await;
        if asked.starts_with("GET /half") {
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
        }
        std::future::pending().await
    })
    .await;
    let short = Duration::from_millis(200);
    let times = Times { response_head: short, body_idle: short, ..Times::default() };
    let gateway = Running::start_with(GatewayConfig { times, ..before(&[&service.url()]) }, rules()).await;
    for way in WAYS {
        assert_eq!(gateway.ask(&get(way)).await.status, 504, "{way}");
        let half = gateway.ask(&get(way).replace("/a", "/half")).await;
        assert_eq!((half.status, &*half.body), (200, "half"), "cut, so that nobody takes it for whole");
    }

    let whole = Times { whole: short, ..Times::default() };
    let gateway =
        Running::start_with(GatewayConfig { times: whole, ..before(&[&service.url()]) }, rules()).await;
    for way in WAYS {
        assert_eq!(gateway.ask(&get(way)).await.status, 504, "{way}");
        assert_eq!(gateway.ask(&get(way).replace("/a", "/half")).await.body, "half", "{way}");
    }
}

// covers: S1
#[tokio::test]
async fn connections_past_the_limit_are_told_so() {
    let service = Recorder::open().await;
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let gateway = Running::start_with(GatewayConfig { limits, ..before(&[&service.url()]) }, rules()).await;
    let mut first = gateway.dial().await;
    first.write_all(get("").replace("Connection: close\r\n", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut first).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(gateway.ask("").await.status, 503);
}

// covers: L6
#[tokio::test]
async fn a_shutdown_lets_requests_end() {
    let (arrived, mut arrivals) = watch::channel(false);
    let (go_on, going) = watch::channel(false);
    let service = Scripted::open(move |_, mut socket| {
        let (arrived, mut going) = (arrived.clone(), going.clone());
        async move {
            read_message(&mut socket).await;
            arrived.send_replace(true);
            going.wait_for(|going| *going).await.unwrap();
            say(&mut socket, 200, "", "done").await;
        }
    })
    .await;
    let gateway = Running::start(&[&service.url()]).await;
    let mut client = gateway.dial().await;
    client.write_all(get("").replace("Connection: close\r\n", "").as_bytes()).await.unwrap();
    arrivals.wait_for(|arrived| *arrived).await.unwrap();
    let shutdown = gateway.shutdown.clone();
    let ended = gateway.stop();
    let answered = async {
        shutdown.cancelled().await;
        go_on.send_replace(true);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (report, answer) = tokio::join!(ended, answered);
    assert_eq!((report.connections_cut, report.tunnels_cut), (0, 0));
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("done"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}
