//! Texts with places that a program fills, found in what it sends.

use std::borrow::Cow;
use std::collections::HashMap;

/// A text, cut at the places that a program fills.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// Without white space at its ends.
    text: String,
    /// What stands before, between and behind the places: one more than there are places.
    fixed: Vec<String>,
    /// As they are written, such as `{name}`.
    places: Vec<String>,
}

/// A text that takes the place of another.
#[derive(Debug, Clone)]
pub(crate) struct Replacement {
    template: Template,
    /// A place of it that the program does not fill, and what stands there.
    put: Option<(String, String)>,
}

impl Replacement {
    pub(crate) fn new(text: &str) -> Self {
        Self { template: Template::new(text), put: None }
    }

    /// With a text in one of its places, whatever the program puts there.
    pub(crate) fn putting(mut self, place: &str, text: String) -> Self {
        self.put = Some((place.to_owned(), text));
        self
    }

    pub(crate) fn template(&self) -> &Template {
        &self.template
    }

    /// The text with what a program fills in; `places` are its places, in the order of the values.
    pub(crate) fn filled(&self, places: &[String], values: &[&str]) -> String {
        // Of places with the same name the first one counts.
        let known: HashMap<&str, &str> =
            places.iter().map(String::as_str).zip(values.iter().copied()).rev().collect();
        let mut written = String::new();
        for (number, fixed) in self.template.fixed.iter().enumerate() {
            written.push_str(fixed);
            let Some(place) = self.template.places.get(number) else { continue };
            let put = self.put.as_ref().filter(|(own, _)| own == place).map(|(_, text)| text.as_str());
            written.push_str(put.or_else(|| known.get(place.as_str()).copied()).unwrap_or(place));
        }
        written
    }
}

/// Where a text was found, and what the program put into its places.
pub(crate) struct Found<'t> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) values: Vec<&'t str>,
}

impl Template {
    pub(crate) fn new(text: &str) -> Self {
        let text = with_line_feeds(text.trim()).into_owned();
        let (mut fixed, mut places) = (Vec::new(), Vec::new());
        let mut rest = text.as_str();
        let mut before = String::new();
        while let Some(at) = rest.find('{') {
            let (head, tail) = rest.split_at(at);
            before.push_str(head);
            match place_at(tail) {
                Some(place) => {
                    fixed.push(std::mem::take(&mut before));
                    places.push(place.to_owned());
                    rest = tail.get(place.len()..).unwrap_or_default();
                }
                None => {
                    before.push('{');
                    rest = tail.get(1..).unwrap_or_default();
                }
            }
        }
        before.push_str(rest);
        fixed.push(before);
        Self { text, fixed, places }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn places(&self) -> Vec<&str> {
        self.places.iter().map(String::as_str).collect()
    }

    /// Whether this text stands in `sent`.
    pub(crate) fn stands_in(&self, sent: &str) -> bool {
        self.finder(&with_line_feeds(sent)).next().is_some()
    }

    /// The whole of `sent` with `other` wherever this text stands in it; `None` where it does not. Places of `other` get
    /// what the program put into those of this text.
    pub(crate) fn replaced(&self, sent: &str, other: &Replacement) -> Option<String> {
        let sent = with_line_feeds(sent);
        let (mut written, mut at) = (String::new(), 0);
        let mut is_there = false;
        for found in self.finder(&sent) {
            is_there = true;
            written.push_str(sent.get(at..found.start)?);
            written.push_str(&other.filled(&self.places, &found.values));
            at = found.end;
        }
        written.push_str(sent.get(at..)?);
        is_there.then_some(written)
    }

    /// Where it stands first, and what the program put into its places.
    pub(crate) fn find<'t>(&'t self, sent: &'t str) -> Option<Found<'t>> {
        self.finder(sent).next()
    }

    fn finder<'t>(&'t self, sent: &'t str) -> Finder<'t> {
        Finder { template: self, sent, at: 0, is_as_written: true }
    }
}

/// Where a text stands in what is sent, from the beginning to the end.
struct Finder<'t> {
    template: &'t Template,
    sent: &'t str,
    at: usize,
    /// Whether it may still stand there with its places as they are written.
    is_as_written: bool,
}

impl<'t> Iterator for Finder<'t> {
    type Item = Found<'t>;

    fn next(&mut self) -> Option<Found<'t>> {
        let Template { text, fixed, places } = self.template;
        let rest = self.sent.get(self.at..).filter(|_| !text.is_empty())?;
        // As it is written, for programs that fill nothing in. What is not in the rest is in no rest of the rest.
        let as_written = if self.is_as_written { rest.find(text.as_str()) } else { None };
        self.is_as_written = as_written.is_some();
        let found = match as_written {
            Some(start) => {
                let start = self.at + start;
                let values = places.iter().map(String::as_str).collect();
                Found { start, end: start + text.len(), values }
            }
            None if places.is_empty() || fixed.iter().all(|text| text.trim().is_empty()) => return None,
            None => {
                let (first, others) = fixed.split_first()?;
                // A text that begins with a place begins where the message does. What does not follow the first
                // beginning follows no later one either.
                let start = if first.is_empty() { self.at } else { self.at + rest.find(first.as_str())? };
                let (end, values) = follow(others, self.sent, start + first.len())?;
                Found { start, end, values }
            }
        };
        self.at = found.end;
        Some(found)
    }
}

/// Where the fixed texts end that follow each other from a place on, and what stands between them. The last place of a
/// text reaches to the end of the message.
fn follow<'t>(fixed: &[String], sent: &'t str, from: usize) -> Option<(usize, Vec<&'t str>)> {
    let (mut at, mut values) = (from, Vec::new());
    for (number, text) in fixed.iter().enumerate() {
        let rest = sent.get(at..)?;
        let is_last = number + 1 == fixed.len();
        let length = if text.is_empty() && is_last { rest.len() } else { rest.find(text.as_str())? };
        values.push(rest.get(..length)?);
        at += length + text.len();
    }
    Some((at, values))
}

/// The place that a text begins with: `{name}` or `{{ name }}`, with dots, brackets, a filter or a format behind the name.
fn place_at(text: &str) -> Option<&str> {
    let (open, close) = if text.starts_with("{{") { ("{{", "}}") } else { ("{", "}") };
    let is_part = |letter: char| letter.is_alphanumeric() || "_.[]|:-% $!'\"".contains(letter);
    // Looked at no further than a name goes, so that braces by the thousand cost no more than their number.
    let behind = text.strip_prefix(open)?;
    let end = behind.find(|letter: char| !is_part(letter) && !letter.is_whitespace())?;
    behind.get(end..)?.strip_prefix(close)?;
    let inside = behind.get(..end)?.trim();
    let starts_well = inside.starts_with(|letter: char| letter.is_alphabetic() || "_$".contains(letter));
    let is_place = starts_well && inside.len() <= 80 && inside.chars().all(is_part) && !inside.contains(": ");
    text.get(..open.len() + end + close.len()).filter(|_| is_place)
}

fn with_line_feeds(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, sent: &str, other: &str, expected: Option<&str>) {
        let other = Replacement::new(other);
        let replaced = Template::new(text).replaced(sent, &other);
        assert_eq!(replaced.as_deref(), expected, "{text} in {sent}");
    }

    #[test]
    fn a_text_is_found_wherever_it_stands() {
        check("Be kind.", "Be kind.", "Be brief.", Some("Be brief."));
        check(
            " Be kind.\n",
            "You are a clerk.\r\nBe kind.\r\nNow:",
            "Be brief.",
            Some("You are a clerk.\nBe brief.\nNow:"),
        );
        check("a\r\nb", "x a\nb y", "c", Some("x c y"));
        check("Be kind.", "Be rude.", "Be brief.", None);
        check("", "Be rude.", "Be brief.", None);
        check("Be kind.", "Be kind. Be kind.", "Hm.", Some("Hm. Hm."));
    }

    #[test]
    fn places_are_filled_as_the_program_fills_them() {
        let text = "Answer {name} about {{ topic }}. Be kind.";
        let sent = "Answer Ann about old {lamps}. Be kind.\n\nQ: Why?";
        check(text, sent, "Tell {name} all: {{ topic }}", Some("Tell Ann all: old {lamps}\n\nQ: Why?"));
        check(text, sent, "Tell all.", Some("Tell all.\n\nQ: Why?"));
        check(text, text, "Tell {name}.", Some("Tell {name}."));
        check("Context: {context}", "Context: a\nb", "Read this: {context}!", Some("Read this: a\nb!"));
        check("{context}\nAnswer.", "a\nb\nAnswer.", "Reply. {context}", Some("Reply. a\nb"));
        check("{context}", "anything", "other", None);
        assert_eq!(Template::new(text).places(), ["{name}", "{{ topic }}"]);
    }

    #[test]
    fn what_is_put_into_a_place_is_not_read_again() {
        let other = Replacement::new("Like this: {examples} Now {name}.");
        let other = other.putting("{examples}", "Tell {name}.".to_owned());
        let replaced = Template::new("{examples} Help {name}.").replaced("none Help Ann.", &other);
        assert_eq!(replaced.as_deref(), Some("Like this: Tell {name}. Now Ann."));
    }

    #[test]
    fn braces_of_json_and_code_are_no_places() {
        for text in ["{\"a\": 1}", "{ }", "{a: 1}", "{", "f(x) { return x; }", "{1}"] {
            assert!(Template::new(text).places().is_empty(), "{text}");
        }
        for (text, place) in
            [("a {x.y[0]} b", "{x.y[0]}"), ("{{ x | upper }}", "{{ x | upper }}"), ("{x:.2f}", "{x:.2f}")]
        {
            assert_eq!(Template::new(text).places(), [place]);
        }
    }

    /// Each of these took minutes where looking again began over from every beginning.
    #[test]
    fn what_is_long_is_read_once() {
        let prompt = "a ".repeat(200_000);
        assert!(!Template::new("a {x} z").stands_in(&prompt));
        assert!(Template::new(&"{".repeat(400_000)).places().is_empty());
        assert!(Template::new(&"{{".repeat(400_000)).places().is_empty());
        assert!(Template::new(&"{a".repeat(200_000)).places().is_empty());
        let rows = "Q: why\nA:".repeat(40_000);
        let replaced = Template::new("Q: {q}\nA:").replaced(&rows, &Replacement::new("{q}?")).unwrap();
        assert_eq!(replaced, "why?".repeat(40_000));
        let many: String = (0..30_000).map(|number| format!("{{p{number}}},")).collect();
        let filled: String = (0..30_000).map(|number| format!("{number},")).collect();
        let replaced = Template::new(&many).replaced(&filled, &Replacement::new(&format!("{many}.")));
        assert_eq!(replaced, Some(format!("{filled}.")));
    }

    proptest! {
        #[test]
        fn with_its_own_text_nothing_changes(text in "[a-c{} ]{0,8}", sent in "[a-c{} ]{0,20}") {
            let template = Template::new(&text);
            let same = template.replaced(&sent, &Replacement::new(&text));
            prop_assert_eq!(template.stands_in(&sent), same.is_some());
            prop_assert!(same.is_none_or(|same| same == sent));
        }

        #[test]
        fn what_is_filled_in_survives(value in "[a-z ]{1,10}", sent in "[a-z]{0,5}") {
            let template = Template::new("To {name}: BEGIN.");
            let sent = format!("{sent} To {value}: BEGIN. {sent}");
            let replaced = template.replaced(&sent, &Replacement::new("{name} END.")).unwrap();
            prop_assert_eq!(replaced, sent.replacen(&format!("To {value}: BEGIN."), &format!("{value} END."), 1));
        }
    }
}
