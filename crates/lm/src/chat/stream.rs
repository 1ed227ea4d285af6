//! Reads a stream of server-sent events, and lets it be heard.

use promptopt_core::lm::{LmError, LmReply};

use crate::classify::{AttemptError, Classifier};
use crate::hearer::Hearer;
use crate::lines::Lines;
use crate::payload::Events;
use crate::reply::{ReplyProblem, ReplyReader};
use crate::text::EXCERPT_LIMIT;
use crate::transport::{Opened, RawReply, Transport};

/// How much larger than a whole reply its stream may be: each few letters come in JSON of their own.
const WRAPPING: usize = 64;

/// The beginning of a stream that errors quote, in bytes.
const HEAD: usize = 4 * EXCERPT_LIMIT;

/// Reads a stream to its end.
pub(super) async fn listen(
    transport: &Transport,
    classifier: &Classifier,
    mut opened: Opened,
    hearer: &mut Hearer<'_>,
) -> Result<LmReply, AttemptError> {
    let limit = transport.limits().max_reply_bytes;
    let too_large = || AttemptError::new(LmError::TooLarge { limit }, true);
    let mut raw =
        RawReply { status: opened.status.as_u16(), headers: opened.headers.clone(), body: Vec::new() };
    let (mut lines, mut events, mut reader) = (Lines::default(), Events::default(), ReplyReader::new(true));
    let (mut heard, mut bytes) = (0, 0_usize);
    let mut read = |line: &str, events: &mut Events, reader: &mut ReplyReader| {
        let Some(value) = events.line(line) else { return Ok(()) };
        reader.read(&value)?;
        if let Some(new) = reader.text().get(heard..).filter(|new| !new.is_empty()) {
            hearer.hear(new);
            heard += new.len();
        }
        Ok::<(), ReplyProblem>(())
    };
    let mut has_begun = false;
    while let Some(chunk) = transport.next(&mut opened, has_begun).await? {
        bytes = bytes.saturating_add(chunk.len());
        let room = HEAD.saturating_sub(raw.body.len()).min(chunk.len());
        raw.body.extend_from_slice(chunk.get(..room).unwrap_or_default());
        let each = |line: &str| read(line, &mut events, &mut reader);
        lines.add(&chunk, each).map_err(|problem| classifier.failed_reply(problem, &raw))?;
        has_begun = has_begun || !reader.is_empty();
        if lines.pending() > limit || reader.bytes() > limit || bytes > limit.saturating_mul(WRAPPING) {
            return Err(too_large());
        }
        if events.is_done {
            break;
        }
    }
    let rest = lines.rest();
    read(&rest, &mut events, &mut reader).map_err(|problem| classifier.failed_reply(problem, &raw))?;
    if events.is_done {
        transport.drain(opened).await;
    }
    reader.finish(events.is_done, bytes).map_err(|problem| classifier.failed_reply(problem, &raw))
}
