//! Processes that left the group in which they were started.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// The variable by which the descendants of a command are known.
pub(crate) const VARIABLE: &str = "PROMPTOPT_PROCESS";

/// How all our marks begin, and nobody else's.
pub(crate) fn ours() -> &'static str {
    static OURS: LazyLock<String> = LazyLock::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        format!("{}-{}-", std::process::id(), since.as_nanos())
    });
    &OURS
}

/// A mark for one command.
pub(crate) fn mark() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}{}", ours(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Ends the processes with a mark in their environment. Those that a leader started have a higher number, unless the
/// numbers began anew.
#[cfg(target_os = "linux")]
pub(crate) fn end(mark: &str, leader: u32) {
    use rustix::process::{Pid, Signal, kill_process};

    let mark = format!("{VARIABLE}={mark}");
    let is_marked = |id: i32| {
        let environ = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let id = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let id = id.filter(|id| u32::try_from(*id).is_ok_and(|id| id > leader) && is_marked(*id));
        if let Some(process) = id.and_then(Pid::from_raw) {
            // One that is gone already is what is wanted.
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

/// Elsewhere nobody shows the environment of a process.
#[cfg(not(target_os = "linux"))]
pub(crate) fn end(_mark: &str, _leader: u32) {}
