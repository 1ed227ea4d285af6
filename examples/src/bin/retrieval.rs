//! Three predictors over a library, with a loop: one writes a query, one answers from the passages that are found, and one
//! checks whether the passages support the answer. Where they do not, the first is asked again, with what was missing.
//! MIPROv2 improves all three instructions and their demos together.
//!
//! The task: from which pier do I get to a place? No passage says so. One says on which island the place is, and another one
//! from where the ferry to that island leaves.
//!
//! `cargo run -p promptopt-examples --bin retrieval`, and with `-- --help` what it can be told.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use promptopt::core::data::ContentHash;
use promptopt::prelude::*;
use promptopt_examples::{Session, stand_in};

/// So often a query is written at most.
const ROUNDS: u64 = 2;
/// So many passages are found with a query.
const PASSAGES: usize = 2;

/// Write a query for the library.
#[derive(Signature)]
struct Query {
    #[input]
    question: String,
    /// What earlier passages did not say.
    #[input]
    missing: Option<String>,
    #[output]
    query: String,
}

/// Answer the question.
#[derive(Signature)]
struct Answer {
    #[input]
    question: String,
    #[input]
    passages: Vec<String>,
    #[output]
    answer: String,
}

/// Say whether the passages support the answer, and what is missing.
#[derive(Signature)]
struct Check {
    #[input]
    question: String,
    #[input]
    passages: Vec<String>,
    #[input]
    answer: String,
    #[output]
    supported: bool,
    #[output]
    missing: Option<String>,
}

#[derive(Module)]
#[module(calls = 2 * 3 * ROUNDS)] // two for each predictor: a reply that does not fit is asked for once more
struct Retrieval {
    library: Vec<String>,
    #[predictor]
    query: Predict<Query>,
    #[predictor]
    answer: Predict<Answer>,
    #[predictor]
    check: Predict<Check>,
}

impl Retrieval {
    fn new(library: Vec<String>) -> Self {
        let (query, answer, check) =
            (Predict::typed("query"), Predict::typed("answer"), Predict::typed("check"));
        Self { library, query, answer, check }
    }

    async fn forward(&self, context: &CallContext, mut input: QueryInput) -> anyhow::Result<AnswerOutput> {
        let (mut passages, mut answer) = (Vec::new(), String::new());
        for _ in 0..ROUNDS {
            let query = self.query.call(context, input.clone()).await?.query;
            passages.extend(self.search(&query));
            let (question, passages) = (input.question.clone(), passages.clone());
            let asked = AnswerInput { question: question.clone(), passages: passages.clone() };
            answer = self.answer.call(context, asked).await?.answer;
            let given = CheckInput { question, passages, answer: answer.clone() };
            let check = self.check.call(context, given).await?;
            if check.supported {
                break;
            }
            input.missing = check.missing;
        }
        Ok(AnswerOutput { answer })
    }

    /// The passages that have most words in common with a query.
    fn search(&self, query: &str) -> Vec<String> {
        let wanted = words(query);
        let common = |passage: &String| words(passage).intersection(&wanted).count();
        let mut ranked: Vec<&String> = self.library.iter().filter(|passage| common(passage) > 0).collect();
        ranked.sort_by_key(|passage| Reverse(common(passage)));
        ranked.into_iter().take(PASSAGES).cloned().collect()
    }
}

fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

const KINDS: [&str; 10] =
    ["old", "red", "white", "stone", "little", "green", "northern", "upper", "empty", "royal"];
const PLACES: [&str; 10] =
    ["mill", "chapel", "lighthouse", "bakery", "school", "tower", "market", "smithy", "theatre", "garden"];
const ISLANDS: [&str; 8] = ["Arkholm", "Brenna", "Corsay", "Dunvik", "Elsey", "Farra", "Gundey", "Holm"];

fn place(number: usize) -> String {
    format!("{} {}", KINDS[number % 10], PLACES[number / 10 % 10])
}

/// The island of a place, and the pier of its ferry.
fn way(number: usize) -> (&'static str, String) {
    let island = (number * 5 + number / 10) % ISLANDS.len();
    (ISLANDS[island], format!("pier {}", island * 3 % ISLANDS.len() + 1))
}

fn library() -> Vec<String> {
    let places = (0..100).map(|number| format!("The {} stands on {}.", place(number), way(number).0));
    let ferries: BTreeSet<String> = (0..100)
        .map(way)
        .map(|(island, pier)| format!("The ferry to {island} leaves from {pier}."))
        .collect();
    places.chain(ferries).collect()
}

fn examples(numbers: std::ops::Range<usize>) -> Vec<Example> {
    let question = |number| format!("From which pier do I get to the {}?", place(number));
    let example =
        |number| Example::new([("question", question(number)), ("answer", way(number).1)], ["question"]);
    numbers.map(example).collect()
}

/// What makes each predictor better, and two things that do not.
const ADVICE: [&str; 5] = [
    "Search for the place alone, and then for what is missing alone.",
    "Name the pier of the ferry to that very island, or say that it is unknown.",
    "Support an answer only where one passage leads to the next and the last one gives it.",
    "Think step by step.",
    "Be exact.",
];

/// Stands in for a real model, so that the example runs anywhere: it knows the way half of the time, three times of four
/// where it is shown demos, and always where it is told how. As the model that writes instructions it has good advice and
/// bad.
pub(crate) async fn librarian(request: LmRequest) -> Result<LmReply, LmError> {
    let question = stand_in::input(&request, "question");
    let passages = stand_in::input(&request, "passages");
    let knows = |part: usize| {
        let (is_told, has_demos) = (stand_in::says(&request, ADVICE[part]), stand_in::has_demos(&request));
        let chance = if is_told { 100 } else { 50 + 25 * u64::from(has_demos) };
        ContentHash::of(&(question, part)).as_u64() % 100 < chance
    };
    let place = question.split("to the ").nth(1).unwrap_or_default().trim_end_matches('?');
    let island = between(passages, &format!("The {place} stands on "));
    let pier = island.and_then(|island| between(passages, &format!("The ferry to {island} leaves from ")));
    if stand_in::asks_for(&request, "query") {
        let missing = stand_in::input(&request, "missing");
        let query = match knows(0) {
            false => question,
            true if ["", "None", "null"].contains(&missing) => place,
            true => missing,
        };
        return Ok(stand_in::outputs(&request, [("query", query)]));
    }
    if stand_in::asks_for(&request, "answer") {
        let last = passages.rsplit("leaves from ").next().and_then(|rest| rest.split('.').next());
        let answer = if knows(1) { pier.unwrap_or("unknown") } else { last.unwrap_or_default() };
        return Ok(stand_in::outputs(&request, [("answer", answer)]));
    }
    if stand_in::asks_for(&request, "supported") {
        let is_found = pier == Some(stand_in::input(&request, "answer"));
        let missing = island.map_or(place.to_owned(), |island| format!("ferry to {island}"));
        return Ok(match is_found || !knows(2) {
            true => stand_in::outputs(&request, [("supported", "True"), ("missing", "null")]),
            false => stand_in::outputs(&request, [("supported", "False"), ("missing", missing.as_str())]),
        });
    }
    let drawn = ContentHash::of(&request.messages).as_u64() as usize % ADVICE.len();
    Ok(stand_in::text(&request, ADVICE[drawn]))
}

/// What a text has between some words and the next full stop.
fn between<'t>(text: &'t str, words: &str) -> Option<&'t str> {
    text.split_once(words)?.1.split('.').next()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let right = metric_typed(|expected: &AnswerOutput, given: &AnswerOutput| expected.answer == given.answer);
    let mut program = Retrieval::new(library()).with_metric(right);
    let train = examples(0..60);
    let session = Session::begin(&program, &train, lm_fn("librarian", librarian))?;
    let optimizer = MIPROv2::builder().num_candidates(6).num_trials(15).minibatch_size(15).build();
    let outcome = session.optimizer(optimizer).compile(&mut program, train).await?;

    for (path, prompt) in program.candidate().prompts.iter() {
        println!("{path}: {} (and demos: {})", prompt.instruction, prompt.demos.len());
    }
    let test: Vec<_> = examples(60..100).into_iter().map(Arc::new).collect();
    session.finish(&program, outcome, &test).await
}
