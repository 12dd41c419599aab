//! The repository's own text files.

use std::{ffi::OsStr, fs, io, path::Path};

/// Endings of the files that are read.
const ENDINGS: [&str; 7] = ["js", "json", "md", "mjs", "rs", "toml", "ts"];

/// Folders that hold what others wrote or what a build made; folders whose name begins with `target` or a dot are left out, too.
const FOREIGN: [&str; 2] = ["node_modules", "mutants.out"];

/// The files, ordered by path.
#[derive(Debug)]
pub(super) struct Tree {
    files: Vec<File>,
}

#[derive(Debug)]
pub(super) struct File {
    /// From the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl Tree {
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        visit(root, "", &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        Self { files: files.iter().map(file).collect() }
    }

    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// The files with one of these endings.
    pub(super) fn ending<'a>(&'a self, endings: &'a [&str]) -> impl Iterator<Item = &'a File> {
        self.all().filter(|file| endings.contains(&file.ending()))
    }

    /// The Rust files.
    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.ending(&["rs"])
    }

    /// The manifests of the workspace's packages, not the root's.
    pub(super) fn manifests(&self) -> impl Iterator<Item = &File> {
        self.all().filter(|file| file.path.ends_with("/Cargo.toml"))
    }
}

impl File {
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The name without its ending.
    pub(super) fn stem(&self) -> &str {
        self.name().rsplit_once('.').map_or(self.name(), |(stem, _)| stem)
    }

    fn ending(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, ending)| ending)
    }

    /// The lines, counted from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// The first line that holds `text`; 1 where none does.
    pub(super) fn line_of(&self, text: &str) -> usize {
        self.lines().find(|(_, line)| line.contains(text)).map_or(1, |(number, _)| number)
    }
}

fn visit(folder: &Path, prefix: &str, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Ours have names of plain text; what has not is not ours.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            if !is_foreign(&name) {
                visit(&entry.path(), &format!("{path}/"), files)?;
            }
        } else if entry.path().extension().and_then(OsStr::to_str).is_some_and(|end| ENDINGS.contains(&end)) {
            files.push(File { path, text: fs::read_to_string(entry.path())? });
        }
    }
    Ok(())
}

fn is_foreign(folder: &str) -> bool {
    folder.starts_with('.') || folder.starts_with("target") || FOREIGN.contains(&folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_our_own_files_and_no_others() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tree = Tree::read(root).unwrap();
        assert!(
            tree.get("src/tidy/tree.rs").is_some_and(|file| file.text.contains("fn reads_our_own_files"))
        );
        assert!(tree.get("Cargo.toml").is_some());
        for folder in [".git", "target", "target-ci", "node_modules"] {
            assert!(is_foreign(folder), "{folder}");
        }
        assert!(!is_foreign("crates"));
    }

    #[test]
    fn names_and_lines() {
        let file = File { path: "a/b.test.mjs".to_owned(), text: "one\ntwo\n".to_owned() };
        assert_eq!((file.name(), file.stem(), file.ending()), ("b.test.mjs", "b.test", "mjs"));
        assert_eq!(file.lines().collect::<Vec<_>>(), [(1, "one"), (2, "two")]);
        assert_eq!((file.line_of("tw"), file.line_of("three")), (2, 1));
    }
}
