//! A connection to one server process, and what was read about it over that very connection.
//!
//! A connection is never repaired: where it breaks, another one is made and the server looked at again. So what is remembered here is
//! said by the process that the connection leads to.

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{AsyncConnectionConfig, Pipeline, Value, aio::MultiplexedConnection};

use super::{
    address::{Access, Address},
    fault::Fault,
    script::Script,
    standing::{Demands, Standing, questions},
};

/// How long a server may take to accept a connection and a login.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);

/// How long a server may take to answer before its connection is given up: less than one operation of the store, so that a connection
/// that leads nowhere is noticed by the operation that met it.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(1_200);

/// How often a server is looked at again, for settings that were changed while it runs.
const LOOK_PERIOD: Duration = Duration::from_secs(5);

/// What is read of a server is older than this program can work with.
const VERSION_MIN: (u64, u64) = (6, 2);

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: Address,
    connection: MultiplexedConnection,
    demands: Demands,
    /// Names of the scripts, in their order.
    names: Vec<String>,
    standing: RwLock<Arc<Standing>>,
    looked_at: Mutex<Instant>,
    /// Whether records under its present reign are, or were, kept otherwise than on its own disk alone. It stays so for the reign.
    shared: AtomicBool,
}

impl Server {
    /// Connects, loads the scripts, and looks at the server.
    pub(super) async fn connect(address: &Address, access: &Access, demands: Demands) -> Result<Self, Fault> {
        let away = Fault::unavailable("the server cannot be reached");
        let client = access.client(address).map_err(|error| away.clone().because(error))?;
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIME_MAX))
            .set_response_timeout(Some(ANSWER_TIME_MAX));
        let connection = client.get_multiplexed_async_connection_with_config(&settings);
        let mut connection = connection.await.map_err(|error| away.because(error))?;
        let standing = look(&mut connection, demands).await?;
        if standing.version < VERSION_MIN {
            return Err(Fault::unavailable("the server is older than Redis 6.2"));
        }
        let names = load(&mut connection).await?;
        Ok(Self {
            address: address.clone(),
            connection,
            demands,
            names,
            standing: RwLock::new(Arc::new(standing)),
            looked_at: Mutex::new(Instant::now()),
            shared: AtomicBool::new(false),
        })
    }

    pub(super) fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.standing.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// `+` where all that is acknowledged under the present reign is on this server's own synced disk, and was so all along; else `-`.
    pub(super) fn sign(&self, standing: &Standing) -> &'static str {
        if standing.keeps_alone() && !self.shared.load(Ordering::Relaxed) { "+" } else { "-" }
    }

    /// A partition says that its present reign was not always alone.
    pub(super) fn set_shared(&self) {
        self.shared.store(true, Ordering::Relaxed);
    }

    /// Looks at it again, if the last look is old.
    pub(super) async fn watch(&self) -> Result<(), Fault> {
        let due = {
            let mut looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
            let due = looked_at.elapsed() >= LOOK_PERIOD;
            if due {
                *looked_at = Instant::now();
            }
            due
        };
        if due { self.look().await } else { Ok(()) }
    }

    /// Looks at it again.
    pub(super) async fn look(&self) -> Result<(), Fault> {
        let standing = look(&mut self.connection.clone(), self.demands).await?;
        let mut known = self.standing.write().unwrap_or_else(PoisonError::into_inner);
        if known.reign != standing.reign {
            self.shared.store(false, Ordering::Relaxed);
        } else if !standing.keeps_alone() {
            self.shared.store(true, Ordering::Relaxed);
        }
        *known = Arc::new(standing);
        Ok(())
    }

    /// Loads the scripts again, where the server has forgotten them.
    pub(super) async fn reload(&self) -> Result<(), Fault> {
        load(&mut self.connection.clone()).await.map(drop)
    }

    /// The name of a script.
    pub(super) fn name(&self, script: Script) -> &str {
        self.names.get(script as usize).map_or("", String::as_str)
    }

    /// Sends commands and waits for all answers.
    pub(super) async fn send(&self, pipeline: &Pipeline) -> Result<Vec<Value>, Fault> {
        send(&mut self.connection.clone(), pipeline).await
    }
}

async fn send(connection: &mut MultiplexedConnection, pipeline: &Pipeline) -> Result<Vec<Value>, Fault> {
    let answers = connection.send_packed_commands(pipeline, 0, pipeline.len()).await;
    answers.map_err(|error| Fault::unknown("the server's answer was lost").because(error))
}

async fn look(connection: &mut MultiplexedConnection, demands: Demands) -> Result<Standing, Fault> {
    let answers = send(connection, &questions()).await;
    // Nothing but questions was asked.
    let answers = answers.map_err(|fault| Fault { nothing_happened: true, ..fault })?;
    Standing::read(&answers, demands)
        .ok_or(Fault::unavailable("the server does not say what it is: allow INFO"))
}

/// Loads all scripts; says their names.
async fn load(connection: &mut MultiplexedConnection) -> Result<Vec<String>, Fault> {
    let mut pipeline = redis::pipe();
    for script in Script::ALL {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(script.source());
    }
    let answers =
        send(connection, &pipeline).await.map_err(|fault| Fault { nothing_happened: true, ..fault })?;
    let names = answers.into_iter().map(|answer| match answer {
        Value::BulkString(name) => String::from_utf8(name).ok(),
        _ => None,
    });
    names.collect::<Option<_>>().ok_or(Fault::unavailable("the server does not take scripts"))
}
