//! Whether demos fit the signature of a predictor.

use std::fmt;

use serde_json::Value;

use crate::data::{Fields, excerpt, shown};
use crate::signature::{Field, FieldType, Signature};

use super::Demo;

/// Why demos cannot be those of a predictor.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Misfit {
    /// Some lack fields of the signature and have others in their place, as after a rename. They would not be shown, or
    /// not be shown whole.
    Fields {
        /// How many.
        count: usize,
        /// Of how many.
        of: usize,
        /// Fields that the first of them lacks.
        lacks: Vec<String>,
        /// Fields of it that the signature does not know.
        has: Vec<String>,
    },
    /// A value is not of its field's type.
    Value {
        /// Which demo, counted from 1.
        demo: usize,
        /// The field.
        field: String,
        /// The field's type, in short form.
        kind: String,
        /// The value.
        found: Box<Value>,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields { count, of, lacks, has } => write!(
                formatter,
                "{count} of {of} demos lack {} and have {}: rename the fields in the signature or in the demos, \
                 or remove these demos",
                listed(lacks),
                listed(has)
            ),
            Self::Value { demo, field, kind, found } => {
                write!(
                    formatter,
                    "demo {demo} has {} in the field `{field}`, whose type is {kind}: correct the value or the type",
                    shown(found)
                )
            }
        }
    }
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{}`", excerpt(name))).collect::<Vec<_>>().join(", ")
}

/// The demos of a predictor as [`read_demos`] reads them, after checking that they have its fields. `program` are the
/// signatures of all predictors of the program: a row of the data set that belongs to another predictor is no misfit,
/// as DSPy gives whole rows to each.
///
/// # Errors
///
/// The first [`Misfit`].
pub fn fit_demos<'s>(
    demos: &[Demo],
    signature: &Signature,
    program: impl Iterator<Item = &'s Signature> + Clone,
) -> Result<Vec<Demo>, Misfit> {
    let elsewhere = |demo: &Demo| is_row(demo) && program.clone().any(|other| is_shown(demo, other));
    let mut misfits = demos.iter().filter(|demo| !fits(demo, signature) && !elsewhere(demo)).peekable();
    if let Some(first) = misfits.peek() {
        let lacks = signature.fields().filter(|field| !first.fields.contains_key(&field.name));
        let lacks = lacks.map(|field| field.name.clone()).collect();
        let has = unknown(first, signature).cloned().collect();
        return Err(Misfit::Fields { count: misfits.count(), of: demos.len(), lacks, has });
    }
    read_demos(demos, signature)
}

/// The demos of a predictor with their values as [`FieldType::read`] reads them, whatever other fields they have. In a
/// text field any value stays as it is: it is shown as text.
///
/// # Errors
///
/// [`Misfit::Value`] for the first value that means none of its field's type.
pub fn read_demos(demos: &[Demo], signature: &Signature) -> Result<Vec<Demo>, Misfit> {
    let mut demos = demos.to_vec();
    for (index, demo) in demos.iter_mut().enumerate() {
        for field in signature.fields().filter(|field| field.kind != FieldType::String) {
            let value = demo.fields.get_mut(&field.name).filter(|value| !value.is_null());
            let Some(value) = value else { continue };
            *value = field.kind.read(value.take()).map_err(|found| {
                let (field, kind) = (field.name.clone(), field.kind.to_string());
                Misfit::Value { demo: index + 1, field, kind, found: Box::new(found) }
            })?;
        }
    }
    Ok(demos)
}

/// Whether a demo is a whole row of a data set rather than cut to the fields of a predictor.
fn is_row(demo: &Demo) -> bool {
    !demo.augmented && demo.source.is_none()
}

/// Whether a demo shows a predictor anything: something that goes in, and something that comes out.
fn is_shown(demo: &Demo, signature: &Signature) -> bool {
    let has = |fields: &[Field], demo: &Fields| fields.iter().any(|field| demo.contains_key(&field.name));
    has(signature.inputs(), &demo.fields) && has(signature.outputs(), &demo.fields)
}

/// A demo of known fields alone may be incomplete, and a row may have more columns than it takes.
fn fits(demo: &Demo, signature: &Signature) -> bool {
    let is_whole = || signature.fields().all(|field| demo.fields.contains_key(&field.name));
    unknown(demo, signature).next().is_none() || is_shown(demo, signature) && (is_row(demo) || is_whole())
}

fn unknown<'d>(demo: &'d Demo, signature: &Signature) -> impl Iterator<Item = &'d String> {
    demo.fields.keys().filter(|name| signature.field(name).is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn demos(rows: &[Value]) -> Vec<Demo> {
        rows.iter().map(|row| Demo::new(row.as_object().unwrap().clone())).collect()
    }

    fn check(text: &str, demos: &[Demo], expected: Result<Value, &str>) {
        let signature = Signature::parse(text).unwrap();
        let fitted = fit_demos(demos, &signature, [&signature].into_iter());
        match (fitted, expected) {
            (Ok(fitted), Ok(expected)) => {
                let fields: Vec<_> = fitted.into_iter().map(|demo| Value::Object(demo.fields)).collect();
                assert_eq!(Value::from(fields), expected);
            }
            (Err(misfit), Err(expected)) => assert_eq!(misfit.to_string(), expected),
            (result, _) => panic!("{text}: {result:?}"),
        }
    }

    #[test]
    fn values_are_read_by_their_types() {
        let rows = demos(&[json!({"q": 1, "n": 3, "id": 9}), json!({"q": ["x"], "n": null})]);
        check(
            "q -> n: enum[1, 2, 3]",
            &rows,
            Ok(json!([{"q": 1, "n": "3", "id": 9}, {"q": ["x"], "n": null}])),
        );
        let wrong = "demo 1 has `3` in the field `n`, whose type is bool: correct the value or the type";
        check("q -> n: bool", &rows, Err(wrong));
    }

    #[test]
    fn a_rename_is_told_with_the_fields_of_both() {
        let rows = demos(&[
            json!({"q": "a", "reply": "b"}),
            json!({"q": "a", "answer": "b"}),
            json!({"q": "a", "answer": "c"}),
        ]);
        let says = "2 of 3 demos lack `reply` and have `answer`: rename the fields in the signature or in the demos, or remove these demos";
        check("q -> reply", &rows, Err(says));
        // Of two outputs one still has its name: the demo would be shown without the other.
        let ran: Vec<Demo> =
            demos(&[json!({"q": "a", "x": 1, "y": 2})]).into_iter().map(Demo::augmented).collect();
        assert!(
            fit_demos(&ran, &Signature::parse("q -> x: int, z: int").unwrap(), std::iter::empty()).is_err()
        );
        check("q -> x: int", &ran, Ok(json!([{"q": "a", "x": 1, "y": 2}])));
        check("q -> why, x: int, y: int", &ran, Ok(json!([{"q": "a", "x": 1, "y": 2}])));
    }

    #[test]
    fn a_row_may_belong_to_another_predictor() {
        let rows = demos(&[json!({"q": "a", "answer": "b"})]);
        let [plan, answer] = ["q -> steps", "q, steps -> answer"].map(|text| Signature::parse(text).unwrap());
        assert!(fit_demos(&rows, &plan, [&plan, &answer].into_iter()).is_ok());
        assert!(fit_demos(&rows, &plan, [&plan].into_iter()).is_err());
    }
}
