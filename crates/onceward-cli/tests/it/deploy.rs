//! What `deploy/` sets, held against what the command takes.

use std::{collections::BTreeMap, fs, path::Path};

use crate::kit::{Home, ran};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `ONCEWARD_NAME: value` of the compose file.
fn composed() -> BTreeMap<String, String> {
    let text = read("compose/compose.yaml");
    let pairs = text.lines().filter_map(|line| line.trim().split_once(": "));
    pairs.filter(|(name, _)| name.starts_with("ONCEWARD_")).map(owned).collect()
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.trim_matches('"').to_owned())
}

/// `- name: ONCEWARD_NAME`, then `value: …`, of the chart, with the chart's own values in their places.
fn charted() -> BTreeMap<String, String> {
    let values = read("helm/onceward/values.yaml");
    let values: Vec<(&str, &str)> = values.lines().filter_map(|line| line.split_once(": ")).collect();
    let mut text = read("helm/onceward/templates/gateway.yaml");
    for (name, value) in values {
        text = text.replace(&format!("{{{{ .Values.{name} }}}}"), value);
    }
    assert!(!text.contains(".Values."), "a value that the chart does not have");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        let name = pair[0].strip_prefix("- name: ").filter(|name| name.starts_with("ONCEWARD_"))?;
        // From the deployment's Secret.
        let value = pair[1].strip_prefix("value: ").unwrap_or("postgres://shop@db/shop");
        Some((name, value))
    });
    pairs.map(owned).collect()
}

#[test]
fn what_is_deployed_is_what_the_command_takes() {
    let home = Home::new();
    for (which, variables) in [("compose", composed()), ("helm", charted())] {
        assert!(variables.len() >= 6, "{which}: {variables:?}");
        let mut command = home.command(&["config", "print", "--json"]);
        command.envs(variables.iter().filter(|(name, _)| *name != "ONCEWARD_STATE_DIR"));
        let settings = ran(&mut command).json();
        for name in variables.keys().filter(|name| *name != "ONCEWARD_STATE_DIR") {
            let taken = settings
                .as_object()
                .unwrap()
                .values()
                .any(|setting| setting["from"].as_str().is_some_and(|from| from.contains(name.as_str())));
            assert!(taken, "{which}: no setting is taken from {name}: {settings}");
        }
    }
}
