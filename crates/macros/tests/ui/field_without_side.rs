//! A field that neither goes in nor comes out.

use promptopt_core::lm::Image;
use promptopt_core::program::CallContext;
use promptopt_predict::{Predict, Signature};

#[derive(Signature)]
pub struct Triage {
    #[input]
    ticket: String,
    picture: Image,
    department: String,
}

/// What uses the signature is not complained of.
pub async fn ask(triage: &Predict<Triage>, context: &CallContext, picture: Image) -> Option<String> {
    let input = TriageInput { ticket: String::new(), picture };
    Some(triage.call(context, input).await.ok()?.department)
}

fn main() {}
