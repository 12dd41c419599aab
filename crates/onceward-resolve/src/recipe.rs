//! What a probe does, as data.

mod error;
mod file;
mod path;
mod read;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header::CONTENT_TYPE};
use serde_json::Value;

pub use error::RecipeError;
use path::PathPattern;

use crate::{
    answer::Answer,
    judge::{Reading, Shape, Sighting},
    request::EffectRequest,
    template::{LookError, Place, Source, Template, UrlTemplate},
};

/// Where to look for an effect, and how to read what is there.
///
/// It holds compiled selectors and patterns: parse it once and share it.
#[derive(Clone, Debug)]
pub struct Recipe {
    name: String,
    title: String,
    source: String,
    proven: Option<String>,
    limits: Option<String>,
    effect: Effects,
    probe: Probe,
    reading: Reading,
}

/// Which requests' effects are looked for.
#[derive(Clone, Debug)]
pub struct Effects {
    methods: Vec<Method>,
    paths: Vec<PathPattern>,
    host: Option<String>,
}

impl Effects {
    /// Those of requests with one of these methods, one of these paths, and this host where one is named.
    ///
    /// A path is literal, or has `{name}` for one segment and at its end `{*name}` for any rest, like a route's.
    ///
    /// # Errors
    /// Which method or path is none.
    pub fn new(methods: &[&str], paths: &[&str], host: Option<&str>) -> Result<Self, String> {
        let method = |text: &&str| {
            let method = text.parse::<Method>();
            method.map_err(|error| format!("`{text}` is no method: {error}"))
        };
        Ok(Self {
            methods: methods.iter().map(method).collect::<Result<_, _>>()?,
            paths: paths.iter().map(|path| PathPattern::parse(path)).collect::<Result<_, _>>()?,
            host: host.map(str::to_owned),
        })
    }

    /// Whether they include this one's.
    #[must_use]
    pub fn include(&self, effect: &EffectRequest) -> bool {
        self.are_of(effect.method(), effect.uri())
    }

    /// Whether they include that of a request with this method and this absolute address.
    #[must_use]
    pub fn are_of(&self, method: &Method, uri: &Uri) -> bool {
        let authority = uri.authority();
        let is_host = |host: &str| {
            authority.is_some_and(|own| {
                own.as_str().eq_ignore_ascii_case(host)
                    || own.port().is_none() && own.host().eq_ignore_ascii_case(host)
            })
        };
        self.methods.contains(method)
            && self.host.as_deref().is_none_or(is_host)
            && self.paths.iter().any(|path| path.matches(uri.path()))
    }

    /// Whether they are of one host.
    #[must_use]
    pub fn name_host(&self) -> bool {
        self.host.is_some()
    }
}

/// The look.
#[derive(Clone, Debug)]
struct Probe {
    method: Method,
    url: UrlTemplate,
    /// The effect's headers that are sent again.
    send: Vec<HeaderName>,
    /// Those that are sent again where the effect had them.
    send_if_present: Vec<HeaderName>,
    headers: HeaderMap,
    body: Body,
    settle: Duration,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Json(Json),
    Form(Vec<(String, Template)>),
}

/// A JSON value whose texts have places. It is filled before it is written, so no value can leave its text.
#[derive(Clone, Debug)]
enum Json {
    Plain(Value),
    Text(Template),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Recipe {
    /// Reads a recipe whose parameters all have defaults.
    ///
    /// # Errors
    /// [`RecipeError`], which says where it is no recipe and how to mend it.
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        Self::parse_with(text, &[])
    }

    /// Reads a recipe with values for its parameters, as (name, value).
    ///
    /// # Errors
    /// As [`Recipe::parse`]; and where a parameter without a default is not given, or one is given that the recipe does not have.
    pub fn parse_with(text: &str, parameters: &[(&str, &str)]) -> Result<Self, RecipeError> {
        read::recipe(file::File::parse(text, parameters)?)
    }

    /// What routes call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it finds, for people.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The documentation that it was written from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The application and version that it was proven on. `None`: it has not met the live service.
    #[must_use]
    pub fn proven(&self) -> Option<&str> {
        self.proven.as_deref()
    }

    /// What it cannot tell, for people.
    #[must_use]
    pub fn limits(&self) -> Option<&str> {
        self.limits.as_deref()
    }

    /// How long after the end of the effect's holder [`Sighting::NotFound`] may count: what was sent last may still be on its way, and
    /// a search may lag behind.
    #[must_use]
    pub const fn settle(&self) -> Duration {
        self.probe.settle
    }

    /// Whether it can ever say [`Sighting::NotFound`].
    #[must_use]
    pub const fn tells_absence(&self) -> bool {
        match &self.reading.shape {
            Shape::One { absent } => absent.is_some(),
            Shape::List { complete, .. } => complete.tells(),
        }
    }

    /// The headers of a request that the recipe needs remembered, and no others.
    #[must_use]
    pub fn kept_headers(&self) -> Vec<HeaderName> {
        let mut names = [self.probe.send.as_slice(), &self.probe.send_if_present].concat();
        for place in self.places() {
            match &place.source {
                Source::Form(_) | Source::Json(_) => names.extend(EffectRequest::BODY_HEADERS),
                Source::Header(name) => names.push(name.clone()),
                Source::Origin | Source::Path | Source::Query(_) | Source::ClaimedAt { .. } => {}
            }
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        names
    }

    pub(crate) fn keeps_body(&self) -> bool {
        self.places().iter().any(|place| matches!(place.source, Source::Form(_) | Source::Json(_)))
    }

    /// What is worth remembering of a request for this recipe: without the headers and the body that it does not need.
    #[must_use]
    pub fn kept(&self, effect: EffectRequest) -> EffectRequest {
        effect.only(&self.kept_headers(), self.keeps_body())
    }

    /// Whether it looks for effects of such requests.
    #[must_use]
    pub fn is_for(&self, effect: &EffectRequest) -> bool {
        self.effect.include(effect)
    }

    /// The request that looks. Sending it must change nothing at the site; redirects are not followed.
    ///
    /// # Errors
    /// [`LookError`] where the recipe is for other requests, or this one lacks what the look needs.
    pub fn look(&self, effect: &EffectRequest) -> Result<Request<Vec<u8>>, LookError> {
        if !self.is_for(effect) {
            return Err(LookError::OtherEffect);
        }
        let uri = self.probe.url.fill(effect)?;
        let (content_type, body) = self.probe.body.fill(effect)?;
        let mut request = Request::new(body);
        *request.method_mut() = self.probe.method.clone();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        for (name, value) in [("accept-encoding", "identity"), ("cache-control", "no-cache")] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.extend(content_type.map(|value| (CONTENT_TYPE, HeaderValue::from_static(value))));
        headers.extend(self.probe.headers.clone());
        if let Some(name) = self.probe.send.iter().find(|name| !effect.headers().contains_key(*name)) {
            return Err(LookError::Missing { what: format!("header.{name}") });
        }
        for name in self.probe.send.iter().chain(&self.probe.send_if_present) {
            for value in effect.headers().get_all(name) {
                let mut value = value.clone();
                value.set_sensitive(true);
                headers.append(name, value);
            }
        }
        Ok(request)
    }

    /// What an answer to [`Recipe::look`] says about the effect.
    #[must_use]
    pub fn judge(&self, effect: &EffectRequest, answer: &Answer<'_>) -> Sighting {
        self.reading.judge(effect, answer)
    }

    /// Every place that a request's values fill.
    fn places(&self) -> Vec<&Place> {
        let mut places: Vec<&Place> = self.probe.url.places().collect();
        match &self.probe.body {
            Body::None => {}
            Body::Json(json) => json.add_places(&mut places),
            Body::Form(pairs) => places.extend(pairs.iter().flat_map(|(_, template)| template.places())),
        }
        places.extend(self.reading.matches.iter().flat_map(|one| one.test.places()));
        places
    }
}

impl Body {
    fn fill(&self, effect: &EffectRequest) -> Result<(Option<&'static str>, Vec<u8>), LookError> {
        match self {
            Self::None => Ok((None, Vec::new())),
            Self::Json(json) => Ok((Some("application/json"), json.fill(effect)?.to_string().into_bytes())),
            Self::Form(pairs) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                for (name, template) in pairs {
                    form.append_pair(name, &template.plain(effect)?);
                }
                Ok((Some("application/x-www-form-urlencoded"), form.finish().into_bytes()))
            }
        }
    }
}

impl Json {
    fn fill(&self, effect: &EffectRequest) -> Result<Value, LookError> {
        Ok(match self {
            Self::Plain(value) => value.clone(),
            Self::Text(template) => Value::String(template.plain(effect)?),
            Self::Array(items) => {
                Value::Array(items.iter().map(|item| item.fill(effect)).collect::<Result<_, _>>()?)
            }
            Self::Object(members) => {
                let filled = members.iter().map(|(name, member)| Ok((name.clone(), member.fill(effect)?)));
                Value::Object(filled.collect::<Result<_, LookError>>()?)
            }
        })
    }

    fn add_places<'a>(&'a self, places: &mut Vec<&'a Place>) {
        match self {
            Self::Plain(_) => {}
            Self::Text(template) => places.extend(template.places()),
            Self::Array(items) => items.iter().for_each(|item| item.add_places(places)),
            Self::Object(members) => members.iter().for_each(|(_, member)| member.add_places(places)),
        }
    }
}
