//! `onceward demo`: the whole story in less than a minute, with nothing simulated.
//!
//! A shop books each order into a file that it syncs (`shop`, `ledger`). An agent orders, and repeats as agents do (`agent`,
//! `plot`). Each scenario is played twice, without and with onceward, and judged by what the ledger says (`scenario`). The
//! proxy is this program in a process of its own, and is really killed (`proxy`).
//!
//! The agent is blind on purpose: in both runs it goes on until it holds an order's number or has used up its tries, also
//! when it is told to stop. What keeps the orders at one is therefore the proxy and nothing else.

mod agent;
mod ledger;
mod plot;
mod proxy;
mod report;
mod scenario;
mod shop;
mod tls;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::ArgMatches;
use tempfile::TempDir;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, timeout_at},
};

use self::{
    proxy::Proxy,
    report::Report,
    scenario::{SCENARIOS, Scheme},
    tls::ShopCertificate,
};
use super::runtime;
use crate::failure::Failure;

/// The minute that is promised; on an idle machine it takes a tenth of it.
const DEMO_TIME_MAX: Duration = Duration::from_mins(1);

/// As shells report a command that SIGINT ended.
const INTERRUPTED: u8 = 130;

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let json = matches.get_flag("json");
    runtime().map_err(Failure::failed)?.block_on(async {
        // Listens before there is anything to clean up. Whatever ends the show drops the stage, and that is the cleaning.
        let mut interrupts = Interrupts::listen().map_err(Failure::failed)?;
        tokio::select! {
            report = show() => report.map_err(Failure::failed)?.print(json),
            () = interrupts.next() => Ok(ExitCode::from(INTERRUPTED)),
        }
    })
}

/// Plays every scenario.
async fn show() -> anyhow::Result<Report> {
    let deadline = Instant::now() + DEMO_TIME_MAX;
    let in_time = || format!("the demo's {} s are over", DEMO_TIME_MAX.as_secs());
    let mut stage = timeout_at(deadline, Stage::set()).await.with_context(in_time)??;
    let mut report = Report::default();
    for scenario in &SCENARIOS {
        for scheme in [Scheme::Http, Scheme::Https] {
            let name = scenario.name(scheme);
            announce(&name);
            let performed = timeout_at(deadline, scenario.perform(scheme, &mut stage)).await;
            let row =
                performed.with_context(in_time).flatten().with_context(|| format!("scenario {name:?}"))?;
            report.rows.push(row);
        }
    }
    Ok(report)
}

/// Somebody who watches is told what is going on.
fn announce(scenario: &str) {
    if io::stderr().is_terminal() {
        anstream::eprintln!("  {scenario} …");
    }
}

/// What the scenarios share. The proxy stands first, so that it is gone before its folder is.
struct Stage {
    proxy: Proxy,
    certificate: ShopCertificate,
    folder: TempDir,
}

impl Stage {
    async fn set() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("onceward-demo-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let certificate = ShopCertificate::issue(folder.path())?;
        let proxy = Proxy::start(folder.path(), certificate.ca_file()).await?;
        Ok(Self { proxy, certificate, folder })
    }
}

/// What asks the demo to end early.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupts {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
