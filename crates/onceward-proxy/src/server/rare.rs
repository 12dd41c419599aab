//! Futures that are nearly always pending.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Polls its future only when that was woken itself.
///
/// A connection's task is polled for every piece that it moves. Looking each time whether the listener stops would take
/// locks that all connections share.
pub(super) struct Rare<F> {
    future: Pin<Box<F>>,
    notice: Option<Arc<Notice>>,
}

/// The waker that the future gets: it notes the wake-up and passes it on.
struct Notice {
    is_due: AtomicBool,
    task: Waker,
}

impl<F: Future> Rare<F> {
    pub(super) fn new(future: F) -> Self {
        Self { future: Box::pin(future), notice: None }
    }
}

impl<F: Future> Future for Rare<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if let Some(notice) = &self.notice
            && notice.task.will_wake(cx.waker())
            && !notice.is_due.load(Ordering::Acquire)
        {
            return Poll::Pending;
        }
        let notice = Arc::new(Notice { is_due: AtomicBool::new(false), task: cx.waker().clone() });
        self.notice = Some(Arc::clone(&notice));
        self.future.as_mut().poll(&mut Context::from_waker(&Waker::from(notice)))
    }
}

impl Wake for Notice {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test]
    async fn only_its_own_wake_up_brings_a_poll() {
        let polls = Arc::new(AtomicUsize::new(0));
        let (wake, mut woken) = tokio::sync::oneshot::channel::<()>();
        let counted = Arc::clone(&polls);
        let mut rare = Rare::new(poll_fn(move |cx| {
            counted.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut woken).poll(cx)
        }));
        for _ in 0..3 {
            assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut rare).poll(cx))).await.is_pending());
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        wake.send(()).unwrap();
        assert_eq!(rare.await, Ok(()));
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn another_task_that_takes_it_over_is_woken() {
        let (wake, woken) = tokio::sync::oneshot::channel::<()>();
        let mut rare = Rare::new(woken);
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut rare).poll(cx))).await.is_pending());
        let waiting = tokio::spawn(rare);
        tokio::task::yield_now().await;
        wake.send(()).unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }
}
