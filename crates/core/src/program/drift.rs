//! How a program has changed since it was saved.

use std::fmt;

use super::saved_signature::SavedField;
use super::{Module, Program, SavedSignature};

/// One way in which a program differs from its saved form, so that its prompts are not for it any more.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Drift {
    /// The file has a prompt for a predictor that the program does not have.
    LostPredictor {
        /// Its path.
        predictor: String,
    },
    /// The program has a predictor that the file knows nothing of.
    NewPredictor {
        /// Its path.
        predictor: String,
    },
    /// A field has another name.
    Renamed {
        /// Path of the predictor.
        predictor: String,
        /// The name in the file.
        saved: String,
        /// The name in the program, whose type is the same.
        now: String,
    },
    /// The file has a field that the program does not have.
    LostField {
        /// Path of the predictor.
        predictor: String,
        /// The field, with `input` or `output` and its type.
        field: String,
    },
    /// The program has a field that the file does not have.
    NewField {
        /// Path of the predictor.
        predictor: String,
        /// The field, with `input` or `output` and its type.
        field: String,
    },
    /// A field has another type, or other values that it may have.
    Retyped {
        /// Path of the predictor.
        predictor: String,
        /// The field.
        field: String,
        /// Its type in the file.
        saved: String,
        /// Its type in the program.
        now: String,
    },
}

impl fmt::Display for Drift {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LostPredictor { predictor } => {
                write!(formatter, "the file has the predictor `{predictor}`, which the program does not have")
            }
            Self::NewPredictor { predictor } => {
                write!(formatter, "the program has the predictor `{predictor}`, which the file does not have")
            }
            Self::Renamed { predictor, saved, now } => write!(
                formatter,
                "predictor `{predictor}`: the field `{saved}` of the file is `{now}` in the program"
            ),
            Self::LostField { predictor, field } => write!(
                formatter,
                "predictor `{predictor}`: the file has the {field}, which the program does not have"
            ),
            Self::NewField { predictor, field } => write!(
                formatter,
                "predictor `{predictor}`: the program has the {field}, which the file does not have"
            ),
            Self::Retyped { predictor, field, saved, now } => write!(
                formatter,
                "predictor `{predictor}`: the field `{field}` is {saved} in the file and {now} in the program"
            ),
        }
    }
}

/// Several as one text.
pub(crate) fn in_words(drifts: &[Drift]) -> String {
    drifts.iter().map(Drift::to_string).collect::<Vec<_>>().join("; ")
}

/// All that differs between a saved program and a module.
pub(super) fn drifts_of(program: &Program, module: &(impl Module + ?Sized)) -> Vec<Drift> {
    let predictors = module.predictors();
    let is_there = |path: &str| predictors.iter().any(|one| one.path() == path);
    let saved = program.prompts.iter().map(|(path, _)| path);
    let lost = saved.filter(|path| !is_there(path));
    let mut drifts: Vec<_> = lost.map(|path| Drift::LostPredictor { predictor: path.to_owned() }).collect();
    for predictor in &predictors {
        let path = predictor.path();
        if program.prompts.get(path).is_none() {
            drifts.push(Drift::NewPredictor { predictor: path.to_owned() });
        }
        let now = SavedSignature::of(predictor.signature());
        if let Some(saved) = program.signatures.get(path).filter(|saved| saved.hash != now.hash) {
            compare(path, "input", &saved.inputs, &now.inputs, &mut drifts);
            compare(path, "output", &saved.outputs, &now.outputs, &mut drifts);
        }
    }
    drifts
}

/// What differs in the inputs, or in the outputs, of a predictor.
fn compare(path: &str, side: &str, saved: &[SavedField], now: &[SavedField], drifts: &mut Vec<Drift>) {
    let predictor = || path.to_owned();
    let missing_in = |those: &[SavedField], these: &[SavedField]| -> Vec<SavedField> {
        those.iter().filter(|field| !these.iter().any(|other| other.name == field.name)).cloned().collect()
    };
    for field in saved {
        let Some(other) = now.iter().find(|other| other.name == field.name) else { continue };
        if !field.is_alike(other) {
            let (saved, now) = told_apart(field, other);
            drifts.push(Drift::Retyped { predictor: predictor(), field: field.name.clone(), saved, now });
        }
    }
    let (mut lost, mut new) = (missing_in(saved, now), missing_in(now, saved));
    if let ([one], [other]) = (lost.as_slice(), new.as_slice())
        && one.is_alike(other)
    {
        let (saved, now) = (one.name.clone(), other.name.clone());
        drifts.push(Drift::Renamed { predictor: predictor(), saved, now });
        (lost, new) = (Vec::new(), Vec::new());
    }
    let named = |field: &SavedField| format!("{side} `{}: {}`", field.name, field.kind);
    drifts.extend(lost.iter().map(|field| Drift::LostField { predictor: predictor(), field: named(field) }));
    drifts.extend(new.iter().map(|field| Drift::NewField { predictor: predictor(), field: named(field) }));
}

/// Two types in words: in short form, or by their JSON schemas where that is the same.
fn told_apart(saved: &SavedField, now: &SavedField) -> (String, String) {
    let (short, other) = (saved.kind.to_string(), now.kind.to_string());
    if short != other {
        return (short, other);
    }
    let schema = |field: &SavedField| format!("{} with the schema {}", field.kind, field.kind.json_schema());
    (schema(saved), schema(now))
}
