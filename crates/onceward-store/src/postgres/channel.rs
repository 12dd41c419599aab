//! One pipelined connection: kept, watched, and made anew when it is lost. A request is sent once, on the connection that stands, or not at
//! all.
//!
//! # Cancel safety
//! A request that was sent is carried out, whether anybody waits for its answer or not; the connection goes on.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_postgres::{
    AsyncMessage, Client, Row,
    error::{DbError, Severity, SqlState},
    types::{ToSql, Type},
};

use super::{
    door::{Door, Wire},
    open_error::PostgresError,
};
use crate::{port::StoreError, shared::supervised::supervised};

/// Before a lost connection is made anew; it doubles with each failure to make one.
const PAUSE_FIRST: Duration = Duration::from_millis(20);

/// The longest pause: so long after a server is back, everybody is connected again.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How often a connection is asked whether its server still is what it was at opening.
const PROBE_PERIOD: Duration = Duration::from_secs(2);

/// How long a connection may leave a probe unanswered before another one is tried; it doubles each time that this happens in a row, to
/// [`SILENCE_MAX`]. A commit may wait for a standby, and a connection that is given up leaves a waiting session at the server.
const SILENCE_FIRST: Duration = Duration::from_secs(15);

/// The longest that a silent connection is kept.
const SILENCE_MAX: Duration = Duration::from_mins(4);

/// What a request's parameters look like to the driver.
pub(super) type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// What a lost answer leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// Nothing: the request only reads.
    Reads,
    /// Whether it happened.
    Writes,
}

/// Where requests are put.
#[derive(Debug)]
pub(super) struct Channel {
    state: watch::Receiver<State>,
    in_flight: AtomicUsize,
}

#[derive(Clone, Debug)]
enum State {
    Connecting,
    Up(Arc<Live>),
    Down(Arc<PostgresError>),
}

/// A connection that stands.
#[derive(Debug)]
struct Live {
    client: Client,
    /// Commits that the server stopped waiting for before its standbys had them.
    waits_cancelled: AtomicU64,
    /// Its server is not one that this store may use.
    unfit: Notify,
}

impl Channel {
    /// A channel, and what keeps it: a future that never ends, to be run for as long as the channel is used.
    pub(super) fn new(door: Arc<Door>) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (told, state) = watch::channel(State::Connecting);
        let keeper = supervised("connection", move || keep(Arc::clone(&door), told.clone()));
        (Self { state, in_flight: AtomicUsize::new(0) }, keeper)
    }

    /// How little it suits one more request: whether it has no connection, and how many wait for their answers.
    pub(super) fn load(&self) -> (bool, usize) {
        let down = !matches!(*self.state.borrow(), State::Up(_));
        (down, self.in_flight.load(Ordering::Relaxed))
    }

    /// Sends one statement, which is a transaction of its own, and waits until it is committed.
    pub(super) async fn ask(
        &self,
        asks: Asks,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let live = self.live().await?;
        let _counted = Counted::one(&self.in_flight);
        let cancelled_before = live.waits_cancelled.load(Ordering::SeqCst);
        let rows =
            live.client.query_typed(statement, parameters).await.map_err(|error| live.judge(asks, error))?;
        // Notices of a statement are read before its end is. Those of a neighbour in the pipeline are taken for ours, too.
        if asks == Asks::Writes && live.waits_cancelled.load(Ordering::SeqCst) != cancelled_before {
            let reason = "the wait for a synchronous standby was cancelled: it may have none of it";
            return Err(StoreError::Unknown { reason, source: None });
        }
        Ok(rows)
    }

    async fn live(&self) -> Result<Arc<Live>, StoreError> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| !matches!(state, State::Connecting)).await;
        let reason = "no connection to the database";
        match settled.as_deref() {
            Ok(State::Up(live)) if !live.client.is_closed() => Ok(Arc::clone(live)),
            Ok(State::Up(_) | State::Connecting) => Err(StoreError::Unavailable { reason, source: None }),
            Ok(State::Down(error)) => {
                Err(StoreError::Unavailable { reason, source: Some(Box::new(Arc::clone(error))) })
            }
            Err(closed) => Err(StoreError::Unavailable { reason, source: Some(Box::new(closed.clone())) }),
        }
    }
}

/// One more of something, until it is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn one(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Live {
    /// What a failed request says of what it asked for.
    fn judge(&self, asks: Asks, error: tokio_postgres::Error) -> StoreError {
        let refused = error.as_db_error();
        let code = refused.map(DbError::code);
        if code == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            return StoreError::Busy { limit: "lock_time_max" };
        }
        let unfit = [SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE];
        let reason = if code.is_some_and(|code| unfit.contains(code)) {
            self.unfit.notify_one();
            "the database is a replica, or takes no writes any more"
        } else if refused.is_some() {
            "the database refused"
        } else {
            "the connection to the database was lost"
        };
        let source: Option<Box<dyn std::error::Error + Send + Sync>> =
            Some(if let Some(refused) = refused { Box::new(refused.clone()) } else { Box::new(error) });
        match asks {
            Asks::Reads => StoreError::Unavailable { reason, source },
            Asks::Writes if refused_certainly(source.as_deref()) => {
                StoreError::Unavailable { reason, source }
            }
            Asks::Writes => StoreError::Unknown { reason, source },
        }
    }
}

/// Whether the server itself says that it rolled the statement back.
///
/// An `ERROR` comes before the commit, always. With `FATAL` the session ends, also one that waits for a standby with its commit done; and
/// connection exceptions (class 08) are a pooler's, about a server that it lost.
fn refused_certainly(error: Option<&(dyn std::error::Error + Send + Sync + 'static)>) -> bool {
    error.and_then(|error| error.downcast_ref::<DbError>()).is_some_and(|error| {
        error.parsed_severity() == Some(Severity::Error) && !error.code().code().starts_with("08")
    })
}

/// Whether a notice says that a commit was made known before its standbys had it. The routine's name does not depend on the server's
/// language; a pooler may leave it out.
fn cancelled_wait(notice: &DbError) -> bool {
    notice.routine() == Some("SyncRepWaitForLSN") || notice.message().contains("synchronous replication")
}

async fn keep(door: Arc<Door>, told: watch::Sender<State>) {
    let (mut pause, mut silence_max) = (PAUSE_FIRST, SILENCE_FIRST);
    loop {
        let down = match door.enter_store().await {
            Ok((client, wire)) => {
                pause = PAUSE_FIRST;
                let live =
                    Arc::new(Live { client, waits_cancelled: AtomicU64::new(0), unfit: Notify::new() });
                told.send_replace(State::Up(Arc::clone(&live)));
                let (end, source) = serve(wire, &live, &door, silence_max).await;
                silence_max = match end {
                    End::Silent => (silence_max * 2).min(SILENCE_MAX),
                    End::Lost | End::Unfit => SILENCE_FIRST,
                };
                lost(&door, end, source)
            }
            Err(error) => error,
        };
        tracing::warn!(error = &down as &dyn std::error::Error, "database connection is down");
        told.send_replace(State::Down(Arc::new(down)));
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
        told.send_replace(State::Connecting);
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Lost,
    Silent,
    Unfit,
}

fn lost(door: &Door, end: End, source: Option<tokio_postgres::Error>) -> PostgresError {
    let reason = match end {
        End::Lost => "the connection was closed",
        End::Silent => "the server was silent",
        End::Unfit => "the server is not what it has to be any more",
    };
    PostgresError::Unreachable {
        place: door.address.place.clone(),
        source: source.map_or_else(|| reason.into(), |source| Box::new(source) as _),
    }
}

/// Moves what is asked and answered, until the connection is lost or not worth keeping.
async fn serve(
    mut wire: Wire,
    live: &Live,
    door: &Door,
    silence_max: Duration,
) -> (End, Option<tokio_postgres::Error>) {
    let mut probing = pin!(probe(live, door, silence_max));
    loop {
        tokio::select! {
            message = poll_fn(|context| wire.poll_message(context)) => match message {
                Some(Ok(AsyncMessage::Notice(notice))) if cancelled_wait(&notice) => {
                    live.waits_cancelled.fetch_add(1, Ordering::SeqCst);
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return (End::Lost, Some(error)),
                None => return (End::Lost, None),
            },
            end = &mut probing => return (end, None),
            () = live.unfit.notified() => return (End::Unfit, None),
        }
    }
}

/// Asks now and then what the server is; ends when the connection should.
async fn probe(live: &Live, door: &Door, silence_max: Duration) -> End {
    loop {
        sleep(PROBE_PERIOD).await;
        match timeout(silence_max, door.look_again(&live.client)).await {
            Ok(Ok(())) => {}
            // The server has not said what it is.
            Ok(Err(PostgresError::Refused { .. })) => return End::Lost,
            Ok(Err(_)) => return End::Unfit,
            Err(_elapsed) => return End::Silent,
        }
    }
}
