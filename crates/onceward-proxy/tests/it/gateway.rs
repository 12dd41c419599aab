//! The gateway between clients and instances of a service, all on loopback.

mod both_ways;
mod guarded;
mod heads;
mod heads_http2;
mod kit;
mod passing;
mod plain;
mod recorder;
mod servers;
mod tls;
mod upstreams;
mod verdicts;
