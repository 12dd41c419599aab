//! Gateways side by side.

use anyhow::Result;

use super::drive;
use crate::{
    figures::{Sample, Unit},
    h2load, http, peer,
    peer::{Gateway, Wire},
    plan::Plan,
    rounds::{Case, Contender},
    stand::Stand,
    target::{Measure, Target},
    wrk::{Load, Requests},
};

pub(super) const ABOUT: &str = "\
Gateways before an nginx that answers at once, connections kept on both sides, one worker or thread each. The gateway has one core; the load \
generator (wrk, for HTTP/2 h2load) and the origin share the other. `direct` is the origin alone on the gateway's core. haproxy, nginx and \
`onceward` pass unguarded requests on; `onceward, guarded` claims each key in the memory store, runs it, and keeps its answer. nginx has the buffers \
that it comes with, which spill a large answer to the disk, and for the download wider ones, too.";

const DIRECT: &str = "direct";
const HAPROXY: &str = "haproxy";
const NGINX: &str = "nginx";
const NGINX_WIDE: &str = "nginx, 64 kB buffers";
const ONCEWARD: &str = "onceward";
const GUARDED: &str = "onceward, guarded";

/// What memory may grow by while 100 MB pass, in MB: buffers and threads that wake up for the first time, and no part of the body.
const GROWTH_MB_MAX: f64 = 8.0;

/// One load.
#[derive(Clone, Copy)]
struct Trial {
    wire: Wire,
    connections: usize,
    work: Work,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Get,
    Post,
    Download,
}

pub(super) fn cases<'a>(stand: &'a Stand, plan: &'a Plan) -> Result<Vec<Case<'a>>> {
    peer::lay_out(stand, plan.download_bytes)?;
    let at_least =
        |peer: &'static str, bound| Target { contender: ONCEWARD, measure: Measure::RateTo(peer, bound) };
    let as_peers = || vec![at_least(HAPROXY, 1.0), at_least(NGINX, 1.0)];
    let connections = plan.connections;
    let mut cases = Vec::new();
    for &connections in plan.connections_varied {
        let trial = Trial { wire: Wire::Http1, connections, work: Work::Get };
        cases.push(trial.case(stand, plan, format!("GET, {connections} connections"), as_peers()));
    }
    let post = Trial { wire: Wire::Http1, connections, work: Work::Post };
    let guarded = Target { contender: GUARDED, measure: Measure::RateTo(NGINX, 0.7) };
    let load = format!("POST of 200 bytes, a key each, {connections} connections");
    cases.push(post.case(stand, plan, load, vec![guarded]));
    let download = Trial { wire: Wire::Http1, connections: 1, work: Work::Download };
    let targets =
        vec![at_least(NGINX, 1.0), Target { contender: ONCEWARD, measure: Measure::GrowthMb(GROWTH_MB_MAX) }];
    let load = format!("download of {} MB, 1 connection", plan.download_bytes / 1_000_000);
    cases.push(download.case(stand, plan, load, targets));
    let tls = Trial { wire: Wire::Tls, connections, work: Work::Get };
    cases.push(tls.case(stand, plan, format!("GET over TLS, {connections} connections"), as_peers()));
    let http2 = Trial { wire: Wire::Http2, connections: h2load::CONNECTIONS, work: Work::Get };
    let load = format!("GET over HTTP/2, {} connections of {} streams", h2load::CONNECTIONS, h2load::STREAMS);
    cases.push(http2.case(stand, plan, load, as_peers()));
    Ok(cases)
}

impl Trial {
    fn case<'a>(self, stand: &'a Stand, plan: &'a Plan, load: String, targets: Vec<Target>) -> Case<'a> {
        let contender =
            |name, gateway| Contender { name, sample: Box::new(move || self.sample(stand, plan, gateway)) };
        let onceward = if self.work == Work::Post { GUARDED } else { ONCEWARD };
        let mut contenders = vec![
            contender(DIRECT, None),
            contender(HAPROXY, Some(Gateway::Haproxy)),
            contender(NGINX, Some(Gateway::Nginx)),
            contender(onceward, Some(Gateway::Onceward)),
        ];
        let mut unit = Unit::Request;
        if self.work == Work::Download {
            unit = Unit::Megabyte;
            contenders.push(contender(NGINX_WIDE, Some(Gateway::NginxWide)));
        }
        Case { load, unit, contenders, targets }
    }

    fn sample(self, stand: &Stand, plan: &Plan, gateway: Option<Gateway>) -> Result<Sample> {
        let (origin, server);
        match gateway {
            None => {
                origin = None;
                server = peer::origin(stand, stand.server_core, self.wire)?;
            }
            Some(gateway) => {
                let before = peer::origin(stand, stand.generator_core, Wire::Http1)?;
                server = gateway.start(stand, self.wire, before.address)?;
                origin = Some(before);
            }
        }
        if self.work == Work::Post && gateway == Some(Gateway::Onceward) {
            http::prove_replay(server.address)?;
        }
        let scheme = if self.wire == Wire::Tls { "https" } else { "http" };
        let path = match self.work {
            Work::Get | Work::Post => "/orders",
            Work::Download => "/large",
        };
        let url = format!("{scheme}://{}{path}", server.address);
        let driven = drive(&server, plan, |stretch| {
            if self.wire == Wire::Http2 {
                return h2load::run(stand, &url, stretch.seconds);
            }
            let requests = match self.work {
                Work::Get | Work::Download => Requests::Plain,
                Work::Post => Requests::Unique { prefix: stretch.key_prefix },
            };
            Load { url: url.clone(), connections: self.connections, seconds: stretch.seconds, requests }
                .run(stand)
        })?;
        drop(origin);
        Ok(match self.work {
            Work::Get | Work::Post => driven.sample(),
            // wrk's latencies are those of whole answers here, of which there are a few.
            Work::Download => {
                Sample { count: driven.answered.bytes as f64 / 1e6, latency: None, ..driven.sample() }
            }
        })
    }
}
