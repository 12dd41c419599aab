//! Every metric, declared in one place (A2). No key, actor, host or path is ever a label.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
    time::Duration,
};

use onceward_store::{Link, Tally};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, text},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

/// Seconds: the buckets that OpenTelemetry's semantic conventions advise for request durations.
const SECONDS_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Seconds: store operations take from a microsecond (memory) to an fsync (a few milliseconds) to a network's time-out.
const STORE_SECONDS_BUCKETS: [f64; 12] =
    [0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabel {
    verdict: &'static str,
}

/// Resolvers are as many as the configuration names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookLabels {
    resolver: String,
    sight: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    op: &'static str,
    store: &'static str,
}

/// Instances have numbers here: their addresses are no labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabel {
    upstream: usize,
}

/// What a gateway knows of one instance of the service behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamSeen {
    /// Whether it gets requests.
    pub is_up: bool,
    /// Requests that were handed to it, those that did not reach it among them.
    pub requests: u64,
    /// Of these, how many found no connection to it.
    pub connect_failures: u64,
}

/// The counters of one engine, and the registry that writes them out.
pub struct Telemetry {
    registry: Registry,
    upstreams: Arc<Upstreams>,
    requests: Family<OutcomeLabel, Counter>,
    durations: Histogram,
    resolutions: Family<VerdictLabel, Counter>,
    looks: Family<LookLabels, Counter>,
    posts: Family<ResultLabel, Counter>,
    twins: Family<OutcomeLabel, Counter>,
    oldest_doubt: Gauge<f64, AtomicU64>,
    swept: Family<OutcomeLabel, Counter>,
    store_seconds: Family<OperationLabels, Histogram, fn() -> Histogram>,
    store_errors: Family<OperationLabels, Counter>,
    unprotected: Counter,
    audit_lost: Counter,
    effects_after_release: Counter,
    running: Gauge,
    waiting: Gauge,
    self_test_ok: Gauge<f64, AtomicU64>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telemetry(..)")
    }
}

impl Telemetry {
    /// All at zero, but for what the store counts itself.
    pub(crate) fn new(tally: &Arc<Tally>, link: Option<&Arc<Link>>) -> Self {
        let store_histogram: fn() -> Histogram = || Histogram::new(STORE_SECONDS_BUCKETS);
        let mut telemetry = Self {
            registry: Registry::with_prefix("onceward"),
            upstreams: Arc::default(),
            requests: Family::default(),
            durations: Histogram::new(SECONDS_BUCKETS),
            resolutions: Family::default(),
            looks: Family::default(),
            posts: Family::default(),
            twins: Family::default(),
            oldest_doubt: Gauge::default(),
            swept: Family::default(),
            store_seconds: Family::new_with_constructor(store_histogram),
            store_errors: Family::default(),
            unprotected: Counter::default(),
            audit_lost: Counter::default(),
            effects_after_release: Counter::default(),
            running: Gauge::default(),
            waiting: Gauge::default(),
            self_test_ok: Gauge::default(),
        };
        telemetry.register(tally);
        telemetry.register_upstreams();
        if let Some(link) = link {
            telemetry.register_link(link);
        }
        telemetry
    }

    fn register(&mut self, tally: &Arc<Tally>) {
        let registry = &mut self.registry;
        registry.register("requests", "Keyed requests by what became of them", self.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a keyed request's arrival to its answer",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("in_doubt", "Effects that fell into doubt, by reason", Doubts(Arc::clone(tally)));
        registry.register("in_doubt_records", "Effects in doubt now", InDoubt(Arc::clone(tally)));
        registry.register("resolutions", "Verdicts on effects in doubt", self.resolutions.clone());
        registry.register(
            "looks",
            "Looks of resolvers at effects in doubt, by what they saw",
            self.looks.clone(),
        );
        registry.register(
            "verdict_posts",
            "Verdicts posted to a webhook, by what became of them",
            self.posts.clone(),
        );
        registry.register(
            "twins",
            "Requests on routes that tell by meaning, beyond those that met nothing, by what became of them",
            self.twins.clone(),
        );
        registry.register_with_unit(
            "doubt_oldest",
            "Age of the oldest effect in doubt, 0 where none is",
            Unit::Seconds,
            self.oldest_doubt.clone(),
        );
        registry.register("lease_lapsed", "Claims whose lease lapsed", LeasesLapsed(Arc::clone(tally)));
        registry.register(
            "swept",
            "Records and marks that age changed, by what they became",
            self.swept.clone(),
        );
        registry.register_with_unit(
            "store_operation_duration",
            "Time of store operations",
            Unit::Seconds,
            self.store_seconds.clone(),
        );
        registry.register("store_errors", "Store operations that failed", self.store_errors.clone());
        registry.register(
            "unprotected_writes",
            "Requests with an unsafe method that carried no key and were passed through",
            self.unprotected.clone(),
        );
        registry.register(
            "audit_events_lost",
            "Audit events that could not be queued",
            self.audit_lost.clone(),
        );
        registry.register(
            "effect_after_release",
            "Effects that were answered after a verdict of absence had released their key",
            self.effects_after_release.clone(),
        );
        registry.register("running", "Effects that run now", self.running.clone());
        registry.register("waiting", "Duplicates that wait now", self.waiting.clone());
        registry.register(
            "self_test_ok",
            "1 when a replay was proven against this store at start",
            self.self_test_ok.clone(),
        );
    }

    /// What a store on a shared database counts of its way there.
    fn register_link(&mut self, link: &Arc<Link>) {
        let registry = &mut self.registry;
        let count = |read| LinkCount(Arc::clone(link), read);
        let gauge = |read| LinkGauge(Arc::clone(link), read);
        registry.register(
            "store_breaker_state",
            "0: operations go to the database; 1: one does, as a probe; 2: none does",
            gauge(|link| link.breaker() as u64),
        );
        registry.register(
            "store_breaker_openings",
            "Times that the database was given up on for a moment",
            count(Link::breaker_openings),
        );
        registry.register(
            "store_breaker_refusals",
            "Database operations refused while it was given up on",
            count(Link::refusals),
        );
        registry.register(
            "store_repetitions",
            "Database operations sent once more after a failure",
            count(Link::repetitions),
        );
        registry.register(
            "store_timeouts",
            "Database operations without an answer in time",
            count(Link::timeouts),
        );
        registry.register("store_exchanges", "Exchanges of rows with the database", count(Link::exchanges));
        registry.register("store_swaps", "Rows changed or looked at by exchanges", count(Link::swaps));
        registry.register("store_swaps_queued", "Swaps that wait or are under way now", gauge(Link::queued));
        registry.register(
            "store_clock_steps",
            "Steps of the database server's clock that this process undid",
            count(Link::clock_steps),
        );
    }

    /// What a gateway knows of its instances, as it is when somebody asks.
    fn register_upstreams(&mut self) {
        let registry = &mut self.registry;
        let count = |read| UpstreamCount(Arc::clone(&self.upstreams), read);
        registry.register(
            "upstream_up",
            "1 for an instance of the service that gets requests, else 0",
            UpstreamUp(Arc::clone(&self.upstreams)),
        );
        registry.register(
            "upstream_requests",
            "Requests handed to an instance of the service",
            count(|seen| seen.requests),
        );
        registry.register(
            "upstream_connect_failures",
            "Requests that found no connection to their instance",
            count(|seen| seen.connect_failures),
        );
    }

    /// Shows among the metrics what `look` says of a gateway's instances, always in the same order.
    pub fn watch_upstreams(&self, look: impl Fn() -> Vec<UpstreamSeen> + Send + Sync + 'static) {
        self.upstreams.looks.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(look));
    }

    /// What is known now of the instances behind this engine's gateway; empty where it has none.
    #[must_use]
    pub fn upstreams(&self) -> Vec<UpstreamSeen> {
        self.upstreams.seen()
    }

    /// All metrics in OpenMetrics text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        match text::encode(&mut text, &self.registry) {
            Ok(()) | Err(fmt::Error) => text,
        }
    }

    /// Counts a request that no key protected.
    pub fn count_unprotected(&self) {
        self.unprotected.inc();
    }

    pub(crate) fn count_request(&self, outcome: &'static str, took: Duration) {
        self.requests.get_or_create(&OutcomeLabel { outcome }).inc();
        self.durations.observe(took.as_secs_f64());
    }

    pub(crate) fn count_resolution(&self, verdict: &'static str) {
        self.resolutions.get_or_create(&VerdictLabel { verdict }).inc();
    }

    pub(crate) fn count_look(&self, resolver: &str, sight: &'static str) {
        self.looks.get_or_create(&LookLabels { resolver: resolver.to_owned(), sight }).inc();
    }

    /// Counts a verdict that was posted to a webhook (D2).
    pub fn count_post(&self, result: &'static str) {
        self.posts.get_or_create(&ResultLabel { result }).inc();
    }

    pub(crate) fn count_twin(&self, became: &'static str) {
        self.twins.get_or_create(&OutcomeLabel { outcome: became }).inc();
    }

    pub(crate) fn set_oldest_doubt(&self, age: Duration) {
        self.oldest_doubt.set(age.as_secs_f64());
    }

    pub(crate) fn count_swept(&self, swept: onceward_store::Swept) {
        self.swept.get_or_create(&OutcomeLabel { outcome: "expired" }).inc_by(swept.expired);
        self.swept.get_or_create(&OutcomeLabel { outcome: "forgotten" }).inc_by(swept.forgotten);
        self.swept.get_or_create(&OutcomeLabel { outcome: "mark-forgotten" }).inc_by(swept.marks);
    }

    pub(crate) fn observe_store(&self, op: &'static str, store: &'static str, took: Duration, ok: bool) {
        let labels = OperationLabels { op, store };
        self.store_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        if !ok {
            self.store_errors.get_or_create(&labels).inc();
        }
    }

    pub(crate) fn count_audit_lost(&self) {
        self.audit_lost.inc();
    }

    /// Counts an effect that happened after a verdict of absence had released its key (L13).
    pub fn count_effect_after_release(&self) {
        self.effects_after_release.inc();
    }

    pub(crate) fn set_self_test(&self, ok: bool) {
        self.self_test_ok.set(if ok { 1.0 } else { 0.0 });
    }

    pub(crate) fn running(&self) -> GaugeGuard {
        GaugeGuard::raise(&self.running)
    }

    pub(crate) fn waiting(&self) -> GaugeGuard {
        GaugeGuard::raise(&self.waiting)
    }
}

/// Counts one thing for as long as it lives.
#[derive(Debug)]
pub(crate) struct GaugeGuard(Gauge);

impl GaugeGuard {
    fn raise(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Doubts by reason, as the store counts them.
#[derive(Debug)]
struct Doubts(Arc<Tally>);

impl EncodeMetric for Doubts {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.doubts().into_iter().try_for_each(|(reason, count)| {
            ConstCounter::new(count).encode(encoder.encode_family(&ReasonLabel { reason })?)
        })
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// What is in doubt now, as the store counts it.
#[derive(Debug)]
struct InDoubt(Arc<Tally>);

impl EncodeMetric for InDoubt {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        ConstGauge::new(self.0.in_doubt()).encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

/// Lapsed leases, as the store counts them.
#[derive(Debug)]
struct LeasesLapsed(Arc<Tally>);

impl EncodeMetric for LeasesLapsed {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        ConstCounter::new(self.0.leases_lapsed()).encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// A number of the way to the database that only rises.
#[derive(Debug)]
struct LinkCount(Arc<Link>, fn(&Link) -> u64);

impl EncodeMetric for LinkCount {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        let Self(link, read) = self;
        ConstCounter::new(read(link)).encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// A number of the way to the database as it is now.
#[derive(Debug)]
struct LinkGauge(Arc<Link>, fn(&Link) -> u64);

impl EncodeMetric for LinkGauge {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        let Self(link, read) = self;
        ConstGauge::new(read(link)).encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

/// Where to look for the instances behind each gateway of the engine.
#[derive(Default)]
struct Upstreams {
    looks: RwLock<Vec<Look>>,
}

type Look = Box<dyn Fn() -> Vec<UpstreamSeen> + Send + Sync>;

impl Upstreams {
    fn seen(&self) -> Vec<UpstreamSeen> {
        self.looks.read().unwrap_or_else(PoisonError::into_inner).iter().flat_map(|look| look()).collect()
    }

    /// The instances with their labels: in the order of the configuration, from 1.
    fn labelled(&self) -> impl Iterator<Item = (UpstreamLabel, UpstreamSeen)> {
        (1..).map(|upstream| UpstreamLabel { upstream }).zip(self.seen())
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upstreams(..)")
    }
}

/// A number of each instance that only rises.
#[derive(Debug)]
struct UpstreamCount(Arc<Upstreams>, fn(&UpstreamSeen) -> u64);

impl EncodeMetric for UpstreamCount {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Self(upstreams, read) = self;
        upstreams.labelled().try_for_each(|(label, seen)| {
            ConstCounter::new(read(&seen)).encode(encoder.encode_family(&label)?)
        })
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }

    fn is_empty(&self) -> bool {
        self.0.seen().is_empty()
    }
}

/// Whether each instance gets requests.
#[derive(Debug)]
struct UpstreamUp(Arc<Upstreams>);

impl EncodeMetric for UpstreamUp {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.labelled().try_for_each(|(label, seen)| {
            ConstGauge::new(i64::from(seen.is_up)).encode(encoder.encode_family(&label)?)
        })
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }

    fn is_empty(&self) -> bool {
        self.0.seen().is_empty()
    }
}
