//! The embedded model on two real tasks: score gained for calls, beside DSPy over the same model.

use anyhow::Result;

use crate::options::Options;
use crate::table::Row;

/// The rows of this part; none in a build without the feature `local`, or with `--quick`.
#[cfg(not(feature = "local"))]
pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    if !options.quick {
        crate::table::say("model: built without the embedded model; add `--features local`");
    }
    Ok(Vec::new())
}

/// The rows of this part; none with `--quick`.
#[cfg(feature = "local")]
pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    if options.quick { Ok(Vec::new()) } else { crate::model_tasks::run(options).await }
}
