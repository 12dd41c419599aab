//! The request that looks: every value stays in its place.

use http::Method;
use onceward_resolve::LookError;
use proptest::prelude::*;

use crate::kit::{effect, headers, order, recipe};

const UNIQUE: &str = r#"as = "json"
shown = { pick = "$" }
fields.own = { pick = "$.own" }
match = [{ field = "own", equals = "{json $.reference}", unique = true }]"#;

/// The address that a template makes of a request.
fn url(template: &str, effect: &onceward_resolve::EffectRequest) -> Result<String, LookError> {
    let recipe = recipe(&format!("url = '{template}'"), UNIQUE).unwrap();
    recipe.look(effect).map(|look| look.uri().to_string())
}

fn with_reference(reference: &str) -> onceward_resolve::EffectRequest {
    let body = serde_json::json!({ "reference": reference, "total": 12.50 }).to_string();
    effect("POST", "https://shop.example/orders", &[("content-type", "application/json")], &body)
}

#[test]
fn places_are_filled() {
    let rows = [
        ("/orders?ref={json $.reference}", "https://shop.example/orders?ref=r-77"),
        ("{origin}/orders/{json $.reference}/lines", "https://shop.example/orders/r-77/lines"),
        ("{path}?own=1", "https://shop.example/orders?own=1"),
        ("{path}/{query.cart}", "https://shop.example/orders/9"),
        ("/a?b={path}", "https://shop.example/a?b=%2Forders"),
        ("/a?b={json $.lines[1]}&c={json $.total}", "https://shop.example/a?b=2&c=12.50"),
        ("/a?b={json $.email ~ \"^(.+)@\"}", "https://shop.example/a?b=Ann"),
        ("/a?b={json $.email ~ \"[a-z]+$\"}", "https://shop.example/a?b=org"),
        ("/{path ~ \"^/([a-z]{3})\"}", "https://shop.example/ord"),
        ("/a?b={query.cart}-{query.cart}&c=1", "https://shop.example/a?b=9-9&c=1"),
        ("/a?t={claimed_at}", "https://shop.example/a?t=2026-11-22T10%3A53%3A20Z"),
        ("/a?t={claimed_at - 5m as unix}", "https://shop.example/a?t=1795344500"),
        ("/a?t={claimed_at + 1ms as unix_ms}", "https://shop.example/a?t=1795344800501"),
        ("/a?t={claimed_at - 1d as date}", "https://shop.example/a?t=2026-11-21"),
        ("/a?t={claimed_at as %d.%m.%Y}", "https://shop.example/a?t=22.11.2026"),
        ("https://api.example:8443/a?b={query.cart}", "https://api.example:8443/a?b=9"),
    ];
    for (template, expected) in rows {
        assert_eq!(url(template, &order()).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn what_is_missing_makes_the_look_impossible() {
    let missing = |what: &str| LookError::Missing { what: what.into() };
    let unreadable = |what: &str, why| LookError::Unreadable { what: what.into(), why };
    let rows = [
        ("{json $.none}", missing("json $.none")),
        ("{json $.note}", LookError::Empty { what: "json $.note".into() }),
        ("{json $.lines[*]}", LookError::Several { what: "json $.lines[*]".into() }),
        (
            "{json $.lines}",
            unreadable("json $.lines", "it is no text, truth value or number of up to 15 digits"),
        ),
        ("{query.none}", missing("query.none")),
        ("{header.cookie}", missing("header.cookie")),
        ("{form.a}", unreadable("form.a", "the body is no form")),
        ("{json $.email ~ \"[0-9]+\"}", missing("json $.email ~ \"[0-9]+\"")),
        ("{claimed_at + 99999999d as date}", unreadable("claimed_at + 99999999d as date", "no such time")),
    ];
    for (place, expected) in rows {
        let (got, expected) = (url(&format!("/a?b={place}"), &order()).unwrap_err(), expected);
        assert_eq!(got, expected, "{place}");
    }
}

/// A segment is put where it is meant, not encoded a second time.
#[test]
fn a_part_of_the_path_is_decoded() {
    let effect = effect("POST", "https://shop.example/%6Frd%65rs", &[], "");
    assert_eq!(url("/a/{path ~ \"^/(.+)$\"}", &effect).as_deref(), Ok("https://shop.example/a/orders"));
    let raw = crate::kit::effect("POST", "https://shop.example/orders?a=%C3%A4%20%26", &[], "");
    assert_eq!(url("/a?b={query.a}", &raw).as_deref(), Ok("https://shop.example/a?b=%C3%A4%20%26"));
}

#[test]
fn a_number_of_too_many_digits_is_no_value() {
    let fields = [("content-type", "application/json")];
    for (number, expected) in
        [("0.123456789012345", true), ("0.12345678901234567", false), ("12345678901234567890", true)]
    {
        let effect = effect("POST", "https://shop.example/orders", &fields, &format!("{{\"n\": {number}}}"));
        assert_eq!(url("/a?b={json $.n}", &effect).is_ok(), expected, "{number}");
    }
}

#[test]
fn a_body_is_read_by_its_type() {
    let json = r#"{"a": "1"}"#;
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"issue[subject]\"\r\n\r\nLeak\r\n\
        --x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nfile\r\n--x--\r\n";
    let form = "a=1&a=2&b=%C3%A4+c&issue%5Bsubject%5D=Leak";
    type Fields = [(&'static str, &'static str)];
    let rows: [(&Fields, &str, &str, Option<&str>); 14] = [
        (&[("content-type", "application/json; charset=utf-8")], json, "{json $.a}", Some("1")),
        (&[("content-type", "application/vnd.api+json")], json, "{json $.a}", Some("1")),
        (&[("content-type", "text/plain")], json, "{json $.a}", None),
        (&[], json, "{json $.a}", None),
        (&[("content-type", "application/json"), ("content-encoding", "gzip")], json, "{json $.a}", None),
        (
            &[("content-type", "application/json"), ("content-encoding", "identity")],
            json,
            "{json $.a}",
            Some("1"),
        ),
        (&[("content-type", "application/json")], "{\"a\": \"1\"", "{json $.a}", None),
        (&[("content-type", "application/x-www-form-urlencoded")], form, "{form.b}", Some("%C3%A4%20c")),
        (
            &[("content-type", "application/x-www-form-urlencoded")],
            form,
            "{form.issue[subject]}",
            Some("Leak"),
        ),
        (&[("content-type", "application/x-www-form-urlencoded")], form, "{form.a}", None),
        (
            &[("content-type", "multipart/form-data; boundary=x; a=b")],
            multipart,
            "{form.issue[subject]}",
            Some("Leak"),
        ),
        (&[("content-type", "multipart/form-data; boundary=\"x\"")], multipart, "{form.f}", None),
        (&[("content-type", "multipart/form-data; boundary=y")], multipart, "{form.issue[subject]}", None),
        (
            &[("content-type", "multipart/form-data; boundary=x")],
            &multipart[..60],
            "{form.issue[subject]}",
            None,
        ),
    ];
    for (fields, body, place, expected) in rows {
        let effect = effect("POST", "https://shop.example/orders", fields, body);
        let got = url(&format!("/a?b={place}"), &effect).ok();
        let expected = expected.map(|value| format!("https://shop.example/a?b={value}"));
        assert_eq!(got, expected, "{fields:?} {place}");
    }
}

#[test]
fn only_its_own_effects_are_looked_for() {
    let recipe = recipe("url = \"/a\"", UNIQUE).unwrap();
    let rows = [
        ("POST", "https://shop.example/orders", true),
        ("POST", "https://SHOP.example/orders?x", true),
        ("POST", "https://shop.example:8443/orders", false),
        ("POST", "https://shop.example/%6Frders", true),
        ("PUT", "https://shop.example/orders", false),
        ("POST", "https://other.example/orders", false),
        ("POST", "https://shop.example/orders/", false),
        ("POST", "https://shop.example/orders/7", false),
        ("POST", "https://shop.example/Orders", false),
    ];
    for (method, uri, expected) in rows {
        let effect = effect(method, uri, &[], "");
        assert_eq!(recipe.is_for(&effect), expected, "{method} {uri}");
        let look = recipe.look(&effect);
        assert_eq!(look.is_ok(), expected);
        assert!(expected || matches!(look, Err(LookError::OtherEffect)));
    }
}

#[test]
fn paths_have_places() {
    let of = |pattern: &str, path: &str| {
        let text = format!(
            "recipe = 1\nname = \"a\"\ntitle = \"A\"\nsource = \"https://a.b\"\n[effect]\nmethods = [\"POST\"]\npaths = [\"{pattern}\"]\n\
             [probe]\nurl = \"/a\"\nsettle = \"1s\"\n[found]\n{UNIQUE}"
        );
        let recipe = onceward_resolve::Recipe::parse(&text).unwrap();
        recipe.is_for(&effect("POST", &format!("https://shop.example{path}"), &[], ""))
    };
    let rows = [
        ("/p/{id}/issues", "/p/7/issues", true),
        ("/p/{id}/issues", "/p//issues", false),
        ("/p/{id}/issues", "/p/../issues", false),
        ("/p/{id}/issues", "/p/a%2Fb/issues", false),
        ("/p/{*rest}", "/p/a/b", true),
        ("/p/{*rest}", "/q/a", false),
        ("/p/", "/p/", true),
        ("/p/", "/p", false),
    ];
    for (pattern, path, expected) in rows {
        assert_eq!(of(pattern, path), expected, "{pattern} {path}");
    }
}

#[test]
fn named_headers_are_sent_again_and_no_others() {
    let probe = "url = \"/a\"\nsend = [\"cookie\", \"Authorization\"]\nsend_if_present = [\"x-b\", \"x-c\"]\nheaders = { Accept = \"application/json\" }";
    let recipe = recipe(probe, UNIQUE).unwrap();
    let sent = [
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("authorization", "t"),
        ("x-b", "3"),
        ("idempotency-key", "k"),
    ];
    let look = recipe.look(&effect("POST", "https://shop.example/orders", &sent, "{}")).unwrap();
    assert_eq!((look.method(), look.body().as_slice()), (&Method::GET, &b""[..]));
    let expected = [
        ("accept-encoding", "identity"),
        ("cache-control", "no-cache"),
        ("accept", "application/json"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("authorization", "t"),
        ("x-b", "3"),
    ];
    assert_eq!(look.headers(), &headers(&expected));
    let lacking = recipe.look(&effect("POST", "https://shop.example/orders", &sent[..2], "{}"));
    assert_eq!(lacking.map(drop), Err(LookError::Missing { what: "header.authorization".into() }));
}

#[test]
fn a_recipe_says_what_it_needs_kept() {
    let probe = "url = \"/a?b={header.x-own}\"\nsend = [\"cookie\"]\nsend_if_present = [\"x-b\"]";
    let recipe = recipe(probe, UNIQUE).unwrap();
    let kept: Vec<String> = recipe.kept_headers().iter().map(ToString::to_string).collect();
    assert_eq!(kept, ["content-encoding", "content-type", "cookie", "x-b", "x-own"]);
    let sent = [("cookie", "a=1"), ("x-other", "2"), ("cookie", "b=2")];
    let whole = effect("POST", "https://shop.example/orders", &sent, "{}");
    assert_eq!(
        recipe.kept(whole.clone()),
        effect("POST", "https://shop.example/orders", &[sent[0], sent[2]], "{}")
    );
    let bare = UNIQUE.replace("{json $.reference}", "{query.own}");
    let bare = crate::kit::recipe("url = \"/a\"", &bare).unwrap();
    assert_eq!(bare.kept(whole), effect("POST", "https://shop.example/orders", &[], ""));
}

#[test]
fn credentials_are_not_shown() {
    let probe = "url = \"/a\"\nsend = [\"cookie\"]\nheaders = { x-key = \"s3cret\" }";
    let recipe = recipe(probe, UNIQUE).unwrap();
    let look =
        recipe.look(&effect("POST", "https://shop.example/orders", &[("cookie", "s3cret")], "")).unwrap();
    for shown in [format!("{recipe:?}"), format!("{look:?}")] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn a_path_is_never_left() {
    for value in ["..", ".", "a/b", "a\\b", "a\nb", "\0"] {
        let got = url("/orders/{json $.reference}", &with_reference(value));
        assert!(matches!(got, Err(LookError::Unsafe { .. })), "{value:?}: {got:?}");
    }
    let dots = url("/orders/{json $.reference}{json $.reference}", &with_reference("."));
    assert!(matches!(dots, Err(LookError::Unsafe { .. })), "{dots:?}");
    let dotted = effect("POST", "https://shop.example/a/%2e%2E/b", &[], "");
    let text = "recipe = 1\nname = \"a\"\ntitle = \"A\"\nsource = \"https://a.b\"\n[effect]\nmethods = [\"POST\"]\npaths = [\"/{*rest}\"]\n\
        [probe]\nurl = \"{path}\"\nsettle = \"1s\"\n[found]\n";
    let recipe = onceward_resolve::Recipe::parse(&format!("{text}{UNIQUE}")).unwrap();
    assert!(matches!(recipe.look(&dotted), Err(LookError::Unsafe { .. })));
}

proptest! {
    /// Whatever a value is, the address is the template's, and the value comes back whole from where it was put.
    #[test]
    fn no_value_leaves_its_place_in_an_address(value in ".{1,60}") {
        let recipe = recipe("url = '/s/{json $.reference}/t?a={json $.reference}&b=2'", UNIQUE).unwrap();
        let look = match recipe.look(&with_reference(&value)) {
            Ok(look) => look,
            Err(error) => {
                prop_assert!(matches!(error, LookError::Unsafe { .. }), "{error:?}");
                return Ok(());
            }
        };
        let uri = look.uri();
        prop_assert_eq!((uri.scheme_str(), uri.authority().unwrap().as_str()), (Some("https"), "shop.example"));
        let segments: Vec<&str> = uri.path().split('/').collect();
        prop_assert_eq!((segments.len(), segments[1], segments[3]), (4, "s", "t"));
        let own = format!("v={}", segments[2].replace('+', "%2B"));
        prop_assert_eq!(&*form_urlencoded(&own)[0].1, value.as_str());
        let pairs = form_urlencoded(uri.query().unwrap());
        let expected = [("a".to_owned(), value.clone()), ("b".to_owned(), "2".to_owned())];
        prop_assert_eq!(pairs.as_slice(), &expected[..]);
        prop_assert_eq!(look.headers().len(), 2);
    }

    #[test]
    fn no_value_leaves_its_place_in_a_body(value in ".{1,60}") {
        let probe = "method = \"POST\"\nurl = \"/s\"\njson = { q = { own = [\"x-{json $.reference}\", 3, true] } }";
        let look = recipe(probe, UNIQUE).unwrap().look(&with_reference(&value)).unwrap();
        let body: serde_json::Value = serde_json::from_slice(look.body()).unwrap();
        prop_assert_eq!(body, serde_json::json!({ "q": { "own": [format!("x-{value}"), 3, true] } }));
        prop_assert_eq!(&look.headers()["content-type"], "application/json");

        let probe = "method = \"POST\"\nurl = \"/s\"\nform = { own = \"{json $.reference}\", z = \"1\" }";
        let look = recipe(probe, UNIQUE).unwrap().look(&with_reference(&value)).unwrap();
        let expected = [("own".to_owned(), value.clone()), ("z".to_owned(), "1".to_owned())];
        let pairs = form_urlencoded(str::from_utf8(look.body()).unwrap());
        prop_assert_eq!(pairs.as_slice(), &expected[..]);
        prop_assert_eq!(&look.headers()["content-type"], "application/x-www-form-urlencoded");
    }

    /// A path comes from whoever sent the request; it never leads to another host.
    #[test]
    fn no_path_leads_elsewhere(path in "/[!-~]{0,30}") {
        let Ok(uri) = format!("https://shop.example{path}").parse::<http::Uri>() else { return Ok(()) };
        let text = "recipe = 1\nname = \"a\"\ntitle = \"A\"\nsource = \"https://a.b\"\n[effect]\nmethods = [\"POST\"]\npaths = [\"/{*rest}\"]\n\
            [probe]\nurl = \"{path}\"\nsettle = \"1s\"\n[found]\n";
        let recipe = onceward_resolve::Recipe::parse(&format!("{text}{UNIQUE}")).unwrap();
        let effect = effect("POST", &uri.to_string(), &[], "");
        if let Ok(look) = recipe.look(&effect) {
            prop_assert_eq!(look.uri().authority().unwrap().as_str(), "shop.example");
            prop_assert_eq!(look.uri().path(), uri.path());
        }
    }
}

/// An oracle of what a server reads from a query or a form (WHATWG URL, 5.1).
fn form_urlencoded(text: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}
