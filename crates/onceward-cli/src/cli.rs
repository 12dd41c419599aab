//! The command line.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, value_parser};

use crate::settings::{TakenBy, with_flags};

/// The whole command line, from which help, completions and the manual page come.
pub(crate) fn command() -> Command {
    Command::new("onceward")
        .about("Every web effect once: makes the retries of AI agents safe")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(
            Arg::new("log")
                .long("log")
                .global(true)
                .env("ONCEWARD_LOG")
                .default_value("warn")
                .value_name("FILTER")
                .help("What is logged to standard error: a level, or tracing directives"),
        )
        .subcommand(demo())
        .subcommand(proxy())
        .subcommand(ca())
        .subcommand(effects())
        .subcommand(store())
        .subcommand(config())
        .subcommand(
            Command::new("completions")
                .about("Print a completion script")
                .arg(Arg::new("shell").required(true).value_parser(value_parser!(clap_complete::Shell))),
        )
        .subcommand(Command::new("man").about("Print the manual page"))
}

fn json() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Write JSON for machines")
}

fn demo() -> Command {
    Command::new("demo")
        .about("Watch an agent retry an order, without and with onceward")
        .after_help(
            "Needs no browser and no set-up, stays on this machine, and takes less than a minute.\n\n\
                     Examples:\n  onceward demo\n  onceward demo --json",
        )
        .arg(json())
}

fn proxy() -> Command {
    with_flags(
        Command::new("proxy")
            .about("Run the forward proxy that a browser or an agent is pointed at")
            .after_help(
                "Examples:\n  onceward proxy\n  onceward proxy --listen 127.0.0.1:0 --json\n  \
                 onceward proxy --intercept shop.example,*.pay.example --retention 7d",
            )
            .arg(json()),
        &[TakenBy::All, TakenBy::Authority, TakenBy::Proxy],
    )
}

fn ca() -> Command {
    let takes = [TakenBy::Authority];
    Command::new("ca")
        .about("The certificate authority that interception uses")
        .subcommand_required(true)
        .subcommand(with_flags(
            Command::new("show").about("Show the authority and how clients trust it").arg(json()),
            &takes,
        ))
        .subcommand(with_flags(
            Command::new("export")
                .about("Write the authority's certificate")
                .after_help("Example:\n  onceward ca export --format der --output onceward.der")
                .arg(Arg::new("format").long("format").value_parser(["pem", "der"]).default_value("pem"))
                .arg(
                    Arg::new("output")
                        .long("output")
                        .short('o')
                        .value_name("FILE")
                        .value_parser(value_parser!(PathBuf))
                        .help("Where to write [default: standard output]"),
                )
                .arg(json()),
            &takes,
        ))
        .subcommand(with_flags(
            Command::new("trust")
                .about("Add the authority to this user's NSS database, which Chromium and Firefox read")
                .after_help("Asks before it changes anything, unless --yes is given; --remove takes it back.")
                .arg(Arg::new("yes").long("yes").action(ArgAction::SetTrue).help("Do not ask"))
                .arg(
                    Arg::new("remove")
                        .long("remove")
                        .action(ArgAction::SetTrue)
                        .help("Remove the authority again"),
                )
                .arg(json()),
            &takes,
        ))
}

fn effects() -> Command {
    let takes = [TakenBy::All];
    let key = || {
        Arg::new("key")
            .required(true)
            .value_name("KEY")
            .help("The key as it was sent, or its tag from `effects list`")
    };
    let operation = || {
        Arg::new("effect")
            .long("effect")
            .value_name("ID")
            .help("Which one, where the key has several: its id from `effects show`")
    };
    let because = || {
        Arg::new("because")
            .long("because")
            .value_name("TEXT")
            .required(true)
            .help("The reason, for the audit log")
    };
    Command::new("effects")
        .about("What was executed, and what is in doubt")
        .subcommand_required(true)
        .subcommand(with_flags(
            Command::new("list")
                .about("List remembered effects, newest key first")
                .arg(Arg::new("in-doubt").long("in-doubt").action(ArgAction::SetTrue).help("Only those whose outcome is unknown"))
                .arg(Arg::new("limit").long("limit").value_parser(value_parser!(usize)).default_value("100").help("How many at the most"))
                .arg(json()),
            &takes,
        ))
        .subcommand(with_flags(Command::new("show").about("Show the effects of a key, with their audit log").arg(key()).arg(json()), &takes))
        .subcommand(with_flags(
            Command::new("resolve")
                .about("Say what became of an effect in doubt")
                .after_help(
                    "--absent means now and for ever: nothing of the first request may still be on its way.\n\n\
                     Examples:\n  onceward effects resolve order-17 --happened --because 'order 4711 is in the shop'\n  \
                     onceward effects resolve order-17 --absent --because 'the shop confirmed by phone'",
                )
                .arg(key())
                .arg(Arg::new("happened").long("happened").action(ArgAction::SetTrue).help("It happened"))
                .arg(Arg::new("absent").long("absent").action(ArgAction::SetTrue).help("It did not happen and never will"))
                .group(clap::ArgGroup::new("verdict").args(["happened", "absent"]).required(true))
                .arg(
                    Arg::new("attempt")
                        .long("attempt")
                        .value_name("N")
                        .value_parser(value_parser!(u64))
                        .help("Which attempt was looked at, from `effects show`; refused if another is in doubt by now"),
                )
                .arg(because())
                .arg(operation())
                .arg(json()),
            &takes,
        ))
        .subcommand(with_flags(
            Command::new("cancel")
                .about("Give an effect up: what has not run never will, what is in doubt stays so")
                .arg(key())
                .arg(because())
                .arg(operation())
                .arg(json()),
            &takes,
        ))
}

fn store() -> Command {
    let takes = [TakenBy::All];
    Command::new("store")
        .about("The file in which effects are remembered")
        .subcommand_required(true)
        .subcommand(with_flags(
            Command::new("verify")
                .about("Read every page and every record, and say what is wrong")
                .arg(json()),
            &takes,
        ))
        .subcommand(with_flags(Command::new("stats").about("Count what is remembered").arg(json()), &takes))
}

fn config() -> Command {
    let takes = [TakenBy::All, TakenBy::Authority, TakenBy::Proxy];
    Command::new("config")
        .about("The configuration that a run would have")
        .subcommand_required(true)
        .subcommand(with_flags(
            Command::new("check").about("Check it, and say where what is wrong").arg(json()),
            &takes,
        ))
        .subcommand(with_flags(
            Command::new("print").about("Print each value with where it came from").arg(json()),
            &takes,
        ))
}
