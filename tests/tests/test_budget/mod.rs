//! Budgets hold, whatever is limited and however many requests are under way.

mod estimates;
mod limits;
mod money;
mod requests;
mod support;
mod time;
