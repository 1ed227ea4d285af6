//! A reply as bytes: format, checksum, JSON.

use promptopt_core::data::ContentHash;
use promptopt_core::lm::LmReply;

/// Largest reply that is kept, in bytes of its JSON form.
pub const MAX_REPLY_BYTES: usize = 8 * 1024 * 1024;

/// Format of a record; the first byte of each.
const FORMAT: u8 = 1;

/// Why a reply cannot be kept.
#[derive(Debug, PartialEq)]
pub(crate) enum Unkept {
    /// Larger than [`MAX_REPLY_BYTES`]; the size.
    TooLarge(usize),
    /// It has no JSON form; why.
    NoJson(String),
}

/// The reply as a record for `key`.
pub(crate) fn encode(key: &ContentHash, reply: &LmReply) -> Result<Vec<u8>, Unkept> {
    let payload = serde_json::to_vec(reply).map_err(|error| Unkept::NoJson(error.to_string()))?;
    if payload.len() > MAX_REPLY_BYTES {
        return Err(Unkept::TooLarge(payload.len()));
    }
    let mut record = vec![FORMAT];
    record.extend_from_slice(checksum(key, &payload).as_bytes());
    record.extend_from_slice(&payload);
    Ok(record)
}

/// The reply in a record for `key`, or what is wrong with the record.
///
/// The checksum covers the key, so a record that strayed to another key is found out, too.
pub(crate) fn decode(key: &ContentHash, record: &[u8]) -> Result<LmReply, String> {
    let (format, rest) = record.split_first().ok_or("a reply is empty")?;
    if *format != FORMAT {
        return Err(format!("a reply has the unknown format {format}"));
    }
    let width = key.as_bytes().len();
    let (sum, payload) = rest.split_at_checked(width).ok_or("a reply is cut off")?;
    if payload.len() > MAX_REPLY_BYTES {
        return Err(format!("a reply has {} bytes, more than was ever written", payload.len()));
    }
    if sum != checksum(key, payload).as_bytes() {
        return Err("the checksum of a reply is wrong".to_owned());
    }
    serde_json::from_slice(payload).map_err(|error| format!("a reply cannot be read: {error}"))
}

fn checksum(key: &ContentHash, payload: &[u8]) -> ContentHash {
    ContentHash::join([key.as_bytes(), payload])
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::{Completion, FinishReason, ToolCall};
    use promptopt_core::money::Usage;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn replies() -> impl Strategy<Value = LmReply> {
        let reason = prop_oneof![
            Just(FinishReason::Stop),
            Just(FinishReason::Length),
            Just(FinishReason::ContentFilter),
            Just(FinishReason::ToolCalls),
            Just(FinishReason::Other),
        ];
        let call =
            any::<(String, String, String)>().prop_map(|(id, name, text)| ToolCall::new(id, name, text));
        let calls = prop::collection::vec(call, 0..3);
        let texts = any::<(String, String, Option<String>)>();
        let completion = (texts, reason, calls, any::<Option<String>>()).prop_map(
            |((text, reasoning, refusal), reason, calls, extra)| {
                let mut completion = Completion::new(text)
                    .with_reasoning(reasoning)
                    .with_finish_reason(reason)
                    .with_tool_calls(calls);
                completion.refusal = refusal;
                completion.extra = extra
                    .map(|text| ("annotations".to_owned(), json!([{"text": text}])))
                    .into_iter()
                    .collect();
                completion
            },
        );
        let usage = any::<(u64, [u64; 5])>();
        (prop::collection::vec(completion, 0..4), usage, any::<[Option<String>; 2]>()).prop_map(
            |(completions, (calls, [prompt, completion, cached, written, reasoning]), [id, model])| {
                let usage = Usage::call(prompt, completion).with_calls(calls);
                let usage = usage.with_cached(cached).with_cache_write(written).with_reasoning(reasoning);
                let mut reply = LmReply::new(completions, usage);
                (reply.id, reply.model) = (id, model);
                reply
            },
        )
    }

    #[test]
    fn a_reply_of_an_earlier_version_is_read() {
        let kept = r#"{"completions": [{"text": "a", "finish_reason": "length"}], "usage": {"calls": 1}}"#;
        let reply: LmReply = serde_json::from_str(kept).unwrap();
        let completion = Completion::new("a").with_finish_reason(FinishReason::Length);
        assert_eq!(reply, LmReply::new(vec![completion], Usage::calls(1)));
    }

    proptest! {
        #[test]
        fn a_reply_comes_back_as_it_was(reply in replies(), key: u64) {
            let key = ContentHash::of(&key);
            let record = encode(&key, &reply).unwrap();
            prop_assert_eq!(decode(&key, &record), Ok(reply));
        }

        #[test]
        fn a_changed_record_is_never_a_reply(reply in replies(), at: prop::sample::Index, flip in 1_u8..) {
            let key = ContentHash::of("key");
            let mut record = encode(&key, &reply).unwrap();
            let at = at.index(record.len());
            record[at] ^= flip;
            prop_assert!(decode(&key, &record).is_err());
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
            prop_assert!(decode(&ContentHash::of("key"), &bytes).is_err());
        }
    }

    #[test]
    fn a_record_belongs_to_its_key() {
        let record = encode(&ContentHash::of("a"), &LmReply::text("x", Usage::default())).unwrap();
        assert!(decode(&ContentHash::of("b"), &record).unwrap_err().contains("checksum"));
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let key = ContentHash::of("key");
        let large = LmReply::text("x".repeat(MAX_REPLY_BYTES), Usage::default());
        assert!(matches!(encode(&key, &large), Err(Unkept::TooLarge(size)) if size > MAX_REPLY_BYTES));
        let deep = "[".repeat(100_000);
        let mut record = vec![FORMAT];
        record.extend_from_slice(checksum(&key, deep.as_bytes()).as_bytes());
        record.extend_from_slice(deep.as_bytes());
        assert!(decode(&key, &record).is_err());
    }
}
