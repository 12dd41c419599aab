//! A wire between clients and a server that can be cut, slowed, and made to lose what the server says.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::server::{ServerError, system};

/// Bytes that are passed on at once.
const PIECE_BYTES: usize = 16 << 10;

/// A TCP proxy. It knows nothing of what it carries, so that it serves in front of any server.
///
/// Dropping it cuts every connection and closes its port.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    open: bool,
    refusing: bool,
    delay: Duration,
    connections: HashMap<u64, Connection>,
    made: u64,
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// Nothing that the server says on it is passed on any more.
    deaf: bool,
}

impl Wire {
    /// A wire to the server at `target`.
    ///
    /// # Errors
    /// When the system gives no port.
    pub fn to(target: SocketAddr) -> Result<Self, ServerError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(system("opening a wire"))?;
        let address = listener.local_addr().map_err(system("opening a wire"))?;
        let state = State {
            target,
            open: true,
            refusing: false,
            delay: Duration::ZERO,
            connections: HashMap::new(),
            made: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        thread::spawn(move || accept(&listener, &shared));
        Ok(Self { address, state })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads new connections to another server; those that stand stay as they are.
    pub fn lead_to(&self, target: SocketAddr) {
        lock(&self.state).target = target;
    }

    /// Holds each piece of an answer back for so long, from now on.
    pub fn delay(&self, delay: Duration) {
        lock(&self.state).delay = delay;
    }

    /// Loses, from now on, whatever the server says on the connections that stand; what clients say still arrives. New connections are whole.
    pub fn swallow(&self) {
        lock(&self.state).connections.values_mut().for_each(|connection| connection.deaf = true);
    }

    /// Closes every connection that stands.
    pub fn cut(&self) {
        lock(&self.state).connections.drain().for_each(|(_, connection)| connection.close());
    }

    /// Closes every connection, and each new one at once, until [`mend`](Self::mend).
    pub fn break_off(&self) {
        lock(&self.state).refusing = true;
        self.cut();
    }

    /// Lets new connections through again.
    pub fn mend(&self) {
        lock(&self.state).refusing = false;
    }

    /// How many connections stand.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.state).connections.len()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        lock(&self.state).open = false;
        self.cut();
        // Wakes the thread that accepts, so that it sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

impl Connection {
    fn close(&self) {
        // One that is closed already is what is wanted.
        for end in [&self.client, &self.server] {
            drop(end.shutdown(Shutdown::Both));
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, state: &Arc<Mutex<State>>) {
    for client in listener.incoming() {
        let (open, refusing, target) = {
            let state = lock(state);
            (state.open, state.refusing, state.target)
        };
        if !open {
            return;
        }
        if let Ok(client) = client
            && !refusing
        {
            // A client whose server does not answer sees its connection closed, as it would without a wire.
            drop(join(client, target, state));
        }
    }
}

/// Ties a client to the server, one thread a direction.
fn join(client: TcpStream, target: SocketAddr, state: &Arc<Mutex<State>>) -> io::Result<()> {
    let server = TcpStream::connect(target)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let number = {
        let connection = Connection { client: client.try_clone()?, server: server.try_clone()?, deaf: false };
        let mut state = lock(state);
        state.made += 1;
        let number = state.made;
        state.connections.insert(number, connection);
        number
    };
    let asking = (client.try_clone()?, server.try_clone()?, Arc::clone(state));
    thread::spawn(move || {
        let (client, server, state) = asking;
        carry(client, server, || true);
        forget(&state, number);
    });
    let state = Arc::clone(state);
    thread::spawn(move || {
        carry(server, client, || passes(&state, number));
        forget(&state, number);
    });
    Ok(())
}

/// Passes on what comes from one end, where `passes` lets it, until an end is closed.
fn carry(mut from: TcpStream, mut to: TcpStream, passes: impl Fn() -> bool) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(count) = from.read(&mut piece)
        && count > 0
    {
        let sent = piece.get(..count).filter(|_| passes()).map_or(Ok(()), |bytes| to.write_all(bytes));
        if sent.is_err() {
            return;
        }
    }
}

/// Waits as long as answers are held back; says whether this one is passed on.
fn passes(state: &Mutex<State>, number: u64) -> bool {
    let delay = lock(state).delay;
    if !delay.is_zero() {
        thread::sleep(delay);
    }
    lock(state).connections.get(&number).is_some_and(|connection| !connection.deaf)
}

fn forget(state: &Mutex<State>, number: u64) {
    if let Some(connection) = lock(state).connections.remove(&number) {
        connection.close();
    }
}
