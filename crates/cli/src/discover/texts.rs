//! The texts of a program that stay the same from row to row, found in what it sends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use promptopt_core::data::plain_text;
use promptopt_core::lm::{Part, Role};
use promptopt_gateway::Component;

use super::files::TextFile;
use super::template::{Sample, common, words};
use super::watch::{Call, Seen};

/// The most texts of one place that are compared, and the longest text that is looked at, in bytes.
const MAX_SAMPLES: usize = 32;
const MAX_TEXT: usize = 512 * 1024;
/// The fewest words of a file that is only a part of a text.
const FEWEST_WORDS: usize = 3;

/// Where a text stands in a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// What the system or the developer says.
    System,
    User,
    /// The description of a tool.
    Tool(String),
}

/// A text of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) text: String,
    /// The file whose content it is.
    pub(crate) file: Option<PathBuf>,
    /// In the requests of how many rows it stands.
    pub(crate) rows: usize,
}

/// A piece of a text that was sent.
struct Piece {
    row: usize,
    call: usize,
    place: Place,
    /// The number of the message among those of its kind, and of the piece in it.
    at: (usize, usize),
    /// Where in the message it begins.
    offset: usize,
    text: String,
    /// What was known when it was sent.
    known: Vec<(String, String)>,
    /// Whether it is followed by an answer that the program itself gives: the two are an example.
    is_example: bool,
}

/// Where a text was sent first: row, call, place, the number of the message, and where in it.
type Order = (usize, usize, Place, usize, usize);
/// What a call is told by: the texts and tools in it that are known, or else its number among those without any.
type Marks = BTreeMap<(usize, usize), BTreeSet<String>>;

/// The texts that stay the same, and those that are contents of files, in the order in which they were sent.
pub(crate) fn found(rows: &[Seen], files: &[TextFile]) -> Vec<Found> {
    let mut pieces = pieces(rows);
    let mut all: Vec<(Order, Found)> = Vec::new();
    let mut marks = Marks::new();
    for file in files {
        all.extend(of_file(file, &mut pieces, &mut marks, rows.len()));
    }
    let constant = constant(&pieces, rows.len());
    for (kind, text) in &constant {
        let stands = |piece: &&Piece| piece.place.kind() == *kind && piece.text == *text;
        let Some(first) = pieces.iter().filter(stands).find(|piece| !piece.is_example) else { continue };
        let in_rows: BTreeSet<usize> = pieces.iter().filter(stands).map(|piece| piece.row).collect();
        all.push((first.order(), first.found(text.clone(), in_rows.len())));
    }
    let is_constant = |piece: &&Piece| constant.contains(&(piece.place.kind(), piece.text.clone()));
    for piece in pieces.iter().filter(is_constant) {
        marks.entry((piece.row, piece.call)).or_default().insert(piece.text.clone());
    }
    for piece in &pieces {
        if let Place::Tool(name) = &piece.place {
            marks.entry((piece.row, piece.call)).or_default().insert(name.clone());
        }
    }
    let mut slots: BTreeMap<_, Vec<&Piece>> = BTreeMap::new();
    for piece in pieces.iter().filter(|piece| !is_constant(piece) && !piece.is_example) {
        slots.entry((piece.place.kind(), mark(piece, &pieces, &marks), piece.at)).or_default().push(piece);
    }
    for slot in slots.into_values() {
        if let Some((order, found)) = of_slot(&slot, rows.len())
            && !all.iter().any(|(_, other)| other.text == found.text && other.place == found.place)
        {
            all.push((order, found));
        }
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    with_names(all.into_iter().map(|(_, found)| found).collect())
}

/// A file's content where it was sent. It is taken out of the texts, and what is left of them stays.
fn of_file(
    file: &TextFile,
    pieces: &mut Vec<Piece>,
    marks: &mut Marks,
    rows: usize,
) -> Option<(Order, Found)> {
    let hit = |piece: &Piece| {
        let (range, _) = file.component.find(&piece.text)?;
        let is_whole = range.len() == piece.text.len();
        (is_whole || words(file.component.text()) >= FEWEST_WORDS).then_some(range)
    };
    let in_rows: BTreeSet<usize> =
        pieces.iter().filter(|piece| hit(piece).is_some()).map(|piece| piece.row).collect();
    let (first, range) = pieces.iter().find_map(|piece| Some((piece, hit(piece)?)))?;
    // A file that holds what one row asked is a record of it, and not a prompt.
    if first.place == Place::User && in_rows.len() < rows && file.component.places().is_empty() {
        return None;
    }
    let found = first.found(file.component.text().to_owned(), in_rows.len());
    let mut order = first.order();
    order.4 += range.start;
    let found = (order, Found { file: Some(file.path.clone()), ..found });
    let mut rest = Vec::with_capacity(pieces.len());
    for piece in pieces.drain(..) {
        let Some(range) = hit(&piece) else {
            rest.push(piece);
            continue;
        };
        marks.entry((piece.row, piece.call)).or_default().insert(file.path.display().to_string());
        let sides = [(0, piece.text.get(..range.start)), (range.end, piece.text.get(range.end..))];
        for (number, (begin, side)) in sides.into_iter().enumerate() {
            let text = side.unwrap_or_default().trim().to_owned();
            let (at, offset) = ((piece.at.0, 2 * piece.at.1 + number), piece.offset + begin);
            if words(&text) > 0 {
                rest.push(Piece {
                    at,
                    offset,
                    text,
                    place: piece.place.clone(),
                    known: piece.known.clone(),
                    ..piece
                });
            }
        }
    }
    *pieces = rest;
    Some(found)
}

/// The texts that are the same wherever they stand. What a user says is one of them where every row has it.
fn constant(pieces: &[Piece], rows: usize) -> BTreeSet<(u8, String)> {
    let mut seen: BTreeMap<(u8, &str), BTreeSet<usize>> = BTreeMap::new();
    for piece in pieces {
        seen.entry((piece.place.kind(), &piece.text)).or_default().insert(piece.row);
    }
    let is_constant = |((kind, _), seen): &((u8, &str), BTreeSet<usize>)| {
        seen.len() > 1 && (*kind != Place::User.kind() || seen.len() == rows)
    };
    let constant = seen.into_iter().filter(is_constant);
    constant.map(|((kind, text), _)| (kind, text.to_owned())).collect()
}

/// What the call of a text is told by.
fn mark(piece: &Piece, pieces: &[Piece], marks: &Marks) -> String {
    if let Some(marks) = marks.get(&(piece.row, piece.call)) {
        return marks.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    }
    let before: BTreeSet<usize> = pieces
        .iter()
        .filter(|other| other.row == piece.row && other.call < piece.call)
        .map(|other| other.call)
        .filter(|call| !marks.contains_key(&(piece.row, *call)))
        .collect();
    before.len().to_string()
}

/// What the texts of one place in different rows have in common.
fn of_slot(slot: &[&Piece], rows: usize) -> Option<(Order, Found)> {
    let mut seen = BTreeSet::new();
    let slot: Vec<&&Piece> = slot
        .iter()
        .filter(|piece| piece.text.len() <= MAX_TEXT && seen.insert((piece.row, piece.text.as_str())))
        .take(MAX_SAMPLES)
        .collect();
    let in_rows: BTreeSet<usize> = slot.iter().map(|piece| piece.row).collect();
    if in_rows.len() < 2 && rows > 1 {
        return None;
    }
    let samples: Vec<Sample<'_>> =
        slot.iter().map(|piece| Sample { text: &piece.text, known: &piece.known }).collect();
    let first = slot.first()?;
    Some((first.order(), first.found(common(&samples)?, in_rows.len())))
}

impl Place {
    /// In which part of a request it is: a tool's name does not matter.
    fn kind(&self) -> u8 {
        match self {
            Self::System => 0,
            Self::User => 1,
            Self::Tool(_) => 2,
        }
    }

    /// In words.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::System => "system message".to_owned(),
            Self::User => "user message".to_owned(),
            Self::Tool(name) => format!("tool {name}"),
        }
    }
}

impl Piece {
    fn order(&self) -> Order {
        (self.row, self.call, self.place.clone(), self.at.0, self.offset)
    }

    fn found(&self, text: String, rows: usize) -> Found {
        Found { name: String::new(), place: self.place.clone(), text, file: None, rows }
    }
}

/// All texts of all calls.
fn pieces(rows: &[Seen]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (row, seen) in rows.iter().enumerate() {
        let mut known: Vec<(String, String)> =
            seen.inputs.iter().map(|(name, value)| (name.clone(), plain_text(value))).collect();
        for (number, call) in seen.calls.iter().enumerate().filter(|(_, call)| !call.embeds) {
            for (place, at, text, is_example) in texts(call) {
                let text = Component::new("sent", &text).text().to_owned();
                if words(&text) > 0 {
                    let known = known.clone();
                    pieces.push(Piece {
                        row,
                        call: number,
                        place,
                        at: (at, 0),
                        offset: 0,
                        text,
                        known,
                        is_example,
                    });
                }
            }
            // What a model said before may stand in what it is asked then.
            if let Some(Ok(reply)) = &call.result {
                let number = seen.calls.iter().take(number).filter(|call| !call.embeds).count();
                let name = if number == 0 { "reply".to_owned() } else { format!("reply{}", number + 1) };
                let is_free = !known.iter().any(|(taken, _)| *taken == name);
                if is_free && reply.first_text().trim().chars().count() >= 3 {
                    known.push((name, reply.first_text().to_owned()));
                }
            }
        }
    }
    pieces
}

/// The texts of a call, each with its place and its number there, and whether the program answers it itself.
fn texts(call: &Call) -> Vec<(Place, usize, String, bool)> {
    let mut texts = Vec::new();
    let mut counts = [0, 0];
    let messages = &call.request.messages;
    for (number, message) in messages.iter().enumerate() {
        let (place, count) = match message.role {
            Role::System | Role::Developer => (Place::System, &mut counts[0]),
            Role::User => (Place::User, &mut counts[1]),
            _ => continue,
        };
        let is_example = message.role == Role::User
            && messages.get(number + 1).is_some_and(|next| next.role == Role::Assistant);
        let mut add = |text: &str| {
            texts.push((place.clone(), *count, text.to_owned(), is_example));
            *count += 1;
        };
        match message.content.as_slice() {
            [] => add(message.content.as_str()),
            parts => parts.iter().filter_map(Part::text).for_each(add),
        }
    }
    for tool in &call.request.tools {
        texts.push((Place::Tool(tool.name.clone()), 0, tool.description.clone(), false));
    }
    texts
}

/// The same with a name for each: that of its file, of its tool, or of who says it.
fn with_names(found: Vec<Found>) -> Vec<Found> {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let named = found.into_iter().map(|found| {
        let stem =
            found.file.as_deref().and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
        let name = stem.unwrap_or_else(|| match &found.place {
            Place::System => "system".to_owned(),
            Place::User => "user".to_owned(),
            Place::Tool(name) => format!("tool-{name}"),
        });
        let letter =
            |letter: char| if letter.is_alphanumeric() || "_-".contains(letter) { letter } else { '-' };
        let name: String = name.chars().map(letter).take(60).collect();
        let name = if name.is_empty() { "text".to_owned() } else { name };
        let mut numbered = (2..).map(|number| format!("{name}-{number}"));
        let free = if taken.contains(&name) { numbered.find(|name| !taken.contains(name)) } else { None };
        let name = free.unwrap_or(name);
        taken.insert(name.clone());
        Found { name, ..found }
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use promptopt_core::data::Fields;
    use promptopt_core::lm::{LmReply, LmRequest, Message, ToolCall, ToolDefinition};
    use promptopt_core::money::Usage;
    use serde_json::json;

    use super::*;

    fn call(messages: Vec<Message>, tools: &[(&str, &str)], reply: &str) -> Call {
        let mut request = LmRequest::new(messages);
        request.tools =
            tools.iter().map(|(name, about)| ToolDefinition::new(*name, *about, json!({}))).collect();
        let result = Some(Ok(LmReply::text(reply, Usage::call(1, 1))));
        Call { model: "m".to_owned(), embeds: false, request, result }
    }

    fn row(question: &str, calls: Vec<Call>) -> Seen {
        let inputs = Fields::from_iter([("question".to_owned(), question.into())]);
        Seen { inputs, calls, answer: Ok(Fields::new()), is_unusable: false }
    }

    fn file(path: &str, text: &str) -> TextFile {
        TextFile::new(path.into(), text)
    }

    fn check(rows: &[Seen], files: &[TextFile], expected: &[(&str, &str)]) {
        let found = found(rows, files);
        let found: Vec<(&str, &str)> =
            found.iter().map(|found| (found.name.as_str(), found.text.as_str())).collect();
        assert_eq!(found, expected);
    }

    /// An agent that asks once with a tool and once with what the tool said.
    fn agent(question: &str, system: &str) -> Seen {
        let tools = [("search", "Searches the shelves.")];
        let begin =
            vec![Message::system(system), Message::user(format!("Please answer this question: {question}"))];
        let asked = Message::assistant("").with_tool_calls(vec![ToolCall::new("1", "search", "{}")]);
        let then = [begin.clone(), vec![asked, Message::tool_result("1", "a book")]].concat();
        row(question, vec![call(begin, &tools, ""), call(then, &tools, "An answer.")])
    }

    #[test]
    fn an_agents_texts_are_found_once() {
        let rows = ["tea?", "ink?", "oil?"].map(|question| agent(question, "You are a clerk."));
        let user = ("user", "Please answer this question: {question}");
        let tool = ("tool-search", "Searches the shelves.");
        check(&rows, &[], &[("system", "You are a clerk."), user, tool]);
        let files = [file("prompts/tone.txt", "You are a {who}.\n")];
        check(&rows, &files, &[("tone", "You are a {who}."), user, tool]);
        // A system prompt that tells the day.
        let rows = [("tea?", "Monday"), ("ink?", "Sunday")]
            .map(|(question, day)| agent(question, &format!("You are a clerk in a shop. Today is {day}.")));
        check(&rows, &[], &[("system", "You are a clerk in a shop. Today is {text}"), user, tool]);
    }

    #[test]
    fn a_message_of_two_files_is_two_texts() {
        let rows = ["tea?", "ink?"].map(|question| {
            let system = "Be brief and kind.\n\nNever speak of prices.\n\nThe shop opens at nine.";
            row(question, vec![call(vec![Message::system(system), Message::user(question)], &[], "x")])
        });
        let files = [file("rules.md", "Never speak of prices.\n"), file("tone.md", "Be brief and kind.")];
        check(
            &rows,
            &files,
            &[
                ("tone", "Be brief and kind."),
                ("rules", "Never speak of prices."),
                ("system", "The shop opens at nine."),
            ],
        );
    }

    #[test]
    fn a_second_prompt_has_the_first_reply_in_its_place() {
        let rows = [("tea?", "A draft on tea"), ("ink?", "Some words about ink")].map(|(question, draft)| {
            let first = vec![Message::user(format!("Write a draft about this: {question}"))];
            let second = vec![Message::user(format!(
                "Make this draft shorter: {draft}\nKeep what answers {question}"
            ))];
            row(question, vec![call(first, &[], draft), call(second, &[], "Short.")])
        });
        check(
            &rows,
            &[],
            &[
                ("user", "Write a draft about this: {question}"),
                ("user-2", "Make this draft shorter: {reply}\nKeep what answers {question}"),
            ],
        );
    }

    #[test]
    fn texts_of_one_row_and_examples_are_none() {
        let of = |question: &str, branch: &str| {
            let examples = [Message::user("What is soap made of?"), Message::assistant("Of fat.")];
            let messages =
                [vec![Message::system(branch)], examples.to_vec(), vec![Message::user(question)]].concat();
            row(question, vec![call(messages, &[], "x")])
        };
        let (shop, till) = ("You sell tea.", "You count money all day.");
        check(&[of("a?", shop), of("b?", till), of("c?", shop)], &[], &[("system", shop)]);
        // A file says for certain that it is a prompt, but not that of a question that was written down.
        let files = [file("till.txt", till), file("last.txt", "b?")];
        check(&[of("a?", shop), of("b?", till), of("c?", shop)], &files, &[("system", shop), ("till", till)]);
    }
}
