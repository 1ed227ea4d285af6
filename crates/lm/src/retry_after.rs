//! How long a provider asks to wait, in the four dialects in use.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

/// The wait that a failed reply asks for: the longest of `Retry-After` (seconds or a date),
/// `retry-after-ms`, and a `retryDelay` anywhere in the JSON body (Google).
///
/// Providers send several of these together, some rounded; the longest is never too early.
pub(crate) fn asked_wait(headers: &HeaderMap, body: Option<&Value>, now: SystemTime) -> Option<Duration> {
    let milliseconds = header(headers, "retry-after-ms").and_then(|text| seconds(text, 1e-3));
    let standard = header(headers, RETRY_AFTER.as_str())
        .and_then(|text| seconds(text, 1.0).or_else(|| until_date(text, headers, now)));
    [milliseconds, standard, body.and_then(retry_delay)].into_iter().flatten().max()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A number of units as a duration; more than a `Duration` holds becomes the longest one.
fn seconds(text: &str, unit: f64) -> Option<Duration> {
    let value = text.parse::<f64>().ok().filter(|value| *value >= 0.0)?;
    Some(Duration::try_from_secs_f64(value * unit).unwrap_or(Duration::MAX))
}

/// The time until a date. The server's own clock decides where the reply shows it, so that a clock of
/// ours that runs ahead does not shorten the wait. Without it, a second is added: the date has whole
/// seconds, and may have been rounded down.
fn until_date(text: &str, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(text).ok()?;
    match header(headers, DATE.as_str()).and_then(|text| httpdate::parse_http_date(text).ok()) {
        Some(server_now) => Some(date.duration_since(server_now).unwrap_or_default()),
        None => Some(date.duration_since(now).map(|wait| wait + Duration::from_secs(1)).unwrap_or_default()),
    }
}

/// The longest `retryDelay` anywhere in a body.
fn retry_delay(value: &Value) -> Option<Duration> {
    match value {
        Value::Array(items) => items.iter().filter_map(retry_delay).max(),
        Value::Object(fields) => fields
            .iter()
            .filter_map(|(name, value)| match (name.as_str(), value) {
                ("retryDelay" | "retry_delay", Value::String(text)) => span(text),
                ("retryDelay" | "retry_delay", Value::Number(number)) => seconds(&number.to_string(), 1.0),
                _ => retry_delay(value),
            })
            .max(),
        _ => None,
    }
}

/// A span such as `12s`, `1.5s`, `800ms` or `1m30s`.
fn span(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit = match unit.trim() {
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total = total.saturating_add(seconds(number, unit)?);
        rest = tail;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    const NOON: &str = "Sun, 06 Nov 1994 12:00:00 GMT";

    fn check(headers: &[(&str, &str)], body: Value, expected: Option<f64>) {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        let now = httpdate::parse_http_date(NOON).unwrap();
        let wait = asked_wait(&headers, Some(&body), now);
        assert_eq!(wait, expected.map(Duration::from_secs_f64), "{headers:?} {body}");
    }

    #[test]
    fn every_dialect_is_read() {
        check(&[("retry-after", "7")], json!(null), Some(7.0));
        check(&[("retry-after", " 1.5 ")], json!(null), Some(1.5));
        check(&[("retry-after-ms", "250")], json!(null), Some(0.25));
        check(&[("retry-after", "Sun, 06 Nov 1994 12:01:00 GMT"), ("date", NOON)], json!(null), Some(60.0));
        let info = json!([{"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo",
                                                  "retryDelay": "12s"}]}}]);
        check(&[], info, Some(12.0));
        check(&[], json!({"retryDelay": "1m0.5s"}), Some(60.5));
        check(&[], json!({"retryDelay": "800ms"}), Some(0.8));
        check(&[], json!({"retryDelay": 3}), Some(3.0));
    }

    #[test]
    fn the_longest_wait_counts() {
        check(&[("retry-after", "2"), ("retry-after-ms", "1300")], json!({"retryDelay": "1s"}), Some(2.0));
        check(&[("retry-after", "2")], json!({"a": [{"retryDelay": "3s"}, {"retryDelay": "5s"}]}), Some(5.0));
    }

    #[test]
    fn a_date_is_measured_by_the_servers_clock() {
        let headers =
            [("date", "Sun, 06 Nov 1994 09:00:00 GMT"), ("retry-after", "Sun, 06 Nov 1994 09:00:20 GMT")];
        check(&headers, json!(null), Some(20.0));
    }

    #[test]
    fn without_the_servers_clock_a_date_is_rounded_up() {
        check(&[("retry-after", "Sun, 06 Nov 1994 12:00:20 GMT")], json!(null), Some(21.0));
        check(&[("retry-after", "Sun, 06 Nov 1994 11:00:00 GMT")], json!(null), Some(0.0));
    }

    #[test]
    fn nonsense_asks_for_nothing_and_a_huge_wait_does_not_overflow() {
        for text in ["soon", "-3", "NaN", "", "12 parsecs"] {
            check(&[("retry-after", text)], json!({"retryDelay": text}), None);
        }
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("1e300"))]);
        assert_eq!(asked_wait(&headers, None, SystemTime::UNIX_EPOCH), Some(Duration::MAX));
    }

    proptest! {
        #[test]
        fn any_span_is_read_without_panic(text in "\\PC{0,20}") {
            span(&text);
        }

        #[test]
        fn a_printed_span_is_read_back(milliseconds in 0_u64..10_000_000) {
            let wait = span(&format!("{milliseconds}ms")).unwrap();
            let error = wait.as_secs_f64() - Duration::from_millis(milliseconds).as_secs_f64();
            prop_assert!(error.abs() < 1e-6);
        }
    }
}
