//! What can go wrong when a report is written.

use std::path::PathBuf;

/// Why a report could not be made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A template refused the report: a fault of this crate.
    #[error("rendering the report")]
    Template(#[from] minijinja::Error),
    /// The report has no JSON form.
    #[error("writing the report as JSON")]
    Json(#[from] serde_json::Error),
    /// Two evaluations cannot be compared.
    #[error("comparing the programs on the test")]
    Comparison(#[from] promptopt_statistics::Error),
    /// The file could not be written.
    #[error("writing the report to {path}; is there space, and may you write there?")]
    Write {
        /// Where it was to go.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
