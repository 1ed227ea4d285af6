//! The text that identifies a model and all that changes its replies.

use std::env::consts::ARCH;
use std::path::Path;

use super::options::{CHUNK, LocalModelOptions};
use super::picker::LEAST_LIKELY;

/// The crate that carries llama.cpp's source, with its version. Checked against the lock file by a
/// test.
const ENGINE: &str = "llama-cpp-sys-2/0.1.161";

/// File name, content, engine and settings in one line. The processor family is in it because
/// kernels differ between families; within one family the widest vectors differ too, so replies
/// are to be compared on like machines built alike.
pub(super) fn model_id(
    path: &Path,
    sha256: &str,
    recipe: &str,
    context_length: u32,
    options: &LocalModelOptions,
) -> String {
    let file = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let digest = sha256.get(..16).unwrap_or(sha256);
    format!(
        "local/{file} sha256={digest} run-as={recipe} engine={ENGINE} arch={ARCH} chunk={CHUNK} threads={} context={context_length} temperature={} min_p={LEAST_LIKELY} max_tokens={} seed={}",
        options.threads_per_context, options.temperature, options.max_tokens, options.seed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_named_is_the_engine_built() {
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
        let Ok(lock) = std::fs::read_to_string(lock) else { return };
        let (name, version) = ENGINE.split_once('/').expect("name/version");
        let wanted = format!("name = \"{name}\"\nversion = \"{version}\"");
        assert!(lock.contains(&wanted), "ENGINE says {ENGINE}, Cargo.lock says otherwise");
    }

    #[test]
    fn the_id_changes_with_what_changes_replies_and_not_with_the_rest() {
        let id =
            |options: &LocalModelOptions| model_id(Path::new("/a/m.Q4_1.gguf"), "ab", "is", 2048, options);
        let base = LocalModelOptions::builder().path("m").contexts(1).build();
        let faster = LocalModelOptions::builder().path("m").contexts(9).cached_prompts(7).build();
        let other = LocalModelOptions::builder().path("m").contexts(1).max_tokens(9).build();
        assert_eq!(id(&base), id(&faster));
        assert_ne!(id(&base), id(&other));
        assert!(id(&base).starts_with("local/m.Q4_1.gguf sha256=ab "));
    }
}
