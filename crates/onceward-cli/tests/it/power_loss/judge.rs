//! Whether what a disk holds after a loss of power keeps what was promised before it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use onceward::{Durability, Limits, Parts, Setup, StoreUrl};
use onceward_core::{
    actor::LookupId,
    record::{AttemptId, Decision, State},
    secret::Secret,
};
use onceward_engine::verify_chain;
use onceward_store::{Claim, Entry, EntryFilter, Reply, Store, Undated};
use rusqlite::{Connection, OpenFlags};

use super::shop::{self, Order, Orders, Promises};
use crate::kit::Server;

/// Records that a page of a listing has.
const PAGE_RECORDS: usize = 1_000;

/// Keys that are claimed once more on an image: the latest ones, where the loss is.
const CLAIMED_AGAIN: usize = 8;

/// The name of a try that nobody made before.
const OTHER_ATTEMPT: AttemptId = AttemptId([0xa5; 16]);

/// What the disk that lost nothing holds.
pub(crate) struct Whole {
    secret_digest: [u8; 32],
    /// Outcomes as they are stored, by key.
    outcomes: BTreeMap<String, Vec<u8>>,
    audit: Vec<String>,
}

fn file(root: &Path) -> PathBuf {
    root.join("state/onceward.db")
}

fn setup(root: &Path) -> Setup {
    Setup {
        store: StoreUrl::Sqlite(file(root)),
        secret_file: Some(root.join("state/secret")),
        durability: Durability::Power,
        strict: true,
        promotion_keeps_all: false,
        replicas_to_wait: 0,
        limits: Limits::default(),
    }
}

fn digest(secret: &Secret) -> [u8; 32] {
    secret.digest("power-loss-test").finish()
}

/// The key that a listing's entry is of: the last part of its path.
fn key_of(entry: &Entry) -> String {
    entry.label.effect.rsplit('/').next().unwrap().to_owned()
}

async fn entries(store: &dyn Store) -> BTreeMap<String, Entry> {
    let (mut entries, mut after) = (BTreeMap::new(), None);
    loop {
        let page = store.scan(EntryFilter::default(), after, PAGE_RECORDS).await.unwrap();
        assert_eq!(page.corrupt, 0);
        entries.extend(page.entries.into_iter().map(|entry| (key_of(&entry), entry)));
        after = page.next;
        if after.is_none() {
            return entries;
        }
    }
}

fn connection(root: &Path) -> Connection {
    Connection::open_with_flags(file(root), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// The lines of the audit log.
fn audit(root: &Path) -> Vec<String> {
    let file = connection(root);
    let mut rows = file.prepare("SELECT json FROM audit ORDER BY place").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

/// The outcomes that a file holds, as they are stored, by lookup id.
fn outcomes(root: &Path) -> BTreeMap<[u8; 32], Vec<u8>> {
    let file = connection(root);
    let mut rows = file.prepare("SELECT id, outcome FROM records WHERE outcome IS NOT NULL").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

impl Whole {
    pub(crate) async fn read(root: &Path) -> Self {
        let setup = setup(root);
        let store = setup.open_read_only().unwrap().unwrap();
        let stored = outcomes(root);
        let outcome = |(key, entry): (String, Entry)| Some((key, stored.get(entry.id.as_bytes())?.clone()));
        let outcomes = entries(&store).await.into_iter().filter_map(outcome).collect();
        Self { secret_digest: digest(&setup.secret().unwrap()), outcomes, audit: audit(root) }
    }
}

/// What was found at an image.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What was promised and is not there.
    pub(crate) lost: Vec<String>,
    /// What is wrong, whether or not something is lost.
    pub(crate) wrong: Vec<String>,
    /// Whether the store noticed that it lost something (T5).
    pub(crate) is_barrier_raised: bool,
}

/// Opens what is on the disk as the program does, and compares it with what was promised.
pub(crate) async fn look(root: &Path, promises: &Promises, whole: &Whole) -> Findings {
    let setup = setup(root);
    let parts = match setup.open().await {
        Ok(parts) => parts,
        Err(error) => {
            let wrong = vec![format!("it does not open: {:#}", anyhow::Error::from(error))];
            return Findings { wrong, ..Findings::default() };
        }
    };
    let entries = entries(&*parts.store).await;
    let mut lost: Vec<_> = promises.sent.iter().filter_map(|order| forgotten(order, &entries)).collect();
    let stored = outcomes(root);
    for key in &promises.answered {
        let entry = entries.get(key);
        let found = entry.and_then(|entry| stored.get(entry.id.as_bytes()));
        let is_kept = match entry.map(|entry| &entry.record.state) {
            Some(State::Done { .. }) if shop::is_brief(key) => true,
            Some(State::Done { .. }) => found.is_some() && found == whole.outcomes.get(key),
            // The look itself comes late enough for an answer to expire that is kept for a moment.
            Some(State::Tombstone { .. }) => shop::is_brief(key),
            Some(State::Absent | State::Claimed { .. } | State::InDoubt { .. }) | None => false,
        };
        if !is_kept {
            lost.push(format!("{key} was answered, and its answer is not there"));
        }
    }
    if !promises.sent.is_empty() && digest(&parts.secret) != whole.secret_digest {
        lost.push("the secret is another one".to_owned());
    }
    let mut wrong = unsound(&setup, &parts).await;
    if lost.is_empty() && !whole.audit.starts_with(&audit(root)) {
        wrong.push("the audit log has other lines, or not all up to its last".to_owned());
    }
    let latest = promises.sent.iter().rev().filter_map(|order| entries.get(&order.key));
    for entry in latest.take(CLAIMED_AGAIN) {
        wrong.extend(granted_again(&parts, entry).await);
    }
    wrong.extend(new_epoch(&parts, promises, &entries).await);
    let health = parts.store.health().await.unwrap();
    Findings { lost, wrong, is_barrier_raised: health.history_barrier.is_some() }
}

/// Whether what was sent is unknown, known of an older attempt only, or let go.
fn forgotten(order: &Order, entries: &BTreeMap<String, Entry>) -> Option<String> {
    let Some(Entry { record, .. }) = entries.get(&order.key) else {
        return Some(format!("{order:?} was sent, and is unknown"));
    };
    match record.state {
        _ if record.epoch.0 < order.epoch => Some(format!("{order:?} is known of {:?}", record.epoch)),
        State::Done { .. } | State::InDoubt { .. } | State::Tombstone { .. } => None,
        State::Absent | State::Claimed { .. } => Some(format!("{order:?} is {:?}", record.state)),
    }
}

/// Claims what was sent before.
async fn granted_again(parts: &Parts, entry: &Entry) -> Option<String> {
    match claimed(parts, entry, entry.id).await {
        Decision::Execute(_) => Some(format!("{} would run again", key_of(entry))),
        _ => None,
    }
}

/// A key that was never asked for: whoever gets it must be told from all that were before.
async fn new_epoch(parts: &Parts, promises: &Promises, entries: &BTreeMap<String, Entry>) -> Option<String> {
    let highest = promises.sent.iter().map(|order| order.epoch).max()?;
    let like = entries.values().next()?;
    match claimed(parts, like, LookupId::from_bytes([0xee; 32])).await {
        Decision::Execute(attempt) if attempt.epoch.0 > highest => None,
        other => Some(format!("a new key gets {other:?}, and {highest} was given before")),
    }
}

async fn claimed(parts: &Parts, like: &Entry, id: LookupId) -> Decision {
    let Entry { label, record, .. } = like.clone();
    let claim = Claim {
        id,
        attempt: OTHER_ATTEMPT,
        fingerprint: record.fingerprint.unwrap(),
        terms: record.terms.unwrap(),
        label,
        issued_at: None,
        undated: Undated::Execute,
        request: None,
    };
    match parts.store.claim(claim).await.unwrap() {
        Reply::Decided { decision, .. } => decision,
        other => panic!("{other:?}"),
    }
}

/// What `onceward store verify` would find.
async fn unsound(setup: &Setup, parts: &Parts) -> Vec<String> {
    let report = setup.open_read_only().unwrap().unwrap().verify().await.unwrap();
    let chain = verify_chain(&*parts.audit_log, &parts.secret, Default::default(), |_| {}).await.unwrap();
    let mut findings = Vec::new();
    if !report.is_sound() {
        findings.push(format!("it is not sound: {report:?}"));
    }
    findings.extend(chain.breaks.iter().map(|flaw| format!("the audit log is broken: {flaw:?}")));
    findings
}

/// Keys that are asked for again at a running gateway: the latest ones, where the loss is.
const ASKED_AGAIN: usize = 12;

/// Starts the program on what is on the disk, and has the customers ask again, twice: those who were sent to the shop before the loss, and
/// others whose requests were still on their way.
pub(crate) fn ask_again(root: &Path, promises: &Promises, answers: &BTreeMap<String, String>) -> Vec<String> {
    let (orders, address) = Orders::open();
    let gateway = Server::start(&mut shop::gateway(root, address));
    let mut broken = Vec::new();
    let sent: BTreeSet<_> = promises.sent.iter().map(|order| order.key.as_str()).collect();
    let latest = promises.sent.iter().rev().take(ASKED_AGAIN).map(|order| order.key.as_str());
    let is_other = |key: &&str| !sent.contains(key) && !shop::is_held(key);
    let others = answers.keys().map(String::as_str).filter(is_other).take(ASKED_AGAIN / 4);
    for key in latest.chain(others) {
        for _ in 0..2 {
            let told = shop::order(gateway.address, key).unwrap();
            let is_known = sent.contains(key);
            let is_answered = promises.answered.iter().any(|answered| answered == key);
            let is_right = match (told.status, told.field("intent-status")) {
                // Its answer was stored, or it ran now.
                (201, Some("replayed")) if is_known => answers.get(key) == Some(&told.body),
                (201, Some("committed" | "replayed")) => !is_known,
                (409, Some("expired")) => shop::is_brief(key),
                (409, Some("unknown")) => !is_answered,
                _ => false,
            };
            if !is_right {
                broken.push(format!("{key} is told {told:?}"));
            }
        }
    }
    let mut again = BTreeMap::<String, usize>::new();
    for order in orders.all() {
        *again.entry(order.key).or_default() += 1;
    }
    for (key, effects) in again {
        let effects = effects + usize::from(sent.contains(key.as_str()));
        if effects > 1 {
            broken.push(format!("{key} happened {effects} times"));
        }
    }
    let epochs = promises.sent.iter().map(|order| order.epoch).max();
    if let Some(low) = orders.all().iter().find(|order| Some(order.epoch) <= epochs) {
        broken.push(format!("{low:?} is not above {epochs:?}"));
    }
    gateway.kill();
    broken
}
