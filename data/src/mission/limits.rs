//! What a mission may hold at most, and how big the parts may be.

/// Steps in a plan.
pub const STEPS: usize = 5_000;
/// Steps from the top of a plan to its deepest leaf.
pub const STEP_DEPTH: usize = 32;
/// Documents of a mission.
pub const DOCUMENTS: usize = 1_000;
/// Questions and approvals of a mission, answered ones included.
pub const APPROVALS: usize = 500;
/// Messages since the last checkpoint that the agent's next run is told.
pub const UNTOLD_MESSAGES: usize = 100;
/// Characters of a mission's title.
pub const TITLE: usize = 200;
/// Characters of a step's title.
pub const STEP_TITLE: usize = 500;
/// Characters of a name: a sort of mission, an assignee, a key, an option.
pub const NAME: usize = 64;
/// Characters of a reason or a result in words.
pub const SENTENCE: usize = 4_000;
/// Characters of a message between people and agents.
pub const TEXT: usize = 16_000;
/// Arrays and objects within each other in JSON of any shape. Readers of JSON stop at 128, and what is stored here goes
/// out with some of its own around it: what nobody can read must not come in.
pub const JSON_DEPTH: usize = 64;
/// Bytes of a mission's input, and of its result, as JSON.
pub const INPUT_BYTES: usize = 32 * 1024;
/// Bytes of an activity's details, as JSON.
pub const DETAILS_BYTES: usize = 16 * 1024;
/// Bytes of a checkpoint, as JSON.
pub const CHECKPOINT_BYTES: usize = 32 * 1024;
