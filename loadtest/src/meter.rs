//! A process's CPU time and memory, as Linux tells them under /proc.

use std::{fs, time::Duration};

use anyhow::{Context as _, bail};

use crate::report::{Figure, Unit};

/// The kernel states CPU time in hundredths of a second, on every machine (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// A process whose costs can be read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meter {
    /// This process.
    Own,
    /// Another one on this machine.
    Process(u32),
}

/// CPU time since a process began, of all its threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// Spent in the program.
    pub(crate) user: Duration,
    /// Spent in the kernel on the program's behalf.
    pub(crate) kernel: Duration,
}

/// Memory that a process has in RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// All of it, in bytes: the resident set.
    pub(crate) resident: u64,
    /// The most that it ever was, in bytes.
    pub(crate) peak: u64,
}

impl Meter {
    /// A process that can be read, or why it cannot.
    pub(crate) fn process(pid: u32) -> anyhow::Result<Self> {
        let meter = Self::Process(pid);
        meter
            .cpu()
            .with_context(|| format!("process {pid} cannot be measured; is it the server's, on this machine?"))?;
        Ok(meter)
    }

    fn read(self, file: &str) -> anyhow::Result<String> {
        let path = match self {
            Self::Own => format!("/proc/self/{file}"),
            Self::Process(pid) => format!("/proc/{pid}/{file}"),
        };
        fs::read_to_string(&path).with_context(|| path)
    }

    pub(crate) fn cpu(self) -> anyhow::Result<Cpu> {
        cpu(&self.read("stat")?)
    }

    pub(crate) fn memory(self) -> anyhow::Result<Memory> {
        memory(&self.read("status")?)
    }
}

impl Cpu {
    pub(crate) fn total(self) -> Duration {
        self.user + self.kernel
    }

    /// What was spent since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        let Self { user, kernel } = earlier;
        Self { user: self.user.saturating_sub(user), kernel: self.kernel.saturating_sub(kernel) }
    }

    /// What a `what` cost where there were `count` of them, and how busy the process was over `elapsed`.
    pub(crate) fn figures(self, whose: &str, what: &str, count: u64, elapsed: Duration) -> Vec<Figure> {
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / count.max(1) as f64;
        vec![
            Figure::new(format!("{whose} CPU a {what}"), each(self.total()), Unit::Microseconds),
            Figure::new(format!("{whose} CPU a {what}, of it in the kernel"), each(self.kernel), Unit::Microseconds),
            Figure::new(
                format!("{whose} CPU in use"),
                100.0 * self.total().as_secs_f64() / elapsed.as_secs_f64().max(1e-9),
                Unit::PercentOfCore,
            ),
        ]
    }
}

/// Reads `/proc/<pid>/stat`, proc(5): fields 14 and 15, counted behind the name, which may hold anything.
fn cpu(stat: &str) -> anyhow::Result<Cpu> {
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).context("no name in it")?;
    let mut times = fields.split_whitespace().skip(11).map(|ticks| ticks.parse::<u32>().map(|ticks| TICK * ticks));
    match (times.next(), times.next()) {
        (Some(Ok(user)), Some(Ok(kernel))) => Ok(Cpu { user, kernel }),
        _ => bail!("no CPU time in it"),
    }
}

/// CPU time that everything on this machine has spent.
pub(crate) fn machine_busy() -> anyhow::Result<Duration> {
    busy(&fs::read_to_string("/proc/stat").context("/proc/stat")?)
}

/// Reads `/proc/stat`, proc(5): all of the first line but what was idle, waited for a disk, or is counted twice.
fn busy(stat: &str) -> anyhow::Result<Duration> {
    let fields = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("no CPU time in it")?;
    let ticks: Vec<u64> = fields.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [user, nice, system, _idle, _waiting, interrupts, soft_interrupts, ..] = ticks[..] else {
        bail!("too few times in it");
    };
    Ok(Duration::from_millis((user + nice + system + interrupts + soft_interrupts) * TICK.as_millis() as u64))
}

/// Reads `/proc/<pid>/status`, proc(5).
fn memory(status: &str) -> anyhow::Result<Memory> {
    let field = |name: &str| {
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name} in it"))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().with_context(|| format!("{name}{line}"))?;
        anyhow::Ok(kib * 1024)
    };
    Ok(Memory { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_whatever_the_program_is_called() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 10 20 0 0 150 25 7 8 20 0 9 0 100 1000 200";
        let cpu = cpu(stat).unwrap();
        assert_eq!(cpu, Cpu { user: Duration::from_millis(1_500), kernel: Duration::from_millis(250) });
        assert!(super::cpu("42 (short) S 1").is_err());
    }

    #[test]
    fn a_machine_is_busy_with_what_is_neither_idle_nor_waiting() {
        let busy = |stat| busy(stat).map(|busy| busy.as_millis()).ok();
        assert_eq!(busy("cpu  100 10 20 5000 400 1 2 3 0 0\ncpu0 50 5 10 2500 200 0 1 1 0 0\n"), Some(1_330));
        assert_eq!(busy("cpu  100 10\n"), None);
        assert_eq!(busy("intr 1 2 3\n"), None);
        machine_busy().unwrap();
    }

    #[test]
    fn costs_are_divided_by_what_they_were_spent_on() {
        let cpu = Cpu { user: Duration::from_millis(1_500), kernel: Duration::from_millis(500) };
        let values: Vec<f64> = cpu
            .figures("server", "delivery", 1_000, Duration::from_secs(4))
            .iter()
            .map(|figure| figure.value)
            .collect();
        assert_eq!(values, [2_000.0, 500.0, 50.0]);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(memory(status).unwrap(), Memory { resident: 1 << 20, peak: 2 << 20 });
        assert!(memory("Name:\tx\n").is_err());
    }

    #[test]
    fn this_process_can_be_measured() {
        Meter::Own.cpu().unwrap();
        assert!(Meter::Own.memory().unwrap().resident > 0);
        assert!(Meter::process(u32::MAX).is_err());
    }
}
