//! The recipes for Square and Shopify, against answers of the shapes that their documentation publishes.

use onceward_resolve::{EffectRequest, LookError, Recipe, builtin_named};

use crate::{
    builtins::of,
    kit::{effect, json, word},
};

/// One recipe's files, as `onceward resolve try` takes them.
struct Sample {
    lost: &'static str,
    found: &'static str,
}

macro_rules! sample {
    ($name:literal) => {
        Sample {
            lost: include_str!(concat!("../answers/", $name, ".lost.http")),
            found: include_str!(concat!("../answers/", $name, ".found.http")),
        }
    };
}

const PAYMENT: Sample = sample!("square-payment");
const ORDER: Sample = sample!("square-order");
const SHOPIFY: Sample = sample!("shopify");
const SHOPIFY_REST: Sample = sample!("shopify-rest");

impl Sample {
    fn effect(&self) -> EffectRequest {
        self.effect_with("", "")
    }

    /// The lost request with one text for another.
    fn effect_with(&self, from: &str, to: &str) -> EffectRequest {
        let (head, body) = self.lost.split_once("\n\n").unwrap();
        assert!(body.contains(from), "{from}");
        let mut lines = head.lines();
        let mut first = lines.next().unwrap().split(' ');
        let (method, uri) = (first.next().unwrap(), first.next().unwrap());
        let fields: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        effect(method, uri, &fields, &body.replacen(from, to, 1))
    }

    fn body(&self) -> &'static str {
        self.found.split_once("\n\n").unwrap().1
    }

    /// Each row: a text of the answer, what stands for it, and what is read then.
    fn check(&self, recipe: &Recipe, rows: &[(&str, &str, &str)]) {
        for (from, to, expected) in rows {
            assert!(self.body().contains(from), "{from}");
            let body = self.body().replacen(from, to, 1);
            assert_eq!(word(&json(recipe, &self.effect(), &body)), *expected, "{from} is {to}");
        }
    }
}

#[test]
fn squares_payments_are_read() {
    let ours = "found R2B3Z8WMVt3EAmzYWLZvz7Y69EbZY";
    let status = |to: &str| format!("\"{to}\",\n      \"delay_duration\"");
    let completed = status("COMPLETED");
    let rows = [
        ("{", "{", ours),
        (completed.as_str(), &status("APPROVED"), ours),
        (&completed, &status("PENDING"), ours),
        // It took no money, and another may yet.
        (&completed, &status("FAILED"), "not found"),
        // Somebody voided it, or it ran out: whether it should be made again is not the answer's to say.
        (&completed, &status("CANCELED"), "unclear"),
        (&completed, &status("REVIEWED"), "unclear"),
        ("\"r-77\"", "\"r-777\"", "not found"),
        ("\"r-76\"", "\"r-77\"", "unclear"),
        // A gift card paid a part.
        ("{ \"amount\": 1000, \"currency\": \"USD\" }", "{ \"amount\": 400, \"currency\": \"USD\" }", ours),
        ("\"r-77\"", "7", "not found"),
        ("2026-11-22T10:53:21.140Z", "2026-11-22T10:50:00.000Z", "unclear"),
        ("\"payments\"", "\"refunds\"", "unclear"),
    ];
    PAYMENT.check(&of("square-payment"), &rows);
    let twice = PAYMENT.body().replace(
        "\"order_id\": \"d7eKah653Z579f3gVtjlxpSlmUcZY\"",
        "\"order_id\": \"d7eKah653Z579f3gVtjlxpSlmUcZY\", \"reference_id\": \"r-77\"",
    );
    assert_eq!(word(&json(&of("square-payment"), &PAYMENT.effect(), &twice)), "several 2");
}

/// A page that does not reach back to the claim may lack the payment, with a cursor and without; so may one that is empty.
#[test]
fn squares_payments_are_absent_only_from_a_page_that_reaches_back() {
    let others = PAYMENT.body().replace("r-77", "r-70");
    let late = others.replace("2026-11-21", "2026-11-22T10:53:30Z\", \"was\": \"2026-11-21");
    let rows = [
        (others.as_str(), "not found"),
        (&late, "unclear"),
        (r#"{"payments": []}"#, "unclear"),
        ("{}", "unclear"),
        (r#"{"errors": [{"category": "API_ERROR", "code": "INTERNAL_SERVER_ERROR"}]}"#, "unclear"),
    ];
    for (body, expected) in rows {
        assert_eq!(word(&json(&of("square-payment"), &PAYMENT.effect(), body)), expected, "{body}");
    }
}

#[test]
fn square_is_asked_for_the_payments_of_the_requests_location() {
    let look = of("square-payment").look(&PAYMENT.effect()).unwrap();
    let expected =
        "https://connect.squareup.com/v2/payments?sort_order=DESC&limit=100&location_id=L88917AVBK2S5";
    assert_eq!(look.uri(), expected);
    assert_eq!(
        (&look.headers()["authorization"], &look.headers()["square-version"]),
        (&"Bearer EAAA-token".parse().unwrap(), &"2026-01-22".parse().unwrap())
    );
    // Square lists the main location where none is named, and that may not be the one paid at.
    let unsaid = PAYMENT.effect_with("\"location_id\": \"L88917AVBK2S5\",", "");
    assert!(matches!(of("square-payment").look(&unsaid), Err(LookError::Missing { .. })));
    let main = builtin_named("square-payment").unwrap().recipe(&[("location", "L1")]).unwrap();
    assert!(main.look(&unsaid).unwrap().uri().query().unwrap().ends_with("&location_id=L1"));
    let sandbox = [("host", "connect.squareupsandbox.com")];
    assert!(!builtin_named("square-payment").unwrap().recipe(&sandbox).unwrap().is_for(&unsaid));
}

#[test]
fn squares_orders_are_read() {
    let ours = "found CAISENgvlJ6jLWAzERDzjyHVybY";
    let rows = [
        ("{", "{", ours),
        ("\"OPEN\"", "\"CANCELED\"", ours),
        ("\"r-77\"", "\"R-77\"", "unclear"),
        ("2026-11-22T10:53:21.140Z", "2026-11-22T10:02:00.000Z", "unclear"),
        ("\"state\": \"COMPLETED\"", "\"reference_id\": \"r-78\"", ours),
        ("\"orders\"", "\"order_entries\"", "unclear"),
    ];
    ORDER.check(&of("square-order"), &rows);
    let look = of("square-order").look(&ORDER.effect()).unwrap();
    assert_eq!((look.method().as_str(), look.uri().path()), ("POST", "/v2/orders/search"));
    let asked: serde_json::Value = serde_json::from_slice(look.body()).unwrap();
    let expected = serde_json::json!({
        "location_ids": ["057P5VYJ4A5X1"],
        "limit": 500,
        "query": {"sort": {"sort_field": "CREATED_AT", "sort_order": "DESC"}},
    });
    assert_eq!(asked, expected);
}

#[test]
fn shopifys_orders_are_read() {
    let rows = [
        ("{", "{", "found #1001"),
        ("\"r-77\"", "\"r-777\"", "unclear"),
        ("\"r-77\"", "null", "unclear"),
        ("10:53:22Z", "10:40:00Z", "unclear"),
        (
            "{ \"name\": \"#1001\", \"createdAt\": \"2026-11-22T10:53:22Z\", \"sourceIdentifier\": \"r-77\" }",
            "",
            "unclear",
        ),
        (
            "{ \"name\"",
            "{ \"name\": \"#1002\", \"createdAt\": \"2026-11-22T10:54:00Z\", \"sourceIdentifier\": \"r-77\" }, { \"name\"",
            "several 2",
        ),
        ("\"nodes\"", "\"edges\"", "unclear"),
        ("\"data\"", "\"errors\": [{ \"extensions\": { \"code\": \"THROTTLED\" } }], \"was\"", "unclear"),
    ];
    SHOPIFY.check(&of("shopify"), &rows);
    let look = of("shopify").look(&SHOPIFY.effect()).unwrap();
    let asked: serde_json::Value = serde_json::from_slice(look.body()).unwrap();
    let expected = serde_json::json!({
        "operationName": "orderCreate",
        "query": "query orderCreate($named: String!) {\n  orders(first: 10, query: $named) { nodes { name createdAt sourceIdentifier } }\n}",
        "variables": {"named": "source_identifier:\"r-77\""},
    });
    assert_eq!((look.uri(), asked), (SHOPIFY.effect().uri(), expected));
}

/// All mutations go to one address: those that create no order, or whose variables do not say the identifier, are not looked for.
#[test]
fn only_shopifys_order_creation_is_looked_for() {
    let rows = [
        ("orderCreate(", "draftOrderCreate("),
        ("orderCreate(", "orderCreateManually("),
        ("\"sourceIdentifier\": \"r-77\",", ""),
    ];
    for (from, to) in rows {
        let look = of("shopify").look(&SHOPIFY.effect_with(from, to));
        assert!(matches!(look, Err(LookError::Missing { .. })), "{from} is {to}: {look:?}");
    }
    assert!(of("shopify").look(&SHOPIFY.effect_with("  orderCreate(", "  made: orderCreate(")).is_ok());
}

/// A text of the request that would close the quotes widens the search at most: what it finds is compared all the same.
#[test]
fn shopifys_search_cannot_be_talked_into_another_order() {
    let sly = SHOPIFY.effect_with("\"r-77\"", r##""x\" OR name:\"#1001""##);
    assert_eq!(word(&json(&of("shopify"), &sly, SHOPIFY.body())), "unclear");
}

#[test]
fn shopifys_orders_are_read_by_rest() {
    let rows = [
        ("{", "{", "found #1001"),
        ("\"r-77\"", "\"r-777\"", "unclear"),
        // In the shop's own zone: an hour before the claim.
        ("11:53:22+01:00", "10:53:22+01:00", "unclear"),
        ("null", "\"r-77\"", "several 2"),
        ("\"orders\"", "\"errors\"", "unclear"),
    ];
    SHOPIFY_REST.check(&of("shopify-rest"), &rows);
    let look = of("shopify-rest").look(&SHOPIFY_REST.effect()).unwrap();
    let expected = "https://shop.myshopify.com/admin/api/2026-10/orders.json?status=any&limit=250\
                    &created_at_min=2026-11-22T10%3A43%3A20Z&fields=id,name,created_at,source_identifier";
    assert_eq!(look.uri(), expected);
}
