//! The names, and what they lead to.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use fuser::Errno;

use crate::content::Content;

/// Number of the folder at the top.
pub const TOP: u64 = 1;

/// All files and folders, by number. The backing folder has the durable state: `N.data` is a
/// file's bytes, `N.folder` a folder's names, as of the last sync of each.
pub struct Tree {
    backing: PathBuf,
    nodes: BTreeMap<u64, Node>,
    next: u64,
}

pub struct Node {
    pub kind: Kind,
    /// Its folder and its name there; `None`: at the top, or removed.
    place: Option<(u64, String)>,
}

pub enum Kind {
    File(Content),
    Folder(BTreeMap<String, u64>),
}

impl Tree {
    /// What is durable in the backing folder. What no durable name leads to is removed from it.
    pub fn load(backing: PathBuf) -> io::Result<Tree> {
        let mut tree = Tree {
            backing,
            nodes: BTreeMap::new(),
            next: TOP + 1,
        };
        tree.load_folder(TOP, None)?;
        for entry in fs::read_dir(&tree.backing)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let number = stem.and_then(|stem| stem.parse().ok());
            if number.is_none_or(|number: u64| !tree.nodes.contains_key(&number)) {
                fs::remove_file(path)?;
            }
        }
        tree.next = 1 + tree.nodes.keys().max().copied().unwrap_or(TOP);
        Ok(tree)
    }

    fn load_folder(&mut self, number: u64, place: Option<(u64, String)>) -> io::Result<()> {
        let mut names = BTreeMap::new();
        let text = match fs::read_to_string(self.folder_file(number)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        for line in text.lines() {
            let parts: Vec<&str> = line.splitn(3, ' ').collect();
            let [kind, child, name] = parts[..] else {
                return Err(io::Error::other(format!("{number}.folder: {line:?}")));
            };
            let child = child.parse().map_err(io::Error::other)?;
            names.insert(name.to_owned(), child);
            let place = Some((number, name.to_owned()));
            if kind == "folder" {
                self.load_folder(child, place)?;
            } else {
                let kind = Kind::File(Content::load(self.data_file(child))?);
                self.nodes.insert(child, Node { kind, place });
            }
        }
        let kind = Kind::Folder(names);
        self.nodes.insert(number, Node { kind, place });
        Ok(())
    }

    fn data_file(&self, number: u64) -> PathBuf {
        self.backing.join(format!("{number}.data"))
    }

    fn folder_file(&self, number: u64) -> PathBuf {
        self.backing.join(format!("{number}.folder"))
    }

    pub fn node(&self, number: u64) -> Result<&Node, Errno> {
        self.nodes.get(&number).ok_or(Errno::ENOENT)
    }

    pub fn content(&mut self, number: u64) -> Result<&mut Content, Errno> {
        match self.nodes.get_mut(&number).map(|node| &mut node.kind) {
            Some(Kind::File(content)) => Ok(content),
            Some(Kind::Folder(_)) => Err(Errno::EISDIR),
            None => Err(Errno::ENOENT),
        }
    }

    pub fn names(&self, folder: u64) -> Result<&BTreeMap<String, u64>, Errno> {
        match &self.node(folder)?.kind {
            Kind::Folder(names) => Ok(names),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn names_mut(&mut self, folder: u64) -> Result<&mut BTreeMap<String, u64>, Errno> {
        match self.nodes.get_mut(&folder).map(|node| &mut node.kind) {
            Some(Kind::Folder(names)) => Ok(names),
            Some(Kind::File(_)) => Err(Errno::ENOTDIR),
            None => Err(Errno::ENOENT),
        }
    }

    /// The number behind a name.
    pub fn find(&self, folder: u64, name: &str) -> Result<u64, Errno> {
        self.names(folder)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// Makes an empty file or folder.
    pub fn make(&mut self, folder: u64, name: &str, is_folder: bool) -> Result<u64, Errno> {
        if name.contains('\n') {
            return Err(Errno::EINVAL);
        }
        if self.names(folder)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let number = self.next;
        self.next += 1;
        let kind = match is_folder {
            true => Kind::Folder(BTreeMap::new()),
            false => Kind::File(Content::load(self.data_file(number))?),
        };
        let place = Some((folder, name.to_owned()));
        self.nodes.insert(number, Node { kind, place });
        self.names_mut(folder)?.insert(name.to_owned(), number);
        Ok(number)
    }

    /// Removes a name. Whoever has the file open keeps it, and its durable bytes stay until
    /// the next start: the removal is not durable before its folder's sync.
    pub fn remove(&mut self, folder: u64, name: &str) -> Result<(), Errno> {
        let number = self.find(folder, name)?;
        if self.names(number).is_ok_and(|names| !names.is_empty()) {
            return Err(Errno::ENOTEMPTY);
        }
        self.names_mut(folder)?.remove(name);
        self.moved(number, None);
        Ok(())
    }

    /// Renames, replacing what had the new name.
    pub fn rename(&mut self, from: (u64, &str), to: (u64, &str)) -> Result<(), Errno> {
        let number = self.find(from.0, from.1)?;
        match self.find(to.0, to.1) {
            Ok(replaced) if replaced == number => return Ok(()),
            Ok(_) => self.remove(to.0, to.1)?,
            Err(_) => {}
        }
        self.names_mut(to.0)?.insert(to.1.to_owned(), number);
        self.names_mut(from.0)?.remove(from.1);
        self.moved(number, Some((to.0, to.1.to_owned())));
        Ok(())
    }

    fn moved(&mut self, number: u64, place: Option<(u64, String)>) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.place = place;
        }
    }

    /// The path from the top, for people; empty for the top and for what was removed.
    pub fn path(&self, number: u64) -> String {
        match self.nodes.get(&number).and_then(|node| node.place.as_ref()) {
            Some((TOP, name)) => name.clone(),
            Some((folder, name)) => format!("{}/{name}", self.path(*folder)),
            None => String::new(),
        }
    }

    /// A power cut that finds a part of what was not synced on the disk already, as `choose`
    /// says. The names of a folder are all old or all new.
    pub fn cut(&mut self, choose: &mut impl FnMut() -> bool) -> Result<(), Errno> {
        let numbers: Vec<u64> = self.nodes.keys().copied().collect();
        for number in numbers {
            if let Ok(content) = self.content(number) {
                content.cut(choose)?;
            } else if choose() {
                self.sync(number)?;
            }
        }
        Ok(())
    }

    /// Makes a file's bytes, or a folder's names, durable. Not the name of the file itself.
    pub fn sync(&mut self, number: u64) -> Result<(), Errno> {
        if let Ok(content) = self.content(number) {
            return Ok(content.sync()?);
        }
        let mut text = String::new();
        for (name, child) in self.names(number)? {
            let kind = match self.node(*child)?.kind {
                Kind::File(_) => "file",
                Kind::Folder(_) => "folder",
            };
            text.push_str(&format!("{kind} {child} {name}\n"));
        }
        let fresh = self.backing.join(format!("{number}.fresh"));
        fs::write(&fresh, text)?;
        Ok(fs::rename(fresh, self.folder_file(number))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::load(folder.path().to_owned()).unwrap();
        (folder, tree)
    }

    fn after_power_loss(tree: &Tree) -> Tree {
        Tree::load(tree.backing.clone()).unwrap()
    }

    fn names(tree: &Tree, folder: u64) -> Vec<&str> {
        tree.names(folder)
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect()
    }

    #[test]
    fn a_name_lasts_after_its_folders_sync_and_its_bytes_after_its_own() {
        let (_folder, mut tree) = fresh();
        let file = tree.make(TOP, "a", false).unwrap();
        tree.content(file).unwrap().write(0, b"bytes").unwrap();
        tree.sync(file).unwrap();
        assert!(
            names(&after_power_loss(&tree), TOP).is_empty(),
            "the name was not synced"
        );

        let (_folder, mut tree) = fresh();
        let file = tree.make(TOP, "a", false).unwrap();
        tree.content(file).unwrap().write(0, b"bytes").unwrap();
        tree.sync(TOP).unwrap();
        let mut after = after_power_loss(&tree);
        assert_eq!(names(&after, TOP), ["a"]);
        assert_eq!(
            after.content(file).unwrap().len(),
            0,
            "the bytes were not synced"
        );
        tree.sync(file).unwrap();
        assert_eq!(after_power_loss(&tree).content(file).unwrap().len(), 5);
    }

    #[test]
    fn a_removal_and_a_rename_are_undone_unless_their_folder_was_synced() {
        let (_folder, mut tree) = fresh();
        for name in ["keep", "old"] {
            let file = tree.make(TOP, name, false).unwrap();
            tree.sync(file).unwrap();
        }
        tree.sync(TOP).unwrap();
        tree.remove(TOP, "keep").unwrap();
        tree.rename((TOP, "old"), (TOP, "new")).unwrap();
        assert_eq!(names(&tree, TOP), ["new"]);
        assert_eq!(names(&after_power_loss(&tree), TOP), ["keep", "old"]);
        tree.sync(TOP).unwrap();
        assert_eq!(names(&after_power_loss(&tree), TOP), ["new"]);
    }

    #[test]
    fn folders_nest_and_a_number_is_not_used_twice() {
        let (_folder, mut tree) = fresh();
        let inner = tree.make(TOP, "inner", true).unwrap();
        let file = tree.make(inner, "file", false).unwrap();
        assert_eq!(tree.path(file), "inner/file");
        tree.content(file).unwrap().write(0, b"x").unwrap();
        for number in [file, inner, TOP] {
            tree.sync(number).unwrap();
        }
        let mut after = after_power_loss(&tree);
        assert_eq!(after.path(file), "inner/file");
        assert_eq!(after.content(file).unwrap().read(0, 9).unwrap(), b"x");
        assert!(after.make(TOP, "more", false).unwrap() > file);
        assert_eq!(after.remove(TOP, "inner"), Err(Errno::ENOTEMPTY));
    }
}
