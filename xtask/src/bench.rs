//! Builds and installs what a benchmark needs, and runs it.

use std::{error::Error, path::PathBuf};

use crate::{
    args::Benchmarks,
    debian,
    run::{Program, ProgramError},
    steps::Workshop,
};

/// Runs the benchmarks; the figures go to standard output.
pub(crate) fn run(benchmarks: &Benchmarks, workshop: &Workshop) -> Result<(), Box<dyn Error>> {
    let path = debian::install_bench_tools(workshop)?;
    let built = if benchmarks.is_smoke { Built::for_smoke(workshop)? } else { Built::to_measure(workshop)? };
    // On the disk of the build, for a temporary folder may be memory.
    let scratch = workshop.target_dir.join("bench");
    let (onceward, scratch) = (built.onceward.to_string_lossy(), scratch.to_string_lossy());
    let mut arguments = vec!["--onceward", &*onceward, "--scratch", &*scratch];
    arguments.extend(benchmarks.names.iter().map(String::as_str));
    arguments.extend(benchmarks.is_smoke.then_some("--smoke"));
    arguments.extend(benchmarks.is_json.then_some("--json"));
    Ok(Program::new(built.harness, &arguments).with("PATH", path).run()?)
}

/// The built programs.
struct Built {
    harness: PathBuf,
    onceward: PathBuf,
}

impl Built {
    /// As its users have it. One build after the other: together, each would get the other's features.
    fn to_measure(workshop: &Workshop) -> Result<Self, ProgramError> {
        workshop.cargo(&["build", "--release", "--package", "onceward-cli"]).run()?;
        workshop.cargo(&["build", "--release", "--package", "onceward-benches"]).run()?;
        let folder = workshop.target_dir.join("release");
        Ok(Self { harness: folder.join("onceward-bench"), onceward: folder.join("onceward") })
    }

    /// A smoke run says nothing about speed, so it takes what the other tests have built already.
    fn for_smoke(workshop: &Workshop) -> Result<Self, ProgramError> {
        let onceward = workshop.binary()?;
        workshop.cargo(&["build", "--package", "onceward-benches"]).run()?;
        Ok(Self { harness: workshop.target_dir.join("debug").join("onceward-bench"), onceward })
    }
}
