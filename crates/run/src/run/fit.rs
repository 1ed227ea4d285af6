//! How many demos fit the model's context window, as far as a run has found out.

use std::sync::Arc;

use promptopt_core::lm::Refusal;
use promptopt_core::prompt::{PromptCandidate, Prompts};
use promptopt_core::trace::Trace;

use super::Run;
use crate::RolloutJob;

/// How a candidate fared in a batch.
struct Fit<'j> {
    prompts: &'j Arc<Prompts>,
    rollouts: usize,
    too_long: usize,
}

impl Run<'_> {
    /// The most demos of a predictor, where more did not fit the model's context window. Candidates with more are
    /// entered without those behind; `None` as long as all fit.
    pub fn most_demos(&self) -> Option<usize> {
        self.most_demos
    }

    /// Says that prompts with more demos do not fit the model's context window, and what the provider said.
    pub fn limit_demos(&mut self, most: usize, why: &str) {
        if self.most_demos.is_none_or(|known| most < known) {
            self.most_demos = Some(most);
            self.warn(format!(
                "prompts with more than {most} demos are not tried, because longer ones did not fit the model's context \
                 window: {why}"
            ));
        }
    }

    /// Learns from a batch which candidates are too long: those of which more than half of the rollouts were. Half of
    /// their demos may fit.
    pub(super) fn note_fit<'t>(
        &mut self,
        jobs: &[RolloutJob],
        traces: impl Iterator<Item = Option<&'t Arc<Trace>>> + Clone,
    ) {
        let Some(why) = traces.clone().flatten().find_map(|trace| too_long(trace)).map(str::to_owned) else {
            return;
        };
        let mut fits: Vec<Fit<'_>> = Vec::new();
        for (job, trace) in jobs.iter().zip(traces) {
            let Some(trace) = trace else { continue };
            let long = usize::from(too_long(trace).is_some());
            match fits.iter_mut().find(|fit| Arc::ptr_eq(fit.prompts, &job.prompts)) {
                Some(fit) => (fit.rollouts, fit.too_long) = (fit.rollouts + 1, fit.too_long + long),
                None => fits.push(Fit { prompts: &job.prompts, rollouts: 1, too_long: long }),
            }
        }
        let misfits = fits.iter().filter(|fit| fit.too_long * 2 > fit.rollouts);
        let fewest = misfits.map(|fit| most_demos(fit.prompts)).filter(|demos| *demos > 0).min();
        if let Some(demos) = fewest {
            self.limit_demos(demos / 2, &why);
        }
    }

    /// A candidate without the demos that do not fit.
    pub(super) fn fitted(&self, mut candidate: PromptCandidate) -> PromptCandidate {
        if let Some(most) = self.most_demos.filter(|most| most_demos(&candidate.prompts) > *most) {
            let with_fewer = candidate.prompts.iter().map(|(path, prompt)| {
                let mut prompt = prompt.clone();
                prompt.demos.truncate(most);
                (path.to_owned(), prompt)
            });
            candidate.prompts = with_fewer.collect();
        }
        candidate
    }
}

fn most_demos(prompts: &Prompts) -> usize {
    prompts.iter().map(|(_, prompt)| prompt.demos.len()).max().unwrap_or(0)
}

/// What the provider said of a rollout that did not fit the context window.
fn too_long(trace: &Trace) -> Option<&str> {
    let failure = trace.error.as_ref()?;
    (failure.refusal == Some(Refusal::Length)).then_some(failure.message.as_str())
}
