//! How a recipe is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use super::error::{RecipeError, suggestion};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) recipe: u32,
    pub(super) name: String,
    pub(super) title: String,
    pub(super) source: String,
    pub(super) proven: Option<String>,
    pub(super) limits: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
    pub(super) effect: Effect,
    pub(super) probe: Probe,
    pub(super) found: Found,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameter {
    about: String,
    default: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Effect {
    pub(super) methods: Vec<String>,
    pub(super) paths: Vec<String>,
    pub(super) host: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Probe {
    #[serde(default = "get")]
    pub(super) method: String,
    pub(super) url: String,
    #[serde(default)]
    pub(super) send: Vec<String>,
    #[serde(default)]
    pub(super) send_if_present: Vec<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) json: Option<Table>,
    pub(super) form: Option<BTreeMap<String, String>>,
    pub(super) settle: String,
}

fn get() -> String {
    "GET".into()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Found {
    #[serde(rename = "as")]
    pub(super) kind: Kind,
    #[serde(default = "ok")]
    pub(super) status: Vec<u16>,
    pub(super) shown: Pick,
    pub(super) login: Option<Pick>,
    pub(super) items: Option<String>,
    #[serde(default)]
    pub(super) fields: BTreeMap<String, Pick>,
    #[serde(default, rename = "match")]
    pub(super) matches: Vec<Match>,
    pub(super) time: Option<Time>,
    pub(super) complete: Option<Complete>,
    pub(super) absent: Option<Absent>,
    pub(super) reference: Option<String>,
}

fn ok() -> Vec<u16> {
    vec![200]
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Json,
    Html,
    Text,
}

/// A place in an answer; `equals` only where it is a condition, `optional` only where it is a field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pick {
    pub(super) pick: String,
    pub(super) attribute: Option<String>,
    pub(super) regex: Option<String>,
    pub(super) equals: Option<String>,
    pub(super) optional: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Match {
    pub(super) field: String,
    pub(super) equals: Option<String>,
    #[serde(rename = "as")]
    pub(super) comparison: Option<Comparison>,
    pub(super) case: Option<Case>,
    pub(super) mark: Option<Mark>,
    #[serde(default)]
    pub(super) unique: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Comparison {
    Exact,
    Text,
    Number,
    Money,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Case {
    Keep,
    Ignore,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum Mark {
    #[serde(rename = ".")]
    Point,
    #[serde(rename = ",")]
    Comma,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Time {
    pub(super) field: String,
    pub(super) format: String,
    pub(super) zone: Option<String>,
    pub(super) resolution: String,
    pub(super) apart: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Complete {
    pub(super) order: Option<Order>,
    pub(super) total: Option<Pick>,
    pub(super) says: Option<Pick>,
    pub(super) empty: Option<Pick>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum Order {
    #[serde(rename = "newest-first")]
    NewestFirst,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Absent {
    pub(super) status: Vec<u16>,
    pub(super) shown: Pick,
}

impl File {
    /// Reads it twice: as it stands, so that errors name their line, and with its parameters in place.
    pub(super) fn parse(text: &str, parameters: &[(&str, &str)]) -> Result<Self, RecipeError> {
        let file: Self = toml::from_str(text).map_err(|error| RecipeError::of_toml(text, &error))?;
        let values = file.values(parameters)?;
        let mut table: Table = toml::from_str(text).map_err(|error| RecipeError::of_toml(text, &error))?;
        table.remove("parameters");
        fill_table(&mut table, &values)?;
        table
            .try_into()
            .map_err(|error: toml::de::Error| RecipeError::new("with its parameters", error.message()))
    }

    /// Each parameter's value.
    fn values(&self, given: &[(&str, &str)]) -> Result<BTreeMap<String, String>, RecipeError> {
        for (name, _) in given {
            if !self.parameters.contains_key(*name) {
                let known = suggestion(name, self.parameters.keys().map(String::as_str));
                let mend = known.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
                return Err(RecipeError::new(
                    format!("parameters.{name}"),
                    format!("there is no such parameter{mend}"),
                ));
            }
        }
        let mut values = BTreeMap::new();
        for (name, parameter) in &self.parameters {
            let given = given.iter().find(|(own, _)| own == name).map(|(_, value)| (*value).to_owned());
            let value = given.or_else(|| parameter.default.clone()).ok_or_else(|| {
                RecipeError::new(format!("parameters.{name}"), format!("must be given: {}", parameter.about))
            })?;
            values.insert(format!("{{parameter.{name}}}"), value);
        }
        Ok(values)
    }
}

fn fill_table(table: &mut Table, values: &BTreeMap<String, String>) -> Result<(), RecipeError> {
    table.iter_mut().try_for_each(|(name, value)| fill(name, value, values))
}

fn fill(name: &str, value: &mut Value, values: &BTreeMap<String, String>) -> Result<(), RecipeError> {
    match value {
        Value::String(text) => {
            for (place, value) in values {
                *text = text.replace(place, value);
            }
            match text.split_once("{parameter.") {
                Some((_, rest)) => {
                    let unknown = rest.split('}').next().unwrap_or_default();
                    Err(RecipeError::new(name, format!("`{unknown}` is none of the recipe's parameters")))
                }
                None => Ok(()),
            }
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(name, item, values)),
        Value::Table(table) => fill_table(table, values),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => Ok(()),
    }
}
