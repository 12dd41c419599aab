//! HTTP/2 heads with two readings, as raw frames (S6; RFC 9113, sections 8.2 and 8.3).

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    kit::{DEADLINE, Running},
    recorder::Recorder,
};

/// What the gateway says on the stream of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// 200.
    Good,
    /// 400.
    Bad,
    /// `RST_STREAM` or `GOAWAY`: no request at all.
    Reset,
}

/// A name, the fields of a request, and what is said to them.
type Case = (&'static str, Vec<(&'static str, &'static str)>, Said);

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM_AND_HEADERS: u8 = 5;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Literal fields without indexing (RFC 7541, section 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

async fn ask(gateway: &Running, fields: &[(&str, &str)]) -> Said {
    let mut client = gateway.dial().await;
    let hello = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS, 0, 0, &[])].concat();
    let request = frame(HEADERS, END_STREAM_AND_HEADERS, 1, &block(fields));
    client.write_all(&[hello, request].concat()).await.unwrap();
    let said = async {
        loop {
            let mut head = [0; 9];
            client.read_exact(&mut head).await?;
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            client.read_exact(&mut payload).await?;
            // A status of the static table comes first (RFC 7541, appendix A: 8 is 200, 12 is 400).
            match (head[3], payload.first()) {
                (HEADERS, Some(0x88)) => return Ok::<_, io::Error>(Said::Good),
                (HEADERS, Some(0x8c)) => return Ok(Said::Bad),
                (RST_STREAM | GOAWAY, _) => return Ok(Said::Reset),
                (HEADERS, first) => panic!("another status: {first:?}"),
                _ => {}
            }
        }
    };
    timeout(DEADLINE, said).await.expect("nothing is said").unwrap()
}

// covers: S6
#[tokio::test]
async fn frames_with_two_readings_go_no_further() {
    const METHOD: (&str, &str) = (":method", "POST");
    const SCHEME: (&str, &str) = (":scheme", "http");
    const PATH: (&str, &str) = (":path", "/a");
    const AUTHORITY: (&str, &str) = (":authority", "shop.example");
    let whole = [METHOD, SCHEME, PATH, AUTHORITY];
    let with = |field| [whole.as_slice(), &[field]].concat();
    let cases: [Case; 29] = [
        ("a plain request", whole.to_vec(), Said::Good),
        ("a host that is the authority", with(("host", "shop.example")), Said::Good),
        ("a host alone", vec![METHOD, SCHEME, PATH, ("host", "shop.example")], Said::Good),
        ("tls ended before us", vec![METHOD, (":scheme", "https"), PATH, AUTHORITY], Said::Good),
        ("another host", with(("host", "evil.example")), Said::Bad),
        ("two hosts", [whole.as_slice(), &[("host", "shop.example"); 2]].concat(), Said::Bad),
        ("no host", vec![METHOD, SCHEME, PATH], Said::Bad),
        ("a user in the authority", vec![METHOD, SCHEME, PATH, (":authority", "a@shop.example")], Said::Bad),
        ("a method in small letters", vec![(":method", "post"), SCHEME, PATH, AUTHORITY], Said::Bad),
        ("a length by an underscore", with(("content_length", "1")), Said::Bad),
        (
            "two credentials",
            [whole.as_slice(), &[("authorization", "a"), ("authorization", "b")]].concat(),
            Said::Bad,
        ),
        ("a tunnel", vec![(":method", "CONNECT"), (":authority", "shop.example:443")], Said::Bad),
        ("no method", vec![SCHEME, PATH, AUTHORITY], Said::Reset),
        ("no path", vec![METHOD, SCHEME, AUTHORITY], Said::Reset),
        ("an asterisk", vec![METHOD, SCHEME, (":path", "*"), AUTHORITY], Said::Bad),
        ("a query without a path", vec![METHOD, SCHEME, (":path", "?b=c"), AUTHORITY], Said::Bad),
        ("an empty path", vec![METHOD, SCHEME, (":path", ""), AUTHORITY], Said::Reset),
        ("two paths", [whole.as_slice(), &[PATH]].concat(), Said::Reset),
        (
            "a request in the path",
            vec![METHOD, SCHEME, (":path", "/a HTTP/1.1\r\nX: y"), AUTHORITY],
            Said::Reset,
        ),
        ("a pseudo field behind a field", vec![METHOD, SCHEME, AUTHORITY, ("x", "y"), PATH], Said::Reset),
        ("an unknown pseudo field", with((":x", "y")), Said::Reset),
        ("an encoding of transfer", with(("transfer-encoding", "chunked")), Said::Reset),
        ("a connection field", with(("connection", "close")), Said::Reset),
        ("te with more than trailers", with(("te", "gzip")), Said::Reset),
        ("a name in capitals", with(("X-A", "y")), Said::Reset),
        ("a name with a colon", with(("x:a", "y")), Said::Reset),
        ("a line end in a value", with(("x", "a\r\ny: b")), Said::Reset),
        ("a nul in a value", with(("x", "a\0b")), Said::Reset),
        ("a length without its body", with(("content-length", "5")), Said::Reset),
    ];
    for (name, fields, said) in cases {
        let service = Recorder::open().await;
        let gateway = Running::start(&[&service.url()]).await;
        assert_eq!(ask(&gateway, &fields).await, said, "{name}");
        let method = fields.iter().find(|(name, _)| *name == ":method").map_or("", |(_, method)| method);
        let expected = if said == Said::Good { vec![format!("{method} /a shop.example ")] } else { vec![] };
        assert_eq!(service.told(), expected, "{name}");
    }
}

// covers: S6
#[tokio::test]
async fn what_asks_for_no_more_than_the_server_is_answered_by_the_gateway() {
    let service = Recorder::open().await;
    let gateway = Running::start(&[&service.url()]).await;
    let fields =
        [(":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), (":authority", "shop.example")];
    assert_eq!(ask(&gateway, &fields).await, Said::Good);
    assert_eq!(service.told(), [""; 0]);
}
