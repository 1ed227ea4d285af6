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
