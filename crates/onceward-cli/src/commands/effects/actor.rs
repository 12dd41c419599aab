//! What concerns all effects of an actor.

use anyhow::anyhow;
use clap::ArgMatches;
use onceward_control::{
    client::{ClientError, ControlClient},
    wire::{Erase, Erased},
};
use onceward_core::actor::ActorTag;

use super::because;
use crate::{
    commands::{
        confirmed,
        meeting::{Acted, written},
        print, print_json,
    },
    failure::Failure,
};

/// The actor on the command line, if there is one.
pub(super) fn named(matches: &ArgMatches) -> anyhow::Result<Option<ActorTag>> {
    let Some(text) = matches.get_one::<String>("actor") else { return Ok(None) };
    let tag = ActorTag::parse(text);
    tag.map(Some).ok_or_else(|| {
        anyhow!(
            "{text:?} is no actor's tag, which has 16 hexadecimal digits; see: onceward effects list --json"
        )
    })
}

/// Whether somebody says that it is to be done.
pub(super) fn is_meant(matches: &ArgMatches) -> Result<bool, Failure> {
    let Some(actor) = named(matches).map_err(Failure::usage)? else { return Ok(false) };
    let question = format!(
        "The answers and requests that are kept of {actor} will be gone for good; effects in doubt are left to you then. Erase them?"
    );
    Ok(matches.get_flag("yes") || confirmed(&question)?)
}

/// Erases what is kept, in as many calls as it takes.
pub(super) async fn erase(client: &ControlClient, matches: &ArgMatches) -> Acted {
    let actor = match named(matches) {
        Ok(Some(actor)) => actor,
        Ok(None) => return Ok(Err(anyhow!("no actor is named"))),
        Err(error) => return Ok(Err(error)),
    };
    let erased = erase_all(client, actor, because(matches)).await?;
    if matches.get_flag("json") {
        return Ok(written(print_json(&erased)));
    }
    let Erased { erased, running, unreadable, .. } = erased;
    let mut text = format!("{actor}: nothing is kept any more of {erased} effects\n");
    if running > 0 {
        text.push_str(&format!(
            "{running} effects still run, and their answers will be kept; run it again later\n"
        ));
    }
    if unreadable > 0 {
        text.push_str(&format!("{unreadable} records cannot be read and stay; run: onceward store verify\n"));
    }
    Ok(written(print(&text)))
}

async fn erase_all(client: &ControlClient, actor: ActorTag, reason: String) -> Result<Erased, ClientError> {
    let mut sum = Erased { actor: actor.to_string(), erased: 0, running: 0, unreadable: 0, next: None };
    loop {
        let told = Erase { reason: reason.clone(), after: sum.next.take() };
        let Erased { actor: _, erased, running, unreadable, next } = client.erase(actor, &told).await?;
        sum.erased += erased;
        sum.running += running;
        sum.unreadable += unreadable;
        sum.next = next;
        if sum.next.is_none() {
            return Ok(sum);
        }
    }
}
