//! Runs the lines of `examples/README.md` and holds what comes against what stands there, so that it says what is so.

mod readme;
mod service;

use std::{collections::BTreeMap, error::Error, fs, time::Duration};

use readme::Line;
use serde_json::Value;
use service::Service;

use crate::{
    debian,
    run::Program,
    steps::{StepResult, Workshop},
};

/// How long one line may take that asks a running service.
const ASK_TIME_MAX: Duration = Duration::from_secs(30);

/// Services to start, one before the other, and what to ask the last one.
#[derive(Debug, PartialEq, Eq)]
struct Story<'a> {
    name: &'a str,
    starts: Vec<&'a Line>,
    asks: Vec<&'a Line>,
}

/// Where the addresses lead that stand in the text.
type Addresses<'a> = BTreeMap<&'a str, String>;

/// Starts every example in turn and asks it everything.
pub(crate) fn run(workshop: &Workshop) -> StepResult {
    let text = fs::read_to_string(workshop.root.join("examples").join("README.md"))?;
    let sections = readme::sections(&text);
    let shell = Shell::new(workshop)?;
    let mut faults = Vec::new();
    for story in stories(&sections)? {
        eprintln!("-- {}", story.name);
        if let Err(error) = shell.play(&story) {
            faults.push(format!("{}: {error}", story.name));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
}

/// A section that only starts services is asked what the section says that only asks; one that does both is a story of its own.
fn stories(sections: &[readme::Section]) -> Result<Vec<Story<'_>>, String> {
    let mut stories = Vec::new();
    let mut shared = Vec::new();
    for section in sections {
        let (starts, asks): (Vec<_>, Vec<_>) =
            section.lines.iter().partition(|line| line.listening().is_some());
        if starts.is_empty() {
            shared.extend(asks);
        } else {
            stories.push(Story { name: &section.name, starts, asks });
        }
    }
    for story in stories.iter_mut().filter(|story| story.asks.is_empty()) {
        story.asks.clone_from(&shared);
    }
    match stories.iter().find(|story| story.asks.is_empty()) {
        None if !stories.is_empty() => Ok(stories),
        None => Err("examples/README.md starts nothing".to_owned()),
        Some(story) => Err(format!("examples/README.md asks {} nothing", story.name)),
    }
}

/// What the lines find when they run.
struct Shell<'a> {
    workshop: &'a Workshop,
    /// With the built command, and with Node.js.
    path: std::ffi::OsString,
}

impl<'a> Shell<'a> {
    fn new(workshop: &'a Workshop) -> Result<Self, Box<dyn Error>> {
        debian::install_openssl()?;
        debian::install_curl()?;
        debian::install_python()?;
        let node = debian::install_node(workshop)?;
        workshop.cargo(&["build", "--package", "onceward", "--examples"]).run()?;
        let binary = workshop.binary()?;
        let folders = [&workshop.cargo, &binary].into_iter().filter_map(|program| program.parent());
        let mut path = std::env::join_paths(folders)?;
        path.push(":");
        path.push(node);
        Ok(Self { workshop, path })
    }

    fn play(&self, story: &Story<'_>) -> StepResult {
        let mut addresses = Addresses::new();
        let mut services = Vec::new();
        let mut faults = Vec::new();
        for line in &story.starts {
            let documented = line.listening().unwrap_or_default();
            let command = start_command(&line.command, documented, &addresses);
            let service = Service::start(self.program(&executed(&command)))?;
            addresses.insert(documented, service.address().to_owned());
            services.push(service);
        }
        for line in &story.asks {
            if let Err(fault) = self.ask(line, &addresses) {
                faults.push(format!("$ {}\n{fault}", line.command));
            }
        }
        // The gateway before what it stands in front of.
        while let Some(service) = services.pop() {
            if let Err(fault) = service.stop() {
                faults.push(fault.to_string());
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
    }

    fn ask(&self, line: &Line, addresses: &Addresses<'_>) -> StepResult {
        let seconds = ASK_TIME_MAX.as_secs().to_string();
        let command = placed(&line.command, addresses);
        let output = self.at_home(Program::new("timeout", &[&seconds, "sh", "-c", &command])).output()?;
        Ok(judge(&line.expected, &String::from_utf8_lossy(&output))?)
    }

    fn program(&self, command: &str) -> Program {
        self.at_home(Program::new("sh", &["-c", command]))
    }

    fn at_home(&self, program: Program) -> Program {
        program
            .within(&self.workshop.root)
            .with("PATH", &self.path)
            .with("CARGO_TARGET_DIR", &self.workshop.target_dir)
            // Not those of whoever runs this.
            .with("ONCEWARD_STATE_DIR", self.workshop.target_dir.join("examples-state"))
            .with("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .with("PIP_ROOT_USER_ACTION", "ignore")
            .with("npm_config_update_notifier", "false")
    }
}

/// The command with the addresses that earlier services really have, and any free port in place of its own.
fn start_command(command: &str, documented: &str, addresses: &Addresses<'_>) -> String {
    let command = placed(command, addresses);
    let Some((host, port)) = documented.rsplit_once(':') else { return command };
    let command = command.replace(documented, &format!("{host}:0"));
    match command.strip_suffix(&format!(" {port}")) {
        Some(rest) => format!("{rest} 0"),
        None => command,
    }
}

fn placed(command: &str, addresses: &Addresses<'_>) -> String {
    addresses.iter().fold(command.to_owned(), |command, (documented, real)| command.replace(documented, real))
}

/// The command with its last program in the shell's own place, so that a signal to it reaches the service.
fn executed(command: &str) -> String {
    match command.rsplit_once(" && ") {
        Some((before, last)) => format!("{before} && exec {last}"),
        None => format!("exec {command}"),
    }
}

/// Every line that is expected comes; of an object, every member.
fn judge(expected: &[String], actual: &str) -> Result<(), String> {
    let has = |line: &String| match serde_json::from_str::<Value>(line) {
        Ok(wanted @ Value::Object(_)) => actual.lines().any(|actual| holds(actual, &wanted)),
        Ok(_) | Err(_) => actual.lines().any(|actual| is_same(actual.trim_end(), line)),
    };
    match expected.iter().find(|line| !has(line)) {
        None => Ok(()),
        Some(line) => Err(format!("does not say: {line}\nbut:\n{actual}")),
    }
}

/// The names of fields have no case.
fn is_same(actual: &str, wanted: &str) -> bool {
    match (actual.split_once(": "), wanted.split_once(": ")) {
        (Some((actual, value)), Some((wanted, wanted_value))) => {
            actual.eq_ignore_ascii_case(wanted) && value == wanted_value
        }
        _ => actual == wanted,
    }
}

fn holds(actual: &str, wanted: &Value) -> bool {
    let Ok(actual) = serde_json::from_str::<Value>(actual) else { return false };
    wanted
        .as_object()
        .is_some_and(|wanted| wanted.iter().all(|(name, value)| actual.get(name) == Some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Examples

## axum

```console
$ run axum -- 8080
listening on http://127.0.0.1:8080
```

## Express

```console
$ install && node server.mjs 3000
listening on http://127.0.0.1:3000
```

```console
$ onceward gateway --upstream http://127.0.0.1:3000 --listen 127.0.0.1:8080
listening on http://127.0.0.1:8080
```

## Ask

```console
$ curl http://127.0.0.1:8080/
ok
```

## gRPC

```console
$ run tonic 8080
listening on http://127.0.0.1:8080
```

```console
$ call
grpc-status: 0
```
";

    #[test]
    fn services_are_asked_the_shared_lines_or_their_own() {
        let sections = readme::sections(TEXT);
        let told: Vec<_> = stories(&sections)
            .unwrap()
            .into_iter()
            .map(|story| (story.name.to_owned(), story.starts.len(), story.asks[0].command.clone()))
            .collect();
        let curl = || "curl http://127.0.0.1:8080/".to_owned();
        let expected = [("axum", 1, curl()), ("Express", 2, curl()), ("gRPC", 1, "call".to_owned())]
            .map(|(name, starts, ask)| (name.to_owned(), starts, ask));
        assert_eq!(told, expected);
        let silent = readme::sections("## axum\n```console\n$ run\nlistening on http://127.0.0.1:1\n```\n");
        assert_eq!(stories(&silent), Err("examples/README.md asks axum nothing".to_owned()));
        assert_eq!(stories(&[]), Err("examples/README.md starts nothing".to_owned()));
    }

    #[test]
    fn ports_are_free_ones_and_addresses_real() {
        let mut addresses = Addresses::new();
        let first = start_command("install && node server.mjs 3000", "127.0.0.1:3000", &addresses);
        assert_eq!(first, "install && node server.mjs 0");
        assert_eq!(executed(&first), "install && exec node server.mjs 0");
        addresses.insert("127.0.0.1:3000", "127.0.0.1:45678".to_owned());
        let second = start_command(
            "gateway --upstream http://127.0.0.1:3000 --listen 127.0.0.1:8080",
            "127.0.0.1:8080",
            &addresses,
        );
        assert_eq!(second, "gateway --upstream http://127.0.0.1:45678 --listen 127.0.0.1:0");
        assert_eq!(executed(&second), format!("exec {second}"));
    }

    #[test]
    fn an_answer_says_at_least_what_stands_there() {
        let actual =
            "HTTP/1.1 201 Created\r\nage: 0\r\nintent-status: replayed\r\n\r\n{\"id\":\"tr_1\",\"epoch\":7}";
        let say = |lines: &[&str]| {
            judge(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), actual).is_ok()
        };
        assert!(say(&["HTTP/1.1 201 Created", "Intent-Status: replayed", "{\"id\":\"tr_1\"}"]));
        assert!(!say(&["HTTP/1.1 201 Created", "Intent-Status: committed"]));
        assert!(!say(&["HTTP/1.1 200 OK"]));
        assert!(!say(&["{\"id\":\"tr_2\"}"]));
        assert!(!say(&["{\"id\":\"tr_1\",\"to\":\"b\"}"]));
    }
}
