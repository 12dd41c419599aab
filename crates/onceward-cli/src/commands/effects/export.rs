//! Writes everything as JSON Lines, page by page, so that it may be of any size.

use std::{ops::ControlFlow, process::ExitCode};

use clap::ArgMatches;
use onceward_control::client::{AuditQuery, ClientError, ControlClient, EffectsQuery, KeySelector};

use super::{PAGE_MAX, selectors};
use crate::commands::{meeting::Acted, print_on};

/// How an export ended: what it wrote, or why it could not be written.
type Exported = Result<anyhow::Result<Written>, ClientError>;

/// Whether anything was there to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Nothing,
    Lines,
}

/// Exports the effects, or the audit log.
pub(super) async fn run(client: &ControlClient, matches: &ArgMatches) -> Acted {
    let selectors = match matches.get_one::<String>("key").map(|text| selectors(text)).transpose() {
        Ok(None) => vec![None],
        Ok(Some(selectors)) => selectors.into_iter().map(Some).collect(),
        Err(error) => return Ok(Err(error)),
    };
    for selector in selectors {
        let exported = if matches.get_flag("audit") {
            audit(client, selector).await?
        } else {
            effects(client, selector).await?
        };
        match exported {
            // What a key may mean otherwise is not asked once it meant something.
            Ok(Written::Nothing) => {}
            Ok(Written::Lines) => break,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(ExitCode::SUCCESS))
}

async fn effects(client: &ControlClient, key: Option<KeySelector>) -> Exported {
    let (mut written, mut corrupt) = (Written::Nothing, 0);
    let mut query = EffectsQuery { key, limit: Some(PAGE_MAX), ..EffectsQuery::default() };
    loop {
        let page = client.effects(&query).await?;
        corrupt += page.corrupt;
        let lines: Result<Vec<_>, _> = page.effects.iter().map(serde_json::to_string).collect();
        let lines = match lines {
            Ok(lines) => lines.into_iter().map(|line| line + "\n").collect::<String>(),
            Err(error) => return Ok(Err(error.into())),
        };
        if !lines.is_empty() {
            written = Written::Lines;
        }
        match print_on(&lines) {
            Ok(ControlFlow::Continue(())) if page.next.is_some() => query.after = page.next,
            Ok(_) => break,
            Err(failure) => return Ok(Err(failure.into_error())),
        }
    }
    if corrupt > 0 {
        tracing::warn!(corrupt, "records cannot be read and are left out; run: onceward store verify");
    }
    Ok(Ok(written))
}

async fn audit(client: &ControlClient, key: Option<KeySelector>) -> Exported {
    let mut written = Written::Nothing;
    let mut query = key.map_or(AuditQuery::All, AuditQuery::Of);
    loop {
        let page = client.audit(&query).await?;
        if page.lines.is_empty() {
            return Ok(Ok(written));
        }
        written = Written::Lines;
        match (print_on(&page.lines), page.next) {
            (Ok(ControlFlow::Continue(())), Some(next)) => query = AuditQuery::At(next),
            (Ok(_), _) => return Ok(Ok(written)),
            (Err(failure), _) => return Ok(Err(failure.into_error())),
        }
    }
}
