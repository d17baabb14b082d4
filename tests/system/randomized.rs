//! Random histories: thousands of steps of connects, drops, slow reads, commands, changes of roles, panics,
//! and restarts of server and agents, after which every client has to know what the server knows, and every promise has to be kept.
//!
//! `FLIGHTDECK_SEED` and `FLIGHTDECK_STEPS` choose another run, `FLIGHTDECK_PLAN` names a saved plan to replay.

mod command;
mod ending;
mod guest;
mod hearing;
mod ledger;
mod lists;
mod plan;
mod run;
mod tab;
mod truth;
mod verdict;
mod view;
mod wire;

use std::{fs, path::Path};

use plan::Plan;

/// Steps of a usual run.
const STEPS: usize = 10_000;

#[tokio::test]
async fn whatever_happens_in_whatever_order_everyone_ends_up_with_the_truth() {
    let setting = |name: &str| std::env::var(name).ok();
    let number = |name: &str| setting(name).map(|value| value.parse::<u64>().expect("a whole number"));
    let plan = match setting("FLIGHTDECK_PLAN") {
        Some(path) => Plan::read(Path::new(&path)),
        None => {
            let seed = number("FLIGHTDECK_SEED").unwrap_or_else(|| fastrand::u64(1..1 << 48));
            let steps = number("FLIGHTDECK_STEPS").map_or(STEPS, |steps| steps as usize);
            Plan::random(seed, steps)
        }
    };
    play(plan).await;
}

#[tokio::test]
async fn histories_that_were_trouble_once_are_none_any_more() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/randomized/plans");
    let mut plans: Vec<_> =
        fs::read_dir(folder).expect("the plans").map(|entry| entry.expect("a plan").path()).collect();
    plans.sort();
    assert!(!plans.is_empty());
    for path in plans {
        play(Plan::read(&path)).await;
    }
}

/// Carries a plan out; one that goes wrong is saved first.
async fn play(plan: Plan) {
    eprintln!("seed {}, {} steps", plan.seed, plan.steps.len());
    let outcome = tokio::spawn(run::carry_out(plan.clone())).await;
    if let Err(error) = outcome {
        let path = plan.save();
        let path = path.display();
        eprintln!("the plan that went wrong is {path}: replay it with FLIGHTDECK_PLAN={path}");
        std::panic::resume_unwind(error.into_panic());
    }
}
