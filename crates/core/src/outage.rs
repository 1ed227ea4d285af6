//! What other clients say of a server that is away, busy or broken.

/// The error for something that a program needs besides a language model and cannot reach: the server of a tool, a database.
/// A rollout that ends so says nothing about the prompt, as with an outage of a provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unavailable {
    message: String,
}

impl Unavailable {
    /// What is away, and why.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// The first words of an error about a connection or a time that is up, as clients of HTTP write them in lower case.
const NO_CONNECTION: [&str; 18] = [
    "connection refused",
    "connection reset",
    "connection closed before",
    "connection error",
    "connection timed out",
    "connect timed out",
    "error trying to connect",
    "error sending request",
    "operation timed out",
    "request timed out",
    "read timed out",
    "deadline has elapsed",
    "dns error",
    "failed to lookup address",
    "tcp connect error",
    "client error (connect)",
    "timeout: ",
    "io: connection",
];

/// The first words of an error about the status of a reply; the number follows.
const STATUS: [&str; 7] = [
    "http status server error (",
    "http status client error (",
    "http status: ",
    "http status ",
    "http error: ",
    "status code: ",
    "error code: ",
];

/// The statuses of a server that is away or busy: others may be about what was asked.
const AWAY: [&str; 11] = ["429", "500", "502", "503", "504", "520", "521", "522", "523", "524", "529"];

/// Whether the text of an error begins as one about an outage does. What stands further behind may be a model's.
pub(crate) fn says_outage(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(80).collect::<String>().to_lowercase();
    let status = STATUS.iter().find_map(|words| start.strip_prefix(words));
    NO_CONNECTION.iter().any(|words| start.starts_with(words))
        || status
            .and_then(|rest| rest.split(|letter: char| !letter.is_ascii_digit()).next())
            .is_some_and(|number| AWAY.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_are_known_by_how_clients_say_them() {
        for text in [
            "error sending request for url (https://api.example.org/v1/chat/completions)",
            "HTTP status server error (503 Service Unavailable) for url (https://api.example.org/)",
            "HTTP status client error (429 Too Many Requests) for url (https://api.example.org/)",
            "http status: 502",
            "Error code: 529 - overloaded",
            "operation timed out",
            "deadline has elapsed",
        ] {
            assert!(says_outage(text), "{text}");
        }
        for text in [
            "HTTP status client error (400 Bad Request) for url (https://api.example.org/)",
            "HTTP status client error (401 Unauthorized) for url (https://api.example.org/)",
            "http status: 5030",
            "no number in \"operation timed out\"",
            "the answer was `connection refused`",
            "index out of range",
            "",
        ] {
            assert!(!says_outage(text), "{text}");
        }
    }
}
