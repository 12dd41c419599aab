//! Tasks that a store cannot do without, past a panic.

use std::time::Duration;

use tokio::{task::JoinSet, time::sleep};

/// Between a panic and the next beginning, so that one which comes at once each time does not take a processor.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs what `work` begins until it ends by itself, and begins it anew where it panics. Dropped, it ends what runs.
pub(crate) async fn supervised<Work>(name: &'static str, work: impl Fn() -> Work)
where
    Work: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut working = JoinSet::new();
        working.spawn(work());
        match working.join_next().await {
            Some(Err(error)) if error.is_panic() => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(task = name, error, "a task of the store panicked, and is begun anew");
            }
            Some(Ok(()) | Err(_)) | None => return,
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_panics_is_begun_anew_until_it_ends_by_itself() {
        let begun = Arc::new(AtomicU32::new(0));
        let work = || {
            let begun = Arc::clone(&begun);
            async move { assert_eq!(begun.fetch_add(1, Ordering::SeqCst), 2, "not the third beginning") }
        };
        supervised("a test", work).await;
        assert_eq!(begun.load(Ordering::SeqCst), 3);
    }
}
