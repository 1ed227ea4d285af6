//! The tokens that a reply tells.

use promptopt_core::money::Usage;
use serde_json::Value;

/// The tokens that a value tells; `None` where it tells none. Some providers leave the tokens of hidden reasoning out of
/// those of the completion, and count them in the total.
pub(crate) fn read_usage(value: &Value) -> Option<Usage> {
    let places = ["/usage", "/x_groq/usage", "/choices/0/usage"];
    let usage = places.iter().filter_map(|place| value.pointer(place)).find(|usage| usage.is_object())?;
    let tokens = |names: [&str; 2]| names.iter().filter_map(|name| usage.get(name)).find_map(read_tokens);
    let prompt = tokens(["prompt_tokens", "input_tokens"]);
    let apart = |name: &str| usage.get(name).and_then(read_tokens).unwrap_or_default();
    let apart = apart("cache_read_input_tokens") + apart("cache_creation_input_tokens");
    // Anthropic does not count these among `input_tokens`.
    let prompt = match usage.get("prompt_tokens") {
        None => prompt.map_or(Some(apart).filter(|it| *it > 0), |prompt| Some(prompt + apart)),
        Some(_) => prompt,
    };
    let completion = tokens(["completion_tokens", "output_tokens"]);
    let total = tokens(["total_tokens", "total"]);
    let rest = |part: Option<u64>| Some(total?.saturating_sub(part?));
    let completion = completion.max(rest(prompt)).unwrap_or_default();
    let prompt = prompt.or_else(|| rest(Some(completion).filter(|it| *it > 0))).unwrap_or_default();
    let detail = |places: &[&str]| {
        places.iter().filter_map(|place| usage.pointer(place)).find_map(read_tokens).unwrap_or_default()
    };
    let cached = detail(&[
        "/prompt_tokens_details/cached_tokens",
        "/input_tokens_details/cached_tokens",
        "/prompt_cache_hit_tokens",
        "/cached_tokens",
        "/cache_read_input_tokens",
    ]);
    let written = detail(&[
        "/cache_creation_input_tokens",
        "/prompt_tokens_details/cache_write_tokens",
        "/prompt_tokens_details/cache_creation_tokens",
    ]);
    let cached = cached.min(prompt);
    let reasoning = detail(&[
        "/completion_tokens_details/reasoning_tokens",
        "/output_tokens_details/reasoning_tokens",
        "/reasoning_tokens",
    ]);
    Some(
        Usage::call(prompt, completion)
            .with_cached(cached)
            .with_cache_write(written.min(prompt - cached))
            .with_reasoning(reasoning.min(completion)),
    )
}

/// A count of tokens, written as a number or as text. What no count can be is not told.
fn read_tokens(value: &Value) -> Option<u64> {
    let count = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (1.0..=f64::from(u32::MAX)).contains(&count).then(|| count.ceil() as u64)
}
