//! The results of the real tasks, a line of JSON each: a measurement of many hours that can stop and go on.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::table::say;

/// The name of the method that changes nothing.
pub(crate) const ORIGINAL: &str = "original";

/// What a cell is the result of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) model: String,
    pub(crate) seed: u64,
    pub(crate) task: String,
    pub(crate) method: String,
    /// Rows of train, selection and test.
    pub(crate) sizes: [usize; 3],
    /// The most calls that ours may make, and what the peers' sizes come near.
    pub(crate) max_calls: u64,
}

/// What an optimization took, counted at the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spent {
    /// Calls of the model that the task runs on.
    pub(crate) task_calls: u64,
    /// Calls of the model that writes instructions, where it is another one.
    pub(crate) writer_calls: u64,
    pub(crate) tokens_read: u64,
    pub(crate) tokens_written: u64,
}

/// One run of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    #[serde(flatten)]
    pub(crate) key: Key,
    /// Why the method came to nothing; the scores are the original's then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    pub(crate) spent: Spent,
    /// How long the optimization took.
    pub(crate) seconds: f64,
    pub(crate) instruction: String,
    pub(crate) demos: usize,
    /// The score of every row of the sealed test.
    pub(crate) scores: Vec<f64>,
}

impl Key {
    /// The key of the unchanged program on the same rows.
    pub(crate) fn original(&self) -> Self {
        Self { method: ORIGINAL.to_owned(), ..self.clone() }
    }
}

/// The cells that are there.
#[derive(Debug)]
pub(crate) struct Cells {
    path: PathBuf,
    cells: Vec<Cell>,
}

impl Cells {
    /// Reads what is there. A line that a kill has cut short is taken off.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(whole as u64).with_context(|| format!("mending {}", path.display()))?;
        }
        let mut cells = Vec::new();
        for (number, line) in text.get(..whole).unwrap_or_default().lines().enumerate() {
            let cell = serde_json::from_str(line).with_context(|| {
                format!("{}, line {}, is no result; delete it", path.display(), number + 1)
            })?;
            cells.push(cell);
        }
        Ok(Self { path: path.to_owned(), cells })
    }

    pub(crate) fn all(&self) -> &[Cell] {
        &self.cells
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.key == *key)
    }

    /// Keeps a cell. It is on the disk when this returns.
    pub(crate) fn add(&mut self, cell: Cell) -> Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let kept = || -> Result<()> {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            file.write_all((serde_json::to_string(&cell)? + "\n").as_bytes())?;
            Ok(file.sync_data()?)
        };
        kept().with_context(|| format!("writing {}", self.path.display()))?;
        self.cells.push(cell);
        Ok(())
    }

    /// Makes the cells of a plan that are missing, in its order, and starts none after `until`. Says how many are
    /// still missing. `make` gets the key, and the cell of the original on the same rows.
    pub(crate) async fn fill(
        &mut self,
        plan: &[Key],
        until: Option<Instant>,
        mut make: impl AsyncFnMut(&Key, Option<&Cell>) -> Result<Cell>,
    ) -> Result<usize> {
        for (at, key) in plan.iter().enumerate() {
            if self.get(key).is_some() {
                continue;
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(plan.iter().skip(at).filter(|key| self.get(key).is_none()).count());
            }
            let name = format!("{}, {}, {}, seed {}", key.model, key.task, key.method, key.seed);
            let cell = make(key, self.get(&key.original())).await.with_context(|| name.clone())?;
            say(&format!("{name}: {}", cell.line()));
            self.add(cell)?;
        }
        Ok(0)
    }
}

impl Cell {
    pub(crate) fn mean(&self) -> f64 {
        self.scores.iter().sum::<f64>() / self.scores.len().max(1) as f64
    }

    /// The result in a line.
    fn line(&self) -> String {
        let error =
            self.error.as_ref().map(|error| format!("; ended with an error: {error}")).unwrap_or_default();
        format!(
            "{:.1} with {} and {} calls, {:.0} s, {} demos{error}",
            100.0 * self.mean(),
            self.spent.task_calls,
            self.spent.writer_calls,
            self.seconds,
            self.demos
        )
    }
}

/// All cells of a measurement: the original of a task ahead of its methods, one model and one seed after the other.
pub(crate) fn plan(
    [models, tasks, methods]: [&[String]; 3],
    seeds: &[u64],
    sizes: [usize; 3],
    max_calls: u64,
) -> Vec<Key> {
    let mut keys = Vec::new();
    for model in models {
        for seed in seeds {
            for task in tasks {
                let key = |method: &str| Key {
                    model: model.clone(),
                    seed: *seed,
                    task: task.clone(),
                    method: method.to_owned(),
                    sizes,
                    max_calls,
                };
                keys.push(key(ORIGINAL));
                keys.extend(methods.iter().map(|method| key(method)));
            }
        }
    }
    keys
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn cell(key: &Key, scores: &[f64]) -> Cell {
        Cell {
            key: key.clone(),
            error: None,
            spent: Spent { task_calls: 90, writer_calls: 10, tokens_read: 5000, tokens_written: 600 },
            seconds: 12.0,
            instruction: format!("Answer as {} does.", key.method),
            demos: 2,
            scores: scores.to_vec(),
        }
    }

    fn keys() -> Vec<Key> {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        plan([&names(&["small"]), &names(&["gcd", "cities"]), &names(&["copro"])], &[1, 2], [4, 3, 2], 50)
    }

    /// Fills the cells at a path, and says which were made and how many are missing.
    fn filled(path: &Path, until: Option<Instant>, fails_at: usize) -> (Vec<String>, Result<usize>) {
        let mut made = Vec::new();
        let mut cells = Cells::open(path).unwrap();
        let missing = pollster::block_on(cells.fill(&keys(), until, async |key, original| {
            assert_eq!(original.is_some(), key.method != ORIGINAL);
            anyhow::ensure!(made.len() != fails_at, "the machine went down");
            made.push(format!("{} {} {}", key.seed, key.task, key.method));
            Ok(cell(key, &[1.0, 0.0]))
        }));
        (made, missing)
    }

    #[test]
    fn a_measurement_goes_on_where_it_was_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/cells.jsonl");
        let (made, failed) = filled(&path, None, 3);
        assert_eq!(made, ["1 gcd original", "1 gcd copro", "1 cities original"]);
        let error = format!("{:#}", failed.unwrap_err());
        assert_eq!(error, "small, cities, copro, seed 1: the machine went down");
        // A line that a kill has cut short is no cell.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(br#"{"model":"small","seed":1,"ta"#).unwrap();
        let (made, missing) = filled(&path, None, usize::MAX);
        assert_eq!(made[0], "1 cities copro");
        assert_eq!((made.len(), missing.unwrap()), (5, 0));
        let (made, missing) = filled(&path, None, usize::MAX);
        assert_eq!((made.len(), missing.unwrap()), (0, 0));
        let cells = Cells::open(&path).unwrap();
        assert_eq!(
            cells.all().iter().map(|cell| &cell.key).collect::<Vec<_>>(),
            keys().iter().collect::<Vec<_>>()
        );
        assert_eq!(*cells.get(&keys()[3]).unwrap(), cell(&keys()[3], &[1.0, 0.0]));
    }

    #[test]
    fn no_cell_is_begun_when_the_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let (made, missing) = filled(&folder.path().join("cells.jsonl"), Some(Instant::now()), usize::MAX);
        assert_eq!((made.len(), missing.unwrap()), (0, 8));
    }

    #[test]
    fn cells_of_other_sizes_are_other_cells() {
        let folder = tempfile::tempdir().unwrap();
        let mut cells = Cells::open(&folder.path().join("cells.jsonl")).unwrap();
        cells.add(cell(&keys()[0], &[1.0])).unwrap();
        assert!(cells.get(&keys()[0]).is_some());
        assert!(cells.get(&Key { max_calls: 51, ..keys()[0].clone() }).is_none());
        assert!(cells.get(&Key { sizes: [4, 3, 1], ..keys()[0].clone() }).is_none());
    }

    #[test]
    fn a_line_that_is_no_cell_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.jsonl");
        fs::write(&path, "{}\n").unwrap();
        let error = format!("{:#}", Cells::open(&path).unwrap_err());
        assert!(error.contains("cells.jsonl, line 1, is no result"), "{error}");
    }
}
