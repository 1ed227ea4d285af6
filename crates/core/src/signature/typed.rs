//! Signatures as Rust types, and values as fields.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Signature;
use crate::Error;
use crate::data::Fields;

/// A signature as a Rust type: a struct with all its fields, one with the inputs, and one with the outputs.
/// `#[derive(Signature)]` of `promptopt` or `promptopt-predict` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no signature",
    note = "put `#[derive(Signature)]` on the struct, `#[input]` on what goes in and `#[output]` on what comes out",
    note = "of `struct Triage` the macro makes `TriageInput` and `TriageOutput`: name the struct itself here"
)]
pub trait TypedSignature: Sized + Send + Sync + 'static {
    /// What goes in.
    type Input: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What comes out.
    type Output: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The signature: names, types and descriptions of the fields, and the instruction.
    fn signature() -> Signature;

    /// What goes in, and what comes out.
    fn into_parts(self) -> (Self::Input, Self::Output);

    /// The whole of both.
    fn from_parts(input: Self::Input, output: Self::Output) -> Self;
}

/// A value as named fields.
///
/// # Errors
///
/// [`Error::Fields`] where it is no struct or map, or cannot be written as JSON.
pub fn to_fields<T: Serialize + ?Sized>(value: &T) -> Result<Fields, Error> {
    let wrong = |reason: String| Error::Fields { what: short_name::<T>(), reason };
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => {
            let found = crate::data::shown(&other);
            Err(wrong(format!("it is written as {found} and not as an object of fields; use a struct")))
        }
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Named fields as a value. Fields that it does not know are left out.
///
/// # Errors
///
/// [`Error::Fields`] names the field that does not fit, and says why.
pub fn from_fields<T: DeserializeOwned>(fields: &Fields) -> Result<T, Error> {
    serde_path_to_error::deserialize(fields).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner().to_string();
        let reason = if path == "." { reason } else { format!("`{path}`: {reason}") };
        Error::Fields { what: short_name::<T>(), reason }
    })
}

/// The name of a type without the path to it.
fn short_name<T: ?Sized>() -> &'static str {
    let name = std::any::type_name::<T>();
    let generics = name.find('<').unwrap_or(name.len());
    let path = name.get(..generics).unwrap_or(name);
    let from = path.rfind("::").map_or(0, |at| at + 2);
    name.get(from..).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Parcel {
        number: u8,
        stops: Vec<Stop>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Stop {
        Depot,
        Door,
    }

    fn parcel(value: Value) -> Result<Parcel, String> {
        from_fields(value.as_object().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_and_its_fields_become_each_other() {
        let sent = Parcel { number: 7, stops: vec![Stop::Depot, Stop::Door] };
        let fields = to_fields(&sent).unwrap();
        assert_eq!(Value::Object(fields.clone()), json!({"number": 7, "stops": ["depot", "door"]}));
        assert_eq!(from_fields::<Parcel>(&fields).unwrap(), sent);
        assert_eq!(from_fields::<Fields>(&fields).unwrap(), fields);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let says = |value, expected: &str| assert_eq!(parcel(value).unwrap_err(), expected);
        says(json!({"number": 7}), "the fields are no `Parcel`: missing field `stops`");
        says(
            json!({"number": 300, "stops": []}),
            "the fields are no `Parcel`: `number`: invalid value: integer `300`, expected u8",
        );
        says(
            json!({"number": 7, "stops": ["depot", "roof"]}),
            "the fields are no `Parcel`: `stops[1]`: unknown variant `roof`, expected `depot` or `door`",
        );
        let error = to_fields(&7).unwrap_err().to_string();
        assert_eq!(
            error,
            "the fields are no `i32`: it is written as `7` and not as an object of fields; use a struct"
        );
        assert_eq!(short_name::<Option<Vec<Parcel>>>().split('<').next(), Some("Option"));
    }
}
