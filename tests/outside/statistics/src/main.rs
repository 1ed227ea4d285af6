//! Scores before and after a change, compared, with nothing else of ours.

use promptopt_statistics::{Error, Scores, assert_not_worse, compare, estimate};

fn main() -> Result<(), Error> {
    let before = Scores::of((0..60).map(|number| f64::from(number % 3 == 0)))?;
    let after = Scores::of((0..60).map(|number| f64::from(number % 3 != 1)))?;
    assert_not_worse!(before, after);
    let gain = compare(&before, &after, 0.95)?;
    assert!(gain.is_better(), "{gain}");
    println!("{} -> {}: {gain}", estimate(&before, 0.95), estimate(&after, 0.95));
    Ok(())
}
