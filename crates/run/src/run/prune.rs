//! Rules of the winner that do not pay are dropped.

use std::collections::HashMap;
use std::sync::Arc;

use promptopt_core::prompt::{Itemised, Origin, PromptCandidate};

use super::Run;
use super::choice::Choice;
use crate::proposal::flaw;
use crate::rules::{Rule, RulesFinding, Worth, about, stated_rules, worths};
use crate::{
    Between, Error, Forecast, Halt, ModelRole, RolloutCost, RolloutJob, TrialKind, calls_of_a_rollout,
};

/// Rules are tried with at most one rollout for so many that the run has made.
const PART: u64 = 10;
/// A rule that is worth so many standard errors by what is known already is not tried.
const SURE: f64 = 1.0;

/// What rules of one candidate are known to be worth.
struct Trials {
    candidate: PromptCandidate,
    rules: Vec<Rule>,
    /// Scores of the candidate without a rule, by rule and example.
    scores: HashMap<(usize, usize), f64>,
}

impl Run<'_> {
    /// The choice, after rules of the winner that do not pay were dropped, and what was found: each is left out on the
    /// examples that it is about, and the winner without those that gained nothing there is one more candidate to choose
    /// from.
    pub(super) async fn without_idle_rules(
        &mut self,
        choice: Choice,
        may_go_on: bool,
    ) -> Result<(Choice, Option<RulesFinding>), Error> {
        let winner = choice.best();
        let Some(candidate) = self.board.candidates().get(winner).filter(|_| winner != 0).cloned() else {
            return Ok((choice, None));
        };
        let own = self.board.candidates().first().cloned().unwrap_or_default();
        let rules = stated_rules(&candidate, &own);
        let (count, most) = (rules.len(), RulesFinding::MOST);
        if count > most {
            self.note(format!("the winner has {count} rules; with more than {most} none is tried without"));
        }
        if rules.is_empty() || count > most {
            return Ok((choice, None));
        }
        let rules = about(rules, self.board.examples());
        let before = self.runner.totals().made;
        let mut trials = Trials { candidate, rules, scores: HashMap::new() };
        if may_go_on && !self.ledger.is_out_of_time() {
            match self.try_without(&mut trials).await {
                Err(Halt::Failed(error)) => return Err(error),
                Ok(()) | Err(Halt::Stopped(_)) => {}
            }
        }
        let worths = self.worths(&trials);
        let idle = trials.idle(&worths, self.options.length_penalty, self.board.examples().len());
        let (choice, dropped, why) = match idle.as_slice() {
            [] if trials.scores.is_empty() => {
                let why = if trials.is_sure(&worths) {
                    "all pay"
                } else if may_go_on {
                    "a tenth of the rollouts made, or what the budget left, is too little to try the winner without them"
                } else {
                    "the run ended before the winner was tried without them"
                };
                (choice, Vec::new(), why.to_owned())
            }
            [] => (choice, Vec::new(), "none that was tried was without worth".to_owned()),
            _ => self.choose_without(choice, &trials, idle).await?,
        };
        let told = trials.rules.iter().zip(&worths).enumerate();
        let rules = told.map(|(at, (rule, worth))| worth.of(rule, dropped.contains(&at))).collect();
        let rollouts = self.runner.totals().made - before;
        Ok((choice, Some(RulesFinding { rules, rollouts, why })))
    }

    fn worths(&self, trials: &Trials) -> Vec<Worth> {
        let known = |candidate| self.board.known(candidate);
        worths(&trials.rules, self.board.candidates(), known, &trials.scores)
    }

    /// Rolls the candidate out without each rule that may not pay, on the examples that the rule is about. The most
    /// doubtful rules come first, and those about all examples last, as far as there is room.
    async fn try_without(&mut self, trials: &mut Trials) -> Result<(), Halt> {
        let known = self.worths(trials);
        let selection = self.board.examples().len();
        let later = selection + self.kept_back as usize;
        let spare = RolloutCost::spare(&self.runner, later).unwrap_or(u64::MAX);
        let mut room = spare.min(self.runner.totals().made / PART) as usize;
        let doubt = |at: usize| known.get(at).and_then(Worth::z).unwrap_or(0.0);
        let mut order: Vec<usize> = (0..trials.rules.len()).filter(|at| doubt(*at) < SURE).collect();
        order.sort_by(|one, other| {
            let is_general = |at: usize| trials.rules.get(at).is_some_and(|rule| rule.is_general);
            is_general(*one).cmp(&is_general(*other)).then(doubt(*one).total_cmp(&doubt(*other)))
        });
        let (mut places, mut jobs) = (Vec::new(), Vec::new());
        for at in order {
            let Some(rule) = trials.rules.get(at).filter(|rule| rule.rows.len() <= room) else { continue };
            let Some(without) = self.sound_without(trials, &[at]) else { continue };
            room -= rule.rows.len();
            let prompts = Arc::new(self.fitted(without).prompts);
            for row in &rule.rows {
                let Some(example) = self.board.examples().get(*row) else { continue };
                places.push((at, *row));
                jobs.push(RolloutJob::new(Arc::clone(&prompts), Arc::clone(example)));
            }
        }
        if jobs.is_empty() {
            return Ok(());
        }
        self.stage(
            RulesFinding::DETAIL,
            format!("the winner without single rules, in {} rollouts", jobs.len()),
        );
        let mut traces = Vec::new();
        let ended = self.rollouts_into(&jobs, &mut traces).await;
        for (place, trace) in places.into_iter().zip(traces) {
            if let Some(score) = trace.and_then(|trace| trace.evidence()) {
                trials.scores.insert(place, score);
            }
        }
        ended
    }

    /// The candidate without some of its rules; `None` where what is left is no instruction or lacks a text to keep.
    fn sound_without(&self, trials: &Trials, dropped: &[usize]) -> Option<PromptCandidate> {
        let without = trials.without(dropped);
        let is_sound = |rule: &Rule| {
            let instruction = without.instruction(&rule.predictor).unwrap_or_default();
            self.bounds(&rule.predictor).admits(instruction) && flaw(instruction, usize::MAX).is_none()
        };
        dropped.iter().filter_map(|at| trials.rules.get(*at)).all(is_sound).then_some(without)
    }

    /// Evaluates the winner without some rules, and chooses again; which were dropped, and why.
    async fn choose_without(
        &mut self,
        choice: Choice,
        trials: &Trials,
        mut idle: Vec<usize>,
    ) -> Result<(Choice, Vec<usize>, String), Error> {
        let winner = choice.best();
        // Each can be spared; all of them together may be the whole instruction.
        while self.sound_without(trials, &idle).is_none() {
            idle.pop();
        }
        let without = self.enter(trials.without(&idle).with_parents(vec![winner]));
        let open = self.board.open(without);
        let affords = RolloutCost::is_enough(&self.runner, open.len() + self.kept_back as usize);
        if !affords {
            let why = "the budget left no room to evaluate the winner without those of no worth".to_owned();
            return Ok((choice, Vec::new(), why));
        }
        self.stage(RulesFinding::DETAIL, format!("the winner without {} rules, on all examples", idle.len()));
        match self.try_out(TrialKind::new("without rules"), &[(without, open)]).await {
            Err(Halt::Failed(error)) => return Err(error),
            Ok(()) | Err(Halt::Stopped(_)) => {}
        }
        let after = self.choose();
        if after.best() == without {
            let why = "the winner does as well without, as far as can be expected".to_owned();
            return Ok((after, idle, why));
        }
        let why = format!("without the {} that gained nothing, less is to be expected of it", idle.len());
        Ok((choice, Vec::new(), why))
    }

    /// What dropping rules may call at the end of a run that calls so much; `None` where it writes no instructions.
    pub(crate) fn pruning_calls(&self, forecast: &Forecast) -> Option<Between> {
        let is_written = self.options.instruction_writer.is_some()
            || forecast.stages.iter().any(|stage| stage.model == ModelRole::Prompt);
        let all = self.board.examples().len() as u64 * calls_of_a_rollout(self.program).high;
        is_written.then(|| Between::new(0, all + forecast.calls().high / PART))
    }
}

impl Trials {
    /// The candidate without some of its rules.
    fn without(&self, dropped: &[usize]) -> PromptCandidate {
        let mut prompts = self.candidate.prompts.clone();
        for (path, prompt) in self.candidate.prompts.iter() {
            let own =
                dropped.iter().filter_map(|at| self.rules.get(*at)).filter(|rule| rule.predictor == path);
            let places: Vec<usize> = own.map(|rule| rule.place).collect();
            if !places.is_empty() {
                let mut prompt = prompt.clone();
                prompt.instruction = Itemised::read(&prompt.instruction).without(&places).to_string();
                prompts.insert(path, prompt);
            }
        }
        let origin = Origin::new("without rules", "the winner without rules that do not pay");
        PromptCandidate::new(prompts, origin)
    }

    /// Whether every rule is known to pay.
    fn is_sure(&self, worths: &[Worth]) -> bool {
        worths.iter().all(|worth| worth.z().is_some_and(|z| z >= SURE))
    }

    /// The rules that were tried and gained no more than their length costs, the clearest first. Of rules about the
    /// same examples one: without it the others may pay.
    fn idle(&self, worths: &[Worth], length_penalty: f64, examples: usize) -> Vec<usize> {
        let is_idle = |at: usize, worth: &Worth| {
            let rule = self.rules.get(at)?;
            let is_tried = rule.rows.iter().all(|row| self.scores.contains_key(&(at, *row)));
            let share = rule.rows.len() as f64 / examples.max(1) as f64;
            let price = length_penalty * rule.text.chars().count() as f64 / 1000.0;
            (is_tried && worth.mean()? * share <= price).then_some((worth.z()?, at))
        };
        let mut idle: Vec<(f64, usize)> =
            worths.iter().enumerate().filter_map(|(at, worth)| is_idle(at, worth)).collect();
        idle.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        let mut dropped: Vec<usize> = Vec::new();
        for (_, at) in idle {
            let is_beside = |other: &usize| {
                self.rules.get(at).is_some_and(|rule| !rule.is_general && rule.beside.contains(other))
            };
            if !dropped.iter().any(is_beside) {
                dropped.push(at);
            }
        }
        dropped
    }
}
