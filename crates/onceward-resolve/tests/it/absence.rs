//! That nothing happened is said only of a place that was recognised, whole and fresh.

use onceward_resolve::Sighting;

use crate::kit::{DATE, json, judge, judge_with, list, list_with, order, orders, recipe, row, word};

const OLD: &str = "09:00:00";

fn reason(sighting: &Sighting) -> &str {
    match sighting {
        Sighting::Unclear { reason } => reason,
        other => panic!("{other:?}"),
    }
}

// covers: D3
#[test]
fn a_list_must_reach_back_or_say_that_it_is_complete() {
    let other = |at: &str| row(5, at).replace("ann@", "bob@");
    let counted = list_with("complete = { total = { pick = \"$.total\" } }");
    let says = list_with("complete = { says = { pick = \"$.more\", equals = \"false\" } }");
    let empty = list_with("complete = { empty = { pick = \"$.note\", equals = \"no orders\" } }");
    let silent = list_with("");
    let with = |rows: &[String], more: &str| orders(rows).replace("]}", &format!("]{more}}}"));
    let rows = [
        (&list(), orders(&[other("10:55:00"), row(1, OLD)]), "not found"),
        (&list(), orders(&[other("10:55:00")]), "unclear"),
        (&list(), orders(&[]), "unclear"),
        // Not newest first, whatever the recipe says: a newer one may be further down.
        (&list(), orders(&[other(OLD), other("10:55:00"), row(1, "08:00:00")]), "unclear"),
        (&counted, with(&[other("10:55:00")], ", \"total\": 1"), "not found"),
        (&counted, with(&[other("10:55:00")], ", \"total\": 2"), "unclear"),
        (&counted, with(&[], ", \"total\": 0"), "not found"),
        (&counted, with(&[], ", \"total\": null"), "unclear"),
        (&counted, with(&[], ""), "unclear"),
        (&says, with(&[], ", \"more\": false"), "not found"),
        (&says, with(&[], ", \"more\": true"), "unclear"),
        (&says, with(&[], ""), "unclear"),
        (&empty, with(&[], ", \"note\": \"no  orders\""), "not found"),
        (&empty, with(&[], ", \"note\": \"try later\""), "unclear"),
        (&empty, with(&[other("10:55:00")], ", \"note\": \"no orders\""), "unclear"),
        (&silent, orders(&[row(1, OLD)]), "unclear"),
    ];
    for (recipe, body, expected) in rows {
        assert_eq!(word(&json(recipe, &order(), &body)), expected, "{body}");
    }
    assert!(!silent.tells_absence());
    assert!([&list(), &counted, &says, &empty].iter().all(|recipe| recipe.tells_absence()));
}

#[test]
fn the_list_itself_must_be_shown() {
    for body in ["{}", "[]", "null", "{\"orders\": null}", "{\"error\": \"x\"}", "{\"Orders\": []}"] {
        let sighting = json(&list_with("complete = { empty = { pick = \"$\" } }"), &order(), body);
        assert_eq!(
            reason(&sighting),
            "status 200: the answer does not show what the recipe looks in",
            "{body}"
        );
    }
}

#[test]
fn other_statuses_say_nothing() {
    let body = orders(&[row(1, OLD)]);
    let rows = [
        (200, "not found", ""),
        (201, "unclear", "the recipe does not know this status"),
        (206, "unclear", "the recipe does not know this status"),
        (302, "unclear", "the site leads elsewhere, perhaps to its login"),
        (401, "unclear", "the site asks who is looking"),
        (403, "unclear", "the site does not let us look"),
        (404, "unclear", "the recipe does not know this status"),
        (429, "unclear", "the site asks for fewer looks"),
        (503, "unclear", "the site fails"),
    ];
    for (status, expected, why) in rows {
        let sighting = judge(&list(), &order(), status, "application/json", &body);
        assert_eq!(word(&sighting), expected, "{status}");
        if expected == "unclear" {
            assert_eq!(reason(&sighting), format!("status {status}: {why}"));
        }
    }
}

#[test]
fn an_answer_must_be_whole_fresh_and_of_its_type() {
    let body = orders(&[row(1, OLD)]);
    let len = body.len().to_string();
    let short = (body.len() + 1).to_string();
    let json = ("content-type", "application/json");
    let date = ("date", DATE);
    let rows: [(&[(&str, &str)], &str); 16] = [
        (&[json, date, ("content-length", &len), ("age", "0")], "not found"),
        (&[("content-type", "application/problem+json; charset=UTF-8"), date], "not found"),
        (&[json, date, ("content-length", &short)], "the answer was cut"),
        (
            &[json, date, ("content-length", &len), ("content-length", &len)],
            "the answer's content-length cannot be read",
        ),
        (&[json, date, ("age", "3")], "a cache answered"),
        (&[json, date, ("content-range", "bytes 0-9/99")], "the answer is a part of another"),
        (&[json, date, ("content-encoding", "gzip")], "the answer is compressed"),
        (&[date], "the answer does not say its type"),
        (&[("content-type", "text/html"), date], "the answer is of another type than expected"),
        (&[("content-type", "application/json; charset=utf-16"), date], "the answer is not UTF-8"),
        (&[json], "1 items, of which one may be it: the answer has no Date, so its clock is unknown"),
        (
            &[json, ("date", "yesterday")],
            "1 items, of which one may be it: the answer has no Date, so its clock is unknown",
        ),
        (&[json, ("date", "Sun, 22 Nov 2026 10:53:19 GMT")], "the answer's Date is before the claim"),
        (&[json, ("date", "Sun, 22 Nov 2026 10:53:20 GMT")], "the answer's Date is before the claim"),
        (&[json, ("date", "Sun, 22 Nov 2026 10:53:21 GMT")], "not found"),
        (
            &[json, date, date],
            "1 items, of which one may be it: the answer has no Date, so its clock is unknown",
        ),
    ];
    for (fields, expected) in rows {
        // An item so old that not even ten minutes between the clocks make it new.
        let body = body.replace(OLD, "07:00:00");
        let sighting = judge_with(&list(), &order(), 200, fields, &body);
        match &sighting {
            Sighting::Unclear { reason } => {
                assert_eq!(*reason, format!("status 200: {expected}"), "{fields:?}")
            }
            other => assert_eq!(word(other), expected, "{fields:?}"),
        }
    }
    assert_eq!(
        reason(&judge_with(&list(), &order(), 200, &[json, date], &body[..body.len() - 1])),
        "status 200: the answer is no valid JSON"
    );
}

#[test]
fn an_answer_is_read_up_to_a_size() {
    let body = orders(&[row(1, OLD)]);
    let padded = format!("{body}{}", " ".repeat(onceward_resolve::ANSWER_BYTES_MAX - body.len()));
    assert_eq!(word(&json(&list(), &order(), &padded)), "not found");
    assert_eq!(
        reason(&json(&list(), &order(), &format!("{padded} "))),
        "status 200: the answer is longer than 4 MiB"
    );
}

fn lookup() -> onceward_resolve::Recipe {
    recipe(
        "url = \"/orders/by-reference/{json $.reference}\"",
        r#"as = "json"
shown = { pick = "$.order" }
fields.id = { pick = "$.order.id" }
fields.own = { pick = "$.order.reference" }
reference = "id"
match = [{ field = "own", equals = "{json $.reference}", as = "exact", unique = true }]
absent = { status = [404], shown = { pick = "$.error.code", equals = "no_such_order" } }"#,
    )
    .unwrap()
}

/// A 404 alone may be a wrong path or a proxy's.
// covers: D3
#[test]
fn a_lookup_by_reference_needs_the_site_to_say_that_there_is_none() {
    let rows = [
        (200, r#"{"order": {"id": "A1", "reference": "r-77"}}"#, "found A1"),
        (200, r#"{"order": {"id": "A1", "reference": "r-78"}}"#, "unclear"),
        (200, r#"{"order": {"id": "A1"}}"#, "unclear"),
        (200, r#"{"order": null}"#, "unclear"),
        (404, r#"{"error": {"code": "no_such_order"}}"#, "not found"),
        (404, r#"{"error": {"code": "no_such_route"}}"#, "unclear"),
        (404, r#"{"order": {"id": "A1", "reference": "r-77"}}"#, "unclear"),
        (404, "", "unclear"),
        (200, r#"{"error": {"code": "no_such_order"}}"#, "unclear"),
        (401, r#"{"error": {"code": "no_such_order"}}"#, "unclear"),
    ];
    for (status, body, expected) in rows {
        assert_eq!(
            word(&judge(&lookup(), &order(), status, "application/json", body)),
            expected,
            "{status} {body}"
        );
    }
    assert_eq!(word(&judge(&lookup(), &order(), 404, "text/html", "<html>no such page</html>")), "unclear");
    let stale = [("content-type", "application/json"), ("date", "Sun, 22 Nov 2026 10:00:00 GMT")];
    let none = r#"{"error": {"code": "no_such_order"}}"#;
    assert_eq!(word(&judge_with(&lookup(), &order(), 404, &stale, none)), "unclear");
    assert_eq!(word(&judge_with(&lookup(), &order(), 404, &[stale[0]], none)), "unclear");
}

fn page() -> onceward_resolve::Recipe {
    recipe(
        "url = \"/orders\"",
        r##"as = "html"
shown = { pick = "table.orders" }
login = { pick = "#sign-in" }
items = "table.orders tr:has(> td)"
fields.id = { pick = "a", attribute = "href", regex = "^/orders/([0-9]+)$" }
fields.email = { pick = "td.who" }
fields.at = { pick = "time", attribute = "datetime" }
reference = "id"
match = [{ field = "email", equals = "{json $.email}", case = "ignore" }]
time = { field = "at", format = "rfc3339", resolution = "1s" }
complete = { order = "newest-first" }"##,
    )
    .unwrap()
}

fn html(rows: &str, more: &str) -> String {
    let table = format!("<table class=orders><tr><th>Order</th></tr>{rows}</table>");
    format!("<!doctype html><html><body>{table}{more}</body></html>")
}

fn html_row(id: &str, who: &str, at: &str) -> String {
    format!(
        "<tr><td><a href=\"/orders/{id}\">#{id}</a></td><td class=who> {who}\n</td><td><time datetime=\"2026-11-22T{at}Z\">today</time></td></tr>"
    )
}

#[test]
fn pages_are_read_by_selectors() {
    let ann = "Ann@Example.<b>org</b>";
    let rows = [
        (html(&html_row("7", ann, "10:54:00"), ""), "found 7"),
        (html(&html_row("x", ann, "10:54:00"), ""), "found -"),
        (html(&html_row("7", "bob@example.org", OLD), ""), "not found"),
        (html("", ""), "unclear"),
        // Two elements where one is meant.
        (
            html(&html_row("7", ann, "10:54:00").replace("</tr>", "<td class=who>bob</td></tr>"), ""),
            "unclear",
        ),
        (html(&html_row("7", "bob@example.org", OLD), "<form id=sign-in></form>"), "unclear"),
        (html(&html_row("7", "bob@example.org", OLD), "<input type=PassWord>"), "unclear"),
        (html(&html_row("7", "bob@example.org", OLD), "").replace("</html>", ""), "unclear"),
        (html("", "").replace("class=orders", "class=basket"), "unclear"),
    ];
    for (body, expected) in rows {
        assert_eq!(
            word(&judge(&page(), &order(), 200, "text/html; charset=utf-8", &body)),
            expected,
            "{body}"
        );
    }
}

#[test]
fn texts_are_read_by_patterns() {
    let recipe = recipe(
        "url = \"/orders.txt\"",
        r#"as = "text"
shown = { pick = "(?m)^orders:$" }
items = "(?m)^- .*$"
fields.own = { pick = "ref=(\\S+)" }
fields.id = { pick = "^- (\\S+)" }
reference = "id"
match = [{ field = "own", equals = "{json $.reference}", unique = true }]
complete = { says = { pick = "(?m)^end of ([a-z]+)$", equals = "orders" } }"#,
    )
    .unwrap();
    let rows = [
        ("orders:\n- A1 ref=r-77\nend of orders\n", "found A1"),
        ("orders:\n- A1 ref=r-78\nend of orders\n", "not found"),
        ("orders:\n- A1 ref=r-78\n", "unclear"),
        ("orders:\n- A1\nend of orders\n", "unclear"),
        ("end of orders\n", "unclear"),
    ];
    for (body, expected) in rows {
        assert_eq!(word(&judge(&recipe, &order(), 200, "text/plain", body)), expected, "{body}");
    }
}
