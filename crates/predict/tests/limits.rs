//! Replies that are deeper, longer or odder than any model writes on purpose.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use promptopt_core::signature::Signature;
use promptopt_predict::{Adapter, ChatAdapter, JsonAdapter, PlainAdapter};

/// Deeper than any stack could follow.
const DEPTH: usize = 100_000;

fn adapters() -> [&'static dyn Adapter; 3] {
    [&ChatAdapter, &JsonAdapter, &PlainAdapter]
}

/// Refused by every adapter, wherever it stands in a reply.
fn check_refused(value: &str) {
    for kind in ["list[list[int]]", "object", "list[object]"] {
        let signature = Signature::parse(&format!("q -> a: {kind}")).unwrap();
        for reply in [
            value.to_owned(),
            format!("[[ ## a ## ]]\n{value}\n\n[[ ## completed ## ]]"),
            format!("{{\"a\": {value}}}"),
            format!("a: {value}"),
            format!("```json\n{value}\n```"),
        ] {
            for adapter in adapters() {
                assert!(adapter.parse(&signature, &reply).is_err(), "{} as {kind}", adapter.name());
            }
        }
    }
}

#[test]
fn what_is_nested_too_deep_is_refused() {
    let both = |open: &str, close: &str, depth: usize| open.repeat(depth) + &close.repeat(depth);
    // The longest of these are over the bound of a reply, the others are not.
    for depth in [200, 20_000, DEPTH] {
        check_refused(&both("[", "]", depth));
        check_refused(&"[".repeat(depth));
        check_refused(&both("[{a:", "}]", depth));
        check_refused(&both("{'a':", "}", depth));
        check_refused(&"{\"a\":".repeat(depth));
        check_refused(&("{\"a\":".repeat(depth) + "\"" + &"\\\"".repeat(99)));
    }
}

#[test]
fn a_reply_over_the_bound_is_refused_and_one_under_it_is_read() {
    for kind in ["str", "int", "list[str]", "object"] {
        let signature = Signature::parse(&format!("q -> a: {kind}")).unwrap();
        for adapter in adapters() {
            let error = adapter.parse(&signature, &"x".repeat(256 * 1024 + 1)).unwrap_err();
            assert!(error.contains("at most 262144 are read"), "{error}");
        }
    }
    let signature = Signature::parse("q -> a").unwrap();
    let text = "x".repeat(250 * 1024);
    let replies = [format!("[[ ## a ## ]]\n{text}"), format!("{{\"a\": \"{text}\"}}"), text.clone()];
    for (adapter, reply) in adapters().into_iter().zip(replies) {
        assert_eq!(adapter.parse(&signature, &reply).unwrap()["a"], text.as_str(), "{}", adapter.name());
    }
}

#[test]
fn an_error_quotes_little_of_a_long_reply() {
    let signature = Signature::parse("q -> a: enum[x, y]").unwrap();
    for adapter in adapters() {
        let text = "x".repeat(200 * 1024);
        for reply in [format!("[[ ## a ## ]]\n{text}"), format!("{{\"a\": \"{text}\"}}"), text.clone()] {
            assert!(adapter.parse(&signature, &reply).unwrap_err().len() < 500, "{}", adapter.name());
        }
    }
}
