//! Which models are known to reason before they answer, by their names.

/// How the names of models that reason begin, as far as nothing switches it off.
const REASONING: [&str; 21] = [
    "o1",
    "o3",
    "o4-",
    "gpt-5",
    "gpt-6",
    "gpt-oss",
    "deepseek-reasoner",
    "deepseek-r",
    "qwq",
    "qwen3",
    "magistral",
    "gemini-2.5",
    "gemini-3",
    "grok-3-mini",
    "grok-4",
    "glm-4.5",
    "glm-4.6",
    "glm-5",
    "minimax-m",
    "claude-sonnet-5",
    "claude-opus-5",
];

/// Words in a name that say it.
const WORDS: [&str; 3] = ["thinking", "reasoning", "-r1"];

/// Words in a name that say the contrary.
const NOT: [&str; 5] = ["-chat", "instruct", "non-reasoning", "no-thinking", "embedding"];

/// Whether a model reasons, as it is asked to: by its name, such as `openai/gpt-5-mini`, and by the effort.
pub(crate) fn reasons(model: &str, effort: Option<&str>) -> bool {
    if let Some(effort) = effort {
        return !matches!(effort, "none" | "zero");
    }
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    let is_one =
        REASONING.iter().any(|start| name.starts_with(start)) || WORDS.iter().any(|word| name.contains(word));
    is_one && !NOT.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_effort_say_whether_a_model_reasons() {
        for model in [
            "o3-mini",
            "gpt-5-nano",
            "openai/gpt-oss-20b",
            "deepseek-reasoner",
            "deepseek/deepseek-r1:free",
            "Qwen/Qwen3-8B",
            "qwen3:4b",
            "gemini-2.5-flash",
            "moonshotai/kimi-k2-thinking",
            "claude-opus-5",
        ] {
            assert!(reasons(model, None), "{model}");
        }
        for model in [
            "gpt-4o-mini",
            "gpt-5-chat-latest",
            "deepseek-chat",
            "Qwen/Qwen3-30B-A3B-Instruct-2507",
            "llama3.2:3b",
            "claude-haiku-4-5",
            "smollm2-135m",
            "gemini-2.0-flash",
            "qwen2.5-0.5b",
        ] {
            assert!(!reasons(model, None), "{model}");
        }
        assert!(reasons("claude-haiku-4-5", Some("low")) && !reasons("gpt-5.1", Some("none")));
    }
}
