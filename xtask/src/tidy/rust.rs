//! Rust source taken apart into code and comments, so that a check is not misled by what a string or a comment says.

use super::tree::File;

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: usize,
    /// The code, with `_` for each character of a string or character literal.
    pub(super) code: String,
    /// The comment's text, without its marks.
    pub(super) comment: String,
}

/// A Rust file's lines, and where its tests begin.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) lines: Vec<Line>,
    /// Index of the first line of test code; the number of lines where there is none.
    tests_at: usize,
}

impl Source {
    pub(super) fn of(file: &File) -> Self {
        let lines = split(&file.text);
        let tests_at = if is_test_file(&file.path) { 0 } else { tests_start(&lines) };
        Self { lines, tests_at }
    }

    /// The lines before the unit tests.
    pub(super) fn production(&self) -> &[Line] {
        self.lines.get(..self.tests_at).unwrap_or_default()
    }

    /// The lines of tests: the module at the file's end, or the whole of a file that holds nothing else.
    pub(super) fn tests(&self) -> &[Line] {
        self.lines.get(self.tests_at..).unwrap_or_default()
    }
}

/// Whether the whole file is test code, by its place: below `tests/`, or a module `tests.rs` of its own.
pub(super) fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// The line of the `#[cfg(test)]` that opens the module at the file's end.
fn tests_start(lines: &[Line]) -> usize {
    let opens = |index: usize, line: &Line| {
        let next =
            lines.iter().skip(index + 1).map(|line| line.code.trim()).find(|code| !code.starts_with("#["));
        line.code.trim() == "#[cfg(test)]"
            && next.is_some_and(|code| code.starts_with("mod ") && code.ends_with('{'))
    };
    lines.iter().enumerate().position(|(index, line)| opens(index, line)).unwrap_or(lines.len())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Code,
    LineComment,
    /// How many block comments are open.
    BlockComment(usize),
    Text,
    /// With how many `#` the raw string ends.
    RawText(usize),
}

/// Takes the text apart.
fn split(text: &str) -> Vec<Line> {
    let mut splitter =
        Splitter { lines: Vec::new(), line: Line { number: 1, ..Line::default() }, state: State::Code };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = if first == '\n' { splitter.end_line() } else { splitter.take(rest, first) };
        rest = rest.get(taken..).unwrap_or_default();
    }
    if !splitter.line.code.is_empty() || !splitter.line.comment.is_empty() {
        splitter.end_line();
    }
    splitter.lines
}

struct Splitter {
    lines: Vec<Line>,
    line: Line,
    state: State,
}

impl Splitter {
    fn end_line(&mut self) -> usize {
        let next = Line { number: self.line.number + 1, ..Line::default() };
        self.lines.push(std::mem::replace(&mut self.line, next));
        if self.state == State::LineComment {
            self.state = State::Code;
        }
        1
    }

    /// Takes one character, or the two or more that mean something together; says how many bytes that were.
    fn take(&mut self, rest: &str, first: char) -> usize {
        match self.state {
            State::Code => self.take_code(rest, first),
            State::LineComment => self.comment(first, first.len_utf8()),
            State::BlockComment(depth) if rest.starts_with("*/") => {
                self.state = if depth > 1 { State::BlockComment(depth - 1) } else { State::Code };
                2
            }
            State::BlockComment(depth) if rest.starts_with("/*") => {
                self.state = State::BlockComment(depth + 1);
                2
            }
            State::BlockComment(_) => self.comment(first, first.len_utf8()),
            State::Text if first == '\\' => {
                let escaped = rest.chars().nth(1).filter(|escaped| *escaped != '\n');
                self.code("__", 1 + escaped.map_or(0, char::len_utf8))
            }
            State::Text if first == '"' => self.enter(State::Code, "\"", 1),
            State::RawText(hashes) if rest.starts_with(&format!("\"{}", "#".repeat(hashes))) => {
                self.enter(State::Code, "\"", 1 + hashes)
            }
            State::Text | State::RawText(_) => self.code("_", first.len_utf8()),
        }
    }

    fn take_code(&mut self, rest: &str, first: char) -> usize {
        if rest.starts_with("//") {
            // Doc comments are comments, too.
            let marks = rest.len() - rest.trim_start_matches(['/', '!']).len();
            return self.enter(State::LineComment, "", marks);
        }
        if rest.starts_with("/*") {
            return self.enter(State::BlockComment(1), "", 2);
        }
        if first == '"' {
            return self.enter(State::Text, "\"", 1);
        }
        if first == 'r' && !self.ends_in_word() || rest.starts_with("br") && !self.ends_in_word() {
            let marks = rest.trim_start_matches('b').trim_start_matches('r');
            let hashes = marks.len() - marks.trim_start_matches('#').len();
            if marks.get(hashes..).is_some_and(|marks| marks.starts_with('"')) {
                let prefix = rest.len() - marks.len();
                return self.enter(State::RawText(hashes), "\"", prefix + hashes + 1);
            }
        }
        if first == '\'' {
            let len = character_len(rest);
            return self.code(if len > 1 { "'_'" } else { "'" }, len);
        }
        let len = first.len_utf8();
        self.line.code.push(first);
        len
    }

    fn ends_in_word(&self) -> bool {
        self.line.code.chars().next_back().is_some_and(|last| last.is_alphanumeric() || last == '_')
    }

    fn enter(&mut self, state: State, shown: &str, len: usize) -> usize {
        self.state = state;
        self.code(shown, len)
    }

    fn code(&mut self, shown: &str, len: usize) -> usize {
        self.line.code.push_str(shown);
        len
    }

    fn comment(&mut self, character: char, len: usize) -> usize {
        self.line.comment.push(character);
        len
    }
}

/// Bytes of the character literal at the front of `rest`; 1 where the quote begins a lifetime.
fn character_len(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => {
            characters.next();
            characters.find(|(_, character)| *character == '\'').map_or(1, |(at, _)| at + 1)
        }
        Some(_) => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<(String, String)> {
        split(text).into_iter().map(|line| (line.code, line.comment)).collect()
    }

    fn part(code: &str, comment: &str) -> (String, String) {
        (code.to_owned(), comment.to_owned())
    }

    #[test]
    fn strings_are_blanked_and_comments_taken_out() {
        assert_eq!(parts("let a = \"// x\"; // why"), [part("let a = \"____\"; ", " why")]);
        assert_eq!(parts("/// Doc.\nfn a() {}"), [part("", " Doc."), part("fn a() {}", "")]);
        assert_eq!(parts("a /* b /* c */ d */ e"), [part("a  e", " b  c  d ")]);
        assert_eq!(parts("\"a\\\"b\" c"), [part("\"____\" c", "")]);
        assert_eq!(parts("br#\"a\"b\"# r\"c\" for \"d\""), [part("\"___\" \"_\" for \"_\"", "")]);
        assert_eq!(parts("\"a\nb\" c"), [part("\"_", ""), part("_\" c", "")]);
        assert_eq!(parts("\"a\\\n  b\" c"), [part("\"___", ""), part("___\" c", "")]);
        assert_eq!(
            parts("('\"', '\\'', 'x', b'\\n', &'a str)"),
            [part("('_', '_', '_', b'_', &'a str)", "")]
        );
    }

    #[test]
    fn unit_tests_stand_at_the_end_and_test_files_are_nothing_else() {
        let unit = "fn a() {}\n#[cfg(test)]\nuse x;\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        let source = Source::of(&File { path: "crates/a/src/b.rs".to_owned(), text: unit.to_owned() });
        assert_eq!((source.production().len(), source.tests().len()), (3, 4));
        let source = Source::of(&File { path: "crates/a/tests/it/b.rs".to_owned(), text: unit.to_owned() });
        assert_eq!((source.production().len(), source.tests().len()), (0, 7));
        let outside = File { path: "a/src/b.rs".to_owned(), text: "#[cfg(test)]\nmod tests;\n".to_owned() };
        assert_eq!(Source::of(&outside).tests(), []);
        assert!(is_test_file("crates/a/src/codec/tests.rs"));
    }
}
