//! Lives worlds and says how it went: `cargo xtask torture`.

mod command;

use std::{
    fmt::Write as _,
    io::{self, Write},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use command::{Command, HELP, Torture};
use onceward_sim::{Census, Failure, Plan, Rules};

/// A world broke.
const FAILED: u8 = 1;

/// The arguments make no sense.
const USAGE: u8 = 2;

/// How often is said how far it is.
const PROGRESS_PERIOD: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let said = match Command::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => say(HELP).map(|()| ExitCode::SUCCESS),
        Ok(Command::Page) => print_page(),
        Ok(Command::Torture(torture)) => run(&torture),
        Err(fault) => {
            eprintln!("{fault}\n\n{HELP}");
            Ok(ExitCode::from(USAGE))
        }
    };
    match said {
        Ok(code) => code,
        Err(error) => {
            eprintln!("nobody listens: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn say(text: &str) -> io::Result<()> {
    io::stdout().write_all(text.as_bytes())
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn print_page() -> io::Result<ExitCode> {
    let plan = Plan { from: 0, seeds: onceward_sim::CI_SEEDS, threads: threads(), rules: Rules::default() };
    let (census, failure) = onceward_sim::torture(&plan, |_| true);
    let mistakes = onceward_sim::mistakes(&onceward_sim::controls(threads()));
    say(&format!("{}\n{mistakes}", onceward_sim::worlds(&census)))?;
    Ok(if failure.is_some() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn run(torture: &Torture) -> io::Result<ExitCode> {
    let began = Instant::now();
    let threads = torture.threads.unwrap_or_else(threads);
    let rules = Rules { without: torture.without, ..Rules::default() };
    // A time without a number of seeds is as many as it has room for.
    let seeds = torture.seeds.unwrap_or(if torture.minutes.is_some() {
        u64::MAX / 2
    } else {
        onceward_sim::CI_SEEDS
    });
    let plan = Plan { from: torture.from, seeds, threads, rules };
    let time_max = torture.minutes.map(|minutes| Duration::from_secs(minutes * 60));
    let mut said_at = began;
    let (census, failure) = onceward_sim::torture(&plan, |census| {
        if said_at.elapsed() >= PROGRESS_PERIOD {
            said_at = Instant::now();
            eprintln!("{}", progress(census, began.elapsed()));
        }
        time_max.is_none_or(|time_max| began.elapsed() < time_max)
    });
    let took = began.elapsed();
    let text = if torture.is_json {
        json(&census, took, threads, failure.as_ref())
    } else {
        report(&census, took, threads, failure.as_ref())
    };
    say(&text)?;
    Ok(if failure.is_some() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn progress(census: &Census, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    let (worlds, steps) = (census.worlds, census.steps);
    format!(
        "{worlds} seeds, {steps} steps, {:.0} seeds/s, {:.0} steps/s",
        worlds as f64 / seconds,
        steps as f64 / seconds
    )
}

fn report(census: &Census, took: Duration, threads: usize, failure: Option<&Failure>) -> String {
    let mut text = format!("{}, {} threads, {:.1} s\n", progress(census, took), threads, took.as_secs_f64());
    let (met, pairs) = census.pairs();
    text.push_str(&format!("met: {met} of {pairs} pairs of state and event\n"));
    for missing in census.missing() {
        text.push_str(&format!("not met: {missing}\n"));
    }
    if let Some(Failure { seed, rules, breach, lines }) = failure {
        let without: Vec<&str> = rules.without.iter().map(|fault| fault.as_str()).collect();
        text.push_str(&format!("\nFAILED seed {seed}: {breach}\n\n"));
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        let option =
            if without.is_empty() { String::new() } else { format!(" --without {}", without.join(",")) };
        text.push_str(&format!("\nagain: cargo xtask torture --from {seed} --seeds 1{option}\n"));
    }
    text
}

/// One object, its strings escaped by hand: nothing else here needs a library for it.
fn json(census: &Census, took: Duration, threads: usize, failure: Option<&Failure>) -> String {
    let (met, pairs) = census.pairs();
    let list = |values: &mut dyn Iterator<Item = String>| {
        values.map(|value| quoted(&value)).collect::<Vec<_>>().join(",")
    };
    let mut text = format!(
        "{{\"ok\":{},\"seeds\":{},\"steps\":{},\"seconds\":{:.3},\"threads\":{threads},\"pairs_met\":{met},\"pairs\":{pairs},\"not_met\":[{}]",
        failure.is_none(),
        census.worlds,
        census.steps,
        took.as_secs_f64(),
        list(&mut census.missing().into_iter()),
    );
    if let Some(Failure { seed, rules, breach, lines }) = failure {
        let without = list(&mut rules.without.iter().map(|fault| fault.as_str().to_owned()));
        let lines = list(&mut lines.iter().cloned());
        text.push_str(&format!(
            ",\"failure\":{{\"seed\":{seed},\"without\":[{without}],\"breach\":{},\"lines\":[{lines}]}}",
            quoted(&breach.to_string())
        ));
    }
    text.push_str("}\n");
    text
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            // Writing to a String cannot fail.
            letter if letter.is_control() => match write!(quoted, "\\u{:04x}", u32::from(letter)) {
                Ok(()) | Err(std::fmt::Error) => {}
            },
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use onceward_sim::{Breach, Fault, Faults};

    use super::*;

    fn failure() -> Failure {
        Failure {
            seed: 17,
            rules: Rules { without: Faults::none().with(Fault::Crash).with(Fault::Sleep), flaw: None },
            breach: Breach { key: Some(1), at_ms: 2_500, what: "effect number 2 of one wish".to_owned() },
            lines: vec!["    0.001 s  key 1: a \"line\"".to_owned()],
        }
    }

    #[test]
    fn a_failure_is_told_with_its_seed_and_how_to_see_it_again() {
        let told = report(&Census::default(), Duration::from_secs(2), 1, Some(&failure()));
        let expected = "
FAILED seed 17: effect number 2 of one wish (key 1), 2.500 s into the world

    0.001 s  key 1: a \"line\"

again: cargo xtask torture --from 17 --seeds 1 --without crash,sleep
";
        assert!(told.ends_with(expected), "{told}");
    }

    #[test]
    fn a_failure_is_part_of_the_object() {
        let told = json(&Census::default(), Duration::from_secs(2), 1, Some(&failure()));
        assert!(
            told.starts_with("{\"ok\":false,\"seeds\":0,\"steps\":0,\"seconds\":2.000,\"threads\":1,"),
            "{told}"
        );
        let expected = r#","failure":{"seed":17,"without":["crash","sleep"],"breach":"effect number 2 of one wish (key 1), 2.500 s into the world","lines":["    0.001 s  key 1: a \"line\""]}}
"#;
        assert!(told.ends_with(expected), "{told}");
    }

    #[test]
    fn a_string_is_quoted_as_json_has_it() {
        assert_eq!(quoted("a \"b\"\\\n"), r#""a \"b\"\\\u000a""#);
    }
}
