//! The files of a configuration and split: from the hub's conversion, the card, or the paths.

use std::path::Path;

use serde_json::Value;

use super::HubError;
use super::listing::Listing;
use super::patterns::{Splits, guess, is_data, matching, put};
use crate::format::Format;
use crate::words;

/// A configuration of a data set.
#[derive(Debug, PartialEq)]
struct Config {
    name: String,
    is_default: bool,
    splits: Splits,
}

/// What was chosen.
#[derive(Debug, PartialEq)]
pub(crate) struct Selection {
    /// The configuration.
    pub(crate) config: String,
    /// Its files for the split, in order.
    pub(crate) files: Vec<String>,
}

/// The files of a configuration and split.
pub(crate) fn select(
    repo: &str,
    listing: &Listing,
    config: Option<&str>,
    split: &str,
) -> Result<Selection, HubError> {
    let configs = configs(listing);
    if configs.is_empty() {
        return Err(HubError::NoFiles { repo: repo.to_owned(), revision: listing.commit.clone() });
    }
    let unknown = |found: String| HubError::Config {
        repo: repo.to_owned(),
        found,
        known: words::list(configs.iter().map(|config| config.name.as_str())),
    };
    let chosen = match (config, configs.as_slice()) {
        (Some(name), _) => configs
            .iter()
            .find(|config| config.name == name)
            .ok_or_else(|| unknown(format!("has no configuration `{}`", words::shorten(name))))?,
        (None, [only]) => only,
        (None, several) => several
            .iter()
            .find(|config| config.is_default)
            .or_else(|| several.iter().find(|config| config.name == "default"))
            .ok_or_else(|| unknown(format!("has {} configurations", several.len())))?,
    };
    let found = chosen.splits.iter().find(|(name, _)| name == split);
    let (_, files) = found.ok_or_else(|| HubError::Split {
        repo: repo.to_owned(),
        config: chosen.name.clone(),
        split: words::shorten(split),
        known: words::list(chosen.splits.iter().map(|(name, _)| name.as_str())),
    })?;
    Ok(Selection { config: chosen.name.clone(), files: of_one_format(files) })
}

/// Whether a listing has anything to load.
pub(crate) fn has_data(listing: &Listing) -> bool {
    listing.files.iter().any(|file| is_data(file))
}

fn configs(listing: &Listing) -> Vec<Config> {
    let stated: Vec<Config> = match &listing.configs {
        Value::Array(configs) => configs.iter().filter_map(|config| stated(config, &listing.files)).collect(),
        _ => Vec::new(),
    };
    // The card can be that of another branch, whose files are not here.
    if stated.iter().any(|config| !config.splits.is_empty()) {
        return stated;
    }
    if let Some(mut converted) = converted(&listing.files) {
        for config in &mut converted {
            config.is_default = stated.iter().any(|stated| stated.is_default && stated.name == config.name);
        }
        return converted;
    }
    let splits = guess(listing.files.iter().map(String::as_str));
    let whole = Config { name: "default".to_owned(), is_default: true, splits };
    [whole].into_iter().filter(|config| !config.splits.is_empty()).collect()
}

/// `CONFIG/SPLIT/0000.parquet`, where all files are so, as on the branch of converted files.
fn converted(files: &[String]) -> Option<Vec<Config>> {
    let mut files: Vec<&str> = files.iter().map(String::as_str).filter(|file| is_data(file)).collect();
    files.sort_unstable();
    let mut configs: Vec<Config> = Vec::new();
    for file in files {
        let [config, split, name] = file.split('/').collect::<Vec<_>>()[..] else { return None };
        let number = name.strip_suffix(".parquet")?;
        if number.len() != 4 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // The hub converts the first gigabytes of a large split.
        let split = split.strip_prefix("partial-").unwrap_or(split);
        match configs.iter_mut().find(|known| known.name == config) {
            Some(known) => put(&mut known.splits, split, file),
            None => {
                let splits = vec![(split.to_owned(), vec![file.to_owned()])];
                configs.push(Config { name: config.to_owned(), is_default: false, splits });
            }
        }
    }
    Some(configs).filter(|configs| !configs.is_empty())
}

/// A configuration of the card: `data_files` as one pattern, several, or several with their splits;
/// without them what `data_dir` holds, or everything.
fn stated(config: &Value, files: &[String]) -> Option<Config> {
    let name = config.get("config_name")?.as_str()?.to_owned();
    let is_default = config.get("default").and_then(Value::as_bool).unwrap_or(false);
    let folder = config.get("data_dir").and_then(Value::as_str).unwrap_or_default().trim_matches('/');
    let folder = folder.trim_start_matches("./");
    let within = |pattern: &str| match folder {
        "" | "." => pattern.to_owned(),
        folder => format!("{folder}/{pattern}"),
    };
    let found = |patterns: &Value| -> Vec<String> {
        let patterns = texts(patterns).into_iter().map(within);
        patterns
            .flat_map(|pattern| matching(&pattern, files).into_iter().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    let mut splits = Splits::new();
    match config.get("data_files") {
        Some(Value::Object(by_split)) => {
            splits.extend(by_split.iter().map(|(split, patterns)| (split.clone(), found(patterns))));
        }
        Some(Value::Array(entries)) if entries.iter().all(Value::is_object) => {
            for entry in entries {
                let split = entry.get("split").and_then(Value::as_str).unwrap_or("train");
                for file in entry.get("path").map(found).unwrap_or_default() {
                    put(&mut splits, split, &file);
                }
            }
        }
        Some(patterns) => splits.push(("train".to_owned(), found(patterns))),
        None => {
            let inside = |file: &&str| matches!(folder, "" | ".") || Path::new(file).starts_with(folder);
            splits = guess(files.iter().map(String::as_str).filter(inside));
        }
    }
    splits.retain(|(_, files)| !files.is_empty());
    Some(Config { name, is_default, splits })
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    }
}

/// The files of the format that most of them have; the others are other forms of the same rows.
fn of_one_format(files: &[String]) -> Vec<String> {
    let format = |file: &String| Format::of(Path::new(file));
    let count = |wanted| files.iter().filter(|file| format(file) == wanted).count();
    // Of formats with equally many files the first in the order of `Format` is taken.
    let most = files.iter().map(format).max_by_key(|format| (count(*format), std::cmp::Reverse(*format)));
    files.iter().filter(|file| Some(format(file)) == most).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listing(files: &[&str], configs: Value) -> Listing {
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        Listing { commit: "0".repeat(40), files, configs }
    }

    fn check(listing: &Listing, config: Option<&str>, split: &str, expected: (&str, &[&str])) {
        let selection = select("a/b", listing, config, split).unwrap();
        assert_eq!(
            (selection.config.as_str(), selection.files),
            (expected.0, expected.1.iter().map(|file| (*file).to_owned()).collect())
        );
    }

    fn check_error(listing: &Listing, config: Option<&str>, split: &str, expected: &str) {
        let error = select("a/b", listing, config, split).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn converted_files_say_configuration_and_split() {
        let files =
            ["de/train/0001.parquet", "de/train/0000.parquet", "en/partial-train/0000.parquet", "README.md"];
        let listing = listing(&files, Value::Null);
        check(&listing, Some("de"), "train", ("de", &["de/train/0000.parquet", "de/train/0001.parquet"]));
        check(&listing, Some("en"), "train", ("en", &["en/partial-train/0000.parquet"]));
        check_error(&listing, None, "train", "has 2 configurations: set `config` to one of `de`, `en`");
        check_error(
            &listing,
            Some("fr"),
            "train",
            "has no configuration `fr`: set `config` to one of `de`, `en`",
        );
        let card = json!([{"config_name": "en", "data_files": "*.csv", "default": true}]);
        check(
            &Listing { configs: card, ..listing.clone() },
            None,
            "train",
            ("en", &["en/partial-train/0000.parquet"]),
        );
        check_error(
            &listing,
            Some("de"),
            "test",
            "no split `test` in its configuration `de`: set `split` to one of `train`",
        );
    }

    #[test]
    fn the_card_says_which_files_there_are() {
        let configs = json!([
            {"config_name": "one", "data_files": [{"split": "train", "path": "a/*.csv"}, {"split": "test", "path": ["b.csv", "c.csv"]}]},
            {"config_name": "two", "data_files": "a/*.csv", "default": true},
            {"config_name": "three", "data_dir": "d"},
            {"config_name": "four", "data_files": {"dev": "**/z.csv"}},
        ]);
        let listing = listing(&["a/x.csv", "b.csv", "c.csv", "d/test.csv", "d/z.csv"], configs);
        check(&listing, Some("one"), "test", ("one", &["b.csv", "c.csv"]));
        check(&listing, None, "train", ("two", &["a/x.csv"]));
        check(&listing, Some("three"), "test", ("three", &["d/test.csv"]));
        check(&listing, Some("four"), "dev", ("four", &["d/z.csv"]));
    }

    #[test]
    fn without_a_card_the_paths_say_it() {
        let files = ["train.csv", "train.jsonl", "test.csv", "README.md"];
        check(&listing(&files, Value::Null), None, "train", ("default", &["train.jsonl"]));
        check(&listing(&files, Value::Null), Some("default"), "test", ("default", &["test.csv"]));
        check_error(&listing(&["a.bin"], Value::Null), None, "train", "has no .parquet, .jsonl");
    }
}
