//! The default library: practices that prompt writers agree on.

use std::sync::LazyLock;

use crate::Tip;

/// The practices, the general ones first, in the form of every library in a file. Weights below 1
/// are for those that help now and then.
const FILE: &str = include_str!("practices.json");

/// Reading cannot fail: a test reads the file, which is part of the program.
pub(crate) static PRACTICES: LazyLock<Vec<Tip>> =
    LazyLock::new(|| serde_json::from_str(FILE).unwrap_or_default());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_practice_keeps_the_rules_for_tips() {
        let practices: Vec<Tip> = serde_json::from_str(FILE).unwrap();
        assert_eq!(practices.len(), 21);
        for tip in practices {
            assert!(tip.weight() > 0.0, "{}", tip.key());
            assert!(tip.text().ends_with('.') && !tip.text().contains("  "), "{}", tip.text());
        }
    }

    #[test]
    fn the_practices_every_user_expects_are_there() {
        for key in
            ["clear_language", "chain_of_thought", "output_format", "role", "edge_cases", "structured_output"]
        {
            assert!(PRACTICES.iter().any(|tip| tip.key() == key), "{key}");
        }
    }
}
