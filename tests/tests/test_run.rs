//! What the run engine does for strategies that nobody here wrote, and for several in one run.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_core::data::{Example, Fields, Prediction};
use promptopt_core::lm::{LmRequest, Message, ResponseFormat};
use promptopt_core::money::Usage;
use promptopt_core::program::{CallContext, ModuleExt as _, Text, metric_fn, module_fn};
use promptopt_core::prompt::{Origin, Prompt, PromptCandidate};
use promptopt_gepa::GEPA;
use promptopt_random_search::RandomSearch;
use promptopt_run::{Halt, Optimizer, Outcome, Run, RunOptions, StopReason, Strategy, TrialKind};
use promptopt_simba::SIMBA;
use promptopt_testkit::{HiddenRules, ScriptedLm, around, toy};
use serde_json::json;

use crate::support::numbered;

#[test]
fn the_second_of_a_chain_begins_with_the_best_of_the_first() {
    let task = HiddenRules::new(8, 3);
    let mut program = toy::answerer().with_metric(toy::exact_answer());
    let first = RandomSearch::builder().task_model(Arc::new(task.model(3))).num_sets(6).build();
    let chain = first.then(COPRO::builder().breadth(3).depth(1).build());
    assert_eq!(chain.name(), "random search then COPRO");
    let outcome = pollster::block_on(chain.compile(&mut program, task.examples(80))).unwrap();
    let refined: Vec<&PromptCandidate> =
        outcome.candidates.iter().filter(|one| one.origin.kind == "refined").collect();
    assert!(!refined.is_empty());
    for candidate in refined {
        let parent = &outcome.candidates[candidate.parents[0]];
        assert_eq!(parent.origin.kind, "demo set");
        let demos = |one: &PromptCandidate| one.prompts.get("answer").unwrap().demos.len();
        assert_eq!(demos(candidate), demos(parent));
        assert!(demos(parent) > 0);
    }
    let baselines = outcome.trials.iter().filter(|trial| trial.kind == TrialKind::BASELINE).count();
    assert_eq!(baselines, 1, "the original is evaluated once");
}

#[test]
fn the_best_so_far_begins_with_the_baseline_and_never_falls() {
    let task = HiddenRules::new(8, 3);
    macro_rules! check {
        ($($optimizer:ident),*) => {$(
            let mut program = toy::answerer().with_metric(toy::exact_answer());
            let optimizer = $optimizer::builder().task_model(Arc::new(task.model(3))).max_calls(600).build();
            let outcome = pollster::block_on(optimizer.compile(&mut program, task.examples(80))).unwrap();
            let best: Vec<f64> = outcome.trials.iter().map(|trial| trial.best_so_far).collect();
            assert!(best.is_sorted() && best.len() > 1, "{}: {best:?}", stringify!($optimizer));
            assert!(outcome.baseline.mean > 0.0);
            assert_eq!(best[0], outcome.baseline.mean, "{}", stringify!($optimizer));
            let scores = outcome.candidates.iter().filter_map(|one| one.score);
            assert_eq!(best[best.len() - 1], scores.fold(0.0, f64::max), "{}", stringify!($optimizer));
        )*};
    }
    check!(GEPA, MIPROv2, COPRO, SIMBA, RandomSearch);
}

#[test]
fn each_of_a_chain_gets_its_share_of_the_budget() {
    let task = HiddenRules::new(8, 3);
    let mut program = toy::answerer().with_metric(toy::exact_answer());
    // It would go on as long as it may.
    let first =
        RandomSearch::builder().num_sets(60).task_model(Arc::new(task.model(3))).max_calls(400).build();
    let outcome =
        pollster::block_on(first.then(COPRO::default()).compile(&mut program, task.examples(80))).unwrap();
    let of = |kind: &str| outcome.candidates.iter().filter(|one| one.origin.kind == kind).count();
    assert!(of("demo set") > 0 && of("refined") > 0, "{} and {}", of("demo set"), of("refined"));
    assert!(outcome.spending.total().calls <= 400);
}

/// A program with one predictor that takes demos and one text that does not.
fn greeter(model: Arc<ScriptedLm>, rows: Vec<Example>) -> Outcome {
    let texts = [Text::new("tone", "Be kind."), Text::new("length", "Be brief.")];
    let program =
        module_fn("greeter", texts, |context: CallContext, texts: Arc<[Text]>, inputs: Fields| async move {
            let system: Vec<&str> = texts.iter().map(|text| text.in_force(&context)).collect();
            let messages = vec![Message::system(system.join(" ")), Message::user(inputs["name"].to_string())];
            let reply = context.complete(LmRequest::new(messages)).await?;
            Ok(Prediction::from_iter([("greeting", reply.first_text())]))
        });
    let mut program = program.with_metric(metric_fn(|_: &Example, prediction: &Prediction| {
        prediction.get_str("greeting").is_some_and(|greeting| greeting.contains("hello"))
    }));
    let optimizer =
        MIPROv2::builder().task_model(model).num_candidates(4).num_trials(12).minibatch(false).build();
    pollster::block_on(optimizer.compile(&mut program, rows)).unwrap()
}

#[test]
fn nobody_buys_candidates_that_differ_in_demos_that_are_ignored() {
    let rows: Vec<Example> = (0..30)
        .map(|number| {
            let greeting = format!("hello {number}");
            Example::new([("name", format!("n{number}")), ("greeting", greeting)], ["name"])
        })
        .collect();
    let model = Arc::new(ScriptedLm::new(|request: &LmRequest| {
        let system = request.messages.first().map_or("", |message| message.text());
        Ok(match request.messages.len() == 2 && system.len() < 200 {
            true => if system.len().is_multiple_of(2) { "hello" } else { "go away" }.to_owned(),
            false => ScriptedLm::chat_reply([(
                "proposed_instruction",
                format!("Greet the name kindly in manner {}.", request.sample_index % 97).as_str(),
            )]),
        })
    }));
    let outcome = greeter(model, rows);
    assert!(outcome.candidates.len() > 1);
    let mut seen = HashSet::new();
    for candidate in &outcome.candidates {
        assert!(candidate.prompts.iter().all(|(_, prompt)| prompt.demos.is_empty()));
        let instructions: Vec<&str> =
            candidate.prompts.iter().map(|(_, one)| one.instruction.as_str()).collect();
        assert!(seen.insert(instructions.join("\n")), "the same instructions were tried twice");
    }
}

#[test]
fn a_run_says_that_the_server_does_not_count_its_tokens() {
    let task = HiddenRules::new(8, 3);
    let notes = |told: fn(Usage) -> Usage, capped: bool| {
        let model = around(task.model(3), move |next, request| async move {
            let mut reply = next.complete(&request).await?;
            reply.usage = told(reply.usage);
            Ok(reply)
        });
        let optimizer = RandomSearch::builder()
            .task_model(Arc::new(model))
            .num_sets(2)
            .maybe_max_tokens(capped.then_some(50_000_000))
            .build();
        let mut program = toy::answerer().with_metric(toy::exact_answer());
        let outcome = pollster::block_on(optimizer.compile(&mut program, task.examples(40))).unwrap();
        outcome.notes.join("\n")
    };
    let (none, half) =
        (|usage: Usage| Usage::calls(usage.calls), |usage: Usage| Usage::call(usage.prompt_tokens, 0));
    for untold in [none, half] {
        let said = notes(untold, true);
        assert!(said.contains("does not tell how many tokens") && said.contains("was booked"), "{said}");
        let said = notes(untold, false);
        assert!(said.contains("does not tell how many tokens") && !said.contains("booked"), "{said}");
    }
    for capped in [true, false] {
        assert!(!notes(|usage| usage, capped).contains("does not tell"));
    }
}

/// A strategy as somebody else would write it.
struct Shouting(RunOptions);

#[async_trait]
impl Strategy for Shouting {
    fn name(&self) -> &str {
        "shouting"
    }

    fn options(&self) -> RunOptions {
        self.0.clone()
    }

    async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        let mut prompts = run.base().prompts;
        prompts.insert("answer", Prompt::new("ANSWER!"));
        let origin = Origin::new("shouted", "put in capitals").with("volume", 11);
        let candidate = run.enter(PromptCandidate::new(prompts, origin).with_parents(vec![0]));
        let some: Vec<usize> = run.board().open(candidate).into_iter().take(5).collect();
        run.try_out(TrialKind::new("shout"), &[(candidate, some)]).await?;
        run.detail("decibels", [90, 110]);
        run.note("the neighbours complained");
        Err(Halt::Stopped(StopReason::Other { reason: "hoarse".to_owned() }))
    }
}

#[test]
fn a_third_partys_strategy_keeps_its_own_words() {
    let task = HiddenRules::new(4, 3);
    let mut program = toy::answerer().with_metric(toy::exact_answer());
    let options = RunOptions::builder().task_model(Arc::new(task.model(3))).build();
    let outcome = pollster::block_on(Shouting(options).compile(&mut program, task.examples(30))).unwrap();
    let read: Outcome = serde_json::from_str(&serde_json::to_string(&outcome).unwrap()).unwrap();
    assert_eq!(read, outcome);
    let origin = &outcome.candidates[1].origin;
    assert_eq!((origin.kind.as_ref(), origin.get("volume")), ("shouted", Some(&11.into())));
    assert_eq!(outcome.trials[1].kind.as_str(), "shout");
    assert_eq!(outcome.trials[1].examples, 5);
    assert_eq!(outcome.stop.to_string(), "hoarse");
    assert_eq!(outcome.detail::<Vec<u32>>("decibels"), Some(vec![90, 110]));
    assert_eq!(outcome.notes, ["the neighbours complained"]);
    assert_eq!((outcome.best, outcome.optimizer.as_str()), (0, "shouting"));
}

#[test]
fn an_instruction_writer_stands_in_for_the_prompt_model_in_every_optimizer() {
    use promptopt_gepa::GEPA;
    use promptopt_proposer::TemplateProposer;
    use promptopt_simba::SIMBA;

    let task = HiddenRules::new(6, 3);
    let options = RunOptions::builder()
        .task_model(Arc::new(task.model(3)))
        .instruction_writer(Arc::new(TemplateProposer::default()))
        .max_calls(500)
        .build();
    let optimizers: [Box<dyn Strategy>; 4] = [
        Box::new(MIPROv2::default().with_run_options(options.clone())),
        Box::new(COPRO::default().with_run_options(options.clone())),
        Box::new(GEPA::default().with_run_options(options.clone())),
        Box::new(SIMBA::builder().minibatch_size(10).max_demos(0).build().with_run_options(options)),
    ];
    for optimizer in optimizers {
        let mut program = toy::answerer().with_metric(toy::exact_answer());
        let outcome = pollster::block_on(optimizer.compile(&mut program, task.examples(60))).unwrap();
        assert_eq!(outcome.spending.prompt.calls, 0, "{}", outcome.optimizer);
        let instructions: HashSet<_> =
            outcome.candidates.iter().filter_map(|candidate| candidate.instruction("answer")).collect();
        assert!(instructions.len() > 1, "{} tried no other instruction", outcome.optimizer);
    }
}

/// Reads the first format of nobody: answers in prose unless it is asked for JSON.
fn prose(asked: Arc<AtomicUsize>) -> ScriptedLm {
    ScriptedLm::new(move |request: &LmRequest| {
        let text: String = request.messages.iter().map(|message| message.text()).collect();
        if request.response_format == ResponseFormat::Text {
            asked.fetch_add(1, Ordering::SeqCst);
            return Ok("Well, let me see.".to_owned());
        }
        let asked = text.rsplit("question ").next().unwrap_or_default();
        let number: String = asked.chars().take_while(char::is_ascii_digit).collect();
        let good = text.contains("In full.") || number.len() < 2;
        Ok(json!({"answer": if good { format!("answer {number}") } else { number }}).to_string())
    })
}

#[test]
fn a_format_that_does_not_fit_the_model_is_changed_after_the_baseline() {
    let writer = || {
        Arc::new(ScriptedLm::new(|request: &LmRequest| {
            let text = format!("Answer question {}. In full.", request.sample_index % 97);
            let wanted = |name: &str| request.messages[0].text().contains(name);
            Ok(match ["proposed_instruction", "new_instruction"].into_iter().find(|name| wanted(name)) {
                Some(name) => ScriptedLm::chat_reply([(name, text.as_str())]),
                None => format!("```\n{text}\n```"),
            })
        }))
    };
    type Make<'m> = Box<dyn Fn(Arc<ScriptedLm>) -> Box<dyn Optimizer> + 'm>;
    let optimizers: [Make<'_>; 5] = [
        Box::new(|model| {
            Box::new(MIPROv2::builder().task_model(model).prompt_model(writer()).num_trials(8).build())
        }),
        Box::new(|model| {
            Box::new(COPRO::builder().task_model(model).prompt_model(writer()).depth(1).build())
        }),
        Box::new(|model| {
            Box::new(GEPA::builder().task_model(model).prompt_model(writer()).max_metric_calls(150).build())
        }),
        Box::new(|model| Box::new(RandomSearch::builder().task_model(model).num_sets(4).build())),
        Box::new(|model| {
            Box::new(SIMBA::builder().task_model(model).prompt_model(writer()).max_steps(2).build())
        }),
    ];
    for (optimizer, own) in optimizers.iter().flat_map(|one| [(one, None), (one, Some("json".to_owned()))]) {
        let asked = Arc::new(AtomicUsize::new(0));
        let optimizer = optimizer(Arc::new(prose(Arc::clone(&asked))));
        let mut program = toy::answerer().with_metric(toy::exact_answer());
        let is_own = own.is_some();
        let prompts = [("answer", Prompt::new("Answer.").with_format(own))].into_iter().collect();
        program.install(&prompts).unwrap();
        let outcome = pollster::block_on(optimizer.compile(&mut program, numbered(60))).unwrap();
        let name = &outcome.optimizer;
        let first = if is_own { 0 } else { outcome.baseline.n };
        assert_eq!(asked.load(Ordering::SeqCst), first, "{name} asks in the other format");
        assert!(outcome.candidates.len() > 1, "{name}");
        for candidate in &outcome.candidates {
            let format = candidate.prompts.get("answer").unwrap().format.as_deref();
            assert_eq!(format, Some("json"), "{name}: {candidate:?}");
        }
        let note = outcome.notes.iter().filter(|note| note.contains("asks in `json`")).count();
        assert_eq!(note, usize::from(!is_own), "{name}: {:?}", outcome.notes);
        assert_eq!(
            program.candidate().prompts.get("answer").unwrap().format.as_deref(),
            Some("json"),
            "{name}"
        );
    }
}
