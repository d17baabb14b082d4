//! Every setting of the server, declared once: name, type, default, bounds, unit and what it is for.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use figment::value::Value;
use serde::{Deserialize, Serialize};

use super::{
    agents::AgentSettings,
    value::{LogFormat, SettingValue, Signup},
};

/// A setting as a row of the table.
pub(super) struct Setting {
    /// The name, as in the file.
    pub(super) name: &'static str,
    /// What it is for, in a sentence.
    pub(super) doc: &'static str,
    /// What numbers count; empty where nothing is counted.
    pub(super) unit: &'static str,
    /// What stands for the value in the help.
    pub(super) value_name: &'static str,
    /// Whether it is a switch, which a flag turns on without a value.
    pub(super) is_switch: bool,
    /// The value that `Settings` has, as one would write it.
    pub(super) show: fn(&Settings) -> String,
    /// Reads a value from the text of a flag or of the environment.
    pub(super) read: fn(&str) -> Result<Value, String>,
    /// Says what is wrong with the value that `Settings` has, if something is.
    pub(super) check: fn(&Settings) -> Result<(), String>,
}

macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident: $type:ty = $default:expr, $unit:literal $(, $low:literal..=$high:literal)?;
    )+) => {
        /// How the server is set up.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct Settings {
            $($(#[doc = $doc])+ pub(crate) $name: $type,)+
            /// The agents that missions can be given to, by the name of their kind.
            pub(crate) agents: BTreeMap<String, AgentSettings>,
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($name: $default.into(),)+ agents: BTreeMap::new() }
            }
        }

        /// Every setting but the agents, in the order of declaration.
        pub(super) static TABLE: &[Setting] = &[
            $(Setting {
                name: stringify!($name),
                doc: concat!($($doc),+).trim_ascii(),
                unit: $unit,
                value_name: <$type>::VALUE_NAME,
                is_switch: <$type>::IS_SWITCH,
                show: |settings| settings.$name.show(),
                read: |text| <$type>::read(text).map(SettingValue::into_value),
                check: |settings| {
                    let _value = &settings.$name;
                    $(
                        let (low, high): ($type, $type) = ($low, $high);
                        if !(low..=high).contains(_value) {
                            return Err(format!("{} has to be from {low} to {high}, and is {_value}", stringify!($name)));
                        }
                    )?
                    Ok(())
                },
            },)+
        ];
    };
}

settings! {
    /// The address that the server listens on; port 0 takes a free one.
    listen: SocketAddr = ([127, 0, 0, 1], 8080), "";
    /// The folder that the server keeps everything in.
    data_dir: PathBuf = "./var/flightdeck", "";
    /// Threads for sockets; 0 takes one for each core.
    workers: u32 = 0u32, "threads", 0..=1024;
    /// Threads for missions; 0 takes one for each core.
    mission_threads: u32 = 0u32, "threads", 0..=1024;
    /// Memory for the store's cache.
    cache_bytes: u64 = 64u64 << 20, "bytes", 1_048_576..=1_099_511_627_776;
    /// Whether anybody may sign up, and founds an organization by it: open or closed.
    signup: Signup = Signup::Open, "";
    /// How long an access token is good for.
    access_token_seconds: u64 = 900u64, "seconds", 5..=86_400;
    /// How long a sign-in lasts when it is not used.
    refresh_token_days: u32 = 30u32, "days", 1..=3650;
    /// The largest message that is taken from a client.
    message_bytes: u32 = 65_536u32, "bytes", 1024..=16_777_216;
    /// Missions that one session may watch at once.
    subscriptions: u32 = 64u32, "watches", 1..=100_000;
    /// Requests of one session that may wait for their answers at once.
    requests_in_flight: u32 = 64u32, "requests", 1..=10_000;
    /// The longest gap that a watcher who comes back is given event by event; beyond that it gets a snapshot.
    resume_events: u64 = 10_000u64, "events", 0..=1_000_000;
    /// The largest gap, by estimate, that such a watcher is given event by event; beyond that a snapshot is cheaper.
    resume_bytes: u64 = 16_777_216u64, "bytes", 0..=1_073_741_824;
    /// Live sessions that one person may have at once.
    sessions: u32 = 4096u32, "sessions", 1..=1_000_000;
    /// Requests that one session, or one person over HTTP, may make over time; the rest is refused.
    commands_per_second: u32 = 2000u32, "requests a second", 1..=1_000_000;
    /// Requests that one session, or one person over HTTP, may make at once after a quiet time.
    command_burst: u32 = 4000u32, "requests", 1..=1_000_000;
    /// Sockets that have not said who they are that may be open at once; further ones are refused.
    unnamed_sockets: u32 = 4096u32, "sockets", 1..=1_000_000;
    /// Sockets that are let in over time; the others are told when to come again.
    openings_per_second: u32 = 2000u32, "sockets a second", 1..=1_000_000;
    /// Sockets that are let in at once after a quiet time.
    opening_burst: u32 = 4000u32, "sockets", 1..=1_000_000;
    /// Calls with `idem` of one person that are remembered, each for 24 hours; where there would be more, the oldest sixteenth is forgotten.
    idem_calls: u32 = 1_000_000u32, "calls a person", 1..=100_000_000;
    /// The shortest time between two rolled-up pieces of a mission's live text.
    live_interval_ms: u32 = 40u32, "milliseconds", 1..=60_000;
    /// How long somebody is still shown to be in a mission after their last connection to it is gone.
    presence_grace_ms: u32 = 5_000u32, "milliseconds", 0..=600_000;
    /// How long a new socket has to say who it is.
    open_timeout_ms: u64 = 10_000u64, "milliseconds", 100..=600_000;
    /// How often the server tells its sessions that it is there.
    heartbeat_interval_ms: u64 = 25_000u64, "milliseconds", 100..=600_000;
    /// How long a client may be silent before it is dropped.
    heartbeat_timeout_ms: u64 = 60_000u64, "milliseconds", 200..=3_600_000;
    /// The time over which sessions are sent away, in waves, when the server stops; a second signal skips it.
    drain_ms: u64 = 3_000u64, "milliseconds", 0..=600_000;
    /// How long it takes by your reckoning until the next run is there; sessions come back after that.
    restart_ms: u64 = 1_000u64, "milliseconds", 0..=600_000;
    /// A mission's state is saved whole after this many events.
    snapshot_events: u64 = 500u64, "events", 1..=1_000_000;
    /// A mission's state is saved whole after events of this size altogether.
    snapshot_bytes: u64 = 262_144u64, "bytes", 1024..=1_073_741_824;
    /// The newest events of a mission that are kept in memory for watchers who come back.
    feed_bytes: u64 = 262_144u64, "bytes a mission", 0..=1_073_741_824;
    /// A mission that nobody watches or works on leaves memory after this time.
    mission_idle_seconds: u64 = 600u64, "seconds", 1..=86_400;
    /// Agent processes at once; further missions wait in the queue.
    agents_running: u32 = 64u32, "processes", 1..=100_000;
    /// The longest line that an agent may print.
    agent_line_bytes: u32 = 262_144u32, "bytes", 1024..=16_777_216;
    /// Lines that an agent may print over time; one that prints faster is slowed down.
    agent_events_per_second: u32 = 200u32, "lines a second", 1..=1_000_000;
    /// Lines that an agent may print at once.
    agent_burst: u32 = 400u32, "lines", 1..=1_000_000;
    /// How long one process of an agent may run.
    agent_wall_seconds: u64 = 86_400u64, "seconds", 1..=31_536_000;
    /// How long an agent may print nothing while its mission runs.
    agent_silence_seconds: u64 = 900u64, "seconds", 1..=31_536_000;
    /// How long an agent has at each stage of being stopped: asked, then told to end, then killed.
    agent_stop_grace_ms: u64 = 5_000u64, "milliseconds a stage", 10..=600_000;
    /// How long an agent has to pause by itself before its processes are frozen.
    agent_pause_grace_ms: u64 = 2_000u64, "milliseconds", 0..=600_000;
    /// How often an agent that ended by itself is started again before its mission fails.
    agent_restart_limit: u32 = 5u32, "restarts", 0..=1000;
    /// The wait before an agent is started again; it doubles each time.
    agent_restart_base_ms: u64 = 500u64, "milliseconds", 1..=3_600_000;
    /// The longest wait before an agent is started again.
    agent_restart_max_ms: u64 = 30_000u64, "milliseconds", 1..=86_400_000;
    /// The largest document that is taken.
    document_bytes: u64 = 268_435_456u64, "bytes", 1..=1_099_511_627_776;
    /// Lets admins make things fail on purpose, to see them come back.
    drills: bool = false, "";
    /// Lets admins plan what goes wrong for those who watch, to see that clients cope.
    faults: bool = false, "";
    /// Whether people depend on this server: nothing may be made to fail on purpose then.
    production: bool = false, "";
    /// What is logged: a level, or levels by module as in "info,flightdeck=debug".
    log: String = "info", "";
    /// How the log is written: text or json.
    log_format: LogFormat = LogFormat::Text, "";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_can_be_written_as_text_and_is_within_its_own_bounds() {
        let settings = Settings::default();
        for setting in TABLE {
            (setting.check)(&settings).unwrap();
            (setting.read)(&(setting.show)(&settings)).unwrap();
            assert!(setting.doc.ends_with('.'), "{}", setting.name);
            assert!(!setting.unit.is_empty() || setting.value_name != "NUMBER", "{} has no unit", setting.name);
        }
    }
}
