//! What models write around an instruction, and the texts in a reply that may be the instruction.

use serde_json::Value;

use super::fence::{self, Block};
use super::phrases::{
    BEGINNINGS, COMMENTS, COURTESIES, ENDS, FAREWELLS, NOUNS, OPENERS, QUALIFIERS, REMARKS,
};
use super::words::words;

/// The most words of a sentence that hands an instruction over.
const PREFACE_WORDS: usize = 30;

/// A text that may be the instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) text: String,
    pub(super) kind: ReadingKind,
}

/// Where a reading stood in the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadingKind {
    /// In a fenced block of prose.
    Block,
    /// In a block of data.
    Data,
    /// In a block of a programming language.
    Code,
    /// All of it.
    Whole,
}

/// The texts in a reply that may be the instruction, the likeliest first; never none. `fenced` says that it was asked
/// for between fences.
pub(super) fn readings(reply: &str, fenced: bool) -> Vec<Reading> {
    let text = within_turn(reply);
    let blocks = fence::blocks(text);
    let whole = Reading { text: bare(unfenced(text, &blocks)), kind: ReadingKind::Whole };
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return vec![whole] };
    let (before, after) =
        (text.get(..first.from).unwrap_or_default(), text.get(last.to..).unwrap_or_default());
    let introduced = bare(before).is_empty() || introduces(before, first);
    let holds_prose = blocks.iter().any(|block| !block.is_data());
    if !(introduced || fenced && holds_prose) {
        // The blocks are parts of the instruction.
        return vec![whole];
    }
    let mut read: Vec<Reading> = blocks.iter().map(Reading::of).collect();
    // The last of the longest comes first: drafts and examples are shorter.
    read.reverse();
    read.sort_by_key(|reading| std::cmp::Reverse(words(&reading.text).len()));
    if !introduced || !bare(after).is_empty() {
        read.push(whole);
    }
    read
}

impl Reading {
    fn of(block: &Block<'_>) -> Self {
        let text = bare(block.text);
        let kind = if block.is_code() {
            ReadingKind::Code
        } else if block.is_data() && text.starts_with(['{', '[', '<']) {
            ReadingKind::Data
        } else {
            ReadingKind::Block
        };
        Self { text, kind }
    }
}

/// What a model says in its turn, without the marks of a chat template.
fn within_turn(reply: &str) -> &str {
    let mut text = reply.trim();
    while let Some(rest) = BEGINNINGS.iter().find_map(|mark| text.strip_prefix(mark)) {
        text = rest.trim_start();
    }
    let end = ENDS.iter().filter_map(|mark| text.find(mark)).filter(|at| *at > 0).min();
    text.get(..end.unwrap_or(text.len())).unwrap_or(text).trim()
}

/// The text without a fence that encloses nothing, such as one that only closes.
fn unfenced<'t>(text: &'t str, blocks: &[Block<'_>]) -> &'t str {
    let empty = blocks.last().filter(|last| last.text.trim().is_empty() && !last.is_closed);
    empty.and_then(|last| text.get(..last.from)).unwrap_or(text)
}

/// Whether what stands before a block hands it over.
fn introduces(before: &str, block: &Block<'_>) -> bool {
    let Some(line) = before.lines().rev().find(|line| !line.trim().is_empty()) else { return true };
    let line = line.trim().to_lowercase();
    let ends_open = line.ends_with([':', '：', '*']);
    let is_only_line = before.trim().lines().count() == 1;
    let shorter = words(&line).len() * 2 <= words(block.text).len();
    is_heading(&line)
        || hands_over(&line)
        || behind_opener(&line).is_some() && (line.contains("write") || ends_open)
        || is_only_line && ends_open && shorter
}

/// The text without the headings, labels, courtesies, quotes, wrappers and remarks that models put around it.
pub(super) fn bare(reply: &str) -> String {
    let mut text = reply.trim().to_owned();
    loop {
        let inner = without_wrapper(&text)
            .or_else(|| without_preface(&text).map(str::to_owned))
            .or_else(|| without_quotes(&text).map(str::to_owned))
            .or_else(|| without_remarks(&text).map(str::to_owned));
        match inner.map(|inner| inner.trim().to_owned()) {
            Some(inner) if inner.len() < text.len() => text = inner,
            _ => return text,
        }
    }
}

fn is_noun(word: &str) -> bool {
    NOUNS.iter().any(|noun| word.starts_with(noun) || (!noun.is_ascii() && word.contains(noun)))
}

/// Whether a line is nothing but the name of what follows, such as `**New instruction**`.
fn is_heading(line: &str) -> bool {
    let words = words(line);
    words.split_last().is_some_and(|(last, before)| {
        is_noun(last) && before.iter().all(|word| is_noun(word) || QUALIFIERS.contains(&word.as_str()))
    })
}

/// What stands behind the words by which a line in lower case hands something over.
fn behind_opener(line: &str) -> Option<&str> {
    OPENERS.iter().find_map(|opener| {
        // Whoever writes speaks of itself at the beginning, and an instruction may do so further down.
        let at =
            if opener.starts_with('i') { line.starts_with(opener).then_some(0) } else { line.find(opener) };
        line.get(at? + opener.len()..)
    })
}

/// Whether a line in lower case says that the proposal follows.
fn hands_over(line: &str) -> bool {
    let names_it = |text: &str| words(text).iter().any(|word| is_noun(word) || word == "answer");
    let points = ["here it is", "here you go", "here goes"].iter().any(|one| line.contains(one));
    words(line).len() <= PREFACE_WORDS
        && (points || behind_opener(line).or_else(|| courtesy(line)).is_some_and(names_it))
}

/// The rest behind a courtesy that stands for itself.
fn courtesy(line: &str) -> Option<&str> {
    COURTESIES.iter().find_map(|one| {
        let head = line.get(..one.len())?;
        let rest = line.get(one.len()..)?;
        (head.eq_ignore_ascii_case(one) && rest.starts_with(['!', '.', ','])).then_some(rest)
    })
}

/// Without a heading, a label or a courtesy in front.
fn without_preface(text: &str) -> Option<&str> {
    let (line, below) = text.split_once('\n').unwrap_or((text, ""));
    let lower = line.to_lowercase();
    if let Some((label, rest)) = line.split_once([':', '：']) {
        let spoken = label.to_lowercase();
        if is_heading(&spoken) || hands_over(&spoken) {
            // What was opened in front of a label is closed behind it.
            let closed = if label.contains("**") { rest.trim_start_matches('*') } else { rest };
            return text.get(line.len() - closed.len()..);
        }
    }
    let is_marked = line.starts_with('#') || (line.starts_with("**") && line.trim_end().ends_with("**"));
    let is_title = is_heading(&lower) && !line.starts_with('<') && (is_marked || words(&lower).len() <= 3);
    if !below.trim().is_empty() && (is_title || hands_over(&lower)) {
        return Some(below);
    }
    let rest = courtesy(line)?;
    if rest.starts_with(['!', '.']) {
        return text.get(line.len() - rest.len() + 1..);
    }
    // Behind a comma the courtesy goes on where it speaks of whoever writes.
    let spoken = rest.to_lowercase();
    let speaks = [", i ", ", i'", ", i’", ", let me", ", happy", ", here"];
    let end = line.find(['.', '!', ':']).filter(|_| speaks.iter().any(|one| spoken.starts_with(one)))?;
    text.get(end + 1..)
}

/// Without an object, a tag or a block quote around it.
fn without_wrapper(text: &str) -> Option<String> {
    if text.starts_with('{')
        && let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text)
    {
        let mut named = fields.iter().filter(|(name, _)| words(name).iter().any(|word| is_noun(word)));
        return named.find_map(|(_, value)| value.as_str().map(str::to_owned));
    }
    if let Some(start) = text.find('<')
        && let Some(rest) = text.get(start + 1..)
        && let Some((tag, inner)) = rest.split_once('>')
        && !tag.contains(char::is_whitespace)
        && words(tag).iter().any(|word| is_noun(word))
        && let Some((inner, after)) = inner.split_once(&format!("</{tag}>"))
        && (start == 0 || text.get(..start).is_some_and(|before| before.ends_with('\n')))
        && !after.contains('<')
    {
        return Some(inner.to_owned());
    }
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    if lines().count() > 0 && lines().all(|line| line.starts_with('>')) {
        let inner = text.lines().map(|line| {
            line.strip_prefix('>').unwrap_or(line).strip_prefix(' ').unwrap_or(line.trim_start_matches('>'))
        });
        return Some(inner.collect::<Vec<_>>().join("\n"));
    }
    None
}

fn without_quotes(text: &str) -> Option<&str> {
    const QUOTES: [(&str, &str); 8] = [
        ("\"", "\""),
        ("\u{201c}", "\u{201d}"),
        ("\u{201e}", "\u{201c}"),
        ("\u{ab}", "\u{bb}"),
        ("\u{300c}", "\u{300d}"),
        ("`", "`"),
        ("**", "**"),
        ("'", "'"),
    ];
    QUOTES.into_iter().find_map(|(open, close)| {
        let inner = text.strip_prefix(open)?.strip_suffix(close)?;
        // Two quoted parts are no quoted whole.
        (!inner.contains(open) && !inner.contains(close) && !inner.is_empty()).then_some(inner)
    })
}

/// Without what is said of the instruction, or to whoever asked for it, behind it.
fn without_remarks(text: &str) -> Option<&str> {
    let text = text.trim_end_matches(['-', '=', '_']).trim_end();
    let (mut at, mut is_below_gap) = (0, false);
    for line in text.split_inclusive('\n') {
        let said =
            line.trim_start_matches(|letter: char| "*_#>-( ".contains(letter)).trim_end().to_lowercase();
        let begins = |with: &[&str]| with.iter().any(|one| said.starts_with(one));
        let comments = begins(&COMMENTS) && REMARKS.iter().any(|remark| said.contains(remark));
        if at > 0 && (begins(&FAREWELLS) || is_below_gap && comments) {
            return text.get(..at);
        }
        is_below_gap = line.trim().trim_matches(['-', '*', '_']).is_empty();
        at += line.len();
    }
    let lower = text.to_lowercase();
    let farewell = [". let me know if", "! let me know if", ". i hope this helps"]
        .iter()
        .filter_map(|one| lower.rfind(one))
        .min();
    let same = lower.len() == text.len();
    farewell.filter(|_| same).and_then(|at| text.get(..=at)).or(Some(text))
}
