//! A disk that costs nothing: it completes everything at once and forgets what goes to journals
//! and segments, so that what is measured is the shard alone.

use std::cell::RefCell;
use std::collections::BTreeMap;

use sillon_disk::Disk;
use sillon_shard::{Access, DiskError, DiskOp, DiskOutput, DiskResult, FileId, FilePath, OpId};

/// The content of small files and the lengths of large ones. Folders always exist and are empty:
/// nothing is ever opened a second time.
#[derive(Default)]
pub struct MemoryDisk {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<FilePath, Content>,
    open: BTreeMap<FileId, FilePath>,
    completed: Vec<(OpId, DiskResult)>,
}

/// What is known of a file.
enum Content {
    /// All of it.
    Kept(Vec<u8>),
    /// Its length; it reads as zeros.
    Forgotten(u64),
}

impl Content {
    fn len(&self) -> u64 {
        match self {
            Content::Kept(bytes) => bytes.len() as u64,
            Content::Forgotten(len) => *len,
        }
    }

    fn resize(&mut self, size: u64) {
        match self {
            Content::Kept(bytes) => bytes.resize(size as usize, 0),
            Content::Forgotten(len) => *len = size,
        }
    }
}

fn is_bulk(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with("ring-") || (path.contains('/') && name.ends_with(".log"))
}

impl State {
    fn content(&mut self, file: FileId) -> &mut Content {
        let path = &self.open[&file];
        self.files.get_mut(path).expect("an open file exists")
    }

    fn perform(&mut self, io: DiskOp) -> DiskResult {
        match io {
            DiskOp::Open {
                file,
                path,
                create,
                access,
            } => {
                if !self.files.contains_key(&path) {
                    if !create {
                        return Err(DiskError::NotFound(path));
                    }
                    let content = match access {
                        Access::Direct if is_bulk(&path) => Content::Forgotten(0),
                        _ => Content::Kept(Vec::new()),
                    };
                    self.files.insert(path.clone(), content);
                }
                let len = self.files[&path].len();
                self.open.insert(file, path);
                return Ok(DiskOutput::Opened { len });
            }
            DiskOp::Allocate {
                file,
                position,
                len,
            } => {
                let content = self.content(file);
                content.resize(content.len().max(position + len));
            }
            DiskOp::Write {
                file,
                position,
                pieces,
                ..
            } => {
                let content = self.content(file);
                let len: usize = pieces.iter().map(|piece| piece.len()).sum();
                content.resize(content.len().max(position + len as u64));
                if let Content::Kept(bytes) = content {
                    let mut at = position as usize;
                    for piece in pieces {
                        bytes[at..at + piece.len()].copy_from_slice(&piece);
                        at += piece.len();
                    }
                }
            }
            DiskOp::Read {
                file,
                position,
                len,
                ..
            } => {
                let content = self.content(file);
                let end = content.len().min(position + len);
                let range = position.min(end) as usize..end as usize;
                return Ok(DiskOutput::Bytes(match content {
                    Content::Kept(bytes) => bytes[range].to_vec(),
                    Content::Forgotten(_) => vec![0; range.len()],
                }));
            }
            DiskOp::Truncate { file, len } => self.content(file).resize(len),
            DiskOp::Close { file } => {
                self.open.remove(&file);
            }
            DiskOp::Rename { from, to } => {
                if let Some(content) = self.files.remove(&from) {
                    self.files.insert(to, content);
                } else {
                    self.rename_folder(&from, &to);
                }
            }
            DiskOp::Exchange { from, to } => {
                if let Some(one) = self.files.remove(&from)
                    && let Some(other) = self.files.insert(to, one)
                {
                    self.files.insert(from, other);
                }
            }
            DiskOp::Remove { path } => {
                self.files.remove(&path);
            }
            DiskOp::List { .. } => return Ok(DiskOutput::Entries(Vec::new())),
            DiskOp::MakeFolder { .. }
            | DiskOp::RemoveFolder { .. }
            | DiskOp::Sync { .. }
            | DiskOp::SyncFolder { .. } => {}
        }
        Ok(DiskOutput::Done)
    }

    fn rename_folder(&mut self, from: &str, to: &str) {
        let inside = |path: &FilePath| {
            let rest = path.strip_prefix(from)?;
            rest.starts_with('/').then(|| format!("{to}{rest}"))
        };
        let files = std::mem::take(&mut self.files).into_iter();
        self.files = files
            .map(|(path, content)| (inside(&path).map_or(path, Into::into), content))
            .collect();
    }
}

impl Disk for MemoryDisk {
    fn submit(&self, op: OpId, io: DiskOp) {
        let mut state = self.state.borrow_mut();
        let result = state.perform(io);
        state.completed.push((op, result));
    }

    async fn completions(&self, completions: &mut Vec<(OpId, DiskResult)>) {
        completions.append(&mut self.state.borrow_mut().completed);
    }
}
