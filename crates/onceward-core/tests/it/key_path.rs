//! Where in a body a key stands.

use onceward_core::canonical::{PathFault, PathInvalid, STEPS_MAX};
use onceward_core::key::{KeyPath, KeyStep};

fn member(name: &str) -> KeyStep {
    KeyStep::Member(name.into())
}

// covers: K1
#[test]
fn a_path_of_names_and_indexes_leads_to_one_value() {
    let rows: &[(&str, &[KeyStep], &str)] = &[
        ("$.key", &[member("key")], "$.key"),
        ("$['key']", &[member("key")], "$.key"),
        ("$ [ \"key\" ]", &[member("key")], "$.key"),
        ("$.a.b[0]", &[member("a"), member("b"), KeyStep::Element(0)], "$.a.b[0]"),
        ("$[12].ä_1", &[KeyStep::Element(12), member("ä_1")], "$[12].ä_1"),
        // Names that a dot does not carry.
        ("$['']", &[member("")], "$[\"\"]"),
        ("$['1a']", &[member("1a")], "$[\"1a\"]"),
        ("$['idempotency-key']", &[member("idempotency-key")], "$[\"idempotency-key\"]"),
        (r#"$['it\'s']"#, &[member("it's")], r#"$["it's"]"#),
        (r#"$["\"\\\n\u00e9"]"#, &[member("\"\\\né")], r#"$["\"\\\né"]"#),
        (r#"$["\ud83d\ude00"]"#, &[member("😀")], "$.😀"),
    ];
    for (text, steps, shown) in rows {
        let path = KeyPath::parse(text).unwrap();
        assert_eq!((path.steps(), path.to_string().as_str()), (*steps, *shown), "{text}");
        assert_eq!(KeyPath::parse(shown), Ok(path), "{shown} is read as it was written");
    }
    assert_eq!(KeyPath::members(&["a", "b"]), KeyPath::parse("$.a.b").unwrap());
}

// covers: K1
#[test]
fn a_path_that_leads_elsewhere_is_refused_with_the_place() {
    let rows = [
        ("", PathFault::Root, 0),
        ("key", PathFault::Root, 0),
        ("$", PathFault::Whole, 1),
        ("$.", PathFault::Syntax, 2),
        ("$key", PathFault::Syntax, 1),
        ("$.a b", PathFault::Syntax, 4),
        ("$['a'", PathFault::Syntax, 5),
        ("$.*", PathFault::Several, 1),
        ("$.a[*]", PathFault::Several, 3),
        ("$..key", PathFault::Several, 1),
        ("$.a..[0]", PathFault::Several, 3),
        ("$['a','b']", PathFault::Union, 5),
        ("$[0:2]", PathFault::Slice, 2),
        ("$[?@.a]", PathFault::Filter, 2),
        ("$.a[-1]", PathFault::NegativeIndex, 4),
    ];
    for (text, fault, offset) in rows {
        assert_eq!(KeyPath::parse(text), Err(PathInvalid { fault, offset }), "{text:?}");
    }
    let longest = format!("${}", ".a".repeat(STEPS_MAX));
    assert_eq!(KeyPath::parse(&longest).unwrap().steps().len(), STEPS_MAX);
    let offset = longest.len();
    let longer = KeyPath::parse(&format!("{longest}.a"));
    assert_eq!(longer, Err(PathInvalid { fault: PathFault::Length, offset }));
}

#[test]
fn a_path_is_shown_as_it_is_written() {
    let path = KeyPath::parse("$.params['a b'][0]").unwrap();
    assert_eq!(
        (format!("{path:?}"), path.to_string()),
        (path.to_string(), "$.params[\"a b\"][0]".to_owned())
    );
}
