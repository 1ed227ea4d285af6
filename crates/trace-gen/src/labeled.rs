//! Labelled demos: examples of the data set as they are.

use std::sync::Arc;

use promptopt_core::data::{Example, Fields};
use promptopt_core::prompt::Demo;
use promptopt_core::signature::Signature;

/// An example as a demo of a predictor: the fields that its signature has. `None` when the
/// example has none of its inputs or none of its outputs, and so shows the predictor nothing.
pub(crate) fn labeled_demo(example: &Arc<Example>, signature: &Signature) -> Option<Demo> {
    let known = |fields: &[promptopt_core::signature::Field]| {
        fields.iter().any(|field| example.get(&field.name).is_some_and(|value| !value.is_null()))
    };
    if !known(signature.inputs()) || !known(signature.outputs()) {
        return None;
    }
    let fields: Fields = signature
        .fields()
        .filter_map(|field| Some((field.name.clone(), example.get(&field.name)?.clone())))
        .collect();
    Some(Demo::new(fields).with_source(example.content_hash()))
}

/// The outputs of a demo as a text, to tell demos of different outputs apart. Reasoning is left
/// out: it is different every time.
pub(crate) fn output_key(demo: &Demo, signature: &Signature) -> String {
    let outputs = signature.outputs().iter().filter(|field| field.name != "reasoning");
    outputs.filter_map(|field| demo.fields.get(&field.name)).map(|value| format!("{value}\n")).collect()
}
