//! gRPC calls as they are on the wire, against the example's service.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::bank;

/// A message of protobuf under the five bytes that gRPC puts before each: not compressed, its length.
fn transfer(amount: &str) -> Bytes {
    let mut message = Vec::new();
    for (tag, text) in [(0x0a, "acct_abc"), (0x12, amount), (0x1a, "USD")] {
        message.extend([tag, u8::try_from(text.len()).unwrap()]);
        message.extend(text.as_bytes());
    }
    let mut frame = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
    frame.extend(message);
    Bytes::from(frame)
}

/// What came back: the head, the bytes, and the trailers where there were some.
struct Answer {
    status: StatusCode,
    head: HeaderMap,
    bytes: Bytes,
    trailers: Option<HeaderMap>,
}

async fn call(client: &mut SendRequest<Full<Bytes>>, key: &str, amount: &str) -> Answer {
    let request = Request::post("http://bank.example/bank.v1.Bank/Transfer")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("idempotency-key", key)
        .body(Full::new(transfer(amount)))
        .unwrap();
    let (head, body) = client.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    Answer { status: head.status, head: head.headers, bytes: body.to_bytes(), trailers }
}

fn field<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a str> {
    fields.get(name).map(|value| value.to_str().unwrap())
}

// covers: O2
// covers: F6
#[tokio::test]
async fn a_replay_repeats_message_and_trailers_and_a_mismatch_is_a_status() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { assert!(stopped.await.is_ok()) };
    let asking = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);

        let first = call(&mut client, "t-1", "25.00").await;
        let ok = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        assert_eq!((first.status, first.trailers.as_ref()), (StatusCode::OK, Some(&ok)));
        assert_eq!(field(&first.head, "intent-status"), Some("committed"));
        // Field 1, four bytes: the number of the transfer.
        assert_eq!(first.bytes.get(5..11), Some(b"\x0a\x04tr_1".as_slice()));

        let replay = call(&mut client, "t-1", "25.00").await;
        assert_eq!((replay.status, replay.trailers.as_ref()), (StatusCode::OK, Some(&ok)));
        assert_eq!(replay.bytes, first.bytes);
        assert_eq!(field(&replay.head, "idempotent-replayed"), Some("true"));
        assert_eq!(field(&replay.head, "content-type"), Some("application/grpc"));

        let mismatch = call(&mut client, "t-1", "2500.00").await;
        assert_eq!((mismatch.status, mismatch.bytes.len()), (StatusCode::OK, 0));
        assert!(mismatch.trailers.is_none(), "its status stands in its head");
        // 9 is FAILED_PRECONDITION: not to be sent again as it is.
        assert_eq!(field(&mismatch.head, "grpc-status"), Some("9"));
        assert_eq!(field(&mismatch.head, "intent-status"), Some("mismatch"));
        assert_eq!(field(&mismatch.head, "onceward-problem"), Some("key-reused"));

        let other = call(&mut client, "t-2", "25.00").await;
        assert_eq!(other.bytes.get(5..11), Some(b"\x0a\x04tr_2".as_slice()), "nothing ran in between");
        drop(client);
        connection.await.unwrap().unwrap();
        stop.send(()).unwrap();
    };
    let (served, ()) = tokio::join!(bank::serve(listener, stopped), asking);
    served.unwrap();
}
