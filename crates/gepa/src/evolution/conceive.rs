//! From parents to children: runs of the parents, reflection on them, new prompts.

use std::collections::BTreeSet;
use std::sync::Arc;

use promptopt_core::{Error, Event, InstructionRequest, Origin, PromptCandidate, Sampling, Trace};
use promptopt_predict::Writer;
use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use super::{Child, Draft, Evolution, Kind};
use crate::reflect;

/// After so many proposals in a row that came to nothing the reflection model is not asked again.
const MAX_FAILED_PROPOSALS: usize = 20;
/// Of what is left of the budget, at most this part goes into training runs of one parent.
const RUNS_SHARE: u64 = 20;
/// Of the records shown, at most this part is of runs that went well, while others are left.
const PASSED_SHARE: usize = 3;

/// An instruction that is wanted for a component, and the runs to learn from.
struct Wish {
    parent: usize,
    component: String,
    runs: Vec<Arc<Trace>>,
}

impl Evolution<'_, '_, '_> {
    /// Runs the parents on their minibatches, has the prompt model reflect on the traces, and
    /// makes the children.
    pub(crate) async fn conceive(&mut self, mut drafts: Vec<Draft>) -> Result<Vec<Child>, Error> {
        self.iteration += 1;
        self.run_parents(&mut drafts).await?;
        let mut wishes = Vec::new();
        for draft in &drafts {
            let Kind::Reflection { components } = &draft.kind else { continue };
            let shown = self.reflective_data(draft);
            wishes.extend(components.iter().map(|component| Wish {
                parent: draft.parent,
                component: component.clone(),
                runs: shown.clone(),
            }));
        }
        let replies = if self.stop.is_none() { self.write(&wishes).await? } else { Vec::new() };
        let mut replies = wishes.iter().zip(replies);
        let mut children = Vec::new();
        for draft in drafts {
            let candidate = match draft.kind {
                Kind::Merge { merge, prompts } => {
                    let origin = Origin::Merged { ancestor: merge.ancestor, iteration: self.iteration };
                    let parents = vec![merge.parents.0, merge.parents.1];
                    Some(PromptCandidate { parents, ..PromptCandidate::new(prompts, origin) })
                }
                Kind::Reflection { components } => {
                    let written: Vec<_> = replies.by_ref().take(components.len()).collect();
                    self.changed(draft.parent, components, written)
                }
            };
            let Some(candidate) = candidate else { continue };
            let known = self.board.candidates().len();
            let candidate = self.board.enter(candidate);
            // The same prompts were tried before, whatever came of it; they are not tried again.
            if candidate == known {
                self.failed_proposals = 0;
                children.push(Child { candidate, parent: draft.parent, minibatch: draft.minibatch });
            } else {
                self.failed_proposals += 1;
                self.last_failure = Some("known already".to_owned());
            }
        }
        if self.failed_proposals >= MAX_FAILED_PROPOSALS {
            let last = self.last_failure.clone().unwrap_or_else(|| "known already".to_owned());
            self.end(&format!(
                "the reflection model gave no usable or new instruction {MAX_FAILED_PROPOSALS} times in a row; the \
                 last: {last}"
            ));
        }
        Ok(children)
    }

    /// Runs every parent on its minibatch, and on further ones until there is something to learn
    /// from. Drafts whose parent does everything right are dropped, and the parent with them.
    async fn run_parents(&mut self, drafts: &mut Vec<Draft>) -> Result<(), Error> {
        let wanted = drafts.iter().map(|draft| (draft.parent, draft.minibatch.clone())).collect();
        self.run_training(wanted).await?;
        loop {
            let idle: BTreeSet<usize> = drafts
                .iter()
                .filter(|draft| {
                    matches!(draft.kind, Kind::Reflection { .. }) && self.wants_runs(draft.parent)
                })
                .map(|draft| draft.parent)
                .collect();
            let mut wanted = Vec::new();
            for parent in idle {
                let mut open: Vec<usize> = (0..self.plan.train.len())
                    .filter(|example| !self.traces.contains_key(&(parent, *example)))
                    .collect();
                open.shuffle(&mut self.rng);
                open.truncate(2 * self.plan.options.minibatch_size);
                wanted.push((parent, open));
            }
            if wanted.is_empty() || self.stop.is_some() {
                break;
            }
            self.run_training(wanted).await?;
        }
        // Of a merge's parent not every training example has been looked at for a failure.
        let reflections = drafts.iter().filter(|draft| matches!(draft.kind, Kind::Reflection { .. }));
        let parents: BTreeSet<usize> = reflections.map(|draft| draft.parent).collect();
        for parent in parents {
            if self.stop.is_none() && !self.has_lesson(parent) {
                self.exhausted.insert(parent);
            }
        }
        drafts.retain(|draft| {
            matches!(draft.kind, Kind::Merge { .. }) || !self.exhausted.contains(&draft.parent)
        });
        Ok(())
    }

    /// Whether a parent needs more training runs before a reflection: as many as may be shown, but
    /// no more than a part of the budget, and at least one that went less than perfectly. The gate
    /// of every child of the parent uses them as well.
    fn wants_runs(&self, parent: usize) -> bool {
        let known = self.training_runs(parent).count();
        let share = self.affordable().map_or(usize::MAX, |left| (left / RUNS_SHARE) as usize);
        let wanted = self.plan.options.reflection_examples.min(share);
        known < self.plan.train.len() && (known < wanted || !self.has_lesson(parent))
    }

    /// Whether a parent has a training run that went less than perfectly.
    fn has_lesson(&self, parent: usize) -> bool {
        self.training_runs(parent).any(|(_, trace)| self.is_lesson(trace))
    }

    fn is_lesson(&self, trace: &Trace) -> bool {
        trace.evidence().is_some_and(|score| score < self.perfect_score())
    }

    /// The runs that the prompt model is shown: those of the minibatch, then others of the parent
    /// that are known already; what went wrong before what went well.
    fn reflective_data(&mut self, draft: &Draft) -> Vec<Arc<Trace>> {
        let judged = |trace: &&Arc<Trace>| trace.evidence().is_some();
        let fresh: Vec<Arc<Trace>> = draft
            .minibatch
            .iter()
            .filter_map(|example| self.traces.get(&(draft.parent, *example)))
            .filter(judged)
            .cloned()
            .collect();
        let mut others: Vec<Arc<Trace>> = self
            .training_runs(draft.parent)
            .filter(|(example, _)| !draft.minibatch.contains(example))
            .map(|(_, trace)| trace)
            .filter(judged)
            .cloned()
            .collect();
        others.shuffle(&mut self.rng);
        let most = self.plan.options.reflection_examples;
        let (mut shown, passed): (Vec<_>, Vec<_>) =
            fresh.into_iter().chain(others).partition(|trace| self.is_lesson(trace));
        let room = (most / PASSED_SHARE).max(most.saturating_sub(shown.len())).min(passed.len());
        shown.truncate(most - room.min(most));
        shown.extend(passed.into_iter().take(room));
        shown
    }

    /// Has an instruction written for every (parent, component, runs): the reply as it came, or why
    /// there is none.
    async fn write(&mut self, wishes: &[Wish]) -> Result<Vec<Result<String, String>>, Error> {
        let predictors = self.runner.program().predictors();
        let prompts_of = |parent: usize| self.board.candidates().get(parent).map(|one| one.prompts.clone());
        if let Some(writer) = &self.plan.options.instruction_writer {
            let mut written = Vec::new();
            for Wish { parent, component, runs } in wishes {
                let prompts = prompts_of(*parent).unwrap_or_default();
                let Some(predictor) = predictors.iter().find(|one| one.path() == component) else { continue };
                let instruction = prompts.get(component).map(|prompt| prompt.instruction.clone());
                let request = InstructionRequest {
                    predictor: component.clone(),
                    signature: predictor.signature().clone(),
                    instruction: instruction.unwrap_or_default(),
                    traces: runs.clone(),
                    examples: self.plan.train.clone(),
                    taken: self.taken(component),
                    seed: self.rng.random(),
                };
                written.push(match writer.write_instruction(&request).await {
                    Ok(Some(text)) => reflect::usable(&text).map_err(str::to_owned),
                    Ok(None) => Err("the writer has no more to give".to_owned()),
                    Err(error) => Err(format!("{error:#}")),
                });
            }
            return Ok(written);
        }
        let mut prompts = Vec::new();
        for Wish { parent, component, runs } in wishes {
            let Some(predictor) = predictors.iter().find(|one| one.path() == component) else { continue };
            let own = prompts_of(*parent).unwrap_or_default();
            // Another draw each time, so that no store takes a repeated request for the same one.
            prompts.push((reflect::request(*predictor, &predictors, &own, runs)?, self.requests));
            self.requests += 1;
        }
        let session = &self.plan.session;
        let writer = Writer {
            sampling: Sampling { temperature: Some(self.plan.options.temperature), ..Sampling::default() },
            concurrency: session.concurrency,
            ledger: Arc::clone(&session.ledger),
            cancellation: session.cancellation.clone(),
            ..Writer::new(Arc::clone(&session.prompt_model))
        };
        let written = writer.ask("reflect", prompts).await?;
        self.prompt_usage += written.usage;
        self.stop = self.stop.take().or(written.stop);
        let failure = written.failure.unwrap_or_else(|| "the run ended before it".to_owned());
        Ok(written
            .texts
            .into_iter()
            .map(|text| match text {
                Some(reply) => reflect::read_reply(&reply).map_err(str::to_owned),
                None => Err(failure.clone()),
            })
            .collect())
    }

    fn taken(&self, component: &str) -> Vec<String> {
        let instructions = self.board.candidates().iter().filter_map(|one| one.instruction(component));
        instructions.map(str::to_owned).collect()
    }

    /// The parent with the instructions that came out; `None` when none did.
    fn changed(
        &mut self,
        parent: usize,
        components: Vec<String>,
        written: Vec<(&Wish, Result<String, String>)>,
    ) -> Option<PromptCandidate> {
        let mut prompts = self.board.candidates().get(parent)?.prompts.clone();
        let mut changed = Vec::new();
        let mut why = None;
        for (Wish { component, .. }, reply) in written {
            let before = prompts.get(component).cloned().unwrap_or_default();
            let (instruction, dropped) = match reply {
                Ok(text) if text == before.instruction => (text, Some("unchanged".to_owned())),
                Ok(text) => (text, None),
                Err(reason) => (String::new(), Some(reason)),
            };
            self.plan.session.observer.observe(&Event::Proposal {
                predictor: component.clone(),
                instruction: instruction.clone(),
                dropped: dropped.clone(),
            });
            if dropped.is_some() {
                why = dropped;
            } else {
                let mut prompt = before;
                prompt.instruction = instruction;
                prompts.insert(component.clone(), prompt);
                changed.push(component.clone());
            }
        }
        if changed.is_empty() {
            self.failed_proposals += 1;
            self.last_failure = why;
            tracing::debug!(?components, "no usable instruction");
            return None;
        }
        let origin = Origin::Reflected { predictors: changed, iteration: self.iteration };
        Some(PromptCandidate { parents: vec![parent], ..PromptCandidate::new(prompts, origin) })
    }
}
