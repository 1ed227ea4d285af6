//! Outcomes of all three optimizers as they were recorded, so that a change of the house changes none.
//!
//! `tests/recorded/outcomes.txt` has a line for every case. A change that is meant is recorded anew with
//! `PROMPTOPT_RECORD=1 cargo test -p promptopt-tests recorded`, and named in CHANGELOG.md with its reason.
//! The test looks at every fifth seed; `PROMPTOPT_RECORDED=all` at all of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_core::data::{ContentHash, Example};
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::program::{Module, ModuleExt as _};
use promptopt_gepa::GEPA;
use promptopt_run::{Executor, Optimizer};
use promptopt_testkit::{HiddenRules, Landscape, toy};
use serde_json::{Value, json};

const SEEDS: u64 = 20;
const BUDGETS: [Option<u64>; 2] = [None, Some(300)];
const OPTIMIZERS: [&str; 3] = ["miprov2", "copro", "gepa"];
const TASKS: [&str; 4] = ["rules", "rules in two stages", "wording", "two predictors"];

/// Counts what it is asked, whatever the order.
pub(crate) struct Counting {
    pub(crate) model: Arc<dyn LanguageModel>,
    pub(crate) requests: Mutex<(u64, u64)>,
}

#[async_trait]
impl LanguageModel for Counting {
    fn profile(&self) -> ModelProfile {
        // Without the price, which no outcome here is about.
        self.model.profile().with_price(None)
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let said = (&request.messages, &request.sampling, request.n, request.sample_index);
        {
            let mut requests = self.requests.lock().unwrap();
            requests.0 += 1;
            requests.1 = requests.1.wrapping_add(ContentHash::of(&said).as_u64());
        }
        self.model.complete(request, attempts).await
    }
}

pub(crate) type Task =
    (Box<dyn Module>, Arc<dyn promptopt_core::program::Metric>, Arc<dyn LanguageModel>, Vec<Example>);

pub(crate) fn task(name: &str, seed: u64) -> Task {
    let landscape = |landscape: Landscape| -> Task {
        let rows = [&landscape.train[..40], &landscape.selection[..40]].concat();
        (landscape.program(), landscape.metric(), landscape.model(seed), rows)
    };
    let rules = HiddenRules::new(6, seed);
    match name {
        "rules" => {
            let (model, rows) = (Arc::new(rules.model(seed)), rules.examples(60));
            (Box::new(toy::answerer()), Arc::new(toy::exact_answer()), model, rows)
        }
        "rules in two stages" => {
            let rules = rules.in_two_stages();
            let model = Arc::new(rules.model(seed).with_untaught(0.5));
            let rows = rules.examples(60);
            (Box::new(toy::TwoStage::default()), Arc::new(toy::exact_answer()), model, rows)
        }
        "wording" => landscape(Landscape::wording(seed)),
        _ => landscape(Landscape::two_predictors(seed)),
    }
}

fn optimizer(
    name: &str,
    model: Arc<dyn LanguageModel>,
    seed: u64,
    budget: Option<u64>,
    concurrency: usize,
) -> Box<dyn Optimizer> {
    on(name, model, seed, budget, concurrency, None)
}

/// The same with somebody who makes its rollouts.
pub(crate) fn on(
    name: &str,
    model: Arc<dyn LanguageModel>,
    seed: u64,
    budget: Option<u64>,
    concurrency: usize,
    executor: Option<Arc<dyn Executor>>,
) -> Box<dyn Optimizer> {
    macro_rules! build {
        ($optimizer:ident) => {
            Box::new(
                $optimizer::builder()
                    .task_model(model)
                    .seed(seed)
                    .maybe_max_calls(budget)
                    .concurrency(concurrency)
                    .maybe_executor(executor)
                    .build(),
            )
        };
    }
    match name {
        "miprov2" => build!(MIPROv2),
        "copro" => build!(COPRO),
        _ => build!(GEPA),
    }
}

fn hash(value: impl serde::Serialize) -> String {
    ContentHash::of(&value).to_string().chars().take(10).collect()
}

/// A part of an outcome by name, wherever it stands.
fn part<'a>(outcome: &'a Value, name: &str) -> &'a Value {
    outcome.pointer(&format!("/details/{name}")).unwrap_or(&outcome[name])
}

/// What an outcome comes to, in a line.
fn line(outcome: &Value, requests: (u64, u64)) -> String {
    let trials: Vec<&Value> = outcome["trials"].as_array().unwrap().iter().collect();
    let each = |keys: &[&str]| -> Value {
        trials.iter().map(|trial| keys.iter().map(|key| trial[*key].clone()).collect::<Value>()).collect()
    };
    let candidates: Value = outcome["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!([one["prompts"], one["score"], one["parents"]]))
        .collect();
    let best = outcome["best"].as_u64().unwrap() as usize;
    let mut text = String::new();
    let mut add = |name: &str, value: String| write!(text, " {name}={value}").unwrap();
    add("requests", format!("{}:{:x}", requests.0, requests.1));
    add("best", best.to_string());
    add("winner", hash(&outcome["candidates"][best]["prompts"]));
    add("baseline", outcome["baseline"]["mean"].to_string());
    add("selected", outcome["selected"]["mean"].to_string());
    add("estimates", hash(json!([outcome["baseline"], outcome["selected"], outcome["comparison"]])));
    add("trials", trials.len().to_string());
    add("order", hash(each(&["kind", "candidate", "examples", "score", "failures", "calls_so_far"])));
    add("rising", hash(each(&["best_so_far"])));
    add("candidates", hash(candidates));
    add("scores", hash(&outcome["scores"]));
    add("spending", hash(json!([outcome["spending"], outcome["failures"]])));
    add("stop", hash(json!([outcome["stop"], outcome.get("exhausted")])));
    add("notes", hash(&outcome["notes"]));
    let own = ["frontier", "depths"].map(|name| part(outcome, name).clone());
    add("own", hash(own));
    add("confirmation", hash(outcome.get("confirmation")));
    text
}

fn run(name: &str, method: &str, seed: u64, budget: Option<u64>) -> String {
    let ends = [1, 32].map(|concurrency| {
        let (module, metric, model, rows) = task(name, seed);
        let model = Arc::new(Counting { model, requests: Mutex::default() });
        let mut program = module.with_metric(metric);
        let optimizer = optimizer(method, Arc::clone(&model) as _, seed, budget, concurrency);
        let outcome = pollster::block_on(optimizer.compile(&mut program, rows)).unwrap();
        let requests = *model.requests.lock().unwrap();
        line(&serde_json::to_value(outcome).unwrap(), requests)
    });
    assert_eq!(
        ends[0], ends[1],
        "{name}, {method}, seed {seed}, {budget:?}: another outcome at concurrency 32"
    );
    ends[0].clone()
}

#[test]
fn outcomes_are_as_they_were_recorded() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/recorded/outcomes.txt");
    let record = std::env::var_os("PROMPTOPT_RECORD").is_some();
    let all = record || std::env::var_os("PROMPTOPT_RECORDED").is_some();
    let mut cases = Vec::new();
    for name in TASKS {
        for method in OPTIMIZERS {
            for seed in (0..SEEDS).step_by(if all { 1 } else { 5 }) {
                for budget in BUDGETS {
                    cases.push((name, method, seed, budget));
                }
            }
        }
    }
    let cases = Mutex::new(cases.into_iter());
    let found = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let Some((name, method, seed, budget)) = cases.lock().unwrap().next() else { break };
                    let budget_name = budget.map_or("no budget".to_owned(), |calls| format!("{calls} calls"));
                    let key = format!("{name}, {method}, seed {seed:02}, {budget_name}:");
                    let line = run(name, method, seed, budget);
                    found.lock().unwrap().insert(key, line);
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    if record {
        let text: String = found.iter().map(|(key, line)| format!("{key}{line}\n")).collect();
        std::fs::write(path, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(path).unwrap();
    let differing: Vec<String> = found
        .iter()
        .filter(|(key, line)| !kept.lines().any(|known| known == format!("{key}{line}")))
        .map(|(key, line)| {
            let known = kept.lines().find(|known| known.starts_with(key.as_str())).unwrap_or_default();
            let known: Vec<&str> = known.split(' ').collect();
            let news: Vec<&str> = line.split(' ').filter(|word| !known.contains(word)).collect();
            format!("{key} now {}", news.join(" "))
        })
        .collect();
    assert!(differing.is_empty(), "{} of {} differ:\n{}", differing.len(), found.len(), differing.join("\n"));
}
