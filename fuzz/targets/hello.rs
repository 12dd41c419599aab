//! Fed: what a client sends into a tunnel, in pieces of as many bytes as the last one says.
//!
//! What must hold: what the bytes are taken for does not change when more of them come. A ClientHello is only read where TLS is recognised;
//! the name in it is the one that a second reader of the extension finds; every byte that was read goes on. A host, written down, is itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onceward_fuzz::client;
use onceward_proxy::{
    fuzz::{PeekedHello, peek_hello, spoken},
    target::{Host, Target},
};
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().build().expect("a runtime");
}

fuzz_target!(|data: &[u8]| {
    let Some((piece, input)) = data.split_last() else { return };
    let whole = spoken(input);
    for len in 0..input.len().min(64) {
        let first = spoken(&input[..len]);
        assert!(first.is_none() || first == whole, "{first:?} became {whole:?}");
    }
    let peeked = peeked(input, usize::from(*piece).max(1));
    if let Some(PeekedHello { server_name, ahead, .. }) = &peeked {
        assert_eq!(whole, Some("TLS"));
        assert_eq!(&ahead[..], &input[..ahead.len()]);
        let named =
            server_name_in(ahead).and_then(|name| Host::parse(&name).ok()).filter(|host| host.ip().is_none());
        assert_eq!(*server_name, named);
    }
    let at_once = self::peeked(input, usize::MAX);
    assert_eq!(
        peeked.map(|hello| (hello.server_name, hello.speaks_http)),
        at_once.map(|hello| (hello.server_name, hello.speaks_http))
    );
    if let Ok(text) = str::from_utf8(input) {
        authority(text);
    }
});

fn authority(text: &str) {
    if let Ok(host) = Host::parse(text) {
        assert_eq!(Host::parse(&host.to_string()), Ok(host));
    }
    if let Ok(target) = Target::parse(text, Some(443)) {
        assert_eq!(Target::parse(&target.to_string(), None), Ok(target));
    }
}

fn peeked(input: &[u8], piece: usize) -> Option<PeekedHello> {
    let mut client = client(input, piece);
    RUNTIME.with(|runtime| runtime.block_on(peek_hello(&mut client)))
}

/// The host name in the extension `server_name` (RFC 8446, 4.1.2 and 5.1; RFC 6066, 3), a length at a time.
fn server_name_in(mut records: &[u8]) -> Option<String> {
    let mut handshake = Vec::new();
    while let [22, _, _, high, low, rest @ ..] = records {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        // What is behind the hello need not be whole yet.
        let Some((payload, behind)) = rest.split_at_checked(length) else { break };
        handshake.extend_from_slice(payload);
        records = behind;
    }
    let [1, _, _, _, hello @ ..] = handshake.as_slice() else { return None };
    let mut hello = hello.get(34..)?;
    for length_bytes in [1, 2, 1] {
        taken(&mut hello, length_bytes)?;
    }
    let mut extensions = taken(&mut hello, 2)?;
    while let Some((number, rest)) = extensions.split_first_chunk::<2>() {
        extensions = rest;
        let mut extension = taken(&mut extensions, 2)?;
        if *number == [0, 0] {
            let mut names = taken(&mut extension, 2)?;
            let (kind, rest) = names.split_first()?;
            names = rest;
            return (*kind == 0).then(|| String::from_utf8(taken(&mut names, 2)?.to_vec()).ok())?;
        }
    }
    None
}

/// What stands behind a length of so many bytes.
fn taken<'a>(bytes: &mut &'a [u8], length_bytes: usize) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_at_checked(length_bytes)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let (own, behind) = rest.split_at_checked(length)?;
    *bytes = behind;
    Some(own)
}
