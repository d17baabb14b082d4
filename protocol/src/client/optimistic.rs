//! Commands whose effect is seen at once: expected events on top of the confirmed state, taken back when they do not come.

use serde_json::{Map, Value};
use uuid::{Builder, Uuid};

use crate::{
    CommandId, Event, EventFrame, Timestamp, UserId,
    model::{Author, Mission},
};

/// An id for what an expected event makes, until the server has given it one. It is equal to every id in comparisons
/// with what came.
pub fn expected_id() -> Uuid {
    // Version 8 is for whoever has a use for it (RFC 9562, section 5.8); servers give version 7.
    Builder::from_custom_bytes(*Uuid::now_v7().as_bytes()).into_uuid()
}

/// What a command is expected to cause, given the mission as it is.
pub(super) type Expect = Box<dyn Fn(&Mission) -> Vec<Event> + Send + Sync>;

/// A command that is under way.
struct Pending {
    id: u64,
    expect: Expect,
    /// Those of the expected events that came already.
    arrived: Vec<EventFrame>,
    at: Timestamp,
    /// Once it is carried out: its id, and the position by which all its events are there.
    done: Option<(Option<CommandId>, u64)>,
}

/// The commands of one mission that are under way.
#[derive(Default)]
pub(super) struct Optimistic {
    pending: Vec<Pending>,
    next: u64,
}

impl Optimistic {
    /// A command begins; gives its number.
    pub(super) fn begin(&mut self, expect: Expect) -> u64 {
        self.next += 1;
        let id = self.next;
        self.pending.push(Pending { id, expect, arrived: Vec::new(), at: Timestamp::now(), done: None });
        id
    }

    /// Command number `id` was carried out; what it caused is all there at `seq`. `known` is the mission's position here.
    pub(super) fn done(&mut self, id: u64, command: Option<CommandId>, seq: u64, known: u64) {
        if known >= seq {
            return self.drop(id);
        }
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.id == id) {
            pending.done = Some((command, seq));
        }
    }

    /// Command number `id` was refused, or nobody knows what came of it: nothing is expected of it any more.
    pub(super) fn drop(&mut self, id: u64) {
        self.pending.retain(|pending| pending.id != id);
    }

    /// Whether command number `id` waits for its answer.
    pub(super) fn is_open(&self, id: u64) -> bool {
        self.pending.iter().any(|pending| pending.id == id && pending.done.is_none())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The server confirmed `base`, the last part of it by `events`: what was expected of it is no longer.
    pub(super) fn confirmed(&mut self, base: &Mission, events: &[EventFrame], me: Option<UserId>) {
        self.pending.retain(|pending| match pending.done {
            None => true,
            Some((command, seq)) => {
                let came = |event: &EventFrame| {
                    command.is_some() && event.cause.as_ref().map(|cause| cause.command) == command
                };
                base.seq < seq && !events.iter().any(came)
            }
        });
        // An event may come before the answer to its command: then it must not be seen twice until that is there.
        for event in events {
            if matches!(event.by, Author::Person { id, .. } if Some(id) == me)
                && let Some(pending) = self.pending.iter_mut().find(|pending| pending.waits_for(event, base))
            {
                pending.arrived.push(event.clone());
            }
        }
    }

    /// `base` with all that is expected on top of it.
    pub(super) fn view(&self, base: &Mission, me: &Author) -> Mission {
        let mut view = base.clone();
        for pending in &self.pending {
            let mut arrived: Vec<&EventFrame> = pending.arrived.iter().collect();
            for event in (pending.expect)(&view) {
                if let Some(at) = arrived.iter().position(|came| is_as_expected(&came.event, &event)) {
                    arrived.remove(at);
                    continue;
                }
                let updated_at = view.updated_at;
                view.apply(&EventFrame { seq: view.seq, at: pending.at, by: me.clone(), cause: None, event });
                view.updated_at = updated_at;
            }
        }
        view
    }
}

impl Pending {
    fn waits_for(&self, event: &EventFrame, base: &Mission) -> bool {
        let open: Vec<Event> =
            (self.expect)(base).into_iter().filter(|expected| is_as_expected(&event.event, expected)).collect();
        let came = |came: &&EventFrame| open.iter().any(|expected| is_as_expected(&came.event, expected));
        open.len() > self.arrived.iter().filter(came).count()
    }
}

/// Whether all that was expected, but for ids that nobody could know, is in what came.
fn is_as_expected(event: &Event, expected: &Event) -> bool {
    let (Some(came), Some(expected)) = (fields(event), fields(expected)) else { return false };
    expected.iter().all(|(name, value)| is_made_up(value) || came.get(name) == Some(value))
}

fn fields(event: &Event) -> Option<Map<String, Value>> {
    match serde_json::to_value(event) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

fn is_made_up(value: &Value) -> bool {
    let id = value.as_str().and_then(|text| Uuid::parse_str(text).ok());
    id.is_some_and(|id| id.get_version_num() == 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Cause,
        client::testing::{frame, snapshot},
    };

    const ME: Uuid = Uuid::from_u128(77);

    fn me() -> Author {
        Author::Person { id: ME.into(), name: "ann".to_owned() }
    }

    fn said(text: &str, message: Uuid) -> Event {
        Event::MessageSent { message: message.into(), text: text.to_owned() }
    }

    /// What the server makes of it.
    fn came(seq: u64, text: &str, command: u128) -> EventFrame {
        let cause = Some(Cause { command: Uuid::from_u128(command).into(), operation: "message.send".to_owned() });
        EventFrame { by: me(), cause, ..frame(seq, said(text, Uuid::from_u128(u128::from(seq)))) }
    }

    fn texts(mission: &Mission) -> Vec<&str> {
        mission.messages.iter().map(|message| message.text.as_str()).collect()
    }

    fn expecting(text: &'static str) -> Expect {
        let id = expected_id();
        Box::new(move |_| vec![said(text, id)])
    }

    #[test]
    fn what_is_expected_is_seen_until_it_is_confirmed_or_refused() {
        let mut base = snapshot(3);
        let mut optimistic = Optimistic::default();
        let (first, second) = (optimistic.begin(expecting("one")), optimistic.begin(expecting("two")));
        assert_eq!(texts(&optimistic.view(&base, &me())), ["one", "two"]);
        assert_eq!(optimistic.view(&base, &me()).seq, 3);
        optimistic.drop(second);
        assert_eq!(texts(&optimistic.view(&base, &me())), ["one"]);
        optimistic.done(first, Some(Uuid::from_u128(5).into()), 4, base.seq);
        assert_eq!(texts(&optimistic.view(&base, &me())), ["one"], "until its event is here");
        let event = came(4, "one", 5);
        base.apply(&event);
        optimistic.confirmed(&base, &[event], Some(ME.into()));
        assert!(optimistic.is_empty());
        assert_eq!(texts(&base), ["one"]);
    }

    #[test]
    fn an_event_that_comes_before_its_answer_is_not_seen_twice() {
        let mut base = snapshot(3);
        let mut optimistic = Optimistic::default();
        let (first, second) = (optimistic.begin(expecting("again")), optimistic.begin(expecting("again")));
        let event = came(4, "again", 5);
        base.apply(&event);
        optimistic.confirmed(&base, &[event], Some(ME.into()));
        assert_eq!(texts(&optimistic.view(&base, &me())), ["again", "again"], "one came, and one is expected");
        optimistic.done(first, Some(Uuid::from_u128(5).into()), 4, base.seq);
        assert!(!optimistic.is_open(first) && optimistic.is_open(second));
        assert_eq!(texts(&optimistic.view(&base, &me())), ["again", "again"]);
        // The same words of somebody else are none of ours.
        let other = EventFrame { by: Author::System, ..came(5, "again", 6) };
        base.apply(&other);
        optimistic.confirmed(&base, &[other], Some(ME.into()));
        assert_eq!(texts(&optimistic.view(&base, &me())).len(), 3);
    }

    #[test]
    fn made_up_ids_are_equal_to_all_and_everything_else_to_itself() {
        assert!(is_as_expected(&said("a", Uuid::from_u128(1)), &said("a", expected_id())));
        assert!(!is_as_expected(&said("a", Uuid::from_u128(1)), &said("a", Uuid::now_v7())));
        assert!(!is_as_expected(&said("a", Uuid::from_u128(1)), &said("b", expected_id())));
        assert!(!is_as_expected(&Event::MissionDeleted, &said("a", expected_id())));
    }
}
