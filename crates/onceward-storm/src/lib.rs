//! Real gateways over a real store, killed and frozen while clients repeat; what each client saw is judged.
//!
//! A [`Storm`] has gateways in processes of their own before a service that books every order it gets. Agents ask for each key several
//! times at once and again, while the gateways die at the named stages of a call, or whenever, or are frozen past their lease. Then
//! everything heals, and each key is asked for once more.
//!
//! For each key, [`history::explain`] looks for an order in which one record can have told everybody what they were told, each within
//! the time that they asked (Herlihy and Wing, "Linearizability", 1990), and the service's books say whether it happened twice.

mod client;
mod gateway;
pub mod history;
mod report;
mod service;
mod storm;

pub use report::{Fate, Report};
pub use storm::Storm;
