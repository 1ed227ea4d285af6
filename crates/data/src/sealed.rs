//! The test split, which nobody looks at by accident.

use std::fmt;

use promptopt_core::data::Example;

use crate::{Overlap, overlap};

/// Examples for the last measurement, sealed until then.
///
/// A score on the test split is honest only when nothing before it depended on those examples. So
/// they can be counted and checked for overlap, but read only by [`open`](SealedTest::open), which
/// takes the seal away for good: call it once, when the winner is chosen and installed. Neither
/// `Debug` nor any other trait gives them away.
///
/// ```
/// use promptopt_core::data::Example;
/// use promptopt_data::SealedTest;
///
/// let test = SealedTest::new(vec![Example::new([("question", "1 + 1?"), ("answer", "2")], ["question"])]);
/// assert_eq!(format!("{test:?}"), "SealedTest { 1 examples }");
/// let examples = test.open();
/// assert_eq!(examples[0].get_str("answer"), Some("2"));
/// ```
#[derive(Default)]
pub struct SealedTest {
    examples: Vec<Example>,
}

impl SealedTest {
    /// Seals examples, such as those of a test file of their own.
    pub fn new(examples: Vec<Example>) -> Self {
        Self { examples }
    }

    /// How many examples there are.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// The rows of `others` whose inputs stand in this test split too, found without opening it.
    /// [`Overlap::first`] counts in the test split, [`Overlap::second`] in `others`.
    pub fn overlap(&self, others: &[Example]) -> Vec<Overlap> {
        overlap(&self.examples, others)
    }

    /// The examples, for comparisons that tell nothing of what they hold.
    pub(crate) fn sealed(&self) -> &[Example] {
        &self.examples
    }

    /// Breaks the seal.
    pub fn open(self) -> Vec<Example> {
        self.examples
    }
}

impl fmt::Debug for SealedTest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SealedTest {{ {} examples }}", self.examples.len())
    }
}
