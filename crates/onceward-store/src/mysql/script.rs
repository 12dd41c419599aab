//! What is sent to the server in one packet, and what it says to it.

use std::io::Write as _;

use mysql_async::{
    Conn, Row,
    prelude::{FromRow, Queryable},
};

use crate::port::StoreError;

/// Statements that go out together, so that they cost one round trip: no transaction ever waits for this process.
#[derive(Debug, Default)]
pub(super) struct Script {
    text: Vec<u8>,
    statements: usize,
}

impl Script {
    /// One statement as it stands.
    pub(super) fn of(statement: &str) -> Self {
        let mut script = Self::default();
        script.say(statement);
        script
    }

    /// Adds a whole statement.
    pub(super) fn say(&mut self, statement: &str) {
        self.begin(statement);
    }

    /// Begins a statement that [`Script::add`] and its like go on with; says which one it is.
    pub(super) fn begin(&mut self, text: &str) -> usize {
        if self.statements > 0 {
            self.add(";\n");
        }
        self.add(text);
        self.statements += 1;
        self.statements - 1
    }

    pub(super) fn add(&mut self, text: &str) -> &mut Self {
        self.text.extend_from_slice(text.as_bytes());
        self
    }

    /// A number.
    pub(super) fn number(&mut self, number: impl std::fmt::Display) -> &mut Self {
        // Writing to memory does not fail.
        write!(self.text, "{number}").ok();
        self
    }

    /// A number, or NULL.
    pub(super) fn number_or_null(&mut self, number: Option<u64>) -> &mut Self {
        match number {
            Some(number) => self.number(number),
            None => self.add("NULL"),
        }
    }

    /// Bytes as digits: no character set, escape or mode of the server reads anything else into them.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or_default();
        self.text.reserve(2 * bytes.len() + 3);
        self.add("x'");
        self.text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
        self.add("'")
    }

    /// Bytes, or NULL.
    pub(super) fn bytes_or_null(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => self.add("NULL"),
        }
    }

    /// `(x'..', x'..')` of at least one item.
    pub(super) fn list<'a>(&mut self, items: impl IntoIterator<Item = &'a [u8]>) -> &mut Self {
        self.add("(");
        for (number, item) in items.into_iter().enumerate() {
            if number > 0 {
                self.add(", ");
            }
            self.bytes(item);
        }
        self.add(")")
    }
}

/// What the server said to each statement.
#[derive(Debug)]
pub(super) struct Said(Vec<Answer>);

#[derive(Debug, Default)]
struct Answer {
    rows: Vec<Row>,
    affected: u64,
}

impl Said {
    /// The rows that the statement with this number brought.
    pub(super) fn rows<T: FromRow>(&mut self, statement: usize) -> Result<Vec<T>, StoreError> {
        let rows = self.0.get_mut(statement).map(|answer| std::mem::take(&mut answer.rows));
        let rows = rows.unwrap_or_default().into_iter().map(mysql_async::from_row_opt);
        rows.collect::<Result<_, _>>().map_err(|error| StoreError::Unavailable {
            reason: "the server answered with rows of another shape",
            source: Some(Box::new(error)),
        })
    }

    /// The one row that the statement with this number brought.
    pub(super) fn row<T: FromRow>(&mut self, statement: usize) -> Result<T, StoreError> {
        let rows = self.rows(statement)?;
        rows.into_iter().next().ok_or(StoreError::Unavailable {
            reason: "a row of the store about itself is missing",
            source: None,
        })
    }

    /// How many rows the statement with this number met.
    pub(super) fn affected(&self, statement: usize) -> u64 {
        self.0.get(statement).map_or(0, |answer| answer.affected)
    }
}

/// A script that broke off.
#[derive(Debug)]
pub(super) struct Broken {
    /// Which statement the server refused, or never answered. Those before it were carried out, those behind it were not begun, where
    /// the server says so itself.
    pub(super) at: usize,
    pub(super) error: mysql_async::Error,
}

impl Broken {
    /// What the server itself said; `None` where the connection is lost.
    pub(super) fn code(&self) -> Option<u16> {
        match &self.error {
            mysql_async::Error::Server(error) => Some(error.code),
            mysql_async::Error::Driver(_)
            | mysql_async::Error::Io(_)
            | mysql_async::Error::Other(_)
            | mysql_async::Error::Url(_) => None,
        }
    }
}

/// What the server says when a statement failed, or its transaction was taken back, as a whole: locks (1205, 1213), no room (1021, 1114),
/// only reads allowed (1290, 1792, 1836), no right (1044, 1142, 1143, 1227, 1370), names (1054, 1146, 1193), values (1048, 1062, 1264,
/// 1364, 1366, 1406), a packet too long (1153), our own guard (1242), a member of a group that took it back (3101).
const HARMLESS: &[u16] = &[
    1021, 1044, 1048, 1054, 1062, 1114, 1142, 1143, 1146, 1153, 1193, 1205, 1213, 1227, 1242, 1264, 1290,
    1364, 1366, 1370, 1406, 1792, 1836, 3101,
];

/// What a guard fails with: a subquery of more rows than one.
const GUARD: u16 = 1242;

impl Broken {
    /// What became of the whole script: only its last statement makes anything stand.
    pub(super) fn into_store_error(self, script: &Script) -> StoreError {
        let reason = match self.code() {
            Some(GUARD) => "the server turned read-only, or promises less than it did",
            Some(1290 | 1792 | 1836) => "the server is read-only",
            Some(1205 | 1213) => "the rows are locked",
            Some(1021 | 1114) => "the server has no room left",
            Some(_) => "the server refused",
            None => "the server did not answer",
        };
        let undone =
            self.code().is_some_and(|code| self.at + 1 < script.statements || HARMLESS.contains(&code));
        let source = Some(self.error.into());
        if undone {
            StoreError::Unavailable { reason, source }
        } else {
            StoreError::Unknown { reason, source }
        }
    }

    /// Whether our own guard stopped the script.
    pub(super) fn is_guard(&self) -> bool {
        self.code() == Some(GUARD)
    }
}

/// Sends a script and reads every answer.
pub(super) async fn run(conn: &mut Conn, script: &Script) -> Result<Said, Broken> {
    let broken = |at| move |error| Broken { at, error };
    let mut result = conn.query_iter(script.text.as_slice()).await.map_err(broken(0))?;
    let mut said = Vec::with_capacity(script.statements);
    // The driver keeps a statement's error until the next step, and looks finished meanwhile: so it is stepped as often as there are
    // statements, whatever it says.
    for at in 0..script.statements {
        let affected = result.affected_rows();
        let rows = result.collect().await.map_err(broken(at))?;
        said.push(Answer { rows, affected });
    }
    result.drop_result().await.map_err(broken(script.statements))?;
    Ok(Said(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_reads_as_it_is_sent() {
        let mut script = Script::of("START TRANSACTION");
        assert_eq!(script.begin("SELECT "), 1);
        script.bytes(&[0x00, 0x27, 0xff]).add(", ").bytes(&[]).add(", ").bytes_or_null(None);
        script.add(", ").number(-7).add(", ").number_or_null(Some(u64::MAX)).add(" IN ");
        script.list([&[1_u8][..], &[2]]);
        let text =
            "START TRANSACTION;\nSELECT x'0027ff', x'', NULL, -7, 18446744073709551615 IN (x'01', x'02')";
        assert_eq!((String::from_utf8(script.text), script.statements), (Ok(text.to_owned()), 2));
    }
}
