//! From what the task file says to an optimizer.

use std::sync::Arc;

use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_core::{
    Budget, Cancellation, Example, InstructionWriter, LanguageModel, Observer, Optimizer, Prices,
};
use promptopt_gepa::{CandidateSelector, ComponentSelector, GEPA};
use promptopt_proposer::{Proposer, TemplateProposer};

use crate::session::Session;
use crate::task_file::{ComponentsKind, OptimizerKind, OptimizerSection, ProposerKind, SelectorKind};

/// What an optimizer works with besides its options.
pub(crate) struct Surroundings {
    pub(crate) model: Arc<dyn LanguageModel>,
    pub(crate) prompt_model: Arc<dyn LanguageModel>,
    pub(crate) by_template: bool,
    pub(crate) selection: Vec<Example>,
    pub(crate) budget: Budget,
    pub(crate) prices: Prices,
    pub(crate) concurrency: usize,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) cancellation: Cancellation,
}

impl Surroundings {
    pub(crate) fn of(
        session: &Session,
        section: &OptimizerSection,
        observer: Arc<dyn Observer>,
        cancellation: Cancellation,
    ) -> anyhow::Result<Self> {
        let by_template = match section.proposer.unwrap_or_default() {
            ProposerKind::Template => true,
            ProposerKind::Model => false,
            ProposerKind::Auto => session.prompt_model.is_embedded,
        };
        Ok(Self {
            budget: section.budget()?,
            prices: session.task.prices.clone(),
            model: Arc::clone(&session.model.model),
            // Whom templates stand in for is not asked, so its price does not matter either.
            prompt_model: Arc::clone(if by_template {
                &session.model.model
            } else {
                &session.prompt_model.model
            }),
            by_template,
            selection: session.selection.clone(),
            concurrency: session.concurrency,
            observer,
            cancellation,
        })
    }
}

/// The most demos that a prompt of it may have.
pub(crate) fn demos(section: &OptimizerSection) -> usize {
    match section.chosen() {
        OptimizerKind::Miprov2 => {
            section.max_bootstrapped_demos.unwrap_or(4) + section.max_labeled_demos.unwrap_or(4)
        }
        OptimizerKind::Copro | OptimizerKind::Gepa => 0,
    }
}

/// The optimizer that a section describes.
pub(crate) fn build(section: &OptimizerSection, around: Surroundings) -> Box<dyn Optimizer> {
    match section.chosen() {
        OptimizerKind::Miprov2 => Box::new(miprov2(section, around)),
        OptimizerKind::Copro => Box::new(copro(section, around)),
        OptimizerKind::Gepa => Box::new(gepa(section, around)),
    }
}

fn miprov2(section: &OptimizerSection, around: Surroundings) -> MIPROv2 {
    let proposer = around.by_template.then(|| Arc::new(TemplateProposer::default()) as Arc<dyn Proposer>);
    MIPROv2::builder()
        .task_model(around.model)
        .prompt_model(around.prompt_model)
        .maybe_proposer(proposer)
        .valset(around.selection)
        .maybe_auto(section.auto)
        .maybe_num_candidates(section.num_candidates)
        .maybe_num_trials(section.num_trials)
        .maybe_minibatch(section.minibatch)
        .maybe_minibatch_size(section.minibatch_size)
        .maybe_minibatch_full_eval_steps(section.minibatch_full_eval_steps)
        .maybe_parallel_trials(section.parallel_trials)
        .maybe_temperature(section.temperature)
        .maybe_max_bootstrapped_demos(section.max_bootstrapped_demos)
        .maybe_max_labeled_demos(section.max_labeled_demos)
        .maybe_metric_threshold(section.metric_threshold)
        .maybe_proposal_rounds(section.proposal_rounds)
        .maybe_program_aware(section.program_aware)
        .maybe_data_aware(section.data_aware)
        .maybe_tip_aware(section.tip_aware)
        .maybe_few_shot_aware(section.few_shot_aware)
        .maybe_seed(section.seed)
        .maybe_max_errors(section.max_errors)
        .maybe_max_calls(section.max_calls)
        .budget(around.budget)
        .prices(around.prices)
        .concurrency(around.concurrency)
        .observer(around.observer)
        .cancellation(around.cancellation)
        .build()
}

fn template_writer(around: &Surroundings) -> Option<Arc<dyn InstructionWriter>> {
    around.by_template.then(|| Arc::new(TemplateProposer::default()) as Arc<dyn InstructionWriter>)
}

fn copro(section: &OptimizerSection, around: Surroundings) -> COPRO {
    COPRO::builder()
        .maybe_instruction_writer(template_writer(&around))
        .task_model(around.model)
        .prompt_model(around.prompt_model)
        .valset(around.selection)
        .maybe_breadth(section.breadth)
        .maybe_depth(section.depth)
        .maybe_init_temperature(section.init_temperature)
        .maybe_show_mistakes(section.show_mistakes)
        .maybe_racing(section.racing)
        .maybe_max_metric_calls(section.max_metric_calls)
        .maybe_seed(section.seed)
        .maybe_max_errors(section.max_errors)
        .maybe_max_calls(section.max_calls)
        .budget(around.budget)
        .prices(around.prices)
        .concurrency(around.concurrency)
        .observer(around.observer)
        .cancellation(around.cancellation)
        .build()
}

fn gepa(section: &OptimizerSection, around: Surroundings) -> GEPA {
    let auto = section.auto.map(|auto| match auto {
        miprov2::Auto::Light => promptopt_gepa::Auto::Light,
        miprov2::Auto::Medium => promptopt_gepa::Auto::Medium,
        miprov2::Auto::Heavy => promptopt_gepa::Auto::Heavy,
    });
    let candidate_selector = section.candidate_selector.map(|selector| match selector {
        SelectorKind::Pareto => CandidateSelector::Pareto,
        SelectorKind::CurrentBest => CandidateSelector::CurrentBest,
        SelectorKind::TopKPareto => CandidateSelector::TopKPareto(section.k.unwrap_or(5)),
        SelectorKind::EpsilonGreedy => CandidateSelector::EpsilonGreedy(section.epsilon.unwrap_or(0.1)),
    });
    let component_selector = section.component_selector.map(|selector| match selector {
        ComponentsKind::RoundRobin => ComponentSelector::RoundRobin,
        ComponentsKind::All => ComponentSelector::All,
    });
    GEPA::builder()
        .maybe_instruction_writer(template_writer(&around))
        .task_model(around.model)
        .prompt_model(around.prompt_model)
        .valset(around.selection)
        .maybe_auto(auto)
        .maybe_max_metric_calls(section.max_metric_calls)
        .maybe_target_score(section.target_score)
        .maybe_patience(section.patience)
        .maybe_stop_file(section.stop_file.clone())
        .maybe_minibatch_size(section.minibatch_size)
        .maybe_max_gate_examples(section.max_gate_examples)
        .maybe_gate_level(section.gate_level)
        .maybe_selection_portions(section.selection_portions)
        .maybe_reflection_examples(section.reflection_examples)
        .maybe_perfect_score(section.perfect_score)
        .maybe_frontier(section.frontier)
        .maybe_candidate_selector(candidate_selector)
        .maybe_component_selector(component_selector)
        .maybe_components(section.components.clone())
        .maybe_use_merge(section.use_merge)
        .maybe_max_merge_invocations(section.max_merge_invocations)
        .maybe_parallel_proposals(section.parallel_proposals)
        .maybe_confirm(section.confirm)
        .maybe_temperature(section.temperature)
        .maybe_seed(section.seed)
        .maybe_max_errors(section.max_errors)
        .maybe_max_calls(section.max_calls)
        .budget(around.budget)
        .prices(around.prices)
        .concurrency(around.concurrency)
        .observer(around.observer)
        .cancellation(around.cancellation)
        .build()
}
