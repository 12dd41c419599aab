//! `onceward config check | print`.

use std::process::ExitCode;

use comfy_table::{Table, presets::NOTHING};
use serde_json::json;

use crate::{
    commands::print_json,
    failure::Failure,
    settings::{ResolverTable, Settings},
};

pub(crate) fn check(settings: &Settings, json: bool) -> Result<ExitCode, Failure> {
    let warnings = settings.check().map_err(Failure::usage)?;
    if json {
        print_json(&json!({"ok": true, "warnings": warnings}))?
    } else {
        let warnings: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
        super::print(&format!("{warnings}the configuration is good\n"))?
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn print(settings: &Settings, json: bool) -> Result<ExitCode, Failure> {
    // What cannot be used is not printed as if it could.
    settings.check().map_err(Failure::usage)?;
    if json {
        print_json(&values(settings))?
    } else {
        super::print(&table(settings))?
    }
    Ok(ExitCode::SUCCESS)
}

fn values(settings: &Settings) -> serde_json::Map<String, serde_json::Value> {
    settings
        .iter()
        .map(|setting| {
            let value = json!({
                "value": setting.shown(),
                "from": setting.source.to_string(),
                "flag": format!("--{}", setting.flag),
            });
            (setting.key.to_owned(), value)
        })
        .chain(settings.routes().iter().zip(1..).flat_map(|(route, number)| {
            route.values.iter().map(move |(name, text)| {
                (format!("route.{number}.{name}"), json!({"value": text, "from": route.place}))
            })
        }))
        .chain(settings.resolvers().iter().zip(1..).flat_map(|(resolver, number)| {
            shown(resolver).into_iter().map(move |(name, text)| {
                (format!("resolver.{number}.{name}"), json!({"value": text, "from": resolver.place}))
            })
        }))
        .collect()
}

fn shown(resolver: &ResolverTable) -> Vec<(String, String)> {
    let values = resolver.values.iter().map(|(name, text)| ((*name).to_owned(), text.clone()));
    let command = (!resolver.command.is_empty()).then(|| ("command".to_owned(), resolver.command.join(" ")));
    let parameters = resolver.parameters.iter();
    let parameters = parameters.map(|(name, text)| (format!("parameters.{name}"), text.clone()));
    values.chain(command).chain(parameters).collect()
}

fn table(settings: &Settings) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["setting", "value", "from"]);
    for setting in settings.iter() {
        table.add_row([setting.key, &setting.shown(), setting.source.to_string().as_str()]);
    }
    for (route, number) in settings.routes().iter().zip(1..) {
        for (name, text) in &route.values {
            table.add_row([&format!("route.{number}.{name}"), text, &route.place]);
        }
    }
    for (resolver, number) in settings.resolvers().iter().zip(1..) {
        for (name, text) in shown(resolver) {
            table.add_row([&format!("resolver.{number}.{name}"), &text, &resolver.place]);
        }
    }
    format!("{}\n", table.trim_fmt())
}
