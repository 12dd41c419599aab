//! Kills the process at a named stage of its first call: for crash tests, behind a feature that no release has.

use std::{fmt, process::Command, sync::Arc, thread, time::Duration};

use anyhow::bail;
use onceward_engine::{Probe, Stage};

/// Names the stage at which the process dies.
const VARIABLE: &str = "ONCEWARD_CRASH_AT";

/// Dies at one stage.
struct CrashPoint(Stage);

/// The crash point that the environment names.
pub(crate) fn from_environment() -> anyhow::Result<Option<Arc<dyn Probe>>> {
    let stage = match std::env::var(VARIABLE).as_deref() {
        Err(_) | Ok("") => return Ok(None),
        Ok("before-claim") => Stage::Arriving,
        Ok("after-claim") => Stage::Claimed,
        Ok("after-commit") => Stage::Ran,
        Ok("after-store") => Stage::Settled,
        Ok(other) => {
            bail!("{VARIABLE}={other}: expected before-claim, after-claim, after-commit or after-store")
        }
    };
    Ok(Some(Arc::new(CrashPoint(stage))))
}

impl fmt::Debug for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CrashPoint({:?})", self.0)
    }
}

impl Probe for CrashPoint {
    fn reached(&self, stage: Stage) {
        if stage == self.0 {
            // SIGKILL, as the kernel's out-of-memory killer sends it: nothing is flushed, nothing unwound.
            let killed = Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
            tracing::error!(?killed, "crash point");
            thread::sleep(Duration::from_secs(60));
        }
    }
}
