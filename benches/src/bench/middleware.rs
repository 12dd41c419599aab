//! What the middleware adds to a service: bare, with keys that are new, with keys that come again.

use anyhow::{Context, Result, bail};

use super::drive;
use crate::{
    figures::{Sample, Unit},
    http,
    plan::Plan,
    rounds::{Case, Contender},
    server::Server,
    stand::{Stand, free_address, pinned},
    target::{Measure, Target},
    wrk::{Load, Requests},
};

/// Keys in turn, for each connection: so that no two of them ask for one key at the same time.
const KEYS_PER_CONNECTION: usize = 2;

/// A framework, and the server that is built with it.
pub(super) struct Framework {
    pub(super) about: &'static str,
    program: &'static str,
    targets: &'static [(&'static str, f64)],
}

pub(super) const AXUM: Framework = Framework {
    about: "A POST of 200 bytes of JSON to an axum handler that counts it: bare, and in the layer with the profile `onceward` and the \
        memory store. The service has one core, wrk the other.",
    program: "bench-axum",
    targets: &[(FIRST, 12.0), (REPLAYS, 6.0)],
};

pub(super) const ACTIX: Framework = Framework {
    about: "A POST of 200 bytes of JSON to an Actix Web handler that counts it: bare, and in the middleware with the profile `onceward` \
        and the memory store. The service has one core, wrk the other.",
    program: "bench-actix",
    targets: &[],
};

const BARE: &str = "bare";
const FIRST: &str = "first-time requests";
const REPLAYS: &str = "replays";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    Absent,
    New,
    Known,
}

impl Framework {
    pub(super) fn case<'a>(&'static self, stand: &'a Stand, plan: &'a Plan) -> Case<'a> {
        let contender =
            |name, guard| Contender { name, sample: Box::new(move || self.sample(stand, plan, guard)) };
        let target = |(contender, bound): &(&'static str, f64)| Target {
            contender,
            measure: Measure::CpuAbove(BARE, *bound),
        };
        Case {
            load: format!("POST, {} connections", plan.connections),
            unit: Unit::Request,
            contenders: vec![
                contender(BARE, Guard::Absent),
                contender(FIRST, Guard::New),
                contender(REPLAYS, Guard::Known),
            ],
            targets: self.targets.iter().map(target).collect(),
        }
    }

    fn sample(&self, stand: &Stand, plan: &Plan, guard: Guard) -> Result<Sample> {
        let server = self.start(stand, guard)?;
        if guard != Guard::Absent {
            http::prove_replay(server.address)?;
        }
        let keys = plan.connections * KEYS_PER_CONNECTION;
        let before = executions(&server)?;
        let driven = drive(&server, plan, |stretch| {
            let requests = match guard {
                Guard::Absent | Guard::New => Requests::Unique { prefix: stretch.key_prefix },
                Guard::Known => Requests::Cycle { prefix: "known", keys },
            };
            let url = format!("http://{}/orders", server.address);
            Load { url, connections: plan.connections, seconds: stretch.seconds, requests }.run(stand)
        })?;
        let executed = executions(&server)? - before;
        let answered = driven.requests_in_all;
        let is_right = match guard {
            // wrk leaves while answers are under way: it counts fewer than were executed.
            Guard::Absent | Guard::New => executed >= answered,
            Guard::Known => executed == keys as u64 && answered > executed,
        };
        if !is_right {
            bail!("{executed} executions for {answered} answers");
        }
        Ok(driven.sample())
    }

    fn start(&self, stand: &Stand, guard: Guard) -> Result<Server> {
        let (address, folder) = (free_address()?, stand.folder()?);
        let mut command = pinned(stand.server_core, stand.own(self.program));
        command.arg(if guard == Guard::Absent { "bare" } else { "guarded" }).arg(address.to_string());
        Server::start(command, address, folder)
    }
}

/// How often the handler ran.
fn executions(server: &Server) -> Result<u64> {
    let answer = http::ask(server.address, "GET", "/executions", "", "")?;
    let count = answer.rsplit("\r\n\r\n").next().and_then(|body| body.trim().parse().ok());
    count.with_context(|| format!("no count of executions: {answer}"))
}
