//! Data from several files and from a hub.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use super::{TASK, folder, prints, promptopt, refused};

fn rows(what: &str, count: usize) -> String {
    (0..count)
        .map(|n| {
            let label = ["billing", "sales"][n % 2];
            format!("{{\"text\": \"{what} number {n}\", \"label_text\": \"{label}\", \"id\": {n}}}\n")
        })
        .collect()
}

#[test]
fn a_part_may_be_a_file_of_its_own() {
    let task = TASK.replace(
        "path = \"tickets.jsonl\"",
        "train = \"train.jsonl\"\nselection = 0.25\ntest = \"test.jsonl\"\nunknown_fields = \"drop\"\n\
         columns = { ticket = \"text\", department = \"label_text\" }",
    );
    let folder = folder(&task);
    std::fs::write(folder.path().join("train.jsonl"), rows("text", 40)).unwrap();
    // Five rows of the test stand in the training file, but for case and white space.
    std::fs::write(folder.path().join("test.jsonl"), rows("other", 20) + &rows("TEXT ", 5)).unwrap();
    let output = promptopt(folder.path(), &["optimize", "task.toml", "--no-run", "--max-calls", "150"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("train.jsonl: 65 rows: "), "{said}");
    assert!(
        said.contains("have the same inputs as training examples") && said.contains("were removed"),
        "{said}"
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("sealed test (n = 25)"), "{said}");
    refused(
        folder.path(),
        &["optimize", "task.toml", "--no-run", "--train", "50"],
        &["40 rows", "train (50)"],
    );
}

/// A hub with one data set of two files, without the conversion to Parquet.
fn hub() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let path = lines.next().unwrap().unwrap().split(' ').nth(1).unwrap().to_owned();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let commit = "c".repeat(40);
            let (status, body) = match path.as_str() {
                "/api/datasets/owner/tickets/revision/main" => (
                    200,
                    format!(
                        "{{\"sha\": \"{commit}\", \"siblings\": [{{\"rfilename\": \"train.jsonl\"}}, {{\"rfilename\": \"test.jsonl\"}}]}}"
                    ),
                ),
                path if path.ends_with("/train.jsonl") => (200, rows("text", 60)),
                path if path.ends_with("/test.jsonl") => (200, rows("other", 20)),
                _ => (404, "{\"error\": \"not found\"}".to_owned()),
            };
            let head = format!(
                "HTTP/1.1 {status} .\r\nconnection: close\r\nx-error-code: RevisionNotFound\r\nx-repo-commit: {commit}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    url
}

fn at_hub(folder: &Path, url: &str, offline: bool, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promptopt"));
    command.args(arguments).current_dir(folder).env("HF_ENDPOINT", url).env("HF_HOME", folder.join("hf"));
    command.env_remove("HF_TOKEN").env_remove("HF_HUB_CACHE").env_remove("HF_HUB_OFFLINE");
    if offline {
        command.env("HF_HUB_OFFLINE", "1");
    }
    command.output().unwrap()
}

#[test]
fn a_data_set_of_the_hub_is_optimized_on() {
    let task = TASK.replace(
        "path = \"tickets.jsonl\"",
        "columns = { ticket = \"text\", department = \"label_text\" }\n\
         [data.hub]\nrepo = \"owner/tickets\"\ntest_split = \"test\"",
    );
    let folder = folder(&task);
    let url = hub();
    let optimize = ["optimize", "task.toml", "--max-calls", "150", "-q"];
    let output = at_hub(folder.path(), &url, false, &optimize);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let run = std::fs::read_to_string(folder.path().join("route.run/run.json")).unwrap();
    assert!(run.contains(&"c".repeat(40)), "the commit is kept: {run}");
    // What was fetched once needs no network.
    let output = at_hub(folder.path(), "http://127.0.0.1:1", true, &["eval", "task.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let empty = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("task.toml"), empty.path().join("task.toml")).unwrap();
    let output = at_hub(empty.path(), "http://127.0.0.1:1", false, &["eval", "task.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("HF_ENDPOINT"), "{said}");
    assert!(!empty.path().join("task.run").exists());
    assert!(prints(folder.path(), &["export", "route.run"]).contains("# route"));
}

fn with_rows(task: &str, name: &str, rows: impl AsRef<[u8]>) -> tempfile::TempDir {
    let folder = folder(&task.replace("tickets.jsonl", name));
    std::fs::write(folder.path().join(name), rows).unwrap();
    folder
}

/// What the task takes, once more with one option.
fn with_option(folder: &Path, option: &str) {
    let path = folder.join("task.toml");
    let task = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, task.replace("[data]\n", &format!("[data]\n{option}\n"))).unwrap();
}

fn cells(delimiter: &str, end: &str) -> String {
    let line = |n: usize| format!("text, number {n}{delimiter}{}{end}", ["billing", "sales"][n % 2]);
    format!("ticket{delimiter}department{end}{}", (0..40).map(line).collect::<String>())
}

#[test]
fn files_of_spreadsheets_are_read_and_what_an_error_advises_can_be_done() {
    for (name, text) in [
        ("rows.csv", cells(";", "\r\n")),
        ("rows.csv", cells("\t", "\n")),
        ("rows.csv", "\u{feff}".to_owned() + &cells("|", "\r")),
        ("rows.tsv", cells("\t", "\n")),
    ] {
        let folder = with_rows(TASK, name, &text);
        assert!(prints(folder.path(), &["eval", "task.toml"]).contains("n = 8"), "{text}");
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        let wide: Vec<u8> = b"\xff\xfe".iter().copied().chain(units).collect();
        std::fs::write(
            folder.path().join(name),
            if text.starts_with('\u{feff}') { &wide[2..] } else { &wide },
        )
        .unwrap();
        assert!(prints(folder.path(), &["eval", "task.toml"]).contains("n = 8"), "{text}");
    }
    // What separates the cells is no usual delimiter.
    let folder = with_rows(TASK, "rows.csv", cells("^", "\n"));
    refused(folder.path(), &["eval", "task.toml"], &["rows.csv, row 1 (line 2)"]);
    with_option(folder.path(), "delimiter = \"^\"");
    assert!(prints(folder.path(), &["eval", "task.toml"]).contains("n = 8"));
    let folder =
        with_rows(TASK, "rows.csv", cells(";", "\n").replace("text, number 7;", "\"text, number 7;"));
    refused(
        folder.path(),
        &["eval", "task.toml"],
        &["rows.csv, row 8 (line 9): a quote opens a cell here and is never closed", "set `quotes` to false"],
    );
    with_option(folder.path(), "quotes = false");
    assert!(prints(folder.path(), &["eval", "task.toml"]).contains("n = 8"));
    let folder = with_rows(TASK, "rows.csv", cells(";", "\n"));
    with_option(folder.path(), "max_row_bytes = 20");
    refused(folder.path(), &["eval", "task.toml"], &["larger than 20 bytes", "raise `max_row_bytes`"]);
}

#[test]
fn what_was_read_otherwise_than_it_stands_is_said() {
    let check = |name: &str, text: String, says: &str| {
        let task = TASK.replace("[data]\n", "[data]\nunknown_fields = \"drop\"\n");
        let folder = with_rows(&task, name, text);
        for command in
            [&["eval", "task.toml"][..], &["optimize", "task.toml", "--no-run", "--max-calls", "40"]]
        {
            let output = promptopt(folder.path(), command);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && said.contains(says), "{said}");
        }
    };
    let row =
        |n: usize, more: &str| format!("{{\"ticket\": \"text {n}\", \"department\": \"sales\"{more}}}\n");
    let rows = |more: &str| (0..40).map(|n| row(n, if n == 3 { more } else { "" })).collect::<String>();
    check(
        "rows.jsonl",
        rows(", \"price\": NaN"),
        "rows.jsonl: 1 row holds NaN or Infinity (first in line 4)",
    );
    check(
        "rows.csv",
        cells(",", "\n").replace("text, ", "") + ",\n,\n",
        "rows.csv: 2 rows have no value in any column (first in line 42)",
    );
    let folder = with_rows(TASK, "rows.jsonl", rows(", \"ticket\": \"another\""));
    refused(
        folder.path(),
        &["eval", "task.toml"],
        &["rows.jsonl, row 4 (line 4)", "the key `ticket` stands twice"],
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_at_once() {
    let folder = folder(&TASK.replace("tickets.jsonl", "pipe.jsonl"));
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe.jsonl")).status().unwrap().success());
    for command in ["optimize", "eval", "estimate", "show"] {
        refused(
            folder.path(),
            &[command, "task.toml"],
            &["pipe.jsonl", "it is a pipe, not a regular file; write what it gives to a file first"],
        );
    }
}
