//! `onceward resolve recipes | try`: what recipes there are, and what one makes of files. Nothing is sent.

use std::{fs, path::Path, path::PathBuf, process::ExitCode};

use anyhow::{Context, anyhow, bail};
use clap::ArgMatches;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use jiff::Timestamp;
use onceward_resolve::{Answer, EffectRequest, Recipe, Sighting, builtin};
use serde_json::{Value, json};

use crate::{
    commands::{print, print_json},
    failure::Failure,
    settings::recipe_named,
};

/// How long before the answer the request is taken to have been claimed, where nobody says.
const BEFORE_MS: i64 = 60_000;

pub(crate) fn recipes(json: bool) -> Result<ExitCode, Failure> {
    let mut shown = Vec::new();
    for builtin in builtin() {
        // Those with parameters are known by their text alone.
        let text: toml::Table = toml::from_str(builtin.text()).map_err(Failure::failed)?;
        let said = |name: &str| text.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        let parameters: Vec<_> = text
            .get("parameters")
            .and_then(toml::Value::as_table)
            .into_iter()
            .flat_map(toml::Table::keys)
            .collect();
        shown.push(json!({
            "name": builtin.name(),
            "title": said("title"),
            "proven": said("proven"),
            "source": said("source"),
            "limits": said("limits"),
            "parameters": parameters,
        }));
    }
    if json {
        print_json(&json!({"recipes": shown}))?;
    } else {
        let line = |recipe: &Value| {
            let text = |name: &str| recipe[name].as_str().unwrap_or_default().to_owned();
            let proven = match recipe["proven"].as_str() {
                Some(proven) => format!("proven on {proven}"),
                None => "has not met its live service".to_owned(),
            };
            format!("{:20} {} ({proven})\n", text("name"), text("title"))
        };
        print(&shown.iter().map(line).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn attempt(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let tried = Tried::read(matches).map_err(Failure::usage)?;
    let sighting = tried.answer.as_ref().map(|answer| tried.judged(answer));
    if matches.get_flag("json") {
        print_json(&tried.json(sighting.as_ref()))?;
    } else {
        print(&tried.text(sighting.as_ref()))?;
    }
    let is_unclear = matches!(sighting, Some(Sighting::Unclear { .. }));
    Ok(if is_unclear { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is to be tried.
struct Tried {
    recipe: Recipe,
    effect: EffectRequest,
    look: Request<Vec<u8>>,
    answer: Option<Response<Vec<u8>>>,
    /// When the look is taken to have been made, in milliseconds.
    asked_at_ms: u64,
}

impl Tried {
    fn read(matches: &ArgMatches) -> anyhow::Result<Self> {
        let given = matches.get_many::<String>("parameter").unwrap_or_default();
        let pair = |text: &'_ String| {
            let (name, value) =
                text.split_once('=').with_context(|| format!("{text:?}: write NAME=VALUE"))?;
            anyhow::Ok((name.to_owned(), value.to_owned()))
        };
        let parameters: Vec<_> = given.map(pair).collect::<anyhow::Result<_>>()?;
        let parameters: Vec<_> =
            parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let named = matches.get_one::<String>("recipe").context("RECIPE")?;
        let recipe = recipe_named(named, &parameters)?;
        let answer = match matches.get_one::<PathBuf>("against") {
            Some(file) => Some(response(file).with_context(|| file.display().to_string())?),
            None => None,
        };
        let asked_at = match answer.as_ref().and_then(|answer| answer.headers().get(header::DATE)) {
            Some(date) => {
                let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date.as_bytes());
                date.context("the answer's Date")?
            }
            None => Timestamp::now(),
        };
        let claimed_at = match matches.get_one::<String>("claimed-at") {
            Some(text) => text.parse::<Timestamp>().with_context(|| format!("--claimed-at {text}"))?,
            None => Timestamp::from_millisecond(asked_at.as_millisecond() - BEFORE_MS)?,
        };
        let file = matches.get_one::<PathBuf>("request").context("--request")?;
        let effect = request(file, u64::try_from(claimed_at.as_millisecond())?)
            .with_context(|| file.display().to_string())?;
        let look = recipe.look(&effect)?;
        let asked_at_ms = u64::try_from(asked_at.as_millisecond())?;
        Ok(Self { effect: recipe.kept(effect), recipe, look, answer, asked_at_ms })
    }

    fn judged(&self, answer: &Response<Vec<u8>>) -> Sighting {
        let (parts, body) = answer.clone().into_parts();
        let answer = Answer {
            parts: &parts,
            body: &body,
            asked_at_ms: self.asked_at_ms,
            received_at_ms: self.asked_at_ms,
        };
        self.recipe.judge(&self.effect, &answer)
    }

    /// Names of headers only: values may be credentials.
    fn sent(&self) -> Vec<&str> {
        self.look.headers().keys().map(HeaderName::as_str).collect()
    }

    fn json(&self, sighting: Option<&Sighting>) -> Value {
        let kept: Vec<_> = self.recipe.kept_headers().iter().map(|name| name.as_str().to_owned()).collect();
        json!({
            "recipe": self.recipe.name(),
            "look": {"method": self.look.method().as_str(), "url": self.look.uri().to_string(), "headers": self.sent()},
            "kept_headers": kept,
            "settle_ms": u64::try_from(self.recipe.settle().as_millis()).unwrap_or(u64::MAX),
            "tells_absence": self.recipe.tells_absence(),
            "sighting": sighting.map(|sighting| {
                let (what, why) = said(sighting);
                json!({"saw": what, "evidence": why, "reference": reference(sighting)})
            }),
        })
    }

    fn text(&self, sighting: Option<&Sighting>) -> String {
        let mut text = format!("the look: {} {}\n", self.look.method(), self.look.uri());
        text += &format!("its headers: {}\n", self.sent().join(", "));
        match sighting {
            Some(sighting) => {
                let (what, why) = said(sighting);
                text + &format!("the answer: {what}: {why}\n")
            }
            None => text,
        }
    }
}

fn said(sighting: &Sighting) -> (&'static str, &str) {
    match sighting {
        Sighting::Found { evidence, .. } => ("found", evidence),
        Sighting::NotFound { evidence } => ("not found", evidence),
        Sighting::Several { evidence, .. } => ("several", evidence),
        Sighting::Unclear { reason } => ("unclear", reason),
    }
}

fn reference(sighting: &Sighting) -> Option<&str> {
    match sighting {
        Sighting::Found { reference, .. } => reference.as_deref(),
        Sighting::NotFound { .. } | Sighting::Several { .. } | Sighting::Unclear { .. } => None,
    }
}

/// First line, fields and body of an HTTP message in a file.
fn message(file: &Path) -> anyhow::Result<(String, HeaderMap, Vec<u8>)> {
    let bytes = fs::read(file).context("cannot be read")?;
    let (mut lines, mut rest) = (Vec::new(), bytes.as_slice());
    let body = loop {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, behind) = match end.and_then(|end| Some((rest.get(..end)?, rest.get(end + 1..)?))) {
            Some(split) => split,
            None => (rest, [].as_slice()),
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break behind.to_vec();
        }
        lines.push(str::from_utf8(line).context("its head is not UTF-8")?);
        rest = behind;
    };
    let mut lines = lines.into_iter();
    let first = lines.next().context("it is empty")?.to_owned();
    let mut fields = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').with_context(|| format!("{line:?} is no field"))?;
        fields.append(name.trim().parse::<HeaderName>()?, value.trim().parse::<HeaderValue>()?);
    }
    Ok((first, fields, body))
}

fn request(file: &Path, claimed_at_ms: u64) -> anyhow::Result<EffectRequest> {
    let (first, fields, body) = message(file)?;
    let mut words = first.split(' ');
    let (Some(method), Some(uri)) = (words.next(), words.next()) else {
        bail!("its first line is no request; write POST https://shop.example/orders");
    };
    let uri: Uri = uri.parse().with_context(|| format!("{uri:?}"))?;
    let method = method.parse().map_err(|error| anyhow!("{method:?}: {error}"))?;
    EffectRequest::new(method, uri, fields, body, claimed_at_ms)
        .context("write the whole address in its first line: POST https://shop.example/orders")
}

fn response(file: &Path) -> anyhow::Result<Response<Vec<u8>>> {
    let (first, fields, body) = message(file)?;
    let status = first.split(' ').nth(1).filter(|_| first.starts_with("HTTP/"));
    let status: u16 = status
        .and_then(|status| status.parse().ok())
        .context("its first line is no status line, such as HTTP/1.1 200 OK")?;
    let mut response = Response::new(body);
    *response.status_mut() = status.try_into()?;
    *response.headers_mut() = fields;
    Ok(response)
}
