//! An argument that is not known.

use promptopt_predict::Signature;

#[derive(Signature)]
#[signature(instructions = "Route the ticket.")]
struct Triage {
    #[input]
    ticket: String,
    #[output]
    department: String,
}

fn main() {}
