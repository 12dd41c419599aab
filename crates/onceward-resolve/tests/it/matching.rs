//! Which item of a list is the effect. The claim is at 10:53:20.5; see [`crate::kit`] for the answers' `Date`.

use onceward_resolve::Answer;

use crate::kit::{ASKED_AT_MS, DATE, headers, json, judge_with, list, order, orders, recipe, row, word};

/// Over the shop's list. The two clocks may be a second apart in each direction, by the `Date`'s resolution and the drift.
#[test]
fn an_item_counts_by_its_time() {
    let rows = [
        (vec![("10:53:22", 1)], "found 1"),
        (vec![("10:58:00", 1)], "found 1"),
        // Each of these seconds may hold the claim.
        (vec![("10:53:21", 1)], "unclear"),
        (vec![("10:53:20", 1)], "unclear"),
        (vec![("10:53:19", 1)], "unclear"),
        (vec![("10:53:18", 1)], "not found"),
        (vec![("00:10:00", 1)], "not found"),
        (vec![("10:55:00", 2), ("10:54:00", 1)], "several 2"),
        (vec![("10:55:00", 2), ("10:53:20", 1)], "unclear"),
        (vec![("10:55:00", 2), ("10:53:18", 1)], "found 2"),
    ];
    for (items, expected) in rows {
        let rows: Vec<String> = items.iter().map(|(at, id)| row(*id, at)).collect();
        assert_eq!(word(&json(&list(), &order(), &orders(&rows))), expected, "{items:?}");
    }
}

/// A match that compares with nothing: its pick says what the field may be, and what it does not say makes an item that fits unclear.
#[test]
fn a_field_may_have_to_be_there() {
    let found = |pick: &str| {
        let found = format!(
            "as = \"json\"\nshown = {{ pick = \"$.orders\" }}\nitems = \"$.orders[*]\"\n\
             fields.own = {{ pick = \"$.own\" }}\nfields.state = {pick}\n\
             match = [{{ field = \"own\", equals = \"{{query.cart}}\", unique = true }}, {{ field = \"state\" }}]\n\
             complete = {{ total = {{ pick = \"$.count\" }} }}"
        );
        recipe("url = \"/orders\"", &found).unwrap()
    };
    let needed = found(r#"{ pick = "$.state", regex = "^(?:open|paid)$" }"#);
    let optional = found(r#"{ pick = "$.state", regex = "^(?:open|paid)$", optional = true }"#);
    let rows = [
        (r#"{"own": 9, "state": "open"}"#, "found -", "found -"),
        (r#"{"own": 9, "state": "paid"}"#, "found -", "found -"),
        (r#"{"own": 9, "state": "void"}"#, "unclear", "not found"),
        (r#"{"own": 9}"#, "unclear", "not found"),
        (r#"{"own": 9, "state": ["open"]}"#, "unclear", "unclear"),
        (r#"{"own": 8, "state": "void"}"#, "not found", "not found"),
    ];
    for (item, of_needed, of_optional) in rows {
        let body = format!(r#"{{"orders": [{item}], "count": 1}}"#);
        let seen = [&needed, &optional].map(|recipe| word(&json(recipe, &order(), &body)));
        assert_eq!(seen, [of_needed, of_optional], "{item}");
    }
}

#[test]
fn an_equal_one_of_yesterday_is_not_it() {
    let yesterday = row(1, "10:55:00").replace("2026-11-22", "2026-11-21");
    assert_eq!(word(&json(&list(), &order(), &orders(&[yesterday]))), "not found");
}

/// A site whose clock is a minute ahead stamps what is older than the claim with a time after it.
#[test]
fn the_clocks_difference_is_allowed_for() {
    let rows = [
        ("Sun, 22 Nov 2026 11:04:20 GMT", "10:54:15", "unclear"),
        ("Sun, 22 Nov 2026 11:04:20 GMT", "10:54:23", "found 1"),
        ("Sun, 22 Nov 2026 11:02:20 GMT", "10:52:25", "unclear"),
        // A `Date` that is late may be a late clock's or an old answer's: the second cannot lend an old order its lateness.
        ("Sun, 22 Nov 2026 11:02:20 GMT", "10:53:15", "unclear"),
        ("Sun, 22 Nov 2026 11:02:20 GMT", "10:52:17", "not found"),
    ];
    for (date, at, expected) in rows {
        let fields = [("content-type", "application/json"), ("date", date)];
        let sighting = judge_with(&list(), &order(), 200, &fields, &orders(&[row(1, at)]));
        assert_eq!(word(&sighting), expected, "{date} {at}");
    }
}

#[test]
fn without_a_date_no_time_tells() {
    for at in ["10:54:00", "09:00:00"] {
        let fields = [("content-type", "application/json")];
        let sighting = judge_with(&list(), &order(), 200, &fields, &orders(&[row(1, at)]));
        assert_eq!(word(&sighting), "unclear", "{at}");
    }
}

/// An item of these seconds begins, by the clocks' bounds, at most 2.5 s before the claim.
#[test]
fn a_recipe_may_say_how_far_apart_equal_ones_are() {
    let with = |apart: &str| {
        let found = format!(
            r#"as = "json"
shown = {{ pick = "$.orders" }}
items = "$.orders[*]"
fields.at = {{ pick = "$.at" }}
time = {{ field = "at", format = "rfc3339", resolution = "1s", apart = "{apart}" }}
complete = {{ order = "newest-first" }}"#
        );
        recipe("url = \"/orders\"", &found).unwrap()
    };
    let rows: [(&str, &[&str], &str); 9] = [
        ("10s", &["10:53:20"], "found -"),
        ("10s", &["10:53:19"], "found -"),
        ("500ms", &["10:53:20"], "unclear"),
        ("1499ms", &["10:53:20"], "unclear"),
        ("1500ms", &["10:53:20"], "found -"),
        ("500ms", &["10:53:21"], "found -"),
        ("10s", &["10:53:18"], "not found"),
        // If equal ones are 10 s apart, one of these two is not of the claim's time: nobody knows which.
        ("10s", &["10:53:21", "10:53:20"], "unclear"),
        ("10s", &["10:54:30", "10:54:00"], "several 2"),
    ];
    for (apart, ats, expected) in rows {
        let rows: Vec<String> = ats.iter().map(|at| row(1, at)).collect();
        assert_eq!(word(&json(&with(apart), &order(), &orders(&rows))), expected, "{apart} {ats:?}");
    }
}

#[test]
fn fields_are_compared_by_their_meaning() {
    let item = |email: &str, total: &str| {
        format!(
            r#"{{"orders": [{{"id": 1, "email": "{email}", "total": {total}, "at": "2026-11-22T10:54:00Z"}}]}}"#
        )
    };
    let old = |text: String| text.replace("]}", &format!(", {}]}}", row(0, "09:00:00")));
    let rows = [
        ("ann@example.org", "\"€ 12.50\"", "found 1"),
        ("ANN@example.org", "12.5", "found 1"),
        (" ann@example.org\\n", "\"USD 12.500\"", "found 1"),
        ("ann@example.org", "\"12.51\"", "not found"),
        ("ann@example.org", "\"1,250\"", "not found"),
        ("bob@example.org", "\"12.50\"", "not found"),
        // What cannot be read may be equal.
        ("ann@example.org", "null", "unclear"),
        ("ann@example.org", "[12.5]", "unclear"),
        ("ann@example.org", "\"12,50\"", "unclear"),
        ("ann@example.org", "\"none\"", "unclear"),
        ("bob@example.org", "null", "not found"),
    ];
    for (email, total, expected) in rows {
        assert_eq!(word(&json(&list(), &order(), &old(item(email, total)))), expected, "{email} {total}");
    }
}

#[test]
fn amounts_are_compared_exactly() {
    let amount = |wanted: &str, shown: &str, mark: &str| {
        let found = format!(
            "as = \"json\"\nshown = {{ pick = \"$\" }}\nfields.total = {{ pick = \"$\" }}\n\
             match = [{{ field = \"total\", equals = \"{{json $.total}}\", as = \"money\", mark = \"{mark}\", unique = true }}]"
        );
        let recipe = recipe("url = \"/orders\"", &found).unwrap();
        let fields = [("content-type", "application/json")];
        let body = format!(r#"{{"total": "{wanted}"}}"#);
        let effect = crate::kit::effect("POST", "https://shop.example/orders", &fields, &body);
        matches!(word(&json(&recipe, &effect, shown)).as_str(), "found -")
    };
    let rows = [
        ("1234.50", "\"$1,234.50\"", ".", true),
        ("1234.50", "\"1.234,50 €\"", ",", true),
        ("1234.50", "\"1 234,5 kr\"", ",", true),
        ("-3", "\"-€3.00\"", ".", true),
        ("3", "\"-€3.00\"", ".", false),
        ("1.234", "\"1.234 €\"", ",", false),
        ("0.30", "0.3", ".", true),
        ("9007199254740993", "9007199254740993", ".", true),
        ("9007199254740993", "9007199254740992", ".", false),
        ("0.3", "0.30000000000000004", ".", false),
    ];
    for (wanted, shown, mark, expected) in rows {
        assert_eq!(amount(wanted, shown, mark), expected, "{wanted} {shown}");
    }
}

/// A reference that only this request has decides where times cannot.
#[test]
fn a_unique_field_decides() {
    let recipe = recipe(
        "url = \"/orders\"",
        r#"as = "json"
shown = { pick = "$.orders" }
items = "$.orders[*]"
fields.id = { pick = "$.id" }
fields.own = { pick = "$.own", optional = true }
fields.at = { pick = "$.at" }
reference = "id"
match = [{ field = "own", equals = "{json $.reference}", as = "exact", unique = true }]
time = { field = "at", format = "rfc3339", resolution = "1s" }
complete = { says = { pick = "$.more", equals = "false" } }"#,
    )
    .unwrap();
    let item = |id: u32, own: &str, at: &str| format!(r#"{{"id": {id}, "own": {own}, "at": "{at}"}}"#);
    let at = |clock: &str| format!("2026-11-22T{clock}Z");
    let rows = [
        (vec![item(1, "\"r-77\"", &at("10:53:20"))], "found 1"),
        (vec![item(1, "\"r-77\"", "?")], "found 1"),
        (vec![item(1, "\"r-78\"", &at("10:53:22"))], "not found"),
        (vec![item(1, "\"R-77\"", &at("10:53:22"))], "not found"),
        (vec![item(1, "null", &at("10:53:22"))], "not found"),
        (vec![item(1, "{}", &at("10:53:22"))], "unclear"),
        (vec![item(1, "{}", "?")], "unclear"),
        (vec![item(1, "{}", &at("10:53:12"))], "not found"),
        // What was there before the claim cannot be this request's, whatever it is called.
        (vec![item(1, "\"r-77\"", &at("10:40:00"))], "unclear"),
        (vec![item(1, "\"r-77\"", &at("10:54:00")), item(2, "\"r-77\"", &at("10:55:00"))], "several 2"),
    ];
    for (items, expected) in rows {
        let body = format!(r#"{{"more": false, "orders": [{}]}}"#, items.join(","));
        assert_eq!(word(&json(&recipe, &order(), &body)), expected, "{body}");
    }
}

/// What the request lacks cannot be compared.
#[test]
fn a_missing_value_of_the_request_is_unclear() {
    let fields = [("content-type", "application/json"), ("authorization", "Bearer t0ken")];
    let effect = crate::kit::effect("POST", "https://shop.example/orders", &fields, r#"{"email": "a@b.c"}"#);
    let sighting = json(&list(), &effect, &orders(&[row(1, "10:54:00")]));
    assert_eq!(
        sighting,
        onceward_resolve::Sighting::Unclear { reason: "status 200: the request has no json $.total".into() }
    );
}

/// The log gets what decided, and nothing of the body but the reference.
#[test]
fn evidence_is_short() {
    use onceward_resolve::Sighting;
    let found = json(&list(), &order(), &orders(&[row(1, "10:54:00")]));
    let evidence = "status 200: 1 of 1 items fits; equal: email, total; it is no older than the claim".into();
    assert_eq!(found, Sighting::Found { reference: Some("1".into()), evidence });
    let none = json(&list(), &order(), &orders(&[row(1, "09:54:00")]));
    let evidence = "status 200: 1 items, none fits; the list reaches back to before the claim".into();
    assert_eq!(none, Sighting::NotFound { evidence });
}

#[test]
fn a_long_reference_is_left_out() {
    let long = row(1, "10:54:00").replace("\"id\": 1", &format!("\"id\": \"{}\"", "x".repeat(201)));
    assert_eq!(word(&json(&list(), &order(), &orders(&[long]))), "found -");
}

#[test]
fn times_are_read_as_they_are_written() {
    let rows = [
        ("unix", "", "1s", "1795344840", "found -"),
        ("unix", "", "1s", "1795344780", "not found"),
        ("unix_ms", "", "1ms", "1795344840000", "found -"),
        ("%d.%m.%Y %H:%M", r#"zone = "+01:00","#, "1m", "22.11.2026 11:55", "found -"),
        ("%d.%m.%Y %H:%M", r#"zone = "+01:00","#, "1m", "22.11.2026 11:53", "unclear"),
        ("%d.%m.%Y %H:%M", r#"zone = "+01:00","#, "1m", "22.11.2026 11:51", "not found"),
        ("%Y-%m-%d", r#"zone = "+02:00","#, "1d", "2026-11-22", "unclear"),
        ("%Y-%m-%d", r#"zone = "+02:00","#, "1d", "2026-11-23", "found -"),
        ("%Y-%m-%d", r#"zone = "+02:00","#, "1d", "2026-11-21", "not found"),
        ("%Y-%m-%dT%H:%M:%S%z", "", "1s", "2026-11-22T11:54:00+0100", "found -"),
        ("rfc3339", "", "1m", "2026-11-22T10:53:00Z", "unclear"),
        ("django", r#"zone = "UTC","#, "1m", "Nov. 22, 2026, 10:55 a.m.", "found -"),
        ("django", r#"zone = "UTC","#, "1m", "Nov. 22, 2026, noon", "found -"),
        ("django", r#"zone = "UTC","#, "1m", "22 Nov 2026, 10:55 a.m.", "found -"),
        ("django", r#"zone = "UTC","#, "1m", "22 Nov 2026, 1 p.m.", "found -"),
        ("django", r#"zone = "UTC","#, "1m", "Nov. 22, 2026, midnight", "not found"),
        ("django", r#"zone = "UTC","#, "1m", "Nov. 22, 2026, 12:30 a.m.", "not found"),
        ("django", r#"zone = "UTC","#, "1m", "Nov. 22, 2026, 10:55", "unclear"),
        ("django", r#"zone = "UTC","#, "1m", "Nov. 22, 2026, 13 p.m.", "unclear"),
        ("rfc3339", "", "1s", "yesterday", "unclear"),
    ];
    for (format, zone, resolution, at, expected) in rows {
        let found = format!(
            r#"as = "json"
shown = {{ pick = "$" }}
items = "$[*]"
fields.at = {{ pick = "$.at" }}
time = {{ field = "at", format = "{format}", {zone} resolution = "{resolution}" }}
complete = {{ order = "newest-first" }}"#
        );
        let recipe = recipe("url = \"/orders\"", &found).unwrap();
        let sighting = json(&recipe, &order(), &format!(r#"[{{"at": "{at}"}}]"#));
        assert_eq!(word(&sighting), expected, "{format} {at}");
    }
}

#[test]
fn too_long_a_list_is_unclear() {
    for (count, expected) in [(2_000, "not found"), (2_001, "unclear")] {
        let rows = vec![row(1, "09:00:00"); count];
        assert_eq!(word(&json(&list(), &order(), &orders(&rows))), expected, "{count}");
    }
}

/// A reader of 64-bit floats has rounded such a number by the time it is compared.
#[test]
fn a_number_of_too_many_digits_is_not_compared() {
    let long = row(1, "10:54:00").replace("\"€ 12.50\"", "12.500000000000002");
    assert_eq!(word(&json(&list(), &order(), &orders(&[long]))), "unclear");
}

/// A caller whose clock went back between asking and receiving knows nothing of the site's.
#[test]
fn an_answer_from_before_its_look_has_no_time() {
    let (mut parts, body) = (http::Response::new(()).into_parts().0, orders(&[row(1, "10:54:00")]));
    parts.headers = headers(&[("content-type", "application/json"), ("date", DATE)]);
    for (received_at_ms, expected) in [(ASKED_AT_MS, "found 1"), (ASKED_AT_MS - 1, "unclear")] {
        let answer =
            Answer { parts: &parts, body: body.as_bytes(), asked_at_ms: ASKED_AT_MS, received_at_ms };
        assert_eq!(word(&list().judge(&order(), &answer)), expected);
    }
}
