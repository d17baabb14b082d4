//! What a stretch of a run cost: the server, this program, and whoever else was at work on the machine.

use std::time::{Duration, Instant};

use crate::{
    meter::{Cpu, Meter, machine_busy},
    report::{Figure, Unit},
};

/// What had been spent at a moment.
pub(crate) struct Costs {
    server: Option<Cpu>,
    own: Cpu,
    machine: Option<Duration>,
    at: Instant,
}

/// What was spent between two moments.
pub(crate) struct Spent {
    server: Option<Cpu>,
    own: Cpu,
    machine: Option<Duration>,
    elapsed: Duration,
}

impl Costs {
    pub(crate) fn now(meter: Option<Meter>) -> anyhow::Result<Self> {
        let server = meter.map(Meter::cpu).transpose()?;
        Ok(Self { server, own: Meter::Own.cpu()?, machine: machine_busy().ok(), at: Instant::now() })
    }

    /// The costs of a server before it was there.
    pub(crate) fn without_server(self) -> Self {
        Self { server: Some(Cpu::default()), ..self }
    }

    pub(crate) fn since(self, earlier: &Self) -> Spent {
        Spent {
            server: self.server.zip(earlier.server).map(|(now, then)| now.since(then)),
            own: self.own.since(earlier.own),
            machine: self.machine.zip(earlier.machine).map(|(now, then)| now.saturating_sub(then)),
            elapsed: self.at - earlier.at,
        }
    }
}

impl Spent {
    /// What a `what` cost the server where there were `count` of them.
    pub(crate) fn server(&self, what: &str, count: u64) -> Vec<Figure> {
        self.server.map_or_else(Vec::new, |server| server.figures("server:", what, count, self.elapsed))
    }

    /// What it cost this program, and how busy others kept the machine: both can make a server look slow.
    pub(crate) fn beside(&self, what: &str, count: u64) -> Vec<Figure> {
        let mut figures = self.own.figures("load client:", what, count, self.elapsed);
        figures.extend(self.others().map(|others| {
            let in_use = 100.0 * others.as_secs_f64() / self.elapsed.as_secs_f64().max(1e-9);
            Figure::new("others on this machine: CPU in use", in_use, Unit::PercentOfCore)
        }));
        figures
    }

    /// What neither the server nor this program spent.
    fn others(&self) -> Option<Duration> {
        let ours = self.server?.total() + self.own.total();
        Some(self.machine?.saturating_sub(ours))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_do_is_what_is_left_of_the_machine() {
        let second = Duration::from_secs(1);
        let cpu = |seconds: u32| Cpu { user: second * seconds, kernel: Duration::ZERO };
        let at = Instant::now();
        let before = Costs { server: None, own: cpu(1), machine: Some(second * 100), at };
        let after = Costs { server: Some(cpu(4)), own: cpu(3), machine: Some(second * 108), at: at + second * 4 };
        let spent = after.since(&before.without_server());
        let server: Vec<f64> = spent.server("delivery", 1_000).iter().map(|figure| figure.value).collect();
        assert_eq!(server, [4_000.0, 0.0, 100.0]);
        let beside = spent.beside("delivery", 1_000);
        assert_eq!(beside.last().map(|figure| figure.value), Some(50.0), "8 s in all, 4 and 2 of them ours");
    }
}
