//! `promptopt worker`: makes rollouts that another process hands out.

use crate::args::WorkerArgs;
use crate::output::Output;

#[cfg(not(feature = "fleet"))]
pub(crate) async fn run(_: &WorkerArgs, _: Output) -> anyhow::Result<()> {
    anyhow::bail!("{}", crate::fleet::WITHOUT)
}

#[cfg(feature = "fleet")]
pub(crate) async fn run(args: &WorkerArgs, output: Output) -> anyhow::Result<()> {
    work::run(args, output).await
}

#[cfg(feature = "fleet")]
mod work {
    use std::sync::Arc;
    use std::time::Duration;

    use anyhow::{Context as _, bail};
    use promptopt_core::lm::LanguageModel;
    use promptopt_core::program::{Evaluator, ModuleExt as _};
    use promptopt_fleet::nats::NatsWorker;
    use promptopt_fleet::{Error, Worker};

    use crate::args::{RunArgs, WorkerArgs};
    use crate::data::Undivided;
    use crate::exit::Exit;
    use crate::fleet::{Identity, options};
    use crate::interrupt::cancel_on_interrupt_saying;
    use crate::metrics;
    use crate::models::{Endpoints, TaskModels};
    use crate::output::{Output, say};
    use crate::program::{Blueprint, PredictorChain};
    use crate::session::{folder_of, name};
    use crate::task_file::TaskFile;

    pub(super) async fn run(args: &WorkerArgs, output: Output) -> anyhow::Result<()> {
        let task = TaskFile::read(&args.task).map_err(Exit::configuration)?;
        let slots = args.slots.or(task.fleet.slots).unwrap_or(1);
        if slots == 0 {
            return Err(Exit::configuration(anyhow::anyhow!("the slots are 0, but must be at least 1")));
        }
        let options = options(args.fleet.as_deref().unwrap_or_default(), &task.fleet)?;
        let (program, model, identity) = program(args, &task).await.map_err(Exit::configuration)?;
        let identity = promptopt_fleet::Identity::new(identity.0);
        let leave = cancel_on_interrupt_saying("finishing the rollouts that were begun, and leaving");
        let transport = NatsWorker::connect(options, identity).await.map_err(|error| match error {
            Error::Differs { .. } => Exit::configuration(error.into()),
            _ => Exit::Provider.with(error.into()),
        })?;
        let mut worker = Worker::new(program, model, Arc::new(transport)).with_slots(slots);
        if let Some(idle) = args.idle {
            worker = worker.leaving_after(Duration::from_secs(idle));
        }
        say(format_args!(
            "waiting for rollouts of {} with {slots} slot{}",
            args.task.display(),
            if slots == 1 { "" } else { "s" }
        ));
        worker.run(&leave).await.map_err(|error| Exit::Provider.with(error.into()))?;
        output.text(format_args!("made {} rollouts", worker.made()))?;
        output.object(&serde_json::json!({"command": "worker", "made": worker.made()}))
    }

    /// The program with its metric, the model that it runs on, and what must be alike. A model is called only where workers have it, so no other
    /// needs a key.
    async fn program(
        args: &WorkerArgs,
        task: &TaskFile,
    ) -> anyhow::Result<(Box<dyn Evaluator>, Arc<dyn LanguageModel>, Identity)> {
        let place = || format!("in the task file {}", args.task.display());
        let run = RunArgs::of_task(&args.task, args.lm.clone());
        let other = run.lm.as_ref();
        let stop = task.model.stop.as_deref().filter(|_| other.is_none_or(|name| *name == task.model.name));
        let blueprint = Blueprint::of(&task.program)
            .with_context(place)?
            .with_stop(stop.unwrap_or_default(), other.is_some());
        blueprint.check_variables().with_context(place)?;
        if task.metric.iter().any(|metric| metric.kind == crate::task_file::MetricKind::Judge)
            && other.is_some_and(|name| name == "sim")
        {
            bail!(
                "a judge on the simulated model knows the data, which a worker has not: leave out --lm sim"
            );
        }
        let rows = Undivided::none();
        let mut endpoints = Endpoints::idle();
        endpoints.join_fleet();
        let models = TaskModels::choose(task, &blueprint, &run, &rows, &mut endpoints).await?;
        let folder = folder_of(&args.task);
        let blueprint = blueprint.equipped(folder).await.with_context(place)?;
        let name = name(task, &args.task);
        let chain =
            PredictorChain::new(&name, &blueprint, models.program.is_embedded, folder).with_context(place)?;
        let identity = Identity::of(task, &chain, &models);
        let metric = metrics::build(&task.metric, &blueprint.signature, &task.folder, models.judges)
            .with_context(place)?;
        let chain = chain.with_models(models.predictors).with_asked(models.asked);
        Ok((Box::new(chain.with_metric(metric)), models.program.model, identity))
    }
}
