//! Clients: they retry with the same key, lose patience, vanish, and send bodies that drifted.

use onceward_core::{
    refusal::{Effect, Refusal},
    time::Timestamp,
};

use crate::{
    call::{Phase, Tell},
    fault::Fault,
    flaw::Flaw,
    queue::Event,
    setting::Dating,
    trace::note,
    world::World,
};

/// How long a client waits that is not impatient.
const PATIENCE_MS: u64 = 60_000;

/// How far ahead of the store's clock a key is stamped where its maker's clock is wrong (H9).
const AHEAD_MS: u64 = 120_000;

/// One agent with one wish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    key: u8,
    tries_left: u32,
    /// Whether it asks until it is told how the wish ended.
    is_last: bool,
    waits_for: Option<u32>,
    pub(crate) is_done: bool,
}

impl World {
    pub(crate) fn make_clients(&mut self) {
        for client in 0..self.setting.clients {
            let key = self.chance.below(self.setting.keys.len() as u64);
            let tries_left = u32::try_from(self.chance.between(2, 7)).unwrap_or(2);
            let first_ms = self.chance.between(1, self.setting.bad_time_ms * 2 / 3);
            let key = u8::try_from(key).unwrap_or_default();
            self.clients.push(Client { key, tries_left, is_last: false, waits_for: None, is_done: false });
            self.after(first_ms, Event::ClientActs(client));
        }
    }

    /// Everything has had its time: whoever asks now is told how it ended.
    pub(crate) fn last_requests(&mut self) {
        for key in 0..u8::try_from(self.setting.keys.len()).unwrap_or_default() {
            let client = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
            self.clients.push(Client {
                key,
                tries_left: u32::MAX,
                is_last: true,
                waits_for: None,
                is_done: false,
            });
            self.after(1, Event::ClientActs(client));
        }
    }

    pub(crate) fn client_acts(&mut self, number: u32) {
        let gateway = u8::try_from(self.chance.below(self.gateways.len() as u64)).unwrap_or_default();
        let (drifts, is_impatient) =
            (self.goes_wrong(Fault::DriftedBody), self.goes_wrong(Fault::Impatience));
        let (patience_ms, again_ms) = (self.chance.between(20, 6_000), self.chance.between(100, 2_000));
        let Some(client) = self
            .clients
            .get_mut(number as usize)
            .filter(|client| !client.is_done && client.waits_for.is_none())
        else {
            return;
        };
        let key = client.key;
        let takes_calls = self.gateways.get(usize::from(gateway)).is_some_and(|gateway| {
            gateway.is_up && !gateway.is_closing && gateway.frozen_until_ms <= self.now_ms
        });
        if !takes_calls {
            self.after(again_ms, Event::ClientActs(number));
            return;
        }
        client.tries_left = client.tries_left.saturating_sub(1);
        self.issue(key);
        let call = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        if let Some(client) = self.clients.get_mut(number as usize) {
            client.waits_for = Some(call);
        }
        note!(
            self,
            Some(key),
            "client {number} asks gateway {gateway}: call {call}{}",
            if drifts { ", its body drifted" } else { "" }
        );
        self.start_call(number, gateway, key, u8::from(drifts));
        let patience_ms = if is_impatient { patience_ms } else { PATIENCE_MS };
        self.after(patience_ms, Event::ClientLeaves { client: number, call });
    }

    /// A key says when it was made, by a clock that is not ahead of the store's (H9).
    fn issue(&mut self, key: u8) {
        let behind_ms = self.chance.below(1_000);
        let is_dated = self.setting.keys.get(usize::from(key)).is_some_and(|key| key.dating == Dating::Dated);
        let now_ms = self.store_clock().as_ms();
        let ahead_ms = if self.has(Flaw::KeyStampedAhead) { AHEAD_MS } else { 0 };
        let Some(truth) = self.truths.get_mut(usize::from(key)).filter(|truth| !truth.is_made) else {
            return;
        };
        truth.is_made = true;
        truth.issued_at = is_dated.then(|| Timestamp::from_ms(now_ms + ahead_ms - behind_ms));
    }

    pub(crate) fn client_hears(&mut self, number: u32, call: u32, tell: &Tell) {
        let asks_again = self.chance.per_mille(500);
        let Some(client) =
            self.clients.get_mut(number as usize).filter(|client| client.waits_for == Some(call))
        else {
            return;
        };
        client.waits_for = None;
        let is_over = is_definite(tell);
        if is_over && (client.is_last || !asks_again) || client.tries_left == 0 {
            client.is_done = true;
            return;
        }
        self.retry(number);
    }

    pub(crate) fn client_leaves(&mut self, number: u32, call: u32) {
        let vanishes = self.goes_wrong(Fault::Vanishing);
        let Some(client) =
            self.clients.get_mut(number as usize).filter(|client| client.waits_for == Some(call))
        else {
            return;
        };
        client.waits_for = None;
        client.is_done = (vanishes || client.tries_left == 0) && !client.is_last;
        let key = client.key;
        note!(self, Some(key), "client {number} does not wait for call {call} any longer");
        // A duplicate that only waits ends with its caller; everything else goes on (L6).
        if let Some(call) = self.call_mut(call).filter(|call| call.phase == Phase::Waiting) {
            call.phase = Phase::Over;
            call.is_told = true;
        }
        self.retry(number);
    }

    /// The gateway is gone, and the client sees its connection break.
    pub(crate) fn connection_lost(&mut self, number: u32, call: u32) {
        let Some(client) =
            self.clients.get_mut(number as usize).filter(|client| client.waits_for == Some(call))
        else {
            return;
        };
        client.waits_for = None;
        client.is_done = client.tries_left == 0 && !client.is_last;
        self.retry(number);
    }

    fn retry(&mut self, number: u32) {
        let is_late = self.chance.per_mille(if self.setting.is_forgetful { 250 } else { 50 });
        let soon_ms = self.chance.between(20, 3_000);
        let late_ms_max = if self.chance.per_mille(300) { 240_000 } else { 40_000 };
        let late_ms = self.chance.between(5_000, late_ms_max);
        let is_over = self.clients.get(number as usize).is_none_or(|client| client.is_done);
        let is_last = self.clients.get(number as usize).is_some_and(|client| client.is_last);
        if is_over {
            return;
        }
        self.again_after(if is_late && !is_last { late_ms } else { soon_ms }, Event::ClientActs(number));
    }

    /// In the end every key has been asked for by somebody who stayed.
    pub(crate) fn unanswered(&self) -> Option<u8> {
        self.clients.iter().find(|client| client.is_last && !client.is_done).map(|client| client.key)
    }
}

/// Whether this tells how the wish ended, or that nobody knows.
fn is_definite(tell: &Tell) -> bool {
    match tell {
        Tell::Recorded(_) | Tell::Unrecorded(_) | Tell::Stored(_) => true,
        Tell::Released => false,
        Tell::Refused(refusal) => !matches!(
            refusal,
            Refusal::InProgress { .. }
                | Refusal::StoreUnavailable { effect: Effect::None | Effect::Unknown | Effect::Done, .. }
                | Refusal::Overloaded { .. }
        ),
    }
}
