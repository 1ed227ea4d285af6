//! Budgets hold, whatever is limited and however many requests are under way.

mod caps;
mod desk;
mod estimates;
mod interleavings;
mod judges;
mod limits;
mod money;
mod requests;
mod support;
mod time;
