//! `onceward check URL`: a scorecard of any server against a profile.

use std::{
    fs,
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow, bail};
use clap::ArgMatches;
use onceward_drill::{Report, Subject, Suite, Target, Trust, Unfit, suite};

use crate::{
    commands::{print, runtime},
    failure::Failure,
};

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let subject = subject(matches).map_err(Failure::usage)?;
    let name = matches.get_one::<String>("profile").map_or("onceward", String::as_str);
    let suite = Suite::named(name).ok_or_else(|| Failure::usage(anyhow!("there is no suite {name:?}")))?;
    if !matches.get_flag("yes") && !confirmed(&subject, suite).map_err(Failure::usage)? {
        print("nothing was sent\n")?;
        return Ok(ExitCode::FAILURE);
    }
    let report = runtime().map_err(Failure::failed)?.block_on(judge(subject, suite)).map_err(unfit)?;
    let text =
        if matches.get_flag("json") { report.json().map_err(Failure::failed)? + "\n" } else { report.text() };
    print(&text)?;
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is wrong with the request is for the caller to mend; a server that does not answer is not.
fn unfit(unfit: Unfit) -> Failure {
    match unfit {
        Unfit::Declines { .. } => Failure::usage(unfit),
        Unfit::Unreachable { .. } => Failure::failed(unfit),
    }
}

async fn judge(subject: Subject, suite: Suite) -> Result<Report, Unfit> {
    let subject = subject.with_http2_if_spoken().await;
    let cases = suite.cases().count();
    let mut judged = 0;
    let mut progress = Progress::new(cases);
    let report = suite::run(&subject, suite, |_| {
        judged += 1;
        progress.show(judged);
    });
    let report = report.await;
    progress.clear();
    report
}

/// How far it is, for somebody who watches.
struct Progress {
    cases: usize,
    is_watched: bool,
}

impl Progress {
    fn new(cases: usize) -> Self {
        Self { cases, is_watched: io::stderr().is_terminal() }
    }

    fn show(&mut self, judged: usize) {
        if self.is_watched {
            eprint!("\r{judged} of {} cases", self.cases);
        }
    }

    /// Leaves no trace on the line.
    fn clear(&mut self) {
        if self.is_watched {
            eprint!("\r{:32}\r", "");
        }
    }
}

fn confirmed(subject: &Subject, suite: Suite) -> anyhow::Result<bool> {
    let address = subject.address();
    let cases = suite.cases().count();
    if !io::stdin().is_terminal() {
        bail!(
            "this sends hundreds of requests that write to {address}; run it on a terminal, or with --yes if they may"
        );
    }
    eprint!(
        "{cases} cases send hundreds of requests that write: POST {address}, with other methods where a case needs them.\n\
         Each may take effect, some of them many times where the server does not keep the promise. Send them? [y/N] "
    );
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn subject(matches: &ArgMatches) -> anyhow::Result<Subject> {
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let url = text("url").unwrap_or_default();
    let (address, own_path) = split(url);
    let path = text("path").or(own_path).context("name an operation that writes: --path /orders")?;
    if !path.starts_with('/') {
        bail!("--path {path}: a path begins with /");
    }
    let target = Target::parse(address, &trust(matches)?).with_context(|| url.to_owned())?;
    let mut subject = Subject::new(target, path);
    let media_type = text("content-type").unwrap_or("application/json");
    if let Some(body) = text("body") {
        subject = subject.with_body(media_type, &content(body)?);
    }
    if let Some(body) = text("other-body") {
        subject = subject.with_other_body(&content(body)?);
    }
    for line in matches.get_many::<String>("header").into_iter().flatten() {
        let (name, value) = field(line)?;
        subject = subject.with_field(name, value);
    }
    if let Some(line) = text("actor") {
        let (name, value) = field(line)?;
        subject = subject.with_actor(name, value);
    }
    if let Some(line) = text("other-actor") {
        let (name, value) = field(line)?;
        subject = subject.with_second_actor(name, value);
    }
    Ok(subject)
}

/// `http://host/orders` is `http://host` and `/orders`.
fn split(url: &str) -> (&str, Option<&str>) {
    let begins = url.find("://").map_or(0, |at| at + 3);
    match url.get(begins..).and_then(|rest| rest.find('/')) {
        Some(slash) => {
            let (address, path) = url.split_at(begins + slash);
            (address, Some(path).filter(|path| *path != "/"))
        }
        None => (url, None),
    }
}

fn trust(matches: &ArgMatches) -> anyhow::Result<Trust> {
    if matches.get_flag("insecure") {
        return Ok(Trust::Anything);
    }
    match matches.get_one::<PathBuf>("ca") {
        Some(file) => Trust::with_roots_of(file).with_context(|| file.display().to_string()),
        None => Ok(Trust::Platform),
    }
}

/// JSON as it stands, else the content of a file.
fn content(body: &str) -> anyhow::Result<Vec<u8>> {
    if serde_json::from_str::<serde_json::Value>(body).is_ok() {
        return Ok(body.as_bytes().to_vec());
    }
    fs::read(Path::new(body)).with_context(|| format!("{body} is neither JSON nor a file"))
}

fn field(line: &str) -> anyhow::Result<(&str, &str)> {
    let parts = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
    match parts.filter(|(name, value)| !name.is_empty() && !line.contains(['\r', '\n']) && !value.is_empty())
    {
        Some(parts) => Ok(parts),
        // The line may hold a credential, so it is not shown.
        None => bail!("a field is written as 'NAME: VALUE'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_address_and_perhaps_a_path() {
        assert_eq!(split("http://a:1/orders?b=c"), ("http://a:1", Some("/orders?b=c")));
        assert_eq!(split("https://a/"), ("https://a", None));
        assert_eq!(split("https://a"), ("https://a", None));
        assert_eq!(split("a/b"), ("a", Some("/b")));
    }

    #[test]
    fn a_field_is_a_name_and_a_value() {
        assert_eq!(field("Authorization: Bearer a:b").unwrap(), ("Authorization", "Bearer a:b"));
        for wrong in ["Authorization", ": a", "a:", "a: b\r\nc: d"] {
            assert!(field(wrong).is_err(), "{wrong}");
        }
    }
}
