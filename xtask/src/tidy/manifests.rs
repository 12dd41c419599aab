//! Who may import whom, and what every package inherits.

use toml::{Table, Value};

use super::{
    Finding,
    tree::{File, Tree},
};

/// The packages of the project that each package's code may use. Tests may use any store.
const IMPORTS: &[(&str, &[&str])] = &[
    ("onceward-core", &[]),
    ("onceward-model", &["onceward-core"]),
    ("onceward-sim", &["onceward-core"]),
    ("onceward-store", &["onceward-core"]),
    ("onceward-schedules", &[]),
    ("onceward-testbed", &[]),
    ("onceward-storm", &["onceward-sim", "onceward-testbed"]),
    ("onceward-engine", &["onceward-core", "onceward-store"]),
    ("onceward-tower", &["onceward-core", "onceward-engine"]),
    ("onceward-actix", &["onceward-core", "onceward-engine", "onceward-tower"]),
    ("onceward-proxy", &["onceward-core", "onceward-engine", "onceward-resolve", "onceward-tower"]),
    ("onceward-control", &["onceward-core", "onceward-engine", "onceward-store"]),
    ("onceward-drill", &["onceward-core"]),
    ("onceward-resolve", &["onceward-core", "onceward-engine"]),
    (
        "onceward",
        &[
            "onceward-actix",
            "onceward-control",
            "onceward-core",
            "onceward-drill",
            "onceward-engine",
            "onceward-proxy",
            "onceward-store",
            "onceward-tower",
        ],
    ),
    (
        "onceward-cli",
        &[
            "onceward",
            "onceward-control",
            "onceward-core",
            "onceward-drill",
            "onceward-engine",
            "onceward-proxy",
            "onceward-resolve",
            "onceward-store",
            "onceward-tower",
        ],
    ),
    ("onceward-benches", &["onceward", "onceward-core", "onceward-store", "onceward-testbed"]),
    (
        "onceward-fuzz",
        &[
            "onceward",
            "onceward-control",
            "onceward-core",
            "onceward-engine",
            "onceward-proxy",
            "onceward-resolve",
            "onceward-store",
            "onceward-tower",
        ],
    ),
    ("xtask", &[]),
];

/// What core may stand on: `no_std` crates that read no clock, socket, file, environment or random source.
const PURE: &[&str] = &["base64", "hmac", "sfv", "sha2", "subtle", "zeroize"];

/// Every import of a package of ours stands in the table.
pub(super) fn imports(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.manifests() {
        let Some(manifest) = parse(file, &mut findings) else { continue };
        let package = package_name(&manifest);
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == package) else {
            let what = format!("{package} is not in the table of imports");
            findings.push(Finding::new(
                &file.path,
                1,
                what,
                "add it to IMPORTS in xtask/src/tidy/manifests.rs",
            ));
            continue;
        };
        for import in dependencies(&manifest) {
            if import.starts_with("onceward") && !allowed.contains(&import.as_str()) {
                let what = format!("{package} may not import {import}");
                let mend = "move the code to where its dependencies are, or hand the value in from outside";
                findings.push(Finding::new(&file.path, file.line_of(&import), what, mend));
            }
        }
    }
    findings
}

/// Every package inherits the one lint table.
pub(super) fn lints(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.manifests() {
        let Some(manifest) = parse(file, &mut findings) else { continue };
        let inherits =
            manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool);
        if inherits != Some(true) {
            let what = "does not inherit the workspace's lints";
            findings.push(Finding::new(&file.path, 1, what, "add `[lints]` with `workspace = true`"));
        }
    }
    findings
}

/// Core cannot do I/O: it is `no_std`, and so is what it stands on.
pub(super) fn core_is_pure(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(file) = tree.get("crates/onceward-core/Cargo.toml") else { return findings };
    let manifest = parse(file, &mut findings).unwrap_or_default();
    for import in dependencies(&manifest) {
        if !PURE.contains(&import.as_str()) {
            let what = format!("core imports {import}, which is not known to be pure");
            let mend = "do it outside of core; if it is no_std and does no I/O, add it to PURE in xtask/src/tidy/manifests.rs";
            findings.push(Finding::new(&file.path, file.line_of(&import), what, mend));
        }
    }
    let root = "crates/onceward-core/src/lib.rs";
    if !tree.get(root).is_some_and(|file| file.text.contains("#![no_std]")) {
        findings.push(Finding::new(root, 1, "core is not no_std", "put `#![no_std]` at the top"));
    }
    findings
}

fn parse(file: &File, findings: &mut Vec<Finding>) -> Option<Table> {
    match file.text.parse() {
        Ok(manifest) => Some(manifest),
        Err(error) => {
            findings.push(Finding::new(&file.path, 1, format!("is no TOML: {error}"), "mend its syntax"));
            None
        }
    }
}

fn package_name(manifest: &Table) -> &str {
    let package = manifest.get("package").and_then(|package| package.get("name"));
    package.and_then(Value::as_str).unwrap_or_default()
}

/// The names under `[dependencies]`, also of single targets. Tests' own are not among them.
fn dependencies(manifest: &Table) -> Vec<String> {
    let targets =
        manifest.get("target").and_then(Value::as_table).into_iter().flat_map(|table| table.values());
    let tables = manifest.get("dependencies").into_iter();
    let tables = tables.chain(targets.filter_map(|target| target.get("dependencies")));
    tables.filter_map(Value::as_table).flat_map(|table| table.keys().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(check: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files))
            .into_iter()
            .map(|found| format!("{}:{} {}", found.path, found.line, found.what))
            .collect()
    }

    #[test]
    fn an_import_against_the_order_is_found() {
        let tower =
            "[package]\nname = \"onceward-tower\"\n[dependencies]\nonceward-engine.workspace = true\n";
        let tests = "[dev-dependencies]\nonceward-store.workspace = true\n";
        let path = "crates/onceward-tower/Cargo.toml";
        assert_eq!(one(imports, &[(path, &format!("{tower}{tests}"))]), [""; 0]);
        let wrong = format!("{tower}onceward-store = {{ workspace = true }}\n");
        assert_eq!(
            one(imports, &[(path, &wrong)]),
            ["crates/onceward-tower/Cargo.toml:5 onceward-tower may not import onceward-store"]
        );
        let hidden = format!("{tower}[target.'cfg(unix)'.dependencies]\nonceward-store = \"1\"\n");
        assert_eq!(one(imports, &[(path, &hidden)]).len(), 1);
    }

    #[test]
    fn an_unknown_package_is_found() {
        let found =
            one(imports, &[("crates/onceward-new/Cargo.toml", "[package]\nname = \"onceward-new\"\n")]);
        assert_eq!(found, ["crates/onceward-new/Cargo.toml:1 onceward-new is not in the table of imports"]);
    }

    #[test]
    fn a_package_with_lints_of_its_own_is_found() {
        let inherits = "[package]\nname = \"xtask\"\n[lints]\nworkspace = true\n";
        assert_eq!(one(lints, &[("xtask/Cargo.toml", inherits), ("Cargo.toml", "[workspace]\n")]), [""; 0]);
        let own = "[package]\nname = \"xtask\"\n[lints.rust]\nunused = \"allow\"\n";
        assert_eq!(
            one(lints, &[("xtask/Cargo.toml", own)]),
            ["xtask/Cargo.toml:1 does not inherit the workspace's lints"]
        );
    }

    #[test]
    fn a_core_that_could_do_io_is_found() {
        let manifest = "[dependencies]\nsha2 = \"1\"\n[dev-dependencies]\nserde = \"1\"\n";
        let root = ("crates/onceward-core/src/lib.rs", "#![no_std]\n");
        assert_eq!(one(core_is_pure, &[("crates/onceward-core/Cargo.toml", manifest), root]), [""; 0]);
        let wrong = "[dependencies]\ntokio = \"1\"\n";
        assert_eq!(
            one(core_is_pure, &[("crates/onceward-core/Cargo.toml", wrong)]),
            [
                "crates/onceward-core/Cargo.toml:2 core imports tokio, which is not known to be pure",
                "crates/onceward-core/src/lib.rs:1 core is not no_std",
            ]
        );
    }
}
