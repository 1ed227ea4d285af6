//! Task files.

/// Any text is a task or an error that says something.
pub fn task_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(error) = promptopt_cli::check_task_file(&text) {
        assert!(!format!("{error:#}").trim().is_empty());
    }
}
