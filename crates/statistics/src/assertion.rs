//! An assertion for the tests of programs.

use crate::{Error, Scores, paired::Pairs};

/// Asserts that a program did not get worse: panics where interval and test both say that the second
/// scored lower than the first on the same examples ([`Comparison::is_worse`](crate::Comparison::is_worse)).
///
/// Takes the [`Scores`] before and after a change, and a confidence level where it is not to be 0.95. The
/// panic says both means, the difference with its interval, the p-value and the number of examples.
///
/// ```
/// use promptopt_statistics::{Scores, assert_not_worse};
///
/// let before = Scores::of([1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0])?;
/// let after = Scores::of([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0])?;
/// assert_not_worse!(before, after);
/// assert_not_worse!(before, after, 0.99);
/// # Ok::<(), promptopt_statistics::Error>(())
/// ```
///
/// If a change alters nothing about the quality, the assertion still fails in 1 to 2 of 100 cases, by chance.
/// If it passes, no loss was shown, which does not prove that there is none: a few examples show only large
/// losses. [`examples_needed`](crate::examples_needed) says how many show a loss of a given size.
///
/// # Panics
///
/// If the second is worse, or if the two do not have equally many examples.
///
/// ```should_panic
/// # use promptopt_statistics::{Scores, assert_not_worse};
/// assert_not_worse!(Scores::of([1.0; 20]).unwrap(), Scores::of([0.0; 20]).unwrap());
/// ```
#[macro_export]
macro_rules! assert_not_worse {
    ($before:expr, $after:expr $(,)?) => {
        $crate::assert_not_worse!($before, $after, 0.95)
    };
    ($before:expr, $after:expr, $level:expr $(,)?) => {
        match $crate::loss(&$before, &$after, $level) {
            ::core::result::Result::Ok(::core::option::Option::None) => {}
            ::core::result::Result::Ok(::core::option::Option::Some(loss)) => ::core::panic!("{}", loss),
            ::core::result::Result::Err(error) => ::core::panic!("{}", error),
        }
    };
}

/// What [`assert_not_worse!`] panics with; `None` where the second is not worse.
#[doc(hidden)]
pub fn loss(before: &Scores, after: &Scores, level: f64) -> Result<Option<String>, Error> {
    let pairs = Pairs::of(before, after)?;
    let comparison = pairs.compare(level);
    if !comparison.is_worse() {
        return Ok(None);
    }
    let (before, after) = pairs.means();
    let (wins, losses, test) = (comparison.wins, comparison.losses, &comparison.test);
    Ok(Some(format!(
        "the program got worse on the same examples: mean score {before:.3} before, {after:.3} after\n  \
         difference: {comparison:.3}\n  \
         examples: {wins} better, {losses} worse; test: {test}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(right: usize, n: usize) -> Scores {
        Scores::of((0..n).map(|index| f64::from(u8::from(index < right)))).unwrap()
    }

    #[test]
    fn a_loss_is_told_with_all_its_figures() {
        let text = loss(&scores(16, 20), &scores(6, 20), 0.95).unwrap().unwrap();
        let parts = [
            "0.800 before, 0.300 after",
            "-0.500 (95 % interval -0.",
            "p = 0.002, n = 20): worse",
            "0 better, 10 worse; test: exact McNemar",
        ];
        parts.into_iter().for_each(|part| assert!(text.contains(part), "{part} is not in {text}"));
    }

    /// An example that only one of the two was scored on counts for neither mean.
    #[test]
    fn means_are_of_the_examples_that_both_were_scored_on() {
        let before = Scores::new((0..12).map(|index| (index > 0).then_some(1.0))).unwrap();
        let text = loss(&before, &scores(1, 12), 0.95).unwrap().unwrap();
        assert!(text.contains("1.000 before, 0.000 after") && text.contains("n = 11"), "{text}");
    }

    #[test]
    fn a_gain_a_small_loss_and_a_stricter_level_pass() {
        assert_not_worse!(scores(6, 20), scores(16, 20));
        assert_not_worse!(&scores(16, 20), &scores(14, 20));
        assert_not_worse!(scores(16, 20), scores(6, 20), 0.999);
    }

    #[test]
    #[should_panic(expected = "20 examples against 19")]
    fn other_examples_are_no_comparison() {
        assert_not_worse!(scores(16, 20), scores(16, 19));
    }
}
