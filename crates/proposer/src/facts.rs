//! What can be said of the data without any model.

use std::collections::BTreeMap;
use std::sync::Arc;

use promptopt_core::data::{Example, plain_text};
use promptopt_core::signature::Signature;
use serde::Serialize;

/// Values of an output that are this few and repeat are a vocabulary.
const MAX_VOCABULARY: usize = 20;

/// Counts over the examples of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DataFacts {
    /// How many examples there are.
    pub examples: usize,
    /// For every output of a predictor that examples have a value for.
    pub outputs: BTreeMap<String, OutputFacts>,
}

/// Counts over the values of one output.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OutputFacts {
    /// All values, by how often they stand, when they are few and repeat.
    pub vocabulary: Option<Vec<String>>,
    /// Median number of words.
    pub median_words: usize,
    /// Share of values that stand word for word in an input, from 0 to 1.
    pub verbatim: f64,
}

impl DataFacts {
    /// The facts about the outputs of a signature.
    pub fn of(signature: &Signature, examples: &[Arc<Example>]) -> Self {
        let mut facts = Self { examples: examples.len(), outputs: BTreeMap::new() };
        for field in signature.outputs() {
            let values: Vec<(String, &Arc<Example>)> = examples
                .iter()
                .filter_map(|example| Some((plain_text(example.get(&field.name)?), example)))
                .collect();
            if !values.is_empty() {
                facts.outputs.insert(field.name.clone(), OutputFacts::of(&values));
            }
        }
        facts
    }

    /// The facts in sentences, one a line; empty when there is nothing to say.
    pub fn summary(&self) -> String {
        let mut lines = Vec::new();
        for (name, output) in &self.outputs {
            if let Some(values) = &output.vocabulary {
                lines.push(format!("`{name}` is one of: {}.", values.join(", ")));
            } else if output.verbatim > 0.9 {
                lines.push(format!("`{name}` stands word for word in the input."));
            }
            if output.median_words <= 3 {
                lines.push(format!("`{name}` is short: {} as a rule.", output.length()));
            }
        }
        lines.join("\n")
    }
}

impl OutputFacts {
    /// The median length in words.
    pub(crate) fn length(&self) -> String {
        match self.median_words {
            0 | 1 => "one word".to_owned(),
            many => format!("{many} words"),
        }
    }

    fn of(values: &[(String, &Arc<Example>)]) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut lengths: Vec<usize> = Vec::new();
        let mut verbatim = 0;
        for (value, example) in values {
            *counts.entry(value).or_default() += 1;
            lengths.push(value.split_whitespace().count());
            let stands_in = |input: &serde_json::Value| plain_text(input).contains(value.as_str());
            verbatim += usize::from(!value.is_empty() && example.inputs().values().any(stands_in));
        }
        lengths.sort_unstable();
        let repeats = counts.len() <= MAX_VOCABULARY && counts.len() * 2 <= values.len();
        let mut by_count: Vec<_> = counts.into_iter().collect();
        by_count.sort_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(right.0)));
        Self {
            vocabulary: repeats.then(|| by_count.into_iter().map(|(value, _)| value.to_owned()).collect()),
            median_words: lengths.get(lengths.len() / 2).copied().unwrap_or_default(),
            verbatim: verbatim as f64 / values.len().max(1) as f64,
        }
    }
}
