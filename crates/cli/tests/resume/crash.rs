//! Runs that are killed at random moments and resumed until they are done.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::harness::{CONCURRENCY, Harness, Reference, Results, completed, kill, start};

/// What a run writes at its end, in a folder of [`Harness::folder`].
const RESULTS: [&str; 5] = [
    "route.optimized.json",
    "route.optimized.html",
    "route.run/program.json",
    "route.run/outcome.json",
    "route.run/report.html",
];

/// No life of a run takes longer than this.
const LONGEST: Duration = Duration::from_secs(120);

/// What came of killing.
#[derive(Default, Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) kills: usize,
    /// Kills of a process that had begun to write results.
    pub(crate) while_writing: usize,
    /// Kills that left half a file, under its temporary name.
    pub(crate) half_written: usize,
    pub(crate) runs: usize,
    /// Completed calls.
    pub(crate) calls: usize,
    /// Requests that were under way in a kill; at most as many as may be at once.
    pub(crate) lost: usize,
    /// Requests beyond those: completed calls that were made again. In a run that comes to its end nothing
    /// is under way in a kill, so there every one is found.
    pub(crate) repeated: usize,
    /// Runs whose results were not those of the uninterrupted one.
    pub(crate) different: usize,
}

/// When a process is killed.
enum Moment {
    /// After so long.
    After(Duration),
    /// So long after it wrote a result for the first time, or began to.
    Writing(Duration),
    /// So long after it wrote a certain result.
    Written(&'static str, Duration),
    /// So long after its event log became as long as that, in bytes.
    Events(u64, Duration),
}

impl Moment {
    fn random(random: &mut impl Rng, reference: &Reference) -> Self {
        let soon = Duration::from_micros(random.random_range(0..3_000));
        match random.random_range(0..8) {
            0..4 => Self::After(reference.took.mul_f64(random.random_range(0.0..1.0))),
            4 => Self::Writing(soon),
            5 | 6 => Self::Written(RESULTS[random.random_range(0..RESULTS.len())], soon),
            _ => Self::Events(random.random_range(0..reference.events), soon),
        }
    }

    /// Waits for the moment; false when the process came to its end before.
    fn wait(&self, child: &mut Child, folder: &Path) -> bool {
        let (before, begun) = (written(folder), Instant::now());
        let after = match self {
            Self::After(time) => *time,
            Self::Writing(after) | Self::Written(_, after) | Self::Events(_, after) => {
                while !self.is_there(folder, &before) {
                    assert!(begun.elapsed() < LONGEST, "the run does not end");
                    if child.try_wait().unwrap().is_some() {
                        return false;
                    }
                    std::thread::sleep(Duration::from_micros(200));
                }
                *after
            }
        };
        std::thread::sleep(after);
        child.try_wait().unwrap().is_none()
    }

    fn is_there(&self, folder: &Path, before: &Written) -> bool {
        match self {
            Self::After(_) => true,
            Self::Writing(_) => written(folder) != *before,
            Self::Written(name, _) => {
                let path = folder.join(name);
                identity(&path).is_some_and(|now| before.get(&path) != Some(&now))
            }
            Self::Events(size, _) => {
                std::fs::metadata(folder.join("route.run/events.jsonl")).is_ok_and(|file| file.len() >= *size)
            }
        }
    }
}

/// Every file that may be a result, or half of one, and which file that is.
type Written = BTreeMap<PathBuf, (u64, u64)>;

fn written(folder: &Path) -> Written {
    let results = RESULTS.into_iter().map(|name| folder.join(name)).chain(halves(folder));
    results.filter_map(|path| identity(&path).map(|file| (path, file))).collect()
}

/// A file that is replaced is another one.
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.ctime_nsec() as u64))
}

/// Files under a temporary name.
fn halves(folder: &Path) -> Vec<PathBuf> {
    let places = [folder.to_owned(), folder.join("route.run")];
    let entries = places.iter().filter_map(|place| std::fs::read_dir(place).ok()).flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with('.')).collect()
}

/// Whoever looks at a result between two lives sees all of it.
fn check_results(folder: &Path) {
    for name in RESULTS {
        let Ok(text) = std::fs::read_to_string(folder.join(name)) else { continue };
        let is_whole = match name.ends_with(".json") {
            true => serde_json::from_str::<serde_json::Value>(&text).is_ok(),
            false => text.trim_end().ends_with("</html>"),
        };
        assert!(is_whole, "{name} is half a file of {} bytes", text.len());
    }
}

/// Starts runs, kills them at random moments and resumes them until they are done, until there were so many
/// kills.
pub(crate) fn crash(harness: &Harness, task: &str, cycles: usize, seed: u64) -> Figures {
    let reference = Reference::run(harness, task);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut figures = Figures::default();
    while figures.kills < cycles {
        harness.reset();
        let folder = harness.folder(task);
        let (mut asked, mut kept) = (0, 0);
        loop {
            let done = !live(folder.path(), &reference, figures.kills < cycles, &mut random, &mut figures);
            // Of what was asked since the last kill, this is not in the journal: it was under way in the
            // kill, or it is there already and was asked once more.
            let (asked_now, kept_now) = (harness.requests(), completed(folder.path()));
            let lost = (asked_now - asked) - (kept_now - kept);
            (asked, kept) = (asked_now, kept_now);
            let under_way = if done { 0 } else { CONCURRENCY };
            figures.lost += lost.min(under_way);
            figures.repeated += lost.saturating_sub(under_way);
            if done {
                break;
            }
        }
        figures.runs += 1;
        figures.calls += kept;
        figures.different += usize::from(Results::of(folder.path()) != reference.results);
    }
    figures
}

/// One life of a run. Says whether it was killed.
fn live(
    folder: &Path,
    reference: &Reference,
    mortal: bool,
    random: &mut impl Rng,
    figures: &mut Figures,
) -> bool {
    let before = written(folder);
    let arguments: &[&str] = match folder.join("route.run/run.json").exists() {
        true => &["resume", "route.run"],
        false => &["optimize", "task.toml", "--run", "route.run"],
    };
    let mut child = start(folder, arguments);
    let killed = mortal && Moment::random(random, reference).wait(&mut child, folder);
    if killed {
        kill(&mut child);
        let now = written(folder);
        figures.kills += 1;
        figures.while_writing += usize::from(RESULTS.iter().any(|name| {
            let path = folder.join(name);
            now.get(&path) != before.get(&path)
        }));
        figures.half_written += usize::from(halves(folder).iter().any(|path| !before.contains_key(path)));
    } else {
        let status = child.wait().unwrap();
        assert!(status.success(), "{status} of {arguments:?}");
    }
    check_results(folder);
    killed
}
