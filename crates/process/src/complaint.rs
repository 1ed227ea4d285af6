//! The last of what a program says on standard error.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How much of standard error is said, in characters,
const SAID: usize = 600;
/// and how much is kept in bytes, so that a key at a cut is still known for one.
const KEPT: usize = 16 * 1024;

/// The last of what a program says on standard error.
#[derive(Debug, Default)]
pub struct Complaint(Vec<u8>);

impl Complaint {
    /// What came now.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let surplus = self.0.len().saturating_sub(KEPT);
        self.0.drain(..surplus);
    }

    /// The end of it, 600 characters at most. `clean` takes out what may not be said: programs may complain of keys that
    /// only they know.
    pub fn said(&self, clean: impl Fn(&str) -> Cow<'_, str>) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let text = clean(text.trim());
        let surplus = text.chars().count().saturating_sub(SAID);
        text.chars().skip(surplus).collect()
    }

    /// All that a program says until it says no more.
    pub async fn of(stderr: impl AsyncRead + Unpin) -> Self {
        let complaint = Mutex::default();
        Self::follow(stderr, &complaint).await;
        complaint.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds all that a program says, as it says it, until it says no more.
    pub async fn follow(mut stderr: impl AsyncRead + Unpin, complaint: &Mutex<Self>) {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
            let bytes = buffer.get(..read).unwrap_or_default();
            complaint.lock().unwrap_or_else(PoisonError::into_inner).add(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::secret::Redactor;

    use super::*;

    #[test]
    fn the_end_of_a_complaint_is_said_without_keys() {
        let mut complaint = Complaint::default();
        let key = format!("sk-{}", "k".repeat(48));
        complaint.add(format!("{}\n{key}", "x".repeat(20_000)).as_bytes());
        complaint.add(b"\nthe index is closed\n");
        let redactor = Redactor::default().strict();
        let said = complaint.said(|text| Cow::Owned(redactor.redact(text).into_owned()));
        assert!(said.ends_with("the index is closed") && said.chars().count() <= SAID, "{said}");
        assert!(!said.contains("kkkk"), "{said}");
    }
}
