//! The canonical form, case by case.

use onceward_core::canonical::{
    BOUNDARY_BYTES_MAX, BodyInvalid, DEPTH_MAX, NUMBER_DIGITS_MAX, PathFault, PathInvalid, Reason, STEPS_MAX,
    Volatile, form, json, multipart,
};
use serde::Deserialize;

use crate::vectors::{Invalid, Rules, bytes_of_hex, read};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "description")]
    _description: String,
    json: Vec<JsonCase>,
    numbers: Vec<NumberCase>,
    form: Vec<FormCase>,
    multipart: Vec<MultipartCase>,
    paths: Vec<PathCase>,
}

#[derive(Deserialize)]
struct JsonCase {
    description: String,
    body: Option<String>,
    body_hex: Option<String>,
    #[serde(flatten)]
    rules: Rules,
    text: Option<String>,
    invalid: Option<Invalid>,
}

#[derive(Deserialize)]
struct NumberCase {
    literals: Vec<String>,
    text: String,
}

#[derive(Deserialize)]
struct FormCase {
    description: String,
    body: String,
    #[serde(flatten)]
    rules: Rules,
    fields: Vec<String>,
}

#[derive(Deserialize)]
struct MultipartCase {
    description: String,
    boundary: String,
    body: String,
    #[serde(flatten)]
    rules: Rules,
    parts: Option<Vec<PartCase>>,
    invalid: Option<Invalid>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartCase {
    name: String,
    file_name: Option<String>,
    media_type: Option<String>,
    sha256: String,
}

#[derive(Deserialize)]
struct PathCase {
    description: String,
    path: String,
    invalid: Invalid,
}

fn vectors() -> Vectors {
    read(include_str!("../../../../vectors/canonical.json"))
}

pub(crate) fn canonical_json(body: &[u8], volatile: &Volatile) -> Result<Vec<u8>, BodyInvalid> {
    let mut text = Vec::new();
    json(body, volatile, &mut |bytes| text.extend_from_slice(bytes))?;
    Ok(text)
}

/// Length-prefixed fields, as the module page of `canonical` describes them.
fn fields<F: AsRef<[u8]>>(fields: impl IntoIterator<Item = F>) -> Vec<u8> {
    let mut text = Vec::new();
    for field in fields {
        let field = field.as_ref();
        text.extend_from_slice(&(field.len() as u64).to_be_bytes());
        text.extend_from_slice(field);
    }
    text
}

// covers: F1 F4
#[test]
fn json_vectors() {
    for case in vectors().json {
        let body = match (&case.body, &case.body_hex) {
            (Some(body), None) => body.clone().into_bytes(),
            (None, Some(hex)) => bytes_of_hex(hex),
            _ => panic!("{}: one body", case.description),
        };
        let found = canonical_json(&body, &case.rules.on(Volatile::none()))
            .map(|text| String::from_utf8(text).unwrap())
            .map_err(Invalid::from);
        let expected = case.text.ok_or(()).map_err(|()| case.invalid.unwrap());
        assert_eq!(found, expected, "{}", case.description);
    }
}

// covers: F1
#[test]
fn number_vectors() {
    for case in vectors().numbers {
        for literal in &case.literals {
            // Within an array, so that each number also has to end where it ends.
            let found =
                canonical_json(format!("[{literal},{literal}]").as_bytes(), &Volatile::none()).unwrap();
            assert_eq!(String::from_utf8(found).unwrap(), format!("[{0},{0}]", case.text), "{literal}");
        }
    }
}

// covers: F2 F4
#[test]
fn form_vectors() {
    for case in vectors().form {
        let mut text = Vec::new();
        let rules = case.rules.on(Volatile::none());
        form(case.body.as_bytes(), &rules, &mut |bytes| text.extend_from_slice(bytes));
        assert_eq!(text, fields(&case.fields), "{}", case.description);
    }
}

// covers: F2
#[test]
fn form_of_bytes_beyond_utf8() {
    let cases: [(&[u8], &[&[u8]]); 3] = [
        (b"%FF=%00&\xFE=\x01", &[b"\xFE", b"\x01", b"\xFF", b"\0"]),
        (b"%9f%90=%0A", &[b"\x9F\x90", b"\n"]),
        (b"%aF=%Fa", &[b"\xAF", b"\xFA"]),
    ];
    let rules = Volatile::common().volatile("$['\u{fffd}']").unwrap();
    for (body, expected) in cases {
        let mut text = Vec::new();
        form(body, &rules, &mut |bytes| text.extend_from_slice(bytes));
        assert_eq!(text, fields(expected), "{body:?}");
    }
}

// covers: F2 F4
#[test]
fn multipart_vectors() {
    for case in vectors().multipart {
        let mut text = Vec::new();
        let rules = case.rules.on(Volatile::none());
        let found = multipart(case.body.as_bytes(), case.boundary.as_bytes(), &rules, &mut |bytes| {
            text.extend_from_slice(bytes);
        });
        let found = found.map(|()| text).map_err(Invalid::from);
        let expected = match (case.parts, case.invalid) {
            (Some(parts), None) => Ok(parts.iter().flat_map(part_fields).collect()),
            (None, Some(invalid)) => Err(invalid),
            _ => panic!("{}: parts or a fault", case.description),
        };
        assert_eq!(found, expected, "{}", case.description);
    }
}

fn part_fields(part: &PartCase) -> Vec<u8> {
    let optional = |value: &Option<String>| {
        let present: &[u8] = if value.is_some() { b"1" } else { b"0" };
        fields([present, value.as_deref().unwrap_or_default().as_bytes()])
    };
    let sha256 = bytes_of_hex(&part.sha256);
    [fields([&part.name]), optional(&part.file_name), optional(&part.media_type), fields([sha256])].concat()
}

// covers: F2
#[test]
fn multipart_of_bytes_beyond_utf8() {
    let body = b"--b\r\nContent-Disposition: form-data; name=\"\xFF\"\r\n\r\n\0\xFF\r\n--b--";
    let mut text = Vec::new();
    multipart(body, b"b", &Volatile::common(), &mut |bytes| text.extend_from_slice(bytes)).unwrap();
    // The SHA-256 of 00 ff.
    let sha256 = bytes_of_hex("06eb7d6a69ee19e5fbdf749018d3d2abfa04bcbd1365db312eb86dc7169389b8");
    assert_eq!(text, fields([b"\xFF".as_slice(), b"0", b"", b"0", b"", &sha256]));
}

// covers: F4
#[test]
fn path_vectors() {
    for case in vectors().paths {
        for declare in [Volatile::volatile, Volatile::content, Volatile::identity] {
            let found = declare(Volatile::none(), &case.path).map(|_| ()).map_err(Invalid::from);
            assert_eq!(found.as_ref(), Err(&case.invalid), "{}", case.description);
        }
    }
}

// covers: F4
#[test]
fn steps_are_bounded_for_all_paths_of_a_route() {
    let almost_all = ".a".repeat(STEPS_MAX - 2);
    let rules = Volatile::none().volatile(&format!("${almost_all}")).unwrap().volatile("$.b.c").unwrap();
    assert_eq!(
        rules.clone().volatile("$.d").map(|_| ()),
        Err(PathInvalid { fault: PathFault::Length, offset: 1 })
    );
    // The last step of all still works.
    assert_eq!(canonical_json(br#"{"b":{"c":1,"d":2}}"#, &rules).unwrap(), br#"{"b":{"d":2}}"#);
}

// covers: F4
#[test]
fn the_largest_index_is_accepted() {
    assert!(Volatile::none().volatile("$[9007199254740991]").is_ok());
}

// covers: F1 S1
#[test]
fn depth_is_bounded() {
    let nested =
        |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), (r#"[{"a":"#, "}]")] {
        let brackets = open.matches(['[', '{']).count();
        let deepest = nested(open, close, DEPTH_MAX / brackets);
        assert_eq!(canonical_json(deepest.as_bytes(), &Volatile::none()), Ok(deepest.into_bytes()));
        let deeper = nested(open, close, DEPTH_MAX / brackets + 1);
        let offset = open.len() * (DEPTH_MAX / brackets);
        assert_eq!(
            canonical_json(deeper.as_bytes(), &Volatile::none()),
            Err(BodyInvalid { reason: Reason::Depth, offset })
        );
    }
    // Brackets one after the other are not deep.
    let wide = format!("[{}[]]", "[],".repeat(DEPTH_MAX));
    assert_eq!(canonical_json(wide.as_bytes(), &Volatile::none()), Ok(wide.into_bytes()));
}

// covers: F1 S1
#[test]
fn digits_are_bounded() {
    let sevens = "7".repeat(NUMBER_DIGITS_MAX - 5);
    let at_most = [
        format!("77777{sevens}"),
        format!("-7.7777{sevens}"),
        format!("{sevens}.7e0777"),
        format!("0.0000{sevens}"),
    ];
    for literal in at_most {
        assert!(canonical_json(literal.as_bytes(), &Volatile::none()).is_ok(), "{literal}");
        let one_more = format!("[{literal}0]");
        assert_eq!(
            canonical_json(one_more.as_bytes(), &Volatile::none()),
            Err(BodyInvalid { reason: Reason::NumberLength, offset: 1 })
        );
    }
}

// covers: F1
#[test]
fn special_bytes_are_found_at_every_place_of_a_long_string() {
    for place in 0..40 {
        let run = "x".repeat(place);
        let rest = "y\u{e9}".repeat(10);
        let quoted = format!("\"{run}\\u000a{rest}\"");
        assert_eq!(
            canonical_json(quoted.as_bytes(), &Volatile::none()),
            Ok(format!("\"{run}\\n{rest}\"").into_bytes())
        );
        for control in ['\0', '\n', '\u{1f}'] {
            let bare = format!("\"{run}{control}{rest}\"");
            assert_eq!(
                canonical_json(bare.as_bytes(), &Volatile::none()),
                Err(BodyInvalid { reason: Reason::Syntax, offset: place + 1 })
            );
        }
        let ended = format!("\"{run}\"{rest}");
        assert_eq!(
            canonical_json(ended.as_bytes(), &Volatile::none()),
            Err(BodyInvalid { reason: Reason::Trailing, offset: place + 2 })
        );
        for plain in [' ', '!', '#', '[', ']', '\u{7f}', '\u{a2}', '\u{dc}', '\u{2022}'] {
            let string = format!("\"{run}{plain}{rest}\"");
            assert_eq!(canonical_json(string.as_bytes(), &Volatile::none()), Ok(string.clone().into_bytes()));
        }
    }
}

// covers: F1
#[test]
fn many_members_sort() {
    // 7919 and 1,000 have no common factor, so every number comes once.
    let member = |n: usize| format!("\"field_{n:03}\":{n}");
    let shuffled: Vec<_> = (0..1_000).map(|n| member(n * 7919 % 1_000)).collect();
    let sorted: Vec<_> = (0..1_000).map(member).collect();
    let body = format!("{{{}}}", shuffled.join(" , "));
    assert_eq!(
        canonical_json(body.as_bytes(), &Volatile::none()),
        Ok(format!("{{{}}}", sorted.join(",")).into_bytes())
    );
}

// covers: F1 K6
#[test]
fn faults_name_the_place_and_quote_nothing() {
    let cases = [
        (Reason::ByteOrderMark, "byte order mark at byte 7"),
        (Reason::Encoding, "not utf-8 at byte 7"),
        (Reason::Syntax, "not allowed by rfc 8259 at byte 7"),
        (Reason::End, "body ends too early at byte 7"),
        (Reason::Trailing, "data after the value at byte 7"),
        (Reason::DuplicateMember, "member name repeated at byte 7"),
        (Reason::LoneSurrogate, "lone surrogate at byte 7"),
        (Reason::NumberLength, "number has too many digits at byte 7"),
        (Reason::Depth, "nested too deep at byte 7"),
        (Reason::Boundary, "multipart boundary malformed at byte 7"),
        (Reason::PartHeader, "multipart part header malformed at byte 7"),
    ];
    for (reason, text) in cases {
        assert_eq!(BodyInvalid { reason, offset: 7 }.to_string(), text);
    }
    let cases = [
        (PathFault::Root, "path does not begin with $ at byte 7"),
        (PathFault::Whole, "path selects the whole body at byte 7"),
        (PathFault::Syntax, "path is not jsonpath at byte 7"),
        (PathFault::Filter, "filters are not supported at byte 7"),
        (PathFault::Slice, "slices are not supported at byte 7"),
        (PathFault::NegativeIndex, "negative indexes are not supported at byte 7"),
        (PathFault::Union, "several selectors in one segment are not supported at byte 7"),
        (PathFault::Several, "path can select several values at byte 7"),
        (PathFault::Length, "paths have too many steps at byte 7"),
    ];
    for (fault, text) in cases {
        assert_eq!(PathInvalid { fault, offset: 7 }.to_string(), text);
    }
}

#[test]
fn limits_are_those_of_the_protocol_and_the_standards() {
    assert_eq!((DEPTH_MAX, NUMBER_DIGITS_MAX, BOUNDARY_BYTES_MAX), (64, 1_000, 70));
}
