//! Results on standard output: for people, or one JSON object for machines.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::args::OutputArgs;
use crate::secrets::clean;

/// Whether the one object was printed.
static SAID: AtomicBool = AtomicBool::new(false);

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

impl Output {
    pub(crate) fn new(args: OutputArgs) -> Self {
        Self { json: args.json, quiet: args.quiet }
    }

    /// Prints text for people; nothing where a machine reads.
    pub(crate) fn text(self, text: impl Display) -> anyhow::Result<()> {
        if !self.json {
            writeln!(std::io::stdout().lock(), "{}", clean(&text.to_string()))?;
        }
        Ok(())
    }

    /// Prints the one object for machines; nothing where people read.
    pub(crate) fn object(self, value: &impl Serialize) -> anyhow::Result<()> {
        if self.json && !SAID.swap(true, Ordering::Relaxed) {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", clean(&serde_json::to_string(value)?))?;
        }
        Ok(())
    }
}

/// Whether colours may be used on standard output (<https://no-color.org>).
pub(crate) fn colours() -> bool {
    std::io::stdout().is_terminal() && no_colour_is_not_asked_for()
}

/// Whether colours may be used on standard error.
pub(crate) fn error_colours() -> bool {
    std::io::stderr().is_terminal() && no_colour_is_not_asked_for()
}

fn no_colour_is_not_asked_for() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
