//! What a split did, for logs and reports.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a split did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SplitReport {
    /// Rows of the data set.
    pub rows: usize,
    /// Different inputs among them.
    pub distinct_inputs: usize,
    /// Rows of the train part.
    pub train: usize,
    /// Rows of the selection part.
    pub selection: usize,
    /// Rows of the test part.
    pub test: usize,
    /// Rows of no part.
    pub unused: usize,
}

impl SplitReport {
    /// So many rows in each part, all of them different and none left over.
    pub fn new(train: usize, selection: usize, test: usize) -> Self {
        let rows = train + selection + test;
        Self { rows, distinct_inputs: rows, train, selection, test, unused: 0 }
    }

    /// How many rows repeat the inputs of an earlier one. They went where that one went.
    pub fn duplicates(&self) -> usize {
        self.rows.saturating_sub(self.distinct_inputs)
    }
}

impl fmt::Display for SplitReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, train, selection, test, unused, .. } = self;
        write!(formatter, "{rows} rows: {train} train, {selection} selection, {test} test")?;
        if *unused > 0 {
            write!(formatter, ", {unused} unused")?;
        }
        match self.duplicates() {
            0 => Ok(()),
            count => {
                write!(formatter, "; {count} repeat the inputs of another row and went to the same part")
            }
        }
    }
}
