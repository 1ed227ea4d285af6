//! What a model thought aloud, told from what it answered.
//!
//! Thinking stands before an answer, in one of a few notations. A draft in it looks like an answer, so it is taken out
//! before anybody reads the text. Where a notation is only spoken of, it stays: in code, in quotes, or opened and
//! closed within a line that begins with something else.

/// The notations: what opens thinking and what closes it. Letter case does not matter.
const NOTATIONS: [(&str, &str); 13] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<reasoning_scratchpad>", "</reasoning_scratchpad>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|think|>", "<|/think|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|channel>", "<channel|>"),
];

/// Of the notations, by their places, those that are also written by people, in prompts above all: behind words of an answer
/// they are a part of it.
const WRITTEN: std::ops::Range<usize> = 1..5;

/// Tokens of chat templates that some servers leave around an answer.
const FRAME: [&str; 15] = [
    "<|begin_of_solution|>",
    "<|end_of_solution|>",
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
    "<|end|>",
    "<|return|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "</s>",
    "<|END_OF_TURN_TOKEN|>",
    "<｜end▁of▁sentence｜>",
];

/// How often a text is gone over again because what was taken out brought another notation together.
const ROUNDS: usize = 16;

/// How far ahead the end of a quotation is looked for, in bytes.
const QUOTATION: usize = 256;

/// The answer in a text and what was thought aloud before it; `None` where nothing was.
pub(super) fn apart(text: &str) -> Option<(String, String)> {
    if !may_think(text) || is_json(text) {
        return None;
    }
    let mut thinking = String::new();
    let mut answer: Option<String> = None;
    for _ in 0..ROUNDS {
        let so_far = answer.as_deref().unwrap_or(text);
        let next = channels(so_far).or_else(|| blocks(so_far)).or_else(|| without_frame(so_far));
        let Some((rest, thought)) = next else { break };
        add(&mut thinking, &thought);
        answer = Some(rest);
    }
    Some((answer?, thinking))
}

/// Whether a text may hold a notation, or the words of a channel without its marks. Nearly all replies hold none, so this
/// looks at each byte once.
fn may_think(text: &str) -> bool {
    let bytes = text.as_bytes();
    let begins = |(at, byte): (usize, &u8)| match byte {
        b'<' => true,
        b'[' => matches!(bytes.get(at + 1), Some(b'T' | b't' | b'/')),
        0xE2 => bytes.get(at..).is_some_and(|rest| rest.starts_with("◁".as_bytes())),
        _ => false,
    };
    bytes.iter().enumerate().any(begins) || text.trim_start().starts_with(BARE_ANALYSIS)
}

/// Whether the part of a text from a place on may make a notation, or belong to one that began before it. As [`may_think`],
/// for a text that grows.
pub(super) fn may_hold_thinking(text: &str, from: usize) -> bool {
    // Whole, every notation that is known begins with one of a few letters.
    let from = text.floor_char_boundary(from.saturating_sub(LONGEST));
    let is_whole =
        |at: usize| text.get(at..).is_some_and(|rest| tokens().any(|token| begins_with(rest, token)));
    let starts = text.get(from..).unwrap_or_default().match_indices(STARTS);
    starts.map(|(at, _)| from + at).any(is_whole) || text.trim_start().starts_with(BARE_ANALYSIS)
}

/// Where at the end of a text the beginning of a notation may stand that is not whole yet; the end where there is none.
pub(super) fn notation_begins(text: &str) -> usize {
    let lead = text.trim_start();
    if !lead.is_empty() && BARE_ANALYSIS.starts_with(lead) {
        return text.len() - lead.len();
    }
    let from = text.floor_char_boundary(text.len().saturating_sub(LONGEST));
    let starts = text.get(from..).unwrap_or_default().match_indices(STARTS);
    let is_beginning = |at: &usize| {
        let rest = text.get(*at..).unwrap_or_default();
        tokens().any(|token| begins_with(token, rest))
    };
    starts.map(|(at, _)| from + at).find(is_beginning).unwrap_or(text.len())
}

/// The answer in the beginning of a reply.
pub(super) fn answer_so_far(text: &str) -> String {
    // Which channel it is shows where its head has ended, and whether it is one where the next begins.
    let open = text.rfind(CHANNEL).filter(|at| !text.get(*at..).unwrap_or_default().contains(MESSAGE));
    let text = open.and_then(|at| text.get(..at)).unwrap_or(text);
    if text.trim_start().starts_with(BARE_ANALYSIS) && !text.contains(BARE_FINAL) {
        return String::new();
    }
    match apart(text) {
        Some((answer, _)) => answer,
        None => text.to_owned(),
    }
}

/// The letters that notations begin with.
const STARTS: [char; 3] = ['<', '[', '◁'];

/// No notation is longer, in bytes.
const LONGEST: usize = 40;

/// All that may be a notation or a part of one.
fn tokens() -> impl Iterator<Item = &'static str> {
    let tags = NOTATIONS.iter().flat_map(|(open, close)| [*open, *close]);
    tags.chain(FRAME).chain(ENDS)
}

/// Whether a text begins with a token, whatever their letter case.
fn begins_with(text: &str, token: &str) -> bool {
    text.as_bytes().get(..token.len()).is_some_and(|head| head.eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether a text is one JSON value: a notation in it is a part of a value.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Adds a thought behind others, as a paragraph of its own.
pub(super) fn add(thinking: &mut String, more: &str) {
    let more = more.trim();
    if !thinking.is_empty() && !more.is_empty() {
        thinking.push_str("\n\n");
    }
    thinking.push_str(more);
}

/// Takes the tokens of the template off both ends.
fn without_frame(text: &str) -> Option<(String, String)> {
    let mut bare = text.trim();
    let mut found = false;
    while let Some(next) =
        FRAME.iter().find_map(|token| bare.strip_prefix(token).or_else(|| bare.strip_suffix(token)))
    {
        (bare, found) = (next.trim(), true);
    }
    found.then(|| (bare.to_owned(), String::new()))
}

const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
const ENDS: [&str; 6] = ["<|end|>", "<|return|>", "<|call|>", "<|start|>", CHANNEL, MESSAGE];

/// The channels of gpt-oss: `analysis` and `commentary` are thinking, and the last `final` is the answer.
fn channels(text: &str) -> Option<(String, String)> {
    if !text.contains(CHANNEL) {
        return bare_channels(text);
    }
    let mut thinking = String::new();
    let mut answer = "";
    let mut rest = text;
    let mut found = false;
    while let Some((before, behind)) = rest.split_once(MESSAGE) {
        let (lead, name) = before.rsplit_once(CHANNEL).unwrap_or(("", before));
        let name = name.split_whitespace().next().unwrap_or_default();
        let is_final = name.starts_with("final");
        if !(is_final || name.starts_with("analysis") || name.starts_with("commentary")) || is_spoken_of(lead)
        {
            break;
        }
        found = true;
        // Where the template has eaten the beginning, what stands before the first mark is thinking as well.
        add(&mut thinking, lead.split("<|").next().unwrap_or_default());
        let ends =
            |at: &usize| behind.get(*at..).is_some_and(|rest| ENDS.iter().any(|end| rest.starts_with(end)));
        let end = behind.match_indices("<|").map(|(at, _)| at).find(ends).unwrap_or(behind.len());
        let (body, next) = behind.split_at(end);
        if is_final {
            add(&mut thinking, answer);
            answer = body;
        } else {
            add(&mut thinking, body);
        }
        rest = next;
    }
    found.then(|| (answer.trim().to_owned(), thinking))
}

const BARE_ANALYSIS: &str = "analysis";
const BARE_FINAL: &str = "assistantfinal";

/// The same where a server has dropped the marks of the channels and left their names.
fn bare_channels(text: &str) -> Option<(String, String)> {
    let (thinking, answer) = text.trim_start().strip_prefix(BARE_ANALYSIS)?.rsplit_once(BARE_FINAL)?;
    Some((answer.trim().to_owned(), thinking.replace(BARE_FINAL, "\n")))
}

/// Whether a mark behind `lead` is within code or quotes of its line.
fn is_spoken_of(lead: &str) -> bool {
    let line = lead.rsplit('\n').next().unwrap_or_default();
    let odd = |mark: char| line.matches(mark).count() % 2 == 1;
    odd('`') || odd('"')
}

/// One end of a block of thinking.
#[derive(Debug, Clone, Copy)]
struct Tag {
    start: usize,
    end: usize,
    notation: usize,
    opens: bool,
}

/// Takes blocks between tags out.
fn blocks(text: &str) -> Option<(String, String)> {
    let tags: Vec<Tag> =
        text.match_indices(['<', '[', '◁']).filter_map(|(start, _)| tag_at(text, start)).collect();
    if tags.is_empty() {
        return None;
    }
    let mut reader =
        Reader { text, tags: &tags, kept: Kept::new(text), thinking: String::new(), from: 0, missing: 0 };
    let mut next = 0;
    let mut found = false;
    while let Some(tag) = tags.get(next).copied() {
        next += 1;
        reader.keep(tag.start);
        if reader.kept.quotes(tag.start, tag.end) {
            continue;
        }
        if !tag.opens {
            // The template has eaten what opened this: all before it was thinking.
            add(&mut reader.thinking, &reader.kept.take());
            reader.from = tag.end;
            found = true;
            continue;
        }
        let is_block = reader.kept.is_at_line_start();
        if WRITTEN.contains(&tag.notation) && reader.kept.has_words() {
            let end = reader.closing(next, tag, false).map_or(tag.end, |(_, close)| close.end);
            reader.keep(end);
            next = tags.iter().position(|one| one.start >= reader.from).unwrap_or(tags.len());
            continue;
        }
        let closing = reader.closing(next, tag, is_block);
        let Some((index, close)) = closing else {
            if is_block {
                reader.think(tag.end, text.len(), text.len());
                found = true;
                break;
            }
            continue;
        };
        next = index + 1;
        let within = text.get(tag.end..close.start).unwrap_or_default();
        if is_block || within.contains('\n') {
            reader.think(tag.end, close.start, close.end);
            found = true;
        } else {
            reader.keep(close.end);
        }
    }
    if !found {
        return None;
    }
    reader.keep(text.len());
    Some((reader.kept.text.trim().to_owned(), reader.thinking))
}

fn tag_at(text: &str, start: usize) -> Option<Tag> {
    let bytes = text.as_bytes();
    NOTATIONS.iter().enumerate().find_map(|(notation, (open, close))| {
        [(open, true), (close, false)].into_iter().find_map(|(tag, opens)| {
            let end = start + tag.len();
            let is_it = bytes.get(start..end)?.eq_ignore_ascii_case(tag.as_bytes());
            is_it.then_some(Tag { start, end, notation, opens })
        })
    })
}

struct Reader<'a> {
    text: &'a str,
    tags: &'a [Tag],
    kept: Kept<'a>,
    thinking: String,
    /// Up to where the text was read.
    from: usize,
    /// Notations, one a bit, that nothing closes any more, so that it is not looked for again.
    missing: u32,
}

impl Reader<'_> {
    /// Keeps the text up to a place.
    fn keep(&mut self, to: usize) {
        self.kept.push(self.text.get(self.from..to).unwrap_or_default());
        self.from = self.from.max(to);
    }

    /// Takes a part of the text for thinking, and goes on behind it.
    fn think(&mut self, start: usize, end: usize, behind: usize) {
        add(&mut self.thinking, self.text.get(start..end).unwrap_or_default());
        self.from = behind;
        // What stood on both sides must not become one word.
        let is_glued = self.text.get(behind..).is_some_and(|rest| !rest.starts_with(char::is_whitespace));
        if is_glued && !self.kept.text.is_empty() && !self.kept.text.ends_with(char::is_whitespace) {
            self.kept.push(" ");
        }
    }

    /// What closes `tag`, looked for from a number of tag on: the next tag of its notation that is not quoted, else the
    /// next of it; for a block else whatever closes one.
    fn closing(&mut self, from: usize, tag: Tag, any: bool) -> Option<(usize, Tag)> {
        let closing = |what: &dyn Fn(&Tag) -> bool| {
            let later = self.tags.iter().enumerate().skip(from);
            later.map(|(index, tag)| (index, *tag)).find(|(_, tag)| !tag.opens && what(tag))
        };
        let bit = 1_u32 << tag.notation;
        let unquoted = bit << NOTATIONS.len();
        // Two notations end alike.
        let close = |one: &Tag| NOTATIONS.get(one.notation).map(|(_, close)| close);
        let own = |one: &Tag| close(one) == close(&tag);
        let bare = |one: &Tag| own(one) && !is_between_quotes(self.text, one.start, one.end);
        let mut found = None;
        if self.missing & unquoted == 0 {
            found = closing(&bare);
        }
        let mut missing = if found.is_none() { unquoted } else { 0 };
        if found.is_none() && self.missing & bit == 0 {
            found = closing(&own);
            missing |= if found.is_none() { bit } else { 0 };
        }
        if found.is_none() && any {
            found = closing(&|_| true);
        }
        self.missing |= missing;
        found
    }
}

/// Whether the same quotation mark stands right before and right behind.
fn is_between_quotes(text: &str, start: usize, end: usize) -> bool {
    let before = text.get(..start).and_then(|text| text.chars().next_back());
    let behind = text.get(end..).and_then(|text| text.chars().next());
    before.is_some_and(|mark| "`\"'".contains(mark)) && before == behind
}

/// The text that is kept, and what is known of its last line.
struct Kept<'a> {
    text: String,
    whole: &'a str,
    /// Where the last fence of the whole text is: one behind it closes nothing.
    last_fence: Option<usize>,
    in_fence: bool,
    line_start: usize,
    is_blank: bool,
    ticks: usize,
    quotes: usize,
    is_escaped: bool,
}

const FENCE: &str = "```";

impl<'a> Kept<'a> {
    fn new(whole: &'a str) -> Self {
        Self {
            text: String::new(),
            whole,
            last_fence: whole.rfind(FENCE),
            in_fence: false,
            line_start: 0,
            is_blank: true,
            ticks: 0,
            quotes: 0,
            is_escaped: false,
        }
    }

    fn push(&mut self, more: &str) {
        for letter in more.chars() {
            if letter == '\n' {
                self.end_line();
                self.text.push(letter);
                self.begin_line();
                continue;
            }
            self.text.push(letter);
            self.is_blank &= letter.is_whitespace();
            self.ticks += usize::from(letter == '`');
            self.quotes += usize::from(letter == '"' && !self.is_escaped);
            self.is_escaped = letter == '\\' && !self.is_escaped;
        }
    }

    fn end_line(&mut self) {
        let line = self.text.get(self.line_start..).unwrap_or_default();
        self.in_fence ^= line.trim_start().starts_with(FENCE);
    }

    fn begin_line(&mut self) {
        (self.line_start, self.is_blank, self.ticks, self.quotes) = (self.text.len(), true, 0, 0);
    }

    /// Gives away all that was kept.
    fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        self.in_fence = false;
        self.begin_line();
        text
    }

    /// Whether words of an answer were kept: other than a marker such as `[[ ## answer ## ]]`.
    fn has_words(&self) -> bool {
        let text = self.text.trim_end_matches(|mark: char| mark.is_whitespace() || ":*_".contains(mark));
        !text.is_empty() && !text.ends_with("]]")
    }

    /// Whether nothing of an answer is on the line yet: it may begin with a marker such as `[[ ## answer ## ]]`.
    fn is_at_line_start(&self) -> bool {
        let line = self.text.get(self.line_start..).unwrap_or_default();
        self.is_blank || line.trim_end_matches([' ', ':', '*', '_']).ends_with("]]")
    }

    /// Whether a tag that comes next is within code or quotes.
    fn quotes(&self, start: usize, end: usize) -> bool {
        if self.in_fence && self.last_fence.is_some_and(|last| last > end) {
            return true;
        }
        let ahead = self.whole.get(end..).unwrap_or_default();
        let ahead = ahead.get(..ahead.floor_char_boundary(QUOTATION)).unwrap_or_default();
        let ahead = ahead.split('\n').next().unwrap_or_default();
        (self.ticks % 2 == 1 && ahead.contains('`'))
            || (self.quotes % 2 == 1 && ahead.contains('"'))
            || is_between_quotes(self.whole, start, end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, answer: &str, thinking: &str) {
        let (found, thought) = apart(text).unwrap_or_else(|| (text.to_owned(), String::new()));
        assert_eq!((found.as_str(), thought.as_str()), (answer, thinking), "{text}");
    }

    #[test]
    fn every_notation_is_known() {
        for (open, close) in NOTATIONS {
            check(&format!("{open}\nsales?\n{close}\n\nbilling"), "billing", "sales?");
            check(&format!("{open}sales?{close}billing"), "billing", "sales?");
            check(&format!("{open}\n\n{close}\n\nbilling"), "billing", "");
            check(&format!(" \n{open}a{close} {open}b{close}\nbilling"), "billing", "a\n\nb");
            // The template has eaten the opening tag, or the end was cut off.
            check(&format!("sales?\n{close}\n\nbilling"), "billing", "sales?");
            check(&format!("sales?{close}billing"), "billing", "sales?");
            check(&format!("{open}\nsales, because"), "", "sales, because");
        }
        check("<THINK>a</Think>b", "b", "a");
        check("<|channel>thought\n<channel|>billing", "billing", "");
        check("<|channel>\nThe user asks.\n<channel|>\n4", "4", "The user asks.");
    }

    #[test]
    fn thinking_within_thinking_is_thinking() {
        check("<think>a <think>b</think> c</think>\nd", "d", "a <think>b\n\nc");
        check("<think>\n<think>\na\n</think>\nb", "b", "<think>\na");
        check("<think>a<reasoning>b</reasoning>c</think>d", "d", "a<reasoning>b</reasoning>c");
        check(
            "<thinking>I close with `</thinking>` then.</thinking>a",
            "a",
            "I close with `</thinking>` then.",
        );
        check("<think>a</thinking>b", "b", "a");
    }

    #[test]
    fn a_block_may_stand_behind_words_or_a_marker() {
        check("Let me see.\n<think>\nsales?\n</think>\nbilling", "Let me see.\n\nbilling", "sales?");
        check("Sure. <think>a\nb</think>billing", "Sure. billing", "a\nb");
        check("[[ ## a ## ]]\n<think>x</think>\ny", "[[ ## a ## ]]\n\ny", "x");
        check("billing\n<think>\nor sales", "billing", "or sales");
        check("[[ ## a ## ]] <think>x</think> y", "[[ ## a ## ]]  y", "x");
        check("**[[ ## a ## ]]:** <think>x</think> y", "**[[ ## a ## ]]:**  y", "x");
    }

    #[test]
    fn what_is_only_spoken_of_stays() {
        for text in [
            "",
            "[[ ## a ## ]]\nb",
            "a < b and [c]",
            "Write `<think>` first.",
            "Close it with `</think>`.",
            "Put drafts between <think> and </think>.",
            "Use `<think>draft</think>` as the tag.",
            "{\"note\": \"ends with </think> here\"}",
            "An example:\n```\n<think>\na\n</think>\nb\n```\nDone.",
            "The tag '<think>' opens it, '</think>' closes it.",
            "The marks `<|channel|>final<|message|>` begin the answer.",
            "x <think> y",
            "analysis of the assistant",
            "Classify the ticket.\n<thinking>\nstep by step\n</thinking>\nThen answer.",
            "Answer in this form:\n<reasoning>\nwhy\n</reasoning>\n<answer>\nwhat\n</answer>",
            "Write your thoughts after\n<thinking>\nand then stop.",
            "{\"a\": \"a 5\\\" screen\", \"b\": \"</think> and much more\"}",
        ] {
            assert_eq!(apart(text), None, "{text}");
        }
        let long = "x".repeat(400);
        let json = format!("{{\"reasoning\": \"ends with </think> {long}\", \"answer\": \"b\"}}");
        assert_eq!(apart(&json), None);
        check("<think>a</think>Use <think>b</think> as tags.", "Use <think>b</think> as tags.", "a");
    }

    #[test]
    fn channels_are_told_apart() {
        let marked =
            "<|channel|>analysis<|message|>sales?<|end|><|start|>assistant<|channel|>final<|message|>billing";
        check(marked, "billing", "sales?");
        check(&format!("{marked}<|return|>"), "billing", "sales?");
        check(&format!("<|start|>assistant{marked}"), "billing", "sales?");
        check("sales?<|end|><|start|>assistant<|channel|>final<|message|>billing", "billing", "sales?");
        check("<|channel|>analysis<|message|>sales, because", "", "sales, because");
        check("<|channel|>commentary to=functions.x <|constrain|>json<|message|>{}<|call|>", "", "{}");
        check("analysisIt is \"sales\".assistantfinalbilling", "billing", "It is \"sales\".");
    }

    #[test]
    fn tokens_of_the_template_are_no_part_of_an_answer() {
        check("billing<|im_end|>", "billing", "");
        check("<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>b<|end_of_solution|>", "b", "a");
        check("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "b", "a");
    }

    #[test]
    fn a_long_text_of_nothing_but_tags_is_read() {
        let channel = "<|channel|>analysis<|message|>a";
        for unit in ["<think>", "</think>", "x<think>", "`</think>` <think>", "\"<think>'</think>' ", channel]
        {
            let text = unit.repeat(1_000_000 / unit.len());
            let read = apart(&text).map_or(0, |(answer, thinking)| answer.len() + thinking.len());
            assert!(read <= 2 * text.len(), "{unit}");
        }
    }

    /// Pieces that texts with and without thinking are made of.
    fn piece() -> impl Strategy<Value = String> {
        let tags: Vec<String> = NOTATIONS
            .iter()
            .flat_map(|(open, close)| [(*open).to_owned(), (*close).to_owned()])
            .chain(ENDS.map(str::to_owned))
            .chain(FRAME.map(str::to_owned))
            .collect();
        prop_oneof![
            prop::sample::select(tags),
            "[a-z`\"' \n{}]{0,6}",
            Just("```\n".to_owned()),
            Just("analysis".to_owned()),
            Just("assistantfinal".to_owned()),
            Just("final".to_owned()),
        ]
    }

    fn joined() -> impl Strategy<Value = String> {
        prop::collection::vec(piece(), 0..12).prop_map(|pieces| pieces.concat())
    }

    /// Thinking in one notation or several, one within the other, in which the word stands that no answer has.
    fn thought() -> impl Strategy<Value = String> {
        let words = "[a-z .\n]{0,8}".prop_map(|words| format!("{words}SECRET{words}"));
        words.prop_recursive(3, 12, 2, |inner| {
            (prop::sample::select(&NOTATIONS[..]), inner.clone(), inner)
                .prop_map(|((open, close), one, other)| format!("{one}{open}{other}{close}{one}"))
        })
    }

    proptest! {
        #[test]
        fn reading_again_changes_nothing(text in joined()) {
            if let Some((answer, _)) = apart(&text) {
                prop_assert!(apart(&answer).is_none_or(|(again, _)| again == answer), "{:?} {:?}", answer, apart(&answer));
            }
        }

        #[test]
        fn any_text_without_a_notation_comes_back_as_it_was(text in "[^<◁]*") {
            prop_assume!(!text.to_lowercase().contains("[think]") && !text.to_lowercase().contains("[/think]"));
            prop_assume!(!text.contains(BARE_FINAL));
            prop_assert_eq!(apart(&text), None);
        }

        #[test]
        fn no_thinking_gets_into_the_answer(
            notation in prop::sample::select(&NOTATIONS[..]),
            thought in thought(),
            answer in "[A-Za-z][a-z \n{}\\[\\]#]{0,20}[a-z]",
            opened: bool,
        ) {
            let open = if opened { notation.0 } else { "" };
            let (found, _) = apart(&format!("{open}{thought}{}{answer}", notation.1)).unwrap();
            prop_assert_eq!(found, answer);
        }
    }
}
