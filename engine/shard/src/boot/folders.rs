//! What is in the data folder, and whose it is.

use std::collections::BTreeSet;

use sillon_controller::Image;
use sillon_journal::JournalId;
use sillon_log::{
    PARTITION_METADATA_FILE, decode_partition_metadata, deleted_partition_folder,
    is_deleted_partition_folder, parse_partition_folder,
};
use sillon_record::TopicId;

use super::{Failure, Start};
use crate::layout::{is_creating_folder, parse_journal_folder};
use crate::lifecycle::empty_folder;
use crate::procedure::{Io, done, join_all};
use crate::small_file::read_file;
use crate::{DiskError, DiskOp, DiskOutput, LogLevel};

/// Folders that are looked into at the same time.
const FOLDERS_AT_ONCE: usize = 32;

/// What is in the data folder.
pub(super) struct Folders {
    /// Partition folders that belong to the partition of their name.
    pub(super) partitions: BTreeSet<String>,
    /// Folders to be emptied in the background.
    pub(super) leftovers: Vec<String>,
    pub(super) journals: Vec<JournalId>,
}

impl Start {
    /// Looks through the data folder: what belongs to whom, and what nobody needs.
    pub(super) async fn folders(&mut self, image: &Image) -> Result<Folders, Failure> {
        let list = self.io.call(DiskOp::List { path: "".into() });
        let DiskOutput::Entries(entries) = list.await? else {
            unreachable!("a list answers entries");
        };
        let mut folders = Folders {
            partitions: BTreeSet::new(),
            leftovers: Vec::new(),
            journals: Vec::new(),
        };
        let mut unknown: Vec<String> = Vec::new();
        for entry in entries.into_iter().filter(|entry| entry.is_folder) {
            if let Some(journal) = parse_journal_folder(&entry.name) {
                folders.journals.push(journal);
            } else if is_creating_folder(&entry.name) {
                // Now, because its creation begins again under the same name.
                empty_folder(&self.io, &entry.name).await?;
            } else if is_deleted_partition_folder(&entry.name) {
                folders.leftovers.push(entry.name);
            } else if parse_partition_folder(&entry.name).is_some() {
                unknown.push(entry.name);
            }
        }
        for group in unknown.chunks(FOLDERS_AT_ONCE) {
            let topics = group.iter().map(|name| topic_of(&self.io, name)).collect();
            for (name, topic) in group.iter().zip(join_all(topics).await) {
                self.sort(image, name, topic?, &mut folders).await?;
            }
        }
        Ok(folders)
    }

    async fn sort(
        &mut self,
        image: &Image,
        name: &str,
        topic: Option<TopicId>,
        folders: &mut Folders,
    ) -> Result<(), Failure> {
        let (topic_name, partition) = parse_partition_folder(name).expect("listed by its name");
        let owner = image.topic_named(topic_name);
        let is_ours = owner
            .is_some_and(|owner| Some(owner.id) == topic && owner.partition(partition).is_some());
        if is_ours {
            folders.partitions.insert(name.to_string());
            return Ok(());
        }
        let is_deleted = topic.is_some_and(|topic| image.removed_topic(topic).is_some());
        let new_name = if is_deleted {
            deleted_partition_folder(topic_name, partition, (self.entropy)())
        } else {
            let new_name = format!("{name}.stranger-{:08x}", (self.entropy)() as u32);
            self.log(
                LogLevel::Warn,
                format!(
                    "folder {name} belongs to no partition of this cluster; it is set aside as \
                     {new_name} and never deleted"
                ),
            );
            new_name
        };
        let rename = self.io.call(DiskOp::Rename {
            from: name.into(),
            to: new_name.as_str().into(),
        });
        done(rename.await)?;
        done(self.io.call(DiskOp::SyncFolder { path: "".into() }).await)?;
        if is_deleted {
            folders.leftovers.push(new_name);
        }
        Ok(())
    }
}

/// The topic that a partition's folder says it belongs to.
pub(crate) async fn topic_of(io: &Io, folder: &str) -> Result<Option<TopicId>, DiskError> {
    let content = read_file(io, &format!("{folder}/{PARTITION_METADATA_FILE}")).await?;
    let text = content.map(|content| String::from_utf8_lossy(&content).into_owned());
    Ok(text.and_then(|text| decode_partition_metadata(&text).ok()))
}
