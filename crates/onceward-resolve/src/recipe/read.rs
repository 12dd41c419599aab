//! From what is written to what can be done, and what a recipe may not say.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use regex::Regex;

use super::{Body, Effects, Json, PathPattern, Probe, Recipe, RecipeError, error::suggestion, file};
use crate::{
    judge::{Absent, Comparison, Complete, Match, Reading, Shape, Test, Time},
    moment::{Clock, duration_ms},
    pick::{Condition, Kind, Pick, Selection},
    template::{Origin, Template, UrlTemplate},
};

/// The version of the format that this program reads.
const VERSION: u32 = 1;

/// Headers that a look may not carry: they frame it, name its connection, or would make it an effect itself.
const NEVER_SENT: [&str; 14] = [
    "accept-encoding",
    "cache-control",
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "if-modified-since",
    "if-none-match",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

type Outcome<T> = Result<T, RecipeError>;

pub(super) fn recipe(file: file::File) -> Outcome<Recipe> {
    if file.recipe != VERSION {
        return Err(RecipeError::new("recipe", "this program reads version 1: write `recipe = 1`"));
    }
    let is_named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if file.name.is_empty() || !file.name.bytes().all(is_named) {
        return Err(RecipeError::new("name", "write it in small letters, digits and hyphens"));
    }
    if !file.source.starts_with("https://") && !file.source.starts_with("http://") {
        return Err(RecipeError::new("source", "give the address of the documentation it was written from"));
    }
    let effect = effects(file.effect)?;
    let probe = probe(file.probe, &effect)?;
    Ok(Recipe {
        name: file.name,
        title: file.title,
        source: file.source,
        proven: file.proven,
        limits: file.limits,
        effect,
        probe,
        reading: reading(file.found)?,
    })
}

fn effects(effect: file::Effect) -> Outcome<Effects> {
    let at = |place: &'static str| move |what: String| RecipeError::new(place, what);
    let methods = effect.methods.iter().map(|name| method(name)).collect::<Result<Vec<_>, _>>();
    let methods = methods.map_err(at("effect.methods"))?;
    let paths = effect.paths.iter().map(|path| PathPattern::parse(path)).collect::<Result<Vec<_>, _>>();
    let paths = paths.map_err(at("effect.paths"))?;
    if methods.is_empty() || paths.is_empty() {
        return Err(RecipeError::new("effect", "name at least one method and one path"));
    }
    Ok(Effects { methods, paths, host: effect.host })
}

fn method(name: &str) -> Result<Method, String> {
    match Method::from_bytes(name.as_bytes()) {
        Ok(method) if name.bytes().all(|byte| byte.is_ascii_uppercase()) => Ok(method),
        _ => Err(format!("`{name}` is no method: write it in capitals")),
    }
}

fn probe(probe: file::Probe, effect: &Effects) -> Outcome<Probe> {
    let at = |place: &'static str| move |what: String| RecipeError::new(place, what);
    let url = UrlTemplate::parse(&probe.url).map_err(at("probe.url"))?;
    let method = match probe.method.as_str() {
        "GET" => Method::GET,
        "POST" => Method::POST,
        _ => return Err(RecipeError::new("probe.method", "a look is a GET, or a POST that searches")),
    };
    let body = match (probe.json, probe.form) {
        (None, None) => Body::None,
        (Some(json), None) => Body::Json(json_template(toml::Value::Table(json)).map_err(at("probe.json"))?),
        (None, Some(form)) => {
            let pairs =
                form.into_iter().map(|(name, text)| Template::parse(&text).map(|value| (name, value)));
            Body::Form(pairs.collect::<Result<_, _>>().map_err(at("probe.form"))?)
        }
        (Some(_), Some(_)) => return Err(RecipeError::new("probe", "give `json` or `form`, not both")),
    };
    if (method == Method::POST) == matches!(body, Body::None) {
        return Err(RecipeError::new("probe", "a POST has a `json` or a `form`, a GET has none"));
    }
    let names = |names: &[String]| names.iter().map(|name| sendable(name)).collect::<Result<Vec<_>, _>>();
    let send = names(&probe.send).map_err(at("probe.send"))?;
    let send_if_present = names(&probe.send_if_present).map_err(at("probe.send_if_present"))?;
    let sent = [send.as_slice(), &send_if_present].concat();
    if let Origin::Fixed { is_https, .. } = &url.origin
        && !sent.is_empty()
        && (!is_https || effect.host.is_none())
    {
        let what =
            "headers go to another origin only over https, and only where `effect.host` says whose they are";
        return Err(RecipeError::new("probe.send", what));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &probe.headers {
        let name = sendable(name).map_err(at("probe.headers"))?;
        let Ok(mut value) = HeaderValue::from_str(value) else {
            return Err(RecipeError::new(
                format!("probe.headers.{name}"),
                "a value is visible ASCII on one line",
            ));
        };
        value.set_sensitive(true);
        if sent.contains(&name) || headers.insert(&name, value).is_some() {
            return Err(RecipeError::new(format!("probe.headers.{name}"), "it is given twice"));
        }
    }
    let settle_ms = duration_ms(&probe.settle).map_err(at("probe.settle"))?;
    let settle = Duration::from_millis(settle_ms.unsigned_abs());
    Ok(Probe { method, url, send, send_if_present, headers, body, settle })
}

fn sendable(name: &str) -> Result<HeaderName, String> {
    match HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()) {
        Ok(name) if !NEVER_SENT.contains(&name.as_str()) => Ok(name),
        Ok(name) => Err(format!("`{name}` is not a recipe's to set")),
        Err(_) => Err(format!("`{name}` names no header")),
    }
}

fn json_template(value: toml::Value) -> Result<Json, String> {
    Ok(match value {
        toml::Value::String(text) => Json::Text(Template::parse(&text)?),
        toml::Value::Integer(number) => Json::Plain(number.into()),
        toml::Value::Float(number) => Json::Plain(number.into()),
        toml::Value::Boolean(truth) => Json::Plain(truth.into()),
        toml::Value::Datetime(at) => return Err(format!("`{at}`: write a time as a text")),
        toml::Value::Array(items) => {
            Json::Array(items.into_iter().map(json_template).collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => {
            let members =
                table.into_iter().map(|(name, value)| Ok::<_, String>((name, json_template(value)?)));
            Json::Object(members.collect::<Result<_, _>>()?)
        }
    })
}

fn reading(found: file::Found) -> Outcome<Reading> {
    let kind = match found.kind {
        file::Kind::Json => Kind::Json,
        file::Kind::Html => Kind::Html,
        file::Kind::Text => Kind::Text,
    };
    if found.status.is_empty() || !found.status.iter().all(|status| (200..300).contains(status)) {
        let what =
            "an answer is read where its status is a success (2xx); what else it may be is never an answer";
        return Err(RecipeError::new("found.status", what));
    }
    let fields = Fields { kind, fields: found.fields };
    let matches = found.matches.into_iter().map(|one| fields.matched(one)).collect::<Result<Vec<_>, _>>()?;
    let time = found.time.map(|time| fields.time(time)).transpose()?;
    let reference =
        found.reference.as_deref().map(|name| fields.pick("found.reference", name)).transpose()?;
    fields.all_used(&matches, found.reference.as_deref(), time.as_ref().map(|(name, _)| name.as_str()))?;
    if time.is_none() && !matches.iter().any(|one| one.is_unique) {
        let what = "an equal one of yesterday would be taken for it: give a `time`, or a match that is `unique = true`";
        return Err(RecipeError::new("found", what));
    }
    Ok(Reading {
        kind,
        statuses: found.status,
        shown: condition(kind, "found.shown", found.shown)?,
        login: found.login.map(|login| condition(kind, "found.login", login)).transpose()?,
        shape: shape(kind, found.items, found.complete, found.absent, time.is_some())?,
        matches,
        time: time.map(|(_, time)| time),
        reference,
    })
}

fn shape(
    kind: Kind,
    items: Option<String>,
    complete: Option<file::Complete>,
    absent: Option<file::Absent>,
    has_time: bool,
) -> Outcome<Shape> {
    match (items, complete, absent) {
        (None, None, None) => Ok(Shape::One { absent: None }),
        (None, None, Some(absent)) => {
            if !absent.status.iter().all(|status| matches!(status, 200..300 | 404 | 410)) {
                let what =
                    "that there is none is said with 404, 410 or a success; other refusals say nothing";
                return Err(RecipeError::new("found.absent.status", what));
            }
            let shown = condition(kind, "found.absent.shown", absent.shown)?;
            Ok(Shape::One { absent: Some(Absent { statuses: absent.status, shown }) })
        }
        (None, Some(_), _) => Err(RecipeError::new("found.complete", "it belongs to a list: give `items`")),
        (Some(_), _, Some(_)) => {
            Err(RecipeError::new("found.absent", "a list shows by `complete` that something is not in it"))
        }
        (Some(items), complete, None) => {
            let items =
                Selection::parse(kind, &items).map_err(|what| RecipeError::new("found.items", what))?;
            let complete = complete.map(|one| completeness(kind, one, has_time)).transpose()?;
            Ok(Shape::List { items, complete: Box::new(complete.unwrap_or_default()) })
        }
    }
}

fn completeness(kind: Kind, complete: file::Complete, has_time: bool) -> Outcome<Complete> {
    let is_newest_first = matches!(complete.order, Some(file::Order::NewestFirst));
    if is_newest_first && !has_time {
        return Err(RecipeError::new(
            "found.complete.order",
            "only a `time` shows how far back a list reaches",
        ));
    }
    let total = complete.total.map(|total| {
        if total.equals.is_some() || total.optional.is_some() {
            return Err(RecipeError::new("found.complete.total", "it is compared with the number of items"));
        }
        pick(kind, "found.complete.total", &total)
    });
    Ok(Complete {
        is_newest_first,
        total: total.transpose()?,
        says: complete.says.map(|says| condition(kind, "found.complete.says", says)).transpose()?,
        empty: complete.empty.map(|empty| condition(kind, "found.complete.empty", empty)).transpose()?,
    })
}

fn condition(kind: Kind, place: &str, written: file::Pick) -> Outcome<Condition> {
    if written.optional.is_some() {
        return Err(RecipeError::new(place, "`optional` belongs to a field"));
    }
    Ok(Condition { pick: pick(kind, place, &written)?, equals: written.equals })
}

fn pick(kind: Kind, place: &str, written: &file::Pick) -> Outcome<Pick> {
    if written.attribute.is_some() && kind != Kind::Html {
        return Err(RecipeError::new(place, "only an element of HTML has an `attribute`"));
    }
    let regex = written.regex.as_deref().map(|text| {
        Regex::new(text)
            .map_err(|error| RecipeError::new(place, format!("`{text}` is no regular expression: {error}")))
    });
    Ok(Pick {
        selection: Selection::parse(kind, &written.pick).map_err(|what| RecipeError::new(place, what))?,
        attribute: written.attribute.clone(),
        regex: regex.transpose()?,
    })
}

fn test_of(one: &file::Match) -> Result<Test, String> {
    let Some(equals) = &one.equals else {
        return match (one.comparison, one.case, one.mark, one.unique) {
            (None, None, None, false) => Ok(Test::IsThere),
            _ => Err("`as`, `case`, `mark` and `unique` belong to a comparison: give `equals`".into()),
        };
    };
    let comparison = match (one.comparison.unwrap_or(file::Comparison::Text), one.case, one.mark) {
        (file::Comparison::Exact, None, None) => Comparison::Exact,
        (file::Comparison::Text, case, None) => {
            Comparison::Text { ignores_case: matches!(case, Some(file::Case::Ignore)) }
        }
        (file::Comparison::Number, None, None) => Comparison::Number,
        (file::Comparison::Money, None, mark) => {
            Comparison::Money { mark: if matches!(mark, Some(file::Mark::Comma)) { ',' } else { '.' } }
        }
        _ => return Err("`case` belongs to text, `mark` to money".into()),
    };
    let equals = Template::parse(equals)?;
    if one.unique && equals.places().next().is_none() {
        return Err("what is `unique` comes from the request, so `equals` has a place".into());
    }
    Ok(Test::Equals { equals, comparison })
}

/// The fields of an item.
struct Fields {
    kind: Kind,
    fields: std::collections::BTreeMap<String, file::Pick>,
}

impl Fields {
    fn written(&self, place: &str, name: &str) -> Outcome<&file::Pick> {
        self.fields.get(name).ok_or_else(|| {
            let known = suggestion(name, self.fields.keys().map(String::as_str));
            let mend = known.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
            RecipeError::new(place, format!("`{name}` is none of `found.fields`{mend}"))
        })
    }

    fn pick(&self, place: &str, name: &str) -> Outcome<Pick> {
        let written = self.written(place, name)?;
        if written.equals.is_some() {
            let what = "a field is compared by a `[[found.match]]`, not by `equals` of its own";
            return Err(RecipeError::new(format!("found.fields.{name}"), what));
        }
        pick(self.kind, &format!("found.fields.{name}"), written)
    }

    fn matched(&self, one: file::Match) -> Outcome<Match> {
        let place = "found.match";
        Ok(Match {
            pick: self.pick(place, &one.field)?,
            is_optional: self.written(place, &one.field)?.optional == Some(true),
            is_unique: one.unique,
            test: test_of(&one).map_err(|what| RecipeError::new(place, what))?,
            field: one.field,
        })
    }

    fn time(&self, time: file::Time) -> Outcome<(String, Time)> {
        let at = |what: String| RecipeError::new("found.time", what);
        let clock = Clock::new(&time.format, time.zone.as_deref(), &time.resolution).map_err(at)?;
        let apart_ms = time.apart.as_deref().map_or(Ok(0), duration_ms).map_err(at)?;
        Ok((time.field.clone(), Time { pick: self.pick("found.time", &time.field)?, clock, apart_ms }))
    }

    fn all_used(&self, matches: &[Match], reference: Option<&str>, time: Option<&str>) -> Outcome<()> {
        let is_used = |name: &str| {
            matches.iter().any(|one| one.field == name) || reference == Some(name) || time == Some(name)
        };
        match self.fields.keys().find(|name| !is_used(name)) {
            Some(name) => {
                Err(RecipeError::new(format!("found.fields.{name}"), "nothing uses it: take it away"))
            }
            None => Ok(()),
        }
    }
}
