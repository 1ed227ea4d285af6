//! The scores of one program.

use std::borrow::Borrow;

use crate::{Error, basics::mean};

/// The scores of one program: one score per example, in the order of the examples, and `None` for an
/// example that has no score. Every score is a finite number. Most are between 0 and 1, but they need not be.
///
/// ```
/// use promptopt_statistics::Scores;
///
/// let all = Scores::of([1.0, 0.5, 0.0])?;
/// let one_missing = Scores::new([Some(1.0), None, Some(0.0)])?;
/// assert_eq!((all.len(), one_missing.len()), (3, 3));
/// assert_eq!(one_missing.mean(), Some(0.5));
/// # Ok::<(), promptopt_statistics::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores(Vec<Option<f64>>);

impl Scores {
    /// Scores of which some may be missing. A `Vec` keeps its allocation.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`] for the first score that is NaN or infinite.
    pub fn new(scores: impl IntoIterator<Item = Option<f64>>) -> Result<Self, Error> {
        let scores: Vec<Option<f64>> = scores.into_iter().collect();
        for (index, score) in scores.iter().enumerate() {
            if let Some(score) = score.filter(|score| !score.is_finite()) {
                return Err(Error::NotFinite { index, score });
            }
        }
        Ok(Self(scores))
    }

    /// Scores of which none is missing, from an array, a `Vec` or a slice.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`] for the first score that is NaN or infinite.
    pub fn of(scores: impl IntoIterator<Item: Borrow<f64>>) -> Result<Self, Error> {
        Self::new(scores.into_iter().map(|score| Some(*score.borrow())))
    }

    /// Scores of a program that ran several times on every example: one slice of scores per example. The
    /// score of an example is the mean of its runs; an example without a run has no score.
    ///
    /// Runs of one example resemble each other, so they must not be counted as examples. With their
    /// mean as its score, each example counts once, however often it was run, and the bootstraps and
    /// tests of this crate draw whole examples (the cluster bootstrap; Cameron, Gelbach and Miller 2008).
    ///
    /// ```
    /// use promptopt_statistics::{Scores, estimate};
    ///
    /// // Ten examples, each run five times with the same result, are ten facts and not fifty.
    /// let runs: Vec<Vec<f64>> = (0..10).map(|example| vec![f64::from(example % 2); 5]).collect();
    /// let honest = estimate(&Scores::of_runs(&runs)?, 0.95);
    /// let naive = estimate(&Scores::of(runs.concat())?, 0.95);
    /// assert_eq!((honest.n, honest.mean), (10, naive.mean));
    /// assert!(honest.high - honest.low > 1.8 * (naive.high - naive.low));
    /// # Ok::<(), promptopt_statistics::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`] for the first example whose mean is NaN or infinite, which is where one of
    /// its runs is.
    pub fn of_runs(runs: impl IntoIterator<Item: AsRef<[f64]>>) -> Result<Self, Error> {
        Self::new(runs.into_iter().map(|runs| {
            let runs = runs.as_ref();
            (!runs.is_empty()).then(|| mean(runs))
        }))
    }

    /// Scores whose NaN and infinite values count as missing. It cannot fail, so it suits scores that
    /// were checked before.
    pub fn lossy(scores: impl IntoIterator<Item = Option<f64>>) -> Self {
        Self(scores.into_iter().map(|score| score.filter(|score| score.is_finite())).collect())
    }

    /// Examples, those without a score included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One score per example.
    pub fn as_slice(&self) -> &[Option<f64>] {
        &self.0
    }

    /// The score that a share of the known ones lie below, between two of them in proportion; `None` where none is
    /// known.
    ///
    /// ```
    /// use promptopt_statistics::Scores;
    ///
    /// assert_eq!(Scores::of([0.0, 1.0, 2.0, 3.0, 4.0])?.quantile(0.1), Some(0.4));
    /// # Ok::<(), promptopt_statistics::Error>(())
    /// ```
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.known();
        sorted.sort_by(f64::total_cmp);
        let place = share.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
        let (low, high) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
        Some(low + (high - low) * place.fract())
    }

    /// The mean of the scores that are not missing; `None` where all are.
    pub fn mean(&self) -> Option<f64> {
        let known = self.known();
        (!known.is_empty()).then(|| mean(&known))
    }

    /// The scores that are not missing.
    pub(crate) fn known(&self) -> Vec<f64> {
        self.0.iter().copied().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_that_is_no_number_is_refused_with_its_index() {
        let check = |score: f64| {
            let error = Scores::new([None, Some(0.5), Some(score)]).unwrap_err();
            assert!(error.to_string().contains("example 2 is"), "{error}");
            assert_eq!(Scores::lossy([None, Some(0.5), Some(score)]).as_slice(), [None, Some(0.5), None]);
        };
        check(f64::NAN);
        check(f64::INFINITY);
        check(f64::NEG_INFINITY);
        let runs = [vec![1.0], vec![0.5, f64::NAN]];
        assert!(matches!(Scores::of_runs(&runs), Err(Error::NotFinite { index: 1, .. })));
    }

    #[test]
    fn an_example_without_a_run_has_no_score() {
        let scores = Scores::of_runs([vec![1.0, 0.0], Vec::new(), vec![0.5]]).unwrap();
        assert_eq!(scores.as_slice(), [Some(0.5), None, Some(0.5)]);
        assert_eq!((scores.len(), scores.mean()), (3, Some(0.5)));
    }

    #[test]
    fn the_mean_of_nothing_is_none() {
        assert_eq!(Scores::default().mean(), None);
        assert_eq!(Scores::lossy([None, None]).mean(), None);
        assert!(Scores::default().is_empty());
    }

    #[test]
    fn plain_numbers_come_from_arrays_vectors_and_slices() {
        let expected = Scores::new([Some(1.0), Some(0.0)]).unwrap();
        let vector = vec![1.0, 0.0];
        assert_eq!(Scores::of([1.0, 0.0]).unwrap(), expected);
        assert_eq!(Scores::of(&vector).unwrap(), expected);
        assert_eq!(Scores::of(vector.as_slice()).unwrap(), expected);
        assert_eq!(Scores::of(vector).unwrap(), expected);
    }
}
