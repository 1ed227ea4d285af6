//! Examples: ordered fields, and which of them are inputs.

use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ContentHash, shown};
use crate::Error;
use crate::signature::{Signature, TypedSignature, from_fields, to_fields};

/// Named values in order. JSON is what data sets, demos and replies have in common.
pub type Fields = serde_json::Map<String, Value>;

/// Copies fields without spare capacity, because most of what is kept of rollouts is fields.
pub fn fields_of<'f>(fields: impl Iterator<Item = (&'f String, &'f Value)> + Clone) -> Fields {
    let mut copy = Fields::with_capacity(fields.clone().count());
    copy.extend(fields.map(|(name, value)| (name.clone(), value.clone())));
    copy
}

/// One row of a data set: what goes into the program, and what is known of the answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Example {
    fields: Fields,
    inputs: Vec<String>,
    #[serde(skip)]
    hash: KnownHash,
}

/// The hash of what stands beside it, once somebody asked; no part of what is compared.
#[derive(Debug, Clone, Default)]
struct KnownHash(OnceLock<ContentHash>);

impl PartialEq for KnownHash {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Example {
    /// An example from fields and the names of those that are inputs; the others are labels.
    /// An input that is not among the fields is simply absent.
    ///
    /// ```
    /// use promptopt_core::data::Example;
    ///
    /// let example = Example::new([("question", "1 + 1?"), ("answer", "2")], ["question"]);
    /// assert_eq!(example.get_str("answer"), Some("2"));
    /// assert_eq!(example.inputs().len(), 1);
    /// ```
    pub fn new<K, V, I>(fields: impl IntoIterator<Item = (K, V)>, inputs: impl IntoIterator<Item = I>) -> Self
    where
        K: Into<String>,
        V: Into<Value>,
        I: Into<String>,
    {
        Self {
            fields: fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            inputs: inputs.into_iter().map(Into::into).collect(),
            hash: KnownHash::default(),
        }
    }

    /// All fields, in order.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// The value of a field that holds a string.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// Whether a field is an input.
    pub fn is_input(&self, name: &str) -> bool {
        self.inputs.iter().any(|input| input == name)
    }

    /// The names of the inputs.
    pub fn input_names(&self) -> &[String] {
        &self.inputs
    }

    /// The input fields, in order.
    pub fn inputs(&self) -> Fields {
        self.part(true)
    }

    /// The fields that are not inputs, in order.
    pub fn labels(&self) -> Fields {
        self.part(false)
    }

    /// An example from a row that has all fields of a typed signature.
    ///
    /// # Errors
    ///
    /// [`Error::Fields`] where a value cannot be written as JSON.
    pub fn typed<S: TypedSignature>(row: S) -> Result<Self, Error> {
        let (input, output) = row.into_parts();
        let mut fields = to_fields(&input)?;
        let inputs = fields.keys().cloned().collect();
        fields.extend(to_fields(&output)?);
        Ok(Self { fields, inputs, hash: KnownHash::default() })
    }

    /// The row of a typed signature that this example is.
    ///
    /// # Errors
    ///
    /// [`Error::Fields`] names the field that is missing or does not fit.
    pub fn row<S: TypedSignature>(&self) -> Result<S, Error> {
        Ok(S::from_parts(from_fields(&self.fields)?, from_fields(&self.fields)?))
    }

    /// The fields as a Rust type: a struct with those that count, such as the output of a typed signature.
    ///
    /// # Errors
    ///
    /// [`Error::Fields`] names the field that is missing or does not fit.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        from_fields(&self.fields)
    }

    /// The same example with its values read by the types of a signature's fields, as rows of a file are: `3` becomes
    /// `"3"` for `enum[1, 2, 3]`, so that a label can be compared with what a program answers.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] for the first value that means none of its field's type.
    pub fn read_by(mut self, signature: &Signature) -> Result<Self, Error> {
        for field in signature.fields() {
            let value = self.fields.get_mut(&field.name).filter(|value| !value.is_null());
            let Some(value) = value else { continue };
            *value = field.kind.read(value.take()).map_err(|found| Error::Value {
                field: field.name.clone(),
                kind: field.kind.to_string(),
                found: shown(&found),
            })?;
        }
        self.hash = KnownHash::default();
        Ok(self)
    }

    fn part(&self, input: bool) -> Fields {
        fields_of(self.fields.iter().filter(|(name, _)| self.is_input(name) == input))
    }

    /// A hash of the content: equal examples have equal hashes, on every machine. Made once.
    pub fn content_hash(&self) -> ContentHash {
        *self.hash.0.get_or_init(|| ContentHash::of(self))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_by_the_types_of_a_signature() {
        let signature = Signature::parse("ticket -> stars: enum[1, 2, 3], good: bool").unwrap();
        let example = |stars: Value| {
            Example::new([("ticket", json!(7)), ("stars", stars), ("id", json!(1))], ["ticket"])
        };
        let typed = example(json!(3)).read_by(&signature).unwrap();
        assert_eq!(Value::Object(typed.fields().clone()), json!({"ticket": "7", "stars": "3", "id": 1}));
        assert_eq!(typed.inputs().len(), 1);
        let hashed = example(json!(3));
        assert_ne!(hashed.content_hash(), hashed.clone().read_by(&signature).unwrap().content_hash());
        let error = example(json!(4)).read_by(&signature).unwrap_err().to_string();
        assert_eq!(
            error,
            "the field `stars`, whose type is enum[1, 2, 3], holds `4`: correct the value or the type"
        );
    }
}
