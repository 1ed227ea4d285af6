//! The text files of a program's folder, among which its prompts may be.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

use promptopt_core::file::read_text;
use promptopt_gateway::Component;

/// How many files and folders are looked at, how deep, and how large they may be: one, and all of them, in bytes.
const MAX_ENTRIES: usize = 5_000;
const MAX_DEPTH: usize = 8;
const MAX_FILE: u64 = 256 * 1024;
const MAX_ALL: usize = 16 * 1024 * 1024;

/// Folders that hold what others wrote, or what was made of something else.
const FOREIGN: [&str; 8] =
    ["__pycache__", "build", "dist", "node_modules", "site-packages", "target", "vendor", "venv"];
/// Files that hold rows and results.
const NO_PROMPTS: [&str; 6] = ["csv", "jsonl", "lock", "log", "ndjson", "tsv"];

/// A text file, as the template that it may be.
pub(crate) struct TextFile {
    /// From the folder on.
    pub(crate) path: PathBuf,
    pub(crate) component: Component,
    /// The number of its first line that is not empty, from 1.
    pub(crate) first_line: usize,
}

impl TextFile {
    pub(crate) fn new(path: PathBuf, content: &str) -> Self {
        let head = content.len() - content.trim_start().len();
        let first_line = 1 + content.get(..head).unwrap_or_default().matches('\n').count();
        Self { path, component: Component::new("file", content), first_line }
    }
}

/// The text files of a folder but those that are named, the longest first. Hidden ones, links and what others wrote are left
/// out.
pub(crate) fn text_files(folder: &Path, but: &[&Path]) -> Vec<TextFile> {
    // An empty path is the current folder.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let but: Vec<PathBuf> = but.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let mut files = Vec::new();
    let mut folders = vec![(PathBuf::new(), 0)];
    let (mut entries, mut bytes) = (0, 0);
    while let Some((inner, depth)) = folders.pop() {
        let Ok(found) = fs::read_dir(folder.join(&inner)) else { continue };
        let mut found: Vec<_> = found.flatten().take(MAX_ENTRIES).collect();
        found.sort_by_key(fs::DirEntry::file_name);
        for entry in found {
            entries += 1;
            if entries > MAX_ENTRIES || bytes > MAX_ALL {
                return sorted(files);
            }
            let (Ok(kind), name) = (entry.file_type(), entry.file_name()) else { continue };
            let (text, path) = (name.to_string_lossy(), inner.join(&name));
            if text.starts_with('.') {
                continue;
            }
            if kind.is_dir() {
                let is_foreign = FOREIGN.contains(&&*text)
                    || text.ends_with(".run")
                    || entry.path().join("pyvenv.cfg").exists();
                if depth < MAX_DEPTH && !is_foreign {
                    folders.push((path, depth + 1));
                }
            } else if kind.is_file() && !is_no_prompt(&path) && !is_one_of(&entry.path(), &but) {
                // What cannot be read, or is no text, is no prompt.
                let Ok(content) = read_text(&entry.path(), MAX_FILE) else { continue };
                bytes += content.len();
                if !content.contains('\0') && !content.trim().is_empty() {
                    files.push(TextFile::new(path, &content));
                }
            }
        }
    }
    sorted(files)
}

fn is_no_prompt(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| NO_PROMPTS.contains(&ending.as_str()))
        || path.to_string_lossy().ends_with(".optimized.json")
}

fn is_one_of(path: &Path, others: &[PathBuf]) -> bool {
    !others.is_empty() && path.canonicalize().is_ok_and(|path| others.contains(&path))
}

fn sorted(mut files: Vec<TextFile>) -> Vec<TextFile> {
    let depth = |file: &TextFile| file.path.components().count();
    files.sort_by_key(|file| (Reverse(file.component.text().len()), depth(file), file.path.clone()));
    files
}

/// Where a text stands in the sources: the file, and the line in it. Of a template or a text of many lines its longest
/// stretch is looked for.
pub(crate) fn place_of<'f>(text: &str, files: &'f [TextFile]) -> Option<(&'f Path, usize)> {
    let stretches = text.lines().flat_map(|line| line.split(['{', '}']).step_by(2)).map(str::trim);
    let longest = stretches.max_by_key(|stretch| stretch.len()).filter(|stretch| stretch.len() >= 8)?;
    let mut found: Vec<(usize, &Path, usize)> = files
        .iter()
        .filter_map(|file| {
            let content = file.component.text();
            let at = content.find(longest)?;
            let lines = content.get(..at)?.matches('\n').count();
            Some((file.path.components().count(), file.path.as_path(), file.first_line + lines))
        })
        .collect();
    found.sort();
    found.first().map(|(_, path, line)| (*path, *line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_looked_for_where_people_keep_them() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &[u8]| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("app.py", b"\n# an app\n\nTONE = 'You are {who} in a shop.'\n");
        write("prompts/en/tone.md", b"Be kind.");
        write("prompts/two.txt", b"Be kind and brief.");
        for path in [
            ".git/a.txt",
            ".env",
            "node_modules/a/b.txt",
            "my-env/pyvenv.cfg",
            "my-env/a.txt",
            "x.run/a.txt",
            "rows.jsonl",
            "task.toml",
            "a.optimized.json",
        ] {
            write(path, b"Be kind.");
        }
        write("image.png", b"\xff\xd8");
        write("large.txt", &vec![b'a'; 300 * 1024]);
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link.txt")).unwrap();
        let files = text_files(folder.path(), &[&folder.path().join("task.toml")]);
        let paths: Vec<&str> = files.iter().map(|file| file.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["app.py", "prompts/two.txt", "prompts/en/tone.md"]);
        let place = |text: &str| place_of(text, &files).map(|(path, line)| (path.to_str().unwrap(), line));
        assert_eq!(place("You are {who} in a shop."), Some(("app.py", 4)));
        assert_eq!(place("Be brief and kind."), None);
        assert!(text_files(&folder.path().join("none"), &[]).is_empty());
    }
}
