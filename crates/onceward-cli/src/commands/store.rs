//! `onceward store migrate | verify | stats | barrier`: what holds the records, looked at also while servers write to it.

mod verify;

use std::process::ExitCode;

use clap::ArgMatches;
use onceward::StoreUrl;
use onceward_control::{
    client::ControlClient,
    wire::{Barrier, RaiseBarrier},
};
use serde_json::json;

pub(crate) use self::verify::verify;
use crate::{
    commands::{
        self,
        meeting::{self, Acted, written},
        print, print_json, runtime,
    },
    failure::Failure,
    settings::{Settings, StoreSettings},
    wiring,
};

pub(crate) fn migrate(settings: &Settings, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let settings = settings.store().map_err(Failure::usage)?;
    let setup = wiring::setup(&settings);
    if matches.get_flag("print") {
        let role = matches.get_one::<String>("role").map(String::as_str);
        let script = setup.migration_script(role).map_err(wiring::not_set_up)?;
        let text = script.unwrap_or_else(|| "-- this store has no tables to make\n".to_owned());
        return print(&text).map(|()| ExitCode::SUCCESS);
    }
    let applied =
        runtime().map_err(Failure::failed)?.block_on(setup.migrate()).map_err(wiring::not_set_up)?;
    if matches.get_flag("json") {
        print_json(&json!({"ok": true, "applied": applied}))?;
    } else if applied == 0 {
        print("nothing to do\n")?;
    } else {
        print(&format!("done: {applied} migrations\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a store holds.
struct Counts {
    records: [u64; 5],
    /// A database is not asked to count these.
    audit_lines: Option<u64>,
    bytes: u64,
}

pub(crate) fn stats(settings: &Settings, json: bool) -> Result<ExitCode, Failure> {
    let settings = settings.store().map_err(Failure::usage)?;
    let Counts { records, audit_lines, bytes } =
        runtime().map_err(Failure::failed)?.block_on(count(&settings))?;
    let [absent, claimed, done, in_doubt, tombstone] = records;
    if json {
        return print_json(&json!({
            "records": {"absent": absent, "claimed": claimed, "done": done, "in-doubt": in_doubt, "tombstone": tombstone},
            "audit_lines": audit_lines,
            "bytes": bytes,
        }))
        .map(|()| ExitCode::SUCCESS);
    }
    let audit = audit_lines.map_or_else(String::new, |lines| format!("audit      {lines} lines\n"));
    print(&format!(
        "done       {done}\nin doubt   {in_doubt}\nclaimed    {claimed}\ntombstones {tombstone}\nreleased   {absent}\n\
         {audit}size       {bytes} bytes\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}

async fn count(settings: &StoreSettings) -> Result<Counts, Failure> {
    if let StoreUrl::Database(_) = settings.url {
        let health = wiring::open(settings).await?.store.health().await.map_err(Failure::store)?;
        return Ok(Counts { records: health.records, audit_lines: None, bytes: health.bytes });
    }
    let stats = wiring::open_read_only(settings)?.stats().await.map_err(Failure::store)?;
    Ok(Counts { records: stats.records, audit_lines: Some(stats.audit_lines), bytes: stats.bytes })
}

/// Shows the history barrier, or raises it (T5).
pub(crate) fn barrier(settings: &Settings, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let raise =
        matches.get_flag("raise").then(|| RaiseBarrier { at: matches.get_one::<String>("at").cloned() });
    if let Some(raise) = &raise
        && !matches.get_flag("yes")
        && !confirmed(raise)?
    {
        print("nothing was changed\n")?;
        return Ok(ExitCode::FAILURE);
    }
    meeting::ask(settings, async |client| barrier_of(client, raise.as_ref(), matches.get_flag("json")).await)
}

async fn barrier_of(client: &ControlClient, raise: Option<&RaiseBarrier>, json: bool) -> Acted {
    let barrier = match raise {
        Some(raise) => client.raise_barrier(raise).await?,
        None => Barrier { history_barrier: client.store().await?.history_barrier },
    };
    if json {
        return Ok(written(print_json(&barrier)));
    }
    Ok(written(print(&match barrier.history_barrier {
        Some(at) => format!("{at}: keys that were issued before it and are unknown are refused\n"),
        None => "none: nothing was lost that is known of\n".to_owned(),
    })))
}

fn confirmed(raise: &RaiseBarrier) -> Result<bool, Failure> {
    let at = raise.at.as_deref().unwrap_or("now");
    commands::confirmed(&format!(
        "Keys that were issued before {at} and are unknown will be refused, and that is never taken back. Raise it?"
    ))
}
