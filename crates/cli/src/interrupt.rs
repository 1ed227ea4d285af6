//! Ctrl-C, and the request to end that a scheduler makes (SIGTERM).

use std::io::Write as _;

use promptopt_core::Cancellation;

/// The first Ctrl-C ends the run with the best so far; a second one ends the process.
pub(crate) fn cancel_on_interrupt() -> Cancellation {
    let cancellation = Cancellation::new();
    let flag = cancellation.clone();
    tokio::spawn(async move {
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
    });
    cancellation
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
