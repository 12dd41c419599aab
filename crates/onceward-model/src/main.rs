//! Prints `docs/model.md` on the standard output, and the figures of the visit on the standard error.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

use onceward_model::{Broken, EVENTS, HEAD, Met, Sights, Story, Visited, WORLDS};

fn main() -> ExitCode {
    let began = Instant::now();
    let (visited, sights, worlds) = onceward_model::worlds();
    report_worlds(&visited, &sights);
    let sections = [onceward_model::shipped(), onceward_model::planted(), onceward_model::limits()];
    let mut page = format!("{HEAD}{worlds}");
    for (told, section) in &sections {
        report_stories(told);
        page.push_str(section);
    }
    eprintln!("{} s in all", began.elapsed().as_secs());
    match io::stdout().write_all(page.as_bytes()) {
        Ok(())
            if visited.len() == WORLDS.len() && visited.iter().all(|visited| visited.broken.is_empty()) =>
        {
            ExitCode::SUCCESS
        }
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the page could not be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report_worlds(visited: &[Visited], sights: &Sights) {
    for Visited { name, scenes, steps, depth, broken, about: _ } in visited {
        eprintln!("{name}: {scenes} scenes, {steps} steps, the longest way {depth}, broken {}", broken.len());
    }
    for met in Met::ALL {
        for (event, name) in EVENTS.iter().enumerate() {
            for (decision, count) in sights.decided(met, event) {
                eprintln!("{met} + {name} -> {decision}: {count}");
            }
        }
    }
}

fn report_stories(told: &[(Broken, Story)]) {
    for (broken, story) in told {
        eprintln!("{}: {} lines, {} scenes", broken.world.name, story.lines.len(), story.scenes);
    }
}
