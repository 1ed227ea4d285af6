//! A field that goes in and comes out.

use promptopt_predict::Signature;

#[derive(Signature)]
struct Triage {
    #[input]
    ticket: String,
    #[input]
    #[output]
    department: String,
}

fn main() {}
