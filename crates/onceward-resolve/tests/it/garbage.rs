//! Answers of no sense never tell anything.

use std::sync::LazyLock;

use onceward_resolve::{Recipe, Sighting};
use proptest::prelude::*;

use crate::kit::{DATE, judge_with, list, order, orders, row, word};

fn is_unclear(sighting: &Sighting) -> bool {
    matches!(sighting, Sighting::Unclear { .. })
}

/// The recipes are read once: it costs more than a judgement.
static LIST: LazyLock<Recipe> = LazyLock::new(list);
static BUILTINS: LazyLock<Vec<Recipe>> =
    LazyLock::new(|| onceward_resolve::builtin().iter().map(|one| crate::builtins::of(one.name())).collect());

proptest! {
    #[test]
    fn random_text_is_unclear(body in ".{0,200}", html: bool) {
        let kind = if html { "text/html" } else { "application/json" };
        let fields = [("content-type", kind), ("date", DATE)];
        prop_assert!(is_unclear(&judge_with(&LIST, &order(), 200, &fields, &body)));
        for recipe in BUILTINS.iter() {
            prop_assert!(is_unclear(&judge_with(recipe, &order(), 200, &fields, &body)), "{}", recipe.name());
        }
    }

    /// JSON and pages that have the right names somewhere, and nothing else right.
    #[test]
    fn shuffled_pieces_are_unclear(pieces in prop::collection::vec(0_usize..12, 0..30)) {
        let json = ["{", "}", "[", "]", "\"orders\"", ":", ",", "\"id\"", "7", "null", "\"total_count\"", "0"];
        let html = ["<table>", "</table>", "<tr>", "<td>", "<a href='/accounts/orders/'>", "</a>", "</html>", "<p>", "Nov.", "<aside>", "</", "\""];
        for (words, kind) in [(json, "application/json"), (html, "text/html")] {
            let body: String = pieces.iter().map(|piece| words[*piece]).collect();
            let fields = [("content-type", kind), ("date", DATE)];
            prop_assert!(is_unclear(&judge_with(&LIST, &order(), 200, &fields, &body)));
            for recipe in BUILTINS.iter() {
                prop_assert!(is_unclear(&judge_with(recipe, &order(), 200, &fields, &body)), "{}", recipe.name());
            }
        }
    }

    /// An answer cut anywhere, or with one byte changed, is not taken for one that says there is nothing.
    #[test]
    fn a_damaged_answer_never_denies_a_hit(cut in 0_usize..400, at in 0_usize..400, byte in 32_u8..127) {
        let whole = orders(&[row(2, "10:54:00"), row(1, "09:00:00")]).replace("€ ", "");
        let fields = [("content-type", "application/json"), ("date", DATE)];
        if cut < whole.len() {
            prop_assert!(is_unclear(&judge_with(&LIST, &order(), 200, &fields, &whole[..cut])));
        }
        // The rows' structure, not the values in them: another value is another order.
        let structure: Vec<usize> = whole.char_indices().filter(|(_, c)| "{}[]:,".contains(*c)).map(|(at, _)| at).collect();
        let at = structure[at % structure.len()];
        let mut damaged = whole.clone().into_bytes();
        damaged[at] = byte;
        let damaged = String::from_utf8(damaged).unwrap();
        prop_assert_ne!(word(&judge_with(&LIST, &order(), 200, &fields, &damaged)), "not found", "{}", damaged);
    }

    #[test]
    fn no_status_but_success_tells(status in 100_u16..1000) {
        let body = orders(&[row(2, "10:54:00")]);
        let fields = [("content-type", "application/json"), ("date", DATE)];
        let sighting = judge_with(&LIST, &order(), status, &fields, &body);
        prop_assert_eq!(is_unclear(&sighting), status != 200);
    }
}

#[test]
fn deep_answers_do_no_harm() {
    let fields = [("content-type", "application/json"), ("date", DATE)];
    for depth in [100, 10_000, 1_000_000] {
        let body = format!("{{\"orders\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_unclear(&judge_with(&LIST, &order(), 200, &fields, &body)), "{depth}");
    }
}

/// A parser of HTML takes time with the square of the open elements, and memory with the product of open formatting and paragraphs.
#[test]
fn pages_are_parsed_up_to_a_number_of_elements() {
    let read = |content: &str| {
        let fields = [("content-type", "text/html"), ("date", DATE)];
        match judge_with(&BUILTINS[0], &order(), 200, &fields, &format!("<html>{content}</html>")) {
            Sighting::Unclear { reason } => reason,
            other => panic!("{other:?}"),
        }
    };
    let too_many = "status 200: the page has too many elements";
    let read_through = "status 200: the answer does not show what the recipe looks in";
    assert_eq!(read(&"<br>".repeat(9_999)), read_through);
    assert_eq!(read(&"<br>".repeat(10_000)), too_many);
    assert_eq!(read(&"<div>".repeat(10_000)), too_many);
    assert_eq!(read(&"<a href=x>y</a>".repeat(5_000)), read_through);
    assert_eq!(read(&"<B>".repeat(100)), read_through);
    assert_eq!(read(&"<B>".repeat(101)), too_many);
}
