//! The program and the metric of a task.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use promptopt_core::{
    Evaluator, Example, Metric, Module, ModuleExt as _, Prediction, Signature, metric_fn, plain_text,
};
use promptopt_predict::{ChainOfThought, JsonAdapter, PlainAdapter, Predict};

use crate::task_file::{Format, MetricKind, MetricSection, ProgramSection};

/// The task's signature, without reasoning.
pub(crate) fn signature(section: &ProgramSection) -> anyhow::Result<Signature> {
    let plain = Signature::parse(&section.signature).context("in `program.signature`")?;
    for name in section.descriptions.keys() {
        if plain.field(name).is_none() {
            let known: Vec<_> = plain.fields().map(|field| field.name.as_str()).collect();
            bail!("`program.descriptions` has `{name}`, but the signature has only {}", known.join(", "));
        }
    }
    let described = |fields: &[promptopt_core::Field]| {
        fields
            .iter()
            .cloned()
            .map(|field| match section.descriptions.get(&field.name) {
                Some(text) => field.described(text),
                None => field,
            })
            .collect::<Vec<_>>()
    };
    let instruction = section.instruction.clone().unwrap_or_default();
    Ok(Signature::new(described(plain.inputs()), described(plain.outputs()), instruction)?)
}

/// The task's program with its metric. `embedded` says that it runs on the embedded model.
pub(crate) fn program(
    section: &ProgramSection,
    metric: &MetricSection,
    embedded: bool,
) -> anyhow::Result<Box<dyn Evaluator>> {
    let signature = signature(section)?;
    let judge = judge(metric, &signature)?;
    let name = section.name.clone().unwrap_or_else(|| "predict".to_owned());
    let format = section.format.unwrap_or(if embedded { Format::Plain } else { Format::Chat });
    // The plain format is for models that JSON is beyond, so a retry in it would be wasted.
    let formatted = |predict: Predict| match format {
        Format::Chat => predict,
        Format::Json => predict.with_adapter(Arc::new(JsonAdapter)),
        Format::Plain => predict.with_adapter(Arc::new(PlainAdapter)).with_json_retry(false),
    };
    let module: Box<dyn Module> = if section.reasoning {
        Box::new(ChainOfThought::new(name, signature)?.map(formatted))
    } else {
        Box::new(formatted(Predict::new(name, signature)))
    };
    Ok(Box::new(module.with_metric(judge)))
}

fn judge(section: &MetricSection, signature: &Signature) -> anyhow::Result<impl Metric + use<>> {
    let outputs: Vec<String> = signature.outputs().iter().map(|field| field.name.clone()).collect();
    let judged = match &section.field {
        None => outputs,
        Some(field) if outputs.contains(field) => vec![field.clone()],
        Some(field) => bail!("`metric.field` is `{field}`, but the outputs are {}", outputs.join(", ")),
    };
    let kind = section.kind;
    Ok(metric_fn(move |example: &Example, prediction: &Prediction| {
        let right = judged.iter().filter(|field| {
            let text =
                |value: Option<&serde_json::Value>| value.map(|value| plain_text(value).trim().to_owned());
            match (text(example.get(field)), text(prediction.get(field))) {
                (Some(expected), Some(given)) => agrees(kind, &expected, &given),
                _ => false,
            }
        });
        right.count() as f64 / judged.len() as f64
    }))
}

fn agrees(kind: MetricKind, expected: &str, given: &str) -> bool {
    match kind {
        MetricKind::Exact => expected == given,
        MetricKind::Normalized => normalized(expected) == normalized(given),
        MetricKind::Contains => given.to_lowercase().contains(&expected.to_lowercase()),
    }
}

fn normalized(text: &str) -> String {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_judge_as_they_say() {
        let check =
            |kind, expected, given, right| assert_eq!(agrees(kind, expected, given), right, "{given}");
        check(MetricKind::Exact, "New Delhi", "New Delhi", true);
        check(MetricKind::Exact, "New Delhi", "new delhi", false);
        check(MetricKind::Normalized, "New Delhi", "new-delhi.", true);
        check(MetricKind::Contains, "Delhi", "To new delhi, please", true);
    }
}
