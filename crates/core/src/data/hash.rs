//! Content hashes: what store keys and example identities are made of.

use std::fmt;
use std::io;

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
        // JSON comes in pieces of a few bytes, each of which would cost the hasher as much as a block.
        let mut hasher = Buffered { hasher: blake3::Hasher::new(), buffer: [0; 1024], filled: 0 };
        if let Err(error) = serde_json::to_writer(&mut hasher, content) {
            hasher.take(error.to_string().as_bytes());
        }
        hasher.empty();
        Self::finish(&hasher.hasher)
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

/// A hasher that is fed a buffer at a time.
struct Buffered {
    hasher: blake3::Hasher,
    buffer: [u8; 1024],
    filled: usize,
}

impl Buffered {
    fn take(&mut self, bytes: &[u8]) {
        if self.buffer.len() - self.filled < bytes.len() {
            self.empty();
        }
        match self.buffer.get_mut(self.filled..self.filled + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.filled += bytes.len();
            }
            // Longer than the whole buffer, which is empty now.
            None => {
                self.hasher.update(bytes);
            }
        }
    }

    fn empty(&mut self) {
        self.hasher.update(self.buffer.get(..self.filled).unwrap_or_default());
        self.filled = 0;
    }
}

impl io::Write for Buffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
    fn the_hash_is_that_of_the_whole_json_however_it_is_buffered() {
        for length in [0, 1, 1000, 1021, 1022, 1023, 5000] {
            let content = vec!["x".repeat(length), "y".repeat(300), "z".repeat(800)];
            let whole = serde_json::to_vec(&content).unwrap();
            let mut expected = [0; 16];
            blake3::Hasher::new().update(&whole).finalize_xof().fill(&mut expected);
            assert_eq!(ContentHash::of(&content).as_bytes(), &expected, "{length}");
        }
    }

    #[test]
    fn joined_parts_do_not_run_into_each_other() {
        assert_ne!(ContentHash::join([b"ab".as_slice(), b"c"]), ContentHash::join([b"a".as_slice(), b"bc"]));
    }
}
