//! Heads and bodies with two readings: what the gateway makes of each, and what other servers would (S6).

use serde::Deserialize;

use super::{
    kit::Running,
    recorder::{Recorder, strictly},
    servers::Servers,
};

/// One row of `heads.json`.
#[derive(Deserialize)]
struct Case {
    name: String,
    /// The bytes of a connection, a character a byte; a well-formed request to `/next` follows them.
    raw: String,
    /// The statuses of the gateway's answers.
    answers: Vec<u16>,
    /// What the service gets to read.
    forwarded: Vec<String>,
}

impl Case {
    fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("heads.json")).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        let raw = self.raw.chars().map(|character| u8::try_from(u32::from(character)).unwrap());
        raw.chain(*b"GET /next HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").collect()
    }
}

// covers: S6, K1, K2, K4
#[tokio::test]
async fn what_has_two_readings_goes_no_further_and_claims_nothing() {
    let mut others = Vec::new();
    for case in Case::all() {
        let service = Recorder::open().await;
        let gateway = Running::start(&[&service.url()]).await;
        let answers = gateway.talk(&case.bytes()).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        let claims = service.heard().iter().filter(|heard| !heard.all("idempotency-key").is_empty()).count();
        let came = (statuses, service.told(), gateway.records().await);
        if came != (case.answers, case.forwarded, claims) {
            others.push((case.name, came));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}

// covers: S6
#[tokio::test]
async fn what_two_servers_read_differently_is_not_forwarded() {
    let servers = Servers::start().await;
    let (mut differing, mut wrong) = (Vec::new(), Vec::new());
    for case in Case::all() {
        let mut readings = servers.readings(&case.bytes()).await;
        readings.push(("strict", strictly(&case.bytes()).await));
        let first = &readings[0].1;
        if readings.iter().any(|(_, reading)| reading != first) {
            if !case.forwarded.is_empty() {
                wrong.push((case.name.clone(), case.forwarded, readings));
            }
            differing.push(case.name);
        } else if case.answers == [200; 2] && case.forwarded != *first {
            wrong.push((case.name, case.forwarded, readings));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(differing.len() >= 10, "the corpus has bite: {differing:?}");
}
