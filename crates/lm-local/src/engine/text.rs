//! The text of a completion as its tokens come in: stop texts and bytes that are not whole yet.

/// Collects the bytes of tokens and watches for stop texts, which may begin in one token and end
/// in another.
#[derive(Debug)]
pub(super) struct TextBuilder {
    bytes: Vec<u8>,
    stops: Vec<Vec<u8>>,
    longest: usize,
}

impl TextBuilder {
    pub(super) fn new(stops: &[String]) -> Self {
        let stops: Vec<Vec<u8>> =
            stops.iter().filter(|stop| !stop.is_empty()).map(|stop| stop.clone().into_bytes()).collect();
        let longest = stops.iter().map(Vec::len).max().unwrap_or(0);
        Self { bytes: Vec::new(), stops, longest }
    }

    /// Adds the bytes of one token. True when a stop text is complete; the text then ends before
    /// the first of them.
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        let from = (self.bytes.len() + 1).saturating_sub(self.longest);
        self.bytes.extend_from_slice(piece);
        let tail = self.bytes.get(from..).unwrap_or_default();
        let first = self.stops.iter().filter_map(|stop| find(tail, stop)).min();
        if let Some(at) = first {
            self.bytes.truncate(from + at);
        }
        first.is_some()
    }

    /// The text; bytes that form no character, at the end of a completion that was cut off, are
    /// replaced.
    pub(super) fn finish(self) -> String {
        String::from_utf8(self.bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stops: &[&str], pieces: &[&str], text: &str, stopped: bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut builder = TextBuilder::new(&stops);
        let hit = pieces.iter().any(|piece| builder.push(piece.as_bytes()));
        assert_eq!((builder.finish().as_str(), hit), (text, stopped), "{stops:?} in {pieces:?}");
    }

    #[test]
    fn stop_texts_are_found_inside_and_across_tokens() {
        check(&[], &["a", "b"], "ab", false);
        check(&["", "x"], &["a", "b"], "ab", false);
        check(&["\n\n"], &["a\n", "\nb"], "a", true);
        check(&["[[ ## completed"], &["yes\n[", "[ ##", " comp", "leted ## ]]"], "yes\n", true);
        check(&["b", "ab"], &["xab"], "x", true);
        check(&["ab"], &["aab"], "a", true);
        check(&["stop"], &["stop"], "", true);
        check(&["long stop"], &["long", " sto", "ne"], "long stone", false);
    }

    #[test]
    fn characters_split_between_tokens_come_out_whole() {
        let mut builder = TextBuilder::new(&["!".to_owned()]);
        let euro = "€".as_bytes();
        assert!(!builder.push(&euro[..1]));
        assert!(!builder.push(&euro[1..]));
        assert_eq!(builder.finish(), "€");
        let mut builder = TextBuilder::new(&[]);
        builder.push(&euro[..2]);
        assert_eq!(builder.finish(), "\u{fffd}");
    }
}
