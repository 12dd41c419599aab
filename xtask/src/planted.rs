//! Faults that are planted in the program, one at a time, to see who notices.
//!
//! Each is planted in a copy of the last commit, with a build folder that all of them share. What a layer of tests says is counted by
//! what cargo-nextest prints; a build that fails is a fault that is written wrongly.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{run::Program, steps::Workshop};

/// The layers, from small to large: a package of tests, and how the table calls it.
const LAYERS: [(&str, &str); 5] = [
    ("onceward-core", "rules"),
    ("onceward-model", "every order"),
    ("onceward-sim", "worlds"),
    ("onceward-store", "stores"),
    ("onceward-engine", "engine"),
];

/// A test that a fault keeps from ending has noticed it.
const NEXTEST: &str = "[profile.default]\nslow-timeout = { period = \"60s\", terminate-after = 2 }\n";

/// A fault, as `planted/faults.toml` has it.
#[derive(Debug, Deserialize)]
pub(crate) struct Fault {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) file: PathBuf,
    pub(crate) find: String,
    put: String,
}

#[derive(Deserialize)]
struct Faults {
    fault: Vec<Fault>,
}

/// Plants the faults that are named, or all, and prints a table of who noticed which.
///
/// # Errors
/// A fault that does not build, one that nobody noticed, and tests that fail without any.
pub(crate) fn run(names: &[String], workshop: &Workshop) -> Result<(), Box<dyn Error>> {
    let faults = read(&workshop.root)?;
    if let Some(unknown) = names.iter().find(|name| faults.iter().all(|fault| fault.name != **name)) {
        return Err(format!("there is no fault `{unknown}` in planted/faults.toml").into());
    }
    let field = Field::new(workshop)?;
    let sound = field.noticed()?;
    if !sound.is_empty() {
        return Err(format!("without any fault, tests fail: {sound:?}").into());
    }
    let mut amiss = Vec::new();
    println!("| Planted | {} |", LAYERS.map(|(_, layer)| layer).join(" | "));
    println!("| --- |{}", " --- |".repeat(LAYERS.len()));
    for fault in faults.iter().filter(|fault| names.is_empty() || names.contains(&fault.name)) {
        match field.noticed_of(fault) {
            Ok(noticed) => {
                let cells =
                    LAYERS.map(|(package, _)| noticed.get(package).map_or(String::new(), usize::to_string));
                println!("| {} | {} |", fault.about, cells.join(" | "));
                if noticed.is_empty() {
                    amiss.push(format!("nobody noticed {}", fault.name));
                }
            }
            Err(error) => amiss.push(format!("{} is not planted: {error}", fault.name)),
        }
    }
    if amiss.is_empty() { Ok(()) } else { Err(amiss.join("\n").into()) }
}

/// The faults that may be planted in the tree at `root`.
///
/// # Errors
/// What is no fault.
pub(crate) fn read(root: &Path) -> Result<Vec<Fault>, Box<dyn Error>> {
    let text = fs::read_to_string(root.join("planted/faults.toml"))?;
    Ok(toml::from_str::<Faults>(&text)?.fault)
}

/// Where they are planted.
struct Field<'a> {
    workshop: &'a Workshop,
    /// The copy of the last commit.
    tree: PathBuf,
    build: PathBuf,
    config: PathBuf,
}

impl<'a> Field<'a> {
    fn new(workshop: &'a Workshop) -> Result<Self, Box<dyn Error>> {
        let place = workshop.target_dir.join("planted");
        let (tree, config) = (place.join("tree"), place.join("nextest.toml"));
        if tree.is_dir() {
            fs::remove_dir_all(&tree)?;
        }
        fs::create_dir_all(&place)?;
        fs::write(&config, NEXTEST)?;
        let [from, to] = [&workshop.root, &tree].map(|path| path.display().to_string());
        Program::new("git", &["clone", "--quiet", "--shared", &from, &to]).run()?;
        Ok(Self { workshop, tree, build: place.join("build"), config })
    }

    /// How many tests of each package notice the fault; it is gone afterwards.
    fn noticed_of(&self, fault: &Fault) -> Result<BTreeMap<String, usize>, Box<dyn Error>> {
        let file = self.tree.join(&fault.file);
        let sound = fs::read_to_string(&file)?;
        fs::write(&file, fault.planted(&sound)?)?;
        let noticed = self.noticed();
        fs::write(&file, sound)?;
        noticed
    }

    /// How many tests of each package fail.
    fn noticed(&self) -> Result<BTreeMap<String, usize>, Box<dyn Error>> {
        let packages = LAYERS.iter().flat_map(|(package, _)| ["--package", package]);
        let packages: Vec<&str> = packages.collect();
        // A fault may leave something unused; that is no reason not to build it.
        let cargo = |arguments: &[&str]| {
            let all = [arguments, &packages].concat();
            let cargo = Program::new(&self.workshop.cargo, &all).within(&self.tree);
            cargo.with("CARGO_TARGET_DIR", &self.build).with("RUSTFLAGS", "-A warnings")
        };
        cargo(&["test", "--quiet", "--no-run", "--lib", "--test", "it"]).run()?;
        let log = self.build.with_extension("log");
        let config = self.config.display().to_string();
        // Its exit status says that tests failed, which is what they are to do.
        cargo(&["nextest", "run", "--no-fail-fast", "--lib", "--test", "it", "--config-file", &config])
            .writing(&log)?
            .code()?;
        let said = fs::read_to_string(&log)?;
        if !said.contains("Summary [") {
            return Err(format!("cargo-nextest did not run the tests; see {}", log.display()).into());
        }
        Ok(failed(&said))
    }
}

impl Fault {
    /// The file with the fault in it.
    fn planted(&self, sound: &str) -> Result<String, String> {
        match sound.matches(&self.find).count() {
            1 => Ok(sound.replacen(&self.find, &self.put, 1)),
            count => Err(format!("what it replaces stands in {} {count} times", self.file.display())),
        }
    }
}

/// How many tests of each package failed, by what cargo-nextest said: it names each again in its summary.
fn failed(said: &str) -> BTreeMap<String, usize> {
    let summary = said.rsplit_once("Summary [").map_or("", |(_, summary)| summary);
    let mut failed = BTreeMap::new();
    for line in summary.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !matches!(words.first(), Some(&("FAIL" | "TIMEOUT" | "SIGABRT" | "SIGSEGV"))) {
            continue;
        }
        // `onceward-core::it record::a_test`, or `onceward-core canonical::tests::a_test`.
        let package = words.iter().find(|word| word.starts_with("onceward-"));
        if let Some(package) = package.and_then(|word| word.split("::").next()) {
            *failed.entry(package.to_owned()).or_default() += 1;
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_place_and_changes_something() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let faults = read(root).unwrap();
        assert!(faults.len() >= 24, "{} faults", faults.len());
        for fault in &faults {
            let sound = fs::read_to_string(root.join(&fault.file)).unwrap();
            let planted = fault.planted(&sound).unwrap_or_else(|error| panic!("{}: {error}", fault.name));
            assert_ne!(planted, sound, "{}", fault.name);
        }
    }

    #[test]
    fn failures_are_counted_by_package_from_the_summary() {
        let said = "\
        FAIL [   0.1s] (1/9) onceward-core record::tests::a\n\
        PASS [   0.1s] (2/9) onceward-core record::tests::b\n\
     Summary [  28.7s] 9 tests run: 6 passed, 2 failed, 1 timed out, 0 skipped\n\
        FAIL [   0.1s] (1/9) onceward-core record::tests::a\n\
     TIMEOUT [ 120.0s] (7/9) onceward-engine::it running::c\n\
        FAIL [   0.1s] (8/9) onceward-engine::it running::d\n\
error: test run failed\n";
        let expected = [("onceward-core".to_owned(), 1), ("onceward-engine".to_owned(), 2)];
        assert_eq!(failed(said), BTreeMap::from(expected));
        assert_eq!(failed("     Summary [   1.0s] 9 tests run: 9 passed, 0 skipped\n"), BTreeMap::new());
    }
}
