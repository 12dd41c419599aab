//! Running scripts where their partitions are.
//!
//! A call is sent again only where the server proved that it did not run: the slot is elsewhere, the script is not known, the server is
//! not the one that was looked at. After a lost answer nothing is sent again from here.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use redis::{Cmd, Pipeline, Value};
use tokio::time::sleep;

use super::{
    address::Address,
    fault::{Fault, Refusal},
    layout::Partition,
    links::Links,
    script::Script,
    server::Server,
    standing::Standing,
};

/// How long a call may be sent round before it is given up. Below the time of one operation of the store.
const ROUNDS_TIME_MAX: Duration = Duration::from_millis(1_000);

/// How long a call waits before it is sent again to where it was refused for now.
const ROUND_PAUSE: Duration = Duration::from_millis(5);

/// How long a server waits for its replicas. Below the time that it may take to answer.
const REPLICAS_WAIT_MS: u64 = 800;

/// One script, for partitions that one server has.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) script: Script,
    /// One of its partitions.
    pub(super) partition: Partition,
    pub(super) keys: Vec<Vec<u8>>,
    /// All but the first two: the reign and its sign.
    pub(super) arguments: Vec<Vec<u8>>,
    /// Where it makes sense under this standing of the server only.
    pub(super) under: Option<Arc<Standing>>,
}

/// What a script returned, where, and under which standing of its server.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) value: Value,
    pub(super) server: Arc<Server>,
    pub(super) standing: Arc<Standing>,
}

/// Runs calls.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) links: Links,
    pub(super) replicas_to_wait: u32,
}

/// A call on its way.
struct Underway {
    number: usize,
    call: Call,
    /// The server that a slot on its way was said to be at.
    ask: Option<Address>,
}

/// What became of one call in one round.
enum Became {
    Answered(Answer),
    Again(Underway, Again),
    Failed(Fault),
}

/// Why a call is sent again.
enum Again {
    /// To somewhere else.
    Elsewhere,
    /// The script is loaded now.
    Loaded,
    /// It was refused for now.
    Later,
    /// The server has to be looked at.
    Unlike,
}

impl Calls {
    /// Runs one call.
    pub(super) async fn run_one(&self, call: Call) -> Result<Answer, Fault> {
        let mut answers = self.run(vec![call]).await;
        answers.pop().unwrap_or(Err(Fault::unavailable("nothing was asked")))
    }

    /// Runs calls, each by itself, and says what each returned, in their order.
    pub(super) async fn run(&self, calls: Vec<Call>) -> Vec<Result<Answer, Fault>> {
        let begun = Instant::now();
        let mut answers = Vec::new();
        answers
            .resize_with(calls.len(), || Err(Fault::unavailable("the servers sent it round for too long")));
        let numbered = calls.into_iter().enumerate();
        let mut underway =
            numbered.map(|(number, call)| Underway { number, call, ask: None }).collect::<Vec<_>>();
        while !underway.is_empty() && begun.elapsed() < ROUNDS_TIME_MAX {
            let mut later = false;
            for (number, became) in self.round(std::mem::take(&mut underway)).await {
                let answer = match became {
                    Became::Answered(answer) => Ok(answer),
                    Became::Failed(fault) => Err(fault),
                    Became::Again(call, why) => {
                        later |= matches!(why, Again::Later);
                        underway.push(call);
                        continue;
                    }
                };
                if let Some(place) = answers.get_mut(number) {
                    *place = answer;
                }
            }
            if later {
                sleep(ROUND_PAUSE).await;
            }
        }
        answers
    }

    /// Sends each call once, to all servers at the same time.
    async fn round(&self, underway: Vec<Underway>) -> Vec<(usize, Became)> {
        let partitions = underway.iter().map(|underway| underway.call.partition).collect::<Vec<_>>();
        let owners = match self.links.owners(&partitions).await {
            Ok(owners) => owners,
            Err(fault) => return failed(underway, &fault),
        };
        let mut servers = HashMap::<Address, Vec<Underway>>::new();
        for (underway, owner) in underway.into_iter().zip(owners) {
            servers.entry(underway.ask.clone().unwrap_or(owner)).or_default().push(underway);
        }
        let sent = servers.into_iter().map(|(address, calls)| async move {
            match self.links.server(&address).await {
                Ok(server) => self.send(&server, calls).await,
                Err(fault) => failed(calls, &fault),
            }
        });
        join_all(sent).await.into_iter().flatten().collect()
    }

    /// Sends calls to one server in one go.
    async fn send(&self, server: &Arc<Server>, calls: Vec<Underway>) -> Vec<(usize, Became)> {
        let present = server.standing();
        let waits = self.replicas_to_wait > 0 && calls.iter().any(|underway| underway.call.script.writes());
        let mut pipeline = Pipeline::with_capacity(calls.len() + 1);
        for Underway { call, ask, .. } in &calls {
            if ask.is_some() {
                pipeline.cmd("ASKING");
            }
            pipeline.add_command(command(server, call, call.under.as_ref().unwrap_or(&present)));
        }
        if waits {
            pipeline.cmd("WAIT").arg(self.replicas_to_wait).arg(REPLICAS_WAIT_MS);
        }
        let mut answers = match server.send(&pipeline).await {
            Ok(answers) => answers.into_iter(),
            Err(fault) => {
                self.links.give_up(server);
                return failed(calls, &fault);
            }
        };
        let mut became = Vec::with_capacity(calls.len());
        for underway in calls {
            if underway.ask.is_some() {
                answers.next();
            }
            let number = underway.number;
            let answer = answers.next().unwrap_or_default();
            became.push((number, self.became(server, &present, underway, answer)));
        }
        let replicas = answers.next().and_then(|answer| redis::from_redis_value::<u32>(answer).ok());
        if waits && replicas.is_none_or(|replicas| replicas < self.replicas_to_wait) {
            unconfirm(&mut became);
        }
        self.mend(server, &mut became).await;
        became
    }

    fn became(
        &self,
        server: &Arc<Server>,
        present: &Arc<Standing>,
        underway: Underway,
        answer: Value,
    ) -> Became {
        let Value::ServerError(error) = answer else {
            let standing = Arc::clone(underway.call.under.as_ref().unwrap_or(present));
            return Became::Answered(Answer { value: answer, server: Arc::clone(server), standing });
        };
        let elsewhere = |target: &str| Address::redirected(target, &server.address);
        let unreadable = Became::Failed(Fault::unavailable("the cluster sends to where nothing can be"));
        match Refusal::of(&error) {
            Refusal::Moved(target) => match elsewhere(&target) {
                Some(address) => {
                    self.links.moved(underway.call.partition, address);
                    Became::Again(Underway { ask: None, ..underway }, Again::Elsewhere)
                }
                None => unreadable,
            },
            Refusal::Ask(target) => match elsewhere(&target) {
                Some(address) => Became::Again(Underway { ask: Some(address), ..underway }, Again::Elsewhere),
                None => unreadable,
            },
            Refusal::TryAgain => Became::Again(Underway { ask: None, ..underway }, Again::Later),
            Refusal::NoScript => Became::Again(underway, Again::Loaded),
            Refusal::Reign if underway.call.under.is_some() => {
                Became::Failed(Fault::unavailable("the server is not the one that was looked at"))
            }
            Refusal::Reign => Became::Again(underway, Again::Unlike),
            Refusal::Refused(reason) => Became::Failed(Fault::unavailable(reason).because(error.into())),
            Refusal::Broken => Became::Failed(Fault::unknown("the server failed").because(error.into())),
        }
    }

    /// Loads scripts that the server had forgotten, looks at it where it is another one than it was, and leaves it where it is no
    /// master.
    async fn mend(&self, server: &Arc<Server>, became: &mut [(usize, Became)]) {
        let again = |wanted: fn(&Again) -> bool| {
            became.iter().any(|(_, became)| matches!(became, Became::Again(_, why) if wanted(why)))
        };
        let loaded = match again(|why| matches!(why, Again::Loaded)) {
            true => server.reload().await,
            false => Ok(()),
        };
        let looked = match again(|why| matches!(why, Again::Unlike)) {
            true => server.look().await.and_then(|()| self.links.admitted(&server.standing())),
            false => Ok(()),
        };
        let away = loaded.and(looked).is_err();
        if away || !server.standing().master {
            self.links.give_up(server);
        }
        if !away && !server.standing().master && !self.links.is_cluster() {
            let replica = Fault::unavailable("the server is a replica");
            for (_, became) in became.iter_mut().filter(|(_, became)| matches!(became, Became::Again(..))) {
                *became = Became::Failed(replica.clone());
            }
        }
    }
}

fn command(server: &Server, call: &Call, standing: &Standing) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(server.name(call.script)).arg(call.keys.len()).arg(&call.keys);
    command.arg(&standing.reign).arg(server.sign(standing)).arg(&call.arguments);
    command
}

fn failed(calls: Vec<Underway>, fault: &Fault) -> Vec<(usize, Became)> {
    calls.into_iter().map(|underway| (underway.number, Became::Failed(fault.clone()))).collect()
}

/// Too few replicas have what was answered: it happened, and may be lost with this server.
fn unconfirm(became: &mut [(usize, Became)]) {
    for (_, became) in became.iter_mut().filter(|(_, became)| matches!(became, Became::Answered(_))) {
        *became = Became::Failed(Fault::unknown("too few replicas have it"));
    }
}
