//! Asks a program of the operator's (D2 command).

use std::{ffi::OsString, process::Stdio, time::Duration};

use onceward_engine::{Doubtful, Look, LookFuture, Resolver, Sight};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process,
};

use super::{Finder, Needs, remembered};
use crate::{recipe::Effects, request::EffectRequest};

/// Bytes of what the program says that are read.
const SAID_BYTES_MAX: u64 = 64 * 1024;

/// Characters of the program's evidence that the audit log gets.
const EVIDENCE_CHARS_MAX: usize = 500;

/// A program that finds out: it reads one JSON object from its standard input, and writes one to its standard output.
///
/// It is killed when the look's time is over.
#[derive(Debug)]
pub struct Command {
    name: String,
    effects: Effects,
    program: OsString,
    arguments: Vec<OsString>,
    settling: Duration,
}

/// What the program reads.
#[derive(Serialize)]
struct Told<'a> {
    method: &'a str,
    url: String,
    /// Name and value, where the value is text.
    headers: Vec<(&'a str, &'a str)>,
    /// The body where it is UTF-8; else it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    claimed_at_ms: u64,
    doubted_at_ms: u64,
    reason: &'static str,
    looks: u32,
}

/// What the program writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    verdict: Verdict,
    #[serde(default)]
    evidence: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// It happened.
    Happened,
    /// It happened more than once.
    Multiple,
    /// There is nothing to be seen of it; counts once the settling time has passed.
    Nothing,
    /// It did not happen and never will, whatever is still on its way.
    Never,
    /// Nothing can be said.
    Unknown,
}

impl Command {
    /// Asks `program` about `effects`; that it saw nothing counts after `settling` (D3).
    #[must_use]
    pub fn new(
        name: String,
        effects: Effects,
        program: OsString,
        arguments: Vec<OsString>,
        settling: Duration,
    ) -> Self {
        Self { name, effects, program, arguments, settling }
    }

    async fn seen(&self, doubt: &Doubtful) -> Result<Look, String> {
        let effect = remembered(doubt)?;
        if !self.effects.include(&effect) {
            return Ok(Look::not_mine());
        }
        let said = self.asked(&told(&effect, doubt)?).await?;
        let said: Said = serde_json::from_slice(&said)
            .map_err(|error| format!("the command wrote no verdict that can be read: {error}"))?;
        let sight = match said.verdict {
            Verdict::Happened => Sight::Happened(None),
            Verdict::Multiple => Sight::Multiple,
            Verdict::Nothing => Sight::Nothing { settling: self.settling },
            Verdict::Never => Sight::Never,
            Verdict::Unknown => Sight::Unclear,
        };
        let printable = said.evidence.chars().filter(|character| !character.is_control());
        Ok(Look { sight, evidence: printable.take(EVIDENCE_CHARS_MAX).collect() })
    }

    async fn asked(&self, told: &[u8]) -> Result<Vec<u8>, String> {
        let failed = |what: &str, error: std::io::Error| format!("the command {what}: {error}");
        let mut child = process::Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("cannot be started", error))?;
        let (mut input, output) = (child.stdin.take(), child.stdout.take());
        let tell = async {
            if let Some(input) = &mut input {
                // A program that does not read what it is told may know better.
                if let Err(error) = input.write_all(told).await {
                    tracing::debug!(%error, "the command did not read all it was told");
                }
            }
            drop(input);
        };
        let mut said = Vec::new();
        let hear = async {
            match output {
                Some(output) => output.take(SAID_BYTES_MAX + 1).read_to_end(&mut said).await,
                None => Ok(0),
            }
        };
        let ((), heard) = tokio::join!(tell, hear);
        let heard = heard.map_err(|error| failed("was not heard", error))?;
        if heard as u64 > SAID_BYTES_MAX {
            return Err("the command wrote more than 64 KiB".to_owned());
        }
        let status = child.wait().await.map_err(|error| failed("was not waited for", error))?;
        if status.success() { Ok(said) } else { Err(format!("the command ended with {status}")) }
    }
}

fn told(effect: &EffectRequest, doubt: &Doubtful) -> Result<Vec<u8>, String> {
    let headers = effect.headers().iter();
    let told = Told {
        method: effect.method().as_str(),
        url: effect.uri().to_string(),
        headers: headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect(),
        body: str::from_utf8(effect.body()).ok(),
        claimed_at_ms: doubt.claimed_at.as_ms(),
        doubted_at_ms: doubt.doubted_at.as_ms(),
        reason: doubt.reason.as_str(),
        looks: doubt.looks,
    };
    serde_json::to_vec(&told).map_err(|error| error.to_string())
}

impl Resolver for Command {
    fn name(&self) -> &str {
        &self.name
    }

    fn look<'a>(&'a self, doubt: &'a Doubtful) -> LookFuture<'a> {
        Box::pin(async { self.seen(doubt).await.unwrap_or_else(Look::unclear) })
    }
}

impl Finder for Command {
    fn needs(&self, effect: &EffectRequest) -> Option<Needs> {
        self.effects.include(effect).then_some(Needs::Everything)
    }
}
