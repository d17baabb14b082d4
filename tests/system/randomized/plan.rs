//! Plans: what happens in a run, step by step, made from a seed, saved when it goes wrong, and replayed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use flightdeck_protocol::model::{Role, StepStatus};
use serde::{Deserialize, Serialize};

use super::lists::List;

/// Everything that a run does. What a step picks out is a number that counts around in what is there then.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// What it was made from.
    pub(super) seed: u64,
    /// Browser tabs: tab `n` belongs to person `n` of the people, around.
    pub(super) tabs: usize,
    /// Missions that people work on alone.
    pub(super) by_hand: usize,
    /// Missions with an agent.
    pub(super) with_agent: usize,
    /// The server's `resume_events`: longer gaps get a snapshot.
    pub(super) resume_events: u64,
    pub(super) steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum Step {
    /// A tab connects, and goes on where it was in every mission that it watches.
    Connect { tab: usize },
    /// Its connection is gone, without a goodbye.
    Drop { tab: usize },
    /// It stops reading.
    Hush { tab: usize },
    /// It reads again.
    Read { tab: usize },
    /// It watches one mission more.
    Watch { tab: usize, mission: usize },
    /// It watches one mission less.
    Unwatch { tab: usize, mission: usize },
    /// It watches one mission more, and changes its mind at once.
    Peek { tab: usize, mission: usize },
    /// It watches a list.
    WatchList { tab: usize, list: List },
    /// It watches a list no more.
    UnwatchList { tab: usize, list: List },
    /// It watches a list, and changes its mind at once.
    PeekList { tab: usize, list: List },
    /// It says what its person does in a mission.
    Show { tab: usize, mission: usize, typing: bool },
    /// It sends a command, and does not wait for the answer.
    Act {
        tab: usize,
        mission: usize,
        act: Act,
        /// Under a name, and again until it is answered.
        #[serde(default)]
        idem: bool,
        /// Only if nothing happened that the tab does not know of.
        #[serde(default)]
        if_seq: bool,
    },
    /// It sends its last named command once more, although it was answered.
    Again { tab: usize },
    /// Whoever leaves everything to the client library says something.
    Say { mission: usize },
    /// A person is given another role.
    Role { person: usize, role: Role },
    /// A mission's actor panics, unless it did so too often lately.
    Panic { mission: usize },
    /// One of the agents is killed.
    KillAgent { which: usize },
    /// Every command of a tab that reads is answered first.
    Rest,
    /// The server is killed and started again.
    KillServer,
    /// The server is told to stop, and started again.
    StopServer,
}

/// What a command does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub(super) enum Act {
    Note {
        bytes: usize,
    },
    Message,
    AddStep {
        under: usize,
    },
    UpdateStep {
        step: usize,
        status: StepStatus,
    },
    MoveStep {
        step: usize,
        under: usize,
    },
    RemoveStep {
        step: usize,
    },
    Answer {
        which: usize,
    },
    Update,
    Pause,
    Resume,
    Create,
    /// Something that is refused whoever sends it.
    Nonsense,
}

impl Plan {
    /// A plan of `steps` steps.
    pub(super) fn random(seed: u64, steps: usize) -> Self {
        let mut dice = Dice { random: fastrand::Rng::with_seed(seed), tabs: Vec::new(), missions: 0 };
        let (tabs, by_hand, with_agent) = (6, 3, 2);
        dice.tabs = vec![(false, false); tabs];
        dice.missions = by_hand + with_agent;
        let resume_events = dice.random.u64(20..400);
        let steps = (0..steps).map(|_| dice.step()).collect();
        Self { seed, tabs, by_hand, with_agent, resume_events, steps }
    }

    pub(super) fn read(path: &Path) -> Self {
        let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{} is no plan: {error}", path.display()))
    }

    /// Writes the plan where a failed one is looked for, a step a line.
    pub(super) fn save(&self) -> PathBuf {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/randomized");
        fs::create_dir_all(&folder).expect("a folder for plans");
        let path = folder.join(format!("{}.json", self.seed));
        let lines: Vec<String> =
            self.steps.iter().map(|step| serde_json::to_string(step).expect("a step as JSON")).collect();
        let head = serde_json::to_string(&Self { steps: Vec::new(), ..self.clone() }).expect("a plan as JSON");
        let head = head.strip_suffix("[]}").expect("the steps come last");
        fs::write(&path, format!("{head}[\n{}\n]}}\n", lines.join(",\n"))).expect("a saved plan");
        path
    }
}

/// Where chance comes from, and how the tabs stand.
struct Dice {
    random: fastrand::Rng,
    /// Whether a tab is connected, and whether it has stopped reading.
    tabs: Vec<(bool, bool)>,
    missions: usize,
}

impl Dice {
    fn step(&mut self) -> Step {
        match self.random.u32(0..10_000) {
            0..12 => return self.restart(Step::KillServer),
            12..20 => return self.restart(Step::StopServer),
            20..80 => return Step::KillAgent { which: self.random.usize(0..8) },
            80..500 => return Step::Rest,
            500..530 => return Step::Role { person: self.random.usize(0..5), role: self.role() },
            530..545 => return Step::Panic { mission: self.random.usize(0..self.missions) },
            545..800 => return Step::Say { mission: self.random.usize(0..self.missions) },
            _ => {}
        }
        let tab = self.random.usize(0..self.tabs.len());
        let (connected, hushed) = self.tabs[tab];
        let mission = self.random.usize(0..self.missions);
        match self.random.u32(0..100) {
            _ if !connected => {
                self.tabs[tab] = (true, false);
                Step::Connect { tab }
            }
            0..2 => {
                self.tabs[tab] = (false, false);
                Step::Drop { tab }
            }
            2..32 if hushed => {
                self.tabs[tab].1 = false;
                Step::Read { tab }
            }
            4..6 => {
                self.tabs[tab].1 = true;
                Step::Hush { tab }
            }
            7..9 => Step::Watch { tab, mission },
            9..10 => Step::Unwatch { tab, mission },
            10..13 => Step::Again { tab },
            13..15 => Step::Peek { tab, mission },
            15..16 => Step::WatchList { tab, list: self.list() },
            16..17 => Step::UnwatchList { tab, list: self.list() },
            17..18 => Step::PeekList { tab, list: self.list() },
            18..22 => Step::Show { tab, mission, typing: self.random.bool() },
            _ => {
                let idem = self.random.u32(0..100) < 40;
                let if_seq = self.random.u32(0..100) < 10;
                Step::Act { tab, mission, act: self.act(), idem, if_seq }
            }
        }
    }

    fn restart(&mut self, step: Step) -> Step {
        self.tabs.fill((false, false));
        step
    }

    fn act(&mut self) -> Act {
        let (one, other) = (self.random.usize(0..1000), self.random.usize(0..1000));
        match self.random.u32(0..100) {
            0..28 => Act::Note { bytes: 0 },
            28..31 => Act::Note { bytes: self.random.usize(0..3_900) },
            31..41 => Act::Message,
            41..55 => Act::AddStep { under: one },
            55..68 => Act::UpdateStep { step: one, status: self.status() },
            68..74 => Act::MoveStep { step: one, under: other },
            74..78 => Act::RemoveStep { step: one },
            78..84 => Act::Answer { which: one },
            84..88 => Act::Update,
            88..91 => Act::Pause,
            91..97 => Act::Resume,
            97..99 => Act::Create,
            _ => Act::Nonsense,
        }
    }

    fn list(&mut self) -> List {
        List::EACH[self.random.usize(0..List::EACH.len())]
    }

    /// Mostly one with which something can be done.
    fn role(&mut self) -> Role {
        use Role::{Approver, Manager, Officer, Viewer};
        let all = [Manager, Manager, Manager, Officer, Officer, Approver, Viewer];
        all[self.random.usize(0..all.len())]
    }

    fn status(&mut self) -> StepStatus {
        let all = [StepStatus::Pending, StepStatus::Running, StepStatus::Completed, StepStatus::Failed];
        all[self.random.usize(0..all.len())]
    }
}
