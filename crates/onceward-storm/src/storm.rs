//! One storm from its first gateway to its verdict.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::Command,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use onceward_sim::Chance;
use tempfile::TempDir;

use crate::{
    client::ask,
    gateway::{Gateway, LEASE, Running},
    history::{Operation, Saw, explain},
    report::Report,
    service::Service,
};

/// How many ask for one key.
const AGENTS_PER_KEY: usize = 3;

/// How many keys are asked for at the same time.
const KEYS_AT_ONCE: usize = 2;

/// How often each of them asks, until it has an answer.
const ASKS_MAX: usize = 4;

/// The pause before an agent asks again, in milliseconds at the most.
const PAUSE_MS_MAX: u64 = 150;

/// How long an agent looks for a gateway that listens.
const GATEWAY_TIME_MAX: Duration = Duration::from_secs(60);

/// The pause before an agent looks for a gateway again.
const LOOK_PERIOD: Duration = Duration::from_millis(10);

/// Several gateways over one store in bad weather.
#[derive(Clone, Debug)]
pub struct Storm {
    /// The command `onceward`, built with its feature `crash-points`.
    pub program: PathBuf,
    /// The address of a database that is this storm's alone; without one, the gateway has a file of its own.
    pub store: Option<String>,
    /// Decides the service's whims, the gateways' lives and the agents' pauses; not how threads and processes take turns.
    pub seed: u64,
}

/// What those who take part in a storm share.
struct Course {
    began: Instant,
    service: Service,
    gateways: Vec<Gateway>,
    is_calm: AtomicBool,
    next: AtomicUsize,
    histories: Mutex<Vec<Vec<Operation>>>,
    report: Mutex<Report>,
}

impl Storm {
    /// Lives through it and judges what everybody saw.
    ///
    /// # Errors
    /// The first key whose history no record explains, with that history; and whatever kept the storm from being held.
    pub fn run(&self) -> Result<Report> {
        let home = tempfile::tempdir().context("a state directory")?;
        let course = self.course(&home)?;
        let running = self.live(&course)?;
        // What a dead gateway held lapses before anybody asks for the last time.
        thread::sleep(LEASE * 2);
        let keys = lock(&course.histories).len();
        for key in 0..keys {
            self.ask_at_last(&course, key)?;
        }
        running.into_iter().try_for_each(Running::stop)?;
        let histories = std::mem::take(&mut *lock(&course.histories));
        for (key, history) in histories.iter().enumerate() {
            self.judge(&course, key, history)?;
        }
        self.command(&home, &["store", "verify"])?;
        Ok(std::mem::take(&mut *lock(&course.report)))
    }

    /// How many gateways there are: a file is one process's.
    fn gateways(&self) -> usize {
        if self.store.is_some() { 2 } else { 1 }
    }

    fn course(&self, home: &TempDir) -> Result<Course> {
        if self.store.is_some() {
            self.command(home, &["store", "migrate"])?;
        }
        let service = Service::start(Chance::of(self.seed))?;
        let upstream = format!("http://{}", service.address);
        let gateways = (0..self.gateways()).map(|number| self.gateway(home, number, &upstream));
        Ok(Course {
            began: Instant::now(),
            gateways: gateways.collect::<Result<_>>()?,
            service,
            is_calm: AtomicBool::new(false),
            next: AtomicUsize::new(0),
            histories: Mutex::default(),
            report: Mutex::default(),
        })
    }

    fn gateway(&self, home: &TempDir, number: usize, upstream: &str) -> Result<Gateway> {
        // Another process may take it before the gateway does; then that one says so.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let address = address.context("a gateway needs a port")?;
        let lease = format!("{}s", LEASE.as_secs());
        let arguments =
            ["gateway", "--listen", &address.to_string(), "--upstream", upstream, "--lease", &lease]
                .into_iter()
                .chain(["--wait", "2s"])
                .map(str::to_owned)
                .chain(self.surroundings(home))
                .collect();
        let log = home.path().join(format!("gateway-{number}.log"));
        Ok(Gateway { program: self.program.clone(), arguments, address, log })
    }

    /// The state and the store that all of them share.
    fn surroundings(&self, home: &TempDir) -> Vec<String> {
        let state = home.path().join("state").display().to_string();
        let store = self.store.iter().flat_map(|store| [String::from("--store"), store.clone()]);
        [String::from("--state-dir"), state].into_iter().chain(store).collect()
    }

    /// Runs a command over the store, which must succeed.
    fn command(&self, home: &TempDir, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.program);
        let output = command.args(arguments).args(self.surroundings(home)).env_clear().output();
        let output = output.with_context(|| format!("{} does not start", self.program.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        bail!("onceward {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&said));
    }

    /// Lets agents ask until the bad weather is over; the gateways that stand after it.
    fn live(&self, course: &Course) -> Result<Vec<Running>> {
        thread::scope(|scope| {
            let skies: Vec<_> = (0..course.gateways.len())
                .map(|number| scope.spawn(move || self.sky(course, number)))
                .collect();
            let agents: Vec<_> = (0..AGENTS_PER_KEY * KEYS_AT_ONCE)
                .map(|number| scope.spawn(move || self.agent(course, number)))
                .collect();
            let running: Vec<Result<Running>> = skies.into_iter().map(joined).collect();
            course.is_calm.store(true, Ordering::Release);
            let asked: Vec<Result<()>> = agents.into_iter().map(joined).collect();
            asked.into_iter().collect::<Result<()>>()?;
            running.into_iter().collect()
        })
    }

    /// The weather over one gateway.
    fn sky(&self, course: &Course, number: usize) -> Result<Running> {
        let gateway = course.gateways.get(number).context("no such gateway")?;
        let mut chance = Chance::of(self.seed ^ (number as u64 + 1) << 32);
        // Some fates apart, so that not all are gone at once.
        gateway.weather(number * 3, &mut chance, &course.is_calm, |fate| {
            *lock(&course.report).fates.entry(fate).or_default() += 1;
        })
    }

    fn agent(&self, course: &Course, number: usize) -> Result<()> {
        let asked = self.ask_until_calm(course, &mut Chance::of(self.seed ^ (number as u64 + 1) << 40));
        if asked.is_err() {
            course.is_calm.store(true, Ordering::Release);
        }
        asked
    }

    /// Takes one place after another among those who ask for the keys.
    fn ask_until_calm(&self, course: &Course, chance: &mut Chance) -> Result<()> {
        while !course.is_calm.load(Ordering::Acquire) {
            let key = course.next.fetch_add(1, Ordering::Relaxed) / AGENTS_PER_KEY;
            for _ in 0..ASKS_MAX {
                let saw = self.ask(course, key, chance)?;
                if matches!(saw, Saw::Ran(_) | Saw::Told(_)) {
                    break;
                }
                thread::sleep(Duration::from_millis(chance.below(PAUSE_MS_MAX)));
            }
        }
        Ok(())
    }

    /// Asks any gateway that listens, and writes down what that saw.
    fn ask(&self, course: &Course, key: usize, chance: &mut Chance) -> Result<Saw> {
        let began = Instant::now();
        while began.elapsed() < GATEWAY_TIME_MAX {
            let number = chance.below(course.gateways.len() as u64);
            let gateway = usize::try_from(number).ok().and_then(|number| course.gateways.get(number));
            let gateway: SocketAddr = gateway.context("no such gateway")?.address;
            let called = course.began.elapsed();
            if let Some(saw) = ask(gateway, &self.key(key))? {
                let operation = Operation { called, returned: course.began.elapsed(), saw };
                course.write_down(key, operation);
                return Ok(saw);
            }
            thread::sleep(LOOK_PERIOD);
        }
        bail!("no gateway listens for {} s", GATEWAY_TIME_MAX.as_secs())
    }

    fn ask_at_last(&self, course: &Course, key: usize) -> Result<()> {
        let saw = self.ask(course, key, &mut Chance::of(self.seed))?;
        if matches!(saw, Saw::Ran(_) | Saw::Told(_) | Saw::Unknown) {
            return Ok(());
        }
        bail!("nothing is wrong any more, and {} is answered with {saw:?}", self.key(key))
    }

    fn judge(&self, course: &Course, key: usize, history: &[Operation]) -> Result<()> {
        let bookings = course.service.bookings(&self.key(key));
        let mut report = lock(&course.report);
        report.keys += 1;
        report.bookings += bookings.len();
        if explain(history, &bookings) {
            return Ok(());
        }
        let told: Vec<String> = history
            .iter()
            .map(|operation| {
                let Operation { called, returned, saw } = operation;
                format!("  {:8.3} s to {:8.3} s: {saw:?}", called.as_secs_f64(), returned.as_secs_f64())
            })
            .collect();
        let (key, seed) = (self.key(key), self.seed);
        bail!(
            "seed {seed}: no record explains what was seen of {key}, booked as {bookings:?}:\n{}",
            told.join("\n")
        )
    }

    fn key(&self, number: usize) -> String {
        format!("storm-{}-{number}", self.seed)
    }
}

impl Course {
    fn write_down(&self, key: usize, operation: Operation) {
        lock(&self.report).count(operation.saw);
        let mut histories = lock(&self.histories);
        if histories.len() <= key {
            histories.resize_with(key + 1, Vec::new);
        }
        if let Some(history) = histories.get_mut(key) {
            history.push(operation);
        }
    }
}

/// What is written down here is whole after each statement.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|panic| anyhow!("a thread failed: {:?}", panic.downcast_ref::<&str>()))?
}
