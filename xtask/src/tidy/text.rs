//! White space and the end of a file.

use super::{files::TextFile, finding::Finding};

/// Files that another tool writes, or whose white space is the point of the test that reads them.
const EXEMPT_EXTENSIONS: [&str; 3] = ["csv", "proptest-regressions", "snap"];

/// Folders of test inputs that are kept byte for byte.
const EXEMPT_FOLDERS: [&str; 2] = ["/fixtures/", "fuzz/seeds/"];

pub(crate) fn check(file: &TextFile) -> Vec<Finding> {
    let exempt = EXEMPT_EXTENSIONS.iter().any(|extension| file.has_extension(extension))
        || EXEMPT_FOLDERS.iter().any(|folder| file.path.contains(folder));
    if exempt || file.text.is_empty() {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = file
        .text
        .split('\n')
        .enumerate()
        .filter(|(_, line)| line.ends_with([' ', '\t', '\r']))
        .map(|(index, _)| Finding::new(&file.path, index + 1, "trailing white space"))
        .collect();
    if !file.text.ends_with('\n') {
        findings.push(Finding::new(&file.path, 0, "no newline at the end of the file"));
    } else if file.text.ends_with("\n\n") {
        findings.push(Finding::new(&file.path, 0, "empty line at the end of the file"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let file = TextFile { path: path.into(), text: text.into() };
        check(&file).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn white_space_is_found_by_line() {
        assert_eq!(lines("a.rs", "good\nbad \n\tgood\nbad\r\n"), [2, 4]);
        assert_eq!(lines("a.rs", "no end"), [0]);
        assert_eq!(lines("a.rs", "end\n\n"), [0]);
        assert!(lines("a.rs", "").is_empty());
    }

    #[test]
    fn kept_bytes_are_left_alone() {
        assert!(lines("a.snap", "bad ").is_empty());
        assert!(lines("crates/data/tests/fixtures/crlf.txt", "bad\r\n").is_empty());
    }
}
