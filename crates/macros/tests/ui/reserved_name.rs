//! An output with a reserved name.

use promptopt_predict::Signature;

#[derive(Signature)]
struct Triage {
    #[input]
    ticket: String,
    #[output]
    completed: bool,
}

fn main() {}
