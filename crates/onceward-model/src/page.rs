//! `docs/model.md`, section by section.

use crate::{
    atlas::Broken,
    sights::{EVENTS, Met, Sights},
    visit::{Story, Visited},
};

/// What the page says before its first generated section.
pub const HEAD: &str = "\
# The model of the protocol

Written by `cargo run -p onceward-model > docs/model.md`; a test fails where this page is stale. Ids in parentheses are promises
of [protocol.md](protocol.md), H7 an assumption of [guarantees.md](guarantees.md).

A checker visits every scene that a small world can come to, in every order of events. What happens to a key is decided by
`Record::on` of onceward-core, the code that every store runs; the model has no machine of its own that could drift from it.

**In a world** there are an agent that asks for one thing with one key, up to three times, through one or two gateways; a store;
and a shop that counts its effects. At every step the next thing may be any of these: a connection breaks before or after the
effect, the store's answer is lost and the operation repeated, a message to the store is held up and arrives when its sender is
dead or has moved on, a gateway dies or starts, time passes to the next deadline, a resolver looks at the shop or gives the verdict
of an earlier look, the owner cancels the key, the sweep comes by. A request that was sent reaches the shop at any time until its
socket is closed, and for the settling time after that.

**What is assumed.** A request that did not arrive within the settling time after its socket closed never does. A verdict of
absence rests on a look made after that time (D3), counted from the end of the lease and, after a fail-over, not before a lease has
passed since. Nobody sleeps for as long as a key is remembered.

**What is not shown.** Worlds with more requests, more fail-overs, or more late messages than the table says. Fingerprints, streams
and several keys are not in the model; other tests prove what is promised of them. Several requests that wait are asked in any order.
";

/// The worlds where all holds, and what was decided in them.
#[must_use]
pub(crate) fn worlds(visited: &[Visited], sights: &Sights) -> String {
    let mut page = "\n## Where everything holds\n\n| World | Scenes | Steps | Longest way |\n| --- | --- | --- | --- |\n".to_owned();
    for Visited { name, about, scenes, steps, depth, broken } in visited {
        let row = format!("| **{name}.** {about} | {scenes} | {steps} | {depth} |\n");
        page.push_str(&row);
        for (promise, lines) in broken {
            page.push_str(&format!("\nBroken: {promise}\n\n{}\n", numbered(lines)));
        }
    }
    page.push_str(SCENES);
    page.push_str(&decisions(sights));
    page
}

const SCENES: &str = "
In each scene: the shop counts at most one effect; all recorded answers that callers get are one effect's own, and the same; no key
is freed while a request under it acted or still can; nothing unfinished ages away; only the holder's word changes what is held; an
outcome stays as it is for its retention; an answer after a verdict of absence raises the alarm; and there is a way on which every
doubt ends and every request is answered. After a guess, the first and the third may be lost, and the others hold.

## What was decided

What `Record::on` answered in these worlds, by the record's state (down) and the event (across). A dash: no world comes to it.

";

fn decisions(sights: &Sights) -> String {
    let mut page = format!("| | {} |\n|{}\n", EVENTS.join(" | "), " --- |".repeat(EVENTS.len() + 1));
    for met in Met::ALL {
        let cells: Vec<String> = (0..EVENTS.len()).map(|event| cell(&sights.decided(met, event))).collect();
        page.push_str(&format!("| **{met}** | {} |\n", cells.join(" | ")));
    }
    page
}

fn cell(decided: &[(&'static str, u64)]) -> String {
    let names: Vec<&str> = decided.iter().map(|(name, _)| *name).collect();
    if names.is_empty() { "–".to_owned() } else { names.join(", ") }
}

/// A section of worlds where something breaks, each with the shortest way there.
#[must_use]
pub(crate) fn stories(title: &str, about: &str, told: &[(Broken, Story)]) -> String {
    let mut page = format!("\n## {title}\n\n{about}\n");
    for (broken, Story { lines, end, scenes: _ }) in told {
        let (name, about) = (capital(broken.world.name), broken.world.about);
        page.push_str(&format!("\n### {name}\n\n{about}\n\n{}\n{end}\n", numbered(lines)));
    }
    page
}

fn numbered(lines: &[String]) -> String {
    (1..).zip(lines).map(|(number, line): (usize, &String)| format!("{number}. {line}\n")).collect()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
