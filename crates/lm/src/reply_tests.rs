//! Tests of the reading of replies.

use promptopt_core::lm::{Completion, ToolCall};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::forms::made_id;

fn read(body: Value) -> Result<LmReply, ReplyProblem> {
    read_reply(body.to_string().as_bytes())
}

fn check(choice: Value, text: &str, finish_reason: FinishReason) {
    check_with(choice, text, finish_reason, Vec::new());
}

fn check_with(choice: Value, text: &str, finish_reason: FinishReason, calls: Vec<ToolCall>) {
    let reply = read(json!({"choices": [choice]})).unwrap();
    let expected = Completion::new(text).with_finish_reason(finish_reason).with_tool_calls(calls);
    assert_eq!(reply.completions, [expected], "{choice}");
}

#[test]
fn what_is_not_known_of_a_body_is_kept() {
    let body = br#"{"id": "1", "created": 5, "choices": [{"message": {"content": "a"}}], "service_tier": "flex", "x": null}"#;
    let reply = read_body(body).unwrap();
    assert_eq!(reply.extra.iter().collect::<Vec<_>>(), [(&"service_tier".to_owned(), &Value::from("flex"))]);
}

#[test]
fn content_comes_as_text_as_parts_or_not_at_all() {
    use FinishReason::{Length, Other, Stop, ToolCalls};
    check(json!({"message": {"content": "a"}, "finish_reason": "stop"}), "a", Stop);
    let parts = json!([{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]);
    check(json!({"message": {"content": parts}, "finish_reason": "stop"}), "ab", Stop);
    check(json!({"message": {"content": null}, "finish_reason": "length"}), "", Length);
    check(json!({"message": {"tool_calls": []}, "finish_reason": "tool_calls"}), "", ToolCalls);
    let call = json!([{"type": "function", "function": {"name": "route", "arguments": "{}"}}]);
    let made = |mut call: ToolCall| {
        call.id = made_id(&call, 0);
        call
    };
    let called = || vec![made(ToolCall::new("", "route", "{}"))];
    check_with(
        json!({"message": {"content": null, "tool_calls": call}, "finish_reason": "stop"}),
        "",
        ToolCalls,
        called(),
    );
    check_with(
        json!({"message": {"content": "", "function_call": {"name": "x"}}, "finish_reason": "stop"}),
        "",
        ToolCalls,
        vec![made(ToolCall::new("", "x", ""))],
    );
    check_with(
        json!({"message": {"content": "a", "tool_calls": call}, "finish_reason": "stop"}),
        "a",
        Stop,
        called(),
    );
    let parts = json!([{"type": "output_text", "text": "a", "annotations": []}, "b"]);
    check(json!({"message": {"content": parts}, "finish_reason": "stop"}), "ab", Stop);
    check(json!({"message": {"content": {"type": "text", "text": "a"}}, "finish_reason": "stop"}), "a", Stop);
    check(json!({"text": "a", "finish_reason": "length"}), "a", Length);
    check(json!({"message": {"content": "a"}, "finish_reason": null}), "a", Other);
}

#[test]
fn calls_that_come_in_pieces_are_put_together() {
    let body = |deltas: &[Value]| -> String {
        let event = |delta: &Value| {
            let chunk = json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
            format!("data: {chunk}\n\n")
        };
        deltas.iter().map(event).chain(["data: [DONE]\n\n".to_owned()]).collect()
    };
    let function = |name: Option<&str>, arguments: &str| match name {
        Some(name) => json!({"name": name, "arguments": arguments}),
        None => json!({"arguments": arguments}),
    };
    let wanted = [ToolCall::new("a", "f", "{\"x\": 1}"), ToolCall::new("b", "g", "{}")];
    let pieces = [
        // As OpenAI, vLLM and llama.cpp do: the first piece has id and name, the others the number alone.
        vec![
            json!({"role": "assistant", "content": null, "tool_calls": [
                {"index": 0, "id": "a", "type": "function", "function": function(Some("f"), "")}]}),
            json!({"tool_calls": [{"index": 0, "function": function(None, "{\"x\"")}]}),
            json!({"tool_calls": [{"index": 0, "function": function(None, ": 1}")}]}),
            json!({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": function(Some("g"), "{}")}]}),
        ],
        // Whole calls, all with the number 0, as some compatible endpoints do.
        vec![
            json!({"tool_calls": [{"index": 0, "id": "a", "function": function(Some("f"), "{\"x\": 1}")}]}),
            json!({"tool_calls": [{"index": 0, "id": "b", "function": function(Some("g"), "{}")}]}),
        ],
        // Without numbers, and with the id and the name in every piece.
        vec![
            json!({"tool_calls": [{"id": "a", "function": function(Some("f"), "{\"x\"")}]}),
            json!({"tool_calls": [{"id": "a", "function": function(Some("f"), ": 1}")}]}),
            json!({"tool_calls": [{"id": "b", "function": function(Some("g"), "{}")}]}),
        ],
    ];
    for deltas in pieces {
        let reply = read_reply(body(&deltas).as_bytes()).unwrap();
        assert_eq!(reply.completions[0].tool_calls, wanted, "{deltas:?}");
        assert_eq!(reply.completions[0].finish_reason, FinishReason::ToolCalls);
    }
}

#[test]
fn fields_with_nothing_in_them_are_none() {
    let message = json!({"role": "assistant", "content": "4", "refusal": "", "annotations": null,
                         "function_call": {"name": "", "arguments": ""},
                         "audio": {"data": "", "expires_at": 0, "id": "", "transcript": ""}});
    check(json!({"message": message, "finish_reason": "stop"}), "4", FinishReason::Stop);
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"},
                      "custom": {"name": "", "input": ""}});
    let message =
        json!({"content": "", "function_call": {"name": "", "arguments": ""}, "tool_calls": [call]});
    let calls = vec![ToolCall::new("a", "f", "{}")];
    check_with(json!({"message": message, "finish_reason": ""}), "", FinishReason::ToolCalls, calls);
}

#[test]
fn what_is_not_known_of_a_message_is_kept_for_the_next_request() {
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0,
                      "extra_content": {"google": {"thought_signature": "s"}}});
    let message = json!({"role": "assistant", "content": null, "reasoning_content": "I look it up.",
                         "tool_calls": [call], "refusal": null, "annotations": []});
    let reply = read(json!({"id": "r1", "model": "m-2", "system_fingerprint": "fp",
                            "choices": [{"message": message, "finish_reason": "tool_calls"}]}))
    .unwrap();
    assert_eq!((reply.id.as_deref(), reply.model.as_deref()), (Some("r1"), Some("m-2")));
    assert_eq!(reply.system_fingerprint.as_deref(), Some("fp"));
    let back = serde_json::to_value(reply.completions[0].to_message()).unwrap();
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"},
                      "extra_content": {"google": {"thought_signature": "s"}}});
    let wanted = json!({"role": "assistant", "content": null, "tool_calls": [call], "reasoning_content": "I look it up."});
    assert_eq!(back, wanted);
}

#[test]
fn log_probabilities_and_the_parts_of_usage_are_read() {
    let logprobs = json!({"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [
        {"token": "b", "logprob": -1.5, "bytes": null}]}], "refusal": null});
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 30, "total_tokens": 130,
                       "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
                       "completion_tokens_details": {"reasoning_tokens": 20}});
    let choice = json!({"message": {"content": "a"}, "logprobs": logprobs, "finish_reason": "stop"});
    let reply = read(json!({"choices": [choice], "usage": usage})).unwrap();
    let told = &reply.completions[0].logprobs[0];
    assert_eq!((told.token.as_str(), told.logprob, told.top[0].token.as_str()), ("a", -0.5, "b"));
    assert_eq!(reply.usage, Usage::call(100, 30).with_cached(64).with_reasoning(20));
    for usage in [
        json!({"prompt_tokens": 100, "completion_tokens": 30, "prompt_cache_hit_tokens": 64}),
        json!({"input_tokens": 100, "output_tokens": 30, "input_tokens_details": {"cached_tokens": 64}}),
    ] {
        let choice = json!({"message": {"content": "a"}, "finish_reason": "stop"});
        let reply = read(json!({"choices": [choice], "usage": usage})).unwrap();
        assert_eq!(reply.usage, Usage::call(100, 30).with_cached(64));
    }
}

#[test]
fn reasoning_is_told_from_the_answer() {
    let think =
        |parts: Value| json!([{"type": "thinking", "thinking": parts}, {"type": "text", "text": "a"}]);
    for message in [
        json!({"content": "a", "reasoning_content": "sales?"}),
        json!({"content": "a", "reasoning": "sales?", "reasoning_details": [{"type": "reasoning.text", "text": "sales?"}]}),
        json!({"content": "a", "reasoning_content": null, "reasoning": "sales?"}),
        json!({"content": "a", "reasoning_details": [{"type": "reasoning.summary", "summary": "sales?"}]}),
        json!({"content": think(json!([{"type": "text", "text": "sales?"}]))}),
        json!({"content": think(json!("sales?"))}),
        json!({"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "sales?"}]}, "a"]}),
    ] {
        let reply = read(json!({"choices": [{"message": message, "finish_reason": "stop"}]})).unwrap();
        assert_eq!(reply.completions, [Completion::new("a").with_reasoning("sales?")], "{message}");
    }
    let only = json!({"choices": [{"message": {"content": null, "reasoning_content": "x"}, "finish_reason": "length"}]});
    let completion = read(only).unwrap().completions.remove(0);
    assert_eq!(completion, Completion::new("").with_reasoning("x").with_finish_reason(FinishReason::Length));
}

#[test]
fn a_stream_comes_to_the_same_as_a_whole_reply() {
    let chunk = |delta: Value, finish: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    let chunks = [
        chunk(json!({"role": "assistant", "content": "", "reasoning_content": null}), json!(null)),
        chunk(json!({"reasoning_content": "sal"}), json!(null)),
        chunk(json!({"reasoning_content": "es?"}), json!(null)),
        chunk(json!({"content": "bill"}), json!(null)),
        chunk(json!({"content": [{"type": "text", "text": "ing"}]}), json!(null)),
        chunk(json!({}), json!("stop")),
        json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}),
    ];
    let expected = LmReply::new(vec![Completion::new("billing").with_reasoning("sales?")], Usage::call(3, 4));
    let stream = |chunks: &[Value], end: &str| {
        let events: String = chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect();
        read_reply(format!(": ping\r\n\r\n{events}{end}").as_bytes())
    };
    assert_eq!(stream(&chunks, "data: [DONE]\r\n\r\n").unwrap(), expected);
    assert_eq!(stream(&chunks, "").unwrap(), expected);
    let lines: String = chunks.iter().map(|chunk| format!("{chunk}\n")).collect();
    assert_eq!(read_reply(lines.as_bytes()).unwrap(), expected);
    // One that breaks off is no reply, and neither is one that ends in an error.
    let Err(ReplyProblem::Malformed(reason)) = stream(&chunks[..4], "") else { panic!("read") };
    assert!(reason.contains("the stream ends early"), "{reason}");
    let failed = json!({"error": {"code": 502, "message": "down"}, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]});
    let with_error = [&chunks[..4], &[failed]].concat();
    assert!(matches!(stream(&with_error, ""), Err(ReplyProblem::Failed(_))));
    // Some servers send one event with all of it.
    let whole = json!({"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}]});
    assert_eq!(stream(&[whole], "").unwrap().first_text(), "a");
    let two = [(1, "b"), (0, "a"), (1, "b")].map(|(index, text)| {
        json!({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": "stop"}]})
    });
    let texts: Vec<_> = stream(&two, "").unwrap().completions.into_iter().map(|one| one.text).collect();
    assert_eq!(texts, ["a", "bb"]);
}

#[test]
fn text_that_the_filter_cut_short_is_kept() {
    check(
        json!({"message": {"content": "a"}, "finish_reason": "content_filter"}),
        "a",
        FinishReason::ContentFilter,
    );
}

#[test]
fn a_reply_withheld_whole_is_a_refusal() {
    for (choice, words) in [
        (json!({"message": {"content": null, "refusal": "I can't."}, "finish_reason": "stop"}), "can't"),
        (json!({"message": {"content": [{"refusal": "No."}]}, "finish_reason": "stop"}), "No."),
        (json!({"message": {"content": ""}, "finish_reason": "content_filter"}), "content filter"),
    ] {
        let Err(ReplyProblem::Refused(message)) = read(json!({"choices": [choice]})) else {
            panic!("not refused: {choice}")
        };
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn choices_follow_their_index_and_one_may_be_withheld() {
    let body = json!({
        "choices": [
            {"index": 1, "message": {"content": "b"}, "finish_reason": "stop"},
            {"index": 0, "message": {"refusal": "no"}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    });
    let reply = read(body).unwrap();
    assert_eq!(reply.completions[0].finish_reason, FinishReason::ContentFilter);
    assert_eq!(reply.completions[1].text, "b");
    assert_eq!(reply.usage, Usage::call(3, 4));
}

#[test]
fn what_is_not_told_of_the_usage_is_nothing() {
    let check = |usage: Value, prompt: u64, completion: u64| {
        let body = json!({"choices": [{"message": {"content": "a"}}], "usage": usage});
        assert_eq!(read(body.clone()).unwrap().usage, Usage::call(prompt, completion), "{body}");
    };
    for usage in [json!(null), json!({}), json!({"prompt_tokens": "many"}), json!("x"), json!([]), json!(7)] {
        check(usage, 0, 0);
    }
    for none in [
        json!(null),
        json!(-4),
        json!(1e30),
        json!("NaN"),
        json!("inf"),
        json!(u64::MAX),
        json!([4]),
        json!(""),
    ] {
        check(json!({"prompt_tokens": 3, "completion_tokens": none}), 3, 0);
        check(json!({"prompt_tokens": none, "completion_tokens": 4}), 0, 4);
    }
    for (three, four) in [(json!(3.0), json!(4.0)), (json!("3"), json!(" 4 ")), (json!(2.5), json!("3.5"))] {
        check(json!({"prompt_tokens": three, "completion_tokens": four}), 3, 4);
        check(json!({"input_tokens": three, "output_tokens": four}), 3, 4);
    }
    check(json!({"prompt_tokens": 3, "total_tokens": 7}), 3, 4);
    check(json!({"completion_tokens": 4, "total_tokens": 7}), 3, 4);
    check(json!({"total_tokens": 7}), 0, 0);
    // The total counts hidden reasoning that the completion does not.
    check(json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 27}), 3, 24);
    check(json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 5}), 3, 4);
    let body = json!({"choices": [{"message": {"content": "a"}, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}]});
    assert_eq!(read(body).unwrap().usage, Usage::call(3, 4));
}

#[test]
fn what_nobody_reads_does_not_spoil_a_reply() {
    let body = r#"{"id": "\ud83d", "choices": [{"logprobs": {"a": [NaN, -Infinity, 1e999]}, "message": {"content":
        "ok \ud83d\n[[ ## department ## ]]\nbilling"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": NaN,
        "completion_tokens": 4}, "timings": {"x": [[[["#
        .to_owned()
        + &"[".repeat(500)
        + &"]".repeat(504)
        + "}}";
    let reply = read_reply(body.as_bytes()).unwrap();
    assert_eq!(reply.first_text(), "ok \u{fffd}\n[[ ## department ## ]]\nbilling");
    assert_eq!(reply.usage, Usage::call(0, 4));
}

#[test]
fn an_error_inside_a_success_is_a_failure() {
    let error = json!({"code": 502, "message": "upstream died"});
    for body in [
        json!({"error": error}),
        json!({"error": error, "choices": []}),
        json!({"choices": [{"error": error, "finish_reason": "error"}]}),
        json!({"choices": [{"error": error, "message": {"content": ""}, "finish_reason": "error"}]}),
    ] {
        let Err(ReplyProblem::Failed(failure)) = read(body.clone()) else { panic!("no failure: {body}") };
        assert_eq!((failure.status, failure.message.as_str()), (Some(502), "upstream died"));
    }
}

#[test]
fn what_is_no_completion_is_malformed() {
    for body in [
        json!({}),
        json!([]),
        json!({"choices": []}),
        json!({"choices": [{}]}),
        json!({"choices": [{"message": {"content": 3}}]}),
        json!({"choices": "x"}),
    ] {
        assert!(matches!(read(body.clone()), Err(ReplyProblem::Malformed(_))), "{body}");
    }
    let Err(ReplyProblem::Malformed(reason)) = read_reply(b"{\"choices\": [{\"mess") else { panic!() };
    assert!(reason.contains("ends early, after 19 bytes"), "{reason}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = read_reply(&bytes);
    }

    #[test]
    fn any_text_comes_back_as_it_was(text in any::<String>()) {
        let body = json!({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]});
        let reply = read(body).unwrap();
        prop_assert_eq!(reply.first_text(), text);
    }
}
