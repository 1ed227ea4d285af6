//! A history in an option, and two histories.

use promptopt_predict::Signature;

use promptopt_core::signature::History;

#[derive(Signature)]
struct Chat {
    #[input]
    before: Option<History>,
    #[output]
    answer: String,
}

#[derive(Signature)]
struct Twice {
    #[input]
    before: History,
    #[input]
    long_before: History,
    #[output]
    answer: String,
}

fn main() {}
