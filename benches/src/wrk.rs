//! wrk: load over HTTP/1.1, closed-loop, on the generator's core.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    figures::Latency,
    stand::{Stand, pinned},
};

/// What wrk sends, and how it tells what came of it.
const SCRIPT: &str = include_str!("../loads/requests.lua");

/// One run of wrk.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) url: String,
    pub(crate) connections: usize,
    pub(crate) seconds: u64,
    pub(crate) requests: Requests,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) enum Requests {
    /// The same GET.
    Plain,
    /// POSTs of 200 bytes, each with a key of its own.
    Unique { prefix: &'static str },
    /// POSTs of 200 bytes with these many keys in turn.
    Cycle { prefix: &'static str, keys: usize },
}

/// What was answered, all of it well.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answered {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    pub(crate) span: Duration,
    pub(crate) latency: Option<Latency>,
}

impl Load {
    pub(crate) fn run(&self, stand: &Stand) -> Result<Answered> {
        let script = stand.shared().join("requests.lua");
        std::fs::write(&script, SCRIPT).with_context(|| script.display().to_string())?;
        let mut command = pinned(stand.generator_core, "wrk");
        command.args(["--threads", "1", "--timeout", "10s", "--latency"]);
        command.arg("--connections").arg(self.connections.to_string());
        command.arg("--duration").arg(format!("{}s", self.seconds));
        command.arg("--script").arg(script).arg(&self.url).arg("--");
        match self.requests {
            Requests::Plain => command.arg("plain"),
            Requests::Unique { prefix } => command.args(["unique", prefix]),
            Requests::Cycle { prefix, keys } => command.args(["cycle", prefix, &keys.to_string()]),
        };
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("wrk")?;
        let told = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("wrk ended with {}: {told}", output.status);
        }
        read(&told)
    }
}

/// The script's line is the last one. A rate with errors in it is not a rate.
fn read(told: &str) -> Result<Answered> {
    let line = told.lines().last().unwrap_or_default();
    let figures: Value = serde_json::from_str(line).with_context(|| format!("wrk said {told}"))?;
    let figure =
        |name: &str| figures.get(name).and_then(Value::as_u64).with_context(|| format!("no {name}: {line}"));
    for (name, what) in [
        ("connect", "connections were refused"),
        ("read", "answers could not be read"),
        ("write", "requests could not be written"),
        ("timeout", "answers took over 10 s"),
        ("status", "answers had an error status"),
    ] {
        let count = figure(name)?;
        if count > 0 {
            bail!("{count} {what}");
        }
    }
    let answered = Answered {
        requests: figure("requests")?,
        bytes: figure("bytes")?,
        span: Duration::from_micros(figure("us")?),
        latency: Some(Latency {
            p50: Duration::from_micros(figure("p50_us")?),
            p99: Duration::from_micros(figure("p99_us")?),
        }),
    };
    if answered.requests == 0 {
        bail!("nothing was answered");
    }
    Ok(answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "Running 3s test @ http://127.0.0.1:9/\n\n{\"requests\":90000,\"bytes\":1234,\"us\":3010000,\
        \"p50_us\":310,\"p99_us\":900,\"connect\":0,\"read\":0,\"write\":0,\"timeout\":0,\"status\":0}\n";

    #[test]
    fn the_last_line_is_read() {
        let expected = Answered {
            requests: 90_000,
            bytes: 1_234,
            span: Duration::from_micros(3_010_000),
            latency: Some(Latency { p50: Duration::from_micros(310), p99: Duration::from_micros(900) }),
        };
        assert_eq!(read(TOLD).unwrap(), expected);
    }

    #[test]
    fn a_rate_with_errors_is_none() {
        let error = |from: &str, to: &str| read(&TOLD.replace(from, to)).unwrap_err().to_string();
        assert_eq!(error("\"status\":0", "\"status\":3"), "3 answers had an error status");
        assert_eq!(error("\"read\":0", "\"read\":1"), "1 answers could not be read");
        assert_eq!(error("90000", "0"), "nothing was answered");
        assert!(error("{", "").starts_with("wrk said Running"));
    }
}
