//! Forms that options have in files, for JSON Schemas.

use schemars::JsonSchema;

/// An amount of money or time: a number, or a text with a unit.
#[derive(JsonSchema)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Amount {
    /// Dollars or seconds.
    Number(f64),
    /// Such as `$0.25`, `90s`, `15m` or `1h30m`.
    Text(String),
}
