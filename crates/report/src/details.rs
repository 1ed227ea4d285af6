//! What else the optimizer had to say.

use promptopt_core::data::Fields;
use promptopt_run::Outcome;

use crate::text::{self, Field};
use crate::{depths, frontier, headroom, rules};

/// The details of an outcome that no other section draws. A detail that has a known name but another form than is
/// known is one of them.
pub(crate) fn others(outcome: &Outcome) -> Vec<Field> {
    let is_drawn = |name: &str| match name {
        frontier::DETAIL => frontier::is_drawn(outcome),
        headroom::DETAIL => headroom::is_drawn(outcome),
        rules::DETAIL => rules::is_drawn(outcome),
        depths::DETAIL => depths::is_drawn(outcome),
        _ => false,
    };
    let others = outcome.details.iter().filter(|(name, _)| !is_drawn(name));
    let others: Fields = others.map(|(name, value)| (name.clone(), value.clone())).collect();
    text::fields(&others)
}
