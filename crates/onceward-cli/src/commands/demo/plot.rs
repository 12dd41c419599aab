//! What goes wrong between the agent and the shop, and how the agent repeats its order.

use std::{pin::pin, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use super::{
    agent::{Agent, Heard},
    proxy::Proxy,
    shop::Shop,
};

/// How long an impatient agent waits for an answer to an order that the shop has booked. Agents wait seconds; what follows is the same.
const PATIENCE: Duration = Duration::from_millis(150);

/// A way for an answer to stay away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plot {
    /// The agent repeats what was not answered with an order.
    Repeat,
    /// It does not wait for the answer, except the last time.
    Impatience,
    /// It sends all at once, as a double click does.
    AtOnce,
    /// Its connection breaks while the answer arrives, except the last time.
    LostAnswers,
    /// The proxy is killed once the shop has booked, and started again.
    ProxyKilled,
    /// The shop does not listen before the last attempt.
    LateOpening,
}

impl Plot {
    /// Plays it with at most `attempts` of the agent, and returns what each one heard.
    pub(super) async fn play(
        self,
        attempts: usize,
        agent: &Agent,
        shop: &mut Shop,
        proxy: &mut Proxy,
    ) -> anyhow::Result<Vec<Heard>> {
        if self != Self::LateOpening {
            shop.open()?;
        }
        if self == Self::AtOnce {
            return all_at_once(attempts, agent).await;
        }
        let mut heard = Vec::new();
        for attempt in 1..=attempts {
            let answer = match self {
                Self::Impatience if attempt < attempts => impatient_order(agent, shop).await?,
                Self::LostAnswers if attempt < attempts => agent.order_and_lose_the_answer().await,
                Self::ProxyKilled if attempt == 1 => order_while_killed(agent, shop, proxy).await?,
                Self::Impatience | Self::LateOpening if attempt == attempts => {
                    shop.catch_up();
                    shop.open()?;
                    agent.order().await
                }
                Self::Impatience
                | Self::LostAnswers
                | Self::ProxyKilled
                | Self::LateOpening
                | Self::Repeat
                | Self::AtOnce => agent.order().await,
            };
            let is_satisfied = matches!(answer, Heard::Order { .. });
            heard.push(answer);
            if is_satisfied {
                break;
            }
        }
        Ok(heard)
    }
}

/// Gives up after the shop has booked.
async fn impatient_order(agent: &Agent, shop: &Shop) -> anyhow::Result<Heard> {
    let mut order = pin!(agent.order());
    tokio::select! {
        heard = &mut order => return Ok(heard),
        booked = shop.first_booking() => booked?,
    }
    tokio::select! {
        heard = order => Ok(heard),
        () = sleep(PATIENCE) => Ok(Heard::Nothing),
    }
}

/// Ends with the proxy up again, on its old address and store.
async fn order_while_killed(agent: &Agent, shop: &Shop, proxy: &mut Proxy) -> anyhow::Result<Heard> {
    let mut order = pin!(agent.order());
    tokio::select! {
        // Never booked: there is nothing to prove by killing, and the verdict will say so.
        heard = &mut order => return Ok(heard),
        booked = shop.first_booking() => booked?,
    }
    proxy.kill();
    let heard = order.await;
    proxy.start_again().await?;
    Ok(heard)
}

/// Sends on connections that stand already, so that the orders are under way together.
async fn all_at_once(attempts: usize, agent: &Agent) -> anyhow::Result<Vec<Heard>> {
    let mut connections = Vec::new();
    for _ in 0..attempts {
        connections.push(agent.connect().await);
    }
    let mut orders = JoinSet::new();
    for connection in connections {
        let agent = agent.clone();
        orders.spawn(async move { agent.order_on(connection).await });
    }
    let mut heard = Vec::new();
    while let Some(answer) = orders.join_next().await {
        heard.push(answer?);
    }
    // Which of them was executed is chance; the replays stand last.
    heard.sort_by_key(|answer| matches!(answer, Heard::Order { replayed: true, .. }));
    Ok(heard)
}
