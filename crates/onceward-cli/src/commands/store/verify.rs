//! `onceward store verify`: every record read back, and every seal of the audit log checked.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use onceward::StoreUrl;
use onceward_core::{secret::Secret, time::Timestamp};
use onceward_engine::{ChainBreak, ChainReport, Flaw, Limits, verify_chain};
use onceward_store::{AuditLog, EntryFilter, Store, SystemClock, VerifyReport};
use serde_json::{Value, json};

use crate::{
    commands::{print, print_json, runtime},
    failure::Failure,
    settings::{Settings, StoreSettings},
    wiring,
};

/// Records of a database that are asked for at once.
const PAGE_RECORDS: usize = 1_000;

/// Lines of the audit log between two words of how far it got.
const PROGRESS_LINES: u64 = 100_000;

/// Clocks of the processes of one store are this near to each other, for what may have been trimmed by now.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What a look through a store found.
struct Findings {
    records: u64,
    chain: ChainReport,
    findings: Vec<String>,
}

pub(crate) fn verify(settings: &Settings, json: bool) -> Result<ExitCode, Failure> {
    let settings = settings.store().map_err(Failure::usage)?;
    let Findings { records, chain, findings } =
        runtime().map_err(Failure::failed)?.block_on(look_through(&settings))?;
    let is_sound = findings.is_empty();
    if json {
        print_json(
            &json!({"ok": is_sound, "records": records, "audit": audit_json(&chain), "findings": findings}),
        )?;
    } else if is_sound {
        print(&format!("sound: {records} records\n{}", audit_text(&chain)))?;
    } else {
        print(&format!("not sound:\n  {}\n{}", findings.join("\n  "), audit_text(&chain)))?;
    }
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look_through(settings: &StoreSettings) -> Result<Findings, Failure> {
    if let StoreUrl::Database(_) = settings.url {
        let parts = wiring::open(settings).await?;
        let (records, mut findings) = look_through_pages(&*parts.store).await?;
        let chain = look_through_log(&*parts.audit_log, &parts.secret, &mut findings).await?;
        return Ok(Findings { records, chain, findings });
    }
    let secret = wiring::setup(settings).secret().map_err(wiring::not_set_up)?;
    let store = wiring::open_read_only(settings)?;
    let report = store.verify().await.map_err(Failure::store)?;
    let records = report.records;
    let mut findings = file_findings(report);
    let chain = look_through_log(&store, &secret, &mut findings).await?;
    Ok(Findings { records, chain, findings })
}

fn file_findings(report: VerifyReport) -> Vec<String> {
    let VerifyReport { records: _, mut findings, unreadable, misfiled, counts_agree, epochs_agree } = report;
    if unreadable > 0 {
        findings.push(unreadable_records(unreadable));
    }
    if misfiled > 0 {
        findings.push(format!(
            "{misfiled} records are filed under what they are not: listings or the sweep miss them"
        ));
    }
    if !counts_agree {
        findings.push("the counts that the store keeps are not those of its records".to_owned());
    }
    if !epochs_agree {
        findings.push(
            "a record has an epoch that is still to be given out: an attempt could be taken for another one"
                .to_owned(),
        );
    }
    findings
}

fn unreadable_records(count: u64) -> String {
    format!("{count} records cannot be read back; their keys are refused")
}

/// A database looks after its own pages; what can be read back as a record is for us to say.
async fn look_through_pages(store: &dyn Store) -> Result<(u64, Vec<String>), Failure> {
    let (mut records, mut corrupt, mut after) = (0, 0, None);
    loop {
        let page = store.scan(EntryFilter::default(), after, PAGE_RECORDS).await.map_err(Failure::store)?;
        records += (page.entries.len() + page.corrupt) as u64;
        corrupt += page.corrupt as u64;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok((records, if corrupt == 0 { Vec::new() } else { vec![unreadable_records(corrupt)] }))
}

async fn look_through_log(
    log: &dyn AuditLog,
    secret: &Secret,
    findings: &mut Vec<String>,
) -> Result<ChainReport, Failure> {
    let kept = Limits::default().audit_retention.saturating_sub(CLOCKS_APART_MAX);
    let kept_ms = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
    let now = onceward_store::Clock::now(&SystemClock::starting_at(Timestamp::from_ms(0)));
    let retained_since = Timestamp::from_ms(now.as_ms().saturating_sub(kept_ms));
    let mut told = 0;
    let progress = |lines: u64| {
        if lines - told >= PROGRESS_LINES && io::stderr().is_terminal() {
            told = lines;
            // Nobody is there to read it if that fails.
            drop(writeln!(io::stderr(), "audit log: {lines} lines"));
        }
    };
    let chain = verify_chain(log, secret, retained_since, progress).await.map_err(Failure::store)?;
    findings.extend(chain.breaks.iter().map(break_text));
    Ok(chain)
}

fn break_text(broken: &ChainBreak) -> String {
    let ChainBreak { seal, at, since, flaw } = broken;
    let since = since.map_or_else(|| "the beginning".to_owned(), |since| since.to_string());
    match flaw {
        Flaw::Altered => format!(
            "audit log: lines between {since} and {at} are not those that seal {seal} was made of: changed, removed or added"
        ),
        Flaw::Missing { seals } => {
            format!("audit log: {seals} seals between {since} and {at} are gone, with what stood there")
        }
        Flaw::Overrun => {
            format!("audit log: more lines between {since} and {at} than seal {seal} can vouch for")
        }
    }
}

fn audit_text(chain: &ChainReport) -> String {
    let ChainReport { lines, last, unsealed, .. } = chain;
    match last {
        Some(last) => format!(
            "audit log: {lines} lines, the last seal is number {} of {}, {unsealed} lines came after it\n",
            last.number, last.at
        ),
        None => format!("audit log: {lines} lines, no seal yet\n"),
    }
}

fn audit_json(chain: &ChainReport) -> Value {
    let ChainReport { lines, seals, first, last, unsealed, breaks } = chain;
    let last = last
        .as_ref()
        .map(|last| json!({"number": last.number, "time": last.at.to_string(), "link": last.link}));
    let breaks = breaks.iter().map(|ChainBreak { seal, at, since, flaw }| {
        let flaw = match flaw {
            Flaw::Altered => "altered",
            Flaw::Missing { .. } => "missing",
            Flaw::Overrun => "overrun",
        };
        let since = since.map(|since| since.to_string());
        json!({"seal": seal, "since": since, "time": at.to_string(), "flaw": flaw})
    });
    json!({
        "lines": lines,
        "seals": seals,
        "first_seal": first,
        "last_seal": last,
        "unsealed": unsealed,
        "breaks": breaks.collect::<Vec<_>>(),
    })
}
