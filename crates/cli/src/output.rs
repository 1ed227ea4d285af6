//! The one door to standard output and standard error.
//!
//! Whatever is said passes here, so here it is made safe: replies, rows, paths and errors of others may hold secrets
//! and commands to a terminal. `clippy.toml` of this crate allows the two streams nowhere else.

#![expect(clippy::disallowed_methods, reason = "this is the door")]

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use promptopt_core::data::{is_unsafe, printable};
use serde::Serialize;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::args::OutputArgs;
use crate::progress;
use crate::secrets;

/// Whether the one object was printed.
static SAID: AtomicBool = AtomicBool::new(false);

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

/// How a piece of text is told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    Plain,
    Removed,
    Added,
}

impl Output {
    pub(crate) fn new(args: OutputArgs) -> Self {
        Self { json: args.json, quiet: args.quiet }
    }

    /// Prints text for people; nothing where a machine reads.
    pub(crate) fn text(self, text: impl Display) -> anyhow::Result<()> {
        match self.json {
            true => Ok(()),
            false => print(&safe(&text.to_string())),
        }
    }

    /// Prints pieces of text for people, each told by its ink.
    pub(crate) fn painted(self, pieces: &[(Ink, String)]) -> anyhow::Result<()> {
        match self.json {
            true => Ok(()),
            false => print(&paint(pieces, can_colour(&io::stdout()))),
        }
    }

    /// Prints what somebody asked for to use it: to a file or a pipe as it is, on a terminal as text.
    pub(crate) fn data(self, text: &str) -> anyhow::Result<()> {
        match io::stdout().is_terminal() || self.json {
            true => self.text(text),
            false => print(&secrets::clean(text)),
        }
    }

    /// Prints the one object for machines; nothing where people read. Characters that a terminal would obey are
    /// escaped, so the object is exact and may be looked at.
    pub(crate) fn object(self, value: &impl Serialize) -> anyhow::Result<()> {
        if self.json && !SAID.swap(true, Ordering::Relaxed) {
            print(&escaped(&secrets::clean(&serde_json::to_string(value)?)))?;
        }
        Ok(())
    }
}

/// Asks whoever sits at the terminal; nobody else is asked, and says no.
pub(crate) fn ask(output: Output, question: &str) -> anyhow::Result<bool> {
    if output.json || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Ok(false);
    }
    write!(io::stdout(), "{} [y/N] ", safe(question))?;
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Says something on standard error, beside the progress. A closed one is no reason to end anything.
pub(crate) fn say(text: impl Display) {
    let text = safe(&text.to_string());
    let _ = progress::aside(|| writeln!(io::stderr(), "{text}"));
}

/// A text as it may be shown: without secrets, and without what commands a terminal.
pub(crate) fn safe(text: &str) -> String {
    printable(&secrets::clean_strictly(text)).into_owned()
}

/// JSON in which whatever commands a terminal is escaped.
pub(crate) fn escaped(json: &str) -> Cow<'_, str> {
    if !json.contains(is_unsafe) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        match is_unsafe(letter) {
            false => text.push(letter),
            true => letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                // Writing to a string can not fail.
                let _ = write!(text, "\\u{unit:04x}");
            }),
        }
    }
    Cow::Owned(text)
}

/// Pieces with marks around what is gone and what is new, or in colours.
pub(crate) fn paint(pieces: &[(Ink, String)], colours: bool) -> String {
    let marks = |ink| match (ink, colours) {
        (Ink::Plain, _) => ("", ""),
        (Ink::Removed, true) => ("\u{1b}[31;9m", "\u{1b}[0m"),
        (Ink::Added, true) => ("\u{1b}[32m", "\u{1b}[0m"),
        (Ink::Removed, false) => ("[-", "-]"),
        (Ink::Added, false) => ("{+", "+}"),
    };
    let whole = |(ink, text): &(Ink, String)| {
        let (open, close) = marks(*ink);
        format!("{open}{}{close}", safe(text))
    };
    pieces.iter().map(whole).collect()
}

fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        // A terminal that was closed: nobody is left to tell, and what is written to files counts.
        Err(error) if error.raw_os_error() == Some(5) && cfg!(unix) => Ok(()),
        written => Ok(written?),
    }
}

/// Whether progress can be drawn anew on standard error.
pub(crate) fn can_draw() -> bool {
    io::stderr().is_terminal()
}

/// Whether colours may be used on a stream (<https://no-color.org>).
fn can_colour(stream: &impl io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Standard error for logs.
pub(crate) struct Log;

/// One event on its way there, whole.
pub(crate) struct Event(Level);

impl<'a> MakeWriter<'a> for Log {
    type Writer = Event;

    fn make_writer(&'a self) -> Self::Writer {
        Event(Level::INFO)
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        Event(*metadata.level())
    }
}

impl Write for Event {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A line of others within an event is not to pose as one of ours.
        let text = safe(&String::from_utf8_lossy(bytes));
        let mut text = text.trim_end_matches('\n').replace('\n', "\n    ") + "\n";
        if can_colour(&io::stderr()) {
            let (level, colour) = (self.0.as_str(), colour(self.0));
            text = text.replacen(level, &format!("\u{1b}[{colour}m{level}\u{1b}[0m"), 1);
        }
        progress::aside(|| io::stderr().write_all(text.as_bytes()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        _ => 35,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_made_safe_within_their_marks() {
        let pieces = [(Ink::Plain, "a ".to_owned()), (Ink::Added, "b\u{1b}[2J\u{202e}".to_owned())];
        assert_eq!(paint(&pieces, false), "a {+b␛[2J\u{fffd}+}");
        assert_eq!(paint(&pieces, true), "a \u{1b}[32mb␛[2J\u{fffd}\u{1b}[0m");
    }

    #[test]
    fn an_object_is_exact_and_can_be_looked_at() {
        let value = serde_json::json!({"a\u{9b}": "\u{1b}]0;x\u{7}\u{7f}\u{202e}\u{e0041}é\n"});
        let text = serde_json::to_string(&value).unwrap();
        let shown = escaped(&text);
        assert!(!shown.contains(is_unsafe) && !shown.contains('\n'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
