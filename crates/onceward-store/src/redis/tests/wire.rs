//! What lies between this process and its server: answers that get lost, balancers that lead elsewhere, TLS.

use onceward_testbed::Wire;

use super::*;

/// The server hears everything and its answers are lost. Sent again over another connection each swap finds itself, and a claim by
/// others finds it, too.
// covers: L11
#[tokio::test]
async fn swaps_whose_answers_are_lost_are_made_once() {
    let server = server(Keeping::Always);
    let wire = Wire::to(server.address()).expect("a wire");
    let database = open(&format!("redis://{}", wire.address())).await;
    for round in 0..3 {
        wire.swallow();
        let numbers = (round * 20..round * 20 + 20).collect::<Vec<_>>();
        let batch = numbers.iter().map(|number| claim(*number, 1)).collect::<Vec<_>>();
        for lost in database.exchange(batch.clone().into(), NOW).await.expect("answers") {
            assert!(matches!(lost, Swapped::Unknown { .. }), "{lost:?}");
        }
        assert_eq!(database.exchange(batch.into(), NOW).await.expect("answers"), vec![Swapped::Done; 20]);
        let others = numbers.iter().map(|number| claim(*number, 2)).collect();
        let found = numbers.iter().map(|number| Swapped::Found(Some(stored(&row(*number, 1, 0)))));
        assert_eq!(database.exchange(others, NOW).await.expect("answers"), found.collect::<Vec<_>>());
    }
    assert_eq!(database.survey().await.expect("a survey").rows, [0, 60, 0, 0, 0]);
}

/// A balancer leads to a replica that was promoted, and then back to the old master: each is another history.
// covers: T5
#[tokio::test]
async fn a_server_behind_a_balancer_is_known_by_its_history() {
    let (first, second) = (server(Keeping::Always), server(Keeping::Always));
    let wire = Wire::to(first.address()).expect("a wire");
    let lax = RedisOptions { strict: false, ..options(&format!("redis://{}", wire.address())) };
    let database = lax.connect().await.expect("a server");
    assert_eq!(exchanged(&database, claim(1, 1)).await, Swapped::Done);
    second.follow(&first).expect("a replica");
    second.ask(&["REPLICAOF", "NO", "ONE"]).expect("promoted");
    wire.lead_to(second.address());
    wire.cut();
    let unknown = persistently(&database, claim(2, 1)).await;
    assert_eq!(unknown, Swapped::History { barrier: NOW });
    assert_eq!(exchanged(&database, claim(1, 2)).await, Swapped::Found(Some(stored(&row(1, 1, 0)))));
    // The old master knows of nothing, and would grant what its successor granted.
    wire.lead_to(first.address());
    wire.cut();
    drop(exchanged(&database, claim(2, 1)).await);
    let old = exchanged(&database, claim(2, 1)).await;
    assert!(matches!(old, Swapped::Unavailable { .. }), "{old:?}");
    // An empty server, whatever it says of itself.
    let third = server(Keeping::Always);
    wire.lead_to(third.address());
    wire.cut();
    let later = Timestamp::from_ms(NOW.as_ms() + 1);
    let swap = claim_by(1, 3, Some(NOW));
    assert_eq!(persistently_at(&database, swap, later).await, Swapped::History { barrier: later });
}

/// With the authority's certificate the server is entered, without it not.
#[tokio::test]
async fn tls_is_checked_against_the_authority() {
    let (server, certificate) = Redis::start_with_tls(Keeping::Always).expect("a server");
    let url = format!("rediss://localhost:{}", server.address().port());
    let trusting = RedisOptions { authority_pem: Some(certificate.into_bytes()), ..options(&url) };
    let database = trusting.connect().await.expect("trusted");
    assert_eq!(exchanged(&database, claim(1, 1)).await, Swapped::Done);
    let RedisConnectError::Unavailable { finding, .. } = refused(options(&url)).await else {
        panic!("unavailable")
    };
    assert_eq!(finding, "the server cannot be reached");
}
