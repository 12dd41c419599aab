//! The recipes that come with the program, against answers written by hand from the applications' templates and documentation.

use onceward_resolve::{EffectRequest, Recipe, builtin, builtin_named};

use crate::kit::{effect, json, judge, word};

/// What must be given to a recipe of ours.
fn parameters(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        "django-oscar" | "django-oscar-number" => &[("zone", "UTC")],
        "list" => &[
            ("path", "/orders"),
            ("url", "/orders?sort=-created"),
            ("shown", "$.orders"),
            ("items", "$.orders[*]"),
            ("field", "$.email"),
            ("equals", "{json $.email}"),
            ("time", "$.created"),
        ],
        "list-html" => &[
            ("path", "/orders"),
            ("url", "/orders?page=1"),
            ("shown", "table.orders"),
            ("items", "table.orders tbody tr"),
            ("field", "td.total"),
            ("equals", "{form.total}"),
            ("time", "td.at"),
            ("format", "%d.%m.%Y %H:%M"),
            ("zone", "+01:00"),
            ("resolution", "1m"),
            ("reference", "td.number"),
        ],
        _ => &[],
    }
}

/// What e2e/recipes holds it against.
fn proven(name: &str) -> Option<&'static str> {
    match name {
        "django-oscar" | "django-oscar-number" => Some("django-oscar 4.2.1"),
        "redmine" => Some("Redmine 5.0.4"),
        _ => None,
    }
}

pub(crate) fn of(name: &str) -> Recipe {
    builtin_named(name).unwrap().recipe(parameters(name)).unwrap()
}

#[test]
fn each_says_where_it_is_from_and_is_named_as_its_file() {
    for one in builtin() {
        let recipe = of(one.name());
        assert_eq!((recipe.name(), recipe.proven()), (one.name(), proven(one.name())));
        assert!(recipe.source().starts_with("https://") && recipe.limits().is_some(), "{}", one.name());
        assert!(one.text().starts_with("recipe = 1\n"));
    }
    assert!(builtin_named("oscar").is_none());
    assert!(builtin().iter().map(onceward_resolve::Builtin::name).is_sorted());
}

#[test]
fn the_guide_lists_them() {
    let guide = include_str!("../../../../docs/recipes.md");
    for one in builtin() {
        let start = format!("| `{}` |", one.name());
        let row = guide.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("docs/recipes.md has no row for {}", one.name()));
        let end = proven(one.name()).map_or("| |".to_owned(), |on| format!("| {on} |"));
        assert!(row.ends_with(&end), "{row}");
    }
}

/// Which of them can say that nothing happened.
#[test]
fn few_can_tell_absence() {
    let able: Vec<&str> =
        builtin().iter().map(|one| one.name()).filter(|name| of(name).tells_absence()).collect();
    let expected = [
        "django-oscar",
        "django-oscar-number",
        "list",
        "list-html",
        "magento",
        "redmine",
        "square-payment",
        "stripe",
        "woocommerce",
    ];
    assert_eq!(able, expected);
}

fn oscar_order() -> EffectRequest {
    let fields = [("content-type", "application/x-www-form-urlencoded"), ("cookie", "sessionid=s3cret")];
    let body = "csrfmiddlewaretoken=x&action=place_order";
    effect("POST", "https://shop.example/en-gb/checkout/preview/", &fields, body)
}

fn oscar(apart: &str) -> Recipe {
    let given = [("zone", "UTC"), ("prefix", "/en-gb"), ("apart", apart)];
    builtin_named("django-oscar").unwrap().recipe(&given).unwrap()
}

/// The account page of oscar 4.2, with the tab of the order history chosen and what stands in it.
fn oscar_page(content: &str) -> String {
    format!(
        r#"<!DOCTYPE html><html lang="en-gb"><head><title>Order History | Account</title></head><body id="default" class="account-profile">
<header class="header container"><div class="page_inner"><div class="row"><div class="basket-mini"><ul><li><div class="row"><div class="col-sm-5">
<p><strong><a href="/en-gb/catalogue/a-book-of-maps_1/">A book of maps</a></strong></p></div></div></li></ul></div></div></div></header>
<div class="container page"><div class="page_inner"><nav aria-label="breadcrumb"><ol class="breadcrumb"></ol></nav>
<div class="row"><aside class="sidebar col-sm-4 col-md-3"><ul class="nav nav-pills flex-column">
<li class="nav-item"><a href="/en-gb/accounts/profile/" class="nav-link">Profile</a></li>
<li class="nav-item"><a href="/en-gb/accounts/orders/" class="nav-link active">Order History</a></li></ul></aside>
<div class="col-sm-8 col-md-9"><div class="page-header"><h1>Order History</h1></div><div id="messages"></div>{content}</div>
</div></div></div></body></html>"#
    )
}

fn oscar_table(rows: &[(u32, &str)]) -> String {
    let rows: String = rows
        .iter()
        .map(|(number, placed)| {
            format!(
                "<tr><td><a href=\"/en-gb/accounts/orders/{number}/\">{number}</a></td><td>1</td><td>£19.99</td><td>{placed}</td></tr>"
            )
        })
        .collect();
    let head =
        "<tr><th>Order number</th><th>Num items</th><th>Total inc tax</th><th>Date submitted</th></tr>";
    oscar_page(&format!(
        "<div class=\"card card-body bg-light\"><h2>Filter</h2><form method=\"get\"></form></div><h2>All orders</h2>\
         <table class=\"table table-striped table-bordered\">{head}{rows}</table>"
    ))
}

#[test]
fn oscars_order_history_is_read() {
    let empty = oscar_page("<p>You haven't placed any orders.</p>");
    let rows = [
        (
            oscar_table(&[(100_023, "22 Nov 2026, 10:54 a.m."), (100_007, "21 Nov 2026, 5 p.m.")]),
            "found 100023",
        ),
        (oscar_table(&[(100_023, "Nov. 22, 2026, 10:54 a.m.")]), "found 100023"),
        (oscar_table(&[(100_023, "22 Nov 2026, 10:53 a.m.")]), "unclear"),
        (oscar_table(&[(100_007, "21 Nov 2026, 5 p.m.")]), "not found"),
        (
            oscar_table(&[(100_024, "22 Nov 2026, 10:56 a.m."), (100_023, "22 Nov 2026, 10:54 a.m.")]),
            "several 2",
        ),
        (oscar_table(&[(100_023, "22. November 2026 10:54")]), "unclear"),
        (oscar_table(&[]), "unclear"),
        (empty.clone(), "not found"),
        (oscar_page("<p>No orders match your search.</p>"), "unclear"),
        (empty.replace("nav-link active", "nav-link"), "unclear"),
        (empty.replace("</body>", "<form id=\"login_form\"></form></body>"), "unclear"),
    ];
    for (body, expected) in rows {
        let sighting = judge(&oscar("0s"), &oscar_order(), 200, "text/html; charset=utf-8", &body);
        assert_eq!(word(&sighting), expected, "{body}");
    }
    assert_eq!(word(&judge(&oscar("0s"), &oscar_order(), 302, "text/html; charset=utf-8", "")), "unclear");
}

/// The claim is at 10:53:20: with minutes, an order of that minute is ours only if the customer cannot have placed another in it.
#[test]
fn oscars_minutes_need_a_word_of_the_shops_owner() {
    let page = oscar_table(&[(100_023, "22 Nov 2026, 10:53 a.m.")]);
    for (apart, expected) in [("10s", "unclear"), ("1m", "found 100023")] {
        let sighting = judge(&oscar(apart), &oscar_order(), 200, "text/html", &page);
        assert_eq!(word(&sighting), expected, "{apart}");
    }
}

/// A shop in London, whose summer is UTC+1: in November, its times are read an hour too early, and the hour is allowed for.
/// The claim is of 10:53.
#[test]
fn oscars_number_needs_no_word_of_the_shops_owner() {
    let given = [("zone", "UTC"), ("prefix", "/en-gb")];
    let recipe = builtin_named("django-oscar-number").unwrap().recipe(&given).unwrap();
    let fields = [("content-type", "application/x-www-form-urlencoded"), ("cookie", "sessionid=s3cret")];
    let body = "csrfmiddlewaretoken=x&action=place_order&order=100023";
    let order = effect("POST", "https://shop.example/en-gb/checkout/preview/", &fields, body);
    let (now, before) = ("22 Nov 2026, 10:53 a.m.", "21 Nov 2026, 5 p.m.");
    let rows: [(&[(u32, &str)], &str); 5] = [
        (&[(100_023, now)], "found 100023"),
        (&[(100_024, now), (100_023, now), (100_022, now)], "found 100023"),
        (&[(100_022, now), (100_007, before)], "not found"),
        (&[(100_022, now)], "unclear"),
        (&[(100_023, before)], "unclear"),
    ];
    for (orders, expected) in rows {
        let sighting = judge(&recipe, &order, 200, "text/html", &oscar_table(orders));
        assert_eq!(word(&sighting), expected, "{orders:?}");
    }
    let unsaid = judge(&recipe, &oscar_order(), 200, "text/html", &oscar_table(&[(100_023, now)]));
    assert_eq!(word(&unsaid), "unclear");
}

#[test]
fn oscars_summer_time_is_allowed_for() {
    let given = [("zone", "+01:00"), ("prefix", "/en-gb"), ("resolution", "61m")];
    let london = builtin_named("django-oscar").unwrap().recipe(&given).unwrap();
    for (placed, expected) in
        [("10:53 a.m.", "unclear"), ("12:30 p.m.", "found 100023"), ("9 a.m.", "not found")]
    {
        let page = oscar_table(&[(100_023, &format!("22 Nov 2026, {placed}"))]);
        assert_eq!(word(&judge(&london, &oscar_order(), 200, "text/html", &page)), expected, "{placed}");
    }
}

#[test]
fn oscar_is_asked_with_the_customers_cookie() {
    let look = oscar("0s").look(&oscar_order()).unwrap();
    assert_eq!(look.uri(), "https://shop.example/en-gb/accounts/orders/");
    assert_eq!(look.headers()["cookie"], "sessionid=s3cret");
    assert_eq!(oscar("0s").kept_headers(), [http::header::COOKIE]);
}

fn issue() -> EffectRequest {
    let fields = [("content-type", "application/json"), ("x-redmine-api-key", "k")];
    effect(
        "POST",
        "https://tracker.example/projects/web/issues.json",
        &fields,
        r#"{"issue": {"subject": "Leak"}}"#,
    )
}

/// As Redmine's `issues/index.api.rsb` writes it.
fn issues(items: &[(u32, &str, &str)], total: usize) -> String {
    let items: Vec<String> = items
        .iter()
        .map(|(id, subject, at)| {
            format!(
                r#"{{"id":{id},"project":{{"id":1,"name":"Web"}},"status":{{"id":1,"name":"New","is_closed":false}},"author":{{"id":5,"name":"Ann"}},"subject":"{subject}","description":"","start_date":"2026-11-22","due_date":null,"done_ratio":0,"created_on":"2026-11-22T{at}Z","updated_on":"2026-11-22T{at}Z","closed_on":null}}"#
            )
        })
        .collect();
    format!(r#"{{"issues":[{}],"total_count":{total},"offset":0,"limit":100}}"#, items.join(","))
}

#[test]
fn redmines_issues_are_read() {
    let rows = [
        (issues(&[(9, "Leak", "10:53:22")], 1), "found 9"),
        (issues(&[(9, "Leak", "10:53:20")], 1), "unclear"),
        (issues(&[(9, "Leak", "10:00:00")], 1), "not found"),
        (issues(&[(9, "Drip", "10:54:00")], 1), "not found"),
        (issues(&[(9, "Drip", "10:54:00")], 101), "unclear"),
        (issues(&[(9, "Drip", "10:54:00"), (8, "Leak", "10:00:00")], 101), "not found"),
        (issues(&[(9, "Leak", "10:54:30"), (8, "Leak", "10:54:00")], 2), "several 2"),
        (issues(&[], 0), "not found"),
        (r#"{"errors":["Project does not exist"]}"#.into(), "unclear"),
    ];
    for (body, expected) in rows {
        assert_eq!(word(&json(&of("redmine"), &issue(), &body)), expected, "{body}");
    }
    let look = of("redmine").look(&issue()).unwrap();
    let expected = "https://tracker.example/projects/web/issues.json?author_id=me&status_id=*&sort=created_on:desc&limit=100";
    assert_eq!(look.uri(), expected);
}

#[test]
fn a_plain_list_is_read() {
    let created =
        |email: &str, at: &str| format!(r#"{{"id": 1, "email": "{email}", "created": "2026-11-22T{at}Z"}}"#);
    let rows = [
        (format!(r#"{{"orders": [{}]}}"#, created("Ann@Example.org", "10:54:00")), "found 1"),
        (format!(r#"{{"orders": [{}]}}"#, created("Ann@Example.org", "10:00:00")), "not found"),
        (r#"{"orders": []}"#.to_owned(), "unclear"),
    ];
    for (body, expected) in rows {
        assert_eq!(word(&json(&of("list"), &crate::kit::order(), &body)), expected, "{body}");
    }
    let missing = builtin_named("list").unwrap().recipe(&[]).unwrap_err().to_string();
    assert!(missing.starts_with("parameters.equals: must be given"), "{missing}");
}

#[test]
fn a_plain_page_is_read() {
    let fields = [("content-type", "application/x-www-form-urlencoded"), ("cookie", "s=1")];
    let effect = effect("POST", "https://shop.example/orders", &fields, "total=1234.5");
    let page = |rows: &[(&str, &str, &str)]| {
        let rows: String = rows
            .iter()
            .map(|(number, at, total)| {
                format!("<tr><td class=number>{number}</td><td class=at>{at}</td><td class=total>{total}</td></tr>")
            })
            .collect();
        format!("<!doctype html><html><body><table class=orders><tbody>{rows}</tbody></table></body></html>")
    };
    let rows = [
        (page(&[("A7", "22.11.2026 11:55", "1234.5")]), "found A7"),
        (page(&[("A7", "22.11.2026 11:53", "1234.5")]), "unclear"),
        (page(&[("A7", "22.11.2026 11:55", "12.50"), ("A6", "22.11.2026 10:00", "1234.5")]), "not found"),
        (page(&[("A8", "22.11.2026 11:56", "1234.5"), ("A7", "22.11.2026 11:55", "1234.5")]), "several 2"),
        (page(&[]), "unclear"),
        (page(&[]).replace("</body>", "<form><input type=password></form></body>"), "unclear"),
    ];
    for (body, expected) in rows {
        assert_eq!(word(&judge(&of("list-html"), &effect, 200, "text/html", &body)), expected, "{body}");
    }
}

#[test]
fn stripes_payment_intents_are_read() {
    let fields = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("authorization", "Bearer sk_x"),
        ("stripe-account", "acct_1"),
    ];
    let body = "amount=2000&currency=usd&metadata%5Border_id%5D=6735";
    let effect = effect("POST", "https://api.stripe.com/v1/payment_intents", &fields, body);
    let list = |items: &[(&str, &str)], more: bool| {
        let items: Vec<String> = items
            .iter()
            .map(|(id, metadata)| {
                format!(r#"{{"id":"{id}","object":"payment_intent","amount":2000,"created":1795344801,"currency":"usd","metadata":{metadata}}}"#)
            })
            .collect();
        format!(
            r#"{{"object":"list","url":"/v1/payment_intents","has_more":{more},"data":[{}]}}"#,
            items.join(",")
        )
    };
    let ours = r#"{"order_id":"6735"}"#;
    let rows = [
        (list(&[("pi_1", ours), ("pi_0", "{}")], true), "found pi_1"),
        (list(&[("pi_1", r#"{"order_id":"6734"}"#), ("pi_0", "{}")], false), "not found"),
        (list(&[("pi_1", r#"{"order_id":"6734"}"#)], true), "unclear"),
        (list(&[("pi_2", ours), ("pi_1", ours)], false), "several 2"),
        // Five minutes before the claim, so another request made it: the reference is used twice.
        (list(&[("pi_1", ours)], false).replace("1795344801", "1795344500"), "unclear"),
        (list(&[], false), "not found"),
        (r#"{"object":"list","has_more":false}"#.into(), "unclear"),
        (r#"{"object":"list","has_more":false,"data":null}"#.into(), "unclear"),
        (r#"{"error":{"type":"invalid_request_error"}}"#.into(), "unclear"),
    ];
    for (body, expected) in rows {
        assert_eq!(word(&json(&of("stripe"), &effect, &body)), expected, "{body}");
    }
    let look = of("stripe").look(&effect).unwrap();
    let expected = "https://api.stripe.com/v1/payment_intents?limit=100&created%5Bgte%5D=1795344200";
    assert_eq!(
        (look.uri().to_string().as_str(), &look.headers()["stripe-account"]),
        (expected, &"acct_1".parse().unwrap())
    );
}

#[test]
fn paypals_invoices_are_read() {
    let fields = [("content-type", "application/json"), ("authorization", "Bearer A21")];
    let body = r##"{"detail": {"invoice_number": "#123", "currency_code": "USD"}}"##;
    let effect = effect("POST", "https://api-m.paypal.com/v2/invoicing/invoices", &fields, body);
    let rows = [
        (
            r##"{"total_items":1,"total_pages":1,"items":[{"id":"INV2-Z","status":"DRAFT","detail":{"invoice_number":"#123"}}]}"##,
            "found INV2-Z",
        ),
        (
            r##"{"total_items":1,"total_pages":1,"items":[{"id":"INV2-Z","status":"DRAFT","detail":{"invoice_number":"#1234"}}]}"##,
            "unclear",
        ),
        (
            r##"{"items":[{"id":"INV2-Z","detail":{"invoice_number":"#123","metadata":{"create_time":"2026-11-22T10:53:22Z"}}}]}"##,
            "found INV2-Z",
        ),
        // It was there before, so ours was refused.
        (
            r##"{"items":[{"id":"INV2-Z","detail":{"invoice_number":"#123","metadata":{"create_time":"2026-11-20T08:00:20Z"}}}]}"##,
            "unclear",
        ),
        (r#"{"total_items":0,"total_pages":0,"items":[]}"#, "unclear"),
    ];
    for (body, expected) in rows {
        assert_eq!(word(&json(&of("paypal-invoice"), &effect, body)), expected, "{body}");
    }
    let look = of("paypal-invoice").look(&effect).unwrap();
    assert_eq!(
        (look.method().as_str(), look.body().as_slice()),
        ("POST", &br##"{"invoice_number":"#123"}"##[..])
    );
}

#[test]
fn woocommerces_orders_are_read() {
    let fields = [("content-type", "application/json"), ("authorization", "Basic a2V5")];
    let body = r#"{"set_paid": false, "meta_data": [{"key": "gift", "value": "no"}, {"key": "order_ref", "value": "r-77"}]}"#;
    let effect = effect("POST", "https://shop.example/wp-json/wc/v3/orders", &fields, body);
    let item = |id: u32, at: &str, value: &str| {
        format!(
            r#"{{"id":{id},"number":"{id}","date_created":"2026-11-22T12:00:00","date_created_gmt":"2026-11-22T{at}","total":"29.35","meta_data":[{{"id":1,"key":"order_ref","value":"{value}"}}]}}"#
        )
    };
    let rows = [
        (format!("[{}]", item(727, "10:53:20", "r-77")), "found 727"),
        (format!("[{},{}]", item(728, "10:54:00", "r-78"), item(723, "09:00:00", "r-1")), "not found"),
        (format!("[{}]", item(728, "10:54:00", "r-78")), "unclear"),
        ("[]".into(), "unclear"),
        (r#"{"code":"woocommerce_rest_cannot_view"}"#.into(), "unclear"),
    ];
    for (body, expected) in rows {
        assert_eq!(word(&json(&of("woocommerce"), &effect, &body)), expected, "{body}");
    }
}

#[test]
fn magentos_orders_are_read() {
    let fields = [("content-type", "application/json"), ("authorization", "Bearer t")];
    let effect = effect("PUT", "https://shop.example/rest/default/V1/carts/39700/order", &fields, "{}");
    let rows = [
        (
            r#"{"items":[{"entity_id":10458,"increment_id":"000000150","quote_id":39700}],"total_count":1}"#,
            "found 000000150",
        ),
        (r#"{"items":[],"search_criteria":{},"total_count":0}"#, "not found"),
        // The filter was not understood, and the page is not all.
        (r#"{"items":[{"increment_id":"000000149","quote_id":39699}],"total_count":2}"#, "unclear"),
        (r#"{"items":[{"quote_id":"1e9223372036854775807"}],"total_count":1}"#, "unclear"),
        (r#"{"message":"The consumer isn't authorized"}"#, "unclear"),
    ];
    for (body, expected) in rows {
        assert_eq!(word(&json(&of("magento"), &effect, body)), expected, "{body}");
    }
    let look = of("magento").look(&effect).unwrap();
    assert!(look.uri().query().unwrap().ends_with("=39700"), "{}", look.uri());
}
