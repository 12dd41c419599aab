//! `onceward ca show | export | trust`.

use std::{
    fs,
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, bail};
use clap::ArgMatches;
use jiff::Timestamp;
use onceward_proxy::ca::{Authority, Format};
use serde_json::json;

use crate::{
    commands::{print, print_json},
    failure::Failure,
    settings::Settings,
};

fn authority(settings: &Settings) -> Result<Authority, Failure> {
    let folder = settings.ca_dir().map_err(Failure::usage)?;
    Authority::load_or_create(&folder).map_err(Failure::usage)
}

pub(crate) fn show(settings: &Settings, json: bool) -> Result<ExitCode, Failure> {
    let authority = authority(settings)?;
    let not_after = Timestamp::try_from(authority.not_after()).map_err(Failure::failed)?;
    if json {
        let trust: serde_json::Map<_, _> = authority
            .trust_steps()
            .into_iter()
            .map(|step| (step.client.to_owned(), json!(step.line)))
            .collect();
        print_json(&json!({
            "subject": authority.subject(),
            "not_after": not_after.to_string(),
            "cert_file": authority.cert_path(),
            "fingerprint_sha256": authority.fingerprint(),
            "spki_sha256": authority.spki_sha256_base64(),
            "trust": trust,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!(
        "subject      {}\nvalid until  {not_after:.0}\nfile         {}\nSHA-256      {}\n\nHow clients trust it:\n",
        authority.subject(),
        authority.cert_path().display(),
        authority.fingerprint(),
    );
    for step in authority.trust_steps() {
        text.push_str(&format!("  {}\n    {}\n", step.client, step.line));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn export(settings: &Settings, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let authority = authority(settings)?;
    let format = match matches.get_one::<String>("format").map(String::as_str) {
        Some("der") => Format::Der,
        Some(_) | None => Format::Pem,
    };
    let certificate = authority.export(format);
    let json = matches.get_flag("json");
    match matches.get_one::<PathBuf>("output") {
        Some(path) => {
            fs::write(path, certificate)
                .with_context(|| format!("cannot write {}", path.display()))
                .map_err(Failure::failed)?;
            if json {
                print_json(&json!({"file": path}))?;
            }
        }
        None if json => print_json(&json!({"pem": authority.cert_pem()}))?,
        None => io::stdout().write_all(&certificate).map_err(Failure::failed)?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn trust(settings: &Settings, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let authority = authority(settings)?;
    let remove = matches.get_flag("remove");
    let change = if remove { Change::Remove } else { Change::Add };
    let database = nss_database().map_err(Failure::usage)?;
    if !matches.get_flag("yes") && !confirmed(&authority, &database, change).map_err(Failure::usage)? {
        print("nothing was changed\n")?;
        return Ok(ExitCode::FAILURE);
    }
    certutil(&authority, &database, change).map_err(Failure::failed)?;
    if matches.get_flag("json") {
        print_json(&json!({"database": database, "trusted": !remove}))?;
    } else {
        let done = if remove { "removed from" } else { "added to" };
        print(&format!("{} {done} {}\n", authority.subject(), database.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Clone, Copy)]
enum Change {
    Add,
    Remove,
}

/// The user's shared database, which Chromium reads, and Firefox where it is told to.
fn nss_database() -> anyhow::Result<PathBuf> {
    let home = std::env::home_dir().context("no home directory")?;
    Ok(home.join(".pki/nssdb"))
}

fn confirmed(authority: &Authority, database: &Path, change: Change) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("this changes whom your browsers trust; run it on a terminal, or with --yes");
    }
    let question = match change {
        Change::Add => "Whoever holds its key can read this user's browsing. Add",
        Change::Remove => "Remove",
    };
    eprint!("{question} {} in {}? [y/N] ", authority.subject(), database.display());
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn certutil(authority: &Authority, database: &Path, change: Change) -> anyhow::Result<()> {
    let location = format!("sql:{}", database.display());
    let run = |arguments: &[&str]| {
        let status = Command::new("certutil")
            .args(["-d", &location])
            .args(arguments)
            .status()
            .context("cannot run certutil; install it with: apt-get install libnss3-tools")?;
        if status.success() { Ok(()) } else { bail!("certutil {} failed: {status}", arguments.join(" ")) }
    };
    if !database.exists() {
        fs::create_dir_all(database).with_context(|| format!("cannot make {}", database.display()))?;
        run(&["-N", "--empty-password"])?;
    }
    let file = authority.cert_path().display().to_string();
    match change {
        Change::Add => run(&["-A", "-t", "C,,", "-n", authority.subject(), "-i", &file]),
        Change::Remove => run(&["-D", "-n", authority.subject()]),
    }
}
