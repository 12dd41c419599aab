//! The tables of `docs/evidence.md` that this crate prints: what does not depend on the machine.

use crate::{
    census::{Census, Decided, Rare},
    flaw::Flaw,
    torture::Caught,
};

/// What the worlds met, as tables.
#[must_use]
pub fn worlds(census: &Census) -> String {
    let (met, pairs) = census.pairs();
    let reached = Rare::ALL.iter().filter(|rare| census.rare(**rare) > 0).count();
    let figures = [
        ("Worlds, by the seeds from 0 on", census.worlds.to_string()),
        ("Steps in them", census.steps.to_string()),
        ("Pairs of state and event that were met", format!("{met} of {pairs}")),
        ("Decisions", format!("{} of {}", census.decisions(), Decided::ALL.len())),
        ("Rare situations", format!("{reached} of {}", Rare::ALL.len())),
    ];
    let mut page = "| What | Count |\n| --- | --- |\n".to_owned();
    page.extend(figures.map(|(what, count)| format!("| {what} | {count} |\n")));
    page.push_str("\n| Rare situation | Times |\n| --- | --- |\n");
    page.extend(Rare::ALL.iter().map(|rare| format!("| {rare} | {} |\n", census.rare(*rare))));
    page
}

/// How the planted mistakes were caught, as tables.
#[must_use]
pub fn mistakes(controls: &[Caught]) -> String {
    let mut page = "| Planted mistake | Caught after | As |\n| --- | --- | --- |\n".to_owned();
    page.extend(controls.iter().filter(|caught| !caught.flaw.is_limit()).map(row));
    page.push_str("\n| Assumption that fails | Seen after | As |\n| --- | --- | --- |\n");
    page.extend(controls.iter().filter(|caught| caught.flaw.is_limit()).map(row));
    page
}

fn row(caught: &Caught) -> String {
    let flaw: Flaw = caught.flaw;
    match &caught.by {
        Some((1, breach)) => format!("| {flaw} | 1 world | {} |\n", breach.what),
        Some((worlds, breach)) => format!("| {flaw} | {worlds} worlds | {} |\n", breach.what),
        None => format!("| {flaw} | **not caught** | – |\n"),
    }
}
