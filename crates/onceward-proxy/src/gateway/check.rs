//! Asks the instances of the service whether they are well.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request};
use http_body_util::Empty;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::balance::Instance;
use super::health::Sighting;
use super::limits::CHECK_TIME_MAX;
use super::origins::Origins;

/// How instances are asked whether they are well: with a `GET`, which any status from 200 to 399 answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked for.
    pub path: PathAndQuery,
    /// From one check of an instance to its next.
    pub interval: Duration,
}

impl HealthCheck {
    /// Checks all instances for ever.
    pub(super) async fn run(&self, origins: &Origins) -> Infallible {
        join_all(origins.balance().instances().iter().map(|instance| self.watch(origins, instance))).await;
        std::future::pending().await
    }

    async fn watch(&self, origins: &Origins, instance: &Instance) -> Infallible {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let time = self.interval.min(CHECK_TIME_MAX);
            let is_well = matches!(timeout(time, self.is_well(origins, instance)).await, Ok(Ok(true)));
            let sighting = if is_well { Sighting::CheckPassed } else { Sighting::CheckFailed };
            instance.note(sighting, Instant::now());
        }
    }

    async fn is_well(
        &self,
        origins: &Origins,
        instance: &Instance,
    ) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        let request = Request::get(instance.url.uri(self.path.clone())?)
            .header(HOST, origins.own_host(instance)?)
            .header(USER_AGENT, HeaderValue::from_static("onceward-health"))
            .body(Empty::<Bytes>::new())?;
        let status = origins.upstream().forward(request).await?.status();
        Ok(status.is_success() || status.is_redirection())
    }
}
