use std::fmt::Write as _;
use std::num::NonZero;
use std::str::FromStr;

/// Format version that this code writes and reads.
pub const MANIFEST_FORMAT_VERSION: u32 = 1;

/// First line of the file.
const TITLE: &str = "sillon manifest";

/// The journals of a node: `sillon.manifest` in the data folder. Published by an atomic rename;
/// journal files that it does not list are removed at the start.
///
/// ```text
/// sillon manifest
/// format_version=1
/// shard_count=2
/// ring_files=4
/// ring_file_bytes=67108864
/// journal=000102030405060708090a0b0c0d0e0f
/// journal=101112131415161718191a1b1c1d1e1f
/// crc32=89abcdef
/// ```
/// The crc is that of crc32fast, over everything before its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// How many shards the journals were written with: at least one.
    pub shard_count: u16,
    /// The journals' ids, by shard: as many as there are shards.
    pub journals: Vec<u128>,
    /// Files of each journal's ring.
    pub ring_files: u32,
    /// Length of each of them, in bytes.
    pub ring_file_bytes: u64,
}

impl Manifest {
    /// The text of the file.
    pub fn encode(&self) -> String {
        let mut text = format!(
            "{TITLE}\nformat_version={MANIFEST_FORMAT_VERSION}\nshard_count={}\n\
             ring_files={}\nring_file_bytes={}\n",
            self.shard_count, self.ring_files, self.ring_file_bytes
        );
        for journal in &self.journals {
            writeln!(text, "journal={journal:032x}").expect("writing to a string cannot fail");
        }
        let checksum = crc32fast::hash(text.as_bytes());
        writeln!(text, "crc32={checksum:08x}").expect("writing to a string cannot fail");
        text
    }

    /// Reads what [`Self::encode`] writes.
    ///
    /// # Errors
    /// The file is damaged, or of another format version.
    pub fn decode(text: &str) -> Result<Manifest, ManifestError> {
        let mut lines = Lines { text, number: 0 };
        if lines.next_line() != TITLE {
            return Err(ManifestError::Title);
        }
        // Before the checksum, which another version may keep elsewhere.
        let version = lines.value("format_version")?;
        if version.parse() != Ok(MANIFEST_FORMAT_VERSION) {
            return Err(ManifestError::Version {
                version: version.to_owned(),
            });
        }
        check_checksum(text)?;
        let shard_count = lines.number::<NonZero<u16>>("shard_count")?.get();
        let ring_files = lines.number::<NonZero<u32>>("ring_files")?.get();
        let ring_file_bytes = lines.number::<NonZero<u64>>("ring_file_bytes")?.get();
        let mut journals = Vec::new();
        for _ in 0..shard_count {
            journals.push(lines.hex("journal")?);
        }
        lines.value("crc32")?;
        match lines.text {
            "" => Ok(Manifest {
                shard_count,
                journals,
                ring_files,
                ring_file_bytes,
            }),
            _ => Err(lines.fault("nothing")),
        }
    }
}

fn check_checksum(text: &str) -> Result<(), ManifestError> {
    let last = text.strip_suffix('\n').ok_or(ManifestError::Checksum)?;
    let start = last.rfind('\n').map_or(0, |end| end + 1);
    let checksum = crc32fast::hash(&text.as_bytes()[..start]);
    if last[start..] == format!("crc32={checksum:08x}") {
        Ok(())
    } else {
        Err(ManifestError::Checksum)
    }
}

/// What is left of the file, and how many lines have been taken.
struct Lines<'a> {
    text: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    fn next_line(&mut self) -> &'a str {
        let (line, rest) = self.text.split_once('\n').unwrap_or((self.text, ""));
        self.text = rest;
        self.number += 1;
        line
    }

    fn value(&mut self, key: &'static str) -> Result<&'a str, ManifestError> {
        self.next_line()
            .split_once('=')
            .filter(|(name, _)| *name == key)
            .map(|(_, value)| value)
            .ok_or(self.fault(key))
    }

    fn number<T: FromStr>(&mut self, key: &'static str) -> Result<T, ManifestError> {
        let value = self.value(key)?;
        value.parse().map_err(|_| self.fault(key))
    }

    fn hex(&mut self, key: &'static str) -> Result<u128, ManifestError> {
        let value = self.value(key)?;
        u128::from_str_radix(value, 16).map_err(|_| self.fault(key))
    }

    fn fault(&self, wanted: &'static str) -> ManifestError {
        ManifestError::Line {
            line: self.number,
            wanted,
        }
    }
}

/// A `sillon.manifest` that cannot be read. Nothing is changed in a folder with such a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Something else.
    #[error("this is no manifest: its first line is not `sillon manifest`")]
    Title,
    /// Written by another version of the program.
    #[error(
        "the manifest has format version {version:?}, this program reads version {}: start the \
         version of sillon that wrote it",
        MANIFEST_FORMAT_VERSION
    )]
    Version {
        /// What stands there.
        version: String,
    },
    /// Damaged.
    #[error("the manifest is damaged (its checksum does not match): restore it from a copy")]
    Checksum,
    /// A line that is not what should stand there.
    #[error("line {line} of the manifest: {wanted} should stand there")]
    Line {
        /// Which line, counted from 1.
        line: usize,
        /// What should stand there.
        wanted: &'static str,
    },
}
