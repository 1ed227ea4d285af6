//! Ctrl-C, the request to end that a scheduler makes (SIGTERM), and a terminal that is closed (SIGHUP).

use promptopt_core::program::Cancellation;

#[cfg(unix)]
use crate::output::can_draw;
use crate::output::say;
use promptopt_process::end_all;

/// The first Ctrl-C ends the run with the best so far; a second one ends the process.
pub(crate) fn cancel_on_interrupt() -> Cancellation {
    cancel_on_interrupt_saying("ending the run with the best so far")
}

/// The same for something else than a run. A thread of its own listens, so that it is heard while the process computes.
pub(crate) fn cancel_on_interrupt_saying(what: &'static str) -> Cancellation {
    let cancellation = Cancellation::new();
    let flag = cancellation.clone();
    std::thread::spawn(move || {
        // Without this the system's own way of ending a process on Ctrl-C is left, and nothing is lost.
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(listen(&flag, what));
    });
    cancellation
}

async fn listen(flag: &Cancellation, what: &str) {
    if interrupted().await {
        flag.cancel();
        say(format_args!("\n{what}; press Ctrl-C again to leave now"));
    }
    if interrupted().await {
        end_all();
        std::process::exit(130);
    }
}

#[cfg(unix)]
pub(crate) async fn interrupted() -> bool {
    use tokio::signal::unix::{SignalKind, signal};

    let Ok(mut end) = signal(SignalKind::terminate()) else {
        return tokio::signal::ctrl_c().await.is_ok();
    };
    let mut hangup =
        Some(SignalKind::hangup()).filter(|_| !ignores_hangups()).map(signal).and_then(Result::ok);
    let closed = async {
        match &mut hangup {
            Some(hangup) => hangup.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        heard = tokio::signal::ctrl_c() => heard.is_ok(),
        heard = end.recv() => heard.is_some(),
        heard = closed => heard.is_some(),
    }
}

/// Whether whoever started the process wants it to outlive its terminal, as `nohup` does. To listen would undo that.
#[cfg(unix)]
fn ignores_hangups() -> bool {
    static IGNORED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    let status = || std::fs::read_to_string("/proc/self/status").ok();
    let ignored = |status: String| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(mask.trim(), 16).ok().map(|mask| mask & 1 == 1)
    };
    // Where the system does not say so: `nohup` takes the streams away from the terminal.
    *IGNORED.get_or_init(|| status().and_then(ignored).unwrap_or_else(|| !can_draw()))
}

#[cfg(not(unix))]
pub(crate) async fn interrupted() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}
