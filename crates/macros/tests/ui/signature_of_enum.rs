//! A signature of an enum.

use promptopt_predict::Signature;

#[derive(Signature)]
enum Triage {
    Billing,
}

fn main() {}
