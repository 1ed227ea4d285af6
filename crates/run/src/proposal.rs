//! What comes back when an instruction is asked for: read out of the reply, and judged. The same for every optimizer.

use std::collections::{BTreeSet, HashMap, HashSet};

use promptopt_core::data::{Example, plain_text};
use promptopt_core::program::Predictor;
use promptopt_core::signature::{Field, FieldType, Signature};

use crate::{Bounds, Run};

mod answer;
mod fence;
mod kinds;
mod phrases;
mod records;
mod reply;
mod words;

use kinds::{declines, is_call, is_letter, is_list_of_kinds, is_program, questions, speaks_of_instructions};
use reply::{ReadingKind, readings};
use words::{Letters, is_english, repetition, shingles};
pub(crate) use words::{stems, words};

/// The most characters of an instruction, where nothing else is said.
pub const MAX_CHARS: usize = 6000;

/// A run of words this long that also stands in the request is no coincidence.
const SHINGLE: usize = 6;
/// An instruction of which more than this share stands in the request is an echo of it,
const MAX_ECHO: f64 = 0.4;
/// and so is one with more such runs than a sentence has.
const MAX_ECHOED: usize = 30;
/// A text of which more than this share of three-word runs are repetitions repeats itself.
const MAX_REPETITION: f64 = 0.5;
/// A text of which more than this share stands in the examples tells them over again.
const MAX_COPIED: f64 = 0.5;
/// An output with no more different values than this, which repeat, is a choice.
const MAX_CHOICES: usize = 20;
/// The words of a shorter text do not tell what it is about.
const FEWEST_WORDS: usize = 4;
/// Of so many examples the values are read.
const EXAMPLES_READ: usize = 50;

/// Why a text cannot be a new instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// There is no text.
    Empty,
    /// It is longer than any instruction has reason to be.
    TooLong,
    /// It holds markers of a chat format.
    Markers,
    /// It says the same words over and over.
    Repetitive,
    /// It repeats the request it was written for.
    Echo,
    /// It is an answer to an example.
    Answer,
    /// It tells examples over again.
    Examples,
    /// It declines, or asks for what was given.
    Refusal,
    /// It speaks of the request and of other instructions.
    Remark,
    /// It is a letter or a program.
    OtherText,
    /// It shares no word with the fields, the data or the basic instruction.
    Unrelated,
    /// It is in another script than the task.
    OtherScript,
    /// It leaves out what must stay in it.
    Incomplete,
    /// It exists already.
    Duplicate,
}

impl Flaw {
    /// The flaw in words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too long",
            Self::Markers => "holds markers of the chat format",
            Self::Repetitive => "repeats itself",
            Self::Echo => "an echo of the request",
            Self::Answer => "an answer and not an instruction",
            Self::Examples => "examples and not an instruction",
            Self::Remark => "speaks of the request and not to the model",
            Self::Refusal => "the model declined or asked back",
            Self::OtherText => "a letter or code and not an instruction",
            Self::Unrelated => "not about this task",
            Self::OtherScript => "in another script than the task",
            Self::Incomplete => "leaves out what must stay",
            Self::Duplicate => "exists already",
        }
    }
}

/// The flaw that a text has whatever it is for, if it has one.
pub fn flaw(text: &str, max_chars: usize) -> Option<Flaw> {
    const MARKERS: [&str; 9] =
        ["[[##", "##]]", "[[ ##", "## ]]", "<|im_", "<|start_", "<|eot_", "<start_of_turn>", "[/INST]"];
    if !text.chars().any(char::is_alphanumeric) {
        Some(Flaw::Empty)
    } else if text.chars().count() > max_chars {
        Some(Flaw::TooLong)
    } else if MARKERS.iter().any(|marker| text.contains(marker)) {
        Some(Flaw::Markers)
    } else {
        None
    }
}

/// The instructions that exist for a predictor. Two that differ only in white space and case are one.
#[derive(Debug, Clone, Default)]
pub struct Known(BTreeSet<String>);

impl Known {
    /// Takes an instruction up, unless it has a flaw.
    ///
    /// # Errors
    ///
    /// The flaw that it has.
    pub fn admit(&mut self, instruction: &str) -> Result<(), Flaw> {
        match flaw(instruction, MAX_CHARS) {
            Some(flaw) => Err(flaw),
            None if self.note(instruction) => Ok(()),
            None => Err(Flaw::Duplicate),
        }
    }

    /// Takes an instruction up whatever it is, and says whether it is new.
    pub fn note(&mut self, instruction: &str) -> bool {
        self.0.insert(normalized(instruction))
    }

    /// Whether an instruction exists.
    pub fn holds(&self, instruction: &str) -> bool {
        self.0.contains(&normalized(instruction))
    }

    /// All of them, in lower case and with single spaces.
    pub fn all(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }
}

impl<S: AsRef<str>> FromIterator<S> for Known {
    fn from_iter<I: IntoIterator<Item = S>>(instructions: I) -> Self {
        Self(instructions.into_iter().map(|instruction| normalized(instruction.as_ref())).collect())
    }
}

/// An instruction without differences of white space and case: two that agree in this are one.
pub fn normalized(instruction: &str) -> String {
    instruction.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// What was read out of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proposal {
    /// The instruction, without what stood around it.
    pub text: String,
    /// Why it cannot serve, if it cannot.
    pub flaw: Option<Flaw>,
}

/// Reads the instruction for a predictor out of what a model replies, and says what cannot serve as one.
///
/// What models write around an instruction is taken off: fences of any kind, prefaces, headings, quotes, remarks, and
/// records of the request behind it. A
/// fenced part of an instruction stays in it. What is left is measured against the words of the task.
///
/// ```
/// use promptopt_core::signature::Signature;
/// use promptopt_run::proposal::{Flaw, Judge, Known};
///
/// let signature = Signature::parse("ticket -> department: enum[billing, shipping]")?;
/// let judge = Judge::new(&signature, "Route the ticket.");
/// let proposal = judge.read("Sure! Here it is:\n```plaintext\nName the department.\n```", &Known::default());
/// assert_eq!((proposal.text.as_str(), proposal.flaw), ("Name the department.", None));
/// assert_eq!(judge.read("billing", &Known::default()).flaw, Some(Flaw::Answer));
/// # Ok::<(), promptopt_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Judge {
    fields: Vec<Field>,
    outputs: Vec<Field>,
    /// Outputs of the other predictors of the program.
    others: Vec<Field>,
    /// What the examples have in each output.
    values: HashMap<String, HashSet<String>>,
    /// How many examples were read, and runs of words of them.
    examples: usize,
    copied: HashSet<String>,
    /// Runs of words of the request, and its headings.
    request: HashSet<String>,
    headings: HashSet<String>,
    /// Words of fields, labels and instruction, and of all that an instruction may speak of.
    subject: HashSet<String>,
    vocabulary: HashSet<String>,
    letters: Letters,
    max_chars: usize,
    bounds: Bounds,
    fenced: bool,
}

impl Judge {
    /// A judge of instructions for a predictor with this signature, which has this instruction now.
    pub fn new(signature: &Signature, instruction: &str) -> Self {
        let mut judge = Self {
            fields: signature.fields().cloned().collect(),
            outputs: signature.outputs().to_vec(),
            others: Vec::new(),
            values: HashMap::new(),
            examples: 0,
            copied: HashSet::new(),
            request: HashSet::new(),
            headings: HashSet::new(),
            subject: HashSet::new(),
            vocabulary: HashSet::new(),
            letters: Letters::default(),
            max_chars: MAX_CHARS,
            bounds: Bounds::default(),
            fenced: false,
        };
        judge = judge.about([signature.instructions(), instruction]);
        for field in judge.fields.clone() {
            judge = judge.about([field.name.as_str(), field.description.as_str()]);
            // Names and labels are often shorter than words that carry meaning.
            let labels = match &field.kind {
                FieldType::Enum(labels) => labels.as_slice(),
                _ => &[],
            };
            for name in labels.iter().chain([&field.name]) {
                judge = judge.about([name.as_str()]);
                judge.subject.extend(words(name));
            }
        }
        judge
    }

    /// A judge of instructions for a predictor of a run: it knows all fields of the program, the instruction that the
    /// search began with, and the training examples.
    pub fn of(run: &Run<'_>, predictor: &dyn Predictor) -> Self {
        let base = run.base();
        let instruction = base.instruction(predictor.path()).unwrap_or_default();
        let mut judge = Self::new(predictor.signature(), instruction);
        for other in run.program().predictors() {
            judge = judge.about(other.signature().fields().map(|field| field.name.as_str()));
            judge.others.extend_from_slice(other.signature().outputs());
        }
        judge.shown(run.train().iter().map(AsRef::as_ref))
    }

    /// Texts that say what the task is, such as descriptions by whoever set it.
    #[must_use]
    pub fn about<'t>(mut self, texts: impl IntoIterator<Item = &'t str>) -> Self {
        for text in texts {
            self.subject.extend(stems(text));
            self = self.speaking_of([text]);
        }
        self
    }

    /// Texts that an instruction may speak of.
    #[must_use]
    pub fn speaking_of<'t>(mut self, texts: impl IntoIterator<Item = &'t str>) -> Self {
        for text in texts {
            self.letters.count(text);
            self.vocabulary.extend(stems(text));
        }
        self
    }

    /// Examples of the task; the first fifty are read.
    #[must_use]
    pub fn shown<'e>(mut self, examples: impl IntoIterator<Item = &'e Example>) -> Self {
        for example in examples.into_iter().take(EXAMPLES_READ) {
            self.examples += 1;
            for (name, value) in example.fields() {
                let text = plain_text(value);
                self.copied.extend(shingles(&text, SHINGLE));
                self = self.speaking_of([text.as_str()]);
                if self.outputs.iter().any(|output| output.name == *name) {
                    self.values.entry(name.clone()).or_default().insert(said(&text));
                }
            }
        }
        self
    }

    /// The fixed texts of the request (not the data in it).
    #[must_use]
    pub fn requested_by<'t>(mut self, request: impl IntoIterator<Item = &'t str>) -> Self {
        for text in request {
            self.request.extend(shingles(text, SHINGLE));
            self.headings.extend(text.lines().filter(|line| line.starts_with('#')).map(normalized));
        }
        self
    }

    /// The most characters of an instruction. Default: [`MAX_CHARS`].
    #[must_use]
    pub fn with_max_chars(mut self, max_chars: usize) -> Self {
        self.max_chars = max_chars;
        self
    }

    /// What the instruction must keep to ([`Run::bounds`]): one that leaves out a text of the option `keep` gets it, and one
    /// that is too long, or leaves out what the predictor's rules want, has a flaw.
    #[must_use]
    pub fn within(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// The request asks for the instruction between fences, so what is between them is it, whatever stands around.
    /// One without fences is still read.
    #[must_use]
    pub fn asked_between_fences(mut self) -> Self {
        self.fenced = true;
        self
    }

    /// Reads the instruction out of a reply, of those in it that are not known already.
    pub fn read(&self, reply: &str, known: &Known) -> Proposal {
        let mut first: Option<Proposal> = None;
        for mut reading in readings(reply, self.fenced) {
            reading.text = self.without_records(&reading.text);
            // All of a reply is read where its blocks are examples, and not where they are what it is about.
            let blocks = first.as_ref().and_then(|first| first.flaw);
            if reading.kind == ReadingKind::Whole
                && !matches!(blocks, None | Some(Flaw::Empty | Flaw::Answer))
            {
                break;
            }
            let flaw = match reading.kind {
                ReadingKind::Code => Some(Flaw::OtherText),
                ReadingKind::Data => Some(Flaw::Answer),
                ReadingKind::Block | ReadingKind::Whole => self.flaw(&reading.text),
            };
            let (text, flaw) = match (flaw, self.bounds.mend(&reading.text)) {
                (None, Ok(mended)) => (mended, None),
                (None, Err(flaw)) => (reading.text, Some(flaw)),
                (flaw, _) => (reading.text, flaw),
            };
            let flaw = flaw.or_else(|| known.holds(&text).then_some(Flaw::Duplicate));
            let proposal = Proposal { text, flaw };
            if proposal.flaw.is_none() {
                return proposal;
            }
            first.get_or_insert(proposal);
        }
        first.unwrap_or(Proposal { text: String::new(), flaw: Some(Flaw::Empty) })
    }

    /// The flaw of an instruction as it is, if it has one.
    pub fn flaw(&self, instruction: &str) -> Option<Flaw> {
        let text = instruction.trim();
        flaw(text, self.max_chars).or_else(|| {
            let flaws = [
                (Flaw::Repetitive, repetition(text) > MAX_REPETITION),
                (Flaw::Answer, self.is_answer(text)),
                (Flaw::Echo, self.is_echo(text) || is_list_of_kinds(text)),
                (Flaw::Examples, self.is_copied(text)),
                (Flaw::Refusal, declines(text) || self.asks(text)),
                (Flaw::Remark, self.is_remark(text)),
                (
                    Flaw::OtherText,
                    is_letter(text) || is_program(text) || is_call(text) || self.is_signature(text),
                ),
                (Flaw::OtherScript, !self.letters.admit(&Letters::of(text))),
                (Flaw::Unrelated, !self.is_related(text)),
            ];
            flaws.into_iter().find(|(_, has)| *has).map(|(flaw, _)| flaw)
        })
    }

    /// Whether an instruction says anything of what is to come out: names an output of the program, a label of it, or
    /// a value that the examples have in it.
    pub fn names_an_output(&self, instruction: &str) -> bool {
        let found: HashSet<String> = stems(instruction).chain(words(instruction)).collect();
        let text = said(instruction);
        let names = |text: &str| {
            let (mut stems, words) = (stems(text).peekable(), words(text));
            stems.peek().is_some() && stems.all(|stem| found.contains(&stem))
                || !words.is_empty() && words.iter().all(|word| found.contains(word))
        };
        self.outputs.iter().chain(&self.others).any(|output| {
            let labels = match &output.kind {
                FieldType::Enum(labels) => labels.as_slice(),
                _ => &[],
            };
            let values = self.values.get(&output.name).into_iter().flatten();
            names(&output.name)
                || labels.iter().any(|label| names(label) || text.contains(&said(label)))
                || values.filter(|value| value.chars().count() > 1).any(|value| names(value))
        })
    }

    /// Whether a text shares words with the task. An English instruction for a choice has to speak of the choice: its
    /// data may be about anything.
    fn is_related(&self, text: &str) -> bool {
        // Acts that an instruction may ask for without naming what of.
        const ACTS: [&str; 28] = [
            "class", "categ", "label", "choos", "selec", "decid", "deter", "ident", "assig", "route", "sort",
            "pick", "predi", "judge", "detec", "answe", "respo", "outpu", "retur", "read", "think", "step",
            "analy", "evalu", "reaso", "rate", "sugge", "match",
        ];
        let spoken = words(text);
        if spoken.len() < FEWEST_WORDS && text.is_ascii() {
            return true;
        }
        let is_choice = |field: &Field| match field.kind {
            FieldType::Enum(_) | FieldType::Bool => true,
            FieldType::String => self
                .values
                .get(&field.name)
                .is_some_and(|values| values.len() <= MAX_CHOICES && values.len() * 2 <= self.examples),
            _ => false,
        };
        let speaks_of_choice = self.outputs.iter().all(is_choice) && is_english(text);
        let known = if speaks_of_choice { &self.subject } else { &self.vocabulary };
        self.names_an_output(text)
            || spoken.iter().any(|word| self.subject.contains(word))
            || stems(text).any(|stem| known.contains(&stem) || ACTS.contains(&stem.as_str()))
    }

    /// Whether most of a text stands in the examples.
    fn is_copied(&self, text: &str) -> bool {
        let runs = shingles(text, SHINGLE);
        let copied = runs.iter().filter(|run| self.copied.contains(*run)).count();
        copied as f64 > MAX_COPIED * runs.len() as f64
    }

    /// Whether a text asks more than it tells. A question that names an output is what the predictor is to answer.
    fn asks(&self, text: &str) -> bool {
        let (questions, sentences) = questions(text);
        2 * questions >= sentences && questions > 0 && !(sentences == 1 && self.names_an_output(text))
    }

    /// Whether a text speaks of what its reader does not see, where the task is not about such: instructions, records,
    /// the score of one, or what is asked of whoever writes.
    fn is_remark(&self, text: &str) -> bool {
        !self.subject.contains("instr") && speaks_of_instructions(text) || self.speaks_of_records(text)
    }

    fn is_echo(&self, text: &str) -> bool {
        let runs = shingles(text, SHINGLE);
        let echoed = runs.iter().filter(|run| self.request.contains(*run)).count();
        echoed > MAX_ECHOED
            || echoed as f64 > MAX_ECHO * runs.len() as f64
            || text.lines().filter(|line| self.headings.contains(&normalized(line))).count() > 1
    }
}

/// A value as it is compared: in lower case, without marks around it.
fn said(text: &str) -> String {
    normalized(text).trim_matches(|letter: char| "*_`\"'. ".contains(letter)).to_owned()
}
