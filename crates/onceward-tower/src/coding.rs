//! Content codings, undone (RFC 9110, 8.4).

use std::{borrow::Cow, io::Read};

/// Content codings of one message that are undone; nobody applies more than one.
const CODINGS_MAX: usize = 4;

/// Bytes that the Brotli decoder reads at once.
const DECODER_BUFFER_BYTES: usize = 4_096;

/// The content codings in the order of their application, lower-case, as the lines of `Content-Encoding` name them.
pub(crate) fn codings<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut codings = Vec::new();
    for line in lines {
        let line = String::from_utf8_lossy(line).to_ascii_lowercase();
        codings.extend(line.split(',').map(|coding| coding.trim().to_owned()));
    }
    codings.retain(|coding| coding != "identity");
    codings
}

/// Undoes the codings, the last applied first; `None` where one is not known, or the content exceeds the limit.
pub(crate) fn decoded(codings: &[String], content: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    if codings.len() > CODINGS_MAX {
        return None;
    }
    let mut content = Cow::Borrowed(content);
    for coding in codings.iter().rev() {
        let reader: Box<dyn Read + '_> = match coding.as_str() {
            "gzip" | "x-gzip" => Box::new(flate2::read::MultiGzDecoder::new(&content[..])),
            "deflate" => Box::new(flate2::read::ZlibDecoder::new(&content[..])),
            "br" => Box::new(brotli::Decompressor::new(&content[..], DECODER_BUFFER_BYTES)),
            _ => return None,
        };
        let mut plain = Vec::new();
        // One byte past the limit tells "too long" from "just fits".
        let read = reader.take(bytes_max as u64 + 1).read_to_end(&mut plain);
        if read.is_err() || plain.len() > bytes_max {
            return None;
        }
        content = Cow::Owned(plain);
    }
    Some(content.into_owned())
}
