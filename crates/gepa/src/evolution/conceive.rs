//! From parents to children: runs of the parents, reflection on them, new prompts.

use std::collections::BTreeSet;
use std::sync::Arc;

use promptopt_core::lm::Sampling;
use promptopt_core::program::Predictor;
use promptopt_core::prompt::{Origin, PromptCandidate};
use promptopt_core::trace::Trace;
use promptopt_run::proposal::{Flaw, Judge, Known, flaw};
use promptopt_run::{Error, Halt, InstructionRequest, InstructionWriter, Run};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use super::{Child, Draft, Evolution, Kind};
use crate::reflect::{self, Beginning, MAX_INSTRUCTION_CHARS};

/// Upper bound on a reflection, in tokens: what is set for the program's short answers would cut it off.
const MAX_TOKENS: u32 = 4096;
/// After so many proposals in a row that came to nothing the reflection model is not asked again.
const MAX_FAILED_PROPOSALS: usize = 20;
/// Of what is left of the budget, at most this part goes into training runs of one parent.
const RUNS_SHARE: u64 = 20;
/// Of the records shown, at most this part is of runs that went well, while others are left.
const PASSED_SHARE: usize = 3;
/// So many instructions of other candidates are shown.
const RELATIVES: usize = 3;
/// A label names so many predictors.
const NAMED: usize = 6;

/// An instruction that is wanted for a predictor, and the runs to learn from.
struct Wish<'p> {
    /// Place of the draft that it is for.
    draft: usize,
    /// The candidate that is to change in this.
    base: usize,
    predictor: &'p dyn Predictor,
    beginning: Beginning,
    runs: Vec<Arc<Trace>>,
}

/// The instruction that came of a wish, or why there is none.
type Granted<'p> = (Wish<'p>, Result<String, String>);

impl Evolution<'_> {
    /// Runs the parents on their minibatches, has the prompt model reflect on the traces, and makes the children.
    /// `None` when too many proposals in a row have come to nothing, which a note says.
    pub(crate) async fn conceive(
        &mut self,
        run: &mut Run<'_>,
        mut drafts: Vec<Draft>,
    ) -> Result<Option<Vec<Child>>, Halt> {
        self.iteration += 1;
        self.run_parents(run, &mut drafts).await?;
        let wishes = self.wishes(run, &drafts)?;
        let granted = self.write(run, wishes).await?;
        let mut children = Vec::new();
        for (at, draft) in drafts.into_iter().enumerate() {
            let candidate = match &draft.kind {
                Kind::Merge { merge, prompts } => {
                    let (ancestor, iteration) = (merge.ancestor, self.iteration);
                    let label = format!("merge over ancestor {ancestor}, iteration {iteration}");
                    let origin = Origin::new("merged", label);
                    let origin = origin.with("ancestor", ancestor).with("iteration", iteration);
                    let parents = vec![merge.parents.0, merge.parents.1];
                    Some(PromptCandidate::new(prompts.clone(), origin).with_parents(parents))
                }
                Kind::Reflection { .. } | Kind::Follow { .. } => {
                    let own = granted.iter().filter(|(wish, _)| wish.draft == at);
                    self.changed(run, &draft, own)
                }
            };
            if let Kind::Follow { child, .. } = draft.kind {
                self.forget_training_runs(child);
            }
            let Some(candidate) = candidate else { continue };
            let changed = match &draft.kind {
                Kind::Reflection { components, .. } if self.components.len() > 1 => {
                    match components.as_slice() {
                        [only] => Some(only.clone()),
                        _ => None,
                    }
                }
                _ => None,
            };
            let known = run.board().candidates().len();
            let candidate = run.enter(candidate);
            // The same prompts were tried before, whatever came of it; they are not tried again.
            if candidate == known {
                self.failed_proposals = 0;
                children.push(Child { candidate, parent: draft.parent, minibatch: draft.minibatch, changed });
            } else {
                self.failed_proposals += 1;
                self.last_failure = Some("known already".to_owned());
            }
        }
        if self.failed_proposals >= MAX_FAILED_PROPOSALS {
            let last = self.last_failure.as_deref().unwrap_or("known already");
            run.note(format!(
                "the reflection model gave no usable or new instruction {MAX_FAILED_PROPOSALS} times in a row; the \
                 last: {last}"
            ));
            return Ok(None);
        }
        Ok(Some(children))
    }

    /// Runs every parent on its minibatch, and on further examples until there is something to learn from. Drafts
    /// whose parent does everything right are dropped, and the parent with them.
    async fn run_parents(&mut self, run: &mut Run<'_>, drafts: &mut Vec<Draft>) -> Result<(), Halt> {
        let wanted = drafts.iter().map(|draft| (draft.parent, draft.minibatch.clone())).collect();
        self.run_training(run, wanted).await?;
        // Of a merge's parent not every training example has been looked at for a failure.
        let reflections = drafts.iter().filter(|draft| matches!(draft.kind, Kind::Reflection { .. }));
        let parents: BTreeSet<usize> = reflections.map(|draft| draft.parent).collect();
        loop {
            let idle: Vec<usize> =
                parents.iter().copied().filter(|parent| self.wants_runs(run, *parent)).collect();
            if idle.is_empty() {
                break;
            }
            let mut wanted = Vec::new();
            for parent in idle {
                let is_open = |example: &usize| !self.traces.contains_key(&(parent, *example));
                let mut open: Vec<usize> = (0..run.train().len()).filter(is_open).collect();
                open.shuffle(&mut self.rng);
                open.truncate(2 * self.options.minibatch_size);
                wanted.push((parent, open));
            }
            self.run_training(run, wanted).await?;
        }
        for parent in parents {
            if !self.has_lesson(run, parent) {
                self.exhausted.insert(parent);
            }
        }
        drafts.retain(|draft| {
            !matches!(draft.kind, Kind::Reflection { .. }) || !self.exhausted.contains(&draft.parent)
        });
        Ok(())
    }

    /// Whether a parent needs more training runs before a reflection: as many as may be shown, but
    /// no more than a part of the budget, and at least one that went less than perfectly. The gate
    /// of every child of the parent uses them as well.
    fn wants_runs(&self, run: &Run<'_>, parent: usize) -> bool {
        let known = self.training_runs(parent).count();
        let share = self.affordable(run).map_or(usize::MAX, |left| (left / RUNS_SHARE) as usize);
        let wanted = self.options.reflection_examples.min(share);
        known < run.train().len() && (known < wanted || !self.has_lesson(run, parent))
    }

    /// Whether a parent has a training run that went less than perfectly.
    fn has_lesson(&self, run: &Run<'_>, parent: usize) -> bool {
        self.training_runs(parent).any(|(_, trace)| self.is_lesson(run, trace))
    }

    fn is_lesson(&self, run: &Run<'_>, trace: &Trace) -> bool {
        trace.evidence().is_some_and(|score| score < self.perfect_score(run))
            && !run.is_withheld(&trace.example)
    }

    /// The runs that the prompt model is shown: those of the minibatch, then others of the parent
    /// that are known already; what went wrong before what went well.
    fn reflective_data(&mut self, run: &Run<'_>, draft: &Draft) -> Vec<Arc<Trace>> {
        let judged = |trace: &&Arc<Trace>| trace.evidence().is_some() && !run.is_withheld(&trace.example);
        let base = draft.base();
        let fresh: Vec<Arc<Trace>> = draft
            .minibatch
            .iter()
            .filter_map(|example| self.traces.get(&(base, *example)))
            .filter(judged)
            .cloned()
            .collect();
        let mut others: Vec<Arc<Trace>> = self
            .training_runs(base)
            .filter(|(example, _)| !draft.minibatch.contains(example))
            .map(|(_, trace)| trace)
            .filter(judged)
            .cloned()
            .collect();
        others.shuffle(&mut self.rng);
        let most = self.options.reflection_examples;
        let (mut shown, passed): (Vec<_>, Vec<_>) =
            fresh.into_iter().chain(others).partition(|trace| self.is_lesson(run, trace));
        let room = (most / PASSED_SHARE).max(most.saturating_sub(shown.len())).min(passed.len());
        shown.truncate(most - room.min(most));
        shown.extend(passed.into_iter().take(room));
        shown
    }

    /// What is wanted of the prompt model, with the runs that it is shown.
    fn wishes<'p>(&mut self, run: &Run<'p>, drafts: &[Draft]) -> Result<Vec<Wish<'p>>, Error> {
        let predictors = run.program().predictors();
        let mut wishes = Vec::new();
        for (at, draft) in drafts.iter().enumerate() {
            let components = match &draft.kind {
                Kind::Reflection { components, .. } => components.as_slice(),
                Kind::Follow { component, .. } => std::slice::from_ref(component),
                Kind::Merge { .. } => continue,
            };
            let shown = self.reflective_data(run, draft);
            for path in components {
                let predictor = predictors.iter().copied().find(|one| one.path() == path);
                let predictor = predictor.ok_or_else(|| {
                    Error::option("component_selector", format!("there is no component `{path}`"))
                })?;
                let beginning = self.beginning(run, draft, path);
                wishes.push(Wish {
                    draft: at,
                    base: draft.base(),
                    predictor,
                    beginning,
                    runs: shown.clone(),
                });
            }
        }
        Ok(wishes)
    }

    /// What the reflection on a component begins with.
    fn beginning(&self, run: &Run<'_>, draft: &Draft, path: &str) -> Beginning {
        let candidates = run.board().candidates();
        let instruction = |at: usize, path: &str| candidates.get(at).and_then(|one| one.instruction(path));
        match &draft.kind {
            Kind::Follow { child, changed, .. } => {
                let new = instruction(*child, changed).unwrap_or_default();
                Beginning::Change(changed.clone(), new.to_owned())
            }
            Kind::Reflection { anew: true, .. } => Beginning::Anew,
            _ => Beginning::Present(self.relatives(run, draft.parent, path)),
        }
    }

    /// What the best other members of the frontier say in a component, the best first: what is spread over several
    /// lineages comes together in one instruction.
    fn relatives(&self, run: &Run<'_>, parent: usize, path: &str) -> Vec<String> {
        let mut members: Vec<usize> = self.members().into_keys().filter(|at| *at != 0).collect();
        members.sort_by(|one, other| self.mean(*other).total_cmp(&self.mean(*one)).then(one.cmp(other)));
        let candidates = run.board().candidates();
        let instruction = |at: usize| candidates.get(at).and_then(|one| one.instruction(path));
        let mut known = Known::from_iter(instruction(parent));
        let mut texts: Vec<String> = members.into_iter().filter_map(instruction).map(str::to_owned).collect();
        texts.retain(|text| known.note(text));
        texts.truncate(RELATIVES);
        texts
    }

    /// Has an instruction written for every wish.
    async fn write<'p>(
        &mut self,
        run: &mut Run<'p>,
        wishes: Vec<Wish<'p>>,
    ) -> Result<Vec<Granted<'p>>, Halt> {
        let (mut granted, mut open) = (Vec::new(), Vec::new());
        for wish in wishes {
            match run.writer(wish.predictor).await? {
                Some(writer) => {
                    let written = self.write_with(run, &*writer, &wish).await?;
                    granted.push((wish, written));
                }
                None => open.push(wish),
            }
        }
        let wishes = open;
        if wishes.is_empty() {
            return Ok(granted);
        }
        let predictors = run.program().predictors();
        let mut prompts = Vec::new();
        for Wish { base, predictor, beginning, runs, .. } in &wishes {
            let own = run.board().candidates().get(*base).map(|one| one.prompts.clone()).unwrap_or_default();
            // Another draw each time, so that no store takes a repeated request for the same one.
            let request = reflect::request(*predictor, &predictors, &own, beginning, runs)?;
            prompts.push(request.with_draw(self.requests));
            self.requests += 1;
        }
        let sampling =
            Sampling::default().with_temperature(self.options.temperature).with_max_tokens(MAX_TOKENS);
        let replies = run.ask(&sampling, "reflect", prompts).await?;
        for (wish, reply) in wishes.into_iter().zip(replies) {
            let read = reply.and_then(|reply| self.read(run, &wish, &reply));
            granted.push((wish, read));
        }
        Ok(granted)
    }

    /// The new instruction in a reply, or why there is none.
    fn read(&mut self, run: &Run<'_>, wish: &Wish<'_>, reply: &str) -> Result<String, String> {
        let judge = self.judges.entry(wish.predictor.path().to_owned()).or_insert_with(|| {
            let judge = Judge::of(run, wish.predictor).requested_by([reflect::REQUEST]);
            let judge = judge.within(run.bounds(wish.predictor.path()));
            judge.with_max_chars(MAX_INSTRUCTION_CHARS).asked_between_fences()
        });
        let base = run.board().candidates().get(wish.base);
        let present = base.and_then(|base| base.instruction(wish.predictor.path()));
        let proposal = judge.read(reply, &Known::from_iter(present));
        match proposal.flaw {
            None => Ok(proposal.text),
            Some(Flaw::Duplicate) => Err("unchanged".to_owned()),
            Some(flaw) => Err(flaw.reason().to_owned()),
        }
    }

    /// Has a writer that stands in for the prompt model grant a wish.
    async fn write_with(
        &mut self,
        run: &mut Run<'_>,
        writer: &dyn InstructionWriter,
        wish: &Wish<'_>,
    ) -> Result<Result<String, String>, Halt> {
        let path = wish.predictor.path();
        let candidates = run.board().candidates();
        let instruction = candidates.get(wish.base).and_then(|base| base.instruction(path));
        let mut request = InstructionRequest::new(
            path,
            wish.predictor.signature().clone(),
            instruction.unwrap_or_default(),
            self.rng.random(),
        );
        request.traces.clone_from(&wish.runs);
        request.examples = run.train().to_vec();
        request.taken =
            candidates.iter().filter_map(|one| one.instruction(path)).map(str::to_owned).collect();
        let texts = run.write_with(writer, &request).await?;
        let bounds = run.bounds(path);
        let usable = |text: &String| match flaw(text.trim(), MAX_INSTRUCTION_CHARS) {
            None => bounds.mend(text.trim()).map_err(|flaw| flaw.reason().to_owned()),
            Some(flaw) => Err(flaw.reason().to_owned()),
        };
        Ok(texts.and_then(|texts| match texts.first() {
            Some(text) => usable(text),
            None => Err("the writer has no more to give".to_owned()),
        }))
    }

    /// The candidate that was to change, with the instructions that came out; `None` when none did.
    fn changed<'g, 'p: 'g>(
        &mut self,
        run: &Run<'_>,
        draft: &Draft,
        granted: impl Iterator<Item = &'g Granted<'p>>,
    ) -> Option<PromptCandidate> {
        let mut prompts = run.board().candidates().get(draft.base())?.prompts.clone();
        let mut changed = Vec::new();
        let mut why = None;
        for (wish, written) in granted {
            let path = wish.predictor.path();
            let mut prompt = prompts.get(path).cloned().unwrap_or_default();
            let (instruction, dropped) = match written {
                Ok(text) if *text == prompt.instruction => (text.as_str(), Some("unchanged")),
                Ok(text) => (text.as_str(), None),
                Err(reason) => ("", Some(reason.as_str())),
            };
            run.observe_proposal(path, instruction, dropped);
            if dropped.is_some() {
                why = dropped;
            } else {
                instruction.clone_into(&mut prompt.instruction);
                prompts.insert(path, prompt);
                changed.push(path);
            }
        }
        if changed.is_empty() {
            self.failed_proposals += 1;
            self.last_failure = why.map(str::to_owned);
            return None;
        }
        if let Kind::Follow { changed: first, .. } = &draft.kind {
            changed.insert(0, first);
        }
        let named = changed.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        let more = if changed.len() > NAMED { " …" } else { "" };
        let label = format!("reflection on {named}{more}, iteration {}", self.iteration);
        let origin =
            Origin::new("reflected", label).with("predictors", changed).with("iteration", self.iteration);
        Some(PromptCandidate::new(prompts, origin).with_parents(vec![draft.parent]))
    }
}
