//! Words that no file of the repository has: how it was made, where packages come from, and paths
//! of one machine.
//!
//! Each is kept in two halves, so that this file does not have them either.

use super::{files::TextFile, finding::Finding};

/// A word in two halves, in lower case.
type Halved = (&'static str, &'static str);

/// How a file was made is nobody's business; that it is right is.
const MADE: &[Halved] = &[
    ("as an", " ai"),
    ("ai", "-generated"),
    ("ai", " generated"),
    ("generated", " by ai"),
    ("generated", " by a language model"),
    ("language model", " generated"),
    ("written", " by ai"),
    ("ai", " assistant"),
    ("coding", " agent"),
    ("coding", " assistant"),
    ("sub", "agent"),
    ("sub-", "agent"),
    ("co-authored", "-by"),
    ("chat", "gpt"),
    ("clau", "de"),
    ("cod", "ex"),
    ("copi", "lot"),
    ("dev", "in"),
    ("wind", "surf"),
];

/// Registries are named by their package managers' configuration alone.
const HOSTS: &[Halved] = &[
    ("crates", ".io"),
    ("py", "pi.org"),
    ("python", "hosted.org"),
    ("npm", "js.com"),
    ("npm", "js.org"),
    ("deb.deb", "ian.org"),
    ("proxy.go", "lang.org"),
];

/// Where absolute paths of somebody's machine begin.
const PATHS: &[Halved] = &[("/ro", "ot/"), ("/ho", "me/"), ("/wo", "rk/"), ("/use", "rs/")];

/// What may follow a word and make it another one: the index that lock files name, ids of models.
const CONTINUATIONS: &[(Halved, &str)] = &[(("crates", ".io"), "-index"), (("clau", "de"), "-")];

/// Lines that are right although they have a word: file, word, and the reason as a comment.
const EXEMPT: &[(&str, Halved)] = &[];

pub(crate) fn check(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.lines() {
        let line = line.to_lowercase();
        let mut found = |halves: Halved, what: &str| {
            if !EXEMPT.contains(&(file.path.as_str(), halves)) {
                let message = format!("`{}{}`: {what}", halves.0, halves.1);
                findings.push(Finding::new(&file.path, number, message));
            }
        };
        for &halves in MADE.iter().filter(|halves| occurs(&line, **halves, Edge::Word)) {
            found(halves, "a file does not say how it was made");
        }
        for &halves in HOSTS.iter().filter(|halves| occurs(&line, **halves, Edge::Host)) {
            found(halves, "a registry's host");
        }
        for &halves in PATHS.iter().filter(|halves| occurs(&line, **halves, Edge::Path)) {
            found(halves, "an absolute path of one machine");
        }
    }
    findings
}

/// What must stand at the edges of a word for it to count.
#[derive(Clone, Copy)]
enum Edge {
    /// No letter, digit or underscore on either side.
    Word,
    /// Any subdomain before, the end of the name behind.
    Host,
    /// The beginning of a path before, anything behind.
    Path,
}

fn occurs(line: &str, halves: Halved, edge: Edge) -> bool {
    let word = [halves.0, halves.1].concat();
    let inner = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(&word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let rest = line.get(at + word.len()..).unwrap_or_default();
        let continued = CONTINUATIONS.iter().any(|(word, next)| *word == halves && rest.starts_with(next));
        let opens = match edge {
            Edge::Word => before.is_none_or(|c| !inner(c)),
            Edge::Host => before.is_none_or(|c| !inner(c) && c != '-'),
            Edge::Path => before.is_none_or(|c| !inner(c) && !matches!(c, '.' | '-' | '}' | ')' | '>' | '~')),
        };
        let closes = matches!(edge, Edge::Path) || rest.chars().next().is_none_or(|c| !inner(c));
        opens && closes && !continued
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: String) -> usize {
        check(&TextFile { path: "a.md".into(), text }).len()
    }

    #[test]
    fn every_word_is_found_in_any_case() {
        for (first, second) in MADE.iter().chain(HOSTS).chain(PATHS) {
            assert!(count(format!("see {first}{second} there")) > 0, "{first}{second}");
            assert!(count(format!("({}{})", first.to_uppercase(), second.to_uppercase())) > 0);
        }
    }

    #[test]
    fn parts_of_other_words_are_not() {
        let (first, second) = ("dev", "in");
        assert_eq!(count(format!("{first}{second}e and blue{first}{second}")), 0);
        let (first, second) = ("/wo", "rk/");
        assert_eq!(count(format!("target{first}{second}file and ${{HERE}}{first}{second}file")), 0);
        assert_eq!(count(format!("file://{first}{second}file")), 1);
    }

    #[test]
    fn hosts_count_with_any_subdomain_but_the_index_is_not_one() {
        let (first, second) = ("crates", ".io");
        assert_eq!(count(format!("https://static.{first}{second}/x")), 1);
        assert_eq!(count(format!("https://github.com/rust-lang/{first}{second}-index")), 0);
    }
}
