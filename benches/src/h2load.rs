//! h2load: load over HTTP/2 without TLS, closed-loop, on the generator's core.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    stand::{Stand, pinned},
    wrk::Answered,
};

/// Connections, and the streams that are open on each of them at once.
pub(crate) const CONNECTIONS: usize = 4;
pub(crate) const STREAMS: usize = 8;

/// The same GET for some seconds.
pub(crate) fn run(stand: &Stand, url: &str, seconds: u64) -> Result<Answered> {
    let mut command = pinned(stand.generator_core, "h2load");
    command.args(["--threads", "1", "--clients", &CONNECTIONS.to_string()]);
    command.args(["--max-concurrent-streams", &STREAMS.to_string(), "--duration", &seconds.to_string(), url]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("h2load")?;
    let told = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("h2load ended with {}: {told}", output.status);
    }
    read(&told, seconds)
}

/// What it says in words. Requests that are under way at the end are neither done nor failed.
fn read(told: &str, seconds: u64) -> Result<Answered> {
    let line = |start: &str| told.lines().find_map(|line| line.strip_prefix(start));
    let figure = |line: Option<&str>, name: &str| {
        let parts = line.into_iter().flat_map(|line| line.split(','));
        let count =
            parts.filter_map(|part| part.trim().strip_suffix(name)?.trim().parse::<u64>().ok()).next();
        count.with_context(|| format!("h2load does not say how many {name}: {told}"))
    };
    let (requests, statuses, traffic) = (line("requests: "), line("status codes: "), line("traffic: "));
    let done = figure(requests, "done")?;
    for name in ["failed", "errored", "timeout"] {
        let count = figure(requests, name)?;
        if count > 0 {
            bail!("{count} requests {name}");
        }
    }
    let well = figure(statuses, "2xx")?;
    if well < done {
        bail!("{} answers had another status than 2xx", done - well);
    }
    if done == 0 {
        bail!("nothing was answered");
    }
    let bytes = traffic.and_then(|traffic| traffic.split(['(', ')']).nth(1)?.parse().ok());
    Ok(Answered {
        requests: done,
        bytes: bytes.with_context(|| format!("h2load does not say how many bytes: {told}"))?,
        span: Duration::from_secs(seconds),
        latency: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "\
finished in 1.02s, 6442.00 req/s, 937.36KB/s
requests: 6442 total, 6474 started, 6442 done, 6442 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 6442 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 937.36KB (959858) total, 682.80KB (699192) headers (space savings 0.00%), 12.64KB (12948) data
";

    #[test]
    fn its_words_are_read() {
        let expected =
            Answered { requests: 6_442, bytes: 959_858, span: Duration::from_secs(1), latency: None };
        assert_eq!(read(TOLD, 1).unwrap(), expected);
    }

    #[test]
    fn a_rate_with_errors_is_none() {
        let error = |from: &str, to: &str| read(&TOLD.replace(from, to), 1).unwrap_err().to_string();
        assert_eq!(error("0 errored", "2 errored"), "2 requests errored");
        assert_eq!(
            error("6442 2xx, 0 3xx, 0 4xx", "6440 2xx, 0 3xx, 2 4xx"),
            "2 answers had another status than 2xx"
        );
        assert_eq!(error("6442 done", "0 done"), "nothing was answered");
        assert!(error("requests:", "r:").starts_with("h2load does not say how many done"));
    }
}
