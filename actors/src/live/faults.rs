//! What is to go wrong for those who watch a mission: planned by a client that sees whether others cope.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use flightdeck_protocol::{
    Fault,
    operations::{FaultAction, FaultPlan, PlannedFault},
};

/// How many faults a plan has at most.
const FAULTS: usize = 100;
/// The longest time that a frame is held back.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// What goes wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// It is not sent, and the next one is.
    Drop,
    /// It is held back for so long, and everything of the session behind it.
    Delay(Duration),
    /// It is sent twice.
    Duplicate,
    /// The connection ends in its stead, without a goodbye.
    Kill,
}

/// A plan that can be carried out.
#[derive(Debug, Default)]
pub struct Plan(Vec<Planned>);

#[derive(Debug)]
struct Planned {
    harm: Harm,
    at: At,
    /// How often it is still to happen.
    left: u32,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// The frame with this event.
    Seq(u64),
    /// The frame of this number in its watch.
    Frame(u64),
}

/// A frame of events, as the plan knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Which one of its watch, from 1.
    pub(super) number: u64,
    /// The first event in it.
    pub(super) from: u64,
    /// The last event in it.
    pub(super) to: u64,
}

/// The plan of one mission, shared by the threads of those who watch it.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Whether there is anything in the plan: all that a frame asks where nobody plans anything.
    any: AtomicBool,
    plan: Mutex<Plan>,
}

impl Plan {
    /// Reads the plan that a client sent.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(plan: &FaultPlan) -> Result<Self, Fault> {
        if plan.faults.len() > FAULTS {
            return Err(Fault::invalid("faults", format!("a plan has {FAULTS} faults at most")));
        }
        plan.faults.iter().enumerate().map(|(nth, fault)| Planned::read(nth, fault)).collect::<Result<_, _>>().map(Self)
    }

    /// What goes wrong with `frame`, which counts as having happened then.
    fn take(&mut self, frame: Frame) -> Option<Harm> {
        let index = self.0.iter().position(|planned| planned.at.is(frame))?;
        let planned = &mut self.0[index];
        let harm = planned.harm;
        planned.left -= 1;
        if planned.left == 0 {
            self.0.remove(index);
        }
        Some(harm)
    }
}

impl Planned {
    fn read(nth: usize, fault: &PlannedFault) -> Result<Self, Fault> {
        let wrong = |member: &str, what: &str| Err(Fault::invalid(&format!("faults[{nth}].{member}"), what));
        let at = match (fault.at_seq, fault.at_frame) {
            (Some(seq @ 1..), None) => At::Seq(seq),
            (None, Some(frame @ 1..)) => At::Frame(frame),
            (Some(0), None) => return wrong("at_seq", "events are counted from 1"),
            (None, Some(0)) => return wrong("at_frame", "frames are counted from 1"),
            _ => return wrong("at_seq", "a fault happens at an event or at a frame: give one of at_seq and at_frame"),
        };
        let delay = fault.delay_ms.map(Duration::from_millis);
        let harm = match (fault.action, delay) {
            (FaultAction::Delay, Some(delay)) if delay <= DELAY_MAX => Harm::Delay(delay),
            (FaultAction::Delay, _) => return wrong("delay_ms", "a delay takes delay_ms, 60,000 at most"),
            (_, Some(_)) => return wrong("delay_ms", "only a delay takes delay_ms; leave it out"),
            (FaultAction::Drop, None) => Harm::Drop,
            (FaultAction::Duplicate, None) => Harm::Duplicate,
            (FaultAction::Kill, None) => Harm::Kill,
        };
        match fault.times.unwrap_or(1) {
            0 => wrong("times", "a fault happens once at least; leave it out of the plan if it is not to happen"),
            left => Ok(Self { harm, at, left }),
        }
    }
}

impl At {
    fn is(self, frame: Frame) -> bool {
        match self {
            Self::Seq(seq) => (frame.from..=frame.to).contains(&seq),
            Self::Frame(number) => number == frame.number,
        }
    }
}

impl Faults {
    /// Puts `plan` in the place of the one before.
    pub(super) fn replace(&self, plan: Plan) {
        let mut current = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        self.any.store(!plan.0.is_empty(), Ordering::Relaxed);
        *current = plan;
    }

    /// What goes wrong with `frame`, if anything does.
    pub(super) fn take(&self, frame: Frame) -> Option<Harm> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let harm = plan.take(frame);
        self.any.store(!plan.0.is_empty(), Ordering::Relaxed);
        harm
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_protocol::{Code, MissionId};
    use serde_json::{Value, json};

    fn plan(faults: Value) -> Result<Plan, Fault> {
        let plan = json!({"mission": MissionId::fresh(), "faults": faults});
        Plan::read(&serde_json::from_value(plan).unwrap())
    }

    fn frame(number: u64, from: u64, to: u64) -> Frame {
        Frame { number, from, to }
    }

    #[test]
    fn a_fault_happens_where_it_is_planned_and_as_often() {
        let faults = Faults::default();
        assert_eq!(faults.take(frame(1, 1, 9)), None);
        faults.replace(
            plan(json!([
                {"action": "drop", "at_seq": 5},
                {"action": "kill", "at_frame": 2, "times": 2},
                {"action": "delay", "at_seq": 5, "delay_ms": 60_000},
            ]))
            .unwrap(),
        );
        assert_eq!(faults.take(frame(1, 1, 4)), None);
        assert_eq!(faults.take(frame(2, 5, 5)), Some(Harm::Drop), "the first of those that fit");
        assert_eq!(faults.take(frame(1, 3, 9)), Some(Harm::Delay(DELAY_MAX)));
        assert_eq!(faults.take(frame(1, 3, 9)), None);
        assert_eq!(faults.take(frame(2, 3, 9)), Some(Harm::Kill));
        assert_eq!(faults.take(frame(2, 3, 9)), Some(Harm::Kill), "counted over all watches");
        assert_eq!(faults.take(frame(2, 3, 9)), None);
        assert!(!faults.any.load(Ordering::Relaxed), "a plan that is carried out costs nothing");
        faults.replace(plan(json!([{"action": "duplicate", "at_frame": 1}])).unwrap());
        faults.replace(plan(json!([])).unwrap());
        assert_eq!(faults.take(frame(1, 1, 1)), None, "an empty plan ends the one before");
    }

    #[test]
    fn a_plan_that_makes_no_sense_is_refused_with_the_place() {
        for (fault, place) in [
            (json!({"action": "drop"}), "at_seq"),
            (json!({"action": "drop", "at_seq": 1, "at_frame": 1}), "at_seq"),
            (json!({"action": "drop", "at_seq": 0}), "at_seq"),
            (json!({"action": "kill", "at_frame": 0}), "at_frame"),
            (json!({"action": "delay", "at_seq": 1}), "delay_ms"),
            (json!({"action": "delay", "at_seq": 1, "delay_ms": 60_001}), "delay_ms"),
            (json!({"action": "drop", "at_seq": 1, "delay_ms": 1}), "delay_ms"),
            (json!({"action": "duplicate", "at_seq": 1, "times": 0}), "times"),
        ] {
            let good = json!({"action": "drop", "at_seq": 1});
            let fault = plan(json!([good, fault])).unwrap_err();
            assert_eq!(fault.code, Code::InvalidValue);
            assert_eq!(fault.data.field.as_deref(), Some(format!("faults[1].{place}").as_str()), "{fault}");
        }
        let many = |count: usize| plan(Value::Array(vec![json!({"action": "drop", "at_seq": 1}); count]));
        assert!(many(100).is_ok());
        assert_eq!(many(101).unwrap_err().code, Code::InvalidValue);
    }
}
