//! What all watches have in common: they are asked for on every connection, and stand until someone ends them.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Backoff, ClientError,
    backoff::chance_of,
    link::{Link, Mailbox, Now},
};
use crate::{
    Fault, Operation,
    notification::Notice,
    operations::{Empty, Unwatch},
};

/// How long the server has to answer a request for a watch.
const ANSWER: Duration = Duration::from_secs(30);

/// What is watched, and what becomes of what comes.
pub(super) trait Subject: Send + 'static {
    /// The operation that asks for it.
    type Ask: Operation;
    /// The operation that ends it.
    type End: Operation<Params = Unwatch, Result = Empty>;

    /// The request for it, under the name `sub`.
    fn ask(&self, sub: String) -> <Self::Ask as Operation>::Params;
    /// The watch stands.
    fn began(&mut self, answer: <Self::Ask as Operation>::Result) -> impl Future<Output = Result<(), Over>> + Send;
    /// Something came.
    fn heard(&mut self, notice: Notice) -> impl Future<Output = Result<(), Over>> + Send;
    /// It does not stand now: there is no connection, or no room for it. It is asked for again after a while.
    fn lost(&mut self, why: String, retry_in: Duration) -> impl Future<Output = Result<(), Over>> + Send;
    /// It is over for good.
    fn ended(&mut self, error: ClientError) -> impl Future<Output = ()> + Send;
}

/// Why a watch does not stand any more.
pub(super) enum Over {
    /// What came does not fit to what is here, or was too much at once: ask again.
    Anew,
    /// The server has no room for it now.
    Later(Fault),
    /// The connection is gone.
    Gone,
    /// It will not stand again.
    Final(ClientError),
    /// Nobody wants it.
    Unwanted,
}

/// Keeps `subject` watched until it is `unwanted` or the server says no.
pub(super) async fn keep<S: Subject>(
    mut now: watch::Receiver<Now>,
    backoff: Backoff,
    mut subject: S,
    unwanted: impl Future<Output = ()>,
) {
    let mut unwanted = pin!(unwanted);
    let mut failures = 0;
    loop {
        let link = unless(&mut unwanted, connected(&mut now, &mut subject)).await;
        let link = match link {
            Ok(link) => link,
            Err(Over::Final(error)) => return subject.ended(error).await,
            Err(_) => return,
        };
        let (name, mailbox) = link.route();
        let standing = stand(&link, &name, mailbox, &mut subject, &mut failures);
        let Err(over) = unless(&mut unwanted, standing).await;
        match over {
            Over::Gone => {
                let gone = async {
                    link.gone(&mut now).await;
                    Ok(())
                };
                if unless(&mut unwanted, gone).await.is_err() {
                    return;
                }
            }
            Over::Anew => {
                let forgotten = async { Ok(timeout(ANSWER, link.forget::<S::End>(name)).await.is_ok()) };
                if unless(&mut unwanted, forgotten).await.is_err() {
                    return;
                }
            }
            Over::Later(fault) => {
                link.unroute(&name);
                let after = Duration::from_millis(fault.data.retry_after_ms.unwrap_or(0));
                let wait = after + chance_of(after) + backoff.wait(failures);
                failures += 1;
                let waiting = async {
                    subject.lost(fault.message, wait).await?;
                    sleep(wait).await;
                    Ok(())
                };
                if unless(&mut unwanted, waiting).await.is_err() {
                    return;
                }
            }
            Over::Final(error) => {
                link.unroute(&name);
                return subject.ended(error).await;
            }
            Over::Unwanted => return link.forget::<S::End>(name).await,
        }
    }
}

/// What `work` gives, unless nobody wants it before.
async fn unless<T>(
    unwanted: &mut Pin<&mut impl Future<Output = ()>>,
    work: impl Future<Output = Result<T, Over>>,
) -> Result<T, Over> {
    tokio::select! {
        biased;
        () = unwanted.as_mut() => Err(Over::Unwanted),
        done = work => done,
    }
}

/// The connection, as soon as there is one; `subject` is told of the waits.
async fn connected<S: Subject>(now: &mut watch::Receiver<Now>, subject: &mut S) -> Result<Arc<Link>, Over> {
    loop {
        let seen = now.borrow_and_update().clone();
        match seen {
            Now::Open(link) => return Ok(link),
            Now::Waiting { why, retry_in } => subject.lost(why, retry_in).await?,
            Now::Ended(error) => return Err(Over::Final(error)),
            Now::Connecting => {}
        }
        now.changed().await.map_err(|_| Over::Final(ClientError::left()))?;
    }
}

/// Asks for the watch under `name`, and gives `subject` what comes until it does not stand any more.
async fn stand<S: Subject>(
    link: &Link,
    name: &str,
    mut mailbox: Mailbox,
    subject: &mut S,
    failures: &mut u32,
) -> Result<std::convert::Infallible, Over> {
    let request = subject.ask(name.to_owned());
    let asking = async {
        let place = link.place().await.ok_or(Over::Gone)?;
        link.ask(S::Ask::METHOD, &request, place).await.map_err(|unanswered| match unanswered.error {
            ClientError::Closed(_) => Over::Gone,
            ClientError::Fault(fault) if fault.data.temporary => Over::Later(fault),
            error => Over::Final(error),
        })
    };
    // What hangs without an end is asked for again.
    let answer = timeout(ANSWER, asking).await.unwrap_or(Err(Over::Anew))?;
    *failures = 0;
    subject.began(answer).await?;
    loop {
        match mailbox.recv().await {
            Some(Ok(Notice::WatchEnded(ended))) if ended.error.data.temporary => return Err(Over::Later(ended.error)),
            Some(Ok(Notice::WatchEnded(ended))) => return Err(Over::Final(ClientError::Fault(ended.error))),
            Some(Ok(notice)) => subject.heard(notice).await?,
            Some(Err(error)) => return Err(Over::Final(error)),
            None if link.is_over() => return Err(Over::Gone),
            None => return Err(Over::Anew),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Code,
        client::{
            Client, Followed, WatchOptions,
            testing::{Desk, EPOCH, connected, events, good, mission_id, seqs, since, snapshot},
        },
        notification::MISSION_EVENTS,
        operations::Watch,
    };
    use serde_json::json;

    #[tokio::test]
    async fn who_lets_go_of_a_watch_that_is_being_asked_for_hears_nothing_of_it_and_may_ask_anew() {
        let desk = Desk::open().await;
        let client = Client::start(&desk.url, good());
        let mut peer = desk.accept().await;
        peer.opened().await;
        let given_up = client.watch(mission_id());
        let asked = peer.asked_to_watch().await;
        drop(given_up);
        let unwatch = peer.asked().await;
        assert_eq!((&unwatch["method"], &unwatch["params"]["sub"]), (&json!("mission.unwatch"), &json!(asked.1.sub)));
        peer.answer(&unwatch, json!({})).await;
        let ended = Fault::new(Code::SubscriptionNotFound, "the watch was ended before it stood");
        peer.say(json!({"jsonrpc": "2.0", "id": asked.0["id"], "error": ended})).await;

        let mut follow = client.watch(mission_id());
        let again = peer.asked_to_watch().await;
        assert_ne!(again.1.sub, asked.1.sub);
        peer.watching(&again, snapshot(3), EPOCH).await;
        assert_eq!(connected(&mut follow).await, (3, false));
    }

    #[tokio::test]
    async fn a_watch_that_is_not_read_holds_up_no_other_and_goes_on_where_it_was() {
        let desk = Desk::open().await;
        let client = Client::start(&desk.url, good());
        let mut peer = desk.accept().await;
        peer.opened().await;
        let mut stuck = client.watch_with(mission_id(), WatchOptions { since: since(0), ..WatchOptions::default() });
        let first = peer.asked_to_watch().await;
        peer.resumed(&first, 200).await;
        let mut other = client.watch_with(mission_id(), WatchOptions { since: since(0), ..WatchOptions::default() });
        let second = peer.asked_to_watch().await;
        peer.resumed(&second, 1).await;
        for seq in 1..=200 {
            peer.notify(&events(&first.1.sub, EPOCH, seq..=seq)).await;
        }
        peer.notify(&events(&second.1.sub, EPOCH, 1..=1)).await;
        connected(&mut other).await;
        assert_eq!(seqs(other.next().await), [1]);

        let mut last = 0;
        let reading = async {
            while last < 200 {
                match stuck.next().await.unwrap() {
                    Followed::Events(events) => events.iter().for_each(|event| {
                        assert_eq!(event.seq, last + 1);
                        last = event.seq;
                    }),
                    Followed::Connected { resumed, .. } => assert!(resumed),
                    other => panic!("{other:?}"),
                }
            }
        };
        let serving = async {
            loop {
                let request = peer.asked().await;
                if request["method"] == "mission.unwatch" {
                    peer.answer(&request, json!({})).await;
                } else {
                    let watch: Watch = serde_json::from_value(request["params"].clone()).unwrap();
                    let from = watch.since.unwrap().seq + 1;
                    peer.resumed(&(request, watch.clone()), 200).await;
                    peer.notify(&events(&watch.sub, EPOCH, from..=200)).await;
                }
            }
        };
        tokio::select! { () = reading => {}, () = serving => {} }
        assert_eq!(last, 200);
    }

    #[tokio::test]
    async fn a_watch_that_nobody_wants_is_ended_on_the_server() {
        let desk = Desk::open().await;
        let client = Client::start(&desk.url, good());
        let follow = client.watch(mission_id());
        let mut peer = desk.accept().await;
        peer.opened().await;
        let asked = peer.asked_to_watch().await;
        drop(follow);
        let unwatch = peer.asked().await;
        assert_eq!((&unwatch["method"], &unwatch["params"]["sub"]), (&json!("mission.unwatch"), &json!(asked.1.sub)));
        drop(client);
        while peer.hear().await.is_some() {}
    }

    #[tokio::test]
    async fn what_is_of_a_later_version_ends_its_watch_and_no_other() {
        let desk = Desk::open().await;
        let client = Client::start(&desk.url, good());
        let mut follow = client.watch_with(mission_id(), WatchOptions { since: since(1), ..WatchOptions::default() });
        let mut peer = desk.accept().await;
        peer.opened().await;
        let asked = peer.asked_to_watch().await;
        peer.resumed(&asked, 2).await;
        connected(&mut follow).await;
        peer.say(json!({"jsonrpc": "2.0", "method": MISSION_EVENTS, "params": {"sub": asked.1.sub, "events": 7}}))
            .await;
        assert!(matches!(follow.next().await, Some(Followed::Ended(ClientError::Unreadable { .. }))));
        assert!(follow.next().await.is_none());
        assert!(client.ready().await.is_ok());
    }
}
