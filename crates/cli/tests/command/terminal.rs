//! The command on a terminal of 80 columns, as somebody sees it who watches.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use promptopt_testkit::{LoopbackServer, SimulatedLm};

use super::{TASK, folder};

/// A terminal that is gone when it is dropped.
pub(super) struct Terminal(String);

impl Terminal {
    /// Starts a command in a terminal of its own.
    pub(super) fn start(folder: &Path, command: &str) -> Self {
        let name = Self::name();
        let started = tmux(&name, &["new-session", "-d", "-s", "t", "-x", "80", "-y", "24", "sh"]);
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let terminal = Self(name);
        let typed = format!("cd {} && clear && {command}; echo \"ended with $?\"", folder.display());
        tmux(&terminal.0, &["send-keys", "-t", "t", &typed, "Enter"]);
        terminal
    }

    /// Runs a command in a terminal of its own, and gives each byte that the terminal got.
    pub(super) fn raw(folder: &Path, command: &str) -> String {
        let name = Self::name();
        let output = folder.join("terminal.raw");
        let shell = format!("{command}; echo \"ended with $?\"; sleep 100");
        let path = output.display().to_string();
        let started = tmux(&name, &["new-session", "-d", "-s", "t", "-x", "200", "-y", "50", "cat"]);
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let terminal = Self(name);
        tmux(&terminal.0, &["set-option", "-g", "remain-on-exit", "on"]);
        tmux(&terminal.0, &["pipe-pane", "-t", "t", &format!("cat > {path}")]);
        let there = folder.display().to_string();
        tmux(&terminal.0, &["respawn-pane", "-k", "-t", "t", "-c", &there, &shell]);
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let raw = std::fs::read(&output).unwrap_or_default();
            let raw = String::from_utf8_lossy(&raw).into_owned();
            if raw.contains("ended with ") || Instant::now() > deadline {
                std::fs::remove_file(&output).unwrap();
                return raw;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A name that no other terminal has.
    fn name() -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        format!("promptopt-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// Types a line.
    pub(super) fn type_in(&self, line: &str) {
        tmux(&self.0, &["send-keys", "-t", "t", line, "Enter"]);
    }

    /// Waits until something stands on it, and gives the whole.
    pub(super) fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let screen = self.screen(true);
            if screen.contains(text) {
                return screen;
            }
            assert!(Instant::now() < deadline, "no `{text}` in {screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What stands on it, with what has scrolled away where `all` says so.
    pub(super) fn screen(&self, all: bool) -> String {
        let from = if all { "-" } else { "0" };
        String::from_utf8(tmux(&self.0, &["capture-pane", "-p", "-t", "t", "-S", from]).stdout).unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        tmux(&self.0, &["kill-server"]);
    }
}

fn tmux(name: &str, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new("tmux");
    command.args(["-L", name, "-f", "/dev/null"]).args(arguments);
    command.env_remove("TMUX").env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8").output().unwrap()
}

pub(super) fn is_missing() -> bool {
    let missing = Command::new("tmux").arg("-V").output().is_err();
    let required = std::env::var_os("PROMPTOPT_REQUIRE_TMUX").is_some();
    assert!(!(missing && required), "tmux is not installed: apt install tmux");
    missing
}

#[test]
fn progress_is_readable_in_eighty_columns() {
    if is_missing() {
        return;
    }
    let rows = (0..40).map(|n| {
        let department = ["billing", "sales"][n % 2];
        promptopt_core::data::Example::new(
            [("ticket", format!("text number {n}")), ("department", department.to_owned())],
            ["ticket"],
        )
    });
    let model = Arc::new(SimulatedLm::over_examples(&rows.collect::<Vec<_>>(), 0));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(LoopbackServer::start(model, Duration::from_millis(40), None)).unwrap();
    let folder = folder(
        &TASK.replace("name = \"sim\"", &format!("name = \"m\"\nbase_url = \"{}\"", server.base_url())),
    );
    let command = format!(
        "{} optimize task.toml --concurrency 4 --max-calls 300 --max-tokens 3000000",
        env!("CARGO_BIN_EXE_promptopt")
    );
    let terminal = Terminal::start(folder.path(), &command);
    let deadline = Instant::now() + Duration::from_secs(120);
    let (mut with_stage, mut with_best) = (None, None);
    let end = loop {
        let screen = terminal.screen(false);
        let live = screen.lines().rev().find(|line| line.contains(" in flight")).map(str::to_owned);
        if let Some(line) = live {
            assert!(line.chars().count() <= 80, "{line}");
            if screen.contains("best 0.") || screen.contains("best 1.") {
                with_best = Some(screen.clone());
            }
            with_stage = Some(line);
        }
        if screen.contains("ended with ") && !screen.contains("\"ended with") {
            break terminal.screen(true);
        }
        assert!(Instant::now() < deadline, "{screen}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(end.contains("ended with 0"), "{end}");
    let line = with_stage.unwrap();
    for part in ["/300 calls", "tok", " in flight"] {
        assert!(line.contains(part), "{line}");
    }
    // The lines that are drawn anew leave nothing behind, and nothing is torn by them.
    assert!(!end.contains(" in flight"), "{end}");
    let screen = with_best.unwrap();
    assert!(screen.contains("trial "), "{screen}");
    for part in
        ["baseline: the original on 8 selection examples", "candidate  0  baseline", "sealed test (n = 8)"]
    {
        assert!(end.contains(part), "{part} in {end}");
    }
}
