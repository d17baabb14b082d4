//! A stream that is asked only when it has asked for it.
//!
//! What a socket is sent comes from two streams that one task polls: the
//! session's frames, and the context of its actor. To ask the actor each time
//! that there is a frame costs as much as the frame.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Release},
        },
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{Stream, task::AtomicWaker};

/// A stream, and whether it woke its task since it was last asked.
pub(super) struct Roused<S> {
    stream: Pin<Box<S>>,
    alarm: Arc<Alarm>,
    waker: Waker,
}

struct Alarm {
    rang: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Release);
        self.task.wake();
    }
}

impl<S: Stream> Roused<S> {
    /// Asks `stream` once, and then whenever it wakes its task.
    pub(super) fn new(stream: S) -> Self {
        let alarm = Arc::new(Alarm { rang: AtomicBool::new(true), task: AtomicWaker::new() });
        let waker = alarm.clone().into();
        Self { stream: Box::pin(stream), alarm, waker }
    }

    /// What the stream has, or nothing if it did not wake its task.
    pub(super) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<S::Item>> {
        // Before the look: a wake-up that falls between reaches the task in any case.
        self.alarm.task.register(cx.waker());
        if !self.alarm.rang.swap(false, AcqRel) {
            return Poll::Pending;
        }
        let polled = self.stream.as_mut().poll_next(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            // There may be more, which it need not announce.
            self.alarm.rang.store(true, Release);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream::poll_fn;
    use std::{cell::Cell, rc::Rc};

    #[test]
    fn a_stream_is_asked_once_for_each_time_that_it_wakes_its_task() {
        let (asked, kept) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(None::<Waker>)));
        let stream = poll_fn({
            let (asked, kept) = (asked.clone(), kept.clone());
            move |cx| {
                asked.set(asked.get() + 1);
                kept.set(Some(cx.waker().clone()));
                // It has something the second time.
                if asked.get() == 2 { Poll::Ready(Some(())) } else { Poll::Pending }
            }
        });
        let mut roused = Roused::new(stream);
        let mut poll = || roused.poll_next(&Context::from_waker(Waker::noop())).is_ready();
        assert_eq!([poll(), poll(), poll()], [false; 3]);
        assert_eq!(asked.get(), 1);
        kept.take().unwrap().wake();
        assert!(poll(), "the second time");
        assert!(!poll(), "there may have been more");
        assert!(!poll());
        assert_eq!(asked.get(), 3);
    }
}
