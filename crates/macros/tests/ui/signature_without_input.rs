//! A signature that takes nothing.

use promptopt_predict::Signature;

#[derive(Signature)]
struct Triage {
    #[output]
    department: String,
}

fn main() {}
