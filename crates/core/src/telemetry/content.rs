//! What was said, where that is wanted: redacted, and as text.

use std::sync::{PoisonError, RwLock};

use secrecy::SecretString;
use serde_json::Value;

use crate::data::shorten;
use crate::secret::{Redactor, secrets_in};

/// The longest text that a span holds, in characters.
const MAX_CHARS: usize = 100_000;

/// What is taken out of what was said; `None` where nothing of it is to be told.
static CONTENT: RwLock<Option<Redactor>> = RwLock::new(None);

/// Lets the spans of this process say what was said: messages, completions, arguments and results of tools, inputs and
/// outputs of predictors. The redactor takes its secrets out; what stands under the name of a secret goes as well, and
/// whatever looks like a credential. Images, sounds and files are named without their bytes. `None` ends it.
///
/// Whoever reads the spans of this process gets it then, a log on the terminal as well.
pub fn capture_content(redactor: impl Into<Option<Redactor>>) {
    let redactor = redactor.into().map(|redactor| redactor.strict());
    *CONTENT.write().unwrap_or_else(PoisonError::into_inner) = redactor;
}

/// Whether what was said is wanted.
pub(super) fn is_wanted() -> bool {
    CONTENT.read().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// A value as JSON without secrets, and a text as it is, if it is wanted.
pub(super) fn written(value: impl FnOnce() -> Value) -> Option<String> {
    let redactor = CONTENT.read().unwrap_or_else(PoisonError::into_inner).clone()?;
    let mut value = value();
    let named = secrets_in(&value).into_iter().map(SecretString::from);
    redactor.with(named).redact_json(&mut value);
    // A secret at a cut would no longer be known for one.
    cut(&mut value);
    Some(match value {
        Value::String(text) => text,
        value => value.to_string(),
    })
}

/// Shortens every text of a value.
fn cut(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > MAX_CHARS => *text = shorten(text, MAX_CHARS),
        Value::Array(items) => items.iter_mut().for_each(cut),
        Value::Object(fields) => fields.values_mut().for_each(cut),
        _ => {}
    }
}
