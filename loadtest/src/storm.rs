//! `storm`: a server that is killed, and everyone who comes back at the same time.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::{Args, value_parser};
use flightdeck_protocol::{
    MissionId,
    operations::{GetMission, MissionRef},
};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    bounds::{Bound, Movement},
    callers::{Called, EVERY, call_aside},
    costs::Costs,
    dashboards::Dashboard,
    herd::{Member, Returned},
    latency::Latency,
    progress::Progress,
    report::{Figure, Report, Side, Unit},
    server::{Folder, Server},
    signin::{SignIn, started_mission},
};

/// How long all sessions may take to come about, to come back, and to get the rest.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long others call before the server is killed, and after everyone is back.
const AROUND: Duration = Duration::from_secs(5);
/// How long the server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// Who loses the server, and who calls meanwhile.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Storm")]
pub(crate) struct Load {
    /// How many sessions watch, and come back after the crash
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = value_parser!(u32).range(1..=100_000))]
    sessions: u32,
    /// Over how many missions they are spread
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(1..=10_000))]
    storm_missions: u32,
    /// How many other sessions show the list of missions, and ask for it again after the crash
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = value_parser!(u32).range(0..=100_000))]
    dashboards: u32,
    /// How many other sessions add activities to these missions, ten a second each, from the start to the end
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(1..=1_000))]
    others: u32,
    /// How long it may take from when the server listens again until all are back, in seconds
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    back_within: f64,
    /// So many times their p99 from before may the p99 of the others' commands be meanwhile
    #[arg(long, value_name = "TIMES", default_value_t = 3.0)]
    others_p99_times: f64,
    /// A p99 of theirs up to this is never too long, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 1_000.0)]
    others_p99_floor_ms: f64,
    /// The server's setting of this name after the crash, if it is not to be the default: sockets let in a second
    #[arg(long, value_name = "N")]
    openings_per_second: Option<u32>,
    /// The server's setting of this name after the crash, if it is not to be the default: sockets let in at once
    #[arg(long, value_name = "N")]
    opening_burst: Option<u32>,
}

impl Load {
    /// The server's settings after the crash.
    fn flags(&self) -> Vec<String> {
        let settings = [("openings-per-second", self.openings_per_second), ("opening-burst", self.opening_burst)];
        settings.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value?))).collect()
    }

    /// What is stated of a run. That all are resumed without a gap, and have everything in the end, is not among it:
    /// without that no run gets so far.
    fn bounds(&self, manner: &str, back: &Latency, [before, meanwhile]: [&Latency; 2], time: Duration) -> Vec<Bound> {
        let movement = Movement { times: self.others_p99_times, floor_ms: self.others_p99_floor_ms };
        let due = f64::from(self.others) * (time.as_secs_f64() / EVERY.as_secs_f64()).floor();
        let named = |what: &str| format!("{manner}: {what}");
        let seconds = Unit::Seconds;
        vec![
            Bound::at_most(named("server listens to all resumed"), back.longest_ms() / 1e3, self.back_within, seconds),
            movement.of(
                &named("others' commands meanwhile, p99, beside that of before"),
                before.p99_ms(),
                meanwhile.p99_ms(),
            ),
            // Each of the others has its own moments: one more or less falls into the time.
            Bound::at_least(
                named("others' commands meanwhile that were answered, of those due"),
                meanwhile.count() as f64,
                (due - f64::from(self.others)).max(1.0),
                Unit::Count,
            ),
        ]
    }
}

/// How the sessions come back.
#[derive(Clone, Copy)]
enum Manner {
    /// All in the moment in which the server listens.
    AtOnce,
    /// With the waits of our own client.
    WithWaits,
}

/// Runs the scenario, once for each manner, each on a server of its own in `parent`.
pub(crate) async fn run(program: &Path, parent: &Path, load: &Load) -> anyhow::Result<Report> {
    let (mut compared, mut bounds) = (Vec::new(), Vec::new());
    for (manner, name) in [(Manner::AtOnce, "all at once"), (Manner::WithWaits, "with our client's waits")] {
        let folder = Folder::inside(parent)?;
        let (figures, stated) = once(program, &folder, load, (manner, name)).await?;
        compared.push(Side::new(name, figures));
        bounds.extend(stated);
    }
    let Load { sessions, storm_missions, dashboards, others, .. } = load;
    let each = Duration::from_secs(1).as_millis() / EVERY.as_millis();
    let setup = format!(
        "{sessions} sessions watch {storm_missions} missions and {dashboards} their list; {others} others add {each} activities/s each; \
         the server is killed with SIGKILL and started again{}",
        load.flags().iter().map(|flag| format!(" {flag}")).collect::<String>()
    );
    Ok(Report { compared, bounds, ..Report::new("storm", setup) })
}

async fn once(
    program: &Path,
    folder: &Folder,
    load: &Load,
    (manner, name): (Manner, &str),
) -> anyhow::Result<(Vec<Figure>, Vec<Bound>)> {
    let progress = Progress::new();
    let server = Server::start(program, folder).await?;
    let sign_in = server.sign_up().await?;
    let session = sign_in.connect().await?;
    let mut missions = Vec::new();
    for number in 0..load.storm_missions {
        missions.push(started_mission(&session, &format!("Load: storm {number}")).await?);
    }
    tokio::time::sleep(SETTLE).await;
    let before = server.meter()?.memory()?;
    progress.show(format_args!("storm: {} sessions connect", load.sessions));
    let (listens, listening) = watch::channel(Instant::now());
    let mut herd = Herd::gather(&sign_in, &missions, load.sessions, manner, &listening).await?;
    tokio::time::sleep(SETTLE).await;
    let gathered = server.meter()?.memory()?;
    herd.show_lists(&sign_in, missions.len(), load.dashboards, &listening).await?;

    let (over, is_over) = watch::channel(false);
    let started = Instant::now();
    let mut called = call_aside(sign_in.clone(), missions.clone(), load.others, listening.clone(), is_over)?;
    herd.go_on_for(AROUND, &mut called).await?;
    progress.show("storm: the server is killed");
    let killed = Instant::now();
    let server = server.crash(program, folder, &load.flags()).await?;
    let listened = Instant::now();
    listens.send_replace(listened);
    let costs = Costs::now(None)?.without_server();
    herd.until_back(load.sessions, load.dashboards, &progress, &mut called).await?;
    let back = Instant::now();
    let spent = Costs::now(Some(server.meter()?))?.since(&costs);
    herd.go_on_for(AROUND, &mut called).await?;
    over.send_replace(true);
    let called = called.await.context("the callers' thread died")??;
    let after = server.meter()?.memory()?;
    herd.until_all_have(&sign_in, &missions, &called).await?;

    let each = (gathered.resident as f64 - before.resident as f64) / f64::from(load.sessions);
    let mut figures = vec![
        Figure::count("sessions that came back and were resumed, none with a gap", herd.returned.count()),
        Figure::new("from the kill until the server listened again", seconds(listened - killed), Unit::Seconds),
    ];
    figures.extend(herd.returned.read(|latency| latency.figures("server listens to watch resumed")));
    figures.extend(herd.lists.read(|latency| latency.figures("server listens to list of missions shown")));
    figures.extend([
        Figure::count(
            "attempts that were refused and told when to come again",
            herd.returned.refused() + herd.lists.refused(),
        ),
        Figure::count("attempts that failed otherwise", herd.returned.failed() + herd.lists.failed()),
        Figure::count("sessions that were lost once more, and came back again", herd.returned.again()),
    ]);
    let calm: Latency = called.due_within(started, killed);
    figures.extend(calm.figures("others' commands before, due to durable"));
    let meanwhile: Latency = called.due_within(listened, back);
    figures.push(Figure::count("others' commands meanwhile", meanwhile.count()));
    figures.extend(meanwhile.figures("others' commands meanwhile, due to durable"));
    figures.extend([
        Figure::new("server memory a session that watches and is idle", each, Unit::Bytes),
        Figure::mebibytes("server memory before the sessions came", before.resident),
        Figure::mebibytes("server memory with all of them", gathered.resident),
        Figure::mebibytes("server memory when all were back", after.resident),
    ]);
    figures.extend(spent.server("session that came back, from its start", u64::from(load.sessions)));
    figures.extend(spent.beside("session that came back", u64::from(load.sessions)));
    let bounds = herd.returned.read(|latency| load.bounds(name, latency, [&calm, &meanwhile], back - listened));
    server.stop().await?;
    Ok((figures, bounds))
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// The callers, until they are done.
type Calling = tokio::sync::oneshot::Receiver<anyhow::Result<Called>>;

/// All who lose the server.
struct Herd {
    tasks: JoinSet<anyhow::Result<()>>,
    /// Which mission each watches, and how far it is.
    reached: Vec<(usize, Arc<AtomicU64>)>,
    returned: Arc<Returned>,
    /// Those who show the list again.
    lists: Arc<Returned>,
}

impl Herd {
    /// Has `count` dashboards show the list of so many `missions`, and waits until all do.
    async fn show_lists(
        &mut self,
        sign_in: &SignIn,
        missions: usize,
        count: u32,
        listening: &watch::Receiver<Instant>,
    ) -> anyhow::Result<()> {
        let began = Arc::new(Returned::new());
        let (sign_in, listening) = (sign_in.clone(), listening.clone());
        let dashboard = Dashboard { sign_in, listening, began: began.clone(), returned: self.lists.clone(), missions };
        for _ in 0..count {
            self.tasks.spawn(dashboard.clone().at_once());
        }
        let asked = Instant::now();
        while began.count() < u64::from(count) {
            ensure!(asked.elapsed() < PATIENCE, "not all dashboards came about in time");
            self.go_on(Duration::from_millis(5)).await?;
        }
        Ok(())
    }

    /// Has `count` sessions watch, as many of each mission, and waits until all do.
    async fn gather(
        sign_in: &SignIn,
        missions: &[MissionId],
        count: u32,
        manner: Manner,
        listening: &watch::Receiver<Instant>,
    ) -> anyhow::Result<Self> {
        let (returned, lists) = (Arc::new(Returned::new()), Arc::new(Returned::new()));
        let mut herd = Self { tasks: JoinSet::new(), reached: Vec::new(), returned, lists };
        let mut member = |mission: usize| {
            let reached = Arc::new(AtomicU64::new(0));
            herd.reached.push((mission, reached.clone()));
            let (sign_in, returned) = (sign_in.clone(), herd.returned.clone());
            Member { sign_in, mission: missions[mission], listening: listening.clone(), returned, reached }
        };
        match manner {
            Manner::AtOnce => {
                for connected in sign_in.watch_many(missions, count).await? {
                    herd.tasks.spawn(member(connected.mission).at_once(connected));
                }
            }
            Manner::WithWaits => {
                for index in 0..count as usize {
                    herd.tasks.spawn(member(index % missions.len()).with_waits());
                }
            }
        }
        let has_begun = |(_, at): &(usize, Arc<AtomicU64>)| at.load(Relaxed) > 0;
        let began = Instant::now();
        while !herd.reached.iter().all(has_begun) {
            ensure!(began.elapsed() < PATIENCE, "not all sessions came about in time");
            herd.go_on(Duration::from_millis(5)).await?;
        }
        Ok(herd)
    }

    /// Waits, and ends early when one of them does.
    async fn go_on(&mut self, time: Duration) -> anyhow::Result<()> {
        tokio::select! {
            Some(ended) = self.tasks.join_next() => match ended {
                Ok(Ok(())) => bail!("one of the sessions went away"),
                Ok(Err(error)) => Err(error),
                Err(error) => Err(anyhow!(error).context("a session's task died")),
            },
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    /// The same, also when the callers are done too early, which they are when something is wrong.
    async fn go_on_for(&mut self, time: Duration, calling: &mut Calling) -> anyhow::Result<()> {
        tokio::select! {
            gone = self.go_on(time) => gone,
            called = calling => match called {
                Ok(Err(error)) => Err(error),
                Ok(Ok(_)) | Err(_) => bail!("the callers stopped too early"),
            },
        }
    }

    async fn until_back(
        &mut self,
        count: u32,
        dashboards: u32,
        progress: &Progress,
        calling: &mut Calling,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.returned.count() < u64::from(count) || self.lists.count() < u64::from(dashboards) {
            let back = self.returned.count();
            progress.show(format_args!("storm: {back} of {count} are back"));
            ensure!(began.elapsed() < PATIENCE, "only {back} of {count} sessions came back in time");
            self.go_on_for(Duration::from_millis(5), calling).await?;
        }
        Ok(())
    }

    /// Waits until everyone has everything, and sees that all that was acknowledged is there.
    async fn until_all_have(
        &mut self,
        sign_in: &SignIn,
        missions: &[MissionId],
        called: &Called,
    ) -> anyhow::Result<()> {
        let session = sign_in.connect().await?;
        let mut heads = Vec::new();
        for (index, mission) in missions.iter().enumerate() {
            let head = session.call::<GetMission>(MissionRef { mission: *mission }).await?.seq;
            let last = called.last_of(index);
            ensure!(head >= last, "mission {mission} is at {head}, and acknowledged {last}");
            heads.push(head);
        }
        let has_all = |(mission, at): &(usize, Arc<AtomicU64>)| at.load(Relaxed) >= heads[*mission];
        let began = Instant::now();
        while !self.reached.iter().all(has_all) {
            ensure!(began.elapsed() < PATIENCE, "not all sessions got all events in time");
            self.go_on(Duration::from_millis(5)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        load: Load,
    }

    /// Which bounds hold where all were back after `back_ms`, and `answered` commands took `others_ms` meanwhile.
    fn holds(back_ms: u64, answered: u64, others_ms: u64) -> Vec<bool> {
        let (mut back, mut before, mut meanwhile) = (Latency::new(), Latency::new(), Latency::new());
        before.record(Duration::from_millis(100));
        back.record(Duration::from_millis(back_ms));
        (0..answered).for_each(|_| meanwhile.record(Duration::from_millis(others_ms)));
        let load =
            Cli::parse_from(["storm", "--others", "10", "--back-within", "5", "--others-p99-floor-ms", "200"]).load;
        let bounds = load.bounds("all at once", &back, [&before, &meanwhile], Duration::from_millis(back_ms));
        bounds.iter().map(|bound| bound.holds).collect()
    }

    #[test]
    fn all_are_back_in_time_and_the_others_are_answered_meanwhile() {
        // 10 others with a command every 100 ms: 200 are due within 2 s.
        assert_eq!(holds(2_000, 200, 100), [true; 3]);
        assert_eq!(holds(2_000, 190, 100), [true; 3], "each may have one that falls out of the time");
        assert_eq!(holds(2_000, 189, 100), [true, true, false]);
        assert_eq!(holds(2_000, 200, 290), [true; 3]);
        assert_eq!(holds(2_000, 200, 310), [true, false, true]);
        assert_eq!(holds(6_000, 600, 100), [false, true, true]);
        assert_eq!(holds(0, 0, 0), [true, true, false], "nobody was answered");
    }

    #[test]
    fn the_door_of_the_restarted_server_can_be_narrowed() {
        let load = Cli::parse_from(["storm", "--openings-per-second", "500", "--opening-burst", "200"]).load;
        assert_eq!(load.flags(), ["--openings-per-second=500", "--opening-burst=200"]);
        assert!(Cli::parse_from(["storm"]).load.flags().is_empty());
    }
}
