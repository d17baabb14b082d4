//! An event as a mission publishes it: its bytes, and what it means for the other lanes.

use bytes::Bytes;
use flightdeck_protocol::{Event, EventFrame, model::ActivityType};
use serde::Deserialize;

/// An event on its way to watchers.
#[derive(Clone, Debug)]
pub struct News {
    /// The event as JSON.
    pub json: Bytes,
    /// Whether it is a mere log entry, which a watch that is far behind may be spared.
    pub is_log: bool,
    /// Whether it is an activity of any kind.
    pub is_activity: bool,
    /// Whether it takes steps out of the plan.
    pub removes_steps: bool,
    /// What of the live text is over with it.
    pub ends: Ends,
}

/// What of the live text an event ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Nothing.
    Nothing,
    /// One stream: the event has its whole text.
    Stream(String),
    /// Every stream: whoever spoke is gone, or has done.
    All,
}

impl News {
    /// The event of `frame`, which `json` spells.
    pub fn of(frame: &EventFrame, json: Bytes) -> Self {
        let ends = match &frame.event {
            Event::ActivityLogged { stream: Some(stream), .. } => Ends::Stream(stream.clone()),
            Event::AgentStarted { .. } | Event::AgentExited { .. } | Event::MissionDeleted => Ends::All,
            Event::StatusChanged { to, .. } if to.is_ended() => Ends::All,
            _ => Ends::Nothing,
        };
        let is_log = matches!(&frame.event, Event::ActivityLogged { activity_type, .. } if is_chatter(*activity_type));
        let is_activity = matches!(&frame.event, Event::ActivityLogged { .. });
        let removes_steps = matches!(&frame.event, Event::StepRemoved { .. });
        Self { json, is_log, is_activity, removes_steps, ends }
    }
}

fn is_chatter(activity_type: ActivityType) -> bool {
    matches!(activity_type, ActivityType::Info | ActivityType::Log)
}

/// Whether an event that was read from the journal is a mere log entry. What cannot be read is not:
/// it is shown rather than left out.
pub(super) fn is_log(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Kind<'a> {
        kind: &'a str,
        #[serde(default, rename = "type")]
        activity_type: Option<ActivityType>,
    }
    // An event that is no log entry may have a `type` that is none of an activity's, and fails here.
    serde_json::from_slice::<Kind<'_>>(json)
        .is_ok_and(|event| event.kind == "activity_logged" && event.activity_type.is_some_and(is_chatter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_protocol::{
        Timestamp,
        model::{Author, MissionStatus},
    };

    fn news(event: Event) -> News {
        let frame = EventFrame { seq: 1, at: Timestamp::from_millis(0), by: Author::System, cause: None, event };
        let json = serde_json::to_vec(&frame).unwrap();
        News::of(&frame, json.into())
    }

    fn activity(activity_type: ActivityType, stream: Option<&str>) -> News {
        news(Event::ActivityLogged {
            activity: uuid::Uuid::nil().into(),
            activity_type,
            message: "a \"kind\": \"message_sent\"".to_owned(),
            details: Some(serde_json::json!({"kind": "status_changed", "type": "error"})),
            step: None,
            stream: stream.map(str::to_owned),
        })
    }

    #[test]
    fn only_chatter_is_a_mere_log_entry_wherever_it_is_read_from() {
        use ActivityType::{Error, Info, Log, Success, Text, Warning};
        for (activity_type, chatter) in
            [(Info, true), (Log, true), (Success, false), (Warning, false), (Error, false), (Text, false)]
        {
            let news = activity(activity_type, None);
            assert_eq!((news.is_log, is_log(&news.json)), (chatter, chatter), "{activity_type:?}");
        }
        for event in [Event::ProgressReported { percent: 1 }, Event::MissionDeleted] {
            let news = news(event);
            assert!(!news.is_log && !is_log(&news.json));
        }
        assert!(!is_log(b"{\"kind\":\"activity_logged\""));
    }

    #[test]
    fn a_stream_ends_with_its_text_and_all_end_with_who_spoke() {
        assert_eq!(activity(ActivityType::Text, Some("a")).ends, Ends::Stream("a".to_owned()));
        assert_eq!(activity(ActivityType::Text, None).ends, Ends::Nothing);
        let exit = Event::AgentExited { incarnation: 1, outcome: "gone".to_owned(), stderr: None, restart_in_ms: None };
        assert_eq!(news(exit).ends, Ends::All);
        let to = |to| Event::StatusChanged { from: MissionStatus::Running, to, reason: None, result: None };
        assert_eq!(news(to(MissionStatus::Cancelled)).ends, Ends::All);
        assert_eq!(news(to(MissionStatus::Waiting)).ends, Ends::Nothing);
    }
}
