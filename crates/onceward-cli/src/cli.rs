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
        .subcommand(gateway())
        .subcommand(check())
        .subcommand(ca())
        .subcommand(effects())
        .subcommand(resolve())
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
        &[TakenBy::All, TakenBy::Authority, TakenBy::Proxy, TakenBy::Server],
    )
}

fn gateway() -> Command {
    with_flags(
        Command::new("gateway")
            .about("Run the gateway in front of your own service")
            .after_help(
                "Examples:\n  onceward gateway --upstream http://127.0.0.1:3000\n  \
                 onceward gateway --upstream http://10.0.0.1:3000 --upstream http://10.0.0.2:3000 --health-path /healthz\n  \
                 onceward gateway --upstream h2c://127.0.0.1:50051 --tls-cert cert.pem --tls-key key.pem --require-key",
            )
            .arg(json()),
        &[TakenBy::All, TakenBy::Gateway, TakenBy::Server],
    )
}

fn check() -> Command {
    let value = |name: &'static str, value_name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value_name).help(help)
    };
    let secret = |arg: Arg, variable: &'static str| arg.env(variable).hide_env_values(true);
    Command::new("check")
        .about("Judge any server against a profile: does a repeated request take effect once?")
        .after_help(
            "It sends requests that write, each of which may take effect, and asks before it does.\n\
             Exit status: 0 when no case failed, 1 when one did, 2 when the command line is wrong.\n\n\
             Examples:\n  onceward check http://127.0.0.1:8080 --path /orders --yes\n  \
             onceward check https://api.example/v1/charges --profile stripe-v1 --actor 'Authorization: Bearer sk_test' \\\n    \
             --content-type application/x-www-form-urlencoded --body charge.txt --json",
        )
        .arg(Arg::new("url").required(true).value_name("URL").help("The server, and perhaps the path"))
        .arg(value("path", "PATH", "An operation that writes, by POST [default: the URL's path]"))
        .arg(
            value("profile", "NAME", "The contract that it is held against")
                .default_value("onceward")
                .value_parser(clap::builder::PossibleValuesParser::new(onceward_drill::Suite::names())),
        )
        .arg(value("body", "FILE|JSON", "What is sent [default: a small JSON object]"))
        .arg(value("other-body", "FILE|JSON", "Another one that the server accepts, for cases of a request that differs"))
        .arg(value("content-type", "TYPE", "The media type of both [default: application/json]").requires("body"))
        .arg(secret(
            value("header", "'NAME: VALUE'", "A field of every request; may be given several times").action(ArgAction::Append),
            "ONCEWARD_CHECK_HEADER",
        ))
        .arg(secret(value("actor", "'NAME: VALUE'", "The caller's credentials"), "ONCEWARD_CHECK_ACTOR"))
        .arg(secret(
            value("other-actor", "'NAME: VALUE'", "Those of another caller, who must not see the first one's"),
            "ONCEWARD_CHECK_OTHER_ACTOR",
        ))
        .arg(
            value("ca", "FILE", "Certificates (PEM) that the server's may be issued under, beside the system's")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            Arg::new("insecure")
                .long("insecure")
                .action(ArgAction::SetTrue)
                .conflicts_with("ca")
                .help("Take any certificate"),
        )
        .arg(Arg::new("yes").long("yes").action(ArgAction::SetTrue).help("Do not ask"))
        .arg(json())
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
    Command::new("effects")
        .about("What was executed, and what is in doubt")
        .subcommand_required(true)
        .subcommand(with_flags(
            Command::new("list")
                .about("List remembered effects, newest key first")
                .arg(Arg::new("in-doubt").long("in-doubt").action(ArgAction::SetTrue).help("Only those whose outcome is unknown"))
                .arg(Arg::new("actor").long("actor").value_name("TAG").help("Only of this actor, by its tag from `--json`"))
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
        .subcommand(with_flags(export(), &takes))
        .subcommand(with_flags(erase(), &takes))
}

fn export() -> Command {
    Command::new("export")
        .about("Write what is remembered as JSON Lines, or the audit log")
        .after_help(
            "The audit log comes as it was written, its seals included, oldest line first.\n\n\
             Examples:\n  onceward effects export > effects.jsonl\n  onceward effects export --audit --key order-17",
        )
        .arg(Arg::new("audit").long("audit").action(ArgAction::SetTrue).help("The audit log instead of the effects"))
        .arg(Arg::new("key").long("key").value_name("KEY").help("Only of this key, as it was sent or by its tag"))
}

fn erase() -> Command {
    Command::new("erase")
        .about("Erase the answers, requests and wordings kept of an actor's effects; what happened stays known")
        .after_help(
            "Nothing runs again by it: a retry is told that its effect happened and that the answer is not kept. The audit log stays.\n\n\
             Examples:\n  onceward effects list --json\n  \
             onceward effects erase --actor 5f2c9a01b7de4433 --because 'the customer asked for it' --yes",
        )
        .arg(
            Arg::new("actor")
                .long("actor")
                .value_name("TAG")
                .required(true)
                .help("Whose, by the tag from `effects list --json`"),
        )
        .arg(because())
        .arg(Arg::new("yes").long("yes").action(ArgAction::SetTrue).help("Do not ask"))
        .arg(json())
}

fn because() -> Arg {
    Arg::new("because")
        .long("because")
        .value_name("TEXT")
        .required(true)
        .help("The reason, for the audit log")
}

fn resolve() -> Command {
    let file = |name: &'static str, value_name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value_name).value_parser(value_parser!(PathBuf)).help(help)
    };
    Command::new("resolve")
        .about("Recipes, by which the program finds out what became of an effect in doubt")
        .subcommand_required(true)
        .subcommand(Command::new("recipes").about("List the recipes that come with the program").arg(json()))
        .subcommand(
            Command::new("try")
                .about("Show the look that a recipe makes of a request, and judge an answer by it; nothing is sent")
                .after_help(
                    "Both files are HTTP messages, as `curl -i` writes them; the request's first line has the whole address.\n\
                     Exit status: 0 when the answer tells, 1 when it is unclear, 2 when a file or the recipe is wrong.\n\n\
                     Examples:\n  onceward resolve try redmine --request lost.http\n  \
                     onceward resolve try ./shop.toml --request lost.http --against answer.http --claimed-at 2026-11-21T12:00:00Z",
                )
                .arg(Arg::new("recipe").required(true).value_name("RECIPE").help("Its name, or a file"))
                .arg(file("request", "FILE", "The request whose answer was lost").required(true))
                .arg(file("against", "FILE", "The site's answer to the look"))
                .arg(
                    Arg::new("parameter")
                        .long("parameter")
                        .value_name("NAME=VALUE")
                        .action(ArgAction::Append)
                        .help("What the recipe wants to be told; may be given several times"),
                )
                .arg(
                    Arg::new("claimed-at")
                        .long("claimed-at")
                        .value_name("TIME")
                        .help("When the request was claimed [default: a minute before the answer's Date]"),
                )
                .arg(json()),
        )
}

fn store() -> Command {
    let takes = [TakenBy::All];
    Command::new("store")
        .about("Where effects are remembered")
        .subcommand_required(true)
        .subcommand(with_flags(
            Command::new("migrate")
                .about("Make the tables of a database, or complete those of an earlier release")
                .arg(
                    Arg::new("print")
                        .long("print")
                        .action(ArgAction::SetTrue)
                        .help("Print the SQL for a tool of your own, and touch nothing"),
                )
                .arg(
                    Arg::new("role")
                        .long("role")
                        .value_name("NAME")
                        .requires("print")
                        .help("Add the rights that this role needs to use the store, and no others"),
                )
                .arg(json()),
            &takes,
        ))
        .subcommand(with_flags(
            Command::new("verify")
                .about("Read every page and every record, and say what is wrong")
                .arg(json()),
            &takes,
        ))
        .subcommand(with_flags(Command::new("stats").about("Count what is remembered").arg(json()), &takes))
        .subcommand(with_flags(barrier(), &takes))
}

fn barrier() -> Command {
    Command::new("barrier")
        .about("Show the history barrier, or raise it after a backup was put back")
        .after_help(
            "Keys that were issued before the barrier and are unknown are refused: their records may be what was lost. It never falls.\n\n\
             Examples:\n  onceward store barrier\n  onceward store barrier --raise --yes",
        )
        .arg(Arg::new("raise").long("raise").action(ArgAction::SetTrue).help("Raise it, to the present where --at says nothing else"))
        .arg(
            Arg::new("at")
                .long("at")
                .value_name("TIME")
                .requires("raise")
                .help("Up to when records may be lost, such as 2026-11-21T12:00:00Z; no later than the present"),
        )
        .arg(Arg::new("yes").long("yes").requires("raise").action(ArgAction::SetTrue).help("Do not ask"))
        .arg(json())
}

fn config() -> Command {
    let takes = [TakenBy::All, TakenBy::Authority, TakenBy::Proxy, TakenBy::Gateway, TakenBy::Server];
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
