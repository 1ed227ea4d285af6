//! The section `[cache]`.

use std::path::PathBuf;

use promptopt_store::CacheMode;
use schemars::JsonSchema;
use serde::Deserialize;

/// Replies that runs share.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CacheSection {
    /// The folder it is in, relative to the task file. It is made where it is missing.
    pub(crate) dir: PathBuf,
    /// How it is used. Default: `read-write`.
    #[schemars(with = "Option<CacheModeForm>")]
    pub(crate) mode: Option<CacheMode>,
    /// The most megabytes of replies; the oldest go first. Default: 1024.
    pub(crate) max_mb: Option<u64>,
}

/// What the schema says of `mode`.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "it stands for a type of another crate in the schema and is never made")]
enum CacheModeForm {
    Off,
    Read,
    ReadWrite,
}
