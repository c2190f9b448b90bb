use std::collections::BTreeMap;

use super::file::CrashCounts;
use crate::random::Random;

/// What a name leads to: an index into the disk's files or folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    File(usize),
    Folder(usize),
}

/// The data folder itself.
pub(super) const ROOT: usize = 0;

type Folders = BTreeMap<usize, BTreeMap<String, Node>>;

/// The names on a disk: as processes see them, and as they are on the platter.
#[derive(Debug)]
pub(super) struct Names {
    now: Folders,
    durable: Folders,
    /// Completed changes that no folder sync has covered, in order, numbered.
    unsynced: Vec<(u64, Change)>,
    changes_end: u64,
    folders_end: usize,
}

/// A change of names. Nodes have at most one name, so a rename is told by where it leads to: on a
/// journalling file system one that arrives has all earlier renames of that node in it.
#[derive(Clone, Debug)]
enum Change {
    Create {
        folder: usize,
        name: String,
        node: Node,
    },
    Rename {
        from_folder: usize,
        folder: usize,
        name: String,
        node: Node,
    },
    Exchange {
        one: (usize, String, Node),
        other: (usize, String, Node),
    },
    Remove {
        folder: usize,
        node: Node,
    },
}

impl Names {
    pub fn new() -> Names {
        let root: Folders = BTreeMap::from([(ROOT, BTreeMap::new())]);
        Names {
            now: root.clone(),
            durable: root,
            unsynced: Vec::new(),
            changes_end: 0,
            folders_end: ROOT + 1,
        }
    }

    /// What a path leads to.
    pub fn find(&self, path: &str) -> Option<Node> {
        let mut node = Node::Folder(ROOT);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Node::Folder(folder) = node else {
                return None;
            };
            node = *self.now[&folder].get(name)?;
        }
        Some(node)
    }

    /// The folder that a path lies in, and its last name.
    pub fn parent<'a>(&self, path: &'a str) -> Option<(usize, &'a str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        match self.find(parent)? {
            Node::Folder(folder) => Some((folder, name)),
            Node::File(_) => None,
        }
    }

    pub fn list(&self, folder: usize) -> &BTreeMap<String, Node> {
        &self.now[&folder]
    }

    pub fn make_folder(&mut self, folder: usize, name: &str) {
        let node = Node::Folder(self.folders_end);
        self.now.insert(self.folders_end, BTreeMap::new());
        self.folders_end += 1;
        self.create(folder, name, node);
    }

    pub fn create(&mut self, folder: usize, name: &str, node: Node) {
        self.change(Change::Create {
            folder,
            name: name.to_owned(),
            node,
        });
    }

    /// Gives what had the new name.
    pub fn rename(&mut self, from: (usize, &str), to: (usize, &str)) -> Option<Node> {
        let node = self.now[&from.0][from.1];
        let replaced = self.now[&to.0].get(to.1).copied();
        self.change(Change::Rename {
            from_folder: from.0,
            folder: to.0,
            name: to.1.to_owned(),
            node,
        });
        replaced.filter(|replaced| *replaced != node)
    }

    /// Gives two nodes each the other's name.
    pub fn exchange(&mut self, one: (usize, &str), other: (usize, &str)) {
        let at = |place: (usize, &str), node| (place.0, place.1.to_owned(), node);
        let (first, second) = (self.now[&one.0][one.1], self.now[&other.0][other.1]);
        self.change(Change::Exchange {
            one: at(one, second),
            other: at(other, first),
        });
    }

    pub fn remove(&mut self, folder: usize, name: &str) {
        let node = self.now[&folder][name];
        self.change(Change::Remove { folder, node });
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.unsynced.push((self.changes_end, change));
        self.changes_end += 1;
    }

    /// Number of the next change.
    pub fn changes_end(&self) -> u64 {
        self.changes_end
    }

    /// Makes the changes in `folder` before number `end` durable.
    pub fn sync(&mut self, folder: usize, end: u64) {
        let durable = &mut self.durable;
        self.unsynced.retain(|(number, change)| {
            let is_covered = *number < end && change.touches(folder);
            if is_covered {
                apply(durable, change);
            }
            !is_covered
        });
    }

    /// The power is cut: each un-synced change arrived or not.
    pub fn power_cut(&mut self, survive: u64, random: &mut Random, counts: &mut CrashCounts) {
        for (_, change) in std::mem::take(&mut self.unsynced) {
            if random.percent(survive) {
                apply(&mut self.durable, &change);
                continue;
            }
            match change {
                Change::Create { .. } => counts.creations_lost += 1,
                Change::Rename { .. } | Change::Exchange { .. } => counts.renames_lost += 1,
                Change::Remove { .. } => counts.removals_lost += 1,
            }
        }
        self.now.clone_from(&self.durable);
    }

    /// Whether a name leads to `node`, now or after a power cut.
    pub fn may_lead_to(&self, node: Node) -> bool {
        let mut named = self.now.values().chain(self.durable.values());
        named.any(|names| names.values().any(|other| *other == node))
            || self.unsynced.iter().any(|(_, change)| match change {
                Change::Create { node: other, .. }
                | Change::Rename { node: other, .. }
                | Change::Remove { node: other, .. } => *other == node,
                Change::Exchange { one, other } => one.2 == node || other.2 == node,
            })
    }

    /// Every file that has a name now, with its path, in order of the paths.
    pub fn files(&self) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        let mut folders = vec![(String::new(), ROOT)];
        while let Some((path, folder)) = folders.pop() {
            for (name, node) in &self.now[&folder] {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}/{name}")
                };
                match node {
                    Node::File(file) => found.push((path, *file)),
                    Node::Folder(folder) => folders.push((path, *folder)),
                }
            }
        }
        found.sort();
        found
    }
}

impl Change {
    fn touches(&self, synced: usize) -> bool {
        match self {
            Change::Create { folder, .. } | Change::Remove { folder, .. } => *folder == synced,
            Change::Rename {
                from_folder,
                folder,
                ..
            } => *from_folder == synced || *folder == synced,
            Change::Exchange { one, other } => one.0 == synced || other.0 == synced,
        }
    }
}

fn apply(folders: &mut Folders, change: &Change) {
    match change {
        Change::Create { folder, name, node } => link(folders, *folder, name, *node),
        Change::Rename {
            folder, name, node, ..
        } => {
            unlink(folders, *node);
            link(folders, *folder, name, *node);
        }
        Change::Exchange { one, other } => {
            for (_, _, node) in [one, other] {
                unlink(folders, *node);
            }
            for (folder, name, node) in [one, other] {
                link(folders, *folder, name, *node);
            }
        }
        Change::Remove { node, .. } => unlink(folders, *node),
    }
}

fn link(folders: &mut Folders, folder: usize, name: &str, node: Node) {
    folders
        .entry(folder)
        .or_default()
        .insert(name.to_owned(), node);
    if let Node::Folder(made) = node {
        folders.entry(made).or_default();
    }
}

fn unlink(folders: &mut Folders, node: Node) {
    for names in folders.values_mut() {
        names.retain(|_, named| *named != node);
    }
}
