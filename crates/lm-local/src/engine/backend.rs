//! llama.cpp's process-wide state: started once, silent, never stopped.

use std::sync::OnceLock;

use llama_cpp_2::llama_backend::LlamaBackend;

use crate::Error;

static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();

/// The backend, started on first use. Its own log goes nowhere: what matters comes back as errors.
pub(super) fn backend() -> Result<&'static LlamaBackend, Error> {
    BACKEND
        .get_or_init(|| {
            let mut backend = LlamaBackend::init().map_err(|error| error.to_string())?;
            backend.void_logs();
            Ok(backend)
        })
        .as_ref()
        .map_err(|message| Error::Engine { doing: "starting llama.cpp", message: message.clone() })
}
