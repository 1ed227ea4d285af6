//! Files: the format by extension, and what to say when there is none of that name.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use promptopt_core::data::Example;

use crate::format::Format;
use crate::rows::RowSource;
use crate::{DataError, LoadOptions, Rows, words};

/// How many entries of a folder are looked at to find a file of a similar name.
const MAX_FILES_LOOKED_AT: usize = 10_000;

/// Opens a data file by its extension: `.jsonl` or `.ndjson`, `.json` (an array of objects), `.csv`,
/// `.tsv`, and with the feature `parquet` also `.parquet`. Rows are read as the iterator is driven.
///
/// Of a Parquet file only the columns that the options need are read, a page at a time; with
/// [`UnknownFields::Keep`](crate::UnknownFields::Keep) that is all of them, so drop the unknown ones
/// of a wide file. Lists and structs become JSON arrays and objects; decimals, dates and times
/// become text (RFC 3339 where that applies); a number that is not finite becomes null, as does a
/// missing value; a column of bytes is an error where it is needed.
///
/// # Errors
///
/// [`DataError`] when the file is not there, cannot be opened or has another extension, when the
/// options contradict each other, or when the header of a CSV file is wrong.
pub fn open(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Rows<'static>, DataError> {
    let path = path.as_ref();
    let cannot_open = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => DataError::NotFound { path: path.to_owned(), hint: similar(path) },
        _ => DataError::Open { path: path.to_owned(), source },
    };
    let kind = fs::metadata(path).map_err(cannot_open)?.file_type();
    // A pipe would be waited for, and gives its rows only once.
    promptopt_core::file::check(kind)
        .map_err(|source| DataError::NotAFile { path: path.to_owned(), reason: source.to_string() })?;
    let format = Format::of(path).ok_or_else(|| DataError::UnknownFormat { path: path.to_owned() })?;
    let file = File::open(path).map_err(cannot_open)?;
    let name = path.display().to_string();
    // The folder of a path without one is the current folder.
    let folder =
        path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let rows = Rows::new(rows(format, file, path, &name, options)?, name, options)?;
    Ok(rows.with_folder(folder.map(Path::to_owned)))
}

/// The rows of a file as they stand; `name` stands for it in errors.
pub(crate) fn rows(
    format: Format,
    file: File,
    path: &Path,
    name: &str,
    options: &LoadOptions,
) -> Result<Box<dyn RowSource + Send>, DataError> {
    #[cfg(feature = "parquet")]
    if format == Format::Parquet {
        return Ok(Box::new(crate::parquet_rows::rows(file, name, options)?));
    }
    let reader = BufReader::new(file);
    format
        .text_rows(reader, name, options)
        .unwrap_or_else(|| Err(DataError::FeatureOff { path: path.to_owned(), feature: "parquet" }))
}

/// Loads all rows of a data file; [`open`] streams them, and its [`Rows::notes`] say what was left out.
///
/// # Errors
///
/// Those of [`open`], and the first one of any row.
///
/// ```
/// use promptopt_data::{LoadOptions, load};
///
/// let error = load("no/such/file.jsonl", &LoadOptions::default()).unwrap_err();
/// assert!(error.to_string().contains("there is no folder `no/such`"));
/// ```
pub fn load(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Vec<Example>, DataError> {
    open(path, options)?.collect()
}

/// What to tell about a file that is not there.
fn similar(path: &Path) -> String {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let shown = if folder == Path::new(".") {
        "the current folder".to_owned()
    } else {
        format!("`{}`", folder.display())
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return format!("there is no folder {shown}; a relative path starts at the current folder");
    };
    let mut names: Vec<String> = entries
        .take(MAX_FILES_LOOKED_AT)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| Format::of(Path::new(name)).is_some())
        .collect();
    // The order of a folder's entries differs between file systems.
    names.sort_unstable();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match words::nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{}`?", words::shorten(&folder.join(near).display().to_string())),
        None if names.is_empty() => format!("there is no data file in {shown}; check the path"),
        None => format!("the data files in {shown} are {}", words::list(names.iter().map(String::as_str))),
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::signature::FieldType;

    use super::*;

    fn check_error(path: &Path, expected: &str) {
        let error = load(path, &LoadOptions::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn the_extension_picks_the_format() {
        let folder = tempfile::tempdir().unwrap();
        let types = [("n".to_owned(), FieldType::Integer)].into();
        let options = LoadOptions { types, ..LoadOptions::default() };
        for (name, text) in [
            ("a.jsonl", "{\"n\": 1}\n"),
            ("a.NDJSON", "{\"n\": 1}\n"),
            ("a.json", "[{\"n\": 1}]"),
            ("a.csv", "n,t\n1,x\n"),
            ("a.tsv", "n\tt\n1\t,\n"),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            let examples = load(&path, &options).unwrap();
            assert_eq!(examples[0].get("n"), Some(&1.into()), "{name}");
        }
    }

    #[cfg(not(feature = "parquet"))]
    #[test]
    fn without_the_feature_a_parquet_file_says_which_one_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        fs::write(&path, "PAR1").unwrap();
        check_error(&path, "with the feature `parquet`");
    }

    #[test]
    fn errors_name_the_file_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        check_error(&path("tickets.jsonl"), "there is no data file in");
        fs::write(path("tickets.jsonl"), "{}\nx\n").unwrap();
        fs::write(path("notes.txt"), "").unwrap();
        check_error(&path("ticket.jsonl"), "tickets.jsonl`?");
        check_error(&path("rows.csv"), "are `tickets.jsonl`");
        check_error(&path("nowhere/rows.csv"), "there is no folder");
        check_error(&path("notes.txt"), "rename it to .jsonl");
        check_error(&path("tickets.jsonl"), "tickets.jsonl, row 2 (line 2): invalid JSON");
        check_error(folder.path(), "could not be opened, because it is a folder");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_or_a_device_is_refused_before_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("rows.jsonl");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [pipe.as_path(), Path::new("/dev/null"), Path::new("/dev/zero")] {
            check_error(path, ", not a regular file; write what it gives to a file first");
        }
    }

    #[test]
    fn quotes_mean_something_in_csv_and_nothing_in_tsv() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        fs::write(&path, "a\tb\n\"x\ty\n").unwrap();
        let read = |options: &LoadOptions| load(&path, options);
        assert_eq!(read(&LoadOptions::default()).unwrap()[0].get_str("a"), Some("\"x"));
        let error = read(&LoadOptions::default().with_quotes(true)).unwrap_err().to_string();
        assert!(error.contains("row 1 (line 2): a quote opens a cell here"), "{error}");
    }
}
