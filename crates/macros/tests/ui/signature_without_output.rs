//! A signature that gives nothing.

use promptopt_predict::Signature;

#[derive(Signature)]
struct Triage {
    #[input]
    ticket: String,
}

fn main() {}
