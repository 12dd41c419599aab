//! `onceward.toml`: where it is looked for, and what may stand in it.

use std::{
    collections::BTreeMap,
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use toml::de::{DeInteger, DeTable, DeValue};

use super::{
    resolver::{self, ResolverTable},
    route::{self, RouteTable},
    spec::SPECS,
};

/// How alike an unknown name and a known one must be to be suggested: one slip in five letters.
const SUGGESTION_MIN: f64 = 0.8;

/// The settings of one file, by key, as text.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) values: BTreeMap<&'static str, String>,
    /// The tables `[[route]]`, in their order.
    pub(crate) routes: Vec<RouteTable>,
    /// The tables `[[resolver]]`, in their order.
    pub(crate) resolvers: Vec<ResolverTable>,
}

impl File {
    /// Reads the file that was named, else the first that exists: `./onceward.toml`, the user's, the system's.
    pub(crate) fn find(named: Option<&Path>) -> anyhow::Result<Option<Self>> {
        if let Some(path) = named {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            return Self::parse(path.to_owned(), &text).map(Some);
        }
        for path in places() {
            match fs::read_to_string(&path) {
                Ok(text) => return Self::parse(path, &text).map(Some),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
            }
        }
        Ok(None)
    }

    fn parse(path: PathBuf, text: &str) -> anyhow::Result<Self> {
        let table = DeTable::parse(text)
            .map_err(|error| anyhow::anyhow!("{}: {}", path.display(), error.to_string().trim_end()))?;
        let (mut values, mut routes, mut resolvers) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (section, entries) in table.get_ref() {
            let place = |at: usize| format!("{}:{}", path.display(), line_of(text, at));
            let section_at = section.span().start;
            if section.get_ref() == "route" {
                routes = tables("route", entries.get_ref(), &place, section_at, route_table)?;
                continue;
            }
            if section.get_ref() == "resolver" {
                resolvers = tables("resolver", entries.get_ref(), &place, section_at, resolver_table)?;
                continue;
            }
            if !SPECS.iter().any(|spec| spec.key.split('.').next() == Some(section.get_ref())) {
                bail!("{}: unknown section `[{}]`", place(section_at), section.get_ref());
            }
            let DeValue::Table(entries) = entries.get_ref() else {
                bail!(
                    "{}: `{section}` is no section; write [{section}]",
                    place(section_at),
                    section = section.get_ref()
                );
            };
            for (name, value) in entries {
                let at = name.span().start;
                let key = format!("{}.{}", section.get_ref(), name.get_ref());
                let Some(spec) = SPECS.iter().find(|spec| spec.key == key) else {
                    bail!("{}: unknown setting `{key}`{}", place(at), suggestion(&key));
                };
                let Some(text) = text_of(value.get_ref()) else {
                    bail!(
                        "{}: `{key}` must be a text, a number, true or false, or a list of texts",
                        place(at)
                    );
                };
                values.insert(spec.key, text);
            }
        }
        Ok(Self { path, values, routes, resolvers })
    }
}

/// Reads the tables `[[section]]`: names and texts; what they mean is for whoever serves.
fn tables<T>(
    section: &str,
    tables: &DeValue<'_>,
    place: &impl Fn(usize) -> String,
    section_at: usize,
    read: impl Fn(String, &DeTable<'_>, &dyn Fn(usize) -> String) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    let DeValue::Array(tables) = tables else {
        bail!("{}: `{section}` is a list of tables; write [[{section}]]", place(section_at));
    };
    let read = |table: &toml::Spanned<DeValue<'_>>| {
        let at = place(table.span().start);
        let DeValue::Table(entries) = table.get_ref() else {
            bail!("{at}: `{section}` is a list of tables; write [[{section}]]");
        };
        read(at, entries, place)
    };
    tables.iter().map(read).collect()
}

/// The known name of an entry.
fn known(name: &str, names: &'static [&'static str], at: &str, whose: &str) -> anyhow::Result<&'static str> {
    names.iter().find(|known| **known == name).copied().with_context(|| {
        let near = nearest(name, names.iter().copied());
        format!("{at}: unknown setting `{name}` of a {whose}{near}")
    })
}

fn route_table(
    place: String,
    entries: &DeTable<'_>,
    place_of: &dyn Fn(usize) -> String,
) -> anyhow::Result<RouteTable> {
    let mut values = BTreeMap::new();
    for (name, value) in entries {
        let at = place_of(name.span().start);
        let known = known(name.get_ref(), route::NAMES, &at, "route")?;
        let Some(text) = text_of(value.get_ref()) else {
            bail!("{at}: `{known}` must be a text, a number, true or false, or a list of them");
        };
        values.insert(known, text);
    }
    Ok(RouteTable { place, values })
}

fn resolver_table(
    place: String,
    entries: &DeTable<'_>,
    place_of: &dyn Fn(usize) -> String,
) -> anyhow::Result<ResolverTable> {
    let mut table = ResolverTable { place, ..ResolverTable::default() };
    for (name, value) in entries {
        let at = place_of(name.span().start);
        match (known(name.get_ref(), resolver::NAMES, &at, "resolver")?, value.get_ref()) {
            ("command", DeValue::Array(words)) => {
                let word = |word: &toml::Spanned<DeValue<'_>>| match word.get_ref() {
                    DeValue::String(word) => Ok(word.clone().into_owned()),
                    _ => bail!("{at}: `command` is a list of texts: the program and its arguments"),
                };
                table.command = words.iter().map(word).collect::<anyhow::Result<_>>()?;
            }
            ("command", _) => bail!("{at}: `command` is a list of texts: the program and its arguments"),
            ("parameters", DeValue::Table(parameters)) => {
                for (name, value) in parameters {
                    let Some(text) = text_of(value.get_ref()) else {
                        bail!("{at}: the parameter `{}` must be a text", name.get_ref());
                    };
                    table.parameters.insert(name.get_ref().clone().into_owned(), text);
                }
            }
            ("parameters", _) => {
                bail!("{at}: `parameters` is a table; write parameters = {{ name = \"value\" }}")
            }
            (known, value) => {
                let Some(text) = text_of(value) else {
                    bail!("{at}: `{known}` must be a text, true or false, or a list of texts");
                };
                table.values.insert(known, text);
            }
        }
    }
    Ok(table)
}

fn places() -> Vec<PathBuf> {
    let user = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    [Some(PathBuf::from("onceward.toml")), user.map(|folder| folder.join("onceward/config.toml"))]
        .into_iter()
        .flatten()
        .chain([PathBuf::from("/etc/onceward/config.toml")])
        .collect()
}

/// A value as the flag of the same setting would carry it.
fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => Some(decimal(number)),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Array(items) => {
            let texts: Option<Vec<String>> = items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => Some(text.clone().into_owned()),
                    DeValue::Integer(number) => Some(decimal(number)),
                    _ => None,
                })
                .collect();
            texts.map(|texts| texts.join(","))
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// A number as flags have it, however the file writes it: `0x10` is 16 in TOML (1.0.0, Integer).
fn decimal(number: &DeInteger<'_>) -> String {
    i64::from_str_radix(number.as_str(), number.radix())
        .map_or_else(|_too_large| number.to_string(), |value| value.to_string())
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// `; did you mean …?` where a known name of the same section is close.
fn suggestion(key: &str) -> String {
    let (section, _) = key.split_once('.').unwrap_or_default();
    let own = |known: &&str| known.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'));
    nearest(key, SPECS.iter().map(|spec| spec.key).filter(own))
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let last = |name: &'a str| name.rsplit('.').next().unwrap_or(name);
    let own = name.rsplit('.').next().unwrap_or(name);
    known
        .map(|known| (strsim::jaro_winkler(own, last(known)), known))
        .filter(|(likeness, _)| *likeness >= SUGGESTION_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map_or_else(String::new, |(_, known)| format!("; did you mean `{known}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<BTreeMap<&'static str, String>, String> {
        File::parse("onceward.toml".into(), text).map(|file| file.values).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_texts_numbers_truths_and_lists() {
        let values = parse(
            "[proxy]\nlisten = \"127.0.0.1:0\"\ntunnel = [\"a.example\", \"b.example\"]\nallow_private = true\n\
             [policy]\noutcome_bytes_max = 4096\n",
        );
        let expected = BTreeMap::from([
            ("proxy.listen", "127.0.0.1:0".to_owned()),
            ("proxy.tunnel", "a.example,b.example".to_owned()),
            ("proxy.allow_private", "true".to_owned()),
            ("policy.outcome_bytes_max", "4096".to_owned()),
        ]);
        assert_eq!(values, Ok(expected));
    }

    #[test]
    fn a_number_is_what_it_is_in_toml() {
        for (written, text) in [
            ("16", "16"),
            ("+16", "16"),
            ("0x10", "16"),
            ("0o20", "16"),
            ("0b1_0000", "16"),
            ("1_6", "16"),
            ("99999999999999999999", "99999999999999999999"),
        ] {
            let values = parse(&format!("[policy]\noutcome_bytes_max = {written}\n"));
            let expected = BTreeMap::from([("policy.outcome_bytes_max", text.to_owned())]);
            assert_eq!(values, Ok(expected), "{written}");
        }
    }

    #[test]
    fn names_the_place_of_what_it_does_not_know_and_suggests() {
        let unknown = parse("[proxy]\n\nlisen = \"127.0.0.1:0\"\n");
        assert_eq!(
            unknown,
            Err("onceward.toml:3: unknown setting `proxy.lisen`; did you mean `proxy.listen`?".to_owned())
        );
        assert_eq!(
            parse("store = \"memory:\"\n"),
            Err("onceward.toml:1: `store` is no section; write [store]".to_owned())
        );
        assert_eq!(parse("[polcy]\n"), Err("onceward.toml:1: unknown section `[polcy]`".to_owned()));
        assert_eq!(parse("[store]\nq = 1\n"), Err("onceward.toml:2: unknown setting `store.q`".to_owned()));
    }
}
