//! Onceward's own promises, as `docs/protocol.md` numbers them.

mod answers;
mod bodies;
mod contract;
mod doubt;
mod duplicates;
mod equality;
mod fences;
mod finality;
mod heads;
mod keys;
mod refusals;

use super::Suite;
use crate::{
    case::Case,
    talk::{Dialect, KeyForm},
};

pub(super) const SUITE: Suite = Suite {
    name: "onceward",
    source: "docs/protocol.md",
    dialect: Dialect { carrier: "Idempotency-Key", form: KeyForm::Quoted, issue_field: None },
    groups: GROUPS,
};

const GROUPS: &[&[Case]] = &[
    keys::CASES,
    keys::NAMESPACES,
    equality::JSON,
    equality::OTHERS,
    equality::INTENTS,
    duplicates::CASES,
    answers::CASES,
    bodies::CASES,
    finality::CASES,
    doubt::CASES,
    refusals::CASES,
    contract::CASES,
    fences::CASES,
    heads::CASES,
];
