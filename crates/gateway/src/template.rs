//! Texts with places that a program fills, found in what it sends.

use std::borrow::Cow;

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
        let mut written = String::new();
        for (number, fixed) in self.template.fixed.iter().enumerate() {
            written.push_str(fixed);
            let Some(place) = self.template.places.get(number) else { continue };
            let put = self.put.as_ref().filter(|(own, _)| own == place).map(|(_, text)| text.as_str());
            let known = || values.get(places.iter().position(|own| own == place)?).copied();
            written.push_str(put.or_else(known).unwrap_or(place));
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

    /// The whole of `sent` with `other` wherever this text stands in it; `None` where it does not. Places of `other` get
    /// what the program put into those of this text. Without `other` the text stays.
    pub(crate) fn replaced(&self, sent: &str, other: Option<&Replacement>) -> Option<String> {
        let sent = with_line_feeds(sent);
        let mut written = String::new();
        let (mut rest, mut is_there) = (&*sent, false);
        while let Some(found) = self.find(rest) {
            is_there = true;
            written.push_str(rest.get(..found.start)?);
            match other {
                None => written.push_str(rest.get(found.start..found.end)?),
                Some(other) => written.push_str(&other.filled(&self.places, &found.values)),
            }
            rest = rest.get(found.end..)?;
        }
        written.push_str(rest);
        is_there.then_some(written)
    }

    pub(crate) fn find<'t>(&self, sent: &'t str) -> Option<Found<'t>> {
        if self.text.is_empty() {
            return None;
        }
        // As it is written, for programs that fill nothing in.
        if let Some(start) = sent.find(&self.text) {
            return Some(Found { start, end: start + self.text.len(), values: self.places_in(sent) });
        }
        if self.places.is_empty() || self.fixed.iter().all(|text| text.trim().is_empty()) {
            return None;
        }
        let (first, others) = self.fixed.split_first()?;
        // A text that begins with a place begins where the message does.
        let mut from = 0;
        loop {
            let start = if first.is_empty() { 0 } else { from + sent.get(from..)?.find(first.as_str())? };
            if let Some((end, values)) = follow(others, sent, start + first.len()) {
                return Some(Found { start, end, values });
            }
            if first.is_empty() {
                return None;
            }
            from = start + first.chars().next()?.len_utf8();
        }
    }

    /// The places as they are written, which is what stands in them where nothing was filled in.
    fn places_in<'t>(&self, sent: &'t str) -> Vec<&'t str> {
        let place = |place: &String| sent.find(place.as_str()).and_then(|at| sent.get(at..at + place.len()));
        self.places.iter().map(|it| place(it).unwrap_or_default()).collect()
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
    let end = text.find(close)? + close.len();
    let place = text.get(..end)?;
    let inside = place.strip_prefix(open)?.strip_suffix(close)?.trim();
    let is_part = |letter: char| letter.is_alphanumeric() || "_.[]|:-% $!'\"".contains(letter);
    let starts_well = inside.starts_with(|letter: char| letter.is_alphabetic() || "_$".contains(letter));
    (starts_well && inside.len() <= 80 && inside.chars().all(is_part) && !inside.contains(": "))
        .then_some(place)
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
        let replaced = Template::new(text).replaced(sent, Some(&other));
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
        let replaced = Template::new("{examples} Help {name}.").replaced("none Help Ann.", Some(&other));
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

    proptest! {
        #[test]
        fn without_another_text_nothing_changes(text in "[a-c{} ]{0,8}", sent in "[a-c{} ]{0,20}") {
            if let Some(same) = Template::new(&text).replaced(&sent, None) {
                prop_assert_eq!(same, sent);
            }
        }

        #[test]
        fn what_is_filled_in_survives(value in "[a-z ]{1,10}", sent in "[a-z]{0,5}") {
            let template = Template::new("To {name}: BEGIN.");
            let sent = format!("{sent} To {value}: BEGIN. {sent}");
            let replaced = template.replaced(&sent, Some(&Replacement::new("{name} END."))).unwrap();
            prop_assert_eq!(replaced, sent.replacen(&format!("To {value}: BEGIN."), &format!("{value} END."), 1));
        }
    }
}
