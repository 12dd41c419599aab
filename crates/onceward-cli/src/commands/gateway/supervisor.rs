//! What the service manager is told (sd_notify(3)).

use std::{
    convert::Infallible,
    env,
    error::Error,
    ffi::{OsStr, OsString},
    future::pending,
    io,
    os::unix::{
        ffi::OsStrExt as _,
        net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use anyhow::Context;
use tokio::time::{MissedTickBehavior, interval};

/// The service manager that has started the gateway, if it wants to be told.
#[derive(Debug)]
pub(super) struct Supervisor {
    manager: Option<Manager>,
    /// After a silence of this length the gateway counts as hung.
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

/// A state of the gateway, as the service manager names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// It listens.
    Ready,
    /// It reads files again; [`Notice::Ready`] follows.
    Reloading,
    /// It takes no new connections.
    Stopping,
    /// It is not hung.
    Alive,
}

impl Notice {
    const fn text(self) -> &'static str {
        match self {
            Self::Ready => "READY=1",
            Self::Reloading => "RELOADING=1",
            Self::Stopping => "STOPPING=1",
            Self::Alive => "WATCHDOG=1",
        }
    }
}

impl Supervisor {
    /// Whoever `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` tell of.
    pub(super) fn from_environment() -> anyhow::Result<Self> {
        let manager = env::var_os("NOTIFY_SOCKET").map(|name| Manager::at(&name)).transpose()?;
        let [time, pid] = ["WATCHDOG_USEC", "WATCHDOG_PID"].map(env::var_os);
        Ok(Self { manager, watchdog: watchdog(time, pid, std::process::id())? })
    }

    /// Says it. A manager that does not hear is no reason to serve nobody.
    pub(super) fn tell(&self, notice: Notice) {
        let Some(Manager { socket, address }) = &self.manager else { return };
        if let Err(error) = socket.send_to_addr(notice.text().as_bytes(), address) {
            tracing::warn!(%error, notice = notice.text(), "the service manager was not told");
        }
    }

    /// Says all the time that the gateway is not hung, if somebody counts on it: each time after every thread that serves has
    /// answered.
    pub(super) async fn beat<E: Error>(&self, answered: impl AsyncFn() -> Result<(), E>) -> Infallible {
        let Some(silence) = self.watchdog else { return pending().await };
        // Half of it, as sd_watchdog_enabled(3) advises.
        let mut beats = interval(silence / 2);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            match answered().await {
                Ok(()) => self.tell(Notice::Alive),
                Err(error) => tracing::error!(%error, "a thread that serves connections has ended"),
            }
        }
    }
}

impl Manager {
    fn at(name: &OsStr) -> anyhow::Result<Self> {
        let address = address(name).with_context(|| format!("NOTIFY_SOCKET={}", name.display()))?;
        let socket = UnixDatagram::unbound().context("the service manager's socket")?;
        // A manager that does not read must not hold up those who are served.
        socket.set_nonblocking(true).context("the service manager's socket")?;
        Ok(Self { socket, address })
    }
}

/// A path, or `@` and a name that is in no folder.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => abstract_address(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor an abstract name")),
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;

    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has abstract names"))
}

/// The time after which process `own` counts as hung. It may be another process that is meant.
fn watchdog(time: Option<OsString>, pid: Option<OsString>, own: u32) -> anyhow::Result<Option<Duration>> {
    let number = |name: &str, text: OsString| {
        let number = text.to_str().and_then(|text| text.parse::<u64>().ok()).filter(|number| *number > 0);
        number.with_context(|| format!("{name}={} is no number above 0", text.display()))
    };
    let pid = pid.map(|pid| number("WATCHDOG_PID", pid)).transpose()?;
    let time = time.map(|time| number("WATCHDOG_USEC", time)).transpose()?;
    Ok(time.filter(|_| pid.is_none_or(|pid| pid == u64::from(own))).map(Duration::from_micros))
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn the_watchdog_may_be_meant_for_another_process() {
        let watched = |time: Option<&str>, pid: Option<&str>| {
            watchdog(time.map(OsString::from), pid.map(OsString::from), 17).map_err(|error| error.to_string())
        };
        let half_a_minute = Some(Duration::from_secs(30));
        assert_eq!(watched(None, None), Ok(None));
        assert_eq!(watched(Some("30000000"), None), Ok(half_a_minute));
        assert_eq!(watched(Some("30000000"), Some("17")), Ok(half_a_minute));
        assert_eq!(watched(Some("30000000"), Some("18")), Ok(None));
        assert_eq!(watched(None, Some("17")), Ok(None));
        assert_eq!(watched(Some("0"), None), Err("WATCHDOG_USEC=0 is no number above 0".to_owned()));
        assert_eq!(watched(Some("1"), Some("we")), Err("WATCHDOG_PID=we is no number above 0".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_with_a_thread_that_does_not_answer_counts_as_hung() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("notify");
        let heard = UnixDatagram::bind(&name).unwrap();
        heard.set_nonblocking(true).unwrap();
        let silence = Duration::from_secs(30);
        let manager = Some(Manager::at(name.as_os_str()).unwrap());
        let supervisor = Supervisor { manager, watchdog: Some(silence) };
        let told = || {
            let mut text = [0; 64];
            heard.recv(&mut text).map(|len| String::from_utf8_lossy(&text[..len]).into_owned()).ok()
        };

        let hanging = supervisor.beat(async || pending::<io::Result<()>>().await);
        assert!(timeout(silence * 4, hanging).await.is_err());
        let ended = supervisor.beat(async || io::Result::Err(io::ErrorKind::BrokenPipe.into()));
        assert!(timeout(silence * 4, ended).await.is_err());
        assert_eq!(told(), None);

        let answering = supervisor.beat(async || io::Result::Ok(()));
        assert!(timeout(silence, answering).await.is_err());
        assert_eq!([(); 2].map(|()| told()), [Some("WATCHDOG=1".to_owned()), Some("WATCHDOG=1".to_owned())]);
    }

    #[test]
    fn a_socket_is_a_path_or_an_abstract_name() {
        let path = address(OsStr::new("/run/notify")).unwrap();
        assert_eq!(path.as_pathname(), Some(std::path::Path::new("/run/notify")));
        let refused = |name: &str| address(OsStr::new(name)).unwrap_err().to_string();
        assert_eq!(refused("vsock:2:1"), "neither a path nor an abstract name");
        assert_eq!(refused(""), "neither a path nor an abstract name");
    }
}
