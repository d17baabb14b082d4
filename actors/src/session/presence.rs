//! How a session says what its person does in a mission that it watches.

use flightdeck_data::mission::{State, check_json};
use flightdeck_protocol::{
    Code, Fault, MissionId,
    operations::{Empty, LooksAt, PresenceSet},
};

use super::Session;
use crate::{
    live::{Place, Topic},
    registry::not_found,
};

/// How much JSON says where somebody points, in bytes.
const CURSOR_BYTES: usize = 1024;

/// Something that is to be said in a mission: from where, and when among what is said there.
pub(super) struct Word {
    place: Place,
    said: u64,
}

impl Session {
    /// Something is to be said in `mission`: what is said later counts as later.
    ///
    /// # Errors
    /// When the session does not watch it.
    pub(super) fn speak(&self, mission: MissionId) -> Result<Word, Fault> {
        let place = self.core.outbox.place_in(Topic::Mission(mission)).ok_or_else(|| {
            let message = "presence is for those who watch: await the answer to mission.watch of this mission first";
            Fault::new(Code::SubscriptionNotFound, message).on("mission")
        })?;
        Ok(Word { said: place.word(), place })
    }

    /// Shows others what the person does: all that is said, or, where any of it is wrong, nothing.
    pub(super) async fn set_presence(&self, set: PresenceSet, Word { place, said }: Word) -> Result<Empty, Fault> {
        set.cursor.as_ref().map_or(Ok(()), |at| check_json("cursor", at, CURSOR_BYTES))?;
        let head = place.feed().head();
        if set.seen_seq.is_some_and(|seq| seq > head) {
            let message = format!("the mission's newest event is {head}; nobody has seen further");
            return Err(Fault::invalid("seen_seq", message));
        }
        if let Some(looks_at) = set.looks_at.filter(|looks_at| *looks_at != LooksAt::default()) {
            let mission = self.core.desk.registry.find(set.mission, place.feed().organization).await?;
            mission.look(move |state| check_look(state, looks_at)).await?.ok_or_else(|| not_found(set.mission))??;
        }
        place.show(said, &set);
        Ok(Empty {})
    }
}

/// What is looked at is there; `None` where the mission is not.
fn check_look(state: &State, looks_at: LooksAt) -> Option<Result<(), Fault>> {
    let mission = state.living()?;
    let missing = |code, what: &str| {
        Err(Fault::new(code, format!("the mission has no such {what}; look with mission.get")).on("looks_at"))
    };
    Some(match looks_at {
        LooksAt { step: Some(step), .. } if mission.step_index(step).is_none() => missing(Code::StepNotFound, "step"),
        LooksAt { document: Some(document), .. } if !mission.documents.iter().any(|known| known.id == document) => {
            missing(Code::DocumentNotFound, "document")
        }
        _ => Ok(()),
    })
}
