//! What goes on in a mission and is never stored: text as it is being said, who is writing, who points where.

use serde_json::Value;

use crate::{
    Event, EventFrame, UserId,
    model::Author,
    notification::{LiveItem, MissionLive},
};

/// What goes on in a mission now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// What is being said, each as far as it has come.
    pub texts: Vec<LiveText>,
    /// Who is writing.
    pub typing: Vec<LiveTyping>,
    /// Who points where.
    pub cursors: Vec<LiveCursor>,
}

/// Something that is being said.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveText {
    /// The speaker's name for it.
    pub stream: String,
    /// Who speaks.
    pub by: Author,
    /// The words so far.
    pub text: String,
}

/// Somebody who is writing.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveTyping {
    /// Who.
    pub user: UserId,
    /// The user name.
    pub name: String,
}

/// Somebody who points at something.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveCursor {
    /// Who.
    pub user: UserId,
    /// The user name.
    pub name: String,
    /// Where, in the clients' own terms.
    pub at: Value,
}

impl Live {
    /// Takes in what a notice says.
    pub fn apply(&mut self, notice: &MissionLive) {
        if notice.whole {
            *self = Self::default();
        }
        notice.items.iter().for_each(|item| self.item(item));
    }

    /// Takes in an event: the text that it is the whole of is not being said any more.
    pub fn settle(&mut self, frame: &EventFrame) {
        if let Event::ActivityLogged { stream: Some(stream), .. } = &frame.event {
            self.texts.retain(|said| said.stream != *stream);
        }
    }

    fn item(&mut self, item: &LiveItem) {
        match item {
            LiveItem::Text { stream, by, text } => match self.texts.iter_mut().find(|said| said.stream == *stream) {
                Some(said) => said.text.push_str(text),
                None => self.texts.push(LiveText { stream: stream.clone(), by: by.clone(), text: text.clone() }),
            },
            LiveItem::TextEnd { stream } => self.texts.retain(|said| said.stream != *stream),
            LiveItem::Typing { user, name, on } => {
                self.typing.retain(|writer| writer.user != *user);
                if *on {
                    self.typing.push(LiveTyping { user: *user, name: name.clone() });
                }
            }
            LiveItem::Cursor { user, name, at } => {
                self.cursors.retain(|cursor| cursor.user != *user);
                if !at.is_null() {
                    self.cursors.push(LiveCursor { user: *user, name: name.clone(), at: at.clone() });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Timestamp, client::testing::frame};
    use serde_json::json;
    use uuid::Uuid;

    fn text(stream: &str, text: &str) -> LiveItem {
        LiveItem::Text { stream: stream.to_owned(), by: Author::System, text: text.to_owned() }
    }

    fn notice(whole: bool, items: Vec<LiveItem>) -> MissionLive {
        MissionLive { sub: "w1".to_owned(), whole, items }
    }

    fn said(live: &Live) -> Vec<(&str, &str)> {
        live.texts.iter().map(|said| (said.stream.as_str(), said.text.as_str())).collect()
    }

    #[test]
    fn text_grows_until_its_event_is_there_or_it_broke_off() {
        let mut live = Live::default();
        live.apply(&notice(true, vec![text("a", "Dear "), text("b", "1")]));
        live.apply(&notice(false, vec![text("a", "Ann")]));
        assert_eq!(said(&live), [("a", "Dear Ann"), ("b", "1")]);
        let mut whole = frame(7, Event::ProgressReported { percent: 1 });
        live.settle(&whole);
        whole.event = Event::ActivityLogged {
            activity: Uuid::from_u128(1).into(),
            activity_type: Default::default(),
            message: "Dear Ann,".to_owned(),
            details: None,
            step: None,
            stream: Some("a".to_owned()),
        };
        whole.at = Timestamp::from_millis(1);
        live.settle(&whole);
        assert_eq!(said(&live), [("b", "1")]);
        live.apply(&notice(false, vec![LiveItem::TextEnd { stream: "b".to_owned() }]));
        assert_eq!(live, Live::default());
        live.apply(&notice(false, vec![text("c", "lost")]));
        live.apply(&notice(true, vec![text("d", "kept")]));
        assert_eq!(said(&live), [("d", "kept")], "what is whole replaces all");
    }

    #[test]
    fn a_person_writes_or_points_once_and_then_no_more() {
        let (user, name) = (Uuid::from_u128(2).into(), "vera".to_owned());
        let typing = |on| LiveItem::Typing { user, name: name.clone(), on };
        let cursor = |at| LiveItem::Cursor { user, name: name.clone(), at };
        let mut live = Live::default();
        live.apply(&notice(false, vec![typing(true), typing(true), cursor(json!([1])), cursor(json!([2]))]));
        assert_eq!(
            (live.typing.len(), &live.cursors[..]),
            (1, &[LiveCursor { user, name: name.clone(), at: json!([2]) }][..])
        );
        live.apply(&notice(false, vec![typing(false), cursor(Value::Null)]));
        assert_eq!(live, Live::default());
    }
}
