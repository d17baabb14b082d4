//! `flightdeck mission list --watch` as a script sees it: a line a change, over the end of the server.

use std::process::Stdio;

use flightdeck_protocol::{
    MissionId,
    model::{MissionStatus, Priority},
    notification::MissionChange,
    operations::{CancelMission, MissionCancel, MissionUpdate, UpdateMission},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::support::{Door, Member, Server, within};

/// The command, under way.
struct Listing {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listing {
    fn start(server: &Server, door: &Door, who: &Member, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flightdeck"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLIGHTDECK_")) {
            command.env_remove(name);
        }
        command.args(["mission", "list", "--watch", "--server", &door.url]).args(flags);
        command.env("FLIGHTDECK_TOKEN", &who.token).env("HOME", server.data());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the command line");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        within("a line", self.lines.next_line()).await.expect("readable output").expect("a list that goes on")
    }

    /// The next line without its time.
    async fn says(&mut self) -> String {
        let line = self.line().await;
        line.split_once(' ').expect("a time").1.to_owned()
    }

    /// Ctrl-C.
    async fn leave(mut self) {
        let pid = Pid::from_raw(self.child.id().expect("a process").try_into().expect("a process's number"));
        kill(pid, Signal::SIGINT).expect("a process");
        assert!(within("the end", self.child.wait()).await.expect("an end").success());
    }
}

async fn cancel(server: &Server, who: &Member, mission: MissionId) {
    server.call::<CancelMission>(who, MissionCancel { mission, reason: None }).await.expect("an end");
}

#[tokio::test]
async fn a_list_is_told_line_by_line_over_the_end_of_the_server() {
    let mut server = Server::start().await;
    let ann = server.admin("ann").await;
    let door = Door::to(&server).await;
    let first = server.mission(&ann, None, json!({})).await;
    let title = server.look(&ann, first).await.title;
    let mut list = Listing::start(&server, &door, &ann, &["--status", "pending"]);
    assert_eq!(list.says().await, format!("{first} pending 0% {title}"));
    let second = server.mission(&ann, None, json!({})).await;
    assert_eq!(list.says().await, format!("{second} pending 0% {title}"));

    server.kill_nine().await;
    server.start_again().await;
    cancel(&server, &ann, first).await;
    door.now_to(&server);
    // It leaves the list of what is pending; what did not change is not said again.
    assert_eq!(list.says().await, format!("{first} gone {title}"));
    let third = server.mission(&ann, None, json!({})).await;
    assert_eq!(list.says().await, format!("{third} pending 0% {title}"));
    list.leave().await;
}

#[tokio::test]
async fn programs_get_the_changes_of_a_list_as_json() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let door = Door::to(&server).await;
    let (calm, urgent) = (server.mission(&ann, None, json!({})).await, server.mission(&ann, None, json!({})).await);
    let update = |priority| MissionUpdate { priority: Some(priority), ..update(calm) };
    server.call::<UpdateMission>(&ann, update(Priority::High)).await.expect("a change");
    let mut list = Listing::start(&server, &door, &ann, &["--json", "--order", "priority", "--limit", "2"]);
    let mut put = async || match serde_json::from_str(&list.line().await).expect("JSON") {
        MissionChange::Put { mission } => mission,
        MissionChange::Remove { id } => panic!("{id} has gone"),
    };
    assert_eq!((put().await.id, put().await.id), (calm, urgent), "in the order that was asked for");
    server.call::<UpdateMission>(&ann, update(Priority::Urgent)).await.expect("a change");
    let changed = put().await;
    assert_eq!((changed.id, changed.priority), (calm, Priority::Urgent));
    cancel(&server, &ann, calm).await;
    assert_eq!(put().await.status, MissionStatus::Cancelled);
    list.leave().await;
}

/// A change of nothing.
fn update(mission: MissionId) -> MissionUpdate {
    serde_json::from_value(json!({"mission": mission})).expect("a change")
}
