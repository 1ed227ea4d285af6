//! Bodies of requests, read within bounds.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::time::timeout;

/// The largest request that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// So much of a request that is refused is taken in and dropped: most clients read an answer only after they have sent all.
const MAX_DROPPED_BYTES: usize = 512 * 1024 * 1024;
/// The longest time for one body.
const TIME: Duration = Duration::from_secs(60);

/// Room for requests, in MiB.
pub(crate) const ROOM: usize = MAX_BYTES / MIB;
const MIB: usize = 1024 * 1024;
/// The room of a body that does not say its size.
const UNSAID: usize = 8;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    TooSlow,
    Broken,
}

impl Unread {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }

    /// What is said of it to the program, and of the program.
    pub(crate) fn says(self) -> String {
        match self {
            Self::TooLarge => {
                format!(
                    "a request of more than {} MiB: send less, such as smaller images or files",
                    MAX_BYTES / MIB
                )
            }
            Self::TooSlow => format!("a request whose body took longer than {} s", TIME.as_secs()),
            Self::Broken => "a request whose body broke off".to_owned(),
        }
    }
}

/// The room that a body takes while its request is under way, in MiB.
pub(crate) fn room(body: &Body) -> usize {
    let said = body.size_hint().upper().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    said.map_or(UNSAID, |bytes| bytes.div_ceil(MIB)).clamp(1, ROOM)
}

/// A whole body.
///
/// # Errors
///
/// Where it is too large, too slow or broken off. What is too large was taken in, and dropped.
pub(crate) async fn read(body: Body) -> Result<Bytes, Unread> {
    let size = body.size_hint();
    let said = usize::try_from(size.lower()).unwrap_or(usize::MAX);
    match timeout(TIME, take(body, if said > MAX_BYTES { 0 } else { MAX_BYTES })).await {
        Ok(result) => result,
        Err(_) => Err(Unread::TooSlow),
    }
}

/// Takes in a body that nobody wants.
pub(crate) async fn discard(body: Body) {
    // Whatever comes of it, its request is refused.
    let _ = timeout(TIME, take(body, 0)).await;
}

async fn take(body: Body, most: usize) -> Result<Bytes, Unread> {
    let (mut kept, mut size) = (BytesMut::new(), 0_usize);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        size = size.saturating_add(chunk.len());
        if size > MAX_DROPPED_BYTES {
            break;
        }
        if size > most {
            kept = BytesMut::new();
            continue;
        }
        kept.extend_from_slice(&chunk);
    }
    if size > most { Err(Unread::TooLarge) } else { Ok(kept.freeze()) }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn of_chunks(count: usize) -> Body {
        let chunk = Bytes::from(vec![b'x'; MIB]);
        Body::from_stream(stream::iter((0..count).map(move |_| Ok::<_, std::io::Error>(chunk.clone()))))
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_are_bounded_in_size_and_time() {
        assert_eq!(read(Body::from("yes")).await.unwrap(), "yes");
        assert_eq!(read(of_chunks(ROOM)).await.unwrap().len(), MAX_BYTES);
        assert_eq!(read(of_chunks(ROOM + 1)).await, Err(Unread::TooLarge));
        assert_eq!(read(Body::from(vec![b'x'; MAX_BYTES + 1])).await, Err(Unread::TooLarge));
        let broken = stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
        assert_eq!(read(Body::from_stream(broken)).await, Err(Unread::Broken));
        let endless = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(endless()).await, Err(Unread::TooSlow));
        discard(endless()).await;
        // One that never ends is given up.
        discard(Body::from_stream(stream::repeat_with(|| {
            Ok::<_, std::io::Error>(Bytes::from_static(&[0; 65536]))
        })))
        .await;
        let rooms = [Body::empty(), Body::from(vec![0; 3 * MIB]), of_chunks(1)].map(|body| room(&body));
        assert_eq!(rooms, [1, 3, UNSAID]);
    }
}
