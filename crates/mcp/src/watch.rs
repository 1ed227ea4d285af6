//! The output of a server, bounded, and what can be said of it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use promptopt_core::data::shorten;
use promptopt_process::Complaint;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

/// The longest message, in bytes. An image in a result is one message.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// The most that may come while nothing is answered, in bytes.
const MAX_UNANSWERED: usize = 4 * MAX_MESSAGE;
/// How much of the beginning is kept, in bytes, so that a secret in what is told of it is whole.
const KEPT: usize = 16 * 1024;
/// How much of the beginning is told, in characters.
const TOLD: usize = 200;

/// What is known of the output of a process.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Bytes of the message that is coming.
    message: usize,
    unanswered: usize,
    beginning: Vec<u8>,
    flaw: Option<&'static str>,
    complaint: Complaint,
}

impl Watch {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// That there was an answer, so that what comes from here on is counted anew.
    pub(crate) fn answered(&self) {
        self.with(|state| state.unanswered = 0);
    }

    /// Takes in standard error.
    pub(crate) async fn listen(self: Arc<Self>, mut stderr: impl AsyncRead + Unpin) {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
            self.with(|state| state.complaint.add(buffer.get(..read).unwrap_or_default()));
        }
    }

    /// What there is to say of a process that failed: `clean` takes out secrets.
    pub(crate) fn said(&self, clean: &promptopt_core::secret::Redactor) -> String {
        self.with(|state| {
            let mut text = state.flaw.map_or_else(String::new, |flaw| format!("; it wrote {flaw}"));
            let beginning = String::from_utf8_lossy(&state.beginning);
            let line = beginning.trim().lines().next().unwrap_or_default();
            if !line.is_empty() && !line.starts_with(['{', '[']) {
                let line = shorten(&clean.redact(line), TOLD);
                text.push_str(&format!(
                    "; its standard output begins with `{line}`, which is no message of MCP: what is no message belongs on \
                     standard error"
                ));
            }
            let complaint = state.complaint.said(|text| clean.redact(text).into_owned().into());
            if !complaint.is_empty() {
                text.push_str(&format!("; it said: {complaint}"));
            }
            text
        })
    }

    /// Counts what came. Whoever writes without end is heard no more.
    fn count(&self, bytes: &[u8]) -> io::Result<()> {
        self.with(|state| {
            let room = KEPT.saturating_sub(state.beginning.len());
            state.beginning.extend(bytes.iter().take(room));
            state.unanswered += bytes.len();
            state.message = match bytes.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => bytes.len() - end,
                None => state.message + bytes.len(),
            };
            if state.message > MAX_MESSAGE {
                state.flaw = Some("a message of more than 16 MiB");
            } else if state.unanswered > MAX_UNANSWERED {
                state.flaw = Some("more than 64 MiB without an answer");
            }
            state.flaw.map_or(Ok(()), |flaw| Err(io::Error::other(flaw)))
        })
    }
}

/// Standard output, watched.
pub(crate) struct Watched<R> {
    pub(crate) output: R,
    pub(crate) watch: Arc<Watch>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.output).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                Poll::Ready(self.watch.count(buffer.filled().get(before..).unwrap_or_default()))
            }
            other => other,
        }
    }
}
