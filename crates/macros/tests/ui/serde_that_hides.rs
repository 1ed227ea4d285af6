//! Attributes of serde that hide or rename fields.

use promptopt_predict::Signature;

#[derive(Signature)]
#[serde(rename_all = "camelCase")]
struct Triage {
    #[input]
    #[serde(flatten)]
    ticket: String,
    #[output]
    #[serde(skip)]
    department: String,
}

fn main() {}
