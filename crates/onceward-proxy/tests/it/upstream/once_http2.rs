//! Guarded requests to HTTP/2 origins, in raw frames (RFC 9113 section 6).

use super::*;

use onceward_proxy::upstream::{Protocol, UpstreamPeer};
use tokio_rustls::server::TlsStream;

const HEADERS: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// HEADERS on stream 1 with END_HEADERS: `:status: 200`, the eighth entry of HPACK's static table.
const STATUS_200: &[u8] = &[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88];
/// The same with END_STREAM, `:status: 204` being the ninth.
const STATUS_204_END: &[u8] = &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x89];
/// `:status: 103`, a literal with the name of the eighth entry.
const STATUS_103: &[u8] = &[0, 0, 5, 1, 4, 0, 0, 0, 1, 0x08, 3, b'1', b'0', b'3'];
const DATA: &[u8] = &[0, 0, 4, 0, 0, 0, 0, 0, 1, b'h', b'a', b'l', b'f'];
const DATA_END: &[u8] = &[0, 0, 4, 0, 1, 0, 0, 0, 1, b'b', b'o', b'd', b'y'];

fn reset(code: u8) -> Vec<u8> {
    vec![0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, code]
}

fn go_away(last_stream: u32, code: u8) -> Vec<u8> {
    [&[0, 0, 8, 7, 0, 0, 0, 0, 0][..], &last_stream.to_be_bytes(), &[0, 0, 0, code]].concat()
}

/// What the origin does after its answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Close,
    Stay,
}

struct Http2Site {
    site: Site,
    requests: Arc<AtomicUsize>,
}

impl Http2Site {
    /// Answers the first request of each connection with raw frames, once all of it is read.
    async fn open(frames: Vec<u8>, then: Then) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let acceptor = Identity::new().acceptor(&["h2"]);
        let site = Site::open(move |socket| {
            let (acceptor, frames, counted) = (acceptor.clone(), frames.clone(), Arc::clone(&counted));
            async move {
                let mut io = acceptor.accept(socket).await?;
                io.read_exact(&mut [0; 24]).await?;
                io.write_all(SETTINGS).await?;
                read_request(&mut io, &counted).await?;
                io.write_all(&frames).await?;
                io.flush().await?;
                match then {
                    Then::Close => io.shutdown().await,
                    // A second request would be counted.
                    Then::Stay => loop {
                        read_request(&mut io, &counted).await?;
                    },
                }
            }
        })
        .await;
        Self { site, requests }
    }

    fn uri(&self) -> String {
        format!("https://{}/order", self.site.address)
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Reads frames up to the end of a request, counting the heads of requests.
async fn read_request(io: &mut TlsStream<TcpStream>, requests: &AtomicUsize) -> io::Result<()> {
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await?;
        let [l0, l1, l2, kind, flags, stream @ ..] = head;
        let payload_bytes = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        io.read_exact(&mut vec![0; payload_bytes]).await?;
        if kind == HEADERS {
            requests.fetch_add(1, Ordering::SeqCst);
        }
        if u32::from_be_bytes(stream) > 0 && kind <= HEADERS && flags & END_STREAM > 0 {
            return Ok(());
        }
    }
}

// covers: L5, B3
#[tokio::test]
async fn what_the_origin_says_of_the_stream_decides_what_is_proven() {
    let refused = Evidence::Untouched(Untouched::StreamRefused);
    let below = Evidence::Untouched(Untouched::GoAwayBelow);
    let broke = Evidence::Unknown(Unknown::BrokeAfterSend);
    let was_reset = |code| Evidence::Unknown(Unknown::StreamReset { code });
    let cases = [
        ("REFUSED_STREAM", reset(7), Then::Stay, refused),
        ("REFUSED_STREAM and close", reset(7), Then::Close, refused),
        ("GOAWAY below", go_away(0, 0), Then::Stay, below),
        ("GOAWAY below with an error, and close", go_away(0, 2), Then::Close, below),
        ("GOAWAY for all, then below", [go_away(0x7fff_ffff, 0), go_away(0, 0)].concat(), Then::Close, below),
        ("GOAWAY that covers, and close", go_away(1, 0), Then::Close, broke),
        ("GOAWAY for all, and close", go_away(0x7fff_ffff, 0), Then::Close, broke),
        ("GOAWAY that covers with an error", go_away(1, 2), Then::Close, broke),
        ("INTERNAL_ERROR", reset(2), Then::Stay, was_reset(2)),
        ("CANCEL", reset(8), Then::Stay, was_reset(8)),
        ("NO_ERROR", reset(0), Then::Stay, was_reset(0)),
        ("an answer begun, then REFUSED_STREAM", [STATUS_103, &reset(7)].concat(), Then::Stay, was_reset(7)),
        ("an answer begun, then GOAWAY below", [STATUS_103, &go_away(0, 0)].concat(), Then::Close, broke),
        ("close", Vec::new(), Then::Close, broke),
    ];
    for (name, frames, then, expected) in cases {
        let site = Http2Site::open(frames, then).await;
        assert_eq!(evidence(&upstream(), &site.uri()).await, expected, "{name}");
        assert_eq!((site.site.connections(), site.requests()), (1, 1), "{name}");
    }
}

// covers: O4
#[tokio::test]
async fn a_body_ends_only_where_the_origin_ends_it() {
    let cases = [
        ("END_STREAM", DATA_END.to_vec(), Then::Stay, Some("body")),
        ("END_STREAM and NO_ERROR", [DATA_END, &reset(0)].concat(), Then::Stay, Some("body")),
        ("END_STREAM and close", DATA_END.to_vec(), Then::Close, Some("body")),
        ("NO_ERROR before the end", [DATA, &reset(0)].concat(), Then::Stay, None),
        ("CANCEL before the end", [DATA, &reset(8)].concat(), Then::Stay, None),
        ("close before the end", DATA.to_vec(), Then::Close, None),
        ("GOAWAY and close before the end", [DATA, &go_away(1, 0)].concat(), Then::Close, None),
        ("NO_ERROR before the first byte", reset(0), Then::Stay, None),
    ];
    for (name, frames, then, expected) in cases {
        let site = Http2Site::open([STATUS_200, &frames].concat(), then).await;
        let response = send_once(&upstream(), &site.uri()).await.unwrap();
        assert!(response.body().is_delimited());
        let body = response.into_body().collect().await.ok().map(|body| body.to_bytes());
        assert_eq!(body.as_deref(), expected.map(str::as_bytes), "{name}");
    }
}

// covers: B6
#[tokio::test]
async fn a_response_over_http2_names_its_peer() {
    let site = Http2Site::open(STATUS_204_END.to_vec(), Then::Stay).await;
    let response = send_once(&upstream(), &site.uri()).await.unwrap();
    let peer = UpstreamPeer { protocol: Protocol::Http2, remote: site.site.address, via_proxy: false };
    assert_eq!(response.extensions().get(), Some(&peer));
}

// covers: L12
#[tokio::test]
async fn the_deadline_leaves_doubt() {
    let site = Http2Site::open(STATUS_103.to_vec(), Then::Stay).await;
    let (target, requests) = (site.uri(), Arc::clone(&site.requests));
    let sending = tokio::spawn(async move { evidence(&upstream(), &target).await });
    while requests.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::advance(DEADLINE).await;
    assert_eq!(sending.await.unwrap(), Evidence::Unknown(Unknown::TimedOut));
}
