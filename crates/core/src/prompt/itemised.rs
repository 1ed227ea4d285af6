//! An instruction as a head and rules.

use std::fmt;

/// Columns that a tab takes.
const TAB: usize = 4;
/// A number in front of an item has at most so many digits, so that a year is none.
const MOST_DIGITS: usize = 3;
/// A word of so few letters before a full stop is taken for an abbreviation.
const ABBREVIATION: usize = 2;

/// An instruction taken apart: a head, rules, and texts between and behind them.
///
/// Rules are the items of its lists: lines that begin with `-`, `*`, `+`, `•` or a number such as `1.`, with the lines
/// that belong to them. An instruction without a list is read sentence by sentence; the first one is the head. What is
/// between fences is never split. Written out it is what was read, byte by byte.
///
/// ```
/// use promptopt_core::prompt::Itemised;
///
/// let text = "Sort the ticket.\n\n1. An invoice is billing.\n2. A crash\n   is support.\n3. Be brief.\n\nOne word.";
/// let instruction = Itemised::read(text);
/// assert_eq!(instruction.head(), "Sort the ticket.\n\n");
/// assert_eq!(instruction.rules().nth(1), Some("A crash\n   is support."));
/// assert_eq!(instruction.to_string(), text);
/// let without = instruction.without(&[1]).to_string();
/// assert_eq!(without, "Sort the ticket.\n\n1. An invoice is billing.\n2. Be brief.\n\nOne word.");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Itemised(Vec<Part>);

/// A stretch of an instruction, with the white space behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    text: String,
    is_rule: bool,
}

impl Itemised {
    /// Takes an instruction apart.
    pub fn read(instruction: &str) -> Self {
        let parts = items(instruction);
        match parts.iter().any(|part| part.is_rule) {
            true => Self(parts),
            false => Self(sentences(instruction)),
        }
    }

    /// What stands before the first rule.
    pub fn head(&self) -> &str {
        self.0.first().filter(|part| !part.is_rule).map_or("", |part| &part.text)
    }

    /// The rules, without their markers and the white space around them.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|part| part.is_rule).map(|part| {
            let text = part.text.trim();
            marker(text).map_or(text, |length| text.get(length..).unwrap_or_default().trim_start())
        })
    }

    /// The instruction without some of its rules, by their places. Numbers behind them move up, and a line that announced
    /// nothing but them goes, too.
    #[must_use]
    pub fn without(&self, rules: &[usize]) -> Self {
        let (mut kept, mut place, mut dropped): (Vec<Part>, usize, usize) = (Vec::new(), 0, 0);
        for (at, part) in self.0.iter().enumerate() {
            let mut part = part.clone();
            if !part.is_rule {
                end_list(&mut kept, dropped, "\n\n");
                dropped = 0;
            } else if rules.contains(&place) {
                (place, dropped) = (place + 1, dropped + 1);
                // What followed the rule follows what stood before it.
                let is_end = at + 1 == self.0.len();
                if let Some(before) = kept.last_mut().filter(|before| before.is_rule || is_end) {
                    let behind = part.text.get(part.text.trim_end().len()..).unwrap_or_default();
                    before.text = format!("{}{behind}", before.text.trim_end());
                }
                continue;
            } else {
                place += 1;
                renumber(&mut part.text, dropped);
            }
            kept.push(part);
        }
        end_list(&mut kept, dropped, "");
        Self(kept)
    }
}

impl fmt::Display for Itemised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| formatter.write_str(&part.text))
    }
}

/// Takes away the line that announced a list of which everything was dropped.
fn end_list(kept: &mut [Part], dropped: usize, behind: &str) {
    let Some(before) = kept.last_mut().filter(|before| dropped > 0 && !before.is_rule) else { return };
    let text = before.text.trim_end();
    if text.ends_with([':', '：']) {
        let start = text.rfind('\n').unwrap_or(0);
        let rest = text.get(..start).unwrap_or_default().trim_end();
        if !rest.is_empty() {
            before.text = format!("{rest}{behind}");
        }
    }
}

/// Lets the number of an item be lower by so much.
fn renumber(item: &mut String, by: usize) {
    let start = item.len() - item.trim_start().len();
    let digits = item.get(start..).unwrap_or_default().bytes().take_while(u8::is_ascii_digit).count();
    let number = item.get(start..start + digits).and_then(|number| number.parse::<usize>().ok());
    if let Some(number) = number.filter(|_| by > 0 && marker(item.trim_start()).is_some()) {
        item.replace_range(start..start + digits, &number.saturating_sub(by).to_string());
    }
}

/// How long the marker is that a line begins with, if it does: a bullet or a number, with a space behind it.
fn marker(line: &str) -> Option<usize> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let rest = line.get(digits..)?;
    let mark = rest.chars().next()?;
    let is_marker = match digits {
        0 => ['-', '*', '+', '•'].contains(&mark),
        1..=MOST_DIGITS => ['.', ')'].contains(&mark),
        _ => false,
    };
    let rest = rest.get(mark.len_utf8()..)?;
    (is_marker && rest.starts_with([' ', '\t']) && !rest.trim().is_empty())
        .then_some(digits + mark.len_utf8())
}

/// The columns that a line begins with, and the rest of it.
fn indented(line: &str) -> (usize, &str) {
    let rest = line.trim_start_matches([' ', '\t']);
    let space = line.get(..line.len() - rest.len()).unwrap_or_default();
    (space.chars().map(|one| if one == '\t' { TAB } else { 1 }).sum(), rest)
}

/// The fence that a line is, if it is one.
fn fence(line: &str) -> Option<&str> {
    let line = line.trim();
    ["```", "~~~"].into_iter().find(|fence| line.starts_with(fence))
}

/// Items of lists, and what stands around them.
fn items(text: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    // Where the marker of the item under way stands; the fence that is open; whether the last line was blank.
    let (mut item, mut open, mut blank) = (None, None, false);
    for line in text.split_inclusive('\n') {
        let (column, rest) = indented(line);
        let is_inside = item.is_some_and(|item| column > item);
        let begins = if let Some(fence_open) = open {
            if fence(line) == Some(fence_open) {
                open = None;
            }
            None
        } else if rest.trim().is_empty() {
            blank = true;
            parts.is_empty().then_some(false)
        } else {
            open = fence(line);
            let ends = item.is_some() && !is_inside && (blank || rest.starts_with('#'));
            let is_marked = open.is_none() && !is_inside && marker(rest.trim_end()).is_some();
            blank = false;
            match is_marked {
                true => Some(true),
                false => (ends || parts.is_empty()).then_some(false),
            }
        };
        if let Some(is_rule) = begins {
            item = is_rule.then_some(column);
            parts.push(Part { text: String::new(), is_rule });
        }
        if let Some(part) = parts.last_mut() {
            part.text.push_str(line);
        }
    }
    parts
}

/// The sentences of a text, the first of which is the head.
fn sentences(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let (mut start, mut at, mut open) = (0, 0, None);
    for line in text.split_inclusive('\n') {
        let is_fence = fence(line);
        if open.is_some() || is_fence.is_some() {
            open = if open.is_some() && open == is_fence { None } else { open.or(is_fence) };
            at += line.len();
            continue;
        }
        for (offset, letter) in line.char_indices() {
            let end = at + offset;
            let (before, behind) = (text.get(start..end), text.get(end..));
            let (Some(before), Some(behind)) = (before, behind) else { continue };
            let is_start = behind.starts_with(|next: char| !next.is_whitespace());
            if is_start && is_sentence(before, letter) && fence(behind).is_none() {
                parts.push(before);
                start = end;
            }
        }
        at += line.len();
    }
    parts.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    let part = |(at, text): (usize, &str)| Part { text: text.to_owned(), is_rule: at > 0 };
    parts.into_iter().enumerate().map(part).collect()
}

/// Whether a text, which this letter follows, ends like a sentence or a paragraph.
fn is_sentence(text: &str, next: char) -> bool {
    let said = text.trim_end();
    let space = text.get(said.len()..).unwrap_or_default();
    if said.is_empty() || space.matches('\n').count() > 1 {
        return !said.is_empty();
    }
    if next.is_lowercase() {
        return false;
    }
    let closed = said.trim_end_matches(['"', '\'', '”', '’', ')', ']', '*', '`']);
    if closed.ends_with(['。', '！', '？']) {
        return true;
    }
    let Some(word) = closed.strip_suffix(['.', '!', '?', '…']).filter(|_| !space.is_empty()) else {
        return false;
    };
    let word = word.rsplit(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    closed.ends_with(['!', '?'])
        || word.is_empty()
        || word.chars().count() > ABBREVIATION
        || word.chars().any(|letter| letter.is_numeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, head: &str, rules: &[&str]) {
        let read = Itemised::read(text);
        assert_eq!((read.head(), read.rules().collect::<Vec<_>>()), (head, rules.to_vec()), "{text:?}");
        assert_eq!(read.to_string(), text);
    }

    #[test]
    fn items_of_lists_are_rules() {
        check("Sort.\n- a\n- b", "Sort.\n", &["a", "b"]);
        check("* a\n\n* b\n", "", &["a", "b"]);
        check("Sort:\n• a\n  and more\nof it\n• b\n\nEnd.", "Sort:\n", &["a\n  and more\nof it", "b"]);
        check("1. a\n   - nested\n\n   more\n2) b\n# Next\ntext", "", &["a\n   - nested\n\n   more", "b"]);
        check("Do.\n\n  - a\n  - b", "Do.\n\n", &["a", "b"]);
        check("- a\n```\n- no item\n```\n- b", "", &["a\n```\n- no item\n```", "b"]);
        check("- a\n\n~~~\n- no item\n~~~\n- b", "", &["a", "b"]);
    }

    #[test]
    fn without_a_list_the_sentences_are_rules() {
        check(
            "Read the text. It is long! Answer with K4. \"Why?\" Be brief.",
            "Read the text. ",
            &["It is long!", "Answer with K4.", "\"Why?\"", "Be brief."],
        );
        check(
            "Ask Dr. Who, e.g. Today, at 1.5 to one.\n\nthen stop",
            "Ask Dr. Who, e.g. Today, at 1.5 to one.\n\n",
            &["then stop"],
        );
        check(
            "See this:\n```\nA. B. C.\n```\nStop here. Go on.",
            "See this:\n```\nA. B. C.\n```\nStop here. ",
            &["Go on."],
        );
        check("読む。答える。", "読む。", &["答える。"]);
        check("**Bold** and\n---\n* * *\n2024. A year", "**Bold** and\n---\n", &["* *\n2024. A year"]);
        check("One line", "One line", &[]);
        check("", "", &[]);
    }

    #[test]
    fn what_is_dropped_leaves_a_tidy_text() {
        let without = |text: &str, rules: &[usize]| Itemised::read(text).without(rules).to_string();
        let list = "Sort.\n\nRules:\n1. a\n2. b\n3. c\n\nOne word.";
        assert_eq!(without(list, &[0]), "Sort.\n\nRules:\n1. b\n2. c\n\nOne word.");
        assert_eq!(without(list, &[2]), "Sort.\n\nRules:\n1. a\n2. b\n\nOne word.");
        assert_eq!(without(list, &[0, 1, 2]), "Sort.\n\nOne word.");
        assert_eq!(without("The bill. Be brief. Be kind.", &[1]), "The bill. Be brief.");
        assert_eq!(without("The bill. Be brief. Be kind.", &[0]), "The bill. Be kind.");
        assert_eq!(without("Rules:\n- a", &[0]), "Rules:");
        assert_eq!(without(list, &[]), list);
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_back(text in "([-*•#`~ \t\n]|1\\.|2\\)|```\n|- |[a-cÄ。.:!]){0,40}") {
            let read = Itemised::read(&text);
            prop_assert_eq!(read.to_string(), text.clone());
            prop_assert_eq!(read.without(&[]), read.clone());
            let count = read.rules().count();
            for rule in 0..count {
                let without = read.without(&[rule]);
                prop_assert!(without.to_string().len() < text.len());
            }
        }

        #[test]
        fn any_text_is_written_back(text in any::<String>()) {
            prop_assert_eq!(Itemised::read(&text).to_string(), text);
        }
    }
}
