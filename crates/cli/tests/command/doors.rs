//! Files, processes and variables: what a command may replace, start and hand on.

#![cfg(unix)]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::{TASK, ends, folder, prints, promptopt, refused};

/// Everything under a folder that can be read, to see what is replaced.
fn contents(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn an_output_never_replaces_an_input() {
    let task = format!(
        "{}\n[metric]\nkind = \"command\"\ncommand = [\"python3\", \"judge.py\"]\n",
        TASK.replace("name = \"sim\"", "name = \"sim\"\napi_key_file = \"key\"")
    );
    let folder = folder(&task);
    let at = folder.path();
    std::fs::write(at.join("judge.py"), "").unwrap();
    std::fs::write(at.join("key"), "none").unwrap();
    prints(at, &["export", "task.toml", "--format", "dspy", "--out", "state.json"]);
    prints(at, &["import", "state.json", "--task", "task.toml", "--out", "program.json"]);
    std::fs::create_dir(at.join("sub")).unwrap();
    std::fs::hard_link(at.join("task.toml"), at.join("hard.json")).unwrap();
    std::os::unix::fs::symlink("tickets.jsonl", at.join("soft.json")).unwrap();
    std::os::unix::fs::symlink("elsewhere.json", at.join("dangling.json")).unwrap();
    let before = contents(at);
    let check = |arguments: &[&str], says: &str| {
        ends(at, arguments, 2, &[says]);
        assert_eq!(contents(at), before, "{arguments:?}");
    };
    let whole = at.join("task.toml").display().to_string();
    for (out, what) in [
        ("task.toml", "which is the task file"),
        ("sub/../task.toml", "which is the task file"),
        (&whole, "which is the task file"),
        ("hard.json", "which is the task file"),
        ("tickets.jsonl", "which is the data set"),
        ("soft.json", "which is the data set"),
        ("judge.py", "which is a file of the metric"),
        ("key", "which is a key file"),
        ("dangling.json", "a symbolic link, which is not followed"),
        ("sub", "it is a folder"),
        ("none/out.json", "there is no folder none"),
        ("/dev/null", "it is a device"),
    ] {
        check(&["optimize", "task.toml", "--out", out], what);
        check(&["compare", "task.toml", "--out", out], what);
        check(&["import", "state.json", "--task", "task.toml", "--out", out], what);
        check(&["export", "task.toml", "--out", out], what);
    }
    check(&["optimize", "task.toml", "--out", "best.html"], "where the report goes");
    check(&["optimize", "task.toml", "--run", "new.run", "--out", "new.run/x.json"], "there is no folder");
    check(
        &["optimize", "task.toml", "--from", "program.json", "--out", "program.json"],
        "the program of --from",
    );
    check(&["export", "program.json", "--out", "program.json"], "which is the program");
    check(
        &["export", "task.toml", "--format", "dspy", "--into", "state.json", "--out", "state.json"],
        "the program of --into",
    );
    check(&["import", "state.json", "--task", "task.toml", "--out", "state.json"], "the program of DSPy");
    // The report's place is looked at before anything is paid, too.
    std::os::unix::fs::symlink("tickets.jsonl", at.join("best.html")).unwrap();
    ends(at, &["optimize", "task.toml", "--out", "best.json"], 2, &["the report beside --out", "best.html"]);
    assert!(!at.join("best.run").exists() && !at.join("best.json").exists());
}

#[test]
fn reports_and_runs_replace_nothing_either() {
    let folder = folder(TASK);
    let at = folder.path();
    prints(at, &["optimize", "task.toml", "-q", "--max-calls", "100", "--out", "best.json"]);
    let before = contents(at);
    ends(at, &["report", "best.json", "--out", "best.json"], 2, &["which is the program"]);
    ends(at, &["report", "best.run", "--out", "best.run/program.json"], 2, &["which is the program"]);
    for own in ["journal.redb", "run.json", "events.jsonl", "clock.json", "candidates.jsonl", "outcome.json"]
    {
        let own = format!("best.run/{own}");
        ends(at, &["report", "best.json", "--out", &own], 2, &["belongs to the run"]);
        ends(at, &["export", "best.json", "--out", &own], 2, &["belongs to the run"]);
    }
    refused(at, &["optimize", "task.toml", "--run", "task.toml"], &["task.toml"]);
    refused(at, &["optimize", "task.toml", "--run", "."], &["in the run directory"]);
    std::os::unix::fs::symlink("sub", at.join("link.run")).unwrap();
    ends(at, &["optimize", "task.toml", "--run", "link.run"], 2, &["a symbolic link, which is not followed"]);
    // What the run was written to has become an input.
    let task = std::fs::read_to_string(at.join("task.toml")).unwrap();
    assert_eq!(contents(at), before);
    std::fs::remove_file(at.join("best.json")).unwrap();
    std::os::unix::fs::symlink("task.toml", at.join("best.json")).unwrap();
    ends(at, &["resume", "best.run"], 2, &["best.json", "which is the task file"]);
    assert_eq!(std::fs::read_to_string(at.join("task.toml")).unwrap(), task);
    // A name leads nowhere else.
    std::fs::create_dir(at.join("inner")).unwrap();
    std::fs::write(
        at.join("inner/task.toml"),
        TASK.replace("\"route\"", "\"../../escaped\"").replace("tickets", "../tickets"),
    )
    .unwrap();
    prints(&at.join("inner"), &["optimize", "task.toml", "-q", "--max-calls", "100"]);
    assert!(at.join("inner/-..-escaped.optimized.json").exists());
    // `init` follows no link.
    std::fs::create_dir(at.join("fresh")).unwrap();
    std::os::unix::fs::symlink("../made.jsonl", at.join("fresh/tickets.jsonl")).unwrap();
    ends(at, &["init", "fresh"], 2, &["tickets.jsonl is there already"]);
    assert!(!at.join("made.jsonl").exists() && !at.join("fresh/task.toml").exists());
}

#[test]
fn files_that_are_read_whole_are_regular_and_bounded() {
    let folder = folder(TASK);
    let at = folder.path();
    assert!(Command::new("mkfifo").arg(at.join("pipe.toml")).status().unwrap().success());
    std::fs::rename(at.join("pipe.toml"), at.join("pipe")).unwrap();
    let started = Instant::now();
    let model = |file: &str| {
        TASK.replace(
            "name = \"sim\"",
            &format!("name = \"m\"\nbase_url = \"http://127.0.0.1:1/v1\"\napi_key_file = \"{file}\""),
        )
    };
    for (file, what) in [("/dev/zero", "a device"), ("pipe", "a pipe"), (".", "a folder")] {
        std::fs::write(at.join("key.toml"), model(file)).unwrap();
        ends(at, &["optimize", "key.toml"], 2, &["reading the API key", what]);
        prints(at, &["show", "key.toml"]);
        ends(at, &["eval", file], 2, &[what]);
        ends(
            at,
            &["eval", "task.toml", "--program", file],
            2,
            &[if file == "." { "no program.json" } else { what }],
        );
        ends(
            at,
            &["import", file, "--task", "task.toml"],
            2,
            &[if file == "." { "no program.json" } else { what }],
        );
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_promptopt"));
    std::fs::write(at.join("key.toml"), model("/dev/stdin")).unwrap();
    child.args(["optimize", "key.toml"]).current_dir(at).stdin(Stdio::piped()).stderr(Stdio::piped());
    let output = child.spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("/dev/stdin") && said.contains("it is a pipe, not a regular file"), "{said}");
    // Rows as well.
    std::fs::rename(at.join("pipe"), at.join("pipe.jsonl")).unwrap();
    std::fs::write(at.join("task.toml"), TASK.replace("tickets.jsonl", "pipe.jsonl")).unwrap();
    ends(at, &["optimize", "task.toml"], 2, &["pipe.jsonl", "it is a pipe"]);
    assert!(started.elapsed() < Duration::from_secs(20), "something was waited for");
}

#[test]
fn a_metrics_process_gets_the_variables_that_it_is_given() {
    let metric = "\n[metric]\nkind = \"command\"\ncommand = [\"python3\", \"-u\", \"judge.py\"]\n";
    let judge = "import json, os, sys\nopen('seen', 'w').write(' '.join(os.environ))\nfor line in sys.stdin:\n    print(json.dumps({'id': json.loads(line)['id'], 'score': 1}))\n";
    let seen = |extra: &str| -> (Output, String) {
        let folder = folder(&format!("{TASK}{metric}{extra}"));
        std::fs::write(folder.path().join("judge.py"), judge).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_promptopt"));
        command.args(["eval", "task.toml"]).current_dir(folder.path());
        for name in ["OPENAI_API_KEY", "LAB_KEY", "DATABASE_URL", "HF_TOKEN", "PYTHONPATH", "LC_ALL"] {
            command.env(name, "C");
        }
        let output = command.output().unwrap();
        (output, std::fs::read_to_string(folder.path().join("seen")).unwrap_or_default())
    };
    let (output, names) = seen("");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (name, there) in [
        ("OPENAI_API_KEY", false),
        ("LAB_KEY", false),
        ("DATABASE_URL", false),
        ("HF_TOKEN", false),
        ("PATH", true),
        ("PYTHONPATH", true),
        ("LC_ALL", true),
    ] {
        assert_eq!(names.split(' ').any(|one| one == name), there, "{name}: {names}");
    }
    let (_, names) = seen("env = [\"DATABASE_URL\", \"LAB_KEY\"]");
    assert!(
        names.contains("DATABASE_URL") && names.contains("LAB_KEY") && !names.contains("OPENAI"),
        "{names}"
    );
    let (output, _) = seen("env = [\"NO_SUCH_ONE\"]");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(2) && said.contains("`metric.env` names the variable NO_SUCH_ONE"),
        "{said}"
    );
}

/// A metric whose script is a grandchild, and leaves one more behind.
const FAMILY: &str = "\n[metric]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"python3 -u judge.py; true\"]\ntimeout = 2\n";

/// It tells the numbers of its processes in a file.
fn family(answers: bool) -> String {
    let answer = if answers {
        "print(json.dumps({'id': json.loads(line)['id'], 'score': 1}))"
    } else {
        "time.sleep(1000)"
    };
    format!(
        "import json, os, subprocess, sys, time\nchild = subprocess.Popen(['sleep', '1000'])\n\
         open('numbers', 'a').write(f'{{os.getpid()}} {{child.pid}} ')\nfor line in sys.stdin:\n    {answer}\n"
    )
}

/// Whether a process lives; one that ended and nobody asked after does not.
fn lives(number: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    state
        .rsplit(')')
        .next()
        .is_some_and(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('Z'))
}

/// Checks that nothing of the family is left.
fn gone(folder: &Path) {
    let numbers = std::fs::read_to_string(folder.join("numbers")).unwrap();
    assert!(!numbers.is_empty());
    let deadline = Instant::now() + Duration::from_secs(5);
    while numbers.split_whitespace().any(lives) {
        assert!(Instant::now() < deadline, "{numbers} are left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_a_metrics_process_started_ends_with_it() {
    for answers in [true, false] {
        let folder = folder(&format!("{TASK}{FAMILY}"));
        std::fs::write(folder.path().join("judge.py"), family(answers)).unwrap();
        let output = promptopt(folder.path(), &["eval", "task.toml", "--test", "4"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() == answers && said.contains("no answer within 2 s") != answers,
            "{said}"
        );
        gone(folder.path());
    }
}

fn signal(child: &Child, name: &str) {
    Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
}

fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::fs::read_to_string(path).unwrap_or_default().is_empty() {
        assert!(Instant::now() < deadline, "no {}", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_a_metrics_process_started_ends_with_an_interrupt() {
    for (name, times) in [("INT", 1), ("INT", 2), ("TERM", 1), ("HUP", 1)] {
        let folder = folder(&format!("{TASK}{}", FAMILY.replace("timeout = 2", "timeout = 1000")));
        std::fs::write(folder.path().join("judge.py"), family(false)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_promptopt"));
        command.args(["optimize", "task.toml"]).current_dir(folder.path()).stderr(Stdio::piped());
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        wait_for(&folder.path().join("numbers"));
        for _ in 0..times {
            signal(&child, name);
            std::thread::sleep(Duration::from_millis(100));
        }
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(130), "{name}: {said}");
        assert!(said.contains("ending the run with the best so far"), "{said}");
        gone(folder.path());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_hangup_that_is_ignored_on_purpose_ends_nothing() {
    let metric = "\n[metric]\nkind = \"command\"\ncommand = [\"python3\", \"-u\", \"judge.py\"]\n";
    let folder = folder(&format!("{TASK}{metric}"));
    let judge = "import json, sys, time\nopen('numbers', 'w').write('x')\ntime.sleep(1)\nfor line in sys.stdin:\n    print(json.dumps({'id': json.loads(line)['id'], 'score': 1}))\n";
    std::fs::write(folder.path().join("judge.py"), judge).unwrap();
    let shell = format!("trap '' HUP; exec {} eval task.toml", env!("CARGO_BIN_EXE_promptopt"));
    let mut command = Command::new("sh");
    let child = command
        .args(["-c", &shell])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&folder.path().join("numbers"));
    signal(&child, "HUP");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn secrets_are_not_repeated_from_task_files_and_command_lines() {
    let check = |task: &str, arguments: &[&str], says: &str| {
        let folder = folder(task);
        let output = promptopt(folder.path(), arguments);
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(says), "{said}");
        for secret in ["hunter2", "Ab12Cd34Ef56Gh78", "canary"] {
            assert!(!said.contains(secret), "{said}");
        }
    };
    let model = |line: &str| {
        TASK.replace(
            "name = \"sim\"",
            &format!("name = \"m@http://127.0.0.1:1/v1\"\nmax_retries = 0\n{line}"),
        )
    };
    let run = &["eval", "task.toml", "-v"][..];
    check(&model("api_key = \"hunter2\""), run, "unknown field `api_key`");
    check(&model("headers = { X-Auth = \"hunter2\", x = 5 }"), run, "line");
    check(&model("headers = \"X-Auth: hunter2\""), run, "line");
    check(&model("api_key_env = \"sk-Ab12Cd34Ef56Gh78\""), run, "environment variable");
    check(&model("api_key_file = \"sk-Ab12Cd34Ef56Gh78\""), run, "reading the API key");
    check(&model("password = \"hunter2"), run, "line");
    check(TASK, &["eval", "task.toml", "--lm", "m@http://ann:canary-pass@127.0.0.1:1/v1"], "127.0.0.1:1");
    check(TASK, &["eval", "task.toml", "--lmm", "m@http://ann:canary@127.0.0.1:1/v1"], "--lmm");
    check(TASK, &["eval", "task.toml", "sk-Ab12Cd34Ef56Gh78"], "unexpected argument");
    check(TASK, &["eval", "sk-Ab12Cd34Ef56Gh78"], "is the path right?");
}

#[test]
fn keys_that_a_metric_or_a_proxy_blurts_out_are_in_no_file() {
    let metric = "\n[metric]\nkind = \"command\"\ncommand = [\"python3\", \"-u\", \"judge.py\"]\n[optimizer]\nkind = \"gepa\"\nmax_metric_calls = 60\nmax_errors = 1000\n";
    let folder = folder(&format!("{TASK}{metric}"));
    let key = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    let judge = format!(
        "import json, sys\nfor line in sys.stdin:\n    q = json.loads(line)\n    bad = q['id'] % 4 == 1\n    \
         print(json.dumps({{'id': q['id'], 'error': 'the key {key} is wrong'}} if bad else {{'id': q['id'], 'score': 1.0 if 'a' in q['prediction']['department'] else 0.5}}))\n"
    );
    std::fs::write(folder.path().join("judge.py"), judge).unwrap();
    let output = promptopt(
        folder.path(),
        &["optimize", "task.toml", "-v", "--out", "best.json", "--max-calls", "300"],
    );
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !said.contains(key), "{said}");
    let mut files = contents(folder.path());
    files.extend(contents(&folder.path().join("best.run")));
    let holds = files.iter().filter(|(_, bytes)| String::from_utf8_lossy(bytes).contains(key));
    let names: Vec<_> = holds.map(|(path, _)| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["judge.py"]);
    let told =
        |name: &str| String::from_utf8_lossy(&std::fs::read(folder.path().join(name)).unwrap()).into_owned();
    assert!(told("best.json").contains("the key [redacted] is wrong"));
    assert!(told("best.html").contains("the key [redacted] is wrong"));
}
