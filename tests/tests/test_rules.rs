//! The rules of an instruction: those that do not pay are dropped, and what a user wants to stay stays.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use promptopt_core::data::{ContentHash, Example};
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::program::{ModuleExt as _, Predictor as _};
use promptopt_core::prompt::Prompt;
use promptopt_gepa::GEPA;
use promptopt_run::{
    Error, Event, InstructionRequest, InstructionWriter, Optimizer as _, Outcome, RulesFinding, Run,
    RunOptions,
};
use promptopt_store::{Journal, StoredModel};
use promptopt_testkit::{ScriptedLm, toy};

use crate::conformance::ALL;

const OWN: &str = "Answer the question.";
const HELPS: [&str; 2] = ["If it is about amber, say yes.", "If it is about birch, say yes."];
const HARMS: &str = "If it is about cobalt, say never.";
const USELESS: &str = "If it is about dahlia, stay calm.";

/// Of a hundred rows twenty are about amber and about birch each, and five about cobalt and about dahlia.
fn rows(first: usize) -> Vec<Example> {
    let cue = |at: usize| match at % 20 {
        0..=3 => "amber",
        4..=7 => "birch",
        8 => "cobalt",
        9 => "dahlia",
        _ => "nothing",
    };
    let row = |at: usize| {
        let question = format!("What about {} in entry {at}?", cue(at));
        Example::new([("question", question), ("answer", "yes".to_owned())], ["question"])
    };
    (first..first + 100).map(row).collect()
}

/// A model that does what rules say, and needs none but those that help.
fn model() -> Arc<ScriptedLm> {
    Arc::new(ScriptedLm::new(|request: &LmRequest| {
        let system = request.messages.first().map_or("", |message| message.text());
        let asked = request.messages.last().map_or("", |message| message.text());
        let about = |cue: &str| asked.contains(&format!("about {cue}"));
        let needs = ["amber", "birch"].iter().zip(HELPS).find(|(cue, _)| about(cue)).map(|(_, rule)| rule);
        let is_right =
            needs.is_none_or(|rule| system.contains(rule)) && !(about("cobalt") && system.contains(HARMS));
        Ok(ScriptedLm::chat_reply([("answer", if is_right { "yes" } else { "no" })]))
    }))
}

/// Writes a few instructions with these rules.
struct Writer(Vec<&'static str>);

#[async_trait]
impl InstructionWriter for Writer {
    async fn write_instructions(
        &self,
        _run: &mut Run<'_>,
        request: &InstructionRequest,
    ) -> anyhow::Result<Vec<String>> {
        let rules = self.0.iter().map(|rule| format!("- {rule}")).collect::<Vec<_>>().join("\n");
        let heads = ["with care", "in a word", "at once", "in full", "to the letter", "briefly"];
        let texts = heads.map(|how| format!("Answer the question about the entry {how}.\n\n{rules}"));
        Ok(texts.into_iter().find(|text| !request.taken.contains(text)).into_iter().collect())
    }
}

fn options(rules: &[&'static str]) -> RunOptions {
    RunOptions::builder()
        .task_model(model())
        .valset(rows(0))
        .max_calls(1500)
        .instruction_writer(Arc::new(Writer(rules.to_vec())))
        .build()
}

fn compile(
    options: RunOptions,
    make: impl Fn(RunOptions) -> Box<dyn promptopt_run::Optimizer>,
) -> Result<Outcome, Error> {
    let mut answerer = toy::answerer();
    answerer.set_prompt(Prompt::new(OWN));
    let mut program = answerer.with_metric(toy::exact_answer());
    pollster::block_on(make(options).compile(&mut program, rows(100)))
}

fn installed(outcome: &Outcome) -> &str {
    outcome.candidates[outcome.best].instruction("answer").unwrap()
}

#[test]
fn every_optimizer_drops_the_rules_that_do_not_pay() {
    for (name, make) in ALL {
        let outcome = compile(options(&[HELPS[0], HARMS, USELESS, HELPS[1]]), make).unwrap();
        if name == "random search" {
            assert!(outcome.rules().is_none() && installed(&outcome) == OWN, "{name}");
            continue;
        }
        let text = installed(&outcome);
        let found = outcome.rules().unwrap_or_else(|| panic!("{name}: {}", outcome.choice));
        assert!(HELPS.iter().all(|rule| text.contains(rule)), "{name}: {text}");
        assert!(!text.contains(HARMS) && !text.contains(USELESS), "{name}: {text}\n{found}");
        assert_eq!(found.dropped(), 2, "{name}: {found:?}");
        let worth =
            |rule: &str| found.rules.iter().find(|one| one.rule == rule).unwrap().worth.clone().unwrap();
        assert!(worth(HELPS[0]).is_better() && worth(HARMS).difference < 0.0, "{name}: {found:?}");
        assert_eq!((worth(USELESS).difference, worth(USELESS).n), (0.0, 5), "{name}");
        // It is a candidate like any other, and one that scores no less.
        assert_eq!(outcome.candidates[outcome.best].origin.kind, "without rules", "{name}");
        assert_eq!(outcome.selected.mean, 1.0, "{name}");
        assert!(outcome.spending.total().calls <= 1500, "{name}");
    }
}

#[test]
fn of_two_rules_that_say_the_same_one_stays_where_there_is_nothing_else() {
    // Either is enough, and there is no head: without both nothing would be left.
    let model = || {
        Arc::new(ScriptedLm::new(|request: &LmRequest| {
            let system = request.messages.first().map_or("", |message| message.text());
            Ok(ScriptedLm::chat_reply([("answer", if system.contains("say yes") { "yes" } else { "no" })]))
        }))
    };
    let mut looked_at = 0;
    // SIMBA appends rules to the user's own instruction, which is something else, and random search writes none.
    for (name, make) in ALL.into_iter().filter(|(name, _)| !["SIMBA", "random search"].contains(name)) {
        let mut options = options(&[]);
        options.task_model = Some(model());
        options.valset = Some(rows(0).split_off(90));
        options.instruction_writer = Some(Arc::new(Same));
        let outcome = compile(options, make).unwrap();
        let text = installed(&outcome);
        assert!(text.contains("say yes"), "{name}: {text}");
        let Some(found) = outcome.rules().filter(|found| found.rollouts >= 20) else { continue };
        assert_eq!((found.rules.len(), found.dropped()), (2, 1), "{name}: {found:?}");
        assert_eq!(text.matches("say yes").count(), 1, "{name}: {text}");
        assert_eq!(outcome.selected.mean, 1.0, "{name}");
        looked_at += 1;
    }
    assert!(looked_at > 1, "{looked_at}");
}

/// Writes instructions of two rules that say the same.
struct Same;

#[async_trait]
impl InstructionWriter for Same {
    async fn write_instructions(
        &self,
        _run: &mut Run<'_>,
        request: &InstructionRequest,
    ) -> anyhow::Result<Vec<String>> {
        let texts = ["kindly", "at once", "in a word", "briefly"];
        let texts = texts.map(|how| format!("- To each question say yes {how}.\n- Always say yes, {how}."));
        Ok(texts.into_iter().find(|text| !request.taken.contains(text)).into_iter().collect())
    }
}

#[test]
fn without_room_nothing_is_tried_and_nothing_dropped() {
    let gepa = |options| Box::new(GEPA::default().with_run_options(options)) as Box<_>;
    let mut small = options(&[HELPS[0], HARMS, USELESS, HELPS[1]]);
    small.max_calls = Some(240);
    let outcome = compile(small, gepa).unwrap();
    assert!(installed(&outcome).contains(HARMS), "{}", installed(&outcome));
    let found = outcome.rules().unwrap();
    assert_eq!((found.dropped(), found.rollouts), (0, 0), "{found:?}");
    assert!(found.to_string().contains("what the budget left, is too little"), "{found}");
    // What is known all the same is told.
    let worth = found.rules[0].worth.as_ref().unwrap();
    assert!(worth.difference == 1.0 && worth.n > 2, "{found:?}");
}

#[test]
fn texts_to_keep_are_put_back_and_no_rule_is_dropped_that_has_one() {
    let keep = "Answer the question.";
    for (name, make) in ALL {
        let mut options = options(&[HELPS[0], HARMS, HELPS[1]]);
        options.keep = vec![keep.to_owned()];
        let outcome = compile(options, make).unwrap();
        for one in &outcome.candidates {
            assert!(one.instruction("answer").unwrap().contains(keep), "{name}: {one:?}");
        }
    }
    let mut options = options(&[]);
    options.keep = vec!["Answer in JSON.".to_owned()];
    let error = compile(options, |options| Box::new(GEPA::default().with_run_options(options))).unwrap_err();
    assert!(error.to_string().contains("`keep`") && error.to_string().contains("Answer in JSON."), "{error}");
}

#[test]
fn nothing_above_the_length_is_installed_and_a_longer_original_is_named() {
    for (name, make) in ALL {
        let mut options = options(&[HELPS[0], HELPS[1]]);
        options.max_length = Some(60);
        let outcome = compile(options, make).unwrap();
        assert!(installed(&outcome).chars().count() <= 60, "{name}: {}", installed(&outcome));
    }
    let mut options = options(&[HELPS[0]]);
    options.max_length = Some(10);
    let outcome = compile(options, |options| Box::new(GEPA::default().with_run_options(options))).unwrap();
    assert!(
        outcome.notes.iter().any(|note| note.contains("`answer` has 20 characters")),
        "{:?}",
        outcome.notes
    );
}

#[test]
fn a_gain_must_be_worth_its_length() {
    let improved = |penalty: f64| {
        let mut options = options(&[HELPS[0]]);
        options.length_penalty = penalty;
        let outcome =
            compile(options, |options| Box::new(GEPA::default().with_run_options(options))).unwrap();
        (outcome.improved(), outcome.choice)
    };
    assert!(improved(0.5).0);
    let (is_installed, choice) = improved(10.0);
    assert!(!is_installed && choice.contains("the original was kept"), "{choice}");
}

#[test]
fn more_rules_than_are_tried_are_said() {
    let many: Vec<&'static str> = vec![HELPS[0]; RulesFinding::MOST + 1];
    let gepa = |options| Box::new(GEPA::default().with_run_options(options)) as Box<_>;
    let outcome = compile(options(&many), gepa).unwrap();
    assert!(outcome.improved() && outcome.rules().is_none());
    assert!(outcome.notes.iter().any(|note| note.contains("has 61 rules")), "{:?}", outcome.notes);
    let outcome = compile(options(&many[1..]), gepa).unwrap();
    assert_eq!(outcome.rules().map(|found| found.rules.len()), Some(RulesFinding::MOST));
}

/// A model that counts its answers, and whose provider is gone after so many in the stage that tries rules.
struct Mortal {
    model: Arc<ScriptedLm>,
    is_pruning: Arc<AtomicBool>,
    left: Arc<Mutex<usize>>,
    answered: Arc<Mutex<HashMap<ContentHash, usize>>>,
    killed: Arc<AtomicBool>,
}

#[async_trait]
impl LanguageModel for Mortal {
    fn profile(&self) -> ModelProfile {
        self.model.profile()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        if self.is_pruning.load(Ordering::SeqCst) {
            let is_last = {
                let mut left = self.left.lock().unwrap();
                let is_last = *left == 0;
                *left = left.saturating_sub(1);
                is_last
            };
            if is_last {
                self.killed.store(true, Ordering::SeqCst);
                pending::<()>().await;
            }
        }
        *self.answered.lock().unwrap().entry(ContentHash::of(request)).or_default() += 1;
        self.model.complete(request, attempts).await
    }
}

#[test]
fn a_run_killed_at_any_call_of_the_pruning_ends_as_if_nothing_had_happened_and_pays_nothing_twice() {
    let rules = [HELPS[0], HARMS, USELESS, HELPS[1]];
    for concurrency in [1, 4] {
        let folder = tempfile::tempdir().unwrap();
        let answered = Arc::<Mutex<HashMap<ContentHash, usize>>>::default();
        // A life of a run over a journal, with so many calls left in the stage; `None` where it was killed.
        let life = |name: &str, left: usize| {
            let path = folder.path().join(name);
            let journal = if path.exists() { Journal::open(path) } else { Journal::create(path) };
            let (is_pruning, killed) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
            let mortal = Mortal {
                model: model(),
                is_pruning: Arc::clone(&is_pruning),
                left: Arc::new(Mutex::new(left)),
                answered: Arc::clone(&answered),
                killed: Arc::clone(&killed),
            };
            let mut options = options(&rules);
            options.valset = Some(rows(0).split_off(80));
            options.max_calls = Some(320);
            options.concurrency = concurrency;
            options.task_model =
                Some(Arc::new(StoredModel::new(Arc::new(mortal), Some(journal.unwrap()), None)));
            options.observer = Some(Arc::new(move |event: &Event| {
                let is_stage = |name: &str| name == RulesFinding::DETAIL;
                if matches!(event, Event::Stage { name, .. } if is_stage(name)) {
                    is_pruning.store(true, Ordering::SeqCst);
                }
            }));
            let mut answerer = toy::answerer();
            answerer.set_prompt(Prompt::new(OWN));
            let mut program = answerer.with_metric(toy::exact_answer());
            let gepa = GEPA::default().with_run_options(options);
            let ended = gepa.compile(&mut program, rows(100));
            let until_killed = std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                match killed.load(Ordering::SeqCst) {
                    true => std::task::Poll::Ready(()),
                    false => std::task::Poll::Pending,
                }
            });
            pollster::block_on(async {
                futures_util::select_biased! {
                    outcome = ended.fuse() => Some(outcome.unwrap()),
                    () = until_killed.fuse() => None,
                }
            })
        };
        let text = |outcome: &Outcome| serde_json::to_string_pretty(outcome).unwrap();
        let reference = life("reference", usize::MAX).unwrap();
        assert!(reference.rules().unwrap().dropped() > 0, "{reference:?}");
        let paid = std::mem::take(&mut *answered.lock().unwrap());
        let (mut lives, mut left) = (1, 0);
        let outcome = loop {
            match life("journal", left) {
                Some(outcome) => break outcome,
                // The first life ends before the first call; each later one makes one more.
                None => (lives, left) = (lives + 1, 1),
            }
        };
        assert_eq!(text(&outcome), text(&reference));
        assert_eq!(*answered.lock().unwrap(), paid);
        assert!(paid.values().all(|times| *times == 1));
        let calls = reference.rules().unwrap().rollouts;
        assert!(lives as u64 > calls / concurrency as u64 && calls > 20, "{lives} lives, {calls} calls");
    }
}
