//! A signature with a type parameter.

use promptopt_predict::Signature;

#[derive(Signature)]
struct Triage<T> {
    #[input]
    ticket: T,
    #[output]
    department: String,
}

fn main() {}
