//! Origins that follow a script, byte by byte, and note what they are asked.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// Longer than anything on loopback takes, short enough to end a test that hangs.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// A site on loopback; it ends with the test.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    scheme: &'static str,
    log: Arc<Log>,
    _task: JoinSet<()>,
}

struct Log {
    connections: watch::Sender<usize>,
    requests: watch::Sender<usize>,
    heard: Mutex<Vec<String>>,
}

impl Log {
    /// Notes a request; its number, from 1.
    fn note(&self, request: String) -> usize {
        self.heard.lock().unwrap().push(request);
        self.requests.send_modify(|count| *count += 1);
        *self.requests.borrow()
    }
}

/// What an origin does about a request.
pub(super) enum Reply {
    /// Answers, and waits for the next request.
    Say(String),
    /// Answers, in whole or in part, and closes.
    Leave(String),
}

/// `HTTP/1.1 <status>` with these further field lines and this content.
pub(super) fn say(status: u16, lines: &str, content: &str) -> Reply {
    Reply::Say(format!("HTTP/1.1 {status} X\r\n{lines}Content-Length: {}\r\n\r\n{content}", content.len()))
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Origin {
    /// A site that answers request number `n`, of all its connections, with `reply(n, request)`.
    pub(super) async fn http<F>(reply: impl Fn(usize, String) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        Self::open("http", None, move |io, log| talk(io, log, reply.clone())).await
    }

    /// The same over TLS.
    pub(super) async fn https<F>(reply: impl Fn(usize, String) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        Self::open("https", Some(acceptor("http/1.1")), move |io, log| talk(io, log, reply.clone())).await
    }

    /// An HTTP/2 site that answers the request of its connection number `n` with the raw frames `script[n]`, the last of them
    /// again and again.
    pub(super) async fn http2(script: Vec<Frames>) -> Self {
        let script = Arc::new(script);
        Self::open("https", Some(acceptor("h2")), move |io, log| {
            let script = Arc::clone(&script);
            async move {
                let connection = *log.connections.borrow();
                frames(io, &log, &script[connection.min(script.len()) - 1]).await
            }
        })
        .await
    }

    async fn open<F>(
        scheme: &'static str,
        acceptor: Option<TlsAcceptor>,
        talk: impl Fn(Box<dyn Io>, Arc<Log>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log {
            connections: watch::Sender::new(0),
            requests: watch::Sender::new(0),
            heard: Mutex::default(),
        });
        let shared = Arc::clone(&log);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut talks = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (acceptor, log, talk) = (acceptor.clone(), Arc::clone(&shared), talk.clone());
                log.connections.send_modify(|count| *count += 1);
                talks.spawn(async move {
                    let io: Box<dyn Io> = match acceptor {
                        None => Box::new(socket),
                        Some(acceptor) => Box::new(acceptor.accept(socket).await?),
                    };
                    talk(io, log).await
                });
            }
        });
        Self { address, scheme, log, _task: task }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub(super) fn connections(&self) -> usize {
        *self.log.connections.borrow()
    }

    pub(super) fn requests(&self) -> usize {
        *self.log.requests.borrow()
    }

    /// Completes when so many requests have arrived.
    pub(super) async fn asked(&self, count: usize) {
        let mut requests = self.log.requests.subscribe();
        let arrived = requests.wait_for(|requests| *requests >= count);
        tokio::time::timeout(DEADLINE, arrived).await.expect("the origin was not asked").unwrap();
    }

    /// Every request as it came, with the origin's address as `ORIGIN`.
    pub(super) fn heard(&self) -> Vec<String> {
        let heard = self.log.heard.lock().unwrap();
        heard.iter().map(|request| request.replace(&self.address.to_string(), "ORIGIN")).collect()
    }
}

fn acceptor(protocol: &str) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn talk<F>(mut io: Box<dyn Io>, log: Arc<Log>, reply: impl Fn(usize, String) -> F) -> io::Result<()>
where
    F: Future<Output = Reply> + Send + 'static,
{
    while let Some(request) = read_message(&mut io).await? {
        let number = log.note(request.clone());
        match reply(number, request).await {
            Reply::Say(text) => io.write_all(text.as_bytes()).await?,
            Reply::Leave(text) => {
                io.write_all(text.as_bytes()).await?;
                return io.shutdown().await;
            }
        }
    }
    Ok(())
}

/// Reads one HTTP/1.1 message, sized or chunked, as it stands; `None` at the end of the connection.
pub(super) async fn read_message(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<String>> {
    let mut message = Vec::new();
    while !message.ends_with(b"\r\n\r\n") {
        match io.read_u8().await {
            Ok(byte) => message.push(byte),
            Err(error) if message.is_empty() && error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
    let head = String::from_utf8(message.clone()).unwrap().to_ascii_lowercase();
    if head.contains("\r\ntransfer-encoding: chunked\r\n") {
        // The last chunk, its trailers, and the empty line; no content of the tests looks like that.
        let begin = message.len();
        while !(message[begin..].ends_with(b"\r\n\r\n") && contains_last_chunk(&message[begin..])) {
            message.push(io.read_u8().await?);
        }
    } else {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        io.read_exact(&mut body).await?;
        message.extend(body);
    }
    Ok(Some(String::from_utf8(message).unwrap()))
}

fn contains_last_chunk(body: &[u8]) -> bool {
    body.starts_with(b"0\r\n") || body.windows(5).any(|window| window == b"\r\n0\r\n")
}

/// What an HTTP/2 origin writes after it has read a request (RFC 9113, section 6).
#[derive(Clone)]
pub(super) struct Frames {
    pub(super) bytes: Vec<u8>,
    pub(super) closes: bool,
}

impl Frames {
    /// `RST_STREAM` of stream 1.
    pub(super) fn reset(code: u8) -> Self {
        Self { bytes: vec![0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, code], closes: false }
    }

    /// `GOAWAY`, and the end of the connection.
    pub(super) fn go_away(last_stream: u8) -> Self {
        Self { bytes: vec![0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last_stream, 0, 0, 0, 0], closes: true }
    }

    /// `HEADERS` on stream 1 with `END_STREAM` and `:status: 204`, the ninth entry of HPACK's static table.
    pub(super) fn no_content() -> Self {
        Self { bytes: vec![0, 0, 1, 1, 5, 0, 0, 0, 1, 0x89], closes: false }
    }

    /// The end of the connection.
    pub(super) fn close() -> Self {
        Self { bytes: Vec::new(), closes: true }
    }
}

const HEADERS: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

async fn frames(mut io: Box<dyn Io>, log: &Log, answer: &Frames) -> io::Result<()> {
    // The client's connection preface.
    io.read_exact(&mut [0; 24]).await?;
    io.write_all(SETTINGS).await?;
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await?;
        let [l0, l1, l2, kind, flags, stream @ ..] = head;
        io.read_exact(&mut vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize]).await?;
        if kind == HEADERS {
            log.note("HEADERS".to_owned());
        }
        if u32::from_be_bytes(stream) > 0 && kind <= HEADERS && flags & END_STREAM > 0 {
            io.write_all(&answer.bytes).await?;
            io.flush().await?;
            if answer.closes {
                return io.shutdown().await;
            }
        }
    }
}
