//! Text files as UTF-8, however they are encoded.

use std::io::{self, BufRead, BufReader, Chain, Cursor, ErrorKind, Read};

use crate::DataError;
use crate::rows::{beginning, read_error};

/// How many bytes of UTF-16 are decoded at once; an even number.
const BLOCK: u64 = 8192;

/// A text as UTF-8, without a byte order mark.
pub(crate) enum Decoded<R> {
    Utf8(Chain<Cursor<Vec<u8>>, R>),
    Utf16(BufReader<Utf16<Chain<Cursor<Vec<u8>>, R>>>),
}

/// Looks at the first bytes of a text: a byte order mark says how it is encoded, and so does a zero among the first
/// two bytes, of which UTF-8 has none.
pub(crate) fn decoded<R: BufRead>(mut reader: R, file: &str) -> Result<Decoded<R>, DataError> {
    let mut start = Vec::new();
    let read = reader.by_ref().take(3).read_to_end(&mut start);
    read.map_err(|source| read_error(&beginning(file), source))?;
    let (mark, big_endian) = match *start.as_slice() {
        [0xef, 0xbb, 0xbf] => (3, None),
        [0xfe, 0xff, ..] => (2, Some(true)),
        [0xff, 0xfe, ..] => (2, Some(false)),
        [0, first, ..] if first != 0 => (0, Some(true)),
        [first, 0, ..] if first != 0 => (0, Some(false)),
        _ => (0, None),
    };
    start.drain(..mark);
    let reader = Cursor::new(start).chain(reader);
    Ok(match big_endian {
        None => Decoded::Utf8(reader),
        Some(big_endian) => {
            let ready = Cursor::default();
            Decoded::Utf16(BufReader::new(Utf16 { reader, big_endian, half: None, ready }))
        }
    })
}

impl<R: BufRead> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Utf8(reader) => reader.read(buffer),
            Self::Utf16(reader) => reader.read(buffer),
        }
    }
}

impl<R: BufRead> BufRead for Decoded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Utf8(reader) => reader.fill_buf(),
            Self::Utf16(reader) => reader.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match self {
            Self::Utf8(reader) => reader.consume(amount),
            Self::Utf16(reader) => reader.consume(amount),
        }
    }
}

/// UTF-16 as UTF-8.
pub(crate) struct Utf16<R> {
    reader: R,
    big_endian: bool,
    /// The first half of a character whose second half was not read yet.
    half: Option<u16>,
    ready: Cursor<Vec<u8>>,
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.ready.read(buffer)?;
            if read > 0 || buffer.is_empty() || !self.decode()? {
                return Ok(read);
            }
        }
    }
}

impl<R: Read> Utf16<R> {
    /// Decodes the next bytes; false at the end.
    fn decode(&mut self) -> io::Result<bool> {
        let broken = || io::Error::new(ErrorKind::InvalidData, "the text is not valid UTF-16");
        let mut bytes = Vec::new();
        self.reader.by_ref().take(BLOCK).read_to_end(&mut bytes)?;
        let unit = |pair: &[u8]| {
            let pair = <[u8; 2]>::try_from(pair).map_err(|_| broken())?;
            Ok::<u16, io::Error>(if self.big_endian {
                u16::from_be_bytes(pair)
            } else {
                u16::from_le_bytes(pair)
            })
        };
        let mut units: Vec<u16> = self.half.take().into_iter().collect();
        for pair in bytes.chunks(2) {
            units.push(unit(pair)?);
        }
        if !bytes.is_empty() {
            self.half = units.pop_if(|last| (0xd800..0xdc00).contains(last));
        }
        let text: Result<String, _> = char::decode_utf16(units).collect();
        self.ready = Cursor::new(text.map_err(|_| broken())?.into_bytes());
        Ok(!bytes.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<String> {
        // A small buffer, so that what belongs together comes in pieces.
        let mut text = String::new();
        let reader = BufReader::with_capacity(2, bytes);
        decoded(reader, "rows").unwrap().read_to_string(&mut text).map(|_| text)
    }

    fn encoded(text: &str, big_endian: bool, mark: bool) -> Vec<u8> {
        let mark = mark.then_some(0xfeff);
        let units = mark.into_iter().chain(text.encode_utf16());
        units.flat_map(|unit| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    }

    #[test]
    fn a_broken_text_is_an_error() {
        for bytes in [&b"\xff\xfea"[..], b"\xff\xfea\0\0\xd8", b"\xff\xfe\0\xd8a\0", b"\xfe\xff\xdc\0"] {
            assert_eq!(read(bytes).unwrap_err().kind(), ErrorKind::InvalidData, "{bytes:?}");
        }
        assert_eq!(read(b"").unwrap(), "");
        assert_eq!(read(b"\xef\xbb\xbfa").unwrap(), "a");
    }

    proptest! {
        #[test]
        fn a_text_is_the_same_in_every_encoding(text in "[a-z]\\PC{0,40}", blocks in 0_usize..3) {
            let text = text + &"\u{1f600}x".repeat(blocks * 2000);
            prop_assert_eq!(&read(text.as_bytes()).unwrap(), &text);
            for big_endian in [true, false] {
                prop_assert_eq!(&read(&encoded(&text, big_endian, true)).unwrap(), &text);
                // Without a mark it is known by its first letter.
                prop_assert_eq!(&read(&encoded(&text, big_endian, false)).unwrap(), &text);
            }
        }
    }
}
