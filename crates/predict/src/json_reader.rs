//! Reads the text fields of a JSON reply while it comes.

use promptopt_core::signature::{FieldType, Signature};

use crate::field_reader::FieldReader;

/// Of [`JsonAdapter`](crate::JsonAdapter): the texts of the first object of a reply, as far as it is JSON as JSON is
/// written. What needs repair comes with the whole reply.
pub(crate) struct JsonReader {
    /// Text fields that are not read yet.
    fields: Vec<String>,
    place: Place,
}

enum Place {
    /// Before the object.
    Outside,
    /// Before a key, or the end of the object.
    BeforeKey,
    InKey(String),
    /// Before the colon behind a key.
    BehindKey(String),
    BeforeValue(String),
    /// In the text of a field, with the beginning of an escape.
    InText {
        field: String,
        escape: String,
    },
    /// In a value that is not told.
    Skipping {
        depth: usize,
        in_text: bool,
        is_escaped: bool,
    },
    /// Behind a value.
    BehindValue,
    /// Nothing more is told.
    Lost,
}

impl JsonReader {
    pub(crate) fn new(signature: &Signature) -> Self {
        let texts = signature.outputs().iter().filter(|field| field.kind == FieldType::String);
        Self { fields: texts.map(|field| field.name.clone()).collect(), place: Place::Outside }
    }

    /// The place behind a letter. What it adds to the text of a field goes into `told`.
    fn next(&mut self, place: Place, letter: char, told: &mut String) -> Place {
        match place {
            Place::Outside if letter == '{' => Place::BeforeKey,
            Place::Outside => Place::Outside,
            Place::BeforeKey if letter == '"' => Place::InKey(String::new()),
            Place::InKey(key) if letter == '"' => Place::BehindKey(key),
            Place::InKey(mut key) if letter != '\\' => {
                key.push(letter);
                Place::InKey(key)
            }
            Place::BehindKey(key) if letter == ':' => Place::BeforeValue(key),
            Place::BeforeValue(key) if letter == '"' => {
                match self.fields.iter().position(|name| *name == key) {
                    Some(at) => Place::InText { field: self.fields.swap_remove(at), escape: String::new() },
                    None => Place::Skipping { depth: 0, in_text: true, is_escaped: false },
                }
            }
            Place::BeforeValue(_) if "{[".contains(letter) => {
                Place::Skipping { depth: 1, in_text: false, is_escaped: false }
            }
            Place::BeforeValue(_) if !letter.is_whitespace() => Place::BehindValue,
            Place::InText { field, escape } if !escape.is_empty() || letter == '\\' => {
                let escape = format!("{escape}{letter}");
                match decoded(&escape) {
                    Some(Ok(text)) => {
                        told.push_str(&text);
                        Place::InText { field, escape: String::new() }
                    }
                    Some(Err(())) => Place::Lost,
                    None => Place::InText { field, escape },
                }
            }
            Place::InText { .. } if letter == '"' => Place::BehindValue,
            Place::InText { .. } if letter.is_control() => Place::Lost,
            Place::InText { field, escape } => {
                told.push(letter);
                Place::InText { field, escape }
            }
            Place::Skipping { depth, in_text: true, is_escaped } => {
                let in_text = is_escaped || letter != '"';
                if !in_text && depth == 0 {
                    return Place::BehindValue;
                }
                Place::Skipping { depth, in_text, is_escaped: !is_escaped && letter == '\\' }
            }
            Place::Skipping { depth, .. } => {
                let depth = match letter {
                    '{' | '[' => depth + 1,
                    '}' | ']' if depth == 1 => return Place::BehindValue,
                    '}' | ']' => depth.saturating_sub(1),
                    _ => depth,
                };
                Place::Skipping { depth, in_text: letter == '"', is_escaped: false }
            }
            Place::BehindValue if letter == ',' => Place::BeforeKey,
            // The rest of a number or a word, or white space.
            Place::BehindValue if !"}\"".contains(letter) => Place::BehindValue,
            waiting @ (Place::BeforeKey | Place::BehindKey(_) | Place::BeforeValue(_))
                if letter.is_whitespace() =>
            {
                waiting
            }
            _ => Place::Lost,
        }
    }
}

/// What an escape stands for; nothing where it is not whole yet.
fn decoded(escape: &str) -> Option<Result<String, ()>> {
    let is_whole = match escape.as_bytes() {
        [_] => false,
        [_, b'u', digits @ ..] => match digits.len() {
            // The first half of a pair wants the second one.
            4 => {
                !matches!(digits.first_chunk(), Some([b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B']))
            }
            length => length >= 10,
        },
        _ => true,
    };
    is_whole.then(|| serde_json::from_str(&format!("\"{escape}\"")).map_err(|_| ()))
}

impl FieldReader for JsonReader {
    fn add(&mut self, piece: &str, tell: &mut dyn FnMut(&str, &str)) {
        let mut told = String::new();
        for letter in piece.chars() {
            let place = std::mem::replace(&mut self.place, Place::Lost);
            let field = match &place {
                Place::InText { field, .. } => Some(field.clone()),
                _ => None,
            };
            self.place = self.next(place, letter, &mut told);
            if let Some(field) = field
                && !matches!(self.place, Place::InText { .. })
            {
                tell(&field, &std::mem::take(&mut told));
            }
        }
        if let Place::InText { field, .. } = &self.place {
            tell(field, &told);
        }
    }
}
