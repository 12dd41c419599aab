//! Fed: a configuration file.
//!
//! What must hold: what is taken is what another reader of TOML finds in it, every value by its name and none silently left out; and
//! whatever it comes to is a configuration or a refusal.

#![no_main]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::LazyLock,
};

use clap::{ArgMatches, Command};
use libfuzzer_sys::fuzz_target;
use toml::{Table, Value};

/// The command's own code: it is no library.
#[expect(dead_code, unused_imports, reason = "what the command uses beside")]
#[path = "../../crates/onceward-cli/src"]
mod command {
    pub(crate) mod settings;
}

use command::settings::{Settings, Source, TakenBy, with_flags};

/// In memory where there is such a place: a disk would take most of the time.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
    folder.join(format!("onceward-fuzz-{}.toml", process::id()))
});

static MATCHES: LazyLock<ArgMatches> = LazyLock::new(|| {
    let takes = [TakenBy::All, TakenBy::Authority, TakenBy::Proxy, TakenBy::Gateway, TakenBy::Server];
    let file = FILE.to_str().expect("a path of letters");
    with_flags(Command::new("onceward"), &takes).get_matches_from([
        "onceward",
        "--config",
        file,
        "--state-dir",
        "/nowhere",
    ])
});

/// What reads other files, whose names a file of chance must not choose.
const NAMES_OF_FILES: [&str; 4] =
    ["proxy.upstream_ca", "gateway.upstream_ca", "gateway.tls_cert", "gateway.tls_key"];

fuzz_target!(|data: &[u8]| {
    fs::write(&*FILE, data).expect("the file can be written");
    let settings = Settings::resolve(&MATCHES);
    let Ok(settings) = settings else { return };
    let text = str::from_utf8(data).expect("only text is taken");
    let table: Table = match text.parse() {
        Ok(table) => table,
        // To this reader a number is its digits, and what they come to is for the setting to say.
        Err(error) if error.message().contains("overflow") => return,
        Err(error) => panic!("another reader does not take it: {error}"),
    };
    for (section, entries) in &table {
        let Value::Table(entries) = entries else {
            let count = entries.as_array().map_or(0, Vec::len);
            let taken = if section == "route" { settings.routes().len() } else { settings.resolvers().len() };
            assert_eq!(taken, count);
            continue;
        };
        for (name, value) in entries {
            let key = format!("{section}.{name}");
            let setting = settings.iter().find(|setting| setting.key == key).expect("it is a setting");
            assert_eq!(setting.source, Source::File(FILE.clone()));
            assert_eq!(Some(&setting.text), written(value).as_ref());
        }
    }
    let is_from_file = |key: &str| {
        settings.iter().any(|setting| setting.key == key && matches!(setting.source, Source::File(_)))
    };
    if settings.resolvers().is_empty() && !NAMES_OF_FILES.iter().any(|key| is_from_file(key)) {
        drop(settings.check());
    }
});

/// A value as its flag would carry it.
fn written(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(value) => Some(value.to_string()),
        Value::Array(items) => {
            items.iter().map(written).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}
