//! Texts that are something else than an instruction.

use super::normalized;
use super::words::words;

/// Whether a text declines the request, or asks for what it needs.
pub(super) fn declines(text: &str) -> bool {
    const BEGINNINGS: [&str; 10] = [
        "i'm sorry",
        "i’m sorry",
        "i am sorry",
        "sorry, ",
        "i can't ",
        "i can’t ",
        "i cannot ",
        "i'm unable",
        "i am unable",
        "i apologize",
    ];
    const QUESTIONS: [&str; 5] =
        ["please provide", "could you provide", "you would like me to", "you'd like me to", "please share"];
    let lower = normalized(text);
    let spoken = words(text);
    let speaks_of_itself = spoken.starts_with(&["as", "an", "ai"].map(str::to_owned))
        || lower.starts_with("as a language model, i ");
    let asks = spoken.len() <= 40
        && (lower.ends_with('?') || lower.starts_with("please provide") && lower.contains(" me to "))
        && QUESTIONS.iter().any(|one| lower.contains(one));
    asks || spoken.len() <= 80 && (speaks_of_itself || BEGINNINGS.iter().any(|one| lower.starts_with(one)))
}

/// Whether a text is written as a letter.
pub(super) fn is_letter(text: &str) -> bool {
    let lower = text.trim_start().to_lowercase();
    let first = lower.lines().next().unwrap_or_default().trim_end();
    let greets = ["dear ", "hi ", "hello "].iter().any(|one| first.starts_with(one)) && first.ends_with(',');
    let signs = ["best regards", "kind regards", "sincerely", "yours truly"];
    lower.starts_with("subject: ") || greets && lower.lines().count() > 1 || {
        let last = lower.lines().rev().filter(|line| !line.trim().is_empty()).take(3);
        let mut signed =
            last.filter(|line| signs.iter().any(|one| line.trim().trim_end_matches(',') == *one));
        signed.next().is_some()
    }
}

/// Whether a text begins as a program.
pub(super) fn is_program(text: &str) -> bool {
    let first = text.trim_start().lines().next().unwrap_or_default().trim_end();
    let opens = first.ends_with([':', '{', ';'])
        && (first.contains(['(', '=']) || first.split_whitespace().count() <= 3);
    let begins = |with: &[&str]| with.iter().any(|one| first.starts_with(one));
    begins(&["#include", "#!/", "<!DOCTYPE", "<html"])
        || begins(&["def ", "class ", "function ", "public ", "async def ", "const ", "let ", "var "])
            && opens
        || begins(&["import ", "from "]) && text.lines().count() > 2 && first.split_whitespace().count() <= 4
}

/// Whether a text is the call of a predictor, as the source of a program has it.
pub(super) fn is_call(text: &str) -> bool {
    const CALLS: [&str; 2] = ["Predict(", "ChainOfThought("];
    text.lines().any(|line| {
        let line = line.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '`');
        let called = line.split_once('=').map_or(line, |(_, called)| called.trim_start());
        CALLS.iter().any(|call| line.starts_with(call) || called.starts_with(call))
    })
}

/// Whether a text fills in the kinds of statements that a request lists: a fact, a rule, a convention and so on.
pub(super) fn is_list_of_kinds(text: &str) -> bool {
    const KINDS: [&str; 5] = ["fact", "rule", "convention", "format", "edge cases"];
    let named = |kind: &str| {
        text.lines().any(|line| {
            let (title, line) =
                (line.trim_start().starts_with('#'), line.trim().trim_start_matches(['#', '*', ' ']));
            let line = line.to_lowercase();
            line.strip_prefix(kind)
                .is_some_and(|rest| rest.trim_start_matches('*').starts_with(':') || title && rest.is_empty())
        })
    };
    KINDS.into_iter().filter(|kind| named(kind)).count() > 2 && named("fact")
}

/// How many sentences of a text are questions, and how many it has.
pub(super) fn questions(text: &str) -> (usize, usize) {
    let (mut questions, mut sentences) = (0, 0);
    for line in text.lines() {
        let mut spoken = false;
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            spoken |= letter.is_alphanumeric();
            let ends = match letter {
                '。' | '？' | '！' => true,
                // What is quoted is not asked.
                '.' | '?' | '!' => letters.peek().is_none_or(|next| next.is_whitespace()),
                _ => false,
            };
            if ends && spoken {
                sentences += 1;
                questions += usize::from("?？".contains(letter));
                spoken = false;
            }
        }
        sentences += usize::from(spoken);
    }
    (questions, sentences)
}

/// Whether a text speaks of an instruction as whoever was asked for one would.
pub(super) fn speaks_of_instructions(text: &str) -> bool {
    const WHICH: [&str; 10] = [
        "present", "current", "new", "basic", "previous", "proposed", "better", "improved", "revised",
        "original",
    ];
    /// What whoever criticises an instruction says of it.
    const CRITICISM: [&str; 14] = [
        "falls", "fell", "does", "did", "leaves", "left", "lacks", "lacked", "fails", "failed", "should",
        "could", "needs", "misses",
    ];
    let spoken = words(text);
    let names = |noun: &str| noun.starts_with("instruction");
    spoken.windows(2).any(|pair| matches!(pair, [which, noun] if WHICH.contains(&which.as_str()) && names(noun)))
        || spoken.windows(3).any(|run| {
            matches!(run, [the, noun, verb] if the == "the" && names(noun) && CRITICISM.contains(&verb.as_str()))
        })
}
