//! Predictions: what a program answers.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Fields;
use crate::Error;
use crate::signature::{from_fields, to_fields};

/// The outputs of a program or of one predictor, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prediction {
    fields: Fields,
}

impl Prediction {
    /// A prediction from fields.
    pub fn new(fields: Fields) -> Self {
        Self { fields }
    }

    /// A prediction from a Rust type, such as the output of a typed signature.
    ///
    /// # Errors
    ///
    /// [`Error::Fields`] where it is no struct or map, or cannot be written as JSON.
    pub fn typed(output: &impl Serialize) -> Result<Self, Error> {
        to_fields(output).map(Self::new)
    }

    /// The fields as a Rust type, such as the output of a typed signature or a struct with the few fields that count.
    ///
    /// # Errors
    ///
    /// [`Error::Fields`] names the field that is missing or does not fit.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        from_fields(&self.fields)
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

    /// The fields, owned.
    pub fn into_fields(self) -> Fields {
        self.fields
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Prediction {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        Self::new(iter.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
