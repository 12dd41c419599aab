//! `onceward effects list | show | resolve | cancel | export | erase`.

mod actor;
mod export;

use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::ArgMatches;
use comfy_table::{Table, presets::NOTHING};
use onceward_control::{
    client::{AuditQuery, ClientError, ControlClient, EffectsQuery, KeySelector},
    wire::{Cancel, ChangeResult, Content, Effect, EffectDetail, EffectPage, Outcome, Resolve, Verdict},
};
use onceward_core::{actor::KeyTag, key::Key};
use serde_json::{Value, json};

use crate::{
    commands::{
        meeting::{self, Acted, written},
        print, print_json,
    },
    failure::Failure,
    settings::Settings,
};

/// Entries of one page of the control API.
const PAGE_MAX: usize = 1_000;

/// Effects of one key that are looked at: operations of one step, of which there are few.
const EFFECTS_OF_A_KEY_MAX: usize = 1_000;

pub(crate) fn run(command: &str, settings: &Settings, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    // Asked here, before any server is.
    if command == "erase" && !actor::is_meant(matches)? {
        print("nothing was changed\n")?;
        return Ok(ExitCode::FAILURE);
    }
    meeting::ask(settings, async |client| act(command, client, matches).await)
}

async fn act(command: &str, client: &ControlClient, matches: &ArgMatches) -> Acted {
    match command {
        "list" => list(client, matches).await,
        "show" => show(client, matches).await,
        "resolve" => resolve(client, matches).await,
        "export" => export::run(client, matches).await,
        "erase" => actor::erase(client, matches).await,
        _ => cancel(client, matches).await,
    }
}

async fn list(client: &ControlClient, matches: &ArgMatches) -> Acted {
    let limit = matches.get_one::<usize>("limit").copied().unwrap_or_default();
    let in_doubt_only = matches.get_flag("in-doubt");
    let actor = match actor::named(matches) {
        Ok(actor) => actor,
        Err(error) => return Ok(Err(error)),
    };
    let mut page = EffectPage { effects: Vec::new(), corrupt: 0, next: None };
    loop {
        let wanted = limit.saturating_sub(page.effects.len()).clamp(1, PAGE_MAX);
        let after = page.next.take();
        let query =
            EffectsQuery { in_doubt_only, actor, after, limit: Some(wanted), ..EffectsQuery::default() };
        let more = client.effects(&query).await?;
        page.effects.extend(more.effects);
        page.corrupt += more.corrupt;
        page.next = more.next;
        if page.next.is_none() || page.effects.len() >= limit {
            break;
        }
    }
    if matches.get_flag("json") {
        return Ok(written(print_json(&page)));
    }
    let mut text = table(&page.effects);
    if page.corrupt > 0 {
        text.push_str(&format!("{} records cannot be read; run: onceward store verify\n", page.corrupt));
    }
    if page.next.is_some() {
        text.push_str("there are more; raise --limit\n");
    }
    Ok(written(print(&text)))
}

async fn show(client: &ControlClient, matches: &ArgMatches) -> Acted {
    let effects = match of_key(client, matches).await? {
        Ok(effects) => effects,
        Err(error) => return Ok(Err(error)),
    };
    let mut details = Vec::new();
    for effect in &effects {
        let mut detail = client.effect(&effect.id).await?;
        read_on(client, &mut detail).await?;
        details.push(detail);
    }
    if matches.get_flag("json") {
        return Ok(written(print_json(&json!({"effects": details}))));
    }
    let text: Vec<String> = details.iter().map(paragraph).collect();
    Ok(written(print(&text.join("\n"))))
}

/// Adds the lines of the log that did not fit into the answer: those of this key, without those of other actors who chose the same.
async fn read_on(client: &ControlClient, detail: &mut EffectDetail) -> Result<(), ClientError> {
    let EffectDetail { effect, audit, audit_next, .. } = detail;
    let mut next =
        audit_next.take().map(|after| format!("/v1/audit?after={after}&limit={PAGE_MAX}&key={}", effect.key));
    while let Some(target) = next {
        let page = client.audit(&AuditQuery::At(target)).await?;
        let lines = page.lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        audit.extend(lines.filter(|line| line["tenant"] == effect.tenant && line["actor"] == effect.actor));
        next = page.next.filter(|_| !page.lines.is_empty());
    }
    Ok(())
}

async fn resolve(client: &ControlClient, matches: &ArgMatches) -> Acted {
    let effect = match one_of_key(client, matches, Some("in-doubt")).await? {
        Ok(effect) => effect,
        Err(error) => return Ok(Err(error)),
    };
    let verdict = if matches.get_flag("happened") { Verdict::Happened } else { Verdict::Absent };
    // Without a word about it, the attempt that is in doubt now is meant.
    let epoch = matches.get_one::<u64>("attempt").copied().unwrap_or(effect.epoch);
    let told = Resolve { verdict, epoch, reason: because(matches) };
    let change = client.resolve(&effect.id, &told).await?;
    if matches.get_flag("json") {
        return Ok(written(print_json(&change)));
    }
    let meaning = match verdict {
        Verdict::Happened => "it happened; a retry is told so and never runs",
        Verdict::Absent => "it did not happen; a retry with the same key runs",
    };
    Ok(written(print(&format!("{}: {meaning}\n", effect.effect))))
}

async fn cancel(client: &ControlClient, matches: &ArgMatches) -> Acted {
    let effect = match one_of_key(client, matches, None).await? {
        Ok(effect) => effect,
        Err(error) => return Ok(Err(error)),
    };
    let change = client.cancel(&effect.id, &Cancel { reason: because(matches) }).await?;
    if matches.get_flag("json") {
        return Ok(written(print_json(&change)));
    }
    let meaning = match change.result {
        ChangeResult::Resolved | ChangeResult::Cancelled => "cancelled; it has not run and never will",
        ChangeResult::Abandoned => {
            "still in doubt, and given up: it may have happened, and is never run again"
        }
        ChangeResult::AlreadyDone => "it had happened before; its answer stands",
    };
    Ok(written(print(&format!("{}: {meaning}\n", effect.effect))))
}

/// The effects of the key on the command line; an error where there is none.
async fn of_key(
    client: &ControlClient,
    matches: &ArgMatches,
) -> Result<anyhow::Result<Vec<Effect>>, ClientError> {
    let Some(text) = matches.get_one::<String>("key") else { return Ok(Ok(Vec::new())) };
    let selectors = match selectors(text) {
        Ok(selectors) => selectors,
        Err(error) => return Ok(Err(error)),
    };
    for selector in selectors {
        let query = EffectsQuery {
            key: Some(selector),
            limit: Some(EFFECTS_OF_A_KEY_MAX),
            ..EffectsQuery::default()
        };
        let page = client.effects(&query).await?;
        if !page.effects.is_empty() {
            return Ok(Ok(page.effects));
        }
    }
    Ok(Err(anyhow!("no effect of this key is remembered")))
}

/// What a key on the command line may mean, likeliest first: a tag, or the key itself, which may look like one.
fn selectors(text: &str) -> anyhow::Result<Vec<KeySelector>> {
    let by_tag = KeyTag::parse(text).map(KeySelector::Tag);
    match Key::new(text).map(KeySelector::Key) {
        Ok(by_key) => Ok(by_tag.into_iter().chain([by_key]).collect()),
        Err(invalid) => by_tag.map(|tag| vec![tag]).ok_or_else(|| anyhow!(invalid)),
    }
}

/// The one effect that is meant: by its id, else the only one of the key, else the only one in `state`.
async fn one_of_key(
    client: &ControlClient,
    matches: &ArgMatches,
    state: Option<&str>,
) -> Result<anyhow::Result<Effect>, ClientError> {
    let effects = match of_key(client, matches).await? {
        Ok(effects) => effects,
        Err(error) => return Ok(Err(error)),
    };
    Ok(choose(effects, matches.get_one::<String>("effect").map(String::as_str), state))
}

fn choose(effects: Vec<Effect>, id: Option<&str>, state: Option<&str>) -> anyhow::Result<Effect> {
    let candidates: Vec<Effect> = match id {
        Some(id) => effects.into_iter().filter(|effect| effect.id == id).collect(),
        None if effects.len() == 1 => effects,
        None => {
            effects.into_iter().filter(|effect| state.is_none_or(|state| effect.state == state)).collect()
        }
    };
    match <[Effect; 1]>::try_from(candidates) {
        Ok([effect]) => Ok(effect),
        Err(candidates) if candidates.is_empty() => bail!("no such effect; see: onceward effects show"),
        Err(candidates) => {
            bail!("the key has several effects; name one with --effect:\n{}", table(&candidates))
        }
    }
}

fn because(matches: &ArgMatches) -> String {
    matches.get_one::<String>("because").cloned().unwrap_or_default()
}

fn table(effects: &[Effect]) -> String {
    if effects.is_empty() {
        return "nothing is remembered\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["key", "state", "sent", "effect"]);
    for effect in effects {
        let state = match &effect.reason {
            Some(reason) => format!("{} ({reason})", effect.state),
            None => effect.state.clone(),
        };
        let sent_at = effect.sent_at.clone().unwrap_or_default();
        table.add_row([&effect.key, &state, &sent_at, &effect.effect]);
    }
    format!("{}\n", table.trim_fmt())
}

fn paragraph(detail: &EffectDetail) -> String {
    let effect = &detail.effect;
    let mut text = format!("{}\n  id      {}\n  state   {}", effect.effect, effect.id, effect.state);
    if let Some(reason) = &effect.reason {
        text.push_str(&format!(" ({reason})"));
    }
    text.push_str(&format!(" since {}\n  attempt {}\n", effect.since, effect.epoch));
    if let Some(sent_at) = &effect.sent_at {
        text.push_str(&format!("  sent    {sent_at}\n"));
    }
    match &detail.outcome {
        Some(Outcome::Answer { status, content, .. }) => {
            let content = match content {
                Content::Kept { len } => format!("{len} bytes kept"),
                Content::NotKept { len, .. } => format!("{len} bytes, not kept"),
                Content::None { .. } => "no content".to_owned(),
            };
            text.push_str(&format!("  answer  {status}, {content}\n"));
        }
        Some(Outcome::Vouched) => text.push_str("  answer  never seen; somebody vouched that it happened\n"),
        Some(Outcome::Erased) => text.push_str("  answer  erased\n"),
        Some(Outcome::Unreadable) => {
            text.push_str("  answer  does not open under this deployment's secret\n")
        }
        None => {}
    }
    for line in &detail.audit {
        text.push_str(&format!("  audit   {line}\n"));
    }
    text
}
