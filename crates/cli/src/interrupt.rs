//! Ctrl-C, and the request to end that a scheduler makes (SIGTERM).

use std::io::Write as _;

use promptopt_core::program::Cancellation;

/// The first Ctrl-C ends the run with the best so far; a second one ends the process. A thread of its own
/// listens, so that it is heard while the run computes.
pub(crate) fn cancel_on_interrupt() -> Cancellation {
    let cancellation = Cancellation::new();
    let flag = cancellation.clone();
    std::thread::spawn(move || {
        // Without this the system's own way of ending a process on Ctrl-C is left, and nothing is lost.
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(listen(&flag));
    });
    cancellation
}

async fn listen(flag: &Cancellation) {
    if interrupted().await {
        flag.cancel();
        let _ = writeln!(
            std::io::stderr(),
            "\nending the run with the best so far; press Ctrl-C again to leave now"
        );
    }
    if interrupted().await {
        std::process::exit(130);
    }
}

#[cfg(unix)]
async fn interrupted() -> bool {
    use tokio::signal::unix::{SignalKind, signal};

    let Ok(mut end) = signal(SignalKind::terminate()) else {
        return tokio::signal::ctrl_c().await.is_ok();
    };
    tokio::select! {
        heard = tokio::signal::ctrl_c() => heard.is_ok(),
        heard = end.recv() => heard.is_some(),
    }
}

#[cfg(not(unix))]
async fn interrupted() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}
