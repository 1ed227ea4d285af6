//! As much of HTTP/1.1 as the client needs, on a bare socket.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The largest head and the largest body of a request, in bytes.
const MOST_HEAD: usize = 64 * 1024;
const MOST_BODY: usize = 16 * 1024 * 1024;

/// One client.
pub(super) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// The head of a reply, and its body.
pub(super) struct Response {
    head: String,
    body: Vec<u8>,
}

impl Response {
    /// A reply with a `Content-Length`.
    pub(super) fn new(status: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n",
            body.len()
        );
        Self { head, body }
    }

    /// The head of a reply that ends with the connection, and the beginning of its body.
    pub(super) fn unending(status: &str, content_type: &str, beginning: impl Into<Vec<u8>>) -> Self {
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\nconnection: close\r\n");
        Self { head, body: beginning.into() }
    }

    pub(super) fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    /// The bytes as they are sent, and how many of them are the head.
    pub(super) fn bytes(self) -> (Vec<u8>, usize) {
        let mut bytes = self.head.into_bytes();
        bytes.extend_from_slice(b"\r\n");
        let head = bytes.len();
        bytes.extend(self.body);
        (bytes, head)
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// The body of the next request; `None` at the end of the connection, and for what is no HTTP with a
    /// `Content-Length`.
    pub(super) async fn next_body(&mut self) -> Option<Vec<u8>> {
        let head = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill(MOST_HEAD).await?;
        };
        let length = content_length(self.read.get(..head)?).filter(|length| *length <= MOST_BODY)?;
        let end = head + length;
        while self.read.len() < end {
            self.fill(MOST_HEAD + MOST_BODY).await?;
        }
        let rest = self.read.split_off(end);
        let request = std::mem::replace(&mut self.read, rest);
        request.get(head..).map(<[u8]>::to_vec)
    }

    /// Reads some more, up to `most` bytes that are not used yet; `None` when there is nothing more.
    async fn fill(&mut self, most: usize) -> Option<()> {
        let count = self.stream.read_buf(&mut self.read).await.ok()?;
        (count > 0 && self.read.len() <= most).then_some(())
    }

    /// Writes some bytes; returns how many the socket took when it broke before the end.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest).await {
                Ok(count) if count > 0 => written += count,
                _ => return Err(written),
            }
        }
        Ok(())
    }

    /// Waits for so long; says whether the client is still there.
    pub(super) async fn pause(&mut self, pause: Duration) -> bool {
        timeout(pause, self.stream.read_buf(&mut self.read)).await.is_err()
    }

    /// Resets the connection instead of closing it, as soon as it is dropped.
    pub(super) fn reset(&self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    std::str::from_utf8(head).ok()?.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}
