//! Reads the text fields of a reply while it comes.

use promptopt_core::signature::{Field, FieldType, Signature};

use crate::adapter::{emphasis_at_end, is_decoration, undecorated};
use crate::chat::{END, Mark, field_of, first_mark, may_become_mark, unescaped};
use crate::plain::opened;

/// Reads the text fields of a reply while it comes. What it tells is a guess at what the whole reply will say, and never
/// holds a part of the format; whoever reads the whole corrects it.
pub trait FieldReader: Send {
    /// Takes more of the reply, and tells what is settled of text fields: the field, and what comes behind all that was
    /// told of it.
    fn add(&mut self, piece: &str, tell: &mut dyn FnMut(&str, &str));
}

/// Of [`ChatAdapter`](crate::ChatAdapter).
pub(crate) struct ChatReader {
    signature: Signature,
    reply: String,
    /// Up to where the reply is done with.
    from: usize,
    state: State,
    /// Fields that were opened.
    seen: Vec<String>,
}

enum State {
    /// Nothing that comes is text of a field.
    Between,
    /// A text field was opened by a marker behind `lead`, and nothing is told of it.
    Opened { field: String, lead: String },
    /// Something is told of it; of its first line, or of others.
    Told { field: String, in_first_line: bool },
    /// What comes can be read in two ways.
    Lost,
}

impl ChatReader {
    pub(crate) fn new(signature: &Signature) -> Self {
        Self {
            signature: signature.clone(),
            reply: String::new(),
            from: 0,
            state: State::Between,
            seen: Vec::new(),
        }
    }

    /// Tells the text of the open field up to a place. `is_end`: the field ends there.
    fn tell_up_to(&mut self, end: usize, is_end: bool, tell: &mut dyn FnMut(&str, &str)) {
        if let State::Opened { field, lead } = &self.state {
            let rest = self.reply.get(self.from..end).unwrap_or_default();
            let begins = rest.trim_start();
            let is_settled = rest.contains('\n') || is_end;
            // A colon or emphasis behind the marker may belong to it; the end of the line tells.
            let is_plain =
                emphasis_at_end(lead.trim_end()).is_empty() && !begins.starts_with([':', '*', '_', '`']);
            if begins.is_empty() || !(is_settled || is_plain) {
                return;
            }
            let (line, _) = rest.split_once('\n').unwrap_or((rest, ""));
            let own = undecorated(lead, line);
            let field = field.clone();
            let in_first_line = !is_settled && !line.trim().is_empty();
            if line.trim().is_empty() || own.is_empty() {
                let more = rest.get(line.len()..).unwrap_or_default();
                if more.trim().is_empty() {
                    return;
                }
                self.from = end - more.trim_start().len();
            } else if in_first_line {
                self.from = end - begins.len();
            } else {
                tell(&field, unescaped(own).as_ref());
                self.from += line.len();
            }
            self.state = State::Told { field, in_first_line };
        }
        let State::Told { field, in_first_line } = &mut self.state else { return };
        let mut rest = self.reply.get(self.from..end).unwrap_or_default();
        if *in_first_line && let Some((line, _)) = rest.split_once('\n') {
            // White space at the end of the first line is not part of the value.
            tell(field, unescaped(line.trim_end()).as_ref());
            self.from += line.len();
            rest = rest.get(line.len()..).unwrap_or_default();
            *in_first_line = false;
        }
        let told = rest.trim_end();
        tell(field, unescaped(told).as_ref());
        self.from += told.len();
    }

    /// Goes on behind a marker.
    fn pass(&mut self, mark: &Passed) {
        let field = field_of(&self.signature, &mark.name).filter(|field| !self.seen.contains(&field.name));
        self.from = mark.end;
        self.state = State::Between;
        if let Some(field) = field {
            self.seen.push(field.name.clone());
            if field.kind == FieldType::String {
                self.state = State::Opened { field: field.name.clone(), lead: mark.lead.clone() };
            }
        }
    }

    /// Up to where the reply cannot be part of a marker, nor of what decorates one.
    fn settled(&self) -> usize {
        let reply = self.reply.as_str();
        let mut end = reply.len();
        let tail = reply.floor_char_boundary(end.saturating_sub(LONGEST_MARK)).max(self.from);
        let begins = |at: &usize| reply.get(*at..).is_some_and(may_become_mark);
        let open =
            reply.get(tail..).unwrap_or_default().match_indices('[').map(|(at, _)| tail + at).find(begins);
        if let Some(at) = open {
            end = at;
        }
        let before = reply.get(..end).unwrap_or_default().trim_end_matches(['\\', '*', '_', '`']);
        end = before.len();
        let line = before.rsplit('\n').next().unwrap_or(before);
        let is_lead =
            |mark: char| mark.is_whitespace() || mark.is_ascii_digit() || "#>-+*_`.)".contains(mark);
        if line.len() <= LONGEST_LEAD && line.chars().all(is_lead) {
            end -= line.len();
        }
        end.max(self.from)
    }
}

/// No marker is longer, in bytes, nor what decorates it.
const LONGEST_MARK: usize = 256;
const LONGEST_LEAD: usize = 16;

/// A marker, apart from the reply.
struct Passed {
    name: String,
    lead: String,
    start: usize,
    end: usize,
}

impl FieldReader for ChatReader {
    fn add(&mut self, piece: &str, tell: &mut dyn FnMut(&str, &str)) {
        if matches!(self.state, State::Lost) {
            return;
        }
        self.reply.push_str(piece);
        loop {
            let own = |Mark { name, lead, start, end, .. }: Mark<'_>| Passed {
                name: name.to_owned(),
                lead: lead.to_owned(),
                start,
                end,
            };
            let Some(mark) = first_mark(&self.reply, self.from).map(own) else { break };
            let is_end = mark.name.eq_ignore_ascii_case(END);
            self.tell_up_to(mark.start.max(self.from), true, tell);
            if !is_end && !is_decoration(&mark.lead) {
                self.state = State::Lost;
                return;
            }
            self.pass(&mark);
        }
        let settled = self.settled();
        match self.state {
            State::Between => self.from = settled,
            _ => self.tell_up_to(settled, false, tell),
        }
    }
}

/// Of [`PlainAdapter`](crate::PlainAdapter) with one output, which is text.
pub(crate) struct BareReader {
    field: Field,
    reply: String,
    from: usize,
    state: Bare,
}

enum Bare {
    /// It may begin with the name of the field.
    Begins,
    Told,
    Lost,
}

impl BareReader {
    pub(crate) fn new(field: &Field) -> Self {
        Self { field: field.clone(), reply: String::new(), from: 0, state: Bare::Begins }
    }

    /// Where the value begins, once that is known.
    fn start(&self) -> Option<Bare> {
        let text = self.reply.trim_start();
        if text.starts_with('<') {
            return Some(Bare::Lost);
        }
        let name = self.field.name.as_bytes();
        let Some(start) = text.find(|letter: char| letter.is_alphabetic()) else {
            return (text.len() > LONGEST_LEAD).then_some(Bare::Told);
        };
        let rest = text.as_bytes().get(start..).unwrap_or_default();
        let compared = rest.len().min(name.len());
        let is_alike = rest
            .get(..compared)
            .unwrap_or_default()
            .eq_ignore_ascii_case(name.get(..compared).unwrap_or_default());
        if !is_alike || start > LONGEST_LEAD {
            return Some(Bare::Told);
        }
        if rest.len() < name.len() + LONGEST_LEAD && !text.contains('\n') {
            return None;
        }
        Some(if opened(text, &self.field).is_some() { Bare::Lost } else { Bare::Told })
    }
}

impl FieldReader for BareReader {
    fn add(&mut self, piece: &str, tell: &mut dyn FnMut(&str, &str)) {
        self.reply.push_str(piece);
        if let Bare::Begins = self.state {
            let Some(state) = self.start() else { return };
            self.state = state;
            self.from = self.reply.len() - self.reply.trim_start().len();
        }
        if let Bare::Told = self.state {
            let told = self.reply.get(self.from..).unwrap_or_default().trim_end();
            tell(&self.field.name, told);
            self.from += told.len();
        }
    }
}

/// Of [`PlainAdapter`](crate::PlainAdapter) with several outputs: line by line, since any may open a field.
pub(crate) struct LineReader {
    signature: Signature,
    /// The line that is not whole yet.
    line: String,
    /// The field that is open, and white space that is told where more of it comes.
    open: Option<(String, String)>,
    is_told: bool,
    seen: Vec<String>,
}

impl LineReader {
    pub(crate) fn new(signature: &Signature) -> Self {
        let (line, seen) = (String::new(), Vec::new());
        Self { signature: signature.clone(), line, open: None, is_told: false, seen }
    }

    fn line(&mut self, line: &str, tell: &mut dyn FnMut(&str, &str)) {
        let outputs = self.signature.outputs();
        let next =
            outputs.iter().find_map(|field| Some((field, opened(line.trim_start(), field)?.trim_start())));
        let bare = || outputs.first().map(|field| (field, line)).filter(|_| self.seen.is_empty());
        let mut more = line;
        match next.or_else(bare) {
            Some((field, rest)) => {
                let is_first = !self.seen.contains(&field.name);
                self.seen.push(field.name.clone());
                let is_text = is_first && field.kind == FieldType::String;
                self.open = is_text.then(|| (field.name.clone(), String::new()));
                self.is_told = false;
                more = rest;
            }
            None => self.open.iter_mut().for_each(|(_, space)| space.push('\n')),
        }
        let Some((field, space)) = &mut self.open else { return };
        let begins = if self.is_told { more } else { more.trim_start() };
        let told = begins.trim_end();
        if told.is_empty() {
            space.push_str(begins);
            return;
        }
        if self.is_told {
            tell(field, space);
        }
        tell(field, told);
        *space = begins.get(told.len()..).unwrap_or_default().to_owned();
        self.is_told = true;
    }
}

impl FieldReader for LineReader {
    fn add(&mut self, piece: &str, tell: &mut dyn FnMut(&str, &str)) {
        self.line.push_str(piece);
        while let Some((line, rest)) = self.line.split_once('\n') {
            let (line, rest) = (line.strip_suffix('\r').unwrap_or(line).to_owned(), rest.to_owned());
            self.line = rest;
            self.line(&line, tell);
        }
    }
}
