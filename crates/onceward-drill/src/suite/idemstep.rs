//! `idemstep`: idemstep 0.6, by its README and its proxy.

use super::{
    Suite,
    published::{crowd, is_kept, repeated, repeated_as, same_result, two_effects},
};
use crate::{
    case::{Case, Judged, cases},
    expect::{field, holds},
    talk::{Dialect, KeyForm, Talk},
};

pub(super) const SUITE: Suite = Suite {
    name: "idemstep",
    source: "github.com/SuperMarioYL/idemstep at 6cd4904, README and src/proxy.ts",
    dialect: Dialect { carrier: "x-idem-key", form: KeyForm::Bare, issue_field: None },
    groups: &[CASES],
};

const CASES: &[Case] = cases! {
    a_repeat_gets_the_first_answer [] "README, How it works";
    a_repeat_is_marked [] "src/proxy.ts, replay";
    a_body_that_drifted_gets_the_first_answer [OtherBody] "README, How it works";
    what_has_no_key_passes [Reference] "src/proxy.ts, startProxy";
    another_key_is_another_request [] "README, How it works";
    two_at_once_share_one_forward [Reference] "src/proxy.ts, inflightForwards";
    of_many_at_once_one_is_forwarded [] "src/proxy.ts, inflightForwards";
    an_error_is_committed [Reference] "src/proxy.ts, forward";
    a_failure_is_committed [Reference] "src/proxy.ts, forward";
    a_step_may_have_any_method [Reference] "src/proxy.ts, startProxy";
};

async fn a_repeat_gets_the_first_answer(talk: &Talk<'_>) -> Judged {
    repeated(talk).await.map(drop)
}

async fn a_repeat_is_marked(talk: &Talk<'_>) -> Judged {
    let (first, again) = repeated(talk).await?;
    field(&first, "x-idem-replayed", None)?;
    field(&again, "x-idem-replayed", Some("true"))
}

async fn a_body_that_drifted_gets_the_first_answer(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    repeated_as(talk, talk.order(&key), talk.other_order(&key)).await.map(drop)
}

async fn what_has_no_key_passes(talk: &Talk<'_>) -> Judged {
    two_effects(talk, talk.unkeyed(), talk.unkeyed()).await
}

async fn another_key_is_another_request(talk: &Talk<'_>) -> Judged {
    two_effects(talk, talk.order(&talk.key()), talk.order(&talk.key())).await
}

async fn two_at_once_share_one_forward(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    let (first, second) = talk.while_held(&ask, talk.ask_and_release(&ask)).await?;
    holds("not accepted", (200..300).contains(&first.status))?;
    same_result(&second, &first)?;
    talk.calls_are(1).await
}

/// The second waits for the first: nobody is told that it runs.
async fn of_many_at_once_one_is_forwarded(talk: &Talk<'_>) -> Judged {
    crowd(talk, 200).await
}

async fn an_error_is_committed(talk: &Talk<'_>) -> Judged {
    is_kept(talk, "status=404", 404).await
}

async fn a_failure_is_committed(talk: &Talk<'_>) -> Judged {
    is_kept(talk, "status=500", 500).await
}

async fn a_step_may_have_any_method(talk: &Talk<'_>) -> Judged {
    for method in ["PUT", "PATCH", "DELETE"] {
        let ask = talk.order(&talk.key()).by(method);
        let first = talk.ask(&ask).await?;
        same_result(&talk.ask(&ask).await?, &first)?;
    }
    talk.effects_are(3).await
}
