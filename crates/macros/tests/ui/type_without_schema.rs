//! A type of a field without a schema.

use promptopt_predict::Signature;

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
enum Department {
    Billing,
}

#[derive(Signature)]
struct Triage {
    #[input]
    ticket: String,
    #[output]
    department: Department,
}

fn main() {}
