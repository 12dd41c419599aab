//! The published suites of others, which are beside the repository and not in it.

use std::fs;
use std::path::{Path, PathBuf};

use onceward_core::canonical::{Reason, Volatile};
use onceward_core::intent::{self, IntentInvalid};

use crate::canonical::canonical_json;

/// The files of one folder of the suites, by name; none if the suites are not on this machine.
fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let suites = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if !suites.is_dir() {
        eprintln!("skipped: no suites at {}", suites.display());
        return Vec::new();
    }
    let read =
        |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
    let mut files: Vec<_> =
        fs::read_dir(suites.join(folder)).unwrap().map(|entry| read(entry.unwrap().path())).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

// covers: F1 F5
#[test]
fn rfc_8785_examples() {
    for ((name, input), (_, output)) in files("jcs/input").into_iter().zip(files("jcs/output")) {
        let output = String::from_utf8(output).unwrap();
        // The one number that RFC 8785 rounds stays as it is in c1, and an intent cannot have it.
        let exact = output.replace("333333333.3333333", "333333333.33333329");
        assert_eq!(canonical_json(&input, &Volatile::none()), Ok(exact.clone().into_bytes()), "{name}");

        let mut text = Vec::new();
        let found = intent::text(&input, &mut |bytes| text.extend_from_slice(bytes));
        if exact == output {
            assert_eq!((found, text), (Ok(()), output.into_bytes()), "{name}");
        } else {
            let offset = str::from_utf8(&input).unwrap().find("333333333.33333329").unwrap();
            assert_eq!(found, Err(IntentInvalid::Unrepresentable { offset }), "{name}");
        }
    }
}

// covers: F1
#[test]
fn json_test_suite() {
    for (name, body) in files("json-test-suite").into_iter().filter(|(name, _)| name.ends_with(".json")) {
        let found = canonical_json(&body, &Volatile::none()).map_err(|invalid| invalid.reason);
        match name.split_at(2) {
            ("y_", "object_duplicated_key.json" | "object_duplicated_key_and_value.json") => {
                assert_eq!(found, Err(Reason::DuplicateMember), "{name}");
            }
            ("y_", _) => assert!(found.is_ok(), "{name}: {found:?}"),
            ("n_", _) => assert!(found.is_err(), "{name}: {found:?}"),
            // Numbers of any size have a value here; what else is left to the reader is refused.
            ("i_", rest) => assert_eq!(found.is_ok(), rest.starts_with("number_"), "{name}: {found:?}"),
            _ => panic!("{name}: of no known kind"),
        }
    }
}
