//! Finds the effect that a post is about, and applies its verdict.

use http::{Method, Uri};
use onceward_core::{
    actor::{Label, LookupId, Tenant},
    key::Key,
    record::{Denial, Epoch, Record, State, Verdict},
};
use onceward_engine::{Engine, EntryFilter, Finding, Resolved, Stored};

use super::{
    Webhook,
    answer::{Heard, News, Refused},
    post::{Named, Post, Word},
};
use crate::request::EFFECT_CHARS_MAX;

/// Effects of one key that are looked through at once; steps of an agent have a few operations.
const PAGE_ENTRIES_MAX: usize = 100;

/// Whoever signed a post, and where it is to be applied.
pub(super) struct Judge<'a> {
    pub(super) engine: &'a Engine,
    pub(super) tenant: &'a Tenant,
    /// Those with whose secrets it is signed; two may share one.
    pub(super) signers: &'a [&'a Webhook],
    /// The sender's name for it.
    pub(super) post_id: &'a str,
}

/// An effect that one of the signers may judge.
struct Found<'a> {
    id: LookupId,
    label: Label,
    record: Record,
    signer: &'a Webhook,
}

impl<'a> Judge<'a> {
    /// Applies a verdict. One that says what is known already changes nothing, and is not written down again.
    pub(super) async fn judge(&self, post: Post) -> Result<Heard, Refused> {
        let Post { named, judged, word, evidence } = post;
        let Found { id, label, record, signer } = self.find(&named, judged).await?;
        let verdict = word.verdict();
        if record.bears_out(&verdict, judged) {
            return Ok(Heard { id, judged, news: News::AlreadySo });
        }
        // So it is every time that an origin posts before its answer has arrived. The store would say the same, and log it.
        let is_held =
            matches!(record.state, State::Claimed { lease_until, .. } if self.engine.now() < lease_until);
        if is_held && record.epoch == judged {
            return Err(Refused::Running);
        }
        let finding = match word {
            Word::Happened(answer) => Finding::Happened(answer.map(|answer| {
                Box::new(answer.into_outcome(signer.cookies, signer.outcome_bytes_max, record.claimed_at))
            })),
            Word::Absent => Finding::Absent,
            Word::Multiple => Finding::Multiple,
        };
        let name = finding.as_str();
        let evidence = format!("webhook {}, {}: {evidence}", signer.name, self.post_id);
        match self.engine.resolve(id, &label, finding, judged, &evidence).await? {
            Resolved::Applied => {
                tracing::info!(key = %label.key, verdict = name, webhook = signer.name, "resolved");
                Ok(Heard { id, judged, news: News::Resolved })
            }
            Resolved::Denied(Denial::InProgress) => Err(Refused::Running),
            Resolved::Denied(_) | Resolved::AlreadyDone => self.overtaken(id, &verdict, judged).await,
            Resolved::Corrupt => Err(Refused::Corrupt),
        }
    }

    /// What a verdict is that found no doubt: perhaps somebody else said the same meanwhile.
    async fn overtaken(&self, id: LookupId, verdict: &Verdict, judged: Epoch) -> Result<Heard, Refused> {
        match self.engine.get(id).await? {
            Some(Stored::Record(record, _)) if record.bears_out(verdict, judged) => {
                Ok(Heard { id, judged, news: News::AlreadySo })
            }
            Some(Stored::Record(record, label)) => {
                // Called absent before, so that a retry may have run (L13).
                let was_released = record.overruled.is_some_and(|attempt| attempt.epoch == judged);
                if was_released && !matches!(verdict, Verdict::Absent) {
                    self.engine.telemetry().count_effect_after_release();
                    tracing::error!(
                        key = %label.key,
                        "effect-after-release: a post says that an effect happened whose key a verdict of absence released"
                    );
                }
                Err(Refused::NotInDoubt)
            }
            Some(Stored::Corrupt) => Err(Refused::Corrupt),
            None => Err(Refused::NotInDoubt),
        }
    }

    /// The one effect that is meant.
    ///
    /// A key is not one effect: each actor may have it, and each operation of a step. The attempt's epoch tells them apart, in stores of
    /// one process always. Two processes of a shared store may grant the same epoch to two keys' records (L14); then the verdict would be a
    /// guess, and is refused.
    async fn find(&self, named: &Named, judged: Epoch) -> Result<Found<'a>, Refused> {
        match named {
            Named::Key(key) => self.by_key(key, judged).await,
            Named::Id(id) => match self.engine.get(*id).await? {
                Some(Stored::Record(record, label)) => {
                    let found = self.judgeable(*id, label, *record).ok_or(Refused::EffectUnknown)?;
                    if found.record.knows(judged) { Ok(found) } else { Err(Refused::NotInDoubt) }
                }
                Some(Stored::Corrupt) => Err(Refused::Corrupt),
                None => Err(Refused::EffectUnknown),
            },
        }
    }

    async fn by_key(&self, key: &Key, judged: Epoch) -> Result<Found<'a>, Refused> {
        let filter = EntryFilter { key: Some(self.engine.key_tag(key)), ..EntryFilter::default() };
        let (mut found, mut is_key_known, mut after) = (None, false, None);
        loop {
            let page = self.engine.list(filter.clone(), after, PAGE_ENTRIES_MAX).await?;
            let entries = page.entries.into_iter();
            for other in entries.filter_map(|entry| self.judgeable(entry.id, entry.label, entry.record)) {
                is_key_known = true;
                if other.record.knows(judged) && found.replace(other).is_some() {
                    return Err(Refused::Several);
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        found.ok_or(if is_key_known { Refused::NotInDoubt } else { Refused::EffectUnknown })
    }

    /// The effect with the first signer that may judge it; of any other one no signer learns that it exists.
    fn judgeable(&self, id: LookupId, label: Label, record: Record) -> Option<Found<'a>> {
        let may_judge = |signer: &&&Webhook| match &signer.effects {
            None => true,
            Some(effects) => asked(&label.effect).is_some_and(|(method, uri)| effects(&method, &uri)),
        };
        let signer = *self.signers.iter().find(may_judge).filter(|_| label.tenant == *self.tenant)?;
        Some(Found { id, label, record, signer })
    }
}

impl Word {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Happened(_) => Verdict::Happened(None),
            Self::Absent => Verdict::Absent,
            Self::Multiple => Verdict::Multiple(None),
        }
    }
}

/// Method and address of what was asked. A label that was cut may show another path than was asked, and so shows none.
fn asked(effect: &str) -> Option<(Method, Uri)> {
    if effect.chars().count() >= EFFECT_CHARS_MAX {
        return None;
    }
    let (method, uri) = effect.split_once(' ')?;
    Some((method.parse().ok()?, uri.parse().ok()?))
}
