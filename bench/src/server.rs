//! A server with an exact latency and as little work as can be: it reads a request, waits, and sends the same
//! reply to everybody. Timers of tokio are as coarse as a millisecond, so a thread keeps the time.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

use crate::{child, task};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

type Timer = Sender<(Instant, oneshot::Sender<()>)>;

/// Serves with a latency of so many milliseconds until the parent ends.
pub(crate) fn serve(arguments: &[String]) -> Result<()> {
    let millis: u64 = arguments.first().context("say the latency")?.parse()?;
    let (timer, requests) = channel();
    std::thread::spawn(move || keep_time(&requests));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(|| {
        child::wait_for_parent();
        std::process::exit(0);
    });
    runtime.block_on(accept(Duration::from_millis(millis), timer))
}

/// All waits are equally long, so they end in the order in which they came.
fn keep_time(requests: &Receiver<(Instant, oneshot::Sender<()>)>) {
    while let Ok((due, waiting)) = requests.recv() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let _ = waiting.send(());
    }
}

async fn accept(latency: Duration, timer: Timer) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(BACKLOG)?;
    child::answer(&format!("http://{}/v1", listener.local_addr()?));
    let reply: Arc<[u8]> = reply().into();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(talk(stream, latency, timer.clone(), Arc::clone(&reply)));
    }
}

async fn talk(mut stream: TcpStream, latency: Duration, timer: Timer, reply: Arc<[u8]>) -> Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    let mut filled = 0;
    loop {
        let room = buffer.get_mut(filled..).unwrap_or_default();
        let read = stream.read(room).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let text = buffer.get(..filled).unwrap_or_default();
        if length(text).is_none_or(|length| length > filled) {
            continue;
        }
        let (wake, woken) = oneshot::channel();
        timer.send((Instant::now() + latency, wake))?;
        woken.await?;
        stream.write_all(&reply).await?;
        filled = 0;
    }
}

/// The length of a request with its body, once its head is there.
fn length(text: &[u8]) -> Option<usize> {
    let head = text.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let lines = std::str::from_utf8(text.get(..head)?).ok()?;
    let body = lines.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Some(head + body.unwrap_or_default())
}

fn reply() -> Vec<u8> {
    let message = json!({"role": "assistant", "content": task::REPLY});
    let body = json!({
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 200, "completion_tokens": 10, "total_tokens": 210},
    })
    .to_string();
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_when_its_body_is_there() {
        assert_eq!(length(b"POST / HTTP/1.1\r\nContent-"), None);
        assert_eq!(length(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"), Some(43));
        assert_eq!(length(b"GET / HTTP/1.1\r\n\r\n"), Some(18));
    }
}
