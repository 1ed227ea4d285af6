//! Peak memory while two columns of a million rows are read. Ignored, because writing the files
//! takes a while: `cargo test -p promptopt-data --features parquet --release --test million_rows --
//! --ignored --nocapture`.
#![cfg(all(feature = "parquet", target_os = "linux"))]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the lint exempts test functions, but not the helpers they call"
)]

#[path = "support/parquet_file.rs"]
mod parquet_file;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use parquet::basic::{Compression, ZstdLevel};
use parquet_file::{Column, write};
use promptopt_data::{LoadOptions, UnknownFields, load, open};

const ROWS: usize = 1_000_000;
const GROUP: usize = 100_000;
/// Columns of text that nobody asks for.
const OTHERS: usize = 10;
/// Names the file, and says whether it is held, to the child process that reads it.
const VARIABLE: &str = "PROMPTOPT_MILLION_ROWS";

fn options() -> LoadOptions {
    LoadOptions::default()
        .with_columns([("question".to_owned(), "text".to_owned())].into())
        .with_inputs(vec!["question".to_owned()])
        .with_required(vec!["label".to_owned()])
        .with_unknown_fields(UnknownFields::Drop)
}

fn text(row: usize) -> String {
    format!("what is asked in row {row}")
}

fn other(row: usize, column: usize) -> String {
    let noise = (row * OTHERS + column).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("{noise:016x} {:016x} a column that nobody needs", noise.rotate_left(17))
}

fn names() -> Vec<String> {
    let others = (0..OTHERS).map(|column| format!("other_{column}"));
    ["text", "label"].map(str::to_owned).into_iter().chain(others).collect()
}

fn write_parquet(path: &Path) {
    let group = |start: usize| {
        let rows = start..start + GROUP;
        let mut columns = vec![
            Column::Text(rows.clone().map(text).collect()),
            Column::Long(rows.clone().map(|row| (row % 7) as i64).collect()),
        ];
        columns.extend(
            (0..OTHERS).map(|column| Column::Text(rows.clone().map(|row| other(row, column)).collect())),
        );
        columns
    };
    let names = names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let groups = (0..ROWS).step_by(GROUP).map(group);
    fs::write(path, write(&names, groups, Compression::ZSTD(ZstdLevel::default()))).unwrap();
}

fn write_jsonl(path: &Path) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    for row in 0..ROWS {
        write!(file, "{{\"text\": \"{}\", \"label\": {}", text(row), row % 7).unwrap();
        for column in 0..OTHERS {
            write!(file, ", \"other_{column}\": \"{}\"", other(row, column)).unwrap();
        }
        writeln!(file, "}}").unwrap();
    }
}

/// The peak of a child process that reads a file, in MiB.
fn peak(path: &Path, held: bool) -> u64 {
    let started = Instant::now();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_reads", "--ignored", "--nocapture"])
        .env(VARIABLE, format!("{held} {}", path.display()))
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stdout);
    let peak = output.lines().find_map(|line| line.split_once("peak ")?.1.trim().parse::<u64>().ok());
    let peak = peak.unwrap_or_else(|| panic!("{output}")) / 1024;
    let size = fs::metadata(path).unwrap().len() / 1024 / 1024;
    let took = started.elapsed().as_secs_f64();
    let name = path.file_name().unwrap().display();
    println!("{name} ({size} MiB), rows held: {held}: peak {peak} MiB, {took:.1} s");
    peak
}

#[test]
#[ignore = "not a test: the process that `a_million_rows_need_little_memory` starts"]
fn child_that_reads() {
    let Ok(text) = std::env::var(VARIABLE) else { return };
    let (held, path) = text.split_once(' ').unwrap();
    let rows = if held == "true" {
        load(path, &options()).unwrap().len()
    } else {
        let rows = open(path, &options()).unwrap().map(Result::unwrap);
        rows.enumerate()
            .inspect(|(row, example)| {
                assert_eq!(example.get_str("question"), Some(self::text(*row).as_str()));
                assert_eq!(example.fields().len(), 2);
            })
            .count()
    };
    assert_eq!(rows, ROWS);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    println!("\npeak {}", line.trim_start_matches("VmHWM:").trim_end_matches("kB").trim());
}

#[test]
#[ignore = "writes two files of a million rows"]
fn a_million_rows_need_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let [parquet, jsonl] = ["rows.parquet", "rows.jsonl"].map(|name| folder.path().join(name));
    write_parquet(&parquet);
    write_jsonl(&jsonl);
    for path in [&parquet, &jsonl] {
        assert!(fs::metadata(path).unwrap().len() > 100 * 1024 * 1024);
        // One row after the other needs neither the file nor the rows in memory.
        assert!(peak(path, false) < 64);
    }
    // All examples together: what they hold, and not what the other columns do.
    let held = peak(&parquet, true);
    assert!(held < 700, "{held} MiB");
    assert!(peak(&jsonl, true) < held + 64);
}
