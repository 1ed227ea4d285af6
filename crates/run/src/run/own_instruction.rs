//! A winner whose instruction adds nothing keeps the user's own.

use promptopt_core::prompt::{Origin, PromptCandidate};

use super::Run;
use crate::proposal::Judge;
use crate::{Error, Halt, RolloutCost, TrialKind};

impl Run<'_> {
    /// The winner, given the candidate with the highest mean. Where that has other demos than the original, and an
    /// instruction that says nothing of what is to come out, the demos may be what carries it. So it is compared with
    /// the original instruction under its own demos, which is kept where it does as well.
    pub(super) async fn with_own_instruction(
        &mut self,
        leader: usize,
        may_go_on: bool,
    ) -> Result<usize, Error> {
        let Some((plain, paths)) = self.with_instructions_back(leader) else { return Ok(leader) };
        let known = self.board.find(&plain);
        let selection = self.board.examples().len() + self.kept_back as usize;
        let affords =
            may_go_on && RolloutCost::is_enough(&self.runner, selection) && !self.ledger.is_out_of_time();
        if known.is_none_or(|known| !self.board.is_full(known)) && !affords {
            self.note(format!(
                "the winner's instruction of {paths} says nothing of the outputs, and the budget left no room to compare \
                 it with the original one under the same demos"
            ));
            return Ok(leader);
        }
        let plain = self.enter(plain);
        let everything = self.board.open(plain);
        if !everything.is_empty() {
            self.stage("own instruction", "the original instruction with the winner's demos".to_owned());
            match self.try_out(TrialKind::new("own instruction"), &[(plain, everything)]).await {
                Err(Halt::Failed(error)) => return Err(error),
                Ok(()) | Err(Halt::Stopped(_)) => {}
            }
        }
        let score = |candidate: usize| self.board.candidates().get(candidate).and_then(|known| known.score);
        if plain == leader || score(plain).is_none() || score(plain) < score(leader) {
            return Ok(leader);
        }
        self.note(format!(
            "the original instruction of {paths} was kept: the best one said nothing of the outputs, and did no better \
             under the same demos"
        ));
        Ok(plain)
    }

    /// A candidate with the original instructions in place of those that say nothing of the outputs, and of which
    /// predictors they are. `None` where there are none, or it has no demos of its own to be carried by.
    fn with_instructions_back(&self, leader: usize) -> Option<(PromptCandidate, String)> {
        let (original, best) = (self.board.candidates().first()?, self.board.candidates().get(leader)?);
        let mut prompts = best.prompts.clone();
        let (mut paths, mut has_other_demos) = (Vec::new(), false);
        for predictor in self.program.predictors() {
            let path = predictor.path();
            let (Some(own), Some(new)) = (original.prompts.get(path), best.prompts.get(path)) else {
                continue;
            };
            has_other_demos |= own.demos != new.demos;
            if own.instruction != new.instruction
                && !Judge::of(self, predictor).names_an_output(&new.instruction)
            {
                let mut prompt = new.clone();
                prompt.instruction.clone_from(&own.instruction);
                prompts.insert(path, prompt);
                paths.push(format!("`{path}`"));
            }
        }
        let is_carried = has_other_demos && !paths.is_empty() && prompts != original.prompts;
        let origin = Origin::new("own instruction", "the original instruction with the winner's demos");
        is_carried
            .then(|| (PromptCandidate::new(prompts, origin).with_parents(vec![leader]), paths.join(" and ")))
    }
}
