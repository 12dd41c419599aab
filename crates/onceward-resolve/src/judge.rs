//! What an answer says about an effect.
//!
//! Everything that is not plainly shown is [`Sighting::Unclear`]. That nothing was found counts only where the place in which the
//! effect would stand was itself recognised, whole and fresh (D3).

use crate::{
    answer::{Answer, Document, meaning},
    decimal::Decimal,
    moment::{Clock, Skew, Span},
    pick::{Condition, Kind, Node, Pick, Picked, Selection, collapsed},
    request::EffectRequest,
    template::{LookError, Place, Template},
};

/// Most items of a list that are read: more is no page of a list.
const ITEMS_MAX: usize = 2_000;

/// Most characters of a reference that is handed on.
const REFERENCE_CHARS_MAX: usize = 200;

/// What a look came to.
///
/// `evidence` and `reason` are short, for the audit log: they carry no credential and nothing of a body but a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// The effect happened, as far as this answer reaches: once.
    Found {
        /// What the site calls it, an order's number for instance.
        reference: Option<String>,
        /// What shows it.
        evidence: String,
    },
    /// The effect had not happened when the site answered. It counts only once the holder is gone and [`Recipe::settle`] has passed.
    ///
    /// [`Recipe::settle`]: crate::Recipe::settle
    NotFound {
        /// What shows it.
        evidence: String,
    },
    /// It happened more than once.
    Several {
        /// How often, at least.
        count: usize,
        /// What shows it.
        evidence: String,
    },
    /// The answer does not tell.
    Unclear {
        /// Why not.
        reason: String,
    },
}

/// How an answer is read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) kind: Kind,
    pub(crate) statuses: Vec<u16>,
    pub(crate) shown: Condition,
    pub(crate) login: Option<Condition>,
    pub(crate) shape: Shape,
    pub(crate) matches: Vec<Match>,
    pub(crate) time: Option<Time>,
    pub(crate) reference: Option<Pick>,
}

/// What the answer is about.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// One thing, which it shows or says that there is none.
    One {
        absent: Option<Absent>,
    },
    List {
        items: Selection,
        complete: Box<Complete>,
    },
}

/// How a site says that there is no such thing.
#[derive(Clone, Debug)]
pub(crate) struct Absent {
    pub(crate) statuses: Vec<u16>,
    pub(crate) shown: Condition,
}

/// What shows that a list holds everything since the claim. Any of them does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Complete {
    pub(crate) is_newest_first: bool,
    pub(crate) total: Option<Pick>,
    pub(crate) says: Option<Condition>,
    pub(crate) empty: Option<Condition>,
}

impl Complete {
    /// Whether anything can show it.
    pub(crate) const fn tells(&self) -> bool {
        self.is_newest_first || self.total.is_some() || self.says.is_some() || self.empty.is_some()
    }
}

/// A field that must be as the request has it.
#[derive(Clone, Debug)]
pub(crate) struct Match {
    pub(crate) field: String,
    pub(crate) pick: Pick,
    pub(crate) is_optional: bool,
    pub(crate) test: Test,
    pub(crate) is_unique: bool,
}

/// What a field is held to.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    /// It can be read: its pick says what it may be.
    IsThere,
    Equals {
        equals: Template,
        comparison: Comparison,
    },
}

impl Test {
    /// What it compares with; nothing where it compares with nothing.
    fn wanted(&self, effect: &EffectRequest) -> Result<String, LookError> {
        match self {
            Self::IsThere => Ok(String::new()),
            Self::Equals { equals, .. } => equals.plain(effect),
        }
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        let equals = match self {
            Self::IsThere => None,
            Self::Equals { equals, .. } => Some(equals),
        };
        equals.into_iter().flat_map(Template::places)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Exact,
    Text { ignores_case: bool },
    Number,
    Money { mark: char },
}

/// When an item came to be.
#[derive(Clone, Debug)]
pub(crate) struct Time {
    pub(crate) pick: Pick,
    pub(crate) clock: Clock,
    /// How far apart two equal effects of one actor are said to be at the least, in milliseconds.
    pub(crate) apart_ms: i64,
}

/// What one item is to the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is another's.
    Other,
    /// It is this effect.
    Ours,
    /// It is this effect if equal ones are as far apart as the recipe says.
    OursIfApart,
    /// It may be.
    Perhaps(&'static str),
}

impl Reading {
    /// Reads an answer.
    pub(crate) fn judge(&self, effect: &EffectRequest, answer: &Answer<'_>) -> Sighting {
        self.sighting(effect, answer).unwrap_or_else(|reason| Sighting::Unclear {
            reason: format!("status {}: {reason}", answer.parts.status.as_u16()),
        })
    }

    fn sighting(&self, effect: &EffectRequest, answer: &Answer<'_>) -> Result<Sighting, String> {
        let status = answer.parts.status.as_u16();
        let is_read = self.statuses.contains(&status);
        let absent = match &self.shape {
            Shape::One { absent } => absent.as_ref().filter(|absent| absent.statuses.contains(&status)),
            Shape::List { .. } => None,
        };
        if !is_read && absent.is_none() {
            return Err(meaning(answer.parts.status).into());
        }
        let document = answer.document(self.kind)?;
        let root = document.root();
        if self.login.as_ref().is_some_and(|login| login.holds(root)) {
            return Err("the answer is a login page".into());
        }
        if absent.is_some_and(|absent| absent.shown.holds(root)) {
            return not_found(effect, answer, format!("status {status}: the site says that there is none"));
        }
        if !is_read || !self.shown.holds(root) {
            return Err("the answer does not show what the recipe looks in".into());
        }
        let wanted = self.wanted(effect)?;
        let judged =
            Judged { reading: self, wanted, skew: answer.skew(), claimed_at_ms: claimed_at_ms(effect)? };
        match &self.shape {
            Shape::One { .. } => judged.one(root, status),
            Shape::List { items, complete } => judged.list(effect, answer, &document, items, complete),
        }
    }

    /// What each match compares with.
    fn wanted(&self, effect: &EffectRequest) -> Result<Vec<String>, String> {
        self.matches.iter().map(|one| one.test.wanted(effect).map_err(|error| error.to_string())).collect()
    }
}

fn claimed_at_ms(effect: &EffectRequest) -> Result<i64, String> {
    i64::try_from(effect.claimed_at_ms()).or(Err("the time of the claim is no time".into()))
}

/// That there is nothing counts only from an answer made after the claim.
fn not_found(effect: &EffectRequest, answer: &Answer<'_>, evidence: String) -> Result<Sighting, String> {
    let date_ms = answer.date_ms().ok_or("the answer has no Date, so it may be older than the claim")?;
    if date_ms < claimed_at_ms(effect)? {
        return Err("the answer's Date is before the claim".into());
    }
    Ok(Sighting::NotFound { evidence })
}

/// One reading of one answer.
struct Judged<'a> {
    reading: &'a Reading,
    wanted: Vec<String>,
    skew: Option<Skew>,
    claimed_at_ms: i64,
}

impl Judged<'_> {
    fn one(&self, root: Node<'_>, status: u16) -> Result<Sighting, String> {
        match self.standing(root) {
            Standing::Other => Err("the answer is about another effect".into()),
            Standing::Perhaps(why) => Err(why.into()),
            Standing::Ours | Standing::OursIfApart => Ok(Sighting::Found {
                reference: self.reference(root),
                evidence: format!("status {status}: the site shows it; {}", self.grounds()),
            }),
        }
    }

    fn list(
        &self,
        effect: &EffectRequest,
        answer: &Answer<'_>,
        document: &Document,
        items: &Selection,
        complete: &Complete,
    ) -> Result<Sighting, String> {
        let root = document.root();
        let items = items.nodes(root);
        let (count, status) = (items.len(), answer.parts.status.as_u16());
        if count > ITEMS_MAX {
            return Err("the list has more than 2,000 items".into());
        }
        let mut ours = Vec::new();
        for item in &items {
            match self.standing(*item) {
                Standing::Other => {}
                Standing::Perhaps(why) => {
                    return Err(format!("{count} items, of which one may be it: {why}"));
                }
                standing => ours.push((*item, standing)),
            }
        }
        match ours.as_slice() {
            [] => {
                let why = self.is_complete(root, &items, complete)?;
                not_found(effect, answer, format!("status {status}: {count} items, none fits; {why}"))
            }
            [(item, _)] => Ok(Sighting::Found {
                reference: self.reference(*item),
                evidence: format!("status {status}: 1 of {count} items fits; {}", self.grounds()),
            }),
            several if several.iter().all(|(_, standing)| *standing == Standing::Ours) => {
                Ok(Sighting::Several {
                    count: several.len(),
                    evidence: format!(
                        "status {status}: {} of {count} items fit; {}",
                        several.len(),
                        self.grounds()
                    ),
                })
            }
            several => Err(format!("{} items fit, and not all of them surely", several.len())),
        }
    }

    /// What makes an item this effect, for the log.
    fn grounds(&self) -> String {
        let compared = self.reading.matches.iter().filter(|one| matches!(one.test, Test::Equals { .. }));
        let fields: Vec<&str> = compared.map(|one| one.field.as_str()).collect();
        match (fields.as_slice(), &self.reading.time) {
            ([], _) => "it is no older than the claim".into(),
            (fields, Some(_)) if !self.reading.matches.iter().any(|one| one.is_unique) => {
                format!("equal: {}; it is no older than the claim", fields.join(", "))
            }
            (fields, _) => format!("equal: {}", fields.join(", ")),
        }
    }

    fn standing(&self, item: Node<'_>) -> Standing {
        let mut unread = None;
        for (one, wanted) in self.reading.matches.iter().zip(&self.wanted) {
            match one.compare(item, wanted) {
                Some(true) => {}
                Some(false) => return Standing::Other,
                None => unread = Some("a field of it cannot be read"),
            }
        }
        let is_unique = self.reading.matches.iter().any(|one| one.is_unique);
        let age = self.reading.time.as_ref().map(|time| (time, self.span(time, item)));
        match (unread, age) {
            (None, None) => Standing::Ours,
            (Some(why), None) => Standing::Perhaps(why),
            (_, Some((_, Err(_)))) if is_unique && unread.is_none() => Standing::Ours,
            (_, Some((_, Err(why)))) => Standing::Perhaps(why),
            (unread, Some((time, Ok(span)))) => self.by_age(time, span, is_unique, unread),
        }
    }

    fn by_age(&self, time: &Time, span: Span, is_unique: bool, unread: Option<&'static str>) -> Standing {
        let is_older = span.end <= self.claimed_at_ms;
        match (unread, is_unique, is_older) {
            (None, true, true) => Standing::Perhaps("what should be unique was there before the claim"),
            (_, _, true) => Standing::Other,
            (Some(why), _, false) => Standing::Perhaps(why),
            (None, true, false) => Standing::Ours,
            (None, false, false) if span.start >= self.claimed_at_ms => Standing::Ours,
            (None, false, false) if span.start >= self.claimed_at_ms.saturating_sub(time.apart_ms) => {
                Standing::OursIfApart
            }
            (None, false, false) => {
                Standing::Perhaps("it may be older than the claim, by what its time tells")
            }
        }
    }

    /// An item's time by our clock.
    fn span(&self, time: &Time, item: Node<'_>) -> Result<Span, &'static str> {
        let skew = self.skew.ok_or("the answer has no Date, so its clock is unknown")?;
        match time.pick.of(item) {
            Picked::One(text) => {
                time.clock.read(&text).map(|span| skew.ours(span)).ok_or("its time cannot be read")
            }
            Picked::None | Picked::Unreadable => Err("its time cannot be read"),
        }
    }

    /// Why the list holds everything since the claim.
    fn is_complete(
        &self,
        root: Node<'_>,
        items: &[Node<'_>],
        complete: &Complete,
    ) -> Result<&'static str, String> {
        if items.is_empty() && complete.empty.as_ref().is_some_and(|empty| empty.holds(root)) {
            return Ok("the list says that it is empty");
        }
        if complete.says.as_ref().is_some_and(|says| says.holds(root)) {
            return Ok("the list says that it is complete");
        }
        let total = complete.total.as_ref().map(|total| total.of(root));
        let count = Decimal::plain(&items.len().to_string());
        if matches!(total, Some(Picked::One(total)) if Decimal::plain(&total) == count) {
            return Ok("the list holds as many as it counts");
        }
        if complete.is_newest_first && self.reaches_back(items) {
            return Ok("the list reaches back to before the claim");
        }
        Err(format!("none of {} items fits, and there may be more", items.len()))
    }

    /// Whether the items fall from the newest to one that is surely older than the claim.
    fn reaches_back(&self, items: &[Node<'_>]) -> bool {
        let Some(time) = &self.reading.time else { return false };
        let spans: Result<Vec<Span>, _> = items.iter().map(|item| self.span(time, *item)).collect();
        let Ok(spans) = spans else { return false };
        spans.is_sorted_by(|newer, older| newer.start >= older.start)
            && spans.last().is_some_and(|oldest| oldest.end <= self.claimed_at_ms)
    }

    fn reference(&self, item: Node<'_>) -> Option<String> {
        match self.reading.reference.as_ref()?.of(item) {
            Picked::One(text) => {
                let visible =
                    collapsed(&text).chars().filter(|character| !character.is_control()).collect::<String>();
                let is_short = visible.chars().count() <= REFERENCE_CHARS_MAX && !visible.is_empty();
                is_short.then_some(visible)
            }
            Picked::None | Picked::Unreadable => None,
        }
    }
}

impl Match {
    /// Whether an item's field is as it must be; `None` where that cannot be told.
    fn compare(&self, item: Node<'_>, wanted: &str) -> Option<bool> {
        match self.pick.of(item) {
            Picked::One(text) => match self.test {
                Test::IsThere => Some(true),
                Test::Equals { comparison, .. } => comparison.equal(&text, wanted),
            },
            Picked::None if self.is_optional => Some(false),
            Picked::None | Picked::Unreadable => None,
        }
    }
}

impl Comparison {
    /// `wanted` is of a request, so an amount in it is a plain number or one as the page shows it.
    fn equal(self, text: &str, wanted: &str) -> Option<bool> {
        match self {
            Self::Exact => Some(text == wanted),
            Self::Text { ignores_case: false } => Some(collapsed(text) == collapsed(wanted)),
            Self::Text { ignores_case: true } => {
                Some(collapsed(text).to_lowercase() == collapsed(wanted).to_lowercase())
            }
            Self::Number => Some(Decimal::plain(text)? == Decimal::plain(wanted)?),
            Self::Money { mark } => {
                let wanted = Decimal::plain(wanted).or_else(|| Decimal::money(wanted, mark))?;
                Some(Decimal::money(text, mark)? == wanted)
            }
        }
    }
}
