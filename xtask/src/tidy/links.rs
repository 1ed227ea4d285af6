//! Relative links in Markdown lead to a file.

use super::{files::TextFile, finding::Finding};

/// Reports the relative links of `file` for which `exists`, asked with a path from the workspace's
/// root, says no. Pages under a `src` folder are left to rustdoc, whose links name items as well.
pub(crate) fn check(file: &TextFile, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    if file.path.split('/').any(|folder| folder == "src") {
        return Vec::new();
    }
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    let mut in_fence = false;
    for (number, line) in file.lines() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        }
        if in_fence {
            continue;
        }
        for target in targets(line) {
            let path = target.split(['#', '?']).next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if path.is_empty() || elsewhere {
                continue;
            }
            if resolve(folder, path).is_none_or(|resolved| !exists(&resolved)) {
                findings.push(Finding::new(&file.path, number, format!("link to `{path}`: no such file")));
            }
        }
    }
    findings
}

/// What the links of a line point at: `[text](target "title")` and `[label]: target`.
fn targets(line: &str) -> Vec<&str> {
    // Every other piece between backticks is code.
    let prose = line.split('`').step_by(2);
    let inline = line.match_indices("](").filter(|(at, _)| {
        let ticks = line.get(..*at).unwrap_or_default().matches('`').count();
        ticks % 2 == 0
    });
    let mut found: Vec<&str> = inline
        .filter_map(|(at, opening)| line.get(at + opening.len()..)?.split([')', ' ']).next())
        .map(|target| target.trim_matches(['<', '>']))
        .collect();
    let definition = prose.take(1).find_map(|start| start.trim_start().strip_prefix('['));
    if let Some((_, target)) = definition.and_then(|rest| rest.split_once("]: ")) {
        found.extend(target.split_whitespace().next());
    }
    found
}

/// `path` as seen from `folder`, as a path from the root; `None` where it leaves the repository.
fn resolve(folder: &str, path: &str) -> Option<String> {
    let (base, path) = match path.strip_prefix('/') {
        Some(rooted) => ("", rooted),
        None => (folder, path),
    };
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<String> {
        let file = TextFile { path: path.into(), text: text.into() };
        let there = ["README.md", "crates/core", "examples/data/README.md", "a b"];
        check(&file, |target| there.contains(&target)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        assert!(broken("README.md", "[core](crates/core/) and [top](README.md#top)").is_empty());
        assert!(broken("examples/data/README.md", "[up](../../README.md)").is_empty());
        assert!(
            broken("README.md", "[web](https://example.org/x) [mail](mailto:a@b) [here](#here)").is_empty()
        );
        assert!(broken("README.md", "[data]: examples/data/README.md \"title\"").is_empty());
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        assert_eq!(broken("README.md", "[x](gone.md)"), ["link to `gone.md`: no such file"]);
        assert_eq!(broken("README.md", "[x]: gone.md").len(), 1);
        assert_eq!(broken("README.md", "![x](a.png) and [y](b.md)").len(), 2);
        assert_eq!(broken("README.md", "[out](../elsewhere.md)").len(), 1);
    }

    #[test]
    fn code_is_not_read_as_links() {
        assert!(broken("README.md", "`a[0](x)` then text").is_empty());
        assert!(broken("README.md", "```\n[x](gone.md)\n```").is_empty());
        assert!(broken("crates/core/src/docs/module.md", "[x](crate::Module)").is_empty());
    }
}
