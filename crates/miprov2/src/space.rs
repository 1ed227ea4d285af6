//! What the search chooses from: every instruction written so far and every demo set.

use indexmap::IndexMap;
use promptopt_core::prompt::Demo;
use promptopt_evaluator::{PredictorSpace, Space};
use promptopt_run::Run;
use promptopt_trace_gen::DemoSet;

/// The choices of every predictor, what the search begins with first. A predictor that takes no demos has no choice
/// of them, so that nothing is bought that differs only in what it ignores.
pub(crate) fn of(run: &Run<'_>, sets: &[DemoSet], instructions: &IndexMap<String, Vec<String>>) -> Space {
    let base = run.base().prompts;
    let predictors = run.program().predictors().into_iter().map(|predictor| {
        let path = predictor.path();
        let own = base.get(path).unwrap_or_else(|| predictor.prompt());
        let mut demo_sets: Vec<Vec<Demo>> = vec![own.demos.clone()];
        for set in sets.iter().filter(|_| predictor.takes_demos()).map(|set| set.of(path)) {
            if !demo_sets.iter().any(|known| known == set) {
                demo_sets.push(set.to_vec());
            }
        }
        let mut texts = vec![own.instruction.clone()];
        texts.extend(instructions.get(path).cloned().unwrap_or_default());
        PredictorSpace::new(path, texts, demo_sets)
    });
    Space::new(predictors.collect())
}
