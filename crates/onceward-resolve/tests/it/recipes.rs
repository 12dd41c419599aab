//! What is a recipe, and what is said of what is none.

use onceward_resolve::Recipe;

use crate::kit::recipe;

const HEAD: &str =
    "recipe = 1\nname = \"shop\"\ntitle = \"A shop\"\nsource = \"https://shop.example/docs\"\n";
const EFFECT: &str = "[effect]\nmethods = [\"POST\"]\npaths = [\"/orders\"]\n";
const PROBE: &str = "[probe]\nurl = \"/a\"\nsettle = \"1m\"\n";
const FOUND: &str = "[found]\nas = \"json\"\nshown = { pick = \"$\" }\nfields.own = { pick = \"$.own\" }\n\
    match = [{ field = \"own\", equals = \"{query.own}\", unique = true }]\n";

fn error(text: &str) -> String {
    Recipe::parse(text).map(|_| ()).unwrap_err().to_string()
}

/// A whole recipe in which one text is another.
fn changed(from: &str, to: &str) -> Result<Recipe, String> {
    let text = [HEAD, EFFECT, PROBE, FOUND].concat();
    assert!(text.contains(from), "{from}");
    Recipe::parse(&text.replacen(from, to, 1)).map_err(|error| error.to_string())
}

#[test]
fn a_recipe_says_what_it_is() {
    let recipe = changed("[effect]", "proven = \"Shop 1.2\"\nlimits = \"none\"\n[effect]").unwrap();
    let said = (recipe.name(), recipe.title(), recipe.source(), recipe.proven(), recipe.limits());
    assert_eq!(said, ("shop", "A shop", "https://shop.example/docs", Some("Shop 1.2"), Some("none")));
    assert_eq!(recipe.settle(), std::time::Duration::from_secs(60));
    assert_eq!(changed("A shop", "B").unwrap().proven(), None);
}

#[test]
fn an_unknown_name_is_an_error_with_its_place_and_a_suggestion() {
    let text = [HEAD, EFFECT, "[probe]\nurl = \"/a\"\nsetle = \"1m\"\n", FOUND].concat();
    let message = error(&text);
    assert!(message.starts_with("line 10, column 1: unknown field `setle`"), "{message}");
    assert!(message.ends_with("did you mean `settle`?"), "{message}");
    let message = error("recipe = 1\nname = [\n");
    assert!(message.starts_with("line 2, column "), "{message}");
    assert_eq!(error(&[HEAD, EFFECT, PROBE].concat()).split(": ").nth(1), Some("missing field `found`"));
}

#[test]
fn each_fault_of_a_look_names_its_place() {
    let rows = [
        ("recipe = 1", "recipe = 2", "recipe: this program reads version 1"),
        ("\"shop\"", "\"My Shop\"", "name: write it in small letters"),
        ("https://shop.example/docs", "the docs", "source: give the address"),
        ("[\"POST\"]", "[]", "effect: name at least one"),
        ("[\"POST\"]", "[\"post\"]", "effect.methods: `post` is no method"),
        ("\"/orders\"", "\"orders\"", "effect.paths: `orders`: a path begins"),
        ("\"/orders\"", "\"/{*a}/b\"", "effect.paths: `/{*a}/b`: `{*name}` is the last"),
        ("\"/orders\"", "\"/a{b}\"", "effect.paths: `a{b}` is neither"),
        ("url = \"/a\"", "url = \"a\"", "probe.url: a path begins"),
        ("url = \"/a\"", "url = \"{query.a}/b\"", "probe.url: a path begins"),
        ("url = \"/a\"", "url = \"//{origin}\"", "probe.url: `{origin}` stands at the start"),
        ("url = \"/a\"", "url = \"/a{path}\"", "probe.url: the whole `{path}` stands"),
        ("url = \"/a\"", "url = \"/a?{query.a}=1\"", "probe.url: in a query, a place stands behind"),
        ("url = \"/a\"", "url = \"/a?b=1&{query.a}=1\"", "probe.url: in a query, a place stands behind"),
        ("url = \"/a\"", "url = \"/a#{query.a}\"", "probe.url: `/a#`: an address has no"),
        ("url = \"/a\"", "url = \"/a b\"", "probe.url: `/a b`: an address has no"),
        ("url = \"/a\"", "url = \"https://{query.a}/\"", "probe.url: `{query.a}` is no host"),
        ("url = \"/a\"", "url = \"https://a@b/\"", "probe.url: `a@b` is no host"),
        ("url = \"/a\"", "url = \"https://a.b{path}.c{path}\"", "probe.url: `a.b{path}.c{path}` is no host"),
        ("url = \"/a\"", "url = \"/a?b={\"", "probe.url: a `{` without"),
        ("url = \"/a\"", "url = \"/a?b=}\"", "probe.url: a `}` without"),
        ("url = \"/a\"", "url = \"/a?b={qery.a}\"", "probe.url: `{qery.a}` names no value"),
        ("url = \"/a\"", "url = \"/a?b={json a}\"", "probe.url: `json a` is no JSONPath"),
        ("url = \"/a\"", "url = \"/a?b={claimed_at - x}\"", "probe.url: `claimed_at - x`: write it as"),
        ("url = \"/a\"", "url = '/a?b={path ~ a}'", "probe.url: `a`: a pattern stands in double quotes"),
        ("url = \"/a\"", "url = '/a?b={path ~ \"(\"}'", "probe.url: `\"(\"` is no regular expression"),
        (
            "url = \"/a\"",
            "url = '/a?b={claimed_at ~ \"a\"}'",
            "probe.url: `claimed_at ~ \"a\"`: no part is taken",
        ),
        ("settle = \"1m\"", "settle = \"1 m\"", "probe.settle: `1 m` is no duration"),
        ("settle", "method = \"PUT\"\nsettle", "probe.method: a look is a GET"),
        ("settle", "method = \"POST\"\nsettle", "probe: a POST has a `json`"),
        ("settle", "json = { a = 1 }\nsettle", "probe: a POST has a `json`"),
        (
            "settle",
            "method = \"POST\"\nform = { a = \"1\" }\njson = { a = 1 }\nsettle",
            "probe: give `json` or `form`",
        ),
        ("settle", "send = [\"host\"]\nsettle", "probe.send: `host` is not a recipe's"),
        ("settle", "send = [\"Idempotency-Key\"]\nsettle", "probe.send: `idempotency-key` is not"),
        ("settle", "send_if_present = [\"a b\"]\nsettle", "probe.send_if_present: `a b` names no header"),
        ("settle", "headers = { a = \"b\\r\\nc: d\" }\nsettle", "probe.headers.a: a value is visible"),
        ("settle", "headers = { \"a:b\" = \"c\" }\nsettle", "probe.headers: `a:b` names no header"),
        ("settle", "send = [\"a\"]\nheaders = { A = \"c\" }\nsettle", "probe.headers.a: it is given twice"),
    ];
    check(&rows);
}

#[test]
fn each_fault_of_a_reading_names_its_place() {
    let rows = [
        ("as = \"json\"", "as = \"json\"\nstatus = [302]", "found.status: an answer is read"),
        ("as = \"json\"", "as = \"json\"\nstatus = []", "found.status: an answer is read"),
        ("\"$\"", "\"$[\"", "found.shown: `$[` is no JSONPath"),
        ("{ pick = \"$\" }", "{ pick = \"$\", attribute = \"a\" }", "found.shown: only an element"),
        ("{ pick = \"$\" }", "{ pick = \"$\", optional = true }", "found.shown: `optional` belongs"),
        (
            "{ pick = \"$.own\" }",
            "{ pick = \"$.own\", equals = \"a\" }",
            "found.fields.own: a field is compared",
        ),
        (
            "{ pick = \"$.own\" }",
            "{ pick = \"$.own\", regex = \"(\" }",
            "found.fields.own: `(` is no regular",
        ),
        (
            "field = \"own\"",
            "field = \"owm\"",
            "found.match: `owm` is none of `found.fields`; did you mean `own`?",
        ),
        ("fields.own", "fields.at = { pick = \"$.at\" }\nfields.own", "found.fields.at: nothing uses it"),
        (", unique = true", "", "found: an equal one of yesterday"),
        ("{query.own}", "fixed", "found.match: what is `unique` comes from the request"),
        (", equals = \"{query.own}\"", "", "found.match: `as`, `case`, `mark` and `unique` belong"),
        (", equals = \"{query.own}\", unique = true", ", as = \"text\"", "found.match: `as`, `case`, `mark`"),
        (
            "unique = true",
            "as = \"number\", case = \"keep\", unique = true",
            "found.match: `case` belongs to text",
        ),
        ("match", "complete = { total = { pick = \"$\" } }\nmatch", "found.complete: it belongs to a list"),
        (
            "match",
            "items = \"$[*]\"\ncomplete = { order = \"newest-first\" }\nmatch",
            "found.complete.order: only a `time`",
        ),
        (
            "match",
            "items = \"$[*]\"\nabsent = { status = [404], shown = { pick = \"$\" } }\nmatch",
            "found.absent: a list shows",
        ),
        (
            "match",
            "absent = { status = [403], shown = { pick = \"$\" } }\nmatch",
            "found.absent.status: that there is none",
        ),
        ("match", "reference = \"it\"\nmatch", "found.reference: `it` is none"),
    ];
    check(&rows);
}

/// Each row: a text, what stands for it, and how the error begins.
fn check(rows: &[(&str, &str, &str)]) {
    for (from, to, expected) in rows {
        let message = changed(from, to).map(drop).unwrap_err();
        assert!(message.starts_with(expected), "{to}: {message}");
    }
}

#[test]
fn a_time_must_say_its_zone_and_its_step() {
    let with = |time: &str| {
        let found = format!(
            "as = \"json\"\nshown = {{ pick = \"$\" }}\nfields.at = {{ pick = \"$.at\" }}\ntime = {{ field = \"at\", {time} }}"
        );
        recipe("url = \"/a\"", &found).map(drop)
    };
    assert_eq!(with("format = \"rfc3339\", resolution = \"1s\""), Ok(()));
    assert_eq!(with("format = \"%H:%M%:z\", resolution = \"1m\", apart = \"5s\""), Ok(()));
    let rows = [
        ("format = \"iso\", resolution = \"1s\"", "found.time: `iso` is no way"),
        ("format = \"%H\", resolution = \"1s\"", "found.time: the format names no zone"),
        ("format = \"unix\", zone = \"UTC\", resolution = \"1s\"", "found.time: the format says its zone"),
        ("format = \"%H\", zone = \"CET\", resolution = \"1s\"", "found.time: `CET` is no zone"),
        ("format = \"%H\", zone = \"+1:75\", resolution = \"1s\"", "found.time: `+1:75` is no zone"),
        ("format = \"unix\", resolution = \"0s\"", "found.time: a resolution is more"),
        ("format = \"unix\", resolution = \"1s\", apart = \"x\"", "found.time: `x` is no duration"),
    ];
    for (time, expected) in rows {
        let message = with(time).unwrap_err();
        assert!(message.starts_with(expected), "{time}: {message}");
    }
}

/// Credentials go to another origin only where the recipe says whose they are, and never in the clear.
#[test]
fn credentials_do_not_leak_to_another_origin() {
    let with = |host: &str, url: &str| {
        let probe = format!("[probe]\nurl = \"{url}\"\nsend = [\"cookie\"]\nsettle = \"1m\"\n");
        Recipe::parse(&[HEAD, EFFECT, host, &probe, FOUND].concat()).is_ok()
    };
    assert!(with("host = \"shop.example\"\n", "https://api.shop.example/a"));
    assert!(!with("", "https://api.shop.example/a"));
    assert!(!with("host = \"shop.example\"\n", "http://api.shop.example/a"));
    assert!(with("", "/a"));
}

#[test]
fn parameters_are_given_or_have_a_default() {
    let parameters = "[parameters]\nwhere = { about = \"the list's path\" }\nname = { about = \"its field\", default = \"own\" }\n";
    let found = FOUND.replace("$.own", "$.{parameter.name}");
    let text = [HEAD, parameters, EFFECT, &PROBE.replace("/a", "{parameter.where}"), &found].concat();
    let parse = |given: &[(&str, &str)]| Recipe::parse_with(&text, given).map_err(|error| error.to_string());
    let effect = crate::kit::effect("POST", "https://shop.example/orders?own=7", &[], "");
    let look = parse(&[("where", "/list?a={query.own}")]).unwrap().look(&effect).unwrap();
    assert_eq!(look.uri(), "https://shop.example/list?a=7");
    assert_eq!(parse(&[]).unwrap_err(), "parameters.where: must be given: the list's path");
    let unknown = parse(&[("wher", "/")]).unwrap_err();
    assert_eq!(unknown, "parameters.wher: there is no such parameter; did you mean `where`?");
    let unnamed = text.replace("{parameter.name}", "{parameter.nam}");
    assert_eq!(
        error(&unnamed.replace("{parameter.where}", "/a")),
        "parameters.where: must be given: the list's path"
    );
    let unnamed = Recipe::parse_with(&unnamed, &[("where", "/a")]).unwrap_err().to_string();
    assert_eq!(unnamed, "pick: `nam` is none of the recipe's parameters");
}

#[test]
fn doubled_braces_are_braces() {
    let recipe = changed("{query.own}", "{{{query.own}}}").unwrap();
    let effect = crate::kit::effect("POST", "https://shop.example/orders?own=7", &[], "");
    assert_eq!(crate::kit::word(&crate::kit::json(&recipe, &effect, r#"{"own": "{7}"}"#)), "found -");
}

#[test]
fn a_recipe_is_shared_between_threads() {
    fn is_shared<T: Send + Sync + Clone>(_: &T) {}
    is_shared(&changed("A shop", "B").unwrap());
}

const GUIDE: &str = include_str!("../../../../docs/recipes.md");

#[test]
fn the_guides_example_is_a_recipe() {
    let example = GUIDE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let recipe = Recipe::parse(example).unwrap();
    let look = recipe.look(&crate::kit::order()).unwrap();
    assert_eq!(look.uri(), "https://shop.example/orders?reference=r-77");
    let rows = [
        (r#"{"orders": [{"number": "A1", "reference": "r-77"}], "count": 1}"#, "found A1"),
        (r#"{"orders": [], "count": 0}"#, "not found"),
    ];
    for (body, expected) in rows {
        assert_eq!(crate::kit::word(&crate::kit::json(&recipe, &crate::kit::order(), body)), expected);
    }
}

/// The reader lists a table's names where one is unknown; the guide has a row for each.
#[test]
fn the_guide_has_every_name() {
    let rows = [
        ("", "recipe = 1", "x = 1\nrecipe = 1"),
        ("parameters.NAME.", "[effect]", "[parameters.a]\nx = 1\n[effect]"),
        ("effect.", "[effect]", "[effect]\nx = 1"),
        ("probe.", "[probe]", "[probe]\nx = 1"),
        ("found.", "[found]", "[found]\nx = 1"),
        ("found.match.", "{ field", "{ x = 1, field"),
        ("found.time.", "match", "time = { x = 1 }\nmatch"),
        ("found.complete.", "match", "complete = { x = 1 }\nmatch"),
        ("found.absent.", "match", "absent = { x = 1 }\nmatch"),
    ];
    for (table, from, to) in rows {
        let message = changed(from, to).map(drop).unwrap_err();
        let names: Vec<&str> =
            message.split_once("expected").unwrap().1.split('`').skip(1).step_by(2).collect();
        for name in names {
            let name = format!("{table}{name}");
            let is_table = [
                "parameters",
                "effect",
                "probe",
                "found",
                "found.fields",
                "found.time",
                "found.complete",
                "found.absent",
            ];
            let row = format!("| `{name}` |");
            assert!(
                is_table.contains(&name.as_str()) || GUIDE.contains(&row),
                "docs/recipes.md has no row for {name}"
            );
        }
    }
}
