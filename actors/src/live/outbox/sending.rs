//! What an outbox sends next: what is held back, answers, the goodbye, and then each watch in its turn.

use std::{
    rc::{Rc, Weak},
    task::{Context, Poll},
};

use bytes::Bytes;
use flightdeck_protocol::{
    Fault,
    envelope::Notification,
    notification::{Close, SESSION_CLOSING},
};
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use tokio::time::sleep;

use super::{Held, Inner, Outbox, Outgoing};
use crate::live::{Harm, Next};

impl Outbox {
    /// The next thing to send; `None` once the last thing was.
    pub fn poll_next(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        loop {
            let mut inner = self.inner.borrow_mut();
            if inner.ended {
                return Poll::Ready(None);
            }
            if inner.is_held(cx) {
                return Poll::Pending;
            }
            if let Some(held) = inner.held.take() {
                return inner.text(held.parts);
            }
            if let Some(text) = inner.pop() {
                // Room is waited for where there was none.
                self.rooms.look_again();
                return inner.text(vec![text]);
            }
            if let Some(close) = inner.closing {
                let parting = inner.parting;
                if std::mem::replace(&mut inner.said_goodbye, true) {
                    inner.ended = true;
                    return Poll::Ready(Some(Outgoing::Close(close)));
                }
                let notice = match parting {
                    Some((parting, advice)) if parting == close => advice.notice(close),
                    _ => close.notice(),
                };
                let notice = Notification::new(SESSION_CLOSING, notice);
                return inner.text(vec![serde_json::to_vec(&notice).unwrap_or_default().into()]);
            }
            let Some(name) = inner.stirred.pop_front() else {
                if let Some(close) = inner.may_part() {
                    inner.closing = Some(close);
                    continue;
                }
                inner.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let Some(sub) = inner.subs.get_mut(&name) else { continue };
            if sub.loading {
                // It is stirred again when that is done.
                sub.stirred = false;
                continue;
            }
            match sub.watch.next() {
                Next::Frame(parts) => {
                    // There may be more: it takes its turn again, behind the others.
                    inner.stirred.push_back(name);
                    return inner.text(parts);
                }
                Next::Harmed(harm, parts) => {
                    inner.stirred.push_back(name);
                    match harm {
                        Harm::Drop => {}
                        Harm::Delay(wait) => {
                            inner.held = Some(Held { parts, until: Some(Box::pin(sleep(wait))) });
                        }
                        Harm::Duplicate => {
                            inner.held = Some(Held { parts: parts.clone(), until: None });
                            return inner.text(parts);
                        }
                        Harm::Kill => {
                            inner.ended = true;
                            return Poll::Ready(Some(Outgoing::Abort));
                        }
                    }
                }
                Next::Nothing => sub.stirred = false,
                Next::Load(load) => {
                    sub.stirred = false;
                    sub.loading = true;
                    let number = sub.number;
                    self.load(name, number, load);
                }
                Next::End(fault) => {
                    drop(inner);
                    self.end(&name, fault);
                }
            }
        }
    }

    fn load(self: &Rc<Self>, name: Rc<str>, number: u64, load: LocalBoxFuture<'static, Result<(), Fault>>) {
        let outbox: Weak<Self> = Rc::downgrade(self);
        actix_rt::spawn(async move {
            let loaded = load.await;
            let Some(outbox) = outbox.upgrade() else { return };
            {
                let mut inner = outbox.inner.borrow_mut();
                // Read for a watch that has ended since; one of the same name may watch something else.
                let Some(sub) = inner.subs.get_mut(&name).filter(|sub| sub.number == number) else { return };
                sub.loading = false;
            }
            match loaded {
                Ok(()) => outbox.stir(&name),
                Err(fault) => outbox.end(&name, fault),
            }
        });
    }
}

impl Inner {
    /// The goodbye that may be said now: nothing is owed, and nothing is being read.
    fn may_part(&self) -> Option<Close> {
        let (close, _) = self.parting?;
        (self.owed == 0 && self.subs.values().all(|sub| !sub.loading)).then_some(close)
    }

    /// Whether a frame is held back that is not due yet. A goodbye does not wait for it.
    fn is_held(&mut self, cx: &mut Context<'_>) -> bool {
        let until = self.held.as_mut().and_then(|held| held.until.as_mut());
        let waits = self.closing.is_none() && until.is_some_and(|until| until.poll_unpin(cx).is_pending());
        if waits {
            self.waker = Some(cx.waker().clone());
        }
        waits
    }

    fn text(&mut self, parts: Vec<Bytes>) -> Poll<Option<Outgoing>> {
        self.sent.messages += 1;
        self.sent.bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        Poll::Ready(Some(Outgoing::Text(parts)))
    }
}
