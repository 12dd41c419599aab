//! What a suite came to: a page for people, one object for machines.

use serde::Serialize;

use crate::case::{Case, Finding};

/// The version of the JSON form; it rises when a member changes its meaning or goes.
const JSON_VERSION: u32 = 1;

/// Every case of a suite with its finding.
#[derive(Clone, Debug)]
pub struct Report {
    /// The address that was judged.
    pub subject: String,
    /// The suite's name, which is its profile's.
    pub profile: &'static str,
    /// Where the profile's rules are published.
    pub source: &'static str,
    /// How effects were seen.
    pub sight: Sight,
    /// In the order of the suite.
    pub results: Vec<CaseResult>,
}

/// How the effects of requests are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The origin counts them.
    Counted,
    /// Two effects have two answers, so that equal answers tell of one effect.
    ByAnswers,
    /// Not at all: two effects are answered alike.
    Blind,
}

/// One case with its finding.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// The case's name.
    pub name: &'static str,
    /// What it covers.
    pub covers: &'static [&'static str],
    /// What judging it came to.
    pub finding: Finding,
    /// What was said, where the promise is not kept: the last exchanges, credentials left out.
    pub exchanges: Vec<Exchange>,
}

/// One request with its answer, or with why there was none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exchange {
    /// The request.
    pub sent: String,
    /// The answer.
    pub received: String,
}

impl CaseResult {
    pub(crate) fn new(case: &Case, finding: Finding, exchanges: Vec<Exchange>) -> Self {
        let exchanges = if matches!(finding, Finding::Fail(_)) { exchanges } else { Vec::new() };
        Self { name: case.name, covers: case.covers, finding, exchanges }
    }
}

impl Finding {
    /// `pass`, `fail`, `not-applicable` or `not-observable`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "fail",
            Self::NotApplicable(_) => "not-applicable",
            Self::NotObservable(_) => "not-observable",
        }
    }

    /// Why, unless it passed.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Pass => None,
            Self::Fail(why) | Self::NotApplicable(why) | Self::NotObservable(why) => Some(why),
        }
    }
}

impl Sight {
    /// `counted`, `by-answers` or `blind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::ByAnswers => "by-answers",
            Self::Blind => "blind",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Counted => "the origin counts its effects",
            Self::ByAnswers => "effects are told apart by their answers",
            Self::Blind => "two effects are answered alike, so effects cannot be counted",
        }
    }
}

impl Report {
    /// Whether no case failed, and at least one could be judged.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.count("fail") == 0 && self.count("pass") > 0
    }

    /// The names of the cases with a finding: `pass`, `fail`, `not-applicable` or `not-observable`.
    #[must_use]
    pub fn names(&self, finding: &str) -> Vec<&'static str> {
        let found = self.results.iter().filter(|result| result.finding.as_str() == finding);
        found.map(|result| result.name).collect()
    }

    fn count(&self, finding: &str) -> usize {
        self.names(finding).len()
    }

    /// The report for people: a line a case, then what failed with what was said.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} against {}; {}\nrules: {}\n\n",
            self.subject,
            self.profile,
            self.sight.sentence(),
            self.source
        );
        for result in &self.results {
            text.push_str(&result.line());
        }
        for result in &self.results {
            text.push_str(&result.failure());
        }
        text.push_str(&format!(
            "\n{} passed, {} failed, {} not observable, {} not applicable\n",
            self.count("pass"),
            self.count("fail"),
            self.count("not-observable"),
            self.count("not-applicable"),
        ));
        text
    }

    /// The report for machines, in one line; `docs/check.md` describes it.
    ///
    /// # Errors
    /// None that text and numbers could cause; the serialiser's own otherwise.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&Document {
            version: JSON_VERSION,
            subject: &self.subject,
            profile: self.profile,
            source: self.source,
            effects: self.sight.as_str(),
            ok: self.is_ok(),
            passed: self.count("pass"),
            failed: self.count("fail"),
            not_observable: self.count("not-observable"),
            not_applicable: self.count("not-applicable"),
            cases: self.results.iter().map(Line::of).collect(),
        })
    }
}

impl CaseResult {
    fn line(&self) -> String {
        let mark = match self.finding {
            Finding::Pass => "pass",
            Finding::Fail(_) => "FAIL",
            Finding::NotApplicable(_) => "n/a ",
            Finding::NotObservable(_) => "?   ",
        };
        let why = match &self.finding {
            Finding::NotApplicable(why) | Finding::NotObservable(why) => format!(": {why}"),
            Finding::Pass | Finding::Fail(_) => String::new(),
        };
        format!("{mark}  {} [{}]{why}\n", self.name.replace('_', " "), self.covers.join(", "))
    }

    fn failure(&self) -> String {
        let Finding::Fail(why) = &self.finding else { return String::new() };
        let mut text = format!("\nFAIL {}\n  {}\n", self.name.replace('_', " "), indented(why));
        for exchange in &self.exchanges {
            text.push_str(&format!("  > {}\n", indented(&exchange.sent).replace("\n  ", "\n  > ")));
            text.push_str(&format!("  < {}\n", indented(&exchange.received).replace("\n  ", "\n  < ")));
        }
        text
    }
}

/// Keeps what a server sent from steering the terminal that shows it.
fn indented(text: &str) -> String {
    let lines = text.trim_end().lines().map(|line| {
        line.chars().map(|character| if character.is_control() { '·' } else { character }).collect::<String>()
    });
    lines.collect::<Vec<_>>().join("\n  ")
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    subject: &'a str,
    profile: &'a str,
    source: &'a str,
    effects: &'a str,
    ok: bool,
    passed: usize,
    failed: usize,
    not_observable: usize,
    not_applicable: usize,
    cases: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    covers: &'a [&'a str],
    result: &'a str,
    why: Option<&'a str>,
    exchanges: &'a [Exchange],
}

impl<'a> Line<'a> {
    fn of(result: &'a CaseResult) -> Self {
        Self {
            name: result.name,
            covers: result.covers,
            result: result.finding.as_str(),
            why: result.finding.why(),
            exchanges: &result.exchanges,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let result =
            |name, finding, exchanges| CaseResult { name, covers: &["K1", "L1"], finding, exchanges };
        let said = Exchange {
            sent: "POST /orders HTTP/1.1\r\n\r\n{}".to_owned(),
            received: "HTTP/1.1 500\n\n\u{1b}[2J".to_owned(),
        };
        Report {
            subject: "http://a/orders".to_owned(),
            profile: "onceward",
            source: "docs/protocol.md",
            sight: Sight::ByAnswers,
            results: vec![
                result("one_is_one", Finding::Pass, vec![]),
                result("two_are_two", Finding::Fail("status: 500, expected 201".to_owned()), vec![said]),
                result("three_differ", Finding::NotApplicable("needs three".to_owned()), vec![]),
                result("four_are_seen", Finding::NotObservable("cannot be seen".to_owned()), vec![]),
            ],
        }
    }

    #[test]
    fn people_get_lines_and_what_was_said() {
        assert_eq!(
            report().text(),
            "http://a/orders against onceward; effects are told apart by their answers\nrules: docs/protocol.md\n\n\
             pass  one is one [K1, L1]\n\
             FAIL  two are two [K1, L1]\n\
             n/a   three differ [K1, L1]: needs three\n\
             ?     four are seen [K1, L1]: cannot be seen\n\n\
             FAIL two are two\n  status: 500, expected 201\n\
             \x20 > POST /orders HTTP/1.1\n  > \n  > {}\n\
             \x20 < HTTP/1.1 500\n  < \n  < ·[2J\n\n\
             1 passed, 1 failed, 1 not observable, 1 not applicable\n"
        );
        assert!(!report().is_ok());
        assert_eq!(report().names("pass"), ["one_is_one"]);
    }

    #[test]
    fn machines_get_one_object() {
        let json: serde_json::Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        assert_eq!(json["cases"][1]["exchanges"][0]["received"], "HTTP/1.1 500\n\n\u{1b}[2J");
        assert_eq!(
            (&json["version"], &json["ok"], &json["effects"], &json["failed"]),
            (&1.into(), &false.into(), &"by-answers".into(), &1.into())
        );
        let third = serde_json::json!({
            "name": "three_differ",
            "covers": ["K1", "L1"],
            "result": "not-applicable",
            "why": "needs three",
            "exchanges": [],
        });
        assert_eq!(json["cases"][2], third);
    }
}
