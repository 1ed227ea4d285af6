//! What every optimizer makes of the replies of its prompt model: fences, answers, letters, refusals, proposals that say
//! nothing, and prompts that do not fit.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_core::data::{Example, Prediction};
use promptopt_core::lm::{LanguageModel, LmError, LmRequest};
use promptopt_core::program::{Evaluator, Module as _, ModuleExt as _, metric_fn};
use promptopt_core::signature::Signature;
use promptopt_gepa::GEPA;
use promptopt_predict::Predict;
use promptopt_proposer::TemplateProposer;
use promptopt_random_search::RandomSearch;
use promptopt_run::proposal::{Judge, Known};
use promptopt_run::{Event, InstructionRequest, InstructionWriter as _, Optimizer, Outcome, Run};
use promptopt_simba::SIMBA;
use promptopt_testkit::ScriptedLm;

/// Its rule is what the task model needs to be told.
const GOOD: &str = "Invoices go to the department of billing, parcels to shipping.";
const OWN: &str = "Route the support ticket.";

const KINDS: [(&str, &str); 3] = [("invoice", "billing"), ("parcel", "shipping"), ("discount", "sales")];

/// Tickets about three things; each of those in `marked` holds a mark.
fn tickets(count: usize, marked: &[usize]) -> Vec<Example> {
    let ticket = |number: usize| {
        let (about, department) = KINDS[number % KINDS.len()];
        let mark = if marked.contains(&number) { " NETTLE" } else { "" };
        let ticket = format!("Ticket {number}: a question on my {about}.{mark}");
        Example::new([("ticket", ticket), ("department", department.to_owned())], ["ticket"])
    };
    (0..count).map(ticket).collect()
}

fn program() -> impl Evaluator {
    let signature = Signature::parse("ticket -> department: enum[billing, shipping, sales]").unwrap();
    Predict::new("route", signature.with_instructions(OWN)).with_metric(metric_fn(
        |example: &Example, prediction: &Prediction| {
            example.get("department") == prediction.get("department")
        },
    ))
}

/// Says `sales`, and the right department where the prompt holds `wanted`.
fn router(wanted: impl Fn(&LmRequest) -> bool + Send + Sync + 'static) -> Arc<ScriptedLm> {
    Arc::new(ScriptedLm::new(move |request| {
        let ticket = request.messages.last().unwrap().text();
        let right =
            KINDS.iter().find(|(about, _)| ticket.contains(about)).map_or("sales", |(_, right)| right);
        Ok(ScriptedLm::chat_reply([("department", if wanted(request) { right } else { "sales" })]))
    }))
}

fn is_told(request: &LmRequest) -> bool {
    request.messages[0].text().contains(GOOD)
}

/// A prompt model that gives these replies in turn, in the form in which it is asked, unless a closure refuses.
fn writer(
    replies: Vec<String>,
    refuses: impl Fn(&str) -> Option<LmError> + Send + Sync + 'static,
) -> Arc<ScriptedLm> {
    let asked = AtomicUsize::new(0);
    Arc::new(ScriptedLm::new(move |request| {
        let text: String = request.messages.iter().map(|one| one.text()).collect();
        if let Some(error) = refuses(&text) {
            return Err(error);
        }
        let next = || replies[asked.fetch_add(1, Ordering::SeqCst) % replies.len()].clone();
        if request.messages.len() == 1 {
            return Ok(next());
        }
        let outputs = request.messages[0].text().split("Your output fields are:\n").nth(1).unwrap();
        let field = outputs.split('`').nth(1).unwrap();
        let text = match field {
            "proposed_instruction" | "advice" => next(),
            _ => "Short tickets of customers.".to_owned(),
        };
        Ok(ScriptedLm::chat_reply([(field, text.as_str())]))
    }))
}

/// What an optimizer came to, and what it told of proposals: text, and why it was dropped.
struct Told {
    outcome: Outcome,
    proposals: Vec<(String, Option<String>)>,
}

/// Every optimizer that asks for instructions, on these examples and models.
fn optimized(
    task_model: impl Fn() -> Arc<ScriptedLm>,
    prompt_model: impl Fn() -> Arc<ScriptedLm>,
    examples: &[Example],
    mut check: impl FnMut(&str, Told, &ScriptedLm),
) {
    macro_rules! each {
        ($($optimizer:ident { $($option:ident: $value:expr),* })*) => {$({
            let prompt = prompt_model();
            let heard = Arc::<Mutex<Vec<(String, Option<String>)>>>::default();
            let noted = Arc::clone(&heard);
            let optimizer = $optimizer::builder()
                .task_model(task_model())
                .prompt_model(Arc::clone(&prompt) as Arc<dyn LanguageModel>)
                .observer(Arc::new(move |event: &Event| {
                    if let Event::Proposal { instruction, dropped, .. } = event {
                        noted.lock().unwrap().push((instruction.clone(), dropped.clone()));
                    }
                }))
                $(.$option($value))*
                .build();
            let outcome = pollster::block_on(optimizer.compile(&mut program(), examples.to_vec())).unwrap();
            let proposals = heard.lock().unwrap().clone();
            check(stringify!($optimizer), Told { outcome, proposals }, &prompt);
        })*};
    }
    each! {
        MIPROv2 { num_candidates: 6, num_trials: 12, max_bootstrapped_demos: 0, max_labeled_demos: 0 }
        COPRO { breadth: 6, depth: 2 }
        GEPA { max_metric_calls: 400 }
        SIMBA { max_demos: 0, max_steps: 4, num_candidates: 3 }
    }
}

fn nothing(_: &str) -> Option<LmError> {
    None
}

#[test]
fn every_optimizer_reads_the_instruction_out_of_what_models_write() {
    let replies = [
        "Sure! Here is the improved instruction:\n\n```plaintext\n{}\n```\n\nLet me know if you want changes!",
        "~~~text\n{}\n~~~",
        "**Proposed Instruction:** \"{}\"",
        "{}",
    ];
    for reply in replies {
        let prompt_model = || writer(vec![reply.replace("{}", GOOD)], nothing);
        optimized(
            || router(is_told),
            prompt_model,
            &tickets(60, &[]),
            |name, told, _| {
                assert_eq!(told.outcome.selected.mean, 1.0, "{name}: {reply}: {:?}", told.proposals);
                let instruction = told.outcome.winner().unwrap().instruction("route").unwrap();
                let expected = if name == "SIMBA" { format!("{OWN}\n\n{GOOD}") } else { GOOD.to_owned() };
                assert_eq!(instruction, expected, "{name}: {reply}");
            },
        );
    }
}

#[test]
fn every_optimizer_drops_what_is_no_instruction_and_says_why() {
    let replies = [
        ("billing", "an answer and not an instruction"),
        ("Department: **billing**", "an answer and not an instruction"),
        (
            "Dear customer,\n\nthank you for your ticket.\n\nBest regards",
            "a letter or code and not an instruction",
        ),
        (
            "Craft a concise yet effective email address that includes your contact information.",
            "not about this task",
        ),
        ("I'm sorry, but I can't help with that.", "the model declined or asked back"),
        ("``````", "empty"),
    ];
    let prompt_model = || {
        let all = replies.iter().map(|(reply, _)| (*reply).to_owned());
        writer(all.chain([format!("```plaintext\n{GOOD}\n```")]).collect(), nothing)
    };
    optimized(
        || router(is_told),
        prompt_model,
        &tickets(60, &[]),
        |name, told, _| {
            let dropped: BTreeSet<&str> =
                told.proposals.iter().filter_map(|(_, why)| why.as_deref()).collect();
            for (reply, why) in replies {
                assert!(dropped.contains(why), "{name}: {reply}: {:?}", told.proposals);
            }
            let kept = told.proposals.iter().filter(|(_, why)| why.is_none());
            assert!(kept.clone().any(|(text, _)| text == GOOD), "{name}: {:?}", told.proposals);
            assert!(told.outcome.winner().unwrap().instruction("route").unwrap().ends_with(GOOD), "{name}");
        },
    );
}

#[test]
fn rows_that_the_provider_refuses_to_the_prompt_model_keep_nothing_from_being_learnt() {
    // Three rows of sixty are withheld, in the words of two providers.
    let withheld =
        |text: &str| text.contains("NETTLE").then(|| LmError::Refused { message: "content filter".into() });
    let rejected = |text: &str| {
        text.contains("NETTLE").then(|| LmError::InvalidRequest { status: 400, message: "flagged".into() })
    };
    for refuses in [withheld, rejected] {
        let refused = Arc::new(AtomicUsize::new(0));
        let prompt_model = || {
            let count = Arc::clone(&refused);
            count.store(0, Ordering::SeqCst);
            let counted = move |text: &str| {
                let refusal = refuses(text);
                count.fetch_add(usize::from(refusal.is_some()), Ordering::SeqCst);
                refusal
            };
            writer(vec![format!("```\n{GOOD}\n```")], counted)
        };
        let examples = tickets(60, &[4, 10, 22]);
        optimized(
            || router(is_told),
            prompt_model,
            &examples,
            |name, told, _| {
                let instruction = told.outcome.winner().unwrap().instruction("route").unwrap();
                assert!(
                    instruction.ends_with(GOOD),
                    "{name}: {:?} {:?}",
                    told.outcome.stop,
                    told.outcome.notes
                );
                let refused = refused.load(Ordering::SeqCst);
                assert!(refused <= 3 * 6, "{name}: {refused} requests were refused for three rows");
            },
        );
    }
}

#[test]
fn a_prompt_model_with_a_small_window_is_shown_fewer_records() {
    let too_long =
        |text: &str| (text.len() > 3500).then(|| LmError::ContextLength { message: "at most 3500".into() });
    let examples: Vec<Example> = tickets(60, &[])
        .into_iter()
        .map(|row| {
            let long = format!("{} {}", row.get_str("ticket").unwrap(), "I wait. ".repeat(60));
            Example::new(
                [("ticket", long), ("department", row.get_str("department").unwrap().to_owned())],
                ["ticket"],
            )
        })
        .collect();
    let prompt_model = || writer(vec![format!("```\n{GOOD}\n```")], too_long);
    optimized(
        || router(is_told),
        prompt_model,
        &examples,
        |name, told, _| {
            let instruction = told.outcome.winner().unwrap().instruction("route").unwrap();
            assert!(instruction.ends_with(GOOD), "{name}: {:?} {:?}", told.outcome.stop, told.outcome.notes);
        },
    );
}

/// Right where a demo stands in the prompt, whatever the instruction; too long where there are more than `most`.
fn shown(most: usize) -> Arc<ScriptedLm> {
    let right = router(|request| request.messages.len() > 2);
    Arc::new(ScriptedLm::new(move |request| {
        if request.messages.len() > 2 + 2 * most {
            return Err(LmError::ContextLength { message: format!("{} messages", request.messages.len()) });
        }
        crate::support::said(&*right, request)
    }))
}

#[test]
fn a_winner_that_its_demos_carry_keeps_the_users_own_instruction() {
    let carried = "Route the ticket: buy only 8 seconds for the battery controller.";
    let optimizer = |texts: Vec<String>| {
        MIPROv2::builder()
            .num_candidates(3)
            .num_trials(6)
            .task_model(shown(100))
            .prompt_model(writer(texts, nothing))
            .build()
    };
    let mut module = program();
    let texts = (0..9).map(|number| format!("{carried} {number}")).collect();
    let outcome = pollster::block_on(optimizer(texts).compile(&mut module, tickets(60, &[]))).unwrap();
    assert_eq!(outcome.selected.mean, 1.0);
    let installed = module.candidate();
    let prompt = installed.prompts.get("route").unwrap();
    assert_eq!(prompt.instruction, OWN, "{:?}", outcome.notes);
    assert!(!prompt.demos.is_empty());
    assert_eq!(outcome.winner().unwrap().score, Some(1.0));

    // One that names the outputs stays, and nothing more is bought.
    let mut module = program();
    let named = |number| format!("Name the department of the ticket, way {number}.");
    let outcome =
        pollster::block_on(optimizer((0..9).map(named).collect()).compile(&mut module, tickets(60, &[])))
            .unwrap();
    assert!(outcome.candidates.iter().all(|one| one.origin.kind != "own instruction"));
}

#[test]
fn an_instruction_that_helps_under_its_demos_stays_whatever_it_says() {
    // Right where there are demos and the magic words.
    let model =
        router(|request| request.messages.len() > 2 && request.messages[0].text().contains("open sesame"));
    let optimizer = MIPROv2::builder()
        .num_candidates(3)
        .num_trials(9)
        .task_model(model)
        .prompt_model(writer(vec!["Route tickets by open sesame.".to_owned()], nothing))
        .build();
    let mut module = program();
    let outcome = pollster::block_on(optimizer.compile(&mut module, tickets(60, &[]))).unwrap();
    assert_eq!(outcome.selected.mean, 1.0, "{:?}", outcome.notes);
    assert_eq!(module.candidate().prompts.get("route").unwrap().instruction, "Route tickets by open sesame.");
}

#[test]
fn demos_that_do_not_fit_the_context_window_are_fewer_and_it_is_said() {
    for most in [0, 1, 3, 4, 6] {
        let miprov2 = MIPROv2::builder()
            .num_candidates(5)
            .num_trials(10)
            .instruction_writer(Arc::new(TemplateProposer::default()))
            .task_model(shown(most))
            .build();
        let search = RandomSearch::builder().num_sets(5).max_labeled_demos(4).task_model(shown(most)).build();
        let simba = SIMBA::builder()
            .max_demos(8)
            .max_steps(6)
            .num_candidates(3)
            .instruction_writer(Arc::new(TemplateProposer::default()))
            .task_model(shown(most))
            .build();
        let optimizers: [(&str, Box<dyn Optimizer>); 3] =
            [("MIPROv2", Box::new(miprov2)), ("random search", Box::new(search)), ("SIMBA", Box::new(simba))];
        for (name, optimizer) in optimizers {
            let mut module = program();
            let outcome = pollster::block_on(optimizer.compile(&mut module, tickets(60, &[]))).unwrap();
            if most > 0 {
                assert_eq!(outcome.selected.mean, 1.0, "{name}, {most}: {:?}", outcome);
            }
            let demos = module.candidate().prompts.get("route").unwrap().demos.len();
            assert!(demos <= most, "{name}, {most}: {demos} demos");
            if name != "SIMBA" {
                let said = |note: &String| note.contains("context window") && note.contains("messages");
                assert!(outcome.notes.iter().any(said), "{name}, {most}: {:?}", outcome.notes);
            }
        }
    }
}

#[test]
fn what_templates_compose_passes_the_judge() {
    let task = program();
    let mut run = Run::bare(&task, shown(0));
    let signature = task.predictors()[0].signature().clone();
    let judge = Judge::new(&signature, OWN);
    for seed in 0..20 {
        let mut request = InstructionRequest::new("route", signature.clone(), OWN, seed);
        request.examples = tickets(30, &[]).into_iter().map(Arc::new).collect();
        request.count = 20;
        let texts =
            pollster::block_on(TemplateProposer::default().write_instructions(&mut run, &request)).unwrap();
        for text in texts {
            let proposal = judge.read(&text, &Known::default());
            assert_eq!((proposal.text.as_str(), proposal.flaw), (text.as_str(), None));
        }
    }
}
