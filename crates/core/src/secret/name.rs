//! Secrets by the name they stand under.

use serde_json::Value;

/// Words that say of a name that a secret stands under it.
const WORDS: [&str; 14] = [
    "auth",
    "authorization",
    "bearer",
    "credentials",
    "csrf",
    "jwt",
    "pass",
    "passcode",
    "passphrase",
    "pat",
    "pwd",
    "sig",
    "signature",
    "xsrf",
];
/// The same at the end of a word, as in `accesstoken`.
const ENDS: [&str; 8] = ["apikey", "cookie", "credential", "key", "passwd", "password", "secret", "token"];
/// Keys of another sort have these words beside them, as in `prompt_cache_key`.
const OTHERWISE: [&str; 9] =
    ["bos", "cache", "eos", "idempotency", "pad", "partition", "public", "sort", "stop"];

/// Whether the value of a header or parameter of this name is a secret: `X-Auth`, `x-api-key-v2`, `sessionId`.
pub fn is_secret_name(name: &str) -> bool {
    let words = words(name);
    let says = |word: &String| {
        let word = word.as_str();
        WORDS.contains(&word) || word.starts_with("session") || ENDS.iter().any(|end| word.ends_with(end))
    };
    words.iter().any(says) && !words.iter().any(|word| OTHERWISE.contains(&word.as_str()))
}

/// The words of a name in lower case: what stands between other characters than letters and digits, and what
/// begins with a capital letter.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = letter.is_lowercase();
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    words
}

/// The texts in a JSON value that stand under the name of a secret, at any depth.
pub fn secrets_in(value: &Value) -> Vec<String> {
    fn gather(value: &Value, secret: bool, found: &mut Vec<String>) {
        match value {
            Value::String(text) if secret => found.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| gather(item, secret, found)),
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| gather(value, secret || is_secret_name(name), found));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    gather(value, false, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_tell_secrets() {
        for name in [
            "X-Auth",
            "x-api-key-v2",
            "X-Session",
            "sessionId",
            "Cookie",
            "Set-Cookie",
            "authorization",
            "Proxy-Authorization",
            "api_key",
            "apiKey",
            "APIKEY",
            "accessToken",
            "x-amz-security-token",
            "client_secret",
            "DB_PASSWORD",
            "X-Access-Token",
            "Ocp-Apim-Subscription-Key",
            "X-Auth-Email",
            "X-JWT-Assertion",
            "aws_credentials",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "x-title",
            "user",
            "X-Author",
            "max_tokens",
            "tokenizer",
            "prompt_cache_key",
            "Idempotency-Key",
            "stop_token",
            "keys",
            "HTTP-Referer",
            "",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn secrets_are_found_at_any_depth() {
        let value =
            json!({"api_key": "a", "top_k": 5, "auth": {"user": "b", "n": 1}, "list": [{"token": ["c"]}]});
        assert_eq!(secrets_in(&value), ["a", "b", "c"]);
    }
}
