//! Fed: what a client sends on a connection, in pieces of as many bytes as the last one says.
//!
//! What must hold: whatever comes through the gate to hyper, a second reader that follows RFC 9112 by the letter reads as the same request, to
//! the last byte of its body (S6), and in other pieces it is the same, too. So is what is read the short way, without hyper. The connection
//! ends.

#![no_main]

use std::time::Duration;

use http::request::Parts;
use libfuzzer_sys::fuzz_target;
use onceward_fuzz::client;
use onceward_proxy::fuzz::{Message, messages, plain_head};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

thread_local! {
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
}

fuzz_target!(|data: &[u8]| {
    let Some((piece, input)) = data.split_last() else { return };
    let requests = passed(input, usize::from(*piece).max(1));
    let whole = passed(input, usize::MAX);
    short(input);
    let mut rest = input;
    for (place, message) in requests.iter().enumerate() {
        let expected = Expected::read(&mut rest).expect("the second reader finds a request there, too");
        expected.hold_against(message);
        // Empty lines before a head are let go one a piece, so that a head may be refused in one of the two.
        if let Some(message) = whole.get(place) {
            expected.hold_against(message);
        }
    }
});

/// A head that is read without hyper says the same that way, and has no body.
fn short(input: &[u8]) {
    let Some(end) = input.windows(4).position(|end| end == b"\r\n\r\n") else { return };
    let (own, _) = input.split_at(end + 4);
    if let Some(head) = plain_head(&own.to_vec().into()) {
        let mut rest = own;
        let expected = Expected::read(&mut rest).expect("the second reader finds a request there, too");
        expected.hold_head_against(&head, &["connection"]);
        assert_eq!((expected.body.as_deref(), rest), (Some(&[] as &[u8]), &[] as &[u8]));
    }
}

/// What reaches the service, up to a refusal.
fn passed(input: &[u8], piece: usize) -> Vec<Message> {
    let client = client(input, piece);
    // The clock stands still but for waits, so that no time limit is too short.
    let day = Duration::from_hours(24);
    let seen = RUNTIME.with(|runtime| runtime.block_on(async { timeout(day, messages(client)).await }));
    seen.expect("it ends").into_iter().map_while(Result::ok).collect()
}

/// A request by the letter of RFC 9112.
struct Expected<'a> {
    method: &'a str,
    target: &'a str,
    fields: Vec<(String, &'a [u8])>,
    /// `None` where it is not whole.
    body: Option<Vec<u8>>,
}

impl<'a> Expected<'a> {
    /// Reads one request off the front; `None` where none stands there.
    fn read(rest: &mut &'a [u8]) -> Option<Self> {
        while let Some(behind) = rest.strip_prefix(b"\r\n") {
            *rest = behind;
        }
        let request_line = str::from_utf8(line(rest)?).ok()?;
        let mut words = request_line.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some()
            || !matches!(version, "HTTP/1.1" | "HTTP/1.0")
            || !is_token(method.as_bytes())
        {
            return None;
        }
        let mut fields = Vec::new();
        loop {
            let line = line(rest)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
            let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
            let mut value = &value[1..];
            while let [blank, behind @ ..] = value
                && is_blank(blank)
            {
                value = behind;
            }
            while let [before @ .., blank] = value
                && is_blank(blank)
            {
                value = before;
            }
            if !is_token(name) || value.iter().any(|byte| *byte != b'\t' && byte.is_ascii_control()) {
                return None;
            }
            fields.push((str::from_utf8(name).ok()?.to_ascii_lowercase(), value));
        }
        let values = |sought: &str| {
            fields.iter().filter(|(name, _)| name == sought).map(|(_, value)| *value).collect::<Vec<_>>()
        };
        let body = match (values("content-length").as_slice(), values("transfer-encoding").as_slice()) {
            ([], []) => Some(Vec::new()),
            ([length], []) => {
                let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
                let length: u64 = str::from_utf8(length).ok().filter(|_| is_number)?.parse().ok()?;
                sized(rest, length)
            }
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && version == "HTTP/1.1" => {
                chunked(rest)
            }
            _ => return None,
        };
        Some(Self { method, target, fields, body })
    }

    fn hold_against(&self, message: &Message) {
        self.hold_head_against(&message.head, &[]);
        // One that broke off at the service may be whole, for what came behind it was refused with it.
        if let Some(body) = &message.body {
            assert_eq!(self.body.as_deref(), Some(&body[..]));
        }
    }

    fn hold_head_against(&self, head: &Parts, without: &[&str]) {
        assert_eq!(head.method.as_str(), self.method);
        match (self.target, head.uri.path_and_query()) {
            (target, Some(path)) if target.starts_with('/') => {
                assert_eq!((path.as_str(), head.uri.authority()), (target, None));
            }
            // Absolute: its parts are compared where it is addressed.
            (target, _) => assert!(target.contains(':') || target == "*" || head.uri.authority().is_some()),
        }
        let fields = self.fields.iter().filter(|(name, _)| !without.contains(&name.as_str()));
        assert_eq!(head.headers.len(), fields.clone().count());
        for name in head.headers.keys() {
            let own = fields.clone().filter(|(own, _)| own == name.as_str()).map(|(_, value)| *value);
            assert!(head.headers.get_all(name).iter().map(|value| value.as_bytes()).eq(own), "{name}");
        }
    }
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// A line and its CR LF off the front; no other CR or LF is in it.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    let (line, behind) = rest.split_at(end);
    *rest = behind.strip_prefix(b"\r\n")?;
    Some(line)
}

fn sized(rest: &mut &[u8], length: u64) -> Option<Vec<u8>> {
    let (body, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = behind;
    Some(body.to_vec())
}

fn chunked(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = str::from_utf8(line(rest)?.split(|byte| *byte == b';').next()?).ok()?;
        let is_number = !size.is_empty() && size.bytes().all(|digit| digit.is_ascii_hexdigit());
        let size = u64::from_str_radix(size, 16).ok().filter(|_| is_number)?;
        if size == 0 {
            while !line(rest)?.is_empty() {}
            return Some(body);
        }
        body.extend(sized(rest, size)?);
        if !line(rest)?.is_empty() {
            return None;
        }
    }
}
