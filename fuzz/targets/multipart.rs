//! Fed: a `multipart/form-data` body. Its boundary is what its first line says, behind two hyphens, or `x`.
//!
//! What must hold: whatever has a canonical form, a reader that takes CR, LF and CR LF alike for line ends reads as the same parts, with
//! the same types and contents (F2): two readers cannot make two requests of it. Under another boundary it has the same form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onceward_core::canonical::{Volatile, multipart};
use sha2::{Digest as _, Sha256};

/// Media type and digest of the content.
type Part = (Option<Vec<u8>>, Vec<u8>);

fuzz_target!(|body: &[u8]| {
    let boundary = boundary(body);
    let Some(text) = canonical(body, boundary) else { return };
    assert_eq!(Some(parts(&text)), read(body, boundary));

    let other = [boundary, b"-and-more"].concat();
    if other.len() <= 70 && !contains(body, &[b"--", &other[..]].concat()) {
        let anew = replaced(body, &[b"--", boundary].concat(), &[b"--", &other[..]].concat());
        // Where the boundary stands inside of a part, too, its digest differs.
        if anew.len() - body.len() == (parts(&text).len() + 1) * b"-and-more".len() {
            assert_eq!(canonical(&anew, &other), Some(text));
        }
    }
});

fn boundary(body: &[u8]) -> &[u8] {
    let line = body.strip_prefix(b"--").and_then(|rest| rest.split(|byte| *byte == b'\r').next());
    match line.map(<[u8]>::trim_ascii_end) {
        Some(line @ [_, ..]) if line.len() <= 70 => line,
        _ => b"x",
    }
}

fn canonical(body: &[u8], boundary: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    multipart(body, boundary, &Volatile::none(), &mut |bytes| text.extend_from_slice(bytes)).ok()?;
    Some(text)
}

/// What the text says of each part: name, file name, type, content; each of the two in the middle behind whether there is one.
fn parts(mut text: &[u8]) -> Vec<Part> {
    let mut fields = Vec::new();
    while let Some((len, rest)) = text.split_first_chunk::<8>() {
        let (field, rest) = rest.split_at(usize::try_from(u64::from_be_bytes(*len)).expect("a length"));
        fields.push(field);
        text = rest;
    }
    let (parts, []) = fields.as_chunks::<6>() else { panic!("a part has six fields") };
    parts
        .iter()
        .map(|[_, _, _, is_typed, media_type, digest]| {
            ((*is_typed == b"1").then(|| media_type.to_vec()), digest.to_vec())
        })
        .collect()
}

/// Reads a body as lenient servers do: every line that begins with two hyphens and the boundary ends a part.
fn read(body: &[u8], boundary: &[u8]) -> Option<Vec<Part>> {
    let dashes = [b"--", boundary].concat();
    let mut lines =
        lines(body).into_iter().skip_while(|(line, _)| !body[*line..].starts_with(&dashes)).peekable();
    let mut parts = Vec::new();
    loop {
        let (start, end) = lines.next()?;
        let behind = &body[start + dashes.len()..end];
        if behind.starts_with(b"--") {
            return Some(parts);
        }
        if !behind.trim_ascii().is_empty() {
            return None;
        }
        let mut media_type = None;
        loop {
            let (start, end) = lines.next()?;
            let line = &body[start..end];
            if line.is_empty() {
                break;
            }
            let colon = line.iter().position(|byte| *byte == b':')?;
            if line[..colon].eq_ignore_ascii_case(b"content-type") {
                media_type = Some(line[colon + 1..].trim_ascii().to_vec());
            }
        }
        let content = lines.peek()?.0;
        let mut content_end = content;
        while let Some((_, end)) = lines.next_if(|(line, _)| !body[*line..].starts_with(&dashes)) {
            content_end = end;
        }
        parts.push((media_type, Sha256::digest(&body[content..content_end]).to_vec()));
    }
}

/// Where the lines begin and end, whatever ends them.
fn lines(body: &[u8]) -> Vec<(usize, usize)> {
    let mut lines = Vec::new();
    let mut start = 0;
    loop {
        let len = body[start..].iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let end = len.map_or(body.len(), |len| start + len);
        lines.push((start, end));
        if len.is_none() {
            return lines;
        }
        start = end + if body[end..].starts_with(b"\r\n") { 2 } else { 1 };
    }
}

fn contains(body: &[u8], sought: &[u8]) -> bool {
    body.windows(sought.len()).any(|window| window == sought)
}

fn replaced(body: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut anew = Vec::new();
    let mut rest = body;
    while let Some(at) = rest.windows(old.len()).position(|window| window == old) {
        anew.extend_from_slice(&rest[..at]);
        anew.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    anew.extend_from_slice(rest);
    anew
}
