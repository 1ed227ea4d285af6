//! Named texts of a program that is not ours, and how they are found in its requests.

use promptopt_core::lm::{Content, LmRequest, Part, Role};

use crate::template::Template;

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
}

impl Component {
    /// A text as the program has it. `{name}` and `{{ name }}` in it are places that the program fills.
    pub fn new(name: impl Into<String>, text: &str) -> Self {
        Self { name: name.into(), kind: ComponentKind::default(), template: Template::new(text) }
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

    /// Puts another text in the place of its own, wherever a request has it. Says whether it was found; with `None` it is
    /// only looked for.
    pub(crate) fn replace(&self, request: &mut LmRequest, other: Option<&str>) -> bool {
        let mut found = false;
        if self.kind != ComponentKind::ToolDescription {
            for message in &mut request.messages {
                let is_theirs = matches!(message.role, Role::System | Role::Developer | Role::User);
                if is_theirs || self.kind == ComponentKind::AnyText {
                    found |= self.replace_in_content(&mut message.content, other);
                }
            }
        }
        if self.kind != ComponentKind::Instruction {
            for tool in &mut request.tools {
                if let Some(text) = self.template.replaced(&tool.description, other) {
                    found = true;
                    tool.description = text;
                }
            }
        }
        found
    }

    fn replace_in_content(&self, content: &mut Content, other: Option<&str>) -> bool {
        if content.as_slice().is_empty() {
            let Some(text) = self.template.replaced(content.as_str(), other) else { return false };
            *content = text.into();
            return true;
        }
        let mut found = false;
        let parts = content.as_slice().iter().map(|part| match part {
            Part::Text(text) => match self.template.replaced(text, other) {
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
}
