//! Fenced blocks of a reply.

use serde_json::Value;

/// What the info string of a block names that is prose.
const PROSE: [&str; 10] =
    ["", "text", "txt", "plaintext", "plain", "markdown", "md", "prompt", "instruction", "instructions"];
/// What it names that is notation, but no programming language.
const NOTATION: [&str; 8] = ["json", "jsonc", "yaml", "yml", "xml", "csv", "toml", "html"];

/// A fenced block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'t> {
    /// What it is said to hold, in the writer's letters.
    info: &'t str,
    /// What stands between the fences.
    pub(super) text: &'t str,
    /// Where the opening fence begins, and where the line of the closing one ends.
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) is_closed: bool,
}

impl Block<'_> {
    fn names(&self, among: &[&str]) -> bool {
        among.contains(&self.info.to_lowercase().as_str())
    }

    /// Whether it holds data or code rather than prose.
    pub(super) fn is_data(&self) -> bool {
        let text = self.text.trim();
        let is_json = text.starts_with(['{', '[']) && serde_json::from_str::<Value>(text).is_ok();
        is_json || self.names(&NOTATION) || self.is_code()
    }

    /// Whether it is in a programming language.
    pub(super) fn is_code(&self) -> bool {
        const LANGUAGES: [&str; 26] = [
            "python",
            "py",
            "javascript",
            "js",
            "typescript",
            "ts",
            "java",
            "c",
            "cpp",
            "c++",
            "csharp",
            "cs",
            "go",
            "rust",
            "rs",
            "ruby",
            "php",
            "bash",
            "sh",
            "shell",
            "sql",
            "kotlin",
            "swift",
            "scala",
            "r",
            "perl",
        ];
        self.names(&LANGUAGES)
    }
}

/// A fence of a line: its letter, its length, and what stands behind it.
fn fence(line: &str) -> Option<(char, usize, &str)> {
    let line = line.trim_start();
    let letter = line.chars().next().filter(|letter| "`~".contains(*letter))?;
    let rest = line.trim_start_matches(letter);
    let length = line.len() - rest.len();
    (length >= 3).then(|| (letter, length, rest.trim_end_matches(['\n', '\r'])))
}

/// Whether what stands behind an opening fence says what is in it.
fn is_info(rest: &str) -> bool {
    let rest = rest.trim();
    let word = rest.split_whitespace().next().unwrap_or_default();
    let is_tag = rest.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-_.#".contains(letter));
    is_tag || (rest.contains('=') && (PROSE.contains(&word) || NOTATION.contains(&word)))
}

/// The outermost fenced blocks of a text. One that is never closed ends with the text, and one in another stays a part
/// of it: a fence that names what it holds opens, a bare one closes.
pub(super) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    // The fences that are open, the outermost first, with where it and its content begin.
    let mut open: Vec<(char, usize)> = Vec::new();
    let (mut info, mut from, mut inner, mut at) = ("", 0, 0, 0);
    let cut = |start: usize, end: usize| text.get(start..end).unwrap_or_default();
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        match (fence(line), open.last().copied()) {
            (Some((letter, length, rest)), None) => {
                let marks: String = std::iter::repeat_n(letter, length).collect();
                from = at;
                // What is behind the marks: all of the block, its kind, or its first line.
                let behind = at + line.find(&marks).unwrap_or_default() + length;
                if let Some(ends) = rest.find(&marks) {
                    let (text, to) = (cut(behind, behind + ends), end);
                    blocks.push(Block { info: "", text, from, to, is_closed: true });
                } else {
                    open.push((letter, length));
                    (info, inner) = if is_info(rest) {
                        (rest.split_whitespace().next().unwrap_or_default(), end)
                    } else {
                        ("", behind)
                    };
                }
            }
            (Some((letter, length, rest)), Some((top, least))) if letter == top && length >= least => {
                if !rest.trim().is_empty() && is_info(rest) {
                    open.push((letter, length));
                } else if rest.trim().is_empty() {
                    open.pop();
                    if open.is_empty() {
                        blocks.push(Block { info, text: cut(inner, at), from, to: end, is_closed: true });
                    }
                }
            }
            // The closing fence behind the last line of the content.
            (None, Some((letter, least))) if open.len() == 1 => {
                let marks: String = std::iter::repeat_n(letter, least).collect();
                if let Some(content) = line.trim_end().strip_suffix(&marks) {
                    open.pop();
                    let text = cut(inner, at + content.len());
                    blocks.push(Block { info, text, from, to: end, is_closed: true });
                }
            }
            _ => {}
        }
        at = end;
    }
    if !open.is_empty() {
        blocks.push(Block { info, text: cut(inner, text.len()), from, to: text.len(), is_closed: false });
    }
    joined(text, blocks)
}

/// Blocks with nothing but data between them are one, whose inner fences name nothing.
fn joined<'t>(text: &'t str, blocks: Vec<Block<'t>>) -> Vec<Block<'t>> {
    let between = |pair: &[Block<'t>]| match pair {
        [one, next] => {
            text.get(one.to..next.from).unwrap_or_default().trim_start().starts_with(['{', '[', '<'])
        }
        _ => false,
    };
    match (blocks.first(), blocks.last()) {
        (Some(first), Some(last)) if blocks.len() > 1 && last.is_closed && blocks.windows(2).all(between) => {
            let inner = first.text.as_ptr().addr() - text.as_ptr().addr();
            let end = last.text.as_ptr().addr() - text.as_ptr().addr() + last.text.len();
            vec![Block { text: text.get(inner..end).unwrap_or_default(), to: last.to, ..*first }]
        }
        _ => blocks,
    }
}
