//! Which split a file belongs to by its path, as the `datasets` library guesses it.

use std::path::Path;

use glob::{MatchOptions, Pattern};

use crate::format::Format;

/// A split's name and the words that stand for it in paths (`datasets/data_files.py`).
const SPLIT_WORDS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("validation", &["validation", "valid", "dev", "val"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];

/// Splits with their files, both in the order in which they were found.
pub(crate) type Splits = Vec<(String, Vec<String>)>;

/// The splits of files that nobody has assigned: by names such as `data/NAME-00000-of-00001.parquet`,
/// else by folders, else by the names of files; where all of that says nothing, everything is
/// `train`.
pub(crate) fn guess<'f>(files: impl IntoIterator<Item = &'f str>) -> Splits {
    let mut files: Vec<&str> = files.into_iter().filter(|file| is_data(file)).collect();
    files.sort_unstable();
    for rule in [shard, folder, stem] {
        let mut splits = Splits::new();
        for file in &files {
            if let Some(split) = rule(file) {
                put(&mut splits, &split, file);
            }
        }
        if !splits.is_empty() {
            return splits;
        }
    }
    let mut splits = Splits::new();
    for file in files {
        put(&mut splits, "train", file);
    }
    splits
}

/// Adds a file to a split.
pub(crate) fn put(splits: &mut Splits, split: &str, file: &str) {
    match splits.iter_mut().find(|(name, _)| name == split) {
        Some((_, files)) => files.push(file.to_owned()),
        None => splits.push((split.to_owned(), vec![file.to_owned()])),
    }
}

/// The files that a pattern of a card means, in order: `*` within a folder, `**` over folders.
pub(crate) fn matching<'f>(pattern: &str, files: &'f [String]) -> Vec<&'f str> {
    let pattern = pattern.trim_start_matches("./");
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let compiled = Pattern::new(pattern).ok();
    let is_meant = |file: &str| {
        file == pattern || compiled.as_ref().is_some_and(|compiled| compiled.matches_with(file, options))
    };
    let mut found: Vec<&str> =
        files.iter().map(String::as_str).filter(|file| is_data(file) && is_meant(file)).collect();
    found.sort_unstable();
    found
}

/// Whether a file holds rows: by its extension, and not hidden nor the description of a data set.
pub(crate) fn is_data(file: &str) -> bool {
    let is_hidden = |part: &str| part.starts_with('.') || part.starts_with("__");
    let name = file.rsplit('/').next().unwrap_or(file);
    let describes =
        matches!(name, "dataset_infos.json" | "dataset_dict.json" | "state.json" | "dataset_info.json");
    Format::of(Path::new(file)).is_some() && !describes && !file.split('/').any(is_hidden)
}

/// `data/NAME-00000-of-00001….EXTENSION`.
fn shard(file: &str) -> Option<String> {
    let (name, numbers) = file.strip_prefix("data/")?.split_once('-')?;
    let (index, rest) = numbers.split_once("-of-")?;
    let total: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(index) && is_number(&total) && !name.contains('/')).then(|| name.to_owned())
}

fn folder(file: &str) -> Option<String> {
    let (folders, _) = file.rsplit_once('/')?;
    folders.split('/').find_map(by_words)
}

fn stem(file: &str) -> Option<String> {
    by_words(file.rsplit('/').next()?)
}

/// The split whose word stands in a name, between digits, points, dashes, underscores or blanks.
fn by_words(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let between = |letter: char| matches!(letter, '-' | '.' | '_' | ' ' | '0'..='9');
    let split = SPLIT_WORDS.iter().find(|(_, words)| name.split(between).any(|word| words.contains(&word)));
    split.map(|(split, _)| (*split).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[&str], expected: &[(&str, &[&str])]) {
        let splits = guess(files.iter().copied());
        let splits: Vec<(&str, Vec<&str>)> = splits
            .iter()
            .map(|(name, files)| (name.as_str(), files.iter().map(String::as_str).collect()))
            .collect();
        let expected: Vec<(&str, Vec<&str>)> =
            expected.iter().map(|(name, files)| (*name, files.to_vec())).collect();
        assert_eq!(splits, expected);
    }

    #[test]
    fn splits_are_guessed_from_paths() {
        check(
            &[
                "data/train-00001-of-00002-ab12.parquet",
                "data/train-00000-of-00002-ab12.parquet",
                "data/odd-00000-of-00001.parquet",
            ],
            &[
                ("odd", &["data/odd-00000-of-00001.parquet"]),
                (
                    "train",
                    &["data/train-00000-of-00002-ab12.parquet", "data/train-00001-of-00002-ab12.parquet"],
                ),
            ],
        );
        check(
            &["dev/a.csv", "training/b.csv"],
            &[("validation", &["dev/a.csv"]), ("train", &["training/b.csv"])],
        );
        check(
            &["my_test.jsonl", "train.jsonl", "valid1.jsonl", "README.md", "contest.jsonl"],
            &[("test", &["my_test.jsonl"]), ("train", &["train.jsonl"]), ("validation", &["valid1.jsonl"])],
        );
        check(&["rows.json", "dataset_infos.json", ".hidden/x.csv", "a.txt"], &[("train", &["rows.json"])]);
        check(&["a.txt"], &[]);
    }

    #[test]
    fn patterns_mean_files_of_their_folder() {
        let files = ["data/train-1.parquet", "data/x/train-2.parquet", "data/test.csv"].map(str::to_owned);
        assert_eq!(matching("data/train-*", &files), ["data/train-1.parquet"]);
        assert_eq!(matching("**/train-*", &files), ["data/train-1.parquet", "data/x/train-2.parquet"]);
        assert_eq!(matching("./data/test.csv", &files), ["data/test.csv"]);
        assert!(matching("data", &files).is_empty());
    }
}
