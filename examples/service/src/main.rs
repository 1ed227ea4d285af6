//! A service that answers users with an optimized program: `POST /triage`, `/triage/stream` and `/reload`, `GET /health`.
//!
//! ```sh
//! PROGRAM=triage.json cargo run -p promptopt-service -- --save   # the program as it is in the code, to begin with
//! OPENAI_API_KEY=… MODEL=gpt-5-mini PROGRAM=triage.json cargo run -p promptopt-service
//! ```

mod problem;
mod routes;
mod triage;

use std::env::var;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use promptopt_core::program::{CallContext, LivePrompts, ModuleExt as _, Program};
use promptopt_lm::ChatClient;
use tokio::net::TcpListener;

use routes::{Service, router};

#[tokio::main]
async fn main() -> Result<()> {
    let setting = |name: &str, default: &str| var(name).unwrap_or_else(|_| default.to_owned());
    let triage = triage::program();
    let file = PathBuf::from(setting("PROGRAM", "triage.json"));
    if std::env::args().nth(1).as_deref() == Some("--save") {
        return Ok(triage.save(&file)?);
    }
    // A program that was optimized for other fields stops here, and not in front of users.
    let prompts = Program::load(&file)?.fitted_to(&triage)?;
    let client = ChatClient::builder()
        .base_url(setting("BASE_URL", "https://api.openai.com/v1"))
        .model(setting("MODEL", "gpt-5-mini"))
        .for_serving()
        .build()?;
    let context = CallContext::serving(Arc::new(client));
    let listener = TcpListener::bind(setting("LISTEN", "127.0.0.1:8080")).await.context("listening")?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let service = Service { triage, context, live: LivePrompts::new(prompts), file };
    axum::serve(listener, router(service)).with_graceful_shutdown(asked_to_end()).await?;
    Ok(())
}

/// Ends on Ctrl-C and on SIGTERM, as an orchestrator sends it.
async fn asked_to_end() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        let mut asked = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(asked) => asked,
            Err(_) => return,
        };
        tokio::select! {
            _ = interrupted => {}
            _ = asked.recv() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = interrupted.await;
}
