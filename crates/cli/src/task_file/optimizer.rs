//! The section `[optimizer]`, or its name alone.

use std::fmt;
use std::path::PathBuf;

use anyhow::{anyhow, bail};
use miprov2::Auto;
use promptopt_core::{Budget, Money};
use promptopt_gepa::FrontierType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::keys::{either, nearest, set_keys};
use super::shorthand::FromName;

/// Which optimizer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OptimizerKind {
    /// Joint search of instructions and demos.
    #[default]
    Miprov2,
    /// Iterative refinement of instructions.
    Copro,
    /// Reflective evolution over a Pareto frontier.
    Gepa,
}

/// What writes instructions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProposerKind {
    /// Templates where the prompt model is the embedded one, else the prompt model.
    #[default]
    Auto,
    /// The prompt model.
    Model,
    /// Templates, without any model.
    Template,
}

/// How GEPA draws parents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SelectorKind {
    /// From the Pareto frontier, in proportion to what each is best at.
    Pareto,
    /// The one with the highest mean.
    CurrentBest,
    /// From the `k` members of the frontier with the highest mean.
    TopKPareto,
    /// The one with the highest mean, and with probability `epsilon` any other.
    EpsilonGreedy,
}

/// Which components of a parent GEPA changes in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ComponentsKind {
    /// One after the other.
    RoundRobin,
    /// All of them.
    All,
}

/// A number, or a text with a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number or a text with a unit")]
pub(crate) enum Amount {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

impl Amount {
    fn json(&self) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Text(text) => json!(text),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.json().fmt(formatter)
    }
}

/// How prompts are looked for. What is not set is the optimizer's own default.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OptimizerSection {
    /// Which optimizer. Default: `miprov2`.
    pub(crate) kind: Option<OptimizerKind>,

    /// Seed of every random choice. Default: 0.
    pub(crate) seed: Option<u64>,
    /// Calls under way at once; never changes the result. Default: 8.
    pub(crate) concurrency: Option<usize>,
    /// Errors of provider, metric or program that are borne. Default: 10.
    pub(crate) max_errors: Option<u64>,
    /// The most calls the optimization may make. Default: no limit.
    pub(crate) max_calls: Option<u64>,
    /// The most tokens it may read and write. Default: no limit.
    pub(crate) max_tokens: Option<u64>,
    /// The most it may cost, in dollars. Default: no limit.
    pub(crate) max_cost: Option<Amount>,
    /// The longest it may take: seconds, or a text such as `"15m"`. Default: no limit.
    pub(crate) max_time: Option<Amount>,
    /// What writes instructions. Default: `auto`.
    pub(crate) proposer: Option<ProposerKind>,

    /// miprov2, gepa: sizes the run by itself.
    #[schemars(with = "Option<AutoForm>")]
    pub(crate) auto: Option<Auto>,
    /// miprov2, gepa: temperature of the model that writes instructions. Default: 1.0.
    pub(crate) temperature: Option<f64>,
    /// miprov2, gepa: examples of a minibatch. Default: 25, or 10 under a small budget (miprov2), 3 (gepa).
    pub(crate) minibatch_size: Option<usize>,
    /// copro, gepa: the most rollouts of the program, each of which asks the metric once.
    pub(crate) max_metric_calls: Option<u64>,

    /// miprov2: instructions and demo sets to choose from. Default: 10; 20 with `max_calls`.
    pub(crate) num_candidates: Option<usize>,
    /// miprov2: combinations to try. Default: 20; 30 with `max_calls`.
    pub(crate) num_trials: Option<usize>,
    /// miprov2: try on minibatches, evaluate leaders in full. Default: true.
    pub(crate) minibatch: Option<bool>,
    /// miprov2: trials between full evaluations. Default: 5.
    pub(crate) minibatch_full_eval_steps: Option<usize>,
    /// miprov2: trials that are chosen and run at once. Default: 5.
    pub(crate) parallel_trials: Option<usize>,
    /// miprov2: demos from rollouts that passed. Default: 4.
    pub(crate) max_bootstrapped_demos: Option<usize>,
    /// miprov2: demos from the data, besides those. Default: 4.
    pub(crate) max_labeled_demos: Option<usize>,
    /// miprov2: the lowest score of a rollout that may become a demo. Default: any above 0.
    pub(crate) metric_threshold: Option<f64>,
    /// miprov2: in how many rounds instructions are written. Default: 2; 5 with `max_calls`.
    pub(crate) proposal_rounds: Option<usize>,
    /// miprov2: describe program and predictors to the prompt model. Default: true.
    pub(crate) program_aware: Option<bool>,
    /// miprov2: describe the data to the prompt model. Default: true.
    pub(crate) data_aware: Option<bool>,
    /// miprov2: give the prompt model a tip with every request. Default: true.
    pub(crate) tip_aware: Option<bool>,
    /// miprov2: show the prompt model demos and examples. Default: true.
    pub(crate) few_shot_aware: Option<bool>,

    /// copro: instructions to evaluate at each depth. Default: 10.
    pub(crate) breadth: Option<usize>,
    /// copro: how often instructions are written and evaluated. Default: 3.
    pub(crate) depth: Option<usize>,
    /// copro: temperature of the model that writes instructions. Default: 1.4.
    pub(crate) init_temperature: Option<f64>,
    /// copro: show the prompt model runs that were wrong. Default: true.
    pub(crate) show_mistakes: Option<bool>,
    /// copro: drop candidates that fall behind before they are evaluated in full. Default: true.
    pub(crate) racing: Option<bool>,

    /// gepa: the run ends when the best mean on the selection set is at least this.
    pub(crate) target_score: Option<f64>,
    /// gepa: the run ends after so many steps in a row that did not raise the best mean.
    pub(crate) patience: Option<usize>,
    /// gepa: the run ends before the next step when this file exists; relative to the task file.
    pub(crate) stop_file: Option<PathBuf>,
    /// gepa: training examples up to which child and parent are compared. Default: 12.
    pub(crate) max_gate_examples: Option<usize>,
    /// gepa: share of children no better than their parent that are evaluated in full. Default: 0.05.
    pub(crate) gate_level: Option<f64>,
    /// gepa: in how many portions the selection set is run. Default: 10.
    pub(crate) selection_portions: Option<usize>,
    /// gepa: the most records shown in one reflection. Default: 30.
    pub(crate) reflection_examples: Option<usize>,
    /// gepa: the score from which on a run has nothing to learn from. Default: 1.
    pub(crate) perfect_score: Option<f64>,
    /// gepa: at what candidates may be best. Default: `example`.
    #[schemars(with = "Option<FrontierForm>")]
    pub(crate) frontier: Option<FrontierType>,
    /// gepa: how parents are drawn. Default: `pareto`.
    pub(crate) candidate_selector: Option<SelectorKind>,
    /// gepa: how many members `top_k_pareto` draws from. Default: 5.
    pub(crate) k: Option<usize>,
    /// gepa: how often `epsilon_greedy` draws any candidate. Default: 0.1.
    pub(crate) epsilon: Option<f64>,
    /// gepa: which components of a parent get a new instruction. Default: `round_robin`.
    pub(crate) component_selector: Option<ComponentsKind>,
    /// gepa: names of the only predictors that may change. Default: all.
    pub(crate) components: Option<Vec<String>>,
    /// gepa: merge lineages. Default: true.
    pub(crate) use_merge: Option<bool>,
    /// gepa: the most merges to try. Default: 5.
    pub(crate) max_merge_invocations: Option<usize>,
    /// gepa: how many proposals are under way at once. Default: 1.
    pub(crate) parallel_proposals: Option<usize>,
    /// gepa: measure the winner once more on training examples held back. Default: true.
    pub(crate) confirm: Option<bool>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "it stands for a type of another crate in the schema and is never made")]
enum AutoForm {
    Light,
    Medium,
    Heavy,
}

#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it stands for a type of another crate in the schema and is never made")]
enum FrontierForm {
    Example,
    Objective,
    Hybrid,
    ExampleObjective,
}

/// What the schema says of `optimizer`.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is the schema of what is read by hand and is never made")]
pub(super) enum OptimizerForm {
    /// The optimizer's name alone.
    Name(OptimizerKind),
    Table(Box<OptimizerSection>),
}

const MIPROV2: &str = "miprov2";
const COPRO: &str = "copro";
const GEPA: &str = "gepa";

/// The optimizers that an option is for; empty for what all of them have.
fn owners(option: &str) -> &'static [&'static str] {
    match option {
        "auto" | "temperature" | "minibatch_size" => &[MIPROV2, GEPA],
        "max_metric_calls" => &[COPRO, GEPA],
        "num_candidates"
        | "num_trials"
        | "minibatch"
        | "minibatch_full_eval_steps"
        | "parallel_trials"
        | "max_bootstrapped_demos"
        | "max_labeled_demos"
        | "metric_threshold"
        | "proposal_rounds"
        | "program_aware"
        | "data_aware"
        | "tip_aware"
        | "few_shot_aware" => &[MIPROV2],
        "breadth" | "depth" | "init_temperature" | "show_mistakes" | "racing" => &[COPRO],
        "kind" | "seed" | "concurrency" | "max_errors" | "max_calls" | "max_tokens" | "max_cost"
        | "max_time" | "proposer" => &[],
        _ => &[GEPA],
    }
}

impl OptimizerKind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Copro, Self::Miprov2, Self::Gepa];

    /// The name in the task file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Miprov2 => MIPROV2,
            Self::Copro => COPRO,
            Self::Gepa => GEPA,
        }
    }
}

/// Options that mean something else to every optimizer that has them.
const HOMONYMS: [&str; 2] = ["minibatch_size", "temperature"];

impl OptimizerSection {
    /// The optimizer that the file asks for.
    pub(crate) fn chosen(&self) -> OptimizerKind {
        self.kind.unwrap_or_default()
    }

    /// The options that are set and belong to other optimizers than `kind`, with those.
    fn foreign(&self, kind: OptimizerKind) -> Vec<(String, &'static [&'static str])> {
        set_keys(self)
            .into_iter()
            .map(|key| (owners(&key), key))
            .filter(|(owners, _)| !owners.is_empty() && !owners.contains(&kind.name()))
            .map(|(owners, key)| (key, owners))
            .collect()
    }

    /// Checks that every option belongs to the optimizer that the file asks for.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let kind = self.chosen();
        if let Some((key, owners)) = self.foreign(kind).first() {
            let chosen = if self.kind.is_some() { "the optimizer is" } else { "by default the optimizer is" };
            bail!("`optimizer.{key}` is an option of {}, but {chosen} `{}`", either(owners), kind.name());
        }
        for (key, set, selector) in [
            ("k", self.k.is_some(), SelectorKind::TopKPareto),
            ("epsilon", self.epsilon.is_some(), SelectorKind::EpsilonGreedy),
        ] {
            if set && self.candidate_selector != Some(selector) {
                let name = if key == "k" { "top_k_pareto" } else { "epsilon_greedy" };
                bail!("`optimizer.{key}` has no effect without `candidate_selector = \"{name}\"`");
            }
        }
        self.budget().map(|_| ())
    }

    /// What the optimization may spend.
    pub(crate) fn budget(&self) -> anyhow::Result<Budget> {
        let money = self.max_cost.as_ref().map(|amount| {
            serde_json::from_value::<Money>(amount.json()).map_err(|_| {
                anyhow!("`optimizer.max_cost` is {amount}, but must be an amount in dollars, such as 5 or \"$0.25\"")
            })
        });
        let time = self.max_time.as_ref().map(|amount| {
            let read = serde_json::from_value::<Budget>(json!({"wall_time": amount.json()}));
            read.ok().and_then(|budget| budget.wall_time).filter(|time| !time.is_zero()).ok_or_else(|| {
                anyhow!(
                    "`optimizer.max_time` is {amount}, but must be a number of seconds above 0, or a text such as \
                     \"90s\", \"15m\" or \"1h30m\""
                )
            })
        });
        Ok(Budget {
            calls: self.max_calls,
            tokens: self.max_tokens,
            money: money.transpose()?,
            wall_time: time.transpose()?,
            ..Budget::default()
        })
    }

    /// The same options for another optimizer, without those it does not have; and their names.
    pub(crate) fn for_optimizer(&self, kind: OptimizerKind) -> (Self, Vec<String>) {
        let mut foreign: Vec<String> = self.foreign(kind).into_iter().map(|(key, _)| key).collect();
        if kind != self.chosen() {
            // These have the same name and another meaning: a trial's minibatch is not a reflection's.
            let set = set_keys(self);
            let homonyms = HOMONYMS.iter().filter(|key| set.iter().any(|name| name == *key));
            foreign.extend(homonyms.map(|key| (*key).to_owned()));
            foreign.dedup();
        }
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            object.retain(|key, _| !foreign.contains(key));
        }
        let kept: Self = serde_json::from_value(value).unwrap_or_default();
        (Self { kind: Some(kind), ..kept }, foreign)
    }
}

impl FromName for OptimizerSection {
    const EXPECTED: &'static str = "the name of an optimizer";

    fn from_name(name: &str) -> Result<Self, String> {
        let kind = OptimizerKind::ALL.into_iter().find(|kind| kind.name() == name.to_lowercase());
        let names = OptimizerKind::ALL.map(OptimizerKind::name);
        match kind {
            Some(kind) => Ok(Self { kind: Some(kind), ..Self::default() }),
            None => {
                let meant = nearest(name, names)
                    .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                Err(format!("there is no optimizer `{name}`, but {}{meant}", either(&names)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> OptimizerSection {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn an_option_of_another_optimizer_names_its_owner() {
        let check = |text: &str, parts: &[&str]| {
            let error = section(text).check().unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "{error}");
            }
        };
        check("kind = \"gepa\"\nbreadth = 3", &["`optimizer.breadth`", "option of `copro`", "is `gepa`"]);
        check("frontier = \"hybrid\"", &["option of `gepa`", "by default", "`miprov2`"]);
        check("kind = \"copro\"\nauto = \"light\"", &["`miprov2` or `gepa`"]);
        check("kind = \"gepa\"\nk = 3", &["candidate_selector = \"top_k_pareto\""]);
        check("kind = \"gepa\"\nmax_time = -1.0", &["max_time"]);
        check("max_time = \"soon\"", &["max_time", "15m"]);
        check("max_cost = \"much\"", &["max_cost", "dollars"]);
    }

    #[test]
    fn options_that_fit_go_along_to_another_optimizer() {
        let (other, left_out) = section("kind = \"miprov2\"\nseed = 7\nnum_trials = 3\nminibatch_size = 5")
            .for_optimizer(OptimizerKind::Gepa);
        assert_eq!(other.chosen(), OptimizerKind::Gepa);
        assert_eq!((other.seed, other.minibatch_size, other.num_trials), (Some(7), None, None));
        assert_eq!(left_out, ["num_trials", "minibatch_size"]);
        other.check().unwrap();
    }

    #[test]
    fn every_option_is_known_to_somebody() {
        let schema = serde_json::to_value(schemars::schema_for!(OptimizerSection)).unwrap();
        for (key, value) in schema["properties"].as_object().unwrap() {
            let text = value["description"].as_str().unwrap();
            let said: Vec<&str> =
                text.split_once(':').map_or(Vec::new(), |(who, _)| who.split(", ").collect());
            let expected: Vec<&str> =
                if said.iter().all(|who| [MIPROV2, COPRO, GEPA].contains(who)) { said } else { Vec::new() };
            assert_eq!(owners(key), expected, "{key}");
        }
    }
}
