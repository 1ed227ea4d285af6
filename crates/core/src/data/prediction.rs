//! Predictions: what a program answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Fields;

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
