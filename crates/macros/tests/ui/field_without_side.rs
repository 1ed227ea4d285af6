//! A field that neither goes in nor comes out.

use promptopt_predict::Signature;

#[derive(Signature)]
struct Triage {
    #[input]
    ticket: String,
    department: String,
}

fn main() {}
