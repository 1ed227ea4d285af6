//! A description in the marker.

use promptopt_predict::Signature;

#[derive(Signature)]
struct Triage {
    #[input(desc = "The ticket.")]
    ticket: String,
    #[output]
    department: String,
}

fn main() {}
