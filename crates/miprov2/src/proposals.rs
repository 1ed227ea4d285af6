//! The instructions that are written in the course of a run.

use indexmap::IndexMap;
use promptopt_evaluator::Search;
use promptopt_proposer::{Attempt, ModelProposer, ProgramInfo, Study, Task};
use promptopt_run::proposal::{Flaw, Known};
use promptopt_run::{Halt, InstructionRequest, Run};
use promptopt_trace_gen::{Bootstrapped, best_traces};

use crate::MIPROv2;
use crate::sizes::{self, Round};

/// Has instructions written, round by round, and knows what was written and tried.
pub(crate) struct Proposals {
    proposer: ModelProposer,
    task: Task,
    study: Option<Study>,
    written: IndexMap<String, Vec<String>>,
}

impl Proposals {
    pub(crate) fn new(options: &MIPROv2, run: &Run<'_>, demos: &Bootstrapped) -> Self {
        let program = ProgramInfo::of(run.program()).under(&run.base().prompts);
        let mut task = Task::new(program, run.train().to_vec());
        task.traces = best_traces(&demos.traces, 1);
        for predictor in run.program().predictors() {
            let sets = demos.sets.iter().map(|set| set.of(predictor.path()).to_vec()).collect();
            task.demo_sets.insert(predictor.path().to_owned(), sets);
        }
        let mut proposer = ModelProposer::new(sizes::proposer(options));
        if let Some(tips) = &options.tips {
            proposer = proposer.tips(tips.clone());
        }
        Self { proposer, task, study: None, written: IndexMap::new() }
    }

    /// Writes the instructions of a round and gives all that were written so far, by predictor.
    pub(crate) async fn write(
        &mut self,
        run: &mut Run<'_>,
        round: Round,
        search: &Search,
    ) -> Result<&IndexMap<String, Vec<String>>, Halt> {
        let count = round.instructions;
        if count == 0 {
            return Ok(&self.written);
        }
        run.stage("proposals", format!("writing {count} instructions for each predictor"));
        for (index, predictor) in run.program().predictors().iter().enumerate() {
            let scored = search.instruction_scores(run, index).into_iter();
            let attempts = scored.map(|(instruction, score)| Attempt::new(instruction, score));
            self.task.tried.insert(predictor.path().to_owned(), attempts.collect());
        }
        // The descriptions are written once, with the seed of the run; each round draws anew.
        self.task.seed = run.options().seed;
        let fewest = self.ask_writers(run, round).await?;
        if fewest < count && run.may_ask_prompt_model() {
            let study = match self.study.take() {
                Some(study) => study,
                None => self.proposer.study(run, &self.task).await?,
            };
            self.task.seed = run.options().seed.wrapping_add(round.number as u64);
            let new = self.proposer.propose(run, &self.task, &study, count - fewest).await;
            self.study = Some(study);
            for (path, texts) in new? {
                self.take(path, texts);
            }
        }
        Ok(&self.written)
    }

    fn take(&mut self, path: String, texts: Vec<String>) {
        self.task.taken.entry(path.clone()).or_default().extend(texts.iter().cloned());
        self.written.entry(path).or_default().extend(texts);
    }

    /// Asks what writes in place of the prompt model, and says how many instructions each predictor has of it at least.
    async fn ask_writers(&mut self, run: &mut Run<'_>, round: Round) -> Result<usize, Halt> {
        let seed = run.options().seed.wrapping_add(round.number as u64);
        let mut fewest = round.instructions;
        for (index, predictor) in run.program().predictors().into_iter().enumerate() {
            let path = predictor.path().to_owned();
            let mut written = 0;
            while written < round.instructions {
                let Some(writer) = run.writer(predictor).await? else { break };
                let base = run.base();
                let instruction = base.instruction(&path).unwrap_or_default();
                let signature = predictor.signature().clone();
                let mut request =
                    InstructionRequest::new(&path, signature, instruction, seed.wrapping_add(index as u64));
                request.count = round.instructions - written;
                request.traces.clone_from(&self.task.traces);
                request.examples.clone_from(&self.task.examples);
                request.taken = self.task.taken.get(&path).cloned().unwrap_or_default();
                let texts = match run.write_with(&*writer, &request).await? {
                    Ok(texts) => texts,
                    Err(failure) => {
                        run.note(format!("a proposal for `{path}` failed: {failure}"));
                        Vec::new()
                    }
                };
                let mut known = Known::from_iter(&request.taken);
                let mut kept = Vec::new();
                let bounds = run.bounds(&path);
                for text in texts {
                    let admitted =
                        bounds.mend(&text).and_then(|mended| known.admit(&mended).map(|()| mended));
                    let dropped = admitted.as_ref().err().copied().map(Flaw::reason);
                    run.observe_instruction(&path, &text, dropped);
                    kept.extend(admitted);
                }
                if kept.is_empty() {
                    break;
                }
                written += kept.len();
                self.take(path.clone(), kept);
            }
            fewest = fewest.min(written);
        }
        Ok(fewest)
    }
}
