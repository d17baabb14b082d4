//! What a tab makes of what it hears.

use flightdeck_protocol::{
    Code,
    notification::{MissionLive, MissionPresence},
    operations::{Position, Watching},
};
use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Message};

use super::{
    ledger::Answer,
    tab::{Stand, Tab, Waiting},
    truth::Watched,
    view::RawEvents,
    wire::Frame,
};

impl Tab {
    pub(super) async fn hear(&mut self, frame: Option<Result<Message, tungstenite::Error>>) {
        let text = match frame {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(1005, |frame| frame.code.into());
                assert!(code < 4500, "tab {} may not come back: {code}", self.name);
                return self.gone();
            }
            Some(Ok(_)) => return,
            Some(Err(_)) | None => return self.gone(),
        };
        let frame: Frame<'_> = serde_json::from_str(&text).expect("a frame in JSON");
        match (frame.method, frame.id) {
            (Some("mission.events"), _) => {
                let events: RawEvents = serde_json::from_str(frame.params.expect("parameters").get()).expect("events");
                let mission = self.mission_of(&events.sub);
                self.views.get_mut(&mission).expect("a view").events(events);
            }
            (Some("mission.presence"), _) => {
                let presence: MissionPresence =
                    serde_json::from_str(frame.params.expect("parameters").get()).expect("presence");
                let mission = self.mission_of(&presence.sub);
                self.views.get_mut(&mission).expect("a view").presence(&presence);
            }
            (Some("mission.live"), _) => {
                let live: MissionLive =
                    serde_json::from_str(frame.params.expect("parameters").get()).expect("what goes on");
                self.mission_of(&live.sub);
            }
            (Some("missions.changed" | "inbox.changed"), _) => {
                let params: Value = serde_json::from_str(frame.params.expect("parameters").get()).expect("changes");
                match self.watched(params["sub"].as_str().expect("a name")) {
                    Watched::List(list) => self.lists.take(list, params),
                    Watched::Mission(_) => panic!("no list: {params}"),
                }
            }
            (Some("watch.ended"), _) => panic!("a watch has ended: {text}"),
            (Some(_), _) => {}
            (None, Some(id)) => {
                let waiting = self.waiting.remove(&id).expect("an answer to what was asked");
                self.answered(waiting, serde_json::from_str(&text).expect("a response")).await;
            }
            (None, None) => panic!("an answer to nothing: {text}"),
        }
    }

    async fn answered(&mut self, waiting: Waiting, response: Value) {
        match waiting {
            Waiting::Watch { sub, asked } => self.begun(&sub, asked, response),
            Waiting::Unwatch { sub } => {
                assert!(response.get("error").is_none(), "{response}");
                let ended = self.subs.remove(&sub);
                // It may be wanted again by now.
                if let Some((what, _)) = ended.filter(|(what, _)| self.wanted.contains(what)) {
                    self.watch(what).await;
                }
            }
            Waiting::Show { watches } => {
                if response.get("error").is_some() {
                    let fault = crate::support::fault_of(&response);
                    assert!(fault.data.temporary || (!watches && fault.code == Code::SubscriptionNotFound), "{fault}");
                }
            }
            Waiting::Command { sent, .. } => {
                let answer = Answer::read(sent.command.method, response);
                let named = self.shared.ledger(|ledger| {
                    ledger.answered(sent.entry, answer.clone());
                    ledger.0[sent.entry].is_named
                });
                if named && answer.is_temporary() {
                    self.again.push(sent);
                }
            }
        }
    }

    /// The answer to a watch.
    fn begun(&mut self, sub: &str, asked: Option<Position>, mut response: Value) {
        let at = self.subs.get(sub).copied();
        if response.get("error").is_some() {
            let fault = crate::support::fault_of(&response);
            if at.is_none() {
                // It was ended before it stood, and that was answered first.
                assert!(fault.code == Code::Unwatched || fault.data.temporary, "{fault}");
                return self.count_unwatched();
            }
            // The mission restarts, or the server is busy: asked again with the next connection.
            assert!(fault.data.temporary, "{fault}");
            self.subs.remove(sub);
            return self.gone();
        }
        let (what, stand) = at.expect("a watch that was asked for, and was not ended");
        if stand == Stand::Asked {
            self.subs.insert(sub.to_owned(), (what, Stand::Stands));
        }
        match what {
            Watched::Mission(mission) => {
                let watching: Watching = serde_json::from_value(response["result"].take()).expect("a watch");
                self.views.get_mut(&mission).expect("a view").begin(watching, asked);
            }
            Watched::List(list) => self.lists.begin(list, response["result"]["items"].take()),
        }
    }

    /// What a notice is about: of nothing else is anything to be heard.
    fn watched(&self, sub: &str) -> Watched {
        let (what, at) = self.subs.get(sub).copied().expect("a watch that there is");
        assert!(at != Stand::Asked, "news before the answer to the watch");
        what
    }

    fn mission_of(&self, sub: &str) -> usize {
        match self.watched(sub) {
            Watched::Mission(mission) => mission,
            Watched::List(list) => panic!("{list:?} is no mission"),
        }
    }
}
