//! Whose fault it is when a provider refuses a request: the row's, the prompt's, or that of the whole set-up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use promptopt_core::data::{ContentHash, Example, Fields};
use promptopt_core::lm::Refusal;
use promptopt_core::prompt::{Prompt, Prompts};
use promptopt_core::trace::{Failure, FailureKind, Trace};

/// A run in which nothing went through ends when so many rows in a row were refused.
pub(crate) const FIRST: usize = 10;

/// The provider is up where no more than one rollout in so many got no reply.
const SILENT: usize = 10;

/// What is known of a runner's rows and prompts: which went through, and which rows the provider refuses.
///
/// All is learnt at the end of a batch and in the order of its jobs, so it does not depend on timing.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// Rows and prompts of rollouts that got replies.
    rows: HashSet<ContentHash>,
    prompts: HashSet<ContentHash>,
    refused: HashMap<ContentHash, Refused>,
    /// Rows that got no reply in a batch of which many rows got none: the provider may have been down.
    without_reply: HashSet<ContentHash>,
}

/// A row that is refused by its own fault.
#[derive(Debug)]
struct Refused {
    failure: Failure,
    /// The size of the prompts under which it was too long, where that was the reason: smaller ones are tried.
    size: Option<usize>,
}

/// A rollout that was made.
pub(crate) struct Made<'a> {
    pub(crate) example: ContentHash,
    /// The hash of its candidate's prompts.
    pub(crate) of_candidate: ContentHash,
    /// The prompts that were in force.
    pub(crate) prompts: &'a Prompts,
    pub(crate) trace: &'a mut Arc<Trace>,
}

impl Refusals {
    /// Whether any rollout got its replies so far.
    pub(crate) fn anything_went_through(&self) -> bool {
        !self.prompts.is_empty()
    }

    /// What came of a row that is not sent again.
    pub(crate) fn known(&self, example: &Arc<Example>, prompts: &Prompts) -> Option<Arc<Trace>> {
        if self.refused.is_empty() {
            return None;
        }
        let refused = self.refused.get(&example.content_hash())?;
        let is_the_same = refused.size.is_none_or(|size| size_of(prompts) >= size);
        is_the_same.then(|| Arc::new(Trace::new(Arc::clone(example)).with_error(refused.failure.clone())))
    }

    /// Learns from the rollouts of a batch which rows and prompts go through, and then whose fault the refusals among
    /// them are. As long as nothing went through, they stay what they are.
    pub(crate) fn learn<'a>(&mut self, made: impl Iterator<Item = Made<'a>>) {
        let (mut refusals, mut silent, mut last, mut all) = (Vec::new(), Vec::new(), None, 0);
        for one in made {
            all += 1;
            match &one.trace.error {
                Some(failure) if failure.refusal.is_some() => refusals.push(one),
                Some(Failure { kind: FailureKind::Provider, fatal: false, .. }) => silent.push(one),
                Some(Failure { kind: FailureKind::Provider, .. }) => {}
                _ => {
                    self.rows.insert(one.example);
                    if last.replace(one.of_candidate) != Some(one.of_candidate) {
                        self.prompts.insert(one.of_candidate);
                    }
                }
            }
        }
        if self.anything_went_through() {
            refusals.into_iter().for_each(|one| self.judge(one));
            let is_up = silent.len() * SILENT <= all;
            silent.into_iter().for_each(|one| self.note_silence(one, is_up));
        }
    }

    /// A row that gets no reply after all attempts, and never got one while others did, would not get one in the next
    /// trial either: not where nearly all others of its batch did, nor where it happens a second time.
    fn note_silence(&mut self, one: Made<'_>, is_up: bool) {
        let Some(failure) = one.trace.error.as_ref().filter(|_| one.trace.prediction.is_none()) else {
            return;
        };
        let never_went_through =
            !self.rows.contains(&one.example) && self.prompts.contains(&one.of_candidate);
        if never_went_through && (is_up || !self.without_reply.insert(one.example)) {
            self.refused.insert(one.example, Refused { failure: failure.clone(), size: None });
        }
    }

    /// A row is at fault when it never went through, but another one did under the same prompts. Otherwise the prompts
    /// are, such as by a demo that the provider objects to. What is too long may always be so by its demos.
    fn judge(&mut self, one: Made<'_>) {
        let trace = Arc::make_mut(one.trace);
        let Some(failure) = &mut trace.error else { return };
        failure.fatal = false;
        if trace.prediction.is_some() {
            // The metric's model refused to judge this answer. Another answer may be judged.
            return;
        }
        let is_too_long = failure.refusal == Some(Refusal::Length);
        let has_demos = one.prompts.iter().any(|(_, prompt)| !prompt.demos.is_empty());
        let went_through = self.rows.contains(&one.example) || !self.prompts.contains(&one.of_candidate);
        if went_through || is_too_long && has_demos {
            failure.kind = FailureKind::Reply;
            return;
        }
        failure.kind = FailureKind::Provider;
        let size = is_too_long.then(|| size_of(one.prompts));
        self.refused.insert(one.example, Refused { failure: failure.clone(), size });
    }

    /// How many rows are not sent again for a reason.
    pub(crate) fn rows_left_out(&self, is_the_reason: impl Fn(&str) -> bool) -> u64 {
        self.refused.values().filter(|refused| is_the_reason(&refused.failure.message)).count() as u64
    }
}

/// About how long the requests are that some prompts make, in bytes.
fn size_of(prompts: &Prompts) -> usize {
    let demo = |fields: &Fields| -> usize {
        fields.iter().map(|(name, value)| name.len() + value.to_string().len()).sum()
    };
    let prompt = |prompt: &Prompt| {
        prompt.instruction.len() + prompt.demos.iter().map(|one| demo(&one.fields)).sum::<usize>()
    };
    prompts.iter().map(|(_, one)| prompt(one)).sum()
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::LmError;

    use super::*;

    const ORIGINAL: u64 = 1;

    fn example(row: u64) -> Arc<Example> {
        Arc::new(Example::new([("question", row)], ["question"]))
    }

    fn prompts(instruction: &str) -> Prompts {
        Prompts::from_iter([("answer", Prompt::new(instruction))])
    }

    /// A rollout of a row under a candidate: answered, or failed with an error.
    fn learn(refusals: &mut Refusals, batch: &[(u64, u64, Option<LmError>)]) -> Vec<Option<Failure>> {
        let own = prompts("short");
        let mut traces: Vec<Arc<Trace>> = Vec::new();
        for (row, _, error) in batch {
            let failure = error.clone().map(|error| Failure::from_program(&error.into()));
            traces.push(Arc::new(Trace::new(example(*row)).with_error(failure)));
        }
        refusals.learn(batch.iter().zip(&mut traces).map(|((row, candidate, _), trace)| Made {
            example: example(*row).content_hash(),
            of_candidate: ContentHash::of(candidate),
            prompts: &own,
            trace,
        }));
        traces.iter().map(|trace| trace.error.clone()).collect()
    }

    fn refused() -> Option<LmError> {
        Some(LmError::InvalidRequest { status: 400, message: "flagged".into() })
    }

    fn is_left_out(refusals: &Refusals, row: u64) -> bool {
        refusals.known(&example(row), &prompts("another")).is_some()
    }

    #[test]
    fn a_row_is_at_fault_where_another_one_went_through() {
        let mut refusals = Refusals::default();
        let failures = learn(&mut refusals, &[(1, ORIGINAL, refused()), (2, ORIGINAL, None)]);
        let failure = failures[0].as_ref().unwrap();
        assert_eq!((failure.kind, failure.fatal), (FailureKind::Provider, false));
        assert!(is_left_out(&refusals, 1) && !is_left_out(&refusals, 2));
        assert_eq!(refusals.rows_left_out(|message| message.contains("flagged")), 1);
    }

    #[test]
    fn a_prompt_is_at_fault_where_the_row_went_through_before_or_nothing_goes_with_it() {
        let mut refusals = Refusals::default();
        learn(&mut refusals, &[(1, ORIGINAL, None)]);
        // Row 1 was answered before; of row 2 nothing is known, but no row goes through under candidate 2.
        let failures = learn(&mut refusals, &[(1, 2, refused()), (2, 2, refused())]);
        for failure in failures {
            assert_eq!(failure.unwrap().kind, FailureKind::Reply);
        }
        assert!(!is_left_out(&refusals, 1) && !is_left_out(&refusals, 2));
    }

    #[test]
    fn as_long_as_nothing_went_through_a_refusal_stays_what_it_is() {
        let mut refusals = Refusals::default();
        let down = LmError::Connection { message: "down".into() };
        let failures = learn(&mut refusals, &[(1, ORIGINAL, refused()), (2, ORIGINAL, Some(down))]);
        assert!(failures[0].as_ref().unwrap().fatal);
        assert!(!refusals.anything_went_through() && !is_left_out(&refusals, 1));
    }

    #[test]
    fn a_row_that_never_gets_a_reply_is_not_sent_for_ever() {
        let down = || Some(LmError::Server { status: 500, message: "oops".into(), retry_after: None });
        let answered = |rows: std::ops::Range<u64>| rows.map(|row| (row, ORIGINAL, None));
        let mut refusals = Refusals::default();
        learn(&mut refusals, &answered(1..10).chain([(0, ORIGINAL, down())]).collect::<Vec<_>>());
        assert!(is_left_out(&refusals, 0), "all others of the batch got a reply");
        assert_eq!(refusals.rows_left_out(|message| message.contains("oops")), 1);

        let mut refusals = Refusals::default();
        let outage = [(0, ORIGINAL, down()), (1, ORIGINAL, down()), (2, ORIGINAL, None)];
        learn(&mut refusals, &outage);
        assert!(!is_left_out(&refusals, 0) && !is_left_out(&refusals, 1), "the provider may have been down");
        learn(&mut refusals, &[(0, ORIGINAL, down()), (1, ORIGINAL, None)]);
        assert!(is_left_out(&refusals, 0) && !is_left_out(&refusals, 1));
        // One that has been answered before only had bad luck.
        learn(&mut refusals, &answered(20..40).chain([(1, ORIGINAL, down())]).collect::<Vec<_>>());
        assert!(!is_left_out(&refusals, 1));
    }

    #[test]
    fn a_row_that_was_too_long_is_tried_with_smaller_prompts() {
        let mut refusals = Refusals::default();
        let too_long = Some(LmError::ContextLength { message: "9000 tokens".into() });
        learn(&mut refusals, &[(1, ORIGINAL, too_long), (2, ORIGINAL, None)]);
        assert!(refusals.known(&example(1), &prompts("as short")).is_some());
        assert!(refusals.known(&example(1), &prompts("tiny")).is_none());
    }

    #[test]
    fn which_refusals_may_be_of_one_request() {
        let check = |status: u16, expected: bool| {
            let error = LmError::InvalidRequest { status, message: String::new() };
            assert_eq!(error.refusal().is_some(), expected, "{status}");
        };
        [400, 403, 406, 413, 415, 422, 451].into_iter().for_each(|status| check(status, true));
        [301, 401, 402, 404, 405, 410, 429, 500].into_iter().for_each(|status| check(status, false));
        let key = |status| LmError::Unauthorized { status, message: String::new() }.refusal();
        assert_eq!((key(401), key(403)), (None, Some(Refusal::Content)));
        assert_eq!(LmError::Refused { message: String::new() }.refusal(), Some(Refusal::Content));
        assert_eq!(LmError::Cancelled.refusal(), None);
    }
}
