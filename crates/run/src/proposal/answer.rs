//! Texts that are what the predictor would answer.

use promptopt_core::signature::{Field, FieldType};
use serde_json::Value;

use super::words::words;
use super::{Judge, said};

impl Judge {
    /// Whether a text is what the predictor would answer, and not what it is to do.
    pub(super) fn is_answer(&self, text: &str) -> bool {
        if let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text) {
            return self.outputs.iter().any(|output| fields.contains_key(&output.name));
        }
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let valued = |text: &str| self.outputs.iter().any(|output| self.fits(output, text));
        let labelled = |text: &str| {
            let is_choice = |output: &&Field| matches!(output.kind, FieldType::Enum(_));
            self.outputs.iter().filter(is_choice).any(|output| self.fits(output, text))
        };
        let named = |line: &&&str| {
            let name = line.split(':').next().map(said).unwrap_or_default();
            self.fields.iter().any(|field| line.contains(':') && field.name.to_lowercase() == name)
        };
        valued(text)
            || lines.first().is_some_and(|line| labelled(line))
            || lines.last().is_some_and(|line| lines.iter().all(|one| named(&one)) && self.states(line))
            || lines.len() == 1 && (self.states(text) || self.is_filled_in(text))
    }

    /// Whether a line is a field with a word behind it, such as `City: Lima` or `predict ticket: 12`.
    fn is_filled_in(&self, line: &str) -> bool {
        let Some((name, value)) = line.split_once(':') else { return false };
        let name = said(name);
        let name = name.strip_prefix("predict ").unwrap_or(&name);
        (1..=2).contains(&words(value).len())
            && !value.contains(['<', '{', '['])
            && self.fields.iter().any(|field| field.name.to_lowercase() == name)
    }

    /// Whether a line gives an output a value, such as `department: billing`.
    fn states(&self, line: &str) -> bool {
        let line = said(line);
        let line = line.strip_prefix("the ").unwrap_or(&line);
        self.outputs.iter().any(|output| {
            let rest = line.strip_prefix(&output.name.to_lowercase());
            let value = rest
                .and_then(|rest| [": ", " is: ", " is ", " = "].iter().find_map(|is| rest.strip_prefix(is)));
            value.is_some_and(|value| self.fits(output, value))
        })
    }

    /// Whether a text can be the value of an output, and hardly anything else.
    fn fits(&self, output: &Field, text: &str) -> bool {
        let text = said(text);
        match &output.kind {
            FieldType::Enum(labels) => labels.iter().any(|label| said(label) == text),
            FieldType::Bool => ["true", "false", "yes", "no"].contains(&text.as_str()),
            FieldType::Integer | FieldType::Float => text.parse::<f64>().is_ok(),
            FieldType::List(_) => serde_json::from_str::<Vec<Value>>(&text).is_ok(),
            _ => self.values.get(&output.name).is_some_and(|values| values.contains(&text)),
        }
    }
}
