//! A field that is marked twice.

use promptopt_predict::Signature;

#[derive(Signature)]
struct Triage {
    #[input]
    #[input]
    ticket: String,
    #[output]
    department: String,
}

fn main() {}
