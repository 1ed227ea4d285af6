//! The data of a task: loaded, and divided into its parts.

use std::path::Path;

use anyhow::Context as _;
use promptopt_core::data::{ContentHash, Example};
use promptopt_data::{
    LoadOptions, Portion, SameInputs, SealedTest, SplitOptions, SplitReport, UnknownFields, leakage,
    without_leakage,
};
use serde_json::Value;

use crate::args::RunArgs;
use crate::metrics;
use crate::program::Blueprint;
use crate::task_file::{DataSection, Part, TaskFile};

/// The rows of a task, before they are divided.
pub(crate) struct Undivided {
    /// What is divided.
    pool: Vec<Example>,
    /// Parts with files of their own.
    selection: Option<Vec<Example>>,
    test: Option<Vec<Example>>,
    /// Which data set of the hub it was, at which commit; null for files.
    pub(crate) source: Value,
    /// What was read otherwise than it stands.
    notes: Vec<String>,
}

/// The parts of the data.
pub(crate) struct Parts {
    pub(crate) train: Vec<Example>,
    pub(crate) selection: Vec<Example>,
    pub(crate) test: SealedTest,
    pub(crate) report: SplitReport,
    /// What a user should know of them.
    pub(crate) notes: Vec<String>,
}

impl Undivided {
    /// No rows, for whoever gets them from elsewhere.
    #[cfg(any(feature = "fleet", feature = "gateway"))]
    pub(crate) fn none() -> Self {
        Self { pool: Vec::new(), selection: None, test: None, source: Value::Null, notes: Vec::new() }
    }

    /// Loads what a task names.
    pub(crate) async fn load(task: &TaskFile, blueprint: &Blueprint) -> anyhow::Result<Self> {
        let data = &task.data;
        let default = if data.hub.is_some() { UnknownFields::Drop } else { UnknownFields::Error };
        let mut options = LoadOptions::for_signature(&blueprint.signature)
            .with_columns(data.columns.clone())
            .with_unknown_fields(data.unknown_fields.unwrap_or(default));
        options.limit = data.limit;
        (options.delimiter, options.quotes) = (data.delimiter, data.quotes);
        options.max_row_bytes = data.max_row_bytes.unwrap_or(options.max_row_bytes);
        options.files_outside = data.files_outside;
        if !metrics::needs_labels(&task.metric) {
            options.required.clear();
        }
        let data = data.clone();
        // Files and the hub's client block.
        tokio::task::spawn_blocking(move || Self::read(&data, &options)).await?
    }

    fn read(data: &DataSection, options: &LoadOptions) -> anyhow::Result<Self> {
        let mut notes = Vec::new();
        let mut load = |path: &Path| -> anyhow::Result<Vec<Example>> {
            let mut rows = promptopt_data::open(path, options)?;
            let examples = rows.by_ref().collect::<Result<_, _>>()?;
            notes.extend(rows.notes());
            Ok(examples)
        };
        let mut rows = match &data.hub {
            Some(_) => from_hub(data, options)?,
            None => {
                let path = data.path.as_deref().or(data.train.as_ref().and_then(Part::file));
                let pool = load(path.unwrap_or(Path::new("")))?;
                Self { pool, selection: None, test: None, source: Value::Null, notes: Vec::new() }
            }
        };
        let mut file = |part: &Option<Part>| part.as_ref().and_then(Part::file).map(&mut load).transpose();
        rows.selection = file(&data.selection)?;
        rows.test = rows.test.or(file(&data.test)?);
        rows.notes.extend(notes);
        Ok(rows)
    }

    /// All rows, for those who only look at them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Example> {
        let more = self.selection.iter().chain(&self.test).flatten();
        self.pool.iter().chain(more)
    }

    /// The hash of all rows, in their order.
    pub(crate) fn hash(&self) -> ContentHash {
        match (&self.selection, &self.test) {
            (None, None) => ContentHash::of(&self.pool),
            _ => ContentHash::of(&(&self.pool, &self.selection, &self.test)),
        }
    }

    /// Divides the rows. Parts of different files that share inputs lose those they share.
    pub(crate) fn divide(self, data: &DataSection, args: &RunArgs) -> anyhow::Result<Parts> {
        let rows = self.all().count();
        let Self { pool, selection, test, notes, .. } = self;
        let has_files = selection.is_some() || test.is_some();
        let options = options(data, args, pool.len(), [selection.is_some(), test.is_some()]);
        let mut parts = divided(pool, &options)?;
        parts.notes = notes;
        // A file may be sorted, so that its first rows say little of the others.
        let first = |rows: Vec<Example>, most: Option<usize>| -> anyhow::Result<Vec<Example>> {
            let all = SplitOptions::nothing().with_train(Portion::Ratio(1.0)).with_seed(data.seed);
            let shuffled = if rows.is_empty() { rows } else { promptopt_data::split(rows, &all)?.train };
            Ok(shuffled.into_iter().take(most.unwrap_or(usize::MAX)).collect())
        };
        if let Some(selection) = selection {
            parts.selection = first(selection, args.selection)?;
        }
        if let Some(test) = test {
            parts.test = SealedTest::new(first(test, args.test)?);
        }
        let found = match has_files {
            true => {
                let kept = without_leakage(parts.train, parts.selection, &parts.test, SameInputs::Normalized);
                (parts.train, parts.selection) = (kept.train, kept.selection);
                kept.report
            }
            false => leakage(&parts.train, &parts.selection, &parts.test, SameInputs::Normalized),
        };
        if !found.is_clean() {
            parts.notes.push(found.to_string());
        }
        if has_files {
            let mut report = SplitReport::new(parts.train.len(), parts.selection.len(), parts.test.len());
            report.unused = rows.saturating_sub(report.rows);
            (report.rows, report.distinct_inputs) = (rows, rows);
            parts.report = report;
        }
        Ok(parts)
    }
}

/// The part of the rows that are all of one pool.
fn divided(pool: Vec<Example>, options: &SplitOptions) -> anyhow::Result<Parts> {
    let rows = pool.len();
    if (options.train, options.selection, options.test) == (None, None, None) {
        let report = SplitReport::new(rows, 0, 0);
        let test = SealedTest::new(Vec::new());
        return Ok(Parts { train: pool, selection: Vec::new(), test, report, notes: Vec::new() });
    }
    let splits = promptopt_data::split(pool, options).context("splitting the data")?;
    Ok(Parts {
        train: splits.train,
        selection: splits.selection,
        test: splits.test,
        report: splits.report,
        notes: Vec::new(),
    })
}

/// How the pool is divided; `files` says which of selection and test have files of their own.
fn options(data: &DataSection, args: &RunArgs, rows: usize, files: [bool; 2]) -> SplitOptions {
    let defaults = SplitOptions::default();
    let portion = |part: &Option<Part>| part.as_ref().and_then(Part::portion);
    let of_task = [&data.train, &data.selection, &data.test].map(portion);
    let given = of_task.iter().any(Option::is_some);
    let [has_selection, has_test] = files;
    let has_files =
        has_selection || has_test || data.train.as_ref().is_some_and(|part| part.file().is_some());
    let part = |is_file: bool, flag: Option<usize>, of_task: Option<Portion>, default: Option<Portion>| {
        let otherwise = if given { of_task } else { default };
        flag.map(Portion::Count).or(otherwise).filter(|_| !is_file)
    };
    let [train, selection, test] = of_task;
    let selection = part(has_selection, args.selection, selection, defaults.selection);
    let test = part(has_test, args.test, test, defaults.test);
    let train = match has_files {
        false => part(false, args.train, train, defaults.train),
        true => args.train.map(Portion::Count).or(train).or_else(|| rest(rows, [selection, test])),
    };
    SplitOptions::default()
        .with_train(train)
        .with_selection(selection)
        .with_test(test)
        .with_seed(data.seed)
        .with_stratify_by(data.stratify_by.clone())
}

/// What is left of the rows beside some portions; `None` where that is all of them.
fn rest(rows: usize, portions: [Option<Portion>; 2]) -> Option<Portion> {
    let (mut count, mut ratio) = (0, 0.0);
    for portion in portions.into_iter().flatten() {
        match portion {
            Portion::Count(rows) => count += rows,
            Portion::Ratio(share) => ratio += share,
            _ => {}
        }
    }
    match (count, ratio > 0.0) {
        (0, false) => None,
        (0, true) => Some(Portion::Ratio(1.0 - ratio)),
        // A part of a row is a row for whom it is divided among.
        _ => Some(Portion::Count(rows.saturating_sub(count + (ratio * rows as f64).ceil() as usize))),
    }
}

#[cfg(feature = "hub")]
fn from_hub(data: &DataSection, options: &LoadOptions) -> anyhow::Result<Undivided> {
    use promptopt_data::HubDataset;

    let hub = data.hub.as_ref().context("there is no `[data.hub]`")?;
    let dataset = |split: &str, revision: Option<&String>| {
        let dataset = HubDataset::new(&hub.repo, split).with_config(hub.config.clone());
        let mut dataset = dataset.with_revision(revision.cloned());
        dataset.limit = data.limit;
        dataset
    };
    let mut pool = dataset(hub.split.as_deref().unwrap_or("train"), hub.revision.as_ref()).load(options)?;
    // Both splits are of one commit, whatever happens to the branch meanwhile.
    let of_test = |split: &str| dataset(split, Some(&pool.source.revision)).load(options);
    let mut test = hub.test_split.as_deref().map(of_test).transpose()?;
    pool.notes.extend(test.iter_mut().flat_map(|test| std::mem::take(&mut test.notes)));
    Ok(Undivided {
        source: serde_json::to_value(&pool.source)?,
        notes: pool.notes,
        pool: pool.examples,
        selection: None,
        test: test.map(|test| test.examples),
    })
}

#[cfg(not(feature = "hub"))]
fn from_hub(_data: &DataSection, _options: &LoadOptions) -> anyhow::Result<Undivided> {
    anyhow::bail!("this promptopt was built without the Hugging Face Hub (`--features hub`)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(name: &str, count: usize) -> Vec<Example> {
        (0..count).map(|n| Example::new([("q", format!("{name} {n}"))], ["q"])).collect()
    }

    fn sizes(data: &str, selection: Option<usize>, test: Option<usize>) -> [usize; 3] {
        let data: DataSection = toml::from_str(data).unwrap();
        let all = Undivided {
            pool: rows("pool", 100),
            selection: selection.map(|count| rows("selection", count)),
            test: test.map(|count| rows("test", count)),
            source: Value::Null,
            notes: Vec::new(),
        };
        let args: RunArgs = serde_json::from_str("{\"task\": \"task.toml\"}").unwrap();
        let parts = all.divide(&data, &args).unwrap();
        assert!(parts.notes.is_empty(), "{:?}", parts.notes);
        let SplitReport { train, selection, test, .. } = parts.report;
        assert_eq!([train, selection, test], [parts.train.len(), parts.selection.len(), parts.test.len()]);
        [train, selection, test]
    }

    #[test]
    fn parts_are_portions_or_files() {
        assert_eq!(sizes("path = \"a\"", None, None), [60, 20, 20]);
        assert_eq!(sizes("path = \"a\"\ntrain = 50\ntest = 0.3", None, None), [50, 0, 30]);
        assert_eq!(sizes("path = \"a\"\ntest = \"t\"", None, Some(40)), [80, 20, 40]);
        assert_eq!(sizes("train = \"a\"\nselection = 0.1\ntest = \"t\"", None, Some(40)), [90, 10, 40]);
        assert_eq!(sizes("train = \"a\"\nselection = 0.1\ntest = 7", None, None), [83, 10, 7]);
        assert_eq!(
            sizes("train = \"a\"\nselection = \"s\"\ntest = \"t\"", Some(30), Some(40)),
            [100, 30, 40]
        );
        assert_eq!(sizes("hub = { repo = \"o/n\", test_split = \"test\" }", None, Some(5)), [80, 20, 5]);
    }

    #[test]
    fn any_number_of_rows_is_divided() {
        let args: RunArgs = serde_json::from_str("{\"task\": \"task.toml\"}").unwrap();
        for count in 10..60 {
            for data in ["path = \"a\"\ntest = \"t\"", "train = \"a\"\nselection = 0.3\ntest = 3"] {
                let data: DataSection = toml::from_str(data).unwrap();
                let test = data.test.as_ref().and_then(Part::file).map(|_| rows("test", 7));
                let all = Undivided {
                    pool: rows("pool", count),
                    selection: None,
                    test,
                    source: Value::Null,
                    notes: Vec::new(),
                };
                let parts = all.divide(&data, &args).unwrap();
                assert!(parts.report.unused <= 1 && parts.train.len() > parts.selection.len(), "{count}");
            }
        }
    }

    #[test]
    fn what_parts_share_is_removed_and_told() {
        let mut test = rows("test", 10);
        test.extend(rows("POOL ", 3));
        let all = Undivided {
            pool: rows("pool", 100),
            selection: None,
            test: Some(test),
            source: Value::Null,
            notes: Vec::new(),
        };
        let data: DataSection =
            toml::from_str("path = \"a\"\ntrain = 0.9\nselection = 0.1\ntest = \"t\"").unwrap();
        let args: RunArgs = serde_json::from_str("{\"task\": \"task.toml\"}").unwrap();
        let parts = all.divide(&data, &args).unwrap();
        assert_eq!((parts.train.len() + parts.selection.len(), parts.report.unused), (97, 3));
        assert!(parts.notes[0].contains("have the same inputs"), "{:?}", parts.notes);
    }
}
