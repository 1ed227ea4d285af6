//! An instruction as a head and rules.

use std::fmt;

/// Columns that a tab takes.
const TAB: usize = 4;
/// A number in front of an item has at most so many digits, so that a year is none.
const MOST_DIGITS: usize = 3;
/// Examples that a line announces are below all headings.
const LIST: usize = 7;
/// A word of so few letters before a full stop is taken for an abbreviation.
const ABBREVIATION: usize = 2;

/// An instruction taken apart: a head, rules, and texts between and behind them.
///
/// Rules are the items of its lists: lines that begin with `-`, `*`, `+`, `•` or a number such as `1.`, with the lines
/// that belong to them. An item that ends with a colon has the items of the other kind below it. An instruction without a
/// list is read sentence by sentence; the first one is the head. Headings are no rules. Examples, tables and what is
/// between fences are never split. Written out it is what was read, byte by byte.
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

    /// The instruction without some of its rules, by their places. Numbers behind them move up, and a heading or a line
    /// that announced nothing but them goes, too.
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
fn end_list(kept: &mut Vec<Part>, dropped: usize, behind: &str) {
    let is_only = kept.len() == 1;
    let Some(before) = kept.last_mut().filter(|before| dropped > 0 && !before.is_rule) else { return };
    let text = before.text.trim_end();
    let start = text.rfind('\n').map_or(0, |end| end + 1);
    let line = text.get(start..).unwrap_or_default();
    if !announces(line) && heading(line).is_none() {
        return;
    }
    let rest = text.get(..start).unwrap_or_default().trim_end();
    if !rest.is_empty() {
        before.text = format!("{rest}{behind}");
    } else if !is_only {
        kept.pop();
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

/// What closes the stretch that a line opens and that is never split: between fences, or of examples in tags.
fn fence(line: &str) -> Option<&'static str> {
    const STRETCHES: [(&str, &str); 4] =
        [("```", "```"), ("~~~", "~~~"), ("<examples", "</examples"), ("<example", "</example")];
    let line = line.trim();
    let (open, close) = STRETCHES.into_iter().find(|(open, _)| line.starts_with(open))?;
    (open == close || !line.contains(close)).then_some(close)
}

/// Whether a line closes such a stretch.
fn closes(line: &str, close: &str) -> bool {
    match close.strip_prefix("</") {
        Some(_) => line.contains(close),
        None => line.trim_start().starts_with(close),
    }
}

/// The level of the heading that a line is, if it is one.
fn heading(line: &str) -> Option<usize> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let rest = line.get(level..)?;
    ((1..LIST).contains(&level) && (rest.trim().is_empty() || rest.starts_with(' '))).then_some(level)
}

/// Whether a line is drawn between two sections.
fn is_break(line: &str) -> bool {
    let line = line.trim();
    line.len() >= 3 && ["-", "*", "_", "="].iter().any(|mark| line.replace(mark, "").is_empty())
}

/// Whether a text announces what follows.
fn announces(text: &str) -> bool {
    text.trim_end().trim_end_matches(['*', '_']).ends_with([':', '：'])
}

/// Whether a line says that examples follow.
fn names_examples(line: &str) -> bool {
    line.split(|letter: char| !letter.is_alphabetic())
        .any(|word| word.eq_ignore_ascii_case("example") || word.eq_ignore_ascii_case("examples"))
}

/// An item that lines may belong to.
#[derive(Clone, Copy)]
struct Item {
    column: usize,
    is_numbered: bool,
    /// Whether items of the other kind belong to it.
    owns: bool,
}

/// Where a text is read.
#[derive(Default)]
struct Place {
    item: Option<Item>,
    /// What closes the stretch that is open.
    open: Option<&'static str>,
    is_below_blank: bool,
    /// The level of the heading below which there are examples; [`LIST`] where a line announced them.
    examples: Option<usize>,
}

impl Place {
    /// Goes on by a line that says something, below a text. Whether a part begins with it, and whether that is a rule.
    fn next(&mut self, line: &str, above: &str) -> Option<bool> {
        let (column, rest) = indented(line);
        let is_inside = self.item.is_some_and(|item| column > item.column);
        let is_below_blank = std::mem::take(&mut self.is_below_blank);
        self.open = fence(line);
        let level = heading(rest).filter(|_| !is_inside);
        let is_marked = self.open.is_none() && !is_inside && marker(rest.trim_end()).is_some();
        let ends = !is_marked && !is_inside && (is_below_blank || level.is_some() || is_break(rest));
        let ended = self.item.take_if(|_| ends).map(|_| false);
        let is_list_of_examples = self.examples == Some(LIST) && !is_below_blank;
        if let Some(level) = level {
            if self.examples.is_none_or(|above| level <= above) {
                self.examples = names_examples(rest).then_some(level);
            }
        } else if !is_marked && self.item.is_none() && !is_list_of_examples {
            let is_section = self.examples.filter(|above| *above != LIST);
            self.examples = is_section.or((announces(rest) && names_examples(rest)).then_some(LIST));
        }
        if is_marked && self.examples.is_none() {
            let is_numbered = rest.starts_with(|first: char| first.is_ascii_digit());
            if let Some(item) = self.item.as_mut().filter(|item| item.is_numbered != is_numbered) {
                item.owns |= announces(above);
                if item.owns {
                    return None;
                }
            }
            self.item = Some(Item { column, is_numbered, owns: false });
            return Some(true);
        }
        ended
    }
}

/// Items of lists, and what stands around them.
fn items(text: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut place = Place::default();
    for line in text.split_inclusive('\n') {
        let begins = if let Some(close) = place.open {
            place.open = place.open.filter(|_| !closes(line, close));
            None
        } else if line.trim().is_empty() {
            place.is_below_blank = true;
            None
        } else {
            place.next(line, parts.last().map_or("", |part| &part.text))
        };
        match (begins, parts.last_mut()) {
            (None, Some(part)) => part.text.push_str(line),
            (begins, _) => parts.push(Part { text: line.to_owned(), is_rule: begins == Some(true) }),
        }
    }
    parts
}

/// The sentences of a text, the first of which is the head, with the headings around it.
fn sentences(text: &str) -> Vec<Part> {
    let mut texts = Vec::new();
    let (mut start, mut at, mut open) = (0, 0, None);
    for line in text.split_inclusive('\n') {
        let (is_closed, opened) = match open {
            Some(close) => (closes(line, close), None),
            None => (false, fence(line)),
        };
        if open.is_some() || opened.is_some() || line.trim_start().starts_with('|') {
            open = if is_closed { None } else { open.or(opened) };
            at += line.len();
            continue;
        }
        for (offset, letter) in line.char_indices() {
            let end = at + offset;
            let (before, behind) = (text.get(start..end), text.get(end..));
            let (Some(before), Some(behind)) = (before, behind) else { continue };
            let is_at_heading = heading(line.trim_start()).is_some() || is_title(before);
            let is_start = !letter.is_whitespace() && !before.trim().is_empty();
            let is_first = line.get(..offset).is_some_and(|space| space.trim().is_empty());
            let ends = match is_at_heading {
                true => is_first,
                false => is_sentence(before, letter) && fence(behind).is_none(),
            };
            if is_start && ends {
                texts.push(before);
                start = end;
            }
        }
        at += line.len();
    }
    texts.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    let mut parts: Vec<Part> = Vec::new();
    let mut has_head = false;
    for text in texts {
        let is_said = !is_title(text);
        let is_rule = has_head && is_said;
        has_head |= is_said;
        match parts.last_mut().filter(|before| !is_rule && !before.is_rule) {
            Some(before) => before.text.push_str(text),
            None => parts.push(Part { text: text.to_owned(), is_rule }),
        }
    }
    parts
}

/// Whether a text is one line that only says what follows.
fn is_title(text: &str) -> bool {
    let text = text.trim();
    !text.contains('\n') && (heading(text).is_some() || announces(text))
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
    fn an_item_with_a_colon_has_the_items_of_the_other_kind_below_it() {
        check("1. Look at:\n- a\n- b\n2. Decide.", "", &["Look at:\n- a\n- b", "Decide."]);
        check(
            "Do.\n- **For each claim:**\n\n1. List it.\n\n2. Rate it.\n\n- Sum up.",
            "Do.\n",
            &["**For each claim:**\n\n1. List it.\n\n2. Rate it.", "Sum up."],
        );
        check("1. Look.\n- a", "", &["Look.", "a"]);
        check("- One of:\n- a\n- b", "", &["One of:", "a", "b"]);
    }

    #[test]
    fn items_of_examples_are_no_rules() {
        let text = "Sort.\n\n- a\n\n# Output examples\n\n- no\n\n## Part\n1. no\n\n# Input\n- b\n";
        check(text, "Sort.\n\n", &["a", "b"]);
        check("- a\n\nFor example:\n- no\n- no\n\nAlso:\n- b", "", &["a", "b"]);
        check("Examples:\n- no\n\n# Rules\n- a", "Examples:\n- no\n\n# Rules\n", &["a"]);
        check(
            "- a\n<example>\n- no\n\n- no\n</example>\n- b",
            "",
            &["a\n<example>\n- no\n\n- no\n</example>", "b"],
        );
        check("<example>- no</example>\n- a", "<example>- no</example>\n", &["a"]);
        check("- Give an example.\n- a", "", &["Give an example.", "a"]);
    }

    #[test]
    fn a_line_between_sections_ends_an_item() {
        check("- a\n- b\n---\nEnd.", "", &["a", "b"]);
        check("- a\n=====\nEnd.\n- b", "", &["a", "b"]);
    }

    #[test]
    fn headings_and_tables_are_no_sentences() {
        check(
            "# WHO\n\nYou sort. Be brief.\n\n# HOW\nLook. Decide.\n\n## INPUT:\n\nINPUT:",
            "# WHO\n\nYou sort. ",
            &["Be brief.", "Look.", "Decide."],
        );
        check("# One. Two\nSort. Go.", "# One. Two\nSort. ", &["Go."]);
        check(
            "Sort it.\n| A. B | C |\n| D. E | F |\n\nGo on.",
            "Sort it.\n| A. B | C |\n| D. E | F |\n\n",
            &["Go on."],
        );
        check("#1 is best. Go.", "#1 is best. ", &["Go."]);
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
        assert_eq!(without("Sort.\n\n# How\n\n- a\n\n# End\n\nGo.", &[0]), "Sort.\n\n# End\n\nGo.");
        assert_eq!(without("Sort. Be kind.\n\n# How\n\nLook.\n\n# End\n", &[1]), "Sort. Be kind.\n\n# End\n");
        assert_eq!(without(list, &[]), list);
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_back(text in "([-*•#`~| \t\n]|1\\.|2\\)|```\n|</?example>\n?|example|# |- |[a-cÄ。.:!]){0,40}") {
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
