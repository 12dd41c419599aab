//! Write fences beside the key: early data and preconditions (P1, P2).

use crate::{
    case::{Case, Judged, Stop, cases},
    expect::{committed, equal, field, refused, replay},
    talk::Talk,
    wire::{Answer, Ask},
};

pub(super) const CASES: &[Case] = cases! {
    a_write_in_early_data_is_refused [] "P1";
    a_write_that_was_too_early_runs_later [] "P1";
    a_write_without_a_precondition_is_refused [Reference] "P2";
    a_write_with_the_current_tag_is_done [Reference] "P2";
    a_write_with_a_stale_tag_is_refused [Reference] "P2";
    a_weak_tag_matches_nothing [Reference] "P2";
    one_tag_of_several_is_enough [Reference] "P2";
    a_write_with_the_current_snapshot_is_done [Reference] "P2";
    a_write_with_a_stale_snapshot_is_refused [Reference] "P2";
    a_precondition_that_cannot_be_read_is_refused [Reference] "P2";
    a_write_is_replayed_though_its_tag_is_stale_by_now [Reference] "P2";
};

/// RFC 8470, 5.1.
async fn a_write_in_early_data_is_refused(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key()).with("Early-Data", "1");
    let problem = refused(&talk.ask(&ask).await?, 425, "too-early")?;
    problem.has("retry", &"same-key".into())?;
    talk.effects_are(0).await
}

async fn a_write_that_was_too_early_runs_later(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    equal("status", talk.ask(&ask.clone().with("Early-Data", "1")).await?.status, 425)?;
    let answer = talk.ask(&ask).await?;
    committed(&answer, answer.status)?;
    talk.effects_are(1).await
}

/// A document of this conversation's own, as it is read.
struct Document {
    path: String,
    etag: String,
    snapshot: String,
}

impl Document {
    async fn read(talk: &Talk<'_>) -> Result<Self, Stop> {
        let path = format!("/documents/{}", talk.key());
        let answer = talk.ask(&talk.get(&path)).await?;
        field(&answer, "etag", Some("\"v1\""))?;
        field(&answer, "snapshot", Some("version: 1"))?;
        Ok(Self { path, etag: "\"v1\"".to_owned(), snapshot: "version: 1".to_owned() })
    }

    fn write(&self, talk: &Talk<'_>) -> Ask {
        talk.keyed(talk.post(&self.path), &talk.key()).by("PUT")
    }

    /// Somebody else writes in between.
    async fn changed(&self, talk: &Talk<'_>) -> Judged {
        let answer = talk.ask(&self.write(talk).with("If-Match", &self.etag)).await?;
        committed(&answer, 200)?;
        field(&answer, "etag", Some("\"v2\""))
    }

    async fn version_is(&self, talk: &Talk<'_>, expected: &str) -> Judged {
        field(&talk.ask(&talk.get(&self.path)).await?, "snapshot", Some(expected))
    }
}

async fn a_write_without_a_precondition_is_refused(talk: &Talk<'_>) -> Judged {
    let document = Document::read(talk).await?;
    refused(&talk.ask(&document.write(talk)).await?, 428, "precondition-required")?;
    talk.calls_are(0).await
}

fn written(answer: &Answer) -> Judged {
    committed(answer, 200)?;
    field(answer, "etag", Some("\"v2\""))?;
    field(answer, "snapshot", Some("version: 2"))
}

async fn a_write_with_the_current_tag_is_done(talk: &Talk<'_>) -> Judged {
    let document = Document::read(talk).await?;
    written(&talk.ask(&document.write(talk).with("If-Match", &document.etag)).await?)?;
    talk.effects_are(1).await
}

async fn a_write_with_a_stale_tag_is_refused(talk: &Talk<'_>) -> Judged {
    let document = Document::read(talk).await?;
    document.changed(talk).await?;
    let late = talk.ask(&document.write(talk).with("If-Match", &document.etag)).await?;
    equal("status", late.status, 412)?;
    document.version_is(talk, "version: 2").await?;
    talk.effects_are(1).await
}

/// RFC 9110, 13.1.1.
async fn a_weak_tag_matches_nothing(talk: &Talk<'_>) -> Judged {
    let document = Document::read(talk).await?;
    let weak = talk.ask(&document.write(talk).with("If-Match", format!("W/{}", document.etag))).await?;
    equal("status", weak.status, 412)?;
    talk.effects_are(0).await
}

async fn one_tag_of_several_is_enough(talk: &Talk<'_>) -> Judged {
    let document = Document::read(talk).await?;
    let tags = format!("\"other\", {}", document.etag);
    written(&talk.ask(&document.write(talk).with("If-Match", tags)).await?)
}

async fn a_write_with_the_current_snapshot_is_done(talk: &Talk<'_>) -> Judged {
    let document = Document::read(talk).await?;
    written(&talk.ask(&document.write(talk).with("Precondition-Snapshot", &document.snapshot)).await?)
}

async fn a_write_with_a_stale_snapshot_is_refused(talk: &Talk<'_>) -> Judged {
    let document = Document::read(talk).await?;
    document.changed(talk).await?;
    let late = talk.ask(&document.write(talk).with("Precondition-Snapshot", &document.snapshot)).await?;
    equal("status", late.status, 409)?;
    document.version_is(talk, "version: 2").await?;
    talk.effects_are(1).await
}

async fn a_precondition_that_cannot_be_read_is_refused(talk: &Talk<'_>) -> Judged {
    let document = Document::read(talk).await?;
    for (name, value) in [("If-Match", "v1"), ("Precondition-Snapshot", "yesterday")] {
        refused(&talk.ask(&document.write(talk).with(name, value)).await?, 400, "precondition-invalid")?;
    }
    talk.calls_are(0).await
}

/// The key is looked at before the tag: a retry is the same wish, not a second one.
async fn a_write_is_replayed_though_its_tag_is_stale_by_now(talk: &Talk<'_>) -> Judged {
    let document = Document::read(talk).await?;
    let ask = document.write(talk).with("If-Match", &document.etag);
    let first = talk.ask(&ask).await?;
    written(&first)?;
    replay(&talk.ask(&ask).await?, &first)?;
    talk.calls_are(1).await
}
