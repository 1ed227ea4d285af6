//! Two predictors together: one changes, and another follows.

use std::sync::Arc;

use promptopt_core::program::Predictor;
use promptopt_core::prompt::PromptCandidate;
use promptopt_run::{Halt, RolloutJob, Run};

use crate::author::Author;
use crate::mistakes::Mistakes;
use crate::request::{Beginning, Request};
use crate::room::FOLLOWED_RUNS;

/// Runs each candidate, in which one predictor has a new instruction, on a few training examples and has an
/// instruction written for another predictor that fits it. Where two predictors must agree in something, a change of
/// one by itself is a loss, however good the pair would be.
pub(crate) async fn follow(
    run: &mut Run<'_>,
    author: &mut Author,
    mistakes: &mut Mistakes,
    changed: &str,
    follower: &dyn Predictor,
    candidates: &mut [PromptCandidate],
) -> Result<(), Halt> {
    let examples = mistakes.next_examples(FOLLOWED_RUNS);
    let mut jobs = Vec::new();
    for candidate in candidates.iter() {
        let prompts = Arc::new(candidate.prompts.clone());
        jobs.extend(
            examples.iter().map(|example| RolloutJob::new(Arc::clone(&prompts), Arc::clone(example))),
        );
    }
    let traces = run.rollouts(&jobs).await?;
    let mut seen: Vec<Mistakes> =
        traces.chunks(examples.len().max(1)).map(|own| mistakes.of_other(own.to_vec())).collect();
    seen.resize_with(candidates.len(), || mistakes.of_other(Vec::new()));
    let program = run.program();
    let request = |(candidate, seen)| {
        let candidate: &PromptCandidate = candidate;
        let instruction = candidate.instruction(changed).unwrap_or_default().to_owned();
        let change = Beginning::Change(changed.to_owned(), instruction);
        Request::new(program, follower, candidate, change, seen)
    };
    let requests: Vec<Request<'_>> = candidates.iter().zip(&seen).map(request).collect();
    let texts = author.write_each(run, &requests).await?;
    for (candidate, text) in candidates.iter_mut().zip(texts) {
        let path = follower.path();
        if let (Some(text), Some(mut prompt)) = (text, candidate.prompts.get(path).cloned()) {
            prompt.instruction = text;
            candidate.prompts.insert(path, prompt);
        }
    }
    Ok(())
}
