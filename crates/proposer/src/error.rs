//! Why no instructions could be written.

/// Why no instructions could be written. Proposals that fail the checks are not errors; they are
/// replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A prompt template cannot be rendered.
    #[error("the prompt template `{name}` cannot be rendered")]
    Template {
        /// Name of the template.
        name: &'static str,
        /// What the template engine said.
        source: minijinja::Error,
    },
}

impl From<Error> for promptopt_run::Halt {
    fn from(error: Error) -> Self {
        promptopt_run::Error::stage("proposal", error).into()
    }
}
