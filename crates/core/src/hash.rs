//! Content hashes: what store keys and example identities are made of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A 128-bit BLAKE3 hash of the JSON form of some content. Stable across machines and versions
/// of Rust; not a secret-keeping hash, so no key or token is ever part of its input.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ContentHash([u8; 16]);

impl ContentHash {
    /// The hash of anything that has a JSON form. What has none (a map with keys that are not
    /// strings, say) hashes like its error text; our own types all have one.
    pub fn of<T: Serialize + ?Sized>(content: &T) -> Self {
        let mut hasher = blake3::Hasher::new();
        if let Err(error) = serde_json::to_writer(&mut hasher, content) {
            hasher.update(error.to_string().as_bytes());
        }
        Self::finish(&hasher)
    }

    /// The hash of several hashes or texts in order.
    pub fn join<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self::finish(&hasher)
    }

    fn finish(hasher: &blake3::Hasher) -> Self {
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        Self(bytes)
    }

    /// The bytes of the hash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first eight bytes as a number, for seeding.
    pub fn as_u64(&self) -> u64 {
        self.0.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ContentHash({self})")
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for ContentHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = || format!("`{text}` is not a content hash: 32 hexadecimal digits are expected");
        if text.len() != 32 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 16];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(index * 2..index * 2 + 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_survives_its_text_form() {
        let hash = ContentHash::of("abc");
        assert_eq!(ContentHash::try_from(hash.to_string()), Ok(hash));
        assert!(ContentHash::try_from("xyz".to_owned()).is_err());
    }

    #[test]
    fn joined_parts_do_not_run_into_each_other() {
        assert_ne!(ContentHash::join([b"ab".as_slice(), b"c"]), ContentHash::join([b"a".as_slice(), b"bc"]));
    }
}
