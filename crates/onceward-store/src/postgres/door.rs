//! How a connection is made, and what has to be true of the server at its other end.

use std::{error::Error, future::Future, pin::pin, task::Poll, time::Duration};

use tokio::time::timeout;
use tokio_postgres::{Client, Connection, Socket, tls::MakeTlsConnect, types::Type};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    Promotion,
    address::Address,
    open_error::PostgresError,
    schema::{Schema, refused},
};

/// A connection's own end, which has to be polled for anything to happen on it.
pub(super) type Wire = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Until a connection is made, all addresses of all hosts together; and until its server has said what it is.
const ENTRY_TIME_MAX: Duration = Duration::from_secs(8);

/// The oldest server whose functions this program knows.
const VERSION_MIN: i32 = 140_000;

/// The way in: who may pass is a primary that keeps this deployment's records.
pub(super) struct Door {
    pub(super) address: Address,
    pub(super) schema: Schema,
    pub(super) secret_check: [u8; 32],
    pub(super) promotion: Promotion,
    /// Whether a server has to keep what it acknowledges as [`Promotion`] and its own disk promise.
    pub(super) strict: bool,
}

/// What a server says of its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Whether it waits for its disk.
    syncs: bool,
    /// Whether its commits wait for standbys.
    replicates: bool,
}

impl Door {
    /// Connects, and lets `work` run on the new connection if its server is a primary that takes writes.
    pub(super) async fn enter<T>(
        &self,
        time_max: Duration,
        work: impl AsyncFnOnce(&mut Client, Settings) -> Result<T, PostgresError>,
    ) -> Result<(Client, Wire, T), PostgresError> {
        let entered = async {
            let (mut client, mut wire) = self.in_time(ENTRY_TIME_MAX, self.connect()).await?;
            let done = attended(&mut wire, async {
                let settings = self.in_time(ENTRY_TIME_MAX, self.look(&client)).await?;
                work(&mut client, settings).await
            });
            let done = done.await?;
            Ok((client, wire, done))
        };
        self.in_time(time_max, entered).await
    }

    /// Connects to where the records are.
    pub(super) async fn enter_store(&self) -> Result<(Client, Wire), PostgresError> {
        let entered = self.enter(ENTRY_TIME_MAX, async |client, settings| {
            self.admit(&settings)?;
            self.check_books(client).await
        });
        let (client, wire, ()) = entered.await?;
        Ok((client, wire))
    }

    async fn in_time<T>(
        &self,
        time_max: Duration,
        work: impl Future<Output = Result<T, PostgresError>>,
    ) -> Result<T, PostgresError> {
        timeout(time_max, work).await.unwrap_or_else(|elapsed| Err(self.unreachable(elapsed)))
    }

    async fn connect(&self) -> Result<(Client, Wire), PostgresError> {
        let connected = self.address.config.connect(self.address.tls.clone()).await;
        connected.map_err(|source| self.unreachable(source))
    }

    fn unreachable(&self, source: impl Error + Send + Sync + 'static) -> PostgresError {
        PostgresError::Unreachable { place: self.address.place.clone(), source: Box::new(source) }
    }

    /// Makes sure that the server still is what it was entered as.
    pub(super) async fn look_again(&self, client: &Client) -> Result<(), PostgresError> {
        self.admit(&self.look(client).await?)
    }

    /// Makes sure that what the server acknowledges is kept.
    pub(super) fn admit(&self, settings: &Settings) -> Result<(), PostgresError> {
        let place = || self.address.place.clone();
        if self.strict && !settings.syncs {
            return Err(PostgresError::Unsynced { place: place() });
        }
        if self.strict && self.promotion == Promotion::KeepsAll && !settings.replicates {
            return Err(PostgresError::Unreplicated { place: place() });
        }
        Ok(())
    }

    async fn look(&self, client: &Client) -> Result<Settings, PostgresError> {
        let doing = refused("read the server's settings", &self.address.place);
        let row = client.query_typed_one(LOOK, &[]).await.map_err(&doing)?;
        let place = || self.address.place.clone();
        let version: i32 = row.try_get("version").map_err(&doing)?;
        if version < VERSION_MIN {
            return Err(PostgresError::TooOld { place: place(), found: version / 10_000 });
        }
        if row.try_get("replica").map_err(&doing)? {
            return Err(PostgresError::Replica { place: place() });
        }
        if row.try_get("read_only").map_err(&doing)? {
            return Err(PostgresError::ReadOnly { place: place() });
        }
        let isolation: String = row.try_get("isolation").map_err(&doing)?;
        if isolation != "read committed" {
            return Err(PostgresError::Isolation { place: place(), found: isolation });
        }
        let encoding: String = row.try_get("encoding").map_err(&doing)?;
        if encoding != "UTF8" {
            return Err(PostgresError::Encoding { place: place(), found: encoding });
        }
        Ok(Settings {
            syncs: row.try_get("syncs").map_err(&doing)?,
            replicates: row.try_get("replicates").map_err(&doing)?,
        })
    }

    /// Makes sure that what is there is this deployment's, and is kept as tables are.
    pub(super) async fn check_books(&self, client: &Client) -> Result<(), PostgresError> {
        let doing = refused("read the store's own row", &self.address.place);
        let (place, schema) = (self.address.place.clone(), self.schema.name().to_owned());
        let unlogged = self.schema.within(UNLOGGED);
        if let Some(row) = client.query_typed_opt(&unlogged, &[]).await.map_err(&doing)? {
            return Err(PostgresError::Unlogged { place, table: row.try_get(0).map_err(&doing)? });
        }
        let open = self.schema.within("SELECT {schema}.open_books($1)");
        let secret_check = &self.secret_check.as_slice();
        let row = client.query_typed_one(&open, &[(secret_check, Type::BYTEA)]).await.map_err(&doing)?;
        match row.try_get::<_, Option<&[u8]>>(0).map_err(&doing)? {
            Some(found) if found == *secret_check => Ok(()),
            Some(_) => Err(PostgresError::OtherSecret { place, schema }),
            None => Err(PostgresError::Damaged { place, schema, finding: "its own row is missing" }),
        }
    }
}

const LOOK: &str = "
SELECT current_setting('server_version_num')::int4 AS version,
    pg_is_in_recovery() AS replica,
    current_setting('transaction_read_only')::bool AS read_only,
    current_setting('transaction_isolation') AS isolation,
    current_setting('server_encoding') AS encoding,
    current_setting('fsync')::bool AS syncs,
    current_setting('synchronous_standby_names') <> '' AS replicates";

const UNLOGGED: &str = "
SELECT c.oid::regclass::text FROM pg_class AS c
WHERE c.oid IN ('{schema}.records'::regclass, '{schema}.books'::regclass, '{schema}.audit'::regclass)
    AND c.relpersistence <> 'p'
LIMIT 1";

/// Runs `work`, which asks over the connection whose end is `wire`.
async fn attended<T>(wire: &mut Wire, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut open = true;
    std::future::poll_fn(|context| {
        // What the server says without being asked is of no interest here.
        while open {
            match wire.poll_message(context) {
                Poll::Ready(Some(Ok(_))) => {}
                // The request that waits is told by the driver.
                Poll::Ready(Some(Err(_)) | None) => open = false,
                Poll::Pending => break,
            }
        }
        work.as_mut().poll(context)
    })
    .await
}
