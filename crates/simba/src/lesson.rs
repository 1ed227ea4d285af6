//! Lessons: what the prompt model says of a run that went better beside one that went worse.

use std::sync::Arc;

use promptopt_core::data::Fields;
use promptopt_core::lm::Sampling;
use promptopt_core::program::Predictor;
use promptopt_core::prompt::{Origin, PromptCandidate, Prompts};
use promptopt_core::trace::{TRAJECTORY, Trace, TraceText};
use promptopt_run::proposal::{Flaw, Judge, Known};
use promptopt_run::{Assignment, Brief, Halt, InstructionRequest, InstructionWriter, Run, Written};

/// Upper bound on a rule, in tokens: what is set for the program's short answers would cut it off.
const MAX_TOKENS: u32 = 2000;

const BRIEF: Brief<'static> = Brief::new(
    "advise",
    include_str!("../prompts/advise.md"),
    &[
        ("module", "The module that the advice is for: what it takes and gives."),
        ("instruction", "The instruction that the module has now."),
        ("better_run", "A run of the program that went better."),
        ("worse_run", "A run of the program on the same inputs that went worse."),
    ],
    (
        "advice",
        "What the module should do when it receives such inputs, in a sentence or a few; nothing else.",
    ),
);
/// Values of a run are cut to this many characters.
const MAX_VALUE_CHARS: usize = 2000;

/// Prompts to append a rule to, and what the rule is to be learnt from.
pub(crate) struct Lesson {
    pub(crate) source: usize,
    pub(crate) prompts: Prompts,
    pub(crate) better: Option<Arc<Trace>>,
    pub(crate) worse: Option<Arc<Trace>>,
}

/// Has the rules of some lessons written in this draw of the model, one for each predictor, and appends them to the
/// instructions. A lesson of which no rule comes out gives no candidate.
pub(crate) async fn learn(
    run: &mut Run<'_>,
    temperature: f64,
    draw: u64,
    lessons: Vec<Lesson>,
) -> Result<Vec<PromptCandidate>, Halt> {
    let sampling = Sampling::default().with_temperature(temperature).with_max_tokens(MAX_TOKENS);
    let (program, mut candidates) = (run.program(), Vec::new());
    let mut assignments = Vec::new();
    for lesson in &lessons {
        for predictor in program.predictors() {
            let mut module = format!("{}: {}", predictor.path(), predictor.signature());
            module.extend(predictor.about().map(|about| format!("\n{about}")));
            let instruction = lesson.prompts.get(predictor.path()).unwrap_or(predictor.prompt());
            let [better, worse] = [&lesson.better, &lesson.worse].map(|trace| told(trace.as_deref()));
            let texts = [module, instruction.instruction.clone(), better.clone(), worse];
            let inputs = BRIEF.inputs.iter().zip(texts);
            let inputs = Fields::from_iter(inputs.map(|((name, _), text)| ((*name).to_owned(), text.into())));
            // Both runs are of one row, without which there is no lesson.
            let row =
                lesson.better.as_ref().or(lesson.worse.as_ref()).map(|trace| trace.example.content_hash());
            let records = row.map(|row| (row, better)).into_iter().collect();
            let assignment = Assignment::new(inputs).with_draw(draw);
            assignments.push(assignment.with_records("better_run", records, |runs| runs.concat()));
        }
    }
    let writer = match program.predictors().first().filter(|_| !assignments.is_empty()) {
        Some(first) => run.writer(*first).await?,
        None => None,
    };
    let mut rules = match writer {
        Some(writer) => substituted(run, &*writer, lessons.len()).await?.into_iter(),
        None => run.write(&sampling, BRIEF, assignments).await?.into_iter(),
    };
    let fixed =
        BRIEF.inputs.iter().map(|(_, description)| *description).chain([BRIEF.instruction, BRIEF.output.1]);
    let judge = |predictor: &&dyn Predictor| Judge::of(run, *predictor).requested_by(fixed.clone());
    let judges: Vec<Judge> = program.predictors().iter().map(judge).collect();
    for Lesson { source, mut prompts, .. } in lessons {
        let before = prompts.clone();
        for ((predictor, rule), judge) in program.predictors().into_iter().zip(&mut rules).zip(&judges) {
            let (path, prompt) = (predictor.path(), prompts.get(predictor.path()));
            let instruction = prompt.map_or("", |prompt| prompt.instruction.trim_end());
            let rule = rule.map(|reply| judge.read(&reply, &Known::from_iter([instruction])));
            let appended = |rule: &str| format!("{instruction}\n\n{rule}");
            let is_long = |rule: &str| run.bounds(path).mend(&appended(rule)).err();
            let (text, dropped) = match &rule {
                Ok(rule) => (rule.text.as_str(), rule.flaw.or_else(|| is_long(&rule.text)).map(Flaw::reason)),
                Err(why) => ("", Some(why.as_str())),
            };
            run.observe_proposal(path, text, dropped);
            if let (None, Some(prompt)) = (dropped, prompt) {
                let mut prompt = prompt.clone();
                prompt.instruction = appended(text);
                prompts.insert(path, prompt);
            }
        }
        if prompts != before {
            let origin = Origin::new("rule", "a rule from runs that went better and worse");
            candidates.push(PromptCandidate::new(prompts, origin).with_parents(vec![source]));
        }
    }
    Ok(candidates)
}

/// The rules of a writer that stands in for the prompt model.
async fn substituted(
    run: &mut Run<'_>,
    writer: &dyn InstructionWriter,
    lessons: usize,
) -> Result<Vec<Written>, Halt> {
    let (program, mut rules) = (run.program(), Vec::new());
    for number in 0..lessons {
        for predictor in program.predictors() {
            let signature = predictor.signature().clone();
            let mut request = InstructionRequest::new(predictor.path(), signature, "", number as u64);
            request.examples = run.train().to_vec();
            let texts = run.write_with(writer, &request).await?;
            rules.push(texts.and_then(|texts| texts.into_iter().next().ok_or("no more to give".to_owned())));
        }
    }
    Ok(rules)
}

/// A run as the prompt model is told of it.
fn told(trace: Option<&Trace>) -> String {
    let Some(trace) = trace else { return "There is none: all runs scored alike.".to_owned() };
    let mut text = TraceText::new(MAX_VALUE_CHARS);
    text.say(&trace.format_for_prompt(MAX_VALUE_CHARS));
    // What an agent called stands in its trajectory.
    for step in trace.steps.iter().filter(|step| step.parent.is_none()) {
        text.say(&format!("\nmodule {}:", step.predictor));
        text.fields("", &step.inputs);
        let is_told = |name: &str| {
            name == TRAJECTORY
                && trace.prediction.as_ref().is_some_and(|answer| answer.get(TRAJECTORY).is_some())
        };
        let outputs = step.outputs.iter().filter(|(name, _)| !is_told(name));
        text.fields("", &outputs.map(|(name, value)| (name.clone(), value.clone())).collect());
    }
    text.finish()
}
