//! A field that borrows.

use promptopt_predict::Signature;

#[derive(Signature)]
struct Triage {
    #[input]
    ticket: &'static str,
    #[output]
    department: String,
}

fn main() {}
