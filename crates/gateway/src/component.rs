//! Named texts of a program that is not ours, and how they are found in its requests.

use std::ops::Range;

use promptopt_core::data::plain_text;
use promptopt_core::lm::{Content, LmRequest, Part, Role};
use promptopt_core::program::TextRules;
use promptopt_core::prompt::{Demo, Prompt};
use promptopt_core::signature::Signature;
use serde_json::Value;

use crate::template::{Replacement, Template};

/// Where in a request a text is looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ComponentKind {
    /// In messages of the system, the developer and the user.
    #[default]
    Instruction,
    /// In the descriptions of tools.
    ToolDescription,
    /// In any message and any description of a tool.
    AnyText,
}

/// A named text of a program: where the program sends it, another may stand in its place.
#[derive(Debug, Clone)]
pub struct Component {
    name: String,
    kind: ComponentKind,
    template: Template,
    description: Option<String>,
    max_length: Option<usize>,
    /// Its places, where nothing is said.
    keep: Option<Vec<String>>,
    demos: Demos,
    signature: Option<Signature>,
}

/// Whether and where a component shows demos.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Demos {
    /// It takes none.
    #[default]
    None,
    /// As text in a place of it, such as `{examples}`.
    Place(String),
    /// The program is told them with each question, and shows them itself.
    Program,
}

impl Component {
    /// A text as the program has it. `{name}` and `{{ name }}` in it are places that the program fills.
    pub fn new(name: impl Into<String>, text: &str) -> Self {
        Self {
            name: name.into(),
            kind: ComponentKind::default(),
            template: Template::new(text),
            description: None,
            max_length: None,
            keep: None,
            demos: Demos::None,
            signature: None,
        }
    }

    /// With what it is for, for whoever writes it.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// With a bound on its length, in characters. A proposal that is longer is dropped.
    #[must_use]
    pub fn with_max_length(mut self, max_length: usize) -> Self {
        self.max_length = Some(max_length);
        self
    }

    /// With texts that must stay in it, word by word. A proposal that leaves one out is dropped. Default: its places.
    #[must_use]
    pub fn with_keep(mut self, keep: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.keep = Some(keep.into_iter().map(Into::into).collect());
        self
    }

    /// With demos.
    #[must_use]
    pub fn with_demos(mut self, demos: Demos) -> Self {
        self.demos = demos;
        self
    }

    /// With what the predictor behind it takes and gives, where the program tells its steps. Default: what the program takes
    /// and gives; where demos have a place in the text, a call's `messages` and `reply`.
    #[must_use]
    pub fn with_signature(mut self, signature: Signature) -> Self {
        self.signature = Some(signature);
        self
    }

    /// What a demo of it has, and what it is used for, with its text as the instruction.
    pub(crate) fn signature(&self, program: &Signature) -> Signature {
        let of_a_call = || match self.demos {
            Demos::Place(_) => Signature::parse("messages -> reply").ok(),
            _ => None,
        };
        let signature = self.signature.clone().or_else(of_a_call);
        signature.unwrap_or_else(|| program.clone()).with_instructions(self.text())
    }

    /// What stands in its place under a prompt; `None` where that is its own text.
    pub(crate) fn replacement(&self, prompt: &Prompt) -> Option<Replacement> {
        let put = match &self.demos {
            Demos::Place(place) if !prompt.demos.is_empty() => Some((place, shown(&prompt.demos))),
            _ => None,
        };
        let is_other = prompt.instruction != self.text() || put.is_some();
        is_other.then(|| {
            let other = Replacement::new(&prompt.instruction);
            match put {
                Some((place, text)) => other.putting(place, text),
                None => other,
            }
        })
    }

    /// The text that stands in its place under a prompt, with its demos. Places that the program fills are as they are
    /// written.
    pub fn text_under(&self, prompt: &Prompt) -> String {
        self.replacement(prompt).map_or_else(|| self.text().to_owned(), |other| other.filled(&[], &[]))
    }

    /// How it shows demos.
    pub fn demos(&self) -> &Demos {
        &self.demos
    }

    /// What whoever writes it should know.
    pub(crate) fn about(&self) -> Option<String> {
        let kind = match self.kind {
            ComponentKind::ToolDescription => Some("It is the description of a tool.".to_owned()),
            _ => None,
        };
        let parts: Vec<String> = self.description.clone().into_iter().chain(kind).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    /// What a text in its place must keep to.
    pub(crate) fn rules(&self) -> TextRules {
        let mut rules = TextRules::new();
        rules.max_length = self.max_length;
        let places = || {
            let mut places: Vec<String> = Vec::new();
            for place in self.places() {
                if !places.iter().any(|known| known == place) {
                    places.push(place.to_owned());
                }
            }
            places
        };
        rules.keep = self.keep.clone().unwrap_or_else(places);
        if let Demos::Place(place) = &self.demos
            && !rules.keep.contains(place)
        {
            rules.keep.push(place.clone());
        }
        rules
    }

    /// With where it is looked for.
    #[must_use]
    pub fn of_kind(mut self, kind: ComponentKind) -> Self {
        self.kind = kind;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text as the program has it, without white space at its ends.
    pub fn text(&self) -> &str {
        self.template.text()
    }

    /// The places in it that the program fills, as they are written.
    pub fn places(&self) -> Vec<&str> {
        self.template.places()
    }

    /// Where its text stands first in one that a program sent, and what stands in its places there. White space at its ends is
    /// no part of it, and lines end with a line feed alone.
    pub fn find<'t>(&'t self, sent: &'t str) -> Option<(Range<usize>, Vec<&'t str>)> {
        self.template.find(sent).map(|found| (found.start..found.end, found.values))
    }

    /// Puts another text in the place of its own, wherever a request has it. Says whether it was found; with `None` it is
    /// only looked for. Where a program put the other text in by itself, that one is found.
    pub(crate) fn replace(&self, request: &mut LmRequest, other: Option<&Replacement>) -> bool {
        // One that holds the text of its own would be put in once more, there.
        let holds_own = |other: &&Replacement| {
            let text = other.template().text();
            text != self.text() && self.template.stands_in(text)
        };
        if let Some(other) = other.filter(holds_own)
            && self.replace_text(other.template(), request, Some(other))
        {
            return true;
        }
        self.replace_text(&self.template, request, other)
            || other.is_some_and(|other| self.replace_text(other.template(), request, Some(other)))
    }

    fn replace_text(&self, text: &Template, request: &mut LmRequest, other: Option<&Replacement>) -> bool {
        let mut found = false;
        if self.kind != ComponentKind::ToolDescription {
            for message in &mut request.messages {
                let is_theirs = matches!(message.role, Role::System | Role::Developer | Role::User);
                if is_theirs || self.kind == ComponentKind::AnyText {
                    found |= replace_in_content(text, &mut message.content, other);
                }
            }
        }
        if self.kind != ComponentKind::Instruction {
            for tool in &mut request.tools {
                let Some(other) = other else {
                    found |= text.stands_in(&tool.description);
                    continue;
                };
                if let Some(text) = text.replaced(&tool.description, other) {
                    found = true;
                    tool.description = text;
                }
            }
        }
        found
    }
}

/// Demos as text: each with its fields, one below the other.
fn shown(demos: &[Demo]) -> String {
    let demos = demos.iter().map(|demo| {
        let field = |(name, value): (&String, &Value)| {
            let value = plain_text(value);
            let space = if value.contains('\n') { "\n" } else { " " };
            format!("{name}:{space}{value}")
        };
        demo.fields.iter().map(field).collect::<Vec<_>>().join("\n")
    });
    demos.collect::<Vec<_>>().join("\n\n")
}

fn replace_in_content(text: &Template, content: &mut Content, other: Option<&Replacement>) -> bool {
    let Some(other) = other else {
        let parts = content.as_slice();
        let is_in = |part: &Part| matches!(part, Part::Text(said) if text.stands_in(said));
        return if parts.is_empty() { text.stands_in(content.as_str()) } else { parts.iter().any(is_in) };
    };
    if content.as_slice().is_empty() {
        let Some(text) = text.replaced(content.as_str(), other) else { return false };
        *content = text.into();
        return true;
    }
    let mut found = false;
    let parts = content.as_slice().iter().map(|part| match part {
        Part::Text(said) => match text.replaced(said, other) {
            Some(text) => {
                found = true;
                Part::Text(text)
            }
            None => part.clone(),
        },
        other => other.clone(),
    });
    let parts: Vec<Part> = parts.collect();
    if found {
        // What came as parts stays parts.
        *content = Content::as_parts(parts);
    }
    found
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::Message;

    use super::*;

    #[test]
    fn a_text_that_the_program_put_in_by_itself_is_not_put_in_twice() {
        let check = |own: &str, other: &str, sent: &str, expected: &str| {
            let mut request = LmRequest::new(vec![Message::system(sent)]);
            assert!(Component::new("tone", own).replace(&mut request, Some(&Replacement::new(other))));
            assert_eq!(request.messages[0].text(), expected);
        };
        check("Be kind.", "Be kind. Be brief.", "Hi. Be kind. Be brief.", "Hi. Be kind. Be brief.");
        check("Be kind.", "Be kind. Be brief.", "Hi. Be kind.", "Hi. Be kind. Be brief.");
        check("Help {who}.", "Help {who}. Now.", "Help Ann. Now.", "Help Ann. Now.");
        check("Help {who}.", "Help {who}. Now.", "Help Ann.", "Help Ann. Now.");
        check("Be kind. Be brief.", "Be kind.", "Be kind. Be brief.", "Be kind.");
    }
}
