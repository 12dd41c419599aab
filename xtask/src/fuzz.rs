//! The fuzz targets: built with coverage counters, run beside one another for a time, their corpus kept.
//!
//! A stable compiler builds them: the counters are a pass of LLVM's that it can be asked for. What libFuzzer says stands in a log a target.

mod report;
mod seeds;

use std::{
    collections::HashSet,
    error::Error,
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::Instant,
};

use crate::{
    args::Fuzzing,
    debian,
    run::{Program, ProgramError},
    steps::Workshop,
};
use report::Report;

/// Seconds of one target where nothing else is said.
const SECONDS: u32 = 60;

/// Targets that run at once: one a core of the smallest machine that this runs on.
const AT_ONCE: usize = 2;

/// Bytes of an input. Every form that is read has its turns well before; longer inputs only take longer.
const INPUT_BYTES_MAX: &str = "-max_len=4096";

/// The same chance each time, so that CI does not fail by luck. A longer run goes further, and what an earlier one found leads elsewhere.
const SEED: &str = "-seed=1";

/// Seconds that one input may take, and MiB that a target may use: a body of 4 KiB that takes more is a finding.
const INPUT_TIME_MAX: &str = "-timeout=10";
const MEMORY_MAX: &str = "-rss_limit_mb=2048";

/// Bytes of an input that is kept. What is longer is mostly a seed with something changed, and soon found anew.
const KEPT_BYTES_MAX: usize = 512;

/// Takes the fewest inputs that pass all edges; how often each is passed would make ten times as many.
const MERGE: [&str; 2] = ["-set_cover_merge=1", "-use_counters=0"];

/// Counters of edges, and what comparisons compare with, for all that is built for the target; LLVM's `SanitizerCoverage`.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Builds the targets and runs those that were named, or all; ends with a table.
///
/// # Errors
/// What could not be built or run, or how many targets found something.
pub(crate) fn run(fuzzing: &Fuzzing, workshop: &Workshop) -> Result<(), Box<dyn Error>> {
    let places = Places::of(workshop)?;
    let targets = chosen(places.targets()?, &fuzzing.names)?;
    debian::install_cxx()?;
    let began = Instant::now();
    places.build(workshop)?;
    eprintln!("built in {:.0} s", began.elapsed().as_secs_f64());
    let seconds = fuzzing.seconds.map_or(SECONDS, NonZeroU32::get);
    let reports = at_once(&targets, |target| places.fuzz(target, seconds));
    let reports = reports.into_iter().collect::<Result<Vec<_>, _>>()?;
    print!("{}", report::table(&reports));
    if fuzzing.keeps {
        at_once(&targets, |target| places.keep(target)).into_iter().collect::<Result<(), _>>()?;
    }
    match reports.iter().filter(|report| report.finding.is_some()).count() {
        0 => Ok(()),
        1 => Err("one target found something".into()),
        findings => Err(format!("{findings} targets found something").into()),
    }
}

/// The step of `ci`.
pub(crate) fn step(workshop: &Workshop) -> Result<(), Box<dyn Error>> {
    run(&Fuzzing::default(), workshop)
}

fn chosen(targets: Vec<String>, names: &[String]) -> Result<Vec<String>, String> {
    if let Some(unknown) = names.iter().find(|name| !targets.contains(name)) {
        return Err(format!("there is no target `{unknown}`; there are {}", targets.join(", ")));
    }
    Ok(if names.is_empty() { targets } else { names.to_vec() })
}

/// Does the same for each, [`AT_ONCE`] of them at a time; the results are in no order.
fn at_once<T: Send>(targets: &[String], each: impl Fn(&str) -> T + Sync) -> Vec<T> {
    let left = Mutex::new(targets.iter());
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                // A thread that panicked ends the program when the scope does.
                while let Ok(Some(target)) = left.lock().map(|mut left| left.next()) {
                    let result = each(target);
                    if let Ok(mut results) = results.lock() {
                        results.push(result);
                    }
                }
            });
        }
    });
    results.into_inner().unwrap_or_default()
}

/// Where everything is.
struct Places {
    root: PathBuf,
    /// `fuzz/`.
    own: PathBuf,
    /// Below the build's folder: programs, logs, and inputs that are not kept.
    work: PathBuf,
    /// The kind of machine, as the compiler calls it.
    host: String,
}

impl Places {
    fn of(workshop: &Workshop) -> Result<Self, Box<dyn Error>> {
        let version = workshop.cargo(&["-vV"]).ask().unwrap_or_default();
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        Ok(Self {
            root: workshop.root.clone(),
            own: workshop.root.join("fuzz"),
            work: workshop.target_dir.join("fuzz"),
            host: host.ok_or("cargo does not say for which machine it builds")?.to_owned(),
        })
    }

    /// The names of all targets, one a file.
    fn targets(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let files = files(&self.own.join("targets"))?;
        let mut names: Vec<String> = (files.iter())
            .filter_map(|file| Some(file.file_name()?.to_str()?.strip_suffix(".rs")?.to_owned()))
            .collect();
        names.sort();
        Ok(names)
    }

    /// With `--target`, so that what the build itself runs is built without counters.
    fn build(&self, workshop: &Workshop) -> Result<(), ProgramError> {
        let manifest = self.own.join("Cargo.toml").display().to_string();
        let arguments = ["build", "--release", "--manifest-path", &manifest, "--target", &self.host];
        workshop.cargo(&arguments).with("CARGO_TARGET_DIR", &self.work).with("RUSTFLAGS", RUSTFLAGS).run()
    }

    fn program(&self, target: &str) -> PathBuf {
        self.work.join(&self.host).join("release").join(target)
    }

    /// A target that does not spend its time on the backtraces of errors.
    fn quick(&self, target: &str, arguments: &[&str]) -> Program {
        Program::new(self.program(target), arguments).with("RUST_LIB_BACKTRACE", "0")
    }

    /// A folder of a target's, made where it is not there.
    fn folder(&self, place: &Path, target: &str) -> Result<String, Box<dyn Error>> {
        let folder = place.join(target);
        fs::create_dir_all(&folder)?;
        Ok(folder.display().to_string())
    }

    /// Runs a target on what is kept, on the seeds, and then on what it makes of them.
    fn fuzz(&self, target: &str, seconds: u32) -> Result<Report, String> {
        self.fuzzed(target, seconds).map_err(|error| format!("{target}: {error}"))
    }

    fn fuzzed(&self, target: &str, seconds: u32) -> Result<Report, Box<dyn Error>> {
        let findings = self.work.join("findings").join(target);
        if findings.is_dir() {
            fs::remove_dir_all(&findings)?;
        }
        fs::create_dir_all(&findings)?;
        let [found, seeds, kept, regressions] = self.inputs(target)?;
        seeds::write(target, &self.root, Path::new(&seeds))?;
        let time = format!("-max_total_time={seconds}");
        let prefix = format!("-artifact_prefix={}/", findings.display());
        let limits =
            [INPUT_BYTES_MAX, INPUT_TIME_MAX, MEMORY_MAX, SEED, &time, &prefix, "-print_final_stats=1"];
        let folders = [&*found, &seeds, &kept, &regressions];
        let log = self.log(target)?;
        let code = self.quick(target, &[&limits[..], &folders].concat()).writing(&log)?.code()?;
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if code == 0 {
            return Ok(Report::read(target, &text, None));
        }
        let input = files(&findings)?.into_iter().next();
        Ok(Report::read(target, &text, Some(report::Finding::of(&self.program(target), input, &log)?)))
    }

    /// What was found here, the seeds, what is kept, and what once showed something.
    fn inputs(&self, target: &str) -> Result<[String; 4], Box<dyn Error>> {
        Ok([
            self.folder(&self.work.join("found"), target)?,
            self.folder(&self.work.join("seeds"), target)?,
            self.folder(&self.own.join("corpus"), target)?,
            self.folder(&self.own.join("regressions"), target)?,
        ])
    }

    fn log(&self, target: &str) -> Result<PathBuf, Box<dyn Error>> {
        let logs = self.work.join("logs");
        fs::create_dir_all(&logs)?;
        Ok(logs.join(format!("{target}.log")))
    }

    /// Makes the fewest inputs that reach as many edges as all together what is kept.
    fn keep(&self, target: &str) -> Result<(), String> {
        self.kept(target).map_err(|error| format!("{target}: {error}"))
    }

    fn kept(&self, target: &str) -> Result<(), Box<dyn Error>> {
        let [found, seeds, kept, regressions] = self.inputs(target)?;
        let fewest = self.work.join("fewest").join(target);
        if fewest.is_dir() {
            fs::remove_dir_all(&fewest)?;
        }
        fs::create_dir_all(&fewest)?;
        let named = fewest.display().to_string();
        let folders = [&*named, &seeds, &regressions, &kept, &found];
        let arguments = [&MERGE[..], &[INPUT_BYTES_MAX, MEMORY_MAX], &folders].concat();
        let log = self.log(target)?;
        let code = self.quick(target, &arguments).writing(&log)?.code()?;
        if code != 0 {
            return Err(format!("it ended with code {code}; see {}", log.display()).into());
        }
        // Seeds are there in every run.
        let seeds = files(Path::new(&seeds))?.iter().map(fs::read).collect::<Result<HashSet<_>, _>>()?;
        fs::remove_dir_all(&kept)?;
        fs::create_dir_all(&kept)?;
        for file in files(&fewest)? {
            let bytes = fs::read(&file)?;
            if bytes.len() <= KEPT_BYTES_MAX
                && !seeds.contains(&bytes)
                && let Some(name) = file.file_name()
            {
                fs::write(Path::new(&kept).join(name), bytes)?;
            }
        }
        Ok(())
    }
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_chosen_by_name_and_an_unknown_one_is_refused() {
        let all = || ["form", "key"].map(str::to_owned).to_vec();
        assert_eq!(chosen(all(), &[]), Ok(all()));
        assert_eq!(chosen(all(), &["key".to_owned()]), Ok(vec!["key".to_owned()]));
        let refused = "there is no target `kye`; there are form, key".to_owned();
        assert_eq!(chosen(all(), &["kye".to_owned()]), Err(refused));
    }

    #[test]
    fn each_is_done_once() {
        let names: Vec<String> = (0..7).map(|number| number.to_string()).collect();
        let mut done = at_once(&names, str::to_owned);
        done.sort();
        assert_eq!(done, names);
    }
}
