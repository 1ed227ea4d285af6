//! Lines out of bytes that come in pieces, wherever they are cut.

/// Keeps what is no whole line yet.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// What came behind the last end of a line.
    rest: Vec<u8>,
    /// Whether that end was a CR, whose LF may still come.
    after_cr: bool,
}

impl Lines {
    /// Adds bytes, and gives `each` every line that is whole by now, without its end. What is no UTF-8 is replaced.
    pub(crate) fn add<E>(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        for byte in bytes {
            let is_second = std::mem::take(&mut self.after_cr) && *byte == b'\n';
            match byte {
                b'\n' if is_second => {}
                b'\n' | b'\r' => {
                    self.after_cr = *byte == b'\r';
                    each(&String::from_utf8_lossy(&std::mem::take(&mut self.rest)))?;
                }
                other => self.rest.push(*other),
            }
        }
        Ok(())
    }

    /// What is behind the last end of a line, once nothing more comes.
    pub(crate) fn rest(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned()
    }

    /// How long the line is that is not whole yet, in bytes.
    pub(crate) fn pending(&self) -> usize {
        self.rest.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            let each = |line: &str| {
                found.push(line.to_owned());
                Ok::<(), ()>(())
            };
            lines.add(piece, each).unwrap();
        }
        found.push(lines.rest());
        found
    }

    #[test]
    fn every_end_of_a_line_is_known() {
        assert_eq!(lines(&[b"a\nb\r\nc\rd\n\ne"]), ["a", "b", "c", "d", "", "e"]);
        assert_eq!(lines(&[b"a\r", b"\nb\xff"]), ["a", "b\u{fffd}"]);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_are_cut(text in "[a\u{e9}\u{1f600}\r\n]{0,40}", at in 0_usize..60) {
            let bytes = text.as_bytes();
            let (before, behind) = bytes.split_at(at.min(bytes.len()));
            let each: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(lines(&[before, behind]), lines(&[bytes]));
            prop_assert_eq!(lines(&each), lines(&[bytes]));
        }
    }
}
