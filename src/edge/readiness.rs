//! Whether the server can take work: found out once for all who ask at about the same time.
//!
//! Finding out takes a write down to the disk, and anybody may ask, so that asking must not cost one each.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};

/// How long what was found holds.
const HOLDS: Duration = Duration::from_secs(1);

/// What was found last, or is being found.
#[derive(Default)]
pub(crate) struct Readiness(Mutex<Option<Shared<BoxFuture<'static, Found>>>>);

#[derive(Clone, Copy)]
struct Found {
    ready: bool,
    at: Instant,
}

impl Readiness {
    /// Whether the server is ready, as `probe` finds it, or as it was found less than a second ago. A probe that is
    /// under way is waited for, and goes on with the next who asks when those who waited have gone.
    pub(super) async fn ask<F>(&self, probe: impl FnOnce() -> F) -> bool
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let finding = {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let holds = |finding: &Shared<_>| finding.peek().is_none_or(|found: &Found| found.at.elapsed() < HOLDS);
            match &*last {
                Some(finding) if holds(finding) => finding.clone(),
                _ => {
                    let probe = probe();
                    let finding = async { Found { ready: probe.await, at: Instant::now() } }.boxed().shared();
                    last.insert(finding).clone()
                }
            }
        };
        finding.await.ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    };
    use tokio::sync::Notify;

    /// A disk that is asked, and how often it was.
    #[derive(Clone, Default)]
    struct Disk {
        asked: Arc<AtomicU32>,
        answers: Arc<Notify>,
    }

    impl Disk {
        fn write(&self, works: bool) -> impl FnOnce() -> BoxFuture<'static, bool> {
            let disk = self.clone();
            move || {
                disk.asked.fetch_add(1, Relaxed);
                async move {
                    disk.answers.notified().await;
                    works
                }
                .boxed()
            }
        }
    }

    #[actix_rt::test]
    async fn however_many_ask_the_disk_is_asked_once() {
        let (readiness, disk) = (Readiness::default(), Disk::default());
        let asking = futures_util::future::join_all((0..100).map(|_| readiness.ask(disk.write(true))));
        disk.answers.notify_one();
        assert_eq!(asking.await, [true; 100]);
        assert!(readiness.ask(disk.write(false)).await, "it was found just now");
        assert_eq!(disk.asked.load(Relaxed), 1);
    }

    #[actix_rt::test]
    async fn who_asks_and_goes_leaves_the_answer_to_the_next() {
        let (readiness, disk) = (Readiness::default(), Disk::default());
        for _ in 0..100 {
            assert!(readiness.ask(disk.write(true)).now_or_never().is_none());
        }
        disk.answers.notify_one();
        assert!(readiness.ask(disk.write(false)).await);
        assert_eq!(disk.asked.load(Relaxed), 1);
    }

    #[actix_rt::test]
    async fn what_was_found_too_long_ago_is_found_anew() {
        let (readiness, disk) = (Readiness::default(), Disk::default());
        let long_ago = Instant::now().checked_sub(HOLDS).unwrap();
        let found = Found { ready: true, at: long_ago };
        let old = std::future::ready(found).boxed().shared();
        assert!(old.clone().await.ready);
        *readiness.0.lock().unwrap() = Some(old);
        disk.answers.notify_one();
        assert!(!readiness.ask(disk.write(false)).await);
        assert_eq!(disk.asked.load(Relaxed), 1);
    }
}
