//! Credentials by their look.

use std::borrow::Cow;

use super::MASK;

/// How keys of well-known services begin, and how many characters follow at least.
const BEGINNINGS: [(&str, usize); 34] = [
    ("sk-", 12),
    ("sk_live_", 10),
    ("sk_test_", 10),
    ("rk_live_", 10),
    ("rk_test_", 10),
    ("csk-", 16),
    ("gsk_", 16),
    ("xai-", 16),
    ("pplx-", 16),
    ("nvapi-", 16),
    ("fw_", 16),
    ("r8_", 16),
    ("tgp_v1_", 16),
    ("jina_", 16),
    ("ghp_", 16),
    ("gho_", 16),
    ("ghu_", 16),
    ("ghs_", 16),
    ("ghr_", 16),
    ("github_pat_", 16),
    ("glpat-", 16),
    ("hf_", 16),
    ("AIza", 30),
    ("ya29.", 20),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xoxr-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("npm_", 30),
    ("pypi-", 30),
    ("dop_v1_", 30),
    ("SG.", 30),
];

/// Words behind which a credential stands in the header `authorization`.
const SCHEMES: [&str; 8] =
    ["Bearer ", "bearer ", "BEARER ", "Basic ", "basic ", "Bearer%20", "Basic%20", "Token "];

/// `text` with whatever looks like a credential replaced by `[redacted]`: keys of well-known services, tokens of
/// the header `authorization`, JSON Web Tokens, private keys, and logins in URLs.
pub fn mask_credentials(text: &str) -> Cow<'_, str> {
    let mut clean = masked(text);
    // What was masked may have kept its neighbours apart.
    while let Cow::Owned(before) = &clean {
        let again = masked(before).into_owned();
        if again == *before {
            break;
        }
        clean = Cow::Owned(again);
    }
    clean
}

fn masked(text: &str) -> Cow<'_, str> {
    let mut clean = String::new();
    let (mut done, mut before) = (0, ' ');
    for (at, letter) in text.char_indices() {
        let begins = (!before.is_ascii_alphanumeric() && before != '_') || is_behind_escape(text, at);
        before = letter;
        if at < done || !(begins && (letter.is_ascii_alphabetic() || letter == '-') || letter == ':') {
            continue;
        }
        let Some(rest) = text.get(at..) else { continue };
        if let Some((kept, length)) = credential(rest).filter(|(_, length)| *length > 0) {
            clean.push_str(text.get(done..at + kept).unwrap_or_default());
            clean.push_str(MASK);
            done = at + kept + length;
        }
    }
    match done {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(clean + text.get(done..).unwrap_or_default()),
    }
}

/// Whether an escape of JSON or of a URL ends here, whose last letter belongs to no word: `\n`, `%22`.
fn is_behind_escape(text: &str, at: usize) -> bool {
    match text.as_bytes().get(..at) {
        Some([.., b'\\', b'n' | b'r' | b't']) => true,
        Some([.., b'%', high, low]) => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    }
}

/// Where a text begins with a credential: how much of it stays, and how much is masked.
fn credential(rest: &str) -> Option<(usize, usize)> {
    if let Some(behind) = rest.strip_prefix("://") {
        return login(behind).map(|length| (3, length));
    }
    if rest.starts_with("-----BEGIN ") {
        return private_key(rest).map(|length| (0, length));
    }
    for (beginning, least) in BEGINNINGS {
        let Some(key) = rest.strip_prefix(beginning).map(run) else { continue };
        if key.len() >= least && is_random(key) {
            return Some((0, beginning.len() + key.len()));
        }
    }
    for scheme in SCHEMES {
        let Some(token) = rest.strip_prefix(scheme) else { continue };
        let token = taken(token, |letter| letter.is_ascii_alphanumeric() || "-._~+/=%".contains(letter));
        return (token.len() >= 12 && is_random(token)).then_some((scheme.len(), token.len()));
    }
    if rest.starts_with("AKIA") || rest.starts_with("ASIA") {
        let key = taken(rest, |letter| letter.is_ascii_uppercase() || letter.is_ascii_digit());
        return (key.len() == 20).then_some((0, 20));
    }
    if rest.starts_with("eyJ") {
        let token = taken(rest, |letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
        let mut parts = token.split('.');
        let is_token = token.matches('.').count() >= 2 && parts.by_ref().take(2).all(|part| part.len() >= 10);
        return is_token.then_some((0, token.len()));
    }
    None
}

/// The login in what stands behind `://`.
fn login(rest: &str) -> Option<usize> {
    let place = taken(rest, |letter| !letter.is_whitespace() && !"/?#\"'<>`".contains(letter));
    place.rfind('@')
}

/// A private key in the form of PEM, to its end.
fn private_key(rest: &str) -> Option<usize> {
    let (head, body) = rest.split_once("PRIVATE KEY-----")?;
    if head.contains('\n') {
        return None;
    }
    let end = body
        .find("PRIVATE KEY-----")
        .map_or(rest.len(), |at| rest.len() - body.len() + at + "PRIVATE KEY-----".len());
    Some(end)
}

/// The characters of a key at the beginning of a text.
fn run(text: &str) -> &str {
    taken(text, |letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_' || letter == '.')
        .trim_end_matches(['.', '-'])
}

fn taken(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    text.split(|letter| !belongs(letter)).next().unwrap_or_default()
}

/// Whether characters look drawn at random, and not like words with something between them.
fn is_random(text: &str) -> bool {
    let mixed = text.as_bytes().windows(2).any(|pair| match pair {
        [one, other] => {
            one.is_ascii_digit()
                || other.is_ascii_digit()
                || one.is_ascii_lowercase() && other.is_ascii_uppercase()
        }
        _ => false,
    });
    mixed || text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_are_known_by_their_look() {
        for key in [
            "sk-proj-Ab12Cd34Ef56Gh78Ij90",
            "sk-ant-api03-Ab12Cd34-Ef56_Gh78",
            "sk-abcdefghijklmnopqrstuvwx",
            "sk-xxxxxxxxxxxxxxxxxxxxxxxx",
            "ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
            "gsk_Ab12Cd34Ef56Gh78Ij90Kl12",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuv",
            "hf_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh",
            "AKIAIOSFODNN7EXAMPLE",
            "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
            "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        ] {
            assert_eq!(mask_credentials(key), MASK, "{key}");
            let text = format!("wrong key `{key}`. key={key}, {{\"key\": \"{key}\"}} x-{key}");
            let shown = "wrong key `[redacted]`. key=[redacted], {\"key\": \"[redacted]\"} x-[redacted]";
            assert_eq!(mask_credentials(&text), shown);
        }
        let check = |text: &str, shown: &str| assert_eq!(mask_credentials(text), shown);
        check("Authorization: Bearer abc123DEF456ghi", "Authorization: Bearer [redacted]");
        check("'Basic YW5uOnNlY3JldA=='", "'Basic [redacted]'");
        check("gpt@https://ann:pa55@x.io/v1?a", "gpt@https://[redacted]@x.io/v1?a");
        check("http://tok3n@x.io http://x.io/@me", "http://[redacted]@x.io http://x.io/@me");
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
        check(&format!("a {key} b"), "a [redacted] b");
        check("-----BEGIN PRIVATE KEY-----\nMIIE", MASK);
        let key = "sk-proj-Ab12Cd34Ef56Gh78Ij90";
        check(&format!("wrong:\\n{key}\\tand %22{key}%22"), "wrong:\\n[redacted]\\tand %22[redacted]%22");
        check("://.-----BEGIN PRIVATE KEY-----PRIVATE KEY-----@", "://[redacted]@");
    }

    #[test]
    fn ordinary_texts_stay() {
        for text in [
            "sk-learn is a library; sk-learn-based-pipelines too",
            "sk-… stands for a key, and so does sk-xxxx",
            "the bearer of this letter; Bearer Authentication-Required; Basic understanding",
            "desk-4711-abcdefgh task_hf_Ab12Cd34Ef56Gh78Ij90",
            "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "https://x.io/v1 a@b.c -----BEGIN CERTIFICATE-----",
            "eyJ is how JSON begins in base64; AKIA is short",
            "3:// :// ünïcödé 🔑",
        ] {
            assert!(matches!(mask_credentials(text), Cow::Borrowed(_)), "{}", mask_credentials(text));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_once_is_enough(text in "(sk-|Bearer |://|@|eyJ|a1B2c3|[.]|é| |-----BEGIN |PRIVATE KEY-----){0,12}") {
            let clean = mask_credentials(&text).into_owned();
            prop_assert_eq!(mask_credentials(&clean).into_owned(), clean.clone());
        }
    }
}
