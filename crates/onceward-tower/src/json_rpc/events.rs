//! Answers in a stream of events, as MCP's streamable HTTP sends them (WHATWG HTML, 9.2.6).

use std::ops::Range;

use super::{Edit, Renaming};

/// The edits that give the answers in a stream's `data` lines their new ids, in their order.
pub(super) fn edits<'a>(stream: &str, renaming: &'a Renaming<'_>) -> Vec<Edit<'a>> {
    let mut edits = Vec::new();
    let mut data: Vec<Range<usize>> = Vec::new();
    for line in lines(stream) {
        if line.is_empty() {
            take_edits(stream, &mut data, renaming, &mut edits);
        } else if let Some(value) = data_value(stream, line) {
            data.push(value);
        }
    }
    // A browser drops an event without its empty line; other readers take the end of the stream for it.
    take_edits(stream, &mut data, renaming, &mut edits);
    edits
}

/// Takes the lines of one event, which together are one text, and edits that at their places in the stream.
fn take_edits<'a>(
    stream: &str,
    data: &mut Vec<Range<usize>>,
    renaming: &'a Renaming<'_>,
    edits: &mut Vec<Edit<'a>>,
) {
    let lines: Vec<&str> = data.iter().filter_map(|line| stream.get(line.clone())).collect();
    let text = lines.join("\n");
    let mut line_starts = Vec::with_capacity(data.len());
    let mut start = 0;
    for line in data.drain(..) {
        line_starts.push((start, line.start));
        start += line.len() + 1;
    }
    edits.extend(super::edits(&text, renaming).into_iter().filter_map(|edit| {
        // An id holds no line break (RFC 8259, 7), so it is within one line.
        let (from, to) = line_starts.iter().rev().find(|(from, _)| *from <= edit.at.start)?;
        Some(Edit { at: edit.at.start - from + to..edit.at.end - from + to, new: edit.new })
    }));
}

/// Where the value of a `data` line is, without the one space that may precede it.
fn data_value(stream: &str, line: Range<usize>) -> Option<Range<usize>> {
    let value = stream.get(line.clone())?.strip_prefix("data:")?;
    Some(line.end - value.strip_prefix(' ').unwrap_or(value).len()..line.end)
}

/// The lines of a stream without their ends, which are CR LF, LF or CR.
fn lines(stream: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = if stream.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    std::iter::from_fn(move || {
        let rest = stream.get(start..).filter(|rest| !rest.is_empty())?;
        let end = rest.find(['\r', '\n']);
        let line = start..start + end.unwrap_or(rest.len());
        let break_len = match end.and_then(|end| rest.get(end..)) {
            Some(end) if end.starts_with("\r\n") => 2,
            Some(_) => 1,
            None => 0,
        };
        start = line.end + break_len;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_rpc::edited;

    fn renamed(stream: &str) -> Option<String> {
        let renaming = Renaming::All("42");
        edited(stream, &edits(stream, &renaming))
    }

    #[test]
    fn gives_the_answers_among_the_events_their_new_ids() {
        let cases = [
            ("data: {\"jsonrpc\":\"2.0\",\"id\":7}\n\n", Some("data: {\"jsonrpc\":\"2.0\",\"id\":42}\n\n")),
            // Other line ends, no space, a byte order mark, no empty line at the end.
            (
                "\u{feff}data:{\"jsonrpc\":\"2.0\",\"id\":7}\r\rdata:  {\"jsonrpc\":\"2.0\",\"id\":7}\r\n",
                Some(
                    "\u{feff}data:{\"jsonrpc\":\"2.0\",\"id\":42}\r\rdata:  {\"jsonrpc\":\"2.0\",\"id\":42}\r\n",
                ),
            ),
            // One message in several lines, with fields between them, and a batch.
            (
                ": hi\nevent: message\nid: 7\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\"\nretry: 7\ndata: :7,\ndata:\"result\":7}\n\n\
                 data: [{\"jsonrpc\":\"2.0\",\"id\":7}]\n\n",
                Some(
                    ": hi\nevent: message\nid: 7\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\"\nretry: 7\ndata: :42,\ndata:\"result\":7}\n\n\
                     data: [{\"jsonrpc\":\"2.0\",\"id\":42}]\n\n",
                ),
            ),
            // Progress, a server's own question, and other text.
            (
                "data: {\"jsonrpc\":\"2.0\",\"method\":\"progress\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ask\"}\n\n\
                 data: 7\n\ndata\n\ndatas: {\"jsonrpc\":\"2.0\",\"id\":7}\n\n",
                None,
            ),
            ("", None),
        ];
        for (stream, expected) in cases {
            assert_eq!(renamed(stream).as_deref(), expected, "{stream:?}");
        }
    }
}
