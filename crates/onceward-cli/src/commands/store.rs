//! `onceward store verify | stats`: looks at the file, also while a server writes to it.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    commands::{print, print_json, runtime},
    failure::Failure,
    settings::Settings,
    wiring::open_read_only,
};

pub(crate) fn verify(settings: &Settings, json: bool) -> Result<ExitCode, Failure> {
    let settings = settings.store().map_err(Failure::usage)?;
    let store = open_read_only(&settings)?;
    let report = runtime().map_err(Failure::failed)?.block_on(store.verify()).map_err(Failure::store)?;
    if json {
        print_json(&json!({
            "ok": report.is_sound(),
            "records": report.records,
            "findings": report.findings,
        }))?;
    } else if report.is_sound() {
        print(&format!("sound: {} records\n", report.records))?;
    } else {
        print(&format!("not sound:\n  {}\n", report.findings.join("\n  ")))?;
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(crate) fn stats(settings: &Settings, json: bool) -> Result<ExitCode, Failure> {
    let settings = settings.store().map_err(Failure::usage)?;
    let store = open_read_only(&settings)?;
    let stats = runtime().map_err(Failure::failed)?.block_on(store.stats()).map_err(Failure::store)?;
    let [absent, claimed, done, in_doubt, tombstone] = stats.records;
    if json {
        return print_json(&json!({
            "records": {"absent": absent, "claimed": claimed, "done": done, "in-doubt": in_doubt, "tombstone": tombstone},
            "audit_lines": stats.audit_lines,
            "bytes": stats.bytes,
        }))
        .map(|()| ExitCode::SUCCESS);
    }
    print(&format!(
        "done       {done}\nin doubt   {in_doubt}\nclaimed    {claimed}\ntombstones {tombstone}\nreleased   {absent}\n\
         audit      {} lines\nfile       {} bytes\n",
        stats.audit_lines, stats.bytes
    ))?;
    Ok(ExitCode::SUCCESS)
}
