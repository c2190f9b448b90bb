//! Names and small files of the data folder.

mod manifest;
mod meta_properties;
mod names;
mod partition_metadata;
mod uuid;

pub use manifest::{MANIFEST_FORMAT_VERSION, Manifest, ManifestError};
pub use meta_properties::{MetaProperties, MetaPropertiesError};
pub use names::*;
pub use partition_metadata::{
    PartitionMetadataError, decode_partition_metadata, encode_partition_metadata,
};
pub use uuid::{display_uuid, parse_uuid};
