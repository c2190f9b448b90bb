//! Everything that reads bytes from a client or from a disk.

mod batches;
mod configuration;
mod files;
mod frames;
mod groups;
mod journal;
mod metadata;
mod requests;

use crate::target::Target;

pub fn all() -> Vec<Box<dyn Target>> {
    let mut targets: Vec<Box<dyn Target>> = vec![
        Box::new(frames::Frames),
        Box::new(requests::Requests::default()),
        Box::new(requests::OwnRequests::default()),
        Box::new(batches::Batch::default()),
        Box::new(batches::Region::default()),
        Box::new(batches::Built::default()),
        Box::new(journal::Ring::default()),
        Box::new(groups::OffsetsTopic),
        Box::new(metadata::Appends),
        Box::new(metadata::Log),
        Box::new(configuration::File),
    ];
    targets.extend(files::all());
    targets
}
