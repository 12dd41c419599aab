//! Asks the site, as a recipe says (D2 probe).

use std::sync::Arc;

use onceward_engine::{Doubtful, Look, LookFuture, Resolver, Sight};
use tokio::time::Instant;

use super::{Finder, Needs, remembered};
use crate::{
    answer::Answer,
    fetch::{Fetch, Place},
    judge::Sighting,
    recipe::Recipe,
    request::EffectRequest,
};

/// A recipe, and who sends its looks.
#[derive(Debug)]
pub struct Probe {
    recipe: Recipe,
    fetch: Arc<dyn Fetch>,
}

impl Probe {
    /// Looks as `recipe` says.
    #[must_use]
    pub fn new(recipe: Recipe, fetch: Arc<dyn Fetch>) -> Self {
        Self { recipe, fetch }
    }

    async fn seen(&self, doubt: &Doubtful) -> Result<Look, String> {
        let effect = remembered(doubt)?;
        if !self.recipe.is_for(&effect) {
            return Ok(Look::not_mine());
        }
        let request = self.recipe.look(&effect).map_err(|error| error.to_string())?;
        let is_there = request.uri().scheme() == effect.uri().scheme()
            && request.uri().authority() == effect.uri().authority();
        let place = if is_there { Place::Origin } else { Place::Elsewhere };
        let began = Instant::now();
        let asked_at_ms = doubt.now.as_ms();
        let fetched = self.fetch.fetch(request, place).await.map_err(|error| error.to_string())?;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let received_at_ms = asked_at_ms.saturating_add(took_ms);
        let answer = Answer { parts: &fetched.parts, body: &fetched.body, asked_at_ms, received_at_ms };
        Ok(match self.recipe.judge(&effect, &answer) {
            Sighting::Found { evidence, .. } => Look { sight: Sight::Happened(None), evidence },
            Sighting::NotFound { evidence } => {
                Look { sight: Sight::Nothing { settling: self.recipe.settle() }, evidence }
            }
            Sighting::Several { evidence, .. } => Look { sight: Sight::Multiple, evidence },
            Sighting::Unclear { reason } => Look::unclear(reason),
        })
    }
}

impl Resolver for Probe {
    fn name(&self) -> &str {
        self.recipe.name()
    }

    fn look<'a>(&'a self, doubt: &'a Doubtful) -> LookFuture<'a> {
        Box::pin(async { self.seen(doubt).await.unwrap_or_else(Look::unclear) })
    }
}

impl Finder for Probe {
    fn needs(&self, effect: &EffectRequest) -> Option<Needs> {
        let needs = || Needs::Parts { headers: self.recipe.kept_headers(), body: self.recipe.keeps_body() };
        self.recipe.is_for(effect).then(needs)
    }
}
