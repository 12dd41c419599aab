//! Why a text is no recipe.

/// Why a text is no recipe, where, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct RecipeError {
    place: String,
    what: String,
}

/// How alike a name must be to be suggested (Jaro-Winkler, 1 is equal).
const LIKENESS_MIN: f64 = 0.8;

impl RecipeError {
    /// `place` is a line and column, or a table and name.
    pub(super) fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }

    /// What the TOML reader found, with a suggestion where a name is unknown.
    pub(super) fn of_toml(text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let mut what = error.message().to_owned();
        if let Some((unknown, known)) = what.split_once("expected").filter(|_| what.starts_with("unknown")) {
            let name = unknown.split('`').nth(1).unwrap_or_default();
            let names = known.split('`').skip(1).step_by(2);
            if let Some(name) = suggestion(name, names) {
                what.push_str(&format!("; did you mean `{name}`?"));
            }
        }
        Self::new(format!("line {line}, column {column}"), what)
    }

    /// Where it is: a line and column, or a table and name.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }
}

/// The known name that is most like an unknown one.
pub(super) fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known.to_owned())
}
