//! Ctrl-C.

use std::io::Write as _;

use promptopt_core::Cancellation;

/// The first Ctrl-C ends the run with the best so far; a second one ends the process.
pub(crate) fn cancel_on_interrupt() -> Cancellation {
    let cancellation = Cancellation::new();
    let flag = cancellation.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            flag.cancel();
            let _ = writeln!(
                std::io::stderr(),
                "\nending the run with the best so far; press Ctrl-C again to leave now"
            );
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
    cancellation
}
