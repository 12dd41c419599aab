//! The suites: one for each profile, each a list of named cases.

mod acp;
mod adcp;
mod adcp_mcp;
mod idempot_js;
mod idemstep;
mod ietf;
mod oasis;
mod onceward;
mod paypal;
mod published;
mod stripe;
mod ucp;

use futures_util::{StreamExt, stream};
use std::time::Duration;
use tokio::time::timeout;

use crate::{
    case::{Case, Finding, Judged, Stop},
    report::{CaseResult, Report, Sight},
    subject::{Backing, Subject},
    talk::{Dialect, Talk, identity},
};

/// Cases under way at once: each has keys of its own, so that they do not meet.
const CASES_AT_ONCE_MAX: usize = 16;

/// How long one case may take; the slowest of them wait for a few seconds.
const CASE_TIME_MAX: Duration = Duration::from_secs(30);

/// The cases of one profile.
#[derive(Clone, Copy)]
pub struct Suite {
    /// The profile's name.
    pub name: &'static str,
    /// Where its rules are published.
    pub source: &'static str,
    pub(crate) dialect: Dialect,
    pub(crate) groups: &'static [&'static [Case]],
}

/// Every suite, in the order in which the profiles are documented.
const SUITES: &[Suite] = &[
    onceward::SUITE,
    ietf::SUITE,
    stripe::SUITE,
    acp::SUITE,
    ucp::SUITE,
    adcp::SUITE,
    adcp_mcp::SUITE,
    oasis::SUITE,
    paypal::SUITE,
    idemstep::SUITE,
    idempot_js::SUITE,
];

impl Suite {
    /// The suite of a profile; `None` for one that there is not.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        SUITES.iter().find(|suite| suite.name == name).copied()
    }

    /// The names of all suites, in the order in which the profiles are documented.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SUITES.iter().map(|suite| suite.name)
    }

    /// Its cases, in the order of the report.
    pub fn cases(&self) -> impl Iterator<Item = &'static Case> {
        self.groups.iter().copied().flatten()
    }
}

/// Why a server cannot be judged at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Nobody answers there.
    #[error("{address} does not answer: {why}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// It does not do what it is asked, so that there is no effect to repeat.
    #[error("POST {address} under a fresh key was answered {status}; name a path and a body that it accepts")]
    Declines {
        /// Where it was asked.
        address: String,
        /// What it said.
        status: u16,
    },
}

/// Judges a server by every case of a suite; `progress` hears of each as it ends.
///
/// It sends writes: at least one effect a case. Each case has fresh keys, so a suite can be run again at once.
///
/// # Errors
/// When there is nothing to judge.
pub async fn run(
    subject: &Subject,
    suite: Suite,
    mut progress: impl FnMut(&CaseResult),
) -> Result<Report, Unfit> {
    let sight = sight(subject, suite.dialect).await?;
    let mut results: Vec<(usize, CaseResult)> = Vec::new();
    let judging = suite.cases().enumerate().map(|(index, case)| async move {
        let result = judge(subject, suite.dialect, sight, case).await;
        (index, result)
    });
    let mut judged = stream::iter(judging).buffer_unordered(CASES_AT_ONCE_MAX);
    while let Some((index, result)) = judged.next().await {
        progress(&result);
        results.push((index, result));
    }
    results.sort_by_key(|(index, _)| *index);
    let results = results.into_iter().map(|(_, result)| result).collect();
    Ok(Report { subject: subject.address(), profile: suite.name, source: suite.source, sight, results })
}

async fn judge(subject: &Subject, dialect: Dialect, sight: Sight, case: &'static Case) -> CaseResult {
    if let Some(why) = case.needs.iter().find_map(|need| need.lacking(subject)) {
        return CaseResult::new(case, Finding::NotApplicable(why.to_owned()), Vec::new());
    }
    let talk = Talk::new(subject, dialect, sight);
    let judged = match timeout(CASE_TIME_MAX, (case.run)(&talk)).await {
        Ok(judged) => judged,
        Err(_) => Err(Stop::Failed(format!("no end after {CASE_TIME_MAX:?}"))),
    };
    let finding = finding(judged, talk.is_blind());
    CaseResult::new(case, finding, talk.into_exchanges())
}

fn finding(judged: Judged, is_blind: bool) -> Finding {
    match judged {
        Ok(()) if is_blind => Finding::NotObservable(
            "the answers are right; how many effects there were cannot be seen".to_owned(),
        ),
        Ok(()) => Finding::Pass,
        Err(Stop::Failed(why)) => Finding::Fail(why),
        Err(Stop::NotApplicable(why)) => Finding::NotApplicable(why),
    }
}

/// Finds out whether two effects can be told apart, by asking for two.
async fn sight(subject: &Subject, dialect: Dialect) -> Result<Sight, Unfit> {
    let talk = Talk::new(subject, dialect, Sight::Blind);
    let mut identities = Vec::new();
    for key in [talk.key(), talk.key()] {
        let address = subject.address();
        let answer = match talk.ask(&talk.order(&key)).await {
            Ok(answer) => answer,
            Err(Stop::Failed(why) | Stop::NotApplicable(why)) => {
                return Err(Unfit::Unreachable { address, why });
            }
        };
        if subject.backing == Backing::Unknown && !(200..300).contains(&answer.status) {
            return Err(Unfit::Declines { address, status: answer.status });
        }
        identities.push(identity(&answer));
    }
    identities.dedup();
    Ok(match (&subject.effects_path, identities.len()) {
        (Some(_), _) => Sight::Counted,
        (None, 2) => Sight::ByAnswers,
        (None, _) => Sight::Blind,
    })
}
