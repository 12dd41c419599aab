//! Records in Redis: the suite, on a server and on a Cluster.

mod suite;

use std::sync::Arc;

use onceward_store::{ManualClock, RedisDurability, RedisOptions, Shared};

use crate::kit;

pub(crate) async fn open(url: &str, prefix: &str, clock: &Arc<ManualClock>) -> Shared {
    let options = RedisOptions {
        prefix: prefix.to_owned(),
        durability: RedisDurability::Process,
        clock: Some(clock.clone()),
        ..RedisOptions::new(url, kit::SECRET_CHECK)
    };
    options.open().await.expect("a store")
}
