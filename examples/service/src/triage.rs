//! The program: a signature, and a predictor of it.

use promptopt_predict::{Predict, Signature};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Decide which team should answer the ticket, and draft a reply to the customer.
#[derive(Signature)]
pub(crate) struct Triage {
    /// What the customer wrote.
    #[input]
    ticket: String,
    /// The team that should answer it.
    #[output]
    team: Team,
    /// Whether it has to be answered today.
    #[output]
    urgent: bool,
    /// A friendly draft of the answer.
    #[output]
    reply: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Team {
    Billing,
    Shipping,
    Technical,
}

pub(crate) fn program() -> Predict<Triage> {
    Predict::typed("triage")
}
