//! Rules for Rust sources and for the code blocks of documentation.

use super::{files::TextFile, finding::Finding};

/// A file longer than this gets a warning.
const LONG: usize = 500;

/// Macros of unfinished code.
const UNFINISHED: [&str; 3] = ["dbg", "todo", "unimplemented"];

/// Macros that write where only a program may: a library tells through `tracing` or an `Observer`.
const PRINTING: [&str; 4] = ["print", "println", "eprint", "eprintln"];

/// Checks the name, the first line, macros, lint attributes and doc tests of a Rust file.
pub(crate) fn check(file: &TextFile) -> Vec<Finding> {
    let mut findings = ignored_fences(file);
    if !file.text.starts_with("//!") {
        findings.push(Finding::new(&file.path, 1, "does not begin with a `//!` line that says what it is"));
    }
    if let Some(folder) = file.path.strip_suffix("/mod.rs").filter(|folder| folder.contains("/src/")) {
        findings.push(Finding::new(&file.path, 0, format!("a module in `mod.rs`: move it to `{folder}.rs`")));
    }
    let library = is_library_source(&file.path);
    // Unit tests close a file, and may print.
    let mut in_tests = false;
    for (number, line) in file.lines() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        in_tests |= code.starts_with("#[cfg(test)]");
        if code.starts_with("#[allow(") || code.starts_with("#![allow(") {
            let message = "a bare allow: write `#[expect(lint, reason = \"...\")]`";
            findings.push(Finding::new(&file.path, number, message));
        }
        let unfinished = UNFINISHED.iter().find(|name| calls_macro(code, name));
        if let Some(name) = unfinished {
            findings.push(Finding::new(&file.path, number, format!("`{name}!` must not be committed")));
        }
        let printing = PRINTING.iter().find(|name| calls_macro(code, name));
        if let Some(name) = printing.filter(|_| library && !in_tests) {
            findings.push(Finding::new(&file.path, number, format!("`{name}!` in a library")));
        }
    }
    findings
}

/// A warning for a file that has grown long.
pub(crate) fn too_long(file: &TextFile) -> Option<Finding> {
    let count = file.text.lines().count();
    (count > LONG)
        .then(|| Finding::new(&file.path, 0, format!("{count} lines: does it hold more than one concept?")))
}

/// Code blocks in documentation that are marked to be left out of the doc tests.
pub(crate) fn ignored_fences(file: &TextFile) -> Vec<Finding> {
    let rust = file.has_extension("rs");
    let ignored = |line: &str| {
        let line = line.trim_start();
        let text = match line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) {
            Some(comment) => comment.trim_start(),
            None if rust => return false,
            None => line,
        };
        let info = text.strip_prefix("```").unwrap_or_default();
        info.split([',', ' ']).any(|word| word == "ignore" || word.starts_with("ignore-"))
    };
    let message = "a code block that is ignored: let it compile (`no_run`, hidden lines) or mark it `text`";
    file.lines()
        .filter(|(_, line)| ignored(line))
        .map(|(number, _)| Finding::new(&file.path, number, message))
        .collect()
}

/// Sources of a crate that others link; the command-line program may print.
fn is_library_source(path: &str) -> bool {
    let mut folders = path.split('/');
    let place = (folders.next(), folders.next(), folders.next());
    matches!(place, (Some("crates"), Some(name), Some("src")) if name != "cli")
}

/// Whether `code` has a call of the macro `name`, as a whole word.
fn calls_macro(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        let after = code.get(at + name.len()..).unwrap_or_default();
        let whole = before.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        whole && ["!(", "![", "!{", "! {"].iter().any(|call| after.starts_with(call))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let file = TextFile { path: path.into(), text: format!("//! A file.\n{text}\n") };
        check(&file).into_iter().map(|finding| format!("{}: {}", finding.line, finding.message)).collect()
    }

    #[test]
    fn a_file_says_what_it_is() {
        let file = TextFile { path: "a.rs".into(), text: "use std::fs;\n".into() };
        assert_eq!(check(&file).len(), 1);
        assert!(messages("a.rs", "fn main() {}").is_empty());
    }

    #[test]
    fn a_module_is_named_by_its_file() {
        assert_eq!(messages("crates/lm/src/rate/mod.rs", "")[0].split(": ").count(), 3);
        assert!(messages("crates/lm/src/rate.rs", "").is_empty());
        assert!(messages("crates/lm/tests/all/mod.rs", "").is_empty());
    }

    #[test]
    fn unfinished_code_is_found_everywhere() {
        for name in UNFINISHED {
            let call = format!("    {name}!();");
            assert_eq!(messages("crates/cli/src/main.rs", &call).len(), 1, "{name}");
            assert_eq!(messages("crates/core/tests/all.rs", &call).len(), 1, "{name}");
            assert!(messages("crates/core/src/a.rs", &format!("// {call}")).is_empty(), "{name}");
        }
    }

    #[test]
    fn only_libraries_must_not_print() {
        let call = "println!(\"x\");";
        assert_eq!(messages("crates/core/src/a.rs", call), ["2: `println!` in a library"]);
        assert!(messages("crates/cli/src/a.rs", call).is_empty());
        assert!(messages("crates/core/tests/a.rs", call).is_empty());
        assert!(
            messages("crates/core/src/a.rs", &format!("#[cfg(test)]\nmod tests {{ {call} }}")).is_empty()
        );
        assert!(messages("crates/core/src/a.rs", "/// println!(\"in a doc test\");").is_empty());
        assert!(messages("crates/core/src/a.rs", "fn blueprint() { my_print!(1) }").is_empty());
    }

    #[test]
    fn an_allow_must_be_an_expect() {
        let attribute = ["#[", "allow(dead_code)]"].concat();
        assert_eq!(messages("tests/a.rs", &attribute).len(), 1);
        assert!(messages("tests/a.rs", "#[expect(dead_code, reason = \"why\")]").is_empty());
    }

    #[test]
    fn ignored_doc_tests_are_found() {
        let fence = ["``", "`"].concat();
        assert_eq!(messages("a.rs", &format!("/// {fence}rust,ignore")).len(), 1);
        assert_eq!(messages("a.rs", &format!("/// {fence}ignore")).len(), 1);
        assert!(messages("a.rs", &format!("/// {fence}no_run")).is_empty());
        let page = TextFile { path: "a.md".into(), text: format!("{fence}rust ignore\n{fence}\n") };
        assert_eq!(ignored_fences(&page).len(), 1);
    }

    #[test]
    fn long_files_are_a_warning() {
        let file = |lines: usize| TextFile { path: "a.rs".into(), text: "\n".repeat(lines) };
        assert!(too_long(&file(500)).is_none());
        assert!(too_long(&file(501)).is_some());
    }
}
