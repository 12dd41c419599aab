//! A case's conversation with the server: what it sends, what it gets, and what is kept of it for the report.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    case::{Judged, Stop},
    expect,
    report::{Exchange, Sight},
    subject::Subject,
    wire::{Answer, Ask, Field, Line, Session, WireFault, keyed_field},
};

/// Exchanges that a report shows of a case: the last ones tell why it failed.
const EXCHANGES_SHOWN_MAX: usize = 6;

/// How long the origin may take to begin or to end what it was asked for.
const ORIGIN_TIME_MAX: Duration = Duration::from_secs(8);

/// Between two looks at the origin's counts, which nobody announces.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How long a repeat is given to arrive before what it repeats goes on.
const ARRIVAL_TIME: Duration = Duration::from_millis(300);

/// How a contract writes a key on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// The field, or the member of the body.
    pub(crate) carrier: &'static str,
    pub(crate) form: KeyForm,
    /// The field in which the time of the first try travels.
    pub(crate) issue_field: Option<&'static str>,
}

/// How a key stands in its carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyForm {
    /// As a structured-field String.
    Quoted,
    /// As bare text.
    Bare,
    /// As a member of a JSON object.
    Member,
    /// As an argument of a tool of the Model Context Protocol.
    Argument,
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    First,
    Second,
    Nobody,
}

/// One case's conversation.
pub(crate) struct Talk<'s> {
    pub(crate) subject: &'s Subject,
    dialect: Dialect,
    sight: Sight,
    /// By which the reference origin counts this conversation's effects alone.
    run: String,
    /// The id of the last JSON-RPC call: clients count them up, also from a call to its repeat.
    call_id: AtomicU64,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    exchanges: Vec<Exchange>,
    /// What the answers of effects are told apart by.
    effects_told: BTreeSet<Vec<u8>>,
    /// Whether something was expected of the effects that could not be seen.
    is_blind: bool,
}

impl<'s> Talk<'s> {
    pub(crate) fn new(subject: &'s Subject, dialect: Dialect, sight: Sight) -> Self {
        Self {
            subject,
            dialect,
            sight,
            run: random_uuid(),
            call_id: AtomicU64::new(0),
            log: Mutex::default(),
        }
    }

    /// A key that nobody used: a UUIDv4, which every contract accepts.
    pub(crate) fn key(&self) -> String {
        random_uuid()
    }

    /// A request without a key.
    pub(crate) fn request(&self, who: Who, method: &str, path: &str) -> Ask {
        let mut ask = Ask::new(method, path);
        ask.fields.extend(self.subject.fields.iter().cloned());
        let actors = &self.subject.actors;
        let actor = match who {
            Who::First => actors.first.clone(),
            Who::Second => actors.second.clone(),
            Who::Nobody => None,
        };
        ask.fields.extend(actor);
        if self.subject.effects_path.is_some() || self.subject.guarding().is_some() {
            ask.fields.push(Field::new("x-drill-run", &self.run));
        }
        ask
    }

    /// A read of the first actor's.
    pub(crate) fn get(&self, path: &str) -> Ask {
        self.request(Who::First, "GET", path)
    }

    /// The first actor's order, at another path, without a key.
    pub(crate) fn post(&self, path: &str) -> Ask {
        self.request(Who::First, "POST", path).carrying(&self.subject.media_type, &self.subject.body)
    }

    /// The first actor's order, without a key.
    pub(crate) fn unkeyed(&self) -> Ask {
        self.post(&self.subject.path)
    }

    /// The first actor's order of something else.
    pub(crate) fn other_order(&self, key: &str) -> Ask {
        let body = self.subject.other_body.as_deref().unwrap_or_default();
        self.keyed(self.unkeyed().carrying(&self.subject.media_type, body), key)
    }

    /// The first actor's order.
    pub(crate) fn order(&self, key: &str) -> Ask {
        self.keyed(self.unkeyed(), key)
    }

    /// The order of another one.
    pub(crate) fn order_of(&self, who: Who, key: &str) -> Ask {
        let ask = self.request(who, "POST", &self.subject.path);
        self.keyed(ask.carrying(&self.subject.media_type, &self.subject.body), key)
    }

    /// A request under a key.
    pub(crate) fn keyed(&self, ask: Ask, key: &str) -> Ask {
        let ask = match self.dialect.issue_field {
            Some(field) => ask.with(field, httpdate::fmt_http_date(SystemTime::now())),
            None => ask,
        };
        match self.dialect.form {
            KeyForm::Quoted => ask.with(self.dialect.carrier, keyed_field(key)),
            KeyForm::Bare => ask.with(self.dialect.carrier, key),
            KeyForm::Member => ask.with_member(self.dialect.carrier, &key.into()),
            KeyForm::Argument => self.call(ask).with_argument(self.dialect.carrier, &key.into()),
        }
    }

    /// A request as a call of a tool, which takes its body for the arguments.
    pub(crate) fn call(&self, ask: Ask) -> Ask {
        ask.calling(self.call_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Answer, Stop> {
        let mut line = self.line().await?;
        self.ask_on(&mut line, ask).await
    }

    /// Sends a request on a connection that may be used again.
    pub(crate) async fn ask_on(&self, line: &mut Line, ask: &Ask) -> Result<Answer, Stop> {
        let shown = ask.shown(&self.subject.target);
        let answer = async {
            line.write(&ask.bytes(&self.subject.target)).await?;
            line.read(&ask.method).await
        };
        let answer = answer.await;
        self.noted(&ask.method, shown, answer)
    }

    /// Sends a request over HTTP/2.
    pub(crate) async fn ask_http2(&self, session: &Session, ask: &Ask) -> Result<Answer, Stop> {
        let answer = session.ask(ask).await;
        self.noted(&ask.method, ask.shown(&self.subject.target), answer)
    }

    /// Sends a text as it stands, and reads one answer on a connection that is given back.
    ///
    /// `{path}` and `{host}` stand for the subject's, `{fields}` for the lines that an order of the first actor has under a fresh key.
    pub(crate) async fn ask_raw(&self, text: &str) -> Result<(Answer, Line), Stop> {
        let target = &self.subject.target;
        let order = self.order(&self.key());
        let filled = |fields: &[u8]| {
            let fields = String::from_utf8_lossy(fields);
            let text = text.replace("{path}", &self.subject.path).replace("{host}", &target.authority());
            text.replace("{fields}", &fields).into_bytes()
        };
        let mut line = self.line().await?;
        let answer = async {
            line.write(&filled(&order.field_lines())).await?;
            line.read("POST").await
        };
        let answer = answer.await;
        Ok((self.noted("POST", filled(&order.shown_field_lines()), answer)?, line))
    }

    /// The path of a page on this server.
    pub(crate) fn own_path(&self, url: &str) -> Result<String, Stop> {
        if url.starts_with('/') && !url.starts_with("//") {
            return Ok(url.to_owned());
        }
        match url.strip_prefix(&self.subject.target.address()) {
            Some(path) if path.starts_with('/') => Ok(path.to_owned()),
            Some(_) | None => expect::failed(format!("{url:?} does not lead to this server")),
        }
    }

    /// Keeps an exchange for the report.
    pub(crate) fn noted(
        &self,
        method: &str,
        sent: Vec<u8>,
        answer: Result<Answer, WireFault>,
    ) -> Result<Answer, Stop> {
        let received = match &answer {
            Ok(answer) => answer.shown(),
            Err(fault) => format!("({fault})"),
        };
        let mut log = self.log();
        log.exchanges.push(Exchange { sent: expect::excerpt(&sent), received });
        if let Ok(answer) = &answer
            && method != "GET"
            && (200..300).contains(&answer.status)
        {
            log.effects_told.insert(identity(answer));
        }
        answer.map_err(|fault| Stop::Failed(fault.to_string()))
    }

    pub(crate) async fn line(&self) -> Result<Line, Stop> {
        Line::open(&self.subject.target).await.map_err(|fault| Stop::Failed(fault.to_string()))
    }

    pub(crate) async fn session(&self) -> Result<Session, Stop> {
        Session::open(&self.subject.target).await.map_err(|fault| Stop::Failed(fault.to_string()))
    }

    /// Expects that many effects of this conversation, as far as they can be seen.
    ///
    /// Where nobody counts them, each answer of its own kind tells of one, and a refusal of none.
    pub(crate) async fn effects_are(&self, expected: usize) -> Judged {
        if self.sight == Sight::Counted {
            return expect::equal("effects", self.counts().await?.effects, expected);
        }
        let told = self.log().effects_told.len();
        if self.sight == Sight::Blind && expected > 0 {
            self.log().is_blind = true;
            return Ok(());
        }
        expect::equal("effects that answers tell of", told, expected)
    }

    /// Says that equal answers are to tell of one effect, which they do not everywhere.
    pub(crate) fn effects_are_seen(&self) {
        if self.sight == Sight::Blind {
            self.log().is_blind = true;
        }
    }

    /// Expects that the origin was called that often; where nobody counts calls, by the effects that answers tell of.
    pub(crate) async fn calls_are(&self, expected: usize) -> Judged {
        if self.sight != Sight::Counted {
            return self.effects_are(expected).await;
        }
        expect::equal("calls of the origin", self.counts().await?.calls, expected)
    }

    /// Waits until the origin has begun on that many calls.
    pub(crate) async fn await_calls(&self, wanted: usize) -> Judged {
        self.await_counts("calls of the origin", wanted, |counts| counts.calls).await
    }

    /// Waits until that many effects happened.
    pub(crate) async fn await_effects(&self, wanted: usize) -> Judged {
        self.await_counts("effects", wanted, |counts| counts.effects).await
    }

    async fn await_counts(&self, what: &str, wanted: usize, of: impl Fn(Counts) -> usize) -> Judged {
        let deadline = Instant::now() + ORIGIN_TIME_MAX;
        loop {
            let found = of(self.counts().await?);
            if found >= wanted {
                return expect::equal(what, found, wanted);
            }
            if Instant::now() > deadline {
                return Err(Stop::Failed(format!(
                    "{what}: {found} after {ORIGIN_TIME_MAX:?}, expected {wanted}"
                )));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Lets the origin go on with what it was told to hold back.
    pub(crate) async fn release(&self) -> Judged {
        let answer = self.read_quietly(&format!("/release?run={}", self.run)).await?;
        expect::status(&answer, 200)
    }

    /// Does something while the origin holds back the answer to a request: that answer, and what came of it.
    pub(crate) async fn while_held<T>(
        &self,
        held: &Ask,
        meanwhile: impl Future<Output = Result<T, Stop>>,
    ) -> Result<(Answer, T), Stop> {
        let held = held.clone().told("hold");
        let meanwhile = async {
            self.await_calls(1).await?;
            let done = meanwhile.await;
            // Also where it failed: nothing is left hanging.
            self.release().await?;
            done
        };
        let (answer, done) = tokio::join!(self.ask(&held), meanwhile);
        let done = done?;
        Ok((answer?, done))
    }

    /// Sends a repeat of a request that is held back, and releases that once the repeat has had its time to arrive.
    ///
    /// One that arrives later is answered alike, so the time decides nothing.
    pub(crate) async fn ask_and_release(&self, ask: &Ask) -> Result<Answer, Stop> {
        let release = async {
            sleep(ARRIVAL_TIME).await;
            self.release().await
        };
        let (answer, released) = tokio::join!(self.ask(ask), release);
        released?;
        answer
    }

    async fn counts(&self) -> Result<Counts, Stop> {
        let Some(path) = &self.subject.effects_path else {
            return Err(Stop::NotApplicable("nobody counts the effects".to_owned()));
        };
        let answer = self.read_quietly(&format!("{path}?run={}", self.run)).await?;
        let counts: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let count =
            |name: &str| counts.as_ref()?.get(name)?.as_u64().and_then(|count| usize::try_from(count).ok());
        match (count("effects"), count("calls")) {
            (Some(effects), Some(calls)) => Ok(Counts { effects, calls }),
            _ => Err(Stop::Failed(format!("{path} does not count effects: {}", answer.shown()))),
        }
    }

    /// Reads a page of the reference origin's own, which no report shows.
    async fn read_quietly(&self, path: &str) -> Result<Answer, Stop> {
        let read = async {
            let mut line = Line::open(&self.subject.target).await?;
            line.write(&Ask::new("GET", path).bytes(&self.subject.target)).await?;
            line.read("GET").await
        };
        read.await.map_err(|fault| Stop::Failed(format!("{path} cannot be read: {fault}")))
    }

    /// Whether something was expected of the effects that could not be seen.
    pub(crate) fn is_blind(&self) -> bool {
        self.log().is_blind
    }

    /// What was said last.
    pub(crate) fn into_exchanges(self) -> Vec<Exchange> {
        let mut exchanges = self.log.into_inner().unwrap_or_else(PoisonError::into_inner).exchanges;
        let unshown = exchanges.len().saturating_sub(EXCHANGES_SHOWN_MAX);
        exchanges.split_off(unshown)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
struct Counts {
    effects: usize,
    calls: usize,
}

/// By what the answer to one effect is told from that to another: its location, else its content.
pub(crate) fn identity(answer: &Answer) -> Vec<u8> {
    match answer.field("location") {
        Some(location) => location.into_bytes(),
        None => answer.body.clone(),
    }
}

/// A UUIDv4 (RFC 9562, 5.4).
pub(crate) fn random_uuid() -> String {
    let mut bytes = random_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    uuid_text(bytes)
}

/// A UUIDv7 issued at a time in milliseconds since 1970 (RFC 9562, 5.7).
pub(crate) fn timed_uuid(issued_ms: u64) -> String {
    let mut bytes = random_bytes();
    bytes[..6].copy_from_slice(&issued_ms.to_be_bytes()[2..]);
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    uuid_text(bytes)
}

fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    // Without a random source, keys of an earlier run could come again; two zero keys in one suite fail it visibly.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = [0; 16];
    }
    bytes
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_uuids_of_their_version() {
        let key = random_uuid();
        assert_eq!((key.len(), &key[14..15]), (36, "4"));
        assert!("89ab".contains(&key[19..20]), "{key}");
        assert_ne!(key, random_uuid());
        // RFC 9562, appendix A.6: 2022-02-22T19:22:22Z.
        let timed = timed_uuid(0x017F_22E2_79B0);
        assert_eq!((&timed[..15], timed.len()), ("017f22e2-79b0-7", 36));
    }
}
