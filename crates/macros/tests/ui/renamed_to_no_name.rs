//! Names that cannot be those of fields.

use promptopt_predict::Signature;

#[derive(Signature)]
struct Triage {
    #[input]
    ticket: String,
    #[output]
    #[serde(rename = "the-department")]
    department: String,
    #[output]
    #[serde(rename = "ticket")]
    other: String,
}

fn main() {}
