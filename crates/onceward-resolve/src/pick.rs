//! What a recipe takes out of an answer.

use regex::Regex;
use scraper::{ElementRef, Selector};
use serde_json::Value;
use serde_json_path::JsonPath;

use crate::{request::is_readable, template::first_group};

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Html,
    Text,
}

/// A place in an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node<'a> {
    Json(&'a Value),
    Element(ElementRef<'a>),
    Text(&'a str),
}

/// Which places are meant, seen from one.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    Json(JsonPath),
    Css(Selector),
    /// The element itself.
    Itself,
    Regex(Regex),
}

/// One value: where it is, and which part of it counts.
#[derive(Clone, Debug)]
pub(crate) struct Pick {
    pub(crate) selection: Selection,
    pub(crate) attribute: Option<String>,
    pub(crate) regex: Option<Regex>,
}

/// What a pick comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Picked {
    One(String),
    /// Nothing is there, or nothing of the pattern.
    None,
    /// Several places, or one that is no single value.
    Unreadable,
}

/// Something that an answer must show.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) pick: Pick,
    pub(crate) equals: Option<String>,
}

impl Selection {
    pub(crate) fn parse(kind: Kind, text: &str) -> Result<Self, String> {
        match kind {
            Kind::Json => JsonPath::parse(text)
                .map(Self::Json)
                .map_err(|error| format!("`{text}` is no JSONPath (RFC 9535): {error}")),
            Kind::Html if text == "self" => Ok(Self::Itself),
            Kind::Html => Selector::parse(text)
                .map(Self::Css)
                .map_err(|error| format!("`{text}` is no CSS selector: {error}")),
            Kind::Text => Regex::new(text)
                .map(Self::Regex)
                .map_err(|error| format!("`{text}` is no regular expression: {error}")),
        }
    }

    pub(crate) fn nodes<'a>(&self, from: Node<'a>) -> Vec<Node<'a>> {
        match (self, from) {
            (Self::Json(path), Node::Json(value)) => {
                path.query(value).all().into_iter().map(Node::Json).collect()
            }
            (Self::Css(selector), Node::Element(element)) => {
                element.select(selector).map(Node::Element).collect()
            }
            (Self::Itself, Node::Element(_)) => vec![from],
            (Self::Regex(regex), Node::Text(text)) => {
                regex.find_iter(text).map(|found| Node::Text(found.as_str())).collect()
            }
            // A recipe's selections are all of its answer's kind.
            (Self::Json(_) | Self::Css(_) | Self::Itself | Self::Regex(_), _) => Vec::new(),
        }
    }
}

impl Pick {
    pub(crate) fn of(&self, from: Node<'_>) -> Picked {
        let nodes = self.selection.nodes(from);
        let text = match nodes.as_slice() {
            [] => return Picked::None,
            [node] => self.text(*node),
            _ => return Picked::Unreadable,
        };
        match (text, &self.regex) {
            (Picked::One(text), Some(regex)) => {
                first_group(regex, &text).map_or(Picked::None, |part| Picked::One(part.to_owned()))
            }
            (picked, _) => picked,
        }
    }

    fn text(&self, node: Node<'_>) -> Picked {
        match node {
            Node::Json(Value::Null) => Picked::None,
            Node::Json(Value::String(text)) => Picked::One(text.clone()),
            Node::Json(Value::Bool(truth)) => Picked::One(truth.to_string()),
            Node::Json(Value::Number(number)) if is_readable(number) => Picked::One(number.to_string()),
            Node::Json(Value::Number(_) | Value::Array(_) | Value::Object(_)) => Picked::Unreadable,
            Node::Element(element) => match &self.attribute {
                Some(name) => {
                    element.value().attr(name).map_or(Picked::None, |value| Picked::One(value.to_owned()))
                }
                None => Picked::One(element.text().collect()),
            },
            Node::Text(text) => match &self.selection {
                Selection::Regex(regex) => {
                    first_group(regex, text).map_or(Picked::None, |part| Picked::One(part.to_owned()))
                }
                Selection::Json(_) | Selection::Css(_) | Selection::Itself => Picked::Unreadable,
            },
        }
    }
}

impl Condition {
    /// Whether it is shown: something is there, or the one thing there reads so.
    pub(crate) fn holds(&self, root: Node<'_>) -> bool {
        match &self.equals {
            Some(expected) => {
                matches!(self.pick.of(root), Picked::One(text) if collapsed(&text) == collapsed(expected))
            }
            None if self.pick.regex.is_none() && self.pick.attribute.is_none() => {
                let is_there = |node: &Node<'_>| !matches!(node, Node::Json(Value::Null));
                self.pick.selection.nodes(root).iter().any(is_there)
            }
            None => matches!(self.pick.of(root), Picked::One(_)),
        }
    }
}

/// A text without the blanks around it, and with one for each run of blanks inside.
pub(crate) fn collapsed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
