//! Each stage of an optimizer alone, in a few lines, and each stage swapped for one of your own.
//!
//! Runs without a key on a simulated model. `docs/own-optimizer.md` says more of what a run offers.
//!
//! `cargo run -p promptopt-examples --bin stages`

use std::collections::BTreeMap;

use promptopt::evaluator::RaceEnd;
use promptopt::prelude::*;
use promptopt::proposer::{ModelProposer, ProgramInfo, Task};
use promptopt::trace_gen::generate_traces;
use promptopt_testkit::HiddenRules;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Questions whose answers follow rules that nobody states, and a model that can learn them.
    let rules = HiddenRules::new(12, 1);
    let model: Arc<dyn LanguageModel> = Arc::new(rules.model(1));
    let examples = rules.examples(120);
    let metric = metric_fn(|example: &Example, prediction: &Prediction| {
        example.get("answer") == prediction.get("answer")
    });
    let program = Predict::new("answer", Signature::parse("question -> answer")?)
        .with_model(Arc::clone(&model))
        .with_metric(metric);

    println!("each stage alone");
    stages_alone(&program, model, &examples).await?;

    println!("each stage swapped for one of your own");
    let written: Arc<dyn InstructionWriter> = Arc::new(FromExamples);
    let run = RunOptions::builder().max_calls(800).seed(1).build();
    let optimizers: [Box<dyn Optimizer>; 4] = [
        Box::new(MIPROv2::builder().instruction_writer(Arc::clone(&written)).max_calls(800).seed(1).build()),
        Box::new(GEPA::builder().instruction_writer(written).max_calls(800).seed(1).build()),
        Box::new(OneOfEach { run: run.clone() }),
        Box::new(Halving { run }),
    ];
    for optimizer in optimizers {
        let mut program = program.clone();
        let outcome = optimizer.compile(&mut program, examples.clone()).await?;
        println!(
            "  {}: {:.2} -> {:.2} on the selection set, with {} calls; {}",
            optimizer.name(),
            outcome.baseline.mean,
            outcome.selected.mean,
            outcome.spending.total().calls,
            outcome.winner().map_or("", |winner| &winner.origin.label)
        );
    }
    Ok(())
}

/// Every stage is a function over a run, and a bare run is one line: no budget, no baseline, no optimizer.
async fn stages_alone(
    program: &dyn Evaluator,
    model: Arc<dyn LanguageModel>,
    examples: &[Example],
) -> anyhow::Result<()> {
    let mut run = Run::bare(program, model);
    let examples: Vec<Arc<Example>> = examples.iter().cloned().map(Arc::new).collect();
    let (train, selection) = examples.split_at(60);

    // Stage 1: run the program, keep what happened, and make demo sets of the runs that pass.
    let traces = generate_traces(&mut run, train).await?;
    let passed = traces.iter().filter(|trace| trace.score_value() == Some(1.0)).count();
    let found = bootstrap(&mut run, train, &BootstrapOptions::default()).await?;
    println!("  traces: {passed} of {} pass; {} demo sets", traces.len(), found.sets.len());

    // Stage 2: have the prompt model describe the task and write instructions.
    let proposer = ModelProposer::default();
    let task = Task::new(ProgramInfo::of(program), train.to_vec());
    let study = proposer.study(&mut run, &task).await?;
    let written = proposer.propose(&mut run, &task, &study, 4).await?;
    println!("  proposals: {}", written["answer"].len());

    // Stage 3: evaluate one set of prompts, then race candidates over a selection set.
    let evaluation = evaluate(&mut run, &Arc::default(), selection).await?;
    println!("  evaluation of the program as it is: {}", evaluation.estimate);
    run.select_on(selection.to_vec());
    let mut contenders = vec![run.enter(program.candidate())];
    for (set, text) in found.sets.iter().zip(&written["answer"]) {
        let prompts = set.put_into(&Prompts::from_iter([("answer", Prompt::new(text))]));
        contenders
            .push(run.enter(PromptCandidate::new(prompts, Origin::new("pair", "demos and instruction"))));
    }
    let raced = race(&mut run, &contenders, &RaceOptions::default()).await?;
    let finished = raced.iter().filter(|contender| contender.end == RaceEnd::Finished).count();
    println!("  race: {finished} of {} finish, the best with {:.2}", raced.len(), run.best().1);
    Ok(())
}

/// Your own proposals: an instruction writer, which every optimizer takes. This one shows a few examples in the
/// instruction and asks no model.
struct FromExamples;

#[async_trait]
impl InstructionWriter for FromExamples {
    async fn write_instructions(
        &self,
        _run: &mut Run<'_>,
        request: &InstructionRequest,
    ) -> anyhow::Result<Vec<String>> {
        let write = |draw: usize| {
            let first = (request.seed as usize % 1000 + draw) * 8;
            let shown = request.examples.iter().cycle().skip(first).take(request.examples.len().min(8));
            let lines = shown.map(|example| {
                let text = |name| example.get_str(name).unwrap_or_default().trim_end_matches('.');
                format!("\n- {}: {}", text("question"), text("answer"))
            });
            format!("{} Go by these examples.{}", request.signature.instructions(), lines.collect::<String>())
        };
        Ok((0..request.count).map(write).collect())
    }
}

/// Your own demo stage: for every answer that occurs, one run of the program that passed.
struct OneOfEach {
    run: RunOptions,
}

#[async_trait]
impl Strategy for OneOfEach {
    fn name(&self) -> &str {
        "one demo of each answer"
    }

    fn options(&self) -> RunOptions {
        self.run.clone()
    }

    async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        let base = Arc::new(run.base().prompts);
        let job = |example: &Arc<Example>| RolloutJob::new(Arc::clone(&base), Arc::clone(example));
        let jobs: Vec<_> = run.train().iter().map(job).collect();
        let mut demos = BTreeMap::new();
        for trace in run.rollouts(&jobs).await?.iter().filter(|trace| trace.score_value() == Some(1.0)) {
            for step in &trace.steps {
                let fields: Fields = step.inputs.clone().into_iter().chain(step.outputs.clone()).collect();
                // The source keeps an example from being answered by its own demo.
                let demo = Demo::new(fields).augmented().with_source(trace.example.content_hash());
                demos.entry(trace.example.get_str("answer").unwrap_or_default().to_owned()).or_insert(demo);
            }
        }
        let mut prompts = run.base().prompts;
        let instruction = base.get("answer").map(|prompt| prompt.instruction.clone()).unwrap_or_default();
        let label = format!("{} demos", demos.len());
        prompts.insert("answer", Prompt::new(instruction).with_demos(demos.into_values().collect()));
        let candidate = run.enter(PromptCandidate::new(prompts, Origin::new("one of each", label)));
        let everything = run.board().open(candidate);
        run.try_out(TrialKind::FULL, &[(candidate, everything)]).await
    }
}

/// Your own selection: demo sets on a growing part of the selection set. After every round the better half goes on,
/// by the mean less a hundredth for every demo, so that of two equals the shorter prompt goes on.
struct Halving {
    run: RunOptions,
}

#[async_trait]
impl Strategy for Halving {
    fn name(&self) -> &str {
        "halving"
    }

    fn options(&self) -> RunOptions {
        self.run.clone()
    }

    async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        let train = run.train().to_vec();
        let found = bootstrap(run, &train, &BootstrapOptions::default().with_num_sets(16)).await?;
        let base = run.base().prompts;
        let mut field: Vec<(usize, usize)> = Vec::new();
        for (number, set) in found.sets.iter().enumerate() {
            let origin = Origin::new("demo set", format!("demo set {number}"));
            let candidate = run.enter(PromptCandidate::new(set.put_into(&base), origin));
            field.push((candidate, set.of("answer").len()));
        }
        let selection = run.board().examples().len();
        let mut part = 12;
        while field.len() > 1 {
            let wanted: Vec<_> =
                field.iter().map(|(candidate, _)| (*candidate, (0..part.min(selection)).collect())).collect();
            run.try_out(TrialKind::new("halving"), &wanted).await?;
            let worth = |(candidate, demos): &(usize, usize)| {
                run.board().mean(*candidate).unwrap_or_default() - 0.01 * *demos as f64
            };
            field.sort_by(|left, right| worth(right).total_cmp(&worth(left)));
            field.truncate(field.len() / 2);
            part *= 2;
        }
        // Only a candidate that was tried on the whole selection set can win.
        let last: Vec<_> =
            field.iter().map(|(candidate, _)| (*candidate, (0..selection).collect())).collect();
        run.try_out(TrialKind::FULL, &last).await
    }
}
