//! The three stages, top to bottom.

use indexmap::IndexMap;
use promptopt_core::{Error, Evaluator, ModuleExt as _, Outcome, Spending};
use promptopt_evaluator::{Search, session};
use promptopt_proposer::Attempt;
use promptopt_trace_gen::{Bootstrapped, best_traces, bootstrap};

use crate::plan::{Plan, Taught, space};

pub(crate) async fn run(plan: &Plan<'_>, program: &dyn Evaluator) -> Result<Outcome, Error> {
    let student = plan.session.runner(program);
    let taught = plan.options.teacher.as_deref().map(|teacher| Taught::new(teacher, program));
    let teacher = taught.as_ref().map(|taught| plan.teacher_runner(taught));
    let proposer = plan.proposer();
    let mut notes = plan.notes.clone();
    let mut spending = Spending::default();

    // The original is in from the start: everything else has to beat it.
    plan.session
        .tell_stage("baseline", format!("the original on {} selection examples", plan.selection.len()));
    let mut search = Search::begin(
        &student,
        program.candidate(),
        plan.selection.clone(),
        plan.search_options(),
        plan.options.track_stats.then(|| plan.session.observer.clone()),
    )
    .await
    .map_err(|error| Error::stage("evaluation", error))?;
    if !search.has_baseline() {
        return Err(session::too_early(search.stop(), search.first_failure()));
    }

    // Stage 1: run the program, keep its traces, bootstrap demo sets.
    let runner = teacher.as_ref().unwrap_or(&student);
    let Bootstrapped { sets, passed, traces, stop } = if plan.num_trials > 0 && search.stop().is_none() {
        plan.session
            .tell_stage("traces", format!("bootstrapping demos from {} training examples", plan.train.len()));
        bootstrap(runner, &plan.train, &plan.bootstrap_options(runner.program().max_calls()))
            .await
            .map_err(|error| Error::stage("trace generation", error))?
    } else {
        Bootstrapped::default()
    };
    notes.extend(
        (passed == 0 && !traces.is_empty()).then(|| "no rollout passed, so demos are labelled ones".into()),
    );
    stop.into_iter().for_each(|stop| search.halt(stop));

    // Stages 2 and 3 by turns: write instructions, search; later rounds see what was tried.
    let mut task = plan.task(program, &sets, best_traces(&traces, 1));
    let mut study = None;
    let mut written: IndexMap<String, Vec<String>> = IndexMap::new();
    let rounds = plan.proposal_rounds(program.predictors().len());
    let portions = plan.trials(&rounds);
    for (round, (count, trials)) in rounds.iter().zip(portions).enumerate() {
        // Stage 2: describe data, program and predictors once, then write instructions.
        if *count > 0 && plan.num_trials > 0 && search.stop().is_none() {
            plan.session.tell_stage("proposals", format!("writing {count} instructions for each predictor"));
            if study.is_none() {
                let found = proposer.study(&task).await.map_err(|error| Error::stage("proposal", error))?;
                spending.prompt += found.usage;
                notes.extend(found.notes.iter().cloned());
                study = Some(found);
            }
            task.seed = plan.options.seed.wrapping_add(round as u64);
            let study = study.clone().unwrap_or_default();
            let new = proposer
                .propose(&task, &study, *count)
                .await
                .map_err(|error| Error::stage("proposal", error))?;
            spending.prompt += new.usage;
            notes.extend(new.notes);
            new.stop.into_iter().for_each(|stop| search.halt(stop));
            for (path, proposals) in new.instructions {
                let texts: Vec<String> = proposals.into_iter().map(|proposal| proposal.instruction).collect();
                task.taken.entry(path.clone()).or_default().extend(texts.iter().cloned());
                written.entry(path).or_default().extend(texts);
            }
        }

        // Stage 3: search instruction x demo set for all predictors together.
        if search.stop().is_none() {
            plan.session.tell_stage("search", format!("{trials} trials"));
        }
        search.widen(space(program, &sets, &written)).map_err(|error| Error::stage("evaluation", error))?;
        search.run(trials).await.map_err(|error| Error::stage("evaluation", error))?;
        for (index, predictor) in program.predictors().iter().enumerate() {
            let scored = search.instruction_scores(index).into_iter();
            let attempts = scored.map(|(instruction, score)| Attempt { instruction, score });
            task.tried.insert(predictor.path().to_owned(), attempts.collect());
        }
    }
    let found = search.finish().await.map_err(|error| Error::stage("evaluation", error))?;

    let teaching = teacher.map(|teacher| teacher.totals()).unwrap_or_default();
    let totals = student.totals();
    spending.task = totals.usage + teaching.usage;
    spending.reused_rollouts = totals.reused + teaching.reused;
    Ok(plan.session.concluded(Outcome {
        optimizer: "MIPROv2".to_owned(),
        candidates: found.candidates,
        best: found.best,
        baseline: found.baseline,
        selected: found.selected,
        comparison: found.comparison,
        choice: found.choice,
        trials: if plan.options.track_stats { found.trials } else { Vec::new() },
        scores: if plan.options.track_stats { found.scores } else { Vec::new() },
        spending,
        failures: totals.failures + teaching.failures,
        stop: found.stop.unwrap_or_default(),
        notes,
        ..Outcome::default()
    }))
}
