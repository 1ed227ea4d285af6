//! A signature of a tuple struct.

use promptopt_predict::Signature;

#[derive(Signature)]
struct Triage(String, String);

fn main() {}
