//! What `test` and `ci` consist of, and the table that they end with.

use std::{
    error::Error,
    ffi::OsString,
    fmt::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::{
    args::{Benchmarks, Part, Tests},
    bench, debian, examples, fuzz,
    run::{Program, ProgramError},
    tidy,
};

/// Where the work is done.
pub(crate) struct Workshop {
    /// The repository.
    pub(crate) root: PathBuf,
    pub(crate) target_dir: PathBuf,
    /// The cargo that runs us.
    pub(crate) cargo: PathBuf,
    /// The `PATH` that we were given.
    pub(crate) path: OsString,
}

pub(crate) type StepResult = Result<(), Box<dyn Error>>;

/// One row of the table.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    name: &'static str,
    run: fn(&Workshop) -> StepResult,
}

/// How a step ended.
pub(crate) struct Ended {
    name: &'static str,
    took: Duration,
    pub(crate) result: StepResult,
}

const RUST: Step = Step { name: "rust", run: rust_tests };
const DOC_TESTS: Step = Step { name: "doc-tests", run: doc_tests };
const SCHEDULES: Step = Step { name: "schedules", run: schedules };
const BROWSER: Step = Step { name: "browser", run: browser };
const DEMO: Step = Step { name: "demo", run: demo };
const EXAMPLES: Step = Step { name: "examples", run: examples::run };
const RECIPES: Step = Step { name: "recipes", run: recipes };
const BENCH: Step = Step { name: "bench", run: bench_smoke };
const FUZZ: Step = Step { name: "fuzz", run: fuzz::step };

/// What needs no build stands first, so that a slip shows within seconds.
const CHECKS: [Step; 4] = [
    Step { name: "fmt", run: fmt },
    Step { name: "tidy", run: |workshop| Ok(tidy::run(&workshop.root)?) },
    Step { name: "clippy", run: clippy },
    Step { name: "docs", run: docs },
];

/// The steps of `cargo xtask test`.
pub(crate) fn test(part: Option<Part>) -> Vec<Step> {
    match part {
        None => vec![RUST, DOC_TESTS, SCHEDULES, BROWSER, DEMO, EXAMPLES, RECIPES],
        Some(Part::Rust) => vec![RUST],
        Some(Part::DocTests) => vec![DOC_TESTS],
        Some(Part::Schedules) => vec![SCHEDULES],
        Some(Part::Browser) => vec![BROWSER],
        Some(Part::Demo) => vec![DEMO],
        Some(Part::Examples) => vec![EXAMPLES],
        Some(Part::Recipes) => vec![RECIPES],
    }
}

/// The steps of `cargo xtask ci`.
pub(crate) fn ci(tests: Tests) -> Vec<Step> {
    let mut steps = CHECKS.to_vec();
    match tests {
        Tests::Included => steps.extend(test(None)),
        Tests::DoneBefore => {}
    }
    steps.extend([BENCH, FUZZ]);
    steps
}

/// Runs every step, also after one has failed.
pub(crate) fn run_all(steps: &[Step], workshop: &Workshop) -> Vec<Ended> {
    let run_one = |step: &Step| {
        eprintln!("\n== {}", step.name);
        let began = Instant::now();
        let result = (step.run)(workshop);
        if let Err(error) = &result {
            eprintln!("== {} failed: {error}", step.name);
        }
        Ended { name: step.name, took: began.elapsed(), result }
    };
    steps.iter().map(run_one).collect()
}

/// The table of times, the failures, and the verdict in the last line.
pub(crate) fn report(ended: &[Ended]) -> String {
    let mut text = format!("\n{:<12} {:>8}  result\n", "step", "seconds");
    let mut row = |name: &str, took: Duration, result: &str| {
        let line = format!("{name:<12} {:>8.1}  {result}", took.as_secs_f64());
        text.push_str(line.trim_end());
        text.push('\n');
    };
    for step in ended {
        row(step.name, step.took, if step.result.is_ok() { "ok" } else { "FAILED" });
    }
    row("total", ended.iter().map(|step| step.took).sum(), "");
    let failures: Vec<String> = (ended.iter())
        .filter_map(|step| step.result.as_ref().err().map(|error| format!("{}: {error}", step.name)))
        .collect();
    for failure in &failures {
        text.push_str(&format!("\nFAILED {failure}"));
    }
    if !failures.is_empty() {
        text.push('\n');
    }
    let passed = ended.len() - failures.len();
    // Writing to a String cannot fail.
    match writeln!(text, "\nsteps: {passed} passed, {} failed", failures.len()) {
        Ok(()) | Err(std::fmt::Error) => text,
    }
}

fn fmt(workshop: &Workshop) -> StepResult {
    workshop.cargo(&["fmt", "--all", "--check"]).run()?;
    // A workspace of its own.
    Ok(workshop.cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]).run()?)
}

fn clippy(workshop: &Workshop) -> StepResult {
    let arguments = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    Ok(workshop.cargo(&arguments).run()?)
}

fn docs(workshop: &Workshop) -> StepResult {
    let arguments = ["doc", "--workspace", "--no-deps", "--all-features"];
    Ok(workshop.cargo(&arguments).with("RUSTDOCFLAGS", "-D warnings").run()?)
}

/// nextest runs each test in a process of its own and several at a time; cargo's own runner proves the same, slower.
fn rust_tests(workshop: &Workshop) -> StepResult {
    // The programs of the documents are run as their readers would.
    debian::install_python()?;
    let mut path = debian::install_node(workshop)?;
    path.push(":");
    path.push(debian::install_servers(workshop)?);
    let has_nextest = workshop.cargo(&["nextest", "--version"]).ask().is_some();
    let runner: &[&str] = if has_nextest {
        &["nextest", "run", "--no-fail-fast"]
    } else {
        &["test", "--no-fail-fast", "--lib", "--bins", "--tests"]
    };
    let cargo = workshop.cargo.display().to_string();
    // With one database server of each kind for all tests; those that break one start their own.
    let beside_servers = ["run", "--quiet", "--package", "onceward-testbed", "--", &cargo];
    let arguments = [&beside_servers, runner, &["--workspace", "--all-features"]].concat();
    Ok(workshop.cargo(&arguments).with("PATH", path).run()?)
}

fn doc_tests(workshop: &Workshop) -> StepResult {
    Ok(workshop.cargo(&["test", "--workspace", "--all-features", "--doc"]).run()?)
}

/// The memory store with shuttle's locks: a build of its own.
fn schedules(workshop: &Workshop) -> StepResult {
    let target = workshop.target_dir.join("schedules").display().to_string();
    let arguments = ["test", "--package", "onceward-schedules", "--test", "it", "--target-dir", &target];
    Ok(workshop.cargo(&arguments).with("RUSTFLAGS", "--cfg shuttle").run()?)
}

/// Chromium through the built binary, against a shop that counts its orders.
fn browser(workshop: &Workshop) -> StepResult {
    let binary = workshop.binary()?;
    let e2e = workshop.root.join("e2e");
    debian::install_openssl()?;
    let path = debian::install_node(workshop)?;
    let in_e2e =
        |name: &str, arguments: &[&str]| Program::new(name, arguments).within(&e2e).with("PATH", &path);
    in_e2e("npm", &["ci", "--no-audit", "--no-fund"]).run()?;
    if debian::install_chromium()? == debian::Chromium::NotPackaged {
        in_e2e("node", &["node_modules/playwright-core/cli.js", "install", "--with-deps", "chromium"])
            .run()?;
    }
    in_e2e("node", &["--test"]).run()?;
    Ok(in_e2e("node", &["run.mjs"]).with("ONCEWARD_BIN", &binary).run()?)
}

/// Recipes against the applications that they are for, which their proof installs itself.
fn recipes(workshop: &Workshop) -> StepResult {
    let binary = workshop.binary()?;
    debian::install_python()?;
    let proof = Program::new("python3", &["run.py"]).within(&workshop.root.join("e2e").join("recipes"));
    Ok(proof
        .with("PATH", &workshop.path)
        .with("CARGO_TARGET_DIR", &workshop.target_dir)
        .with("ONCEWARD_BIN", &binary)
        .with("PYTHONDONTWRITEBYTECODE", "1")
        .with("PIP_ROOT_USER_ACTION", "ignore")
        .run()?)
}

/// Every benchmark for a moment: that they run and yield their figures, whatever those are.
fn bench_smoke(workshop: &Workshop) -> StepResult {
    bench::run(&Benchmarks { is_smoke: true, ..Benchmarks::default() }, workshop)
}

/// The simulation at its full speed, with the arguments that its own program knows; says how that ended.
pub(crate) fn torture(arguments: &[String], workshop: &Workshop) -> Result<u8, ProgramError> {
    workshop.cargo(&["build", "--quiet", "--release", "--package", "onceward-sim"]).run()?;
    let program = workshop.target_dir.join("release").join("onceward-sim");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Program::new(program, &arguments).code()
}

/// Storms over the command as the crash tests have it, with the arguments that their own program knows; says how that ended.
pub(crate) fn storm(arguments: &[String], workshop: &Workshop) -> Result<u8, ProgramError> {
    let command = workshop.binary()?.display().to_string();
    workshop.cargo(&["build", "--quiet", "--package", "onceward-storm"]).run()?;
    let program = workshop.target_dir.join("debug").join("onceward-storm");
    let arguments: Vec<&str> =
        [command.as_str()].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    Program::new(program, &arguments).code()
}

fn demo(workshop: &Workshop) -> StepResult {
    let binary = workshop.binary()?;
    let stdout = Program::new(&binary, &["demo", "--json"]).output()?;
    Ok(judge_demo(&String::from_utf8_lossy(&stdout))?)
}

/// Holds the demo to its word: the last line is one object that says `"ok":true` over at least one scenario.
fn judge_demo(stdout: &str) -> Result<(), String> {
    let line = stdout.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let object: serde_json::Value = match serde_json::from_str(line) {
        Ok(object) => object,
        Err(error) => return Err(format!("the demo's last line is no JSON object ({error}): {line}")),
    };
    let is_ok = object.get("ok").and_then(serde_json::Value::as_bool) == Some(true);
    let scenarios = object.get("scenarios").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
    if is_ok && scenarios > 0 {
        Ok(())
    } else {
        Err(format!("the demo does not say that all is well: {line}"))
    }
}

impl Workshop {
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Program {
        Program::new(&self.cargo, arguments).within(&self.root).with("CARGO_TARGET_DIR", &self.target_dir)
    }

    /// Builds the command with the places at which a test may let it crash.
    ///
    /// Apart from the Rust tests' build: their test-only features (a clock that can be paused, exact numbers in JSON) must not
    /// be in what the browser meets.
    pub(crate) fn binary(&self) -> Result<PathBuf, ProgramError> {
        self.cargo(&["build", "--package", "onceward-cli", "--features", "crash-points"]).run()?;
        Ok(self.target_dir.join("debug").join("onceward"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_lists_times_then_failures_then_the_verdict() {
        let ended = [
            Ended { name: "fmt", took: Duration::from_millis(1_250), result: Ok(()) },
            Ended { name: "clippy", took: Duration::from_secs(75), result: Err("it broke".into()) },
        ];
        let expected = "
step          seconds  result
fmt               1.2  ok
clippy           75.0  FAILED
total            76.2

FAILED clippy: it broke

steps: 1 passed, 1 failed
";
        assert_eq!(report(&ended), expected);
    }

    #[test]
    fn every_step_runs_after_a_failure() {
        let workshop = Workshop {
            root: PathBuf::new(),
            target_dir: PathBuf::new(),
            cargo: PathBuf::new(),
            path: OsString::new(),
        };
        let steps = [Step { name: "a", run: |_| Err("no".into()) }, Step { name: "b", run: |_| Ok(()) }];
        let results: Vec<bool> = run_all(&steps, &workshop).iter().map(|step| step.result.is_ok()).collect();
        assert_eq!(results, [false, true]);
    }

    #[test]
    fn ci_holds_all_that_test_does_unless_that_was_done_before() {
        let names = |steps: Vec<Step>| steps.iter().map(|step| step.name).collect::<Vec<_>>();
        assert_eq!(
            names(test(None)),
            ["rust", "doc-tests", "schedules", "browser", "demo", "examples", "recipes"]
        );
        assert_eq!(names(ci(Tests::DoneBefore)), ["fmt", "tidy", "clippy", "docs", "bench", "fuzz"]);
        assert_eq!(
            names(ci(Tests::Included)),
            [
                "fmt",
                "tidy",
                "clippy",
                "docs",
                "rust",
                "doc-tests",
                "schedules",
                "browser",
                "demo",
                "examples",
                "recipes",
                "bench",
                "fuzz"
            ]
        );
    }

    #[test]
    fn the_demo_is_held_to_its_word() {
        assert_eq!(judge_demo("a table\n{\"scenarios\":[{\"name\":\"slow\"}],\"ok\":true}\n\n"), Ok(()));
        for lie in [
            "",
            "{\"scenarios\":[{\"name\":\"slow\"}],\"ok\":false}",
            "{\"scenarios\":[],\"ok\":true}",
            "{\"ok\":true}",
            "{\"scenarios\":[{}],\"ok\":true}\nbye",
        ] {
            assert!(judge_demo(lie).is_err(), "{lie}");
        }
    }
}
