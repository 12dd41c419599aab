//! What targets begin with beside what is kept: texts that stand elsewhere in the repository, so that they are not there twice.

use std::{error::Error, fs, path::Path};

use serde_json::Value;

use super::files;

/// Where a target's seeds stand.
const SEEDS: &[(&str, &[Seeds])] = &[
    ("form", &[Seeds::Texts("canonical"), Seeds::Texts("fingerprint")]),
    ("json", &[Seeds::Texts("canonical"), Seeds::Texts("intent"), Seeds::Texts("fingerprint")]),
    ("key", &[Seeds::Texts("key")]),
    ("multipart", &[Seeds::Texts("canonical"), Seeds::Texts("fingerprint")]),
    ("operation", &[Seeds::Texts("fingerprint")]),
    ("problem", &[Seeds::Texts("problem")]),
    ("recipe", &[Seeds::Files("crates/onceward-resolve/recipes")]),
    ("token", &[Seeds::Texts("webhook"), Seeds::Texts("key")]),
];

#[derive(Clone, Copy)]
enum Seeds {
    /// Every text in a file of `vectors/`.
    Texts(&'static str),
    /// Every file of a folder.
    Files(&'static str),
}

/// Writes a target's seeds into `folder`.
pub(super) fn write(target: &str, root: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let sources = SEEDS.iter().filter(|(name, _)| *name == target).flat_map(|(_, sources)| *sources);
    let mut texts = Vec::new();
    for source in sources {
        match source {
            Seeds::Texts(vectors) => {
                let json = fs::read(root.join("vectors").join(format!("{vectors}.json")))?;
                add_texts(&serde_json::from_slice(&json)?, &mut texts);
            }
            Seeds::Files(folder) => {
                for file in files(&root.join(folder))? {
                    texts.push(fs::read_to_string(file)?);
                }
            }
        }
    }
    texts.sort();
    texts.dedup();
    for (number, text) in texts.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), text)?;
    }
    Ok(())
}

fn add_texts(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| add_texts(item, texts)),
        Value::Object(members) => members.values().for_each(|member| add_texts(member, texts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_a_seed() {
        let value = serde_json::json!({"cases": [{"body": "a=1", "offset": 3}, {"body": null}], "name": "b"});
        let mut texts = Vec::new();
        add_texts(&value, &mut texts);
        assert_eq!(texts, ["a=1", "b"]);
    }

    #[test]
    fn every_seed_is_of_a_target_that_there_is() {
        let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/targets");
        for (target, _) in SEEDS {
            assert!(targets.join(format!("{target}.rs")).is_file(), "{target}");
        }
    }
}
