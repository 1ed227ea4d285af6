//! How often dropping leaders early loses the candidate that would have won, and what it saves.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use promptopt_evaluator::{PredictorSpace, Search, SearchOptions, Space};
use promptopt_run::{Halt, Optimizer as _, Outcome, Run, RunOptions, Strategy};

use crate::{Coin, selection, silent};

const EXAMPLES: usize = 100;

/// Tries each of some instructions once.
struct Among(Vec<String>, SearchOptions);

#[async_trait]
impl Strategy for Among {
    fn name(&self) -> &str {
        "among"
    }

    fn options(&self) -> RunOptions {
        RunOptions::builder().task_model(silent()).valset(selection(EXAMPLES)).build()
    }

    async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        let (instructions, demo_sets) = (self.0.clone(), vec![Vec::new()]);
        let mut search = Search::new(run, self.1.clone());
        let predictors = vec![PredictorSpace::new("coin", instructions, demo_sets)];
        search.widen(run, Space::new(predictors))?;
        let ended = search.trials(run, self.0.len() - 1).await;
        search.finish(run, ended).await
    }
}

/// Searches among candidates with these chances, the first the original. Gives what was found, and
/// how many rollouts it took.
fn search(world: u64, chances: &[f64], racing: bool) -> (Outcome, u64) {
    let instructions: Vec<String> =
        chances.iter().enumerate().map(|(number, chance)| format!("{chance} number {number}")).collect();
    let coin = Coin::new(world);
    let mut program = coin.program(&instructions[0]);
    let options = SearchOptions::default().with_racing(racing).with_full_eval_steps(1).with_seed(world);
    let found = Among(instructions, options).compile(&mut program, Vec::new()).now_or_never();
    (found.unwrap().unwrap(), coin.runs())
}

/// The winner of a search that drops nobody is dropped in at most 5 % of all searches: a leader is looked at
/// up to four times, and at each its upper bounds are wrong with half a percent each.
#[test]
fn the_winner_is_seldom_dropped_early() {
    let check = |name: &str, chances: &[f64], least_saved: f64| {
        let (searches, mut lost, mut with, mut without) = (60, 0, 0, 0);
        for world in 0..searches {
            let (patient, all) = search(world, chances, false);
            let (raced, some) = search(world, chances, true);
            with += some;
            without += all;
            lost += u64::from(raced.selected.mean < patient.selected.mean);
        }
        let (lost, saved) = (lost as f64 / searches as f64, 1.0 - with as f64 / without as f64);
        println!("{name}: lost in {:.1} %, {:.0} % saved", lost * 100.0, saved * 100.0);
        assert!(lost <= 0.05, "{name}: {lost}");
        assert!(saved >= least_saved, "{name}: {saved}");
    };
    check("ten alike", &[0.5; 10], -0.01);
    check("a near second", &[0.6, 0.85, 0.8, 0.8, 0.8, 0.75, 0.75, 0.7], 0.0);
    check("one far ahead", &[0.3, 0.9, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3], 0.3);
    check("a spread", &[0.4, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25], 0.1);
}
