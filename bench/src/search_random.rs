//! The control: the instructions and demo sets of MIPROv2, combined at random, each combination
//! evaluated in full.

use std::sync::Arc;

use async_trait::async_trait;
use miprov2::proposer::{ModelProposer, ModelProposerOptions, ProgramInfo, Proposer as _, Task};
use miprov2::trace_gen::{BootstrapOptions, best_traces, bootstrap};
use promptopt_core::{
    Budget, Error, Evaluator, Example, LanguageModel, ModuleExt as _, Optimizer, Outcome, Prompts,
};
use promptopt_evaluator::evaluate;
use promptopt_evaluator::session::{Division, Session, divide};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Instructions and demo sets to draw from.
const OPTIONS: usize = 10;

/// Random search.
pub(crate) struct RandomSearch {
    pub(crate) seed: u64,
    pub(crate) valset: Vec<Example>,
    pub(crate) budget: u64,
    pub(crate) model: Arc<dyn LanguageModel>,
}

#[async_trait]
impl Optimizer for RandomSearch {
    fn name(&self) -> &str {
        "random search"
    }

    async fn compile(&self, program: &mut dyn Evaluator, trainset: Vec<Example>) -> Result<Outcome, Error> {
        let best = self.search(&*program, trainset).await?;
        program.install(&best)?;
        Ok(Outcome::default())
    }
}

impl RandomSearch {
    async fn search(&self, program: &dyn Evaluator, trainset: Vec<Example>) -> Result<Prompts, Error> {
        let mut session = Session::of(program, Some(&self.model))?;
        session.limit(program, Budget::calls(self.budget), None, None, &[])?;
        let runner = session.runner(program);
        let Division { train, selection } = divide(trainset, Some(&self.valset), self.seed)?;
        let stage = |error| Error::stage("random search", error);

        let original = program.candidate().prompts;
        let mut best =
            (evaluate(&runner, &Arc::new(original.clone()), &selection).await.map_err(stage)?, original);
        let max_rollouts = session.ledger.remaining().map(|calls| (calls / 4 / program.max_calls()) as usize);
        let options = BootstrapOptions { max_rollouts, seed: self.seed, ..BootstrapOptions::default() };
        let found =
            bootstrap(&runner, &train, &options).await.map_err(|error| Error::stage("traces", error))?;

        let mut task = Task::new(ProgramInfo::of(program), train);
        task.seed = self.seed;
        task.traces = best_traces(&found.traces, 1);
        for predictor in program.predictors() {
            let sets = found.sets.iter().map(|set| set.of(predictor.path()).to_vec()).collect();
            task.demo_sets.insert(predictor.path().to_owned(), sets);
        }
        let proposer = ModelProposer::new(Arc::clone(&self.model), ModelProposerOptions::default())
            .ledger(Arc::clone(&session.ledger));
        let proposal = |error| Error::stage("proposals", error);
        let study = proposer.study(&task).await.map_err(proposal)?;
        let written = proposer.propose(&task, &study, OPTIONS - 1).await.map_err(proposal)?.instructions;

        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let full = (selection.len() * program.predictors().len()) as u64;
        while session.ledger.remaining().is_some_and(|left| left >= full) {
            let mut prompts = program.candidate().prompts;
            for predictor in program.predictors() {
                let mut prompt = predictor.prompt().clone();
                let texts = written.get(predictor.path()).map_or(&[][..], Vec::as_slice);
                if let Some(text) = texts.get(rng.random_range(0..OPTIONS)) {
                    prompt.instruction.clone_from(&text.instruction);
                }
                if let Some(set) = found.sets.get(rng.random_range(0..found.sets.len().max(1))) {
                    prompt.demos = set.of(predictor.path()).to_vec();
                }
                prompts.insert(predictor.path(), prompt);
            }
            let tried = evaluate(&runner, &Arc::new(prompts.clone()), &selection).await.map_err(stage)?;
            if tried.stop.is_some() {
                break;
            }
            if tried.estimate.mean > best.0.estimate.mean {
                best = (tried, prompts);
            }
        }
        Ok(best.1)
    }
}
