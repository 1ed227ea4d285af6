//! The optimized program as a file.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use promptopt_core::{Comparison, Estimate, Outcome, Prompts};
use serde::{Deserialize, Serialize};

/// What `optimize` writes and `eval --program` reads.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedProgram {
    /// Version of promptopt that wrote it.
    pub(crate) promptopt: String,
    /// Name of the task.
    pub(crate) task: String,
    /// The model it was optimized on.
    pub(crate) model: String,
    /// Predictor path -> instruction and demos.
    pub(crate) prompts: Prompts,
    /// The sealed test; none when it was not finished.
    pub(crate) test: Option<TestResult>,
    /// Everything the optimizer did.
    pub(crate) outcome: Outcome,
}

/// Original and optimized program on the sealed test.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TestResult {
    pub(crate) baseline: Estimate,
    pub(crate) optimized: Estimate,
    pub(crate) comparison: Comparison,
}

impl SavedProgram {
    /// Writes the file at once: a reader sees the old one or the new one, never half of it.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || -> anyhow::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        write().with_context(|| format!("writing the optimized program to {}", path.display()))
    }

    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the program {}; is the path right?", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not a program as `promptopt optimize` writes it", path.display()))
    }
}
