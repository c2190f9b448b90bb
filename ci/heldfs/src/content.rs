use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const BLOCK_BYTES: u64 = 4096;

type Block = Box<[u8; BLOCK_BYTES as usize]>;

/// A file's bytes: the durable ones lie in a file of the backing folder, what was written since
/// the last sync in memory.
pub struct Content {
    durable: PathBuf,
    len: u64,
    /// How many of the durable bytes still count, from the front: a truncation hides the rest.
    shown: u64,
    /// Whole blocks, by their number.
    written: BTreeMap<u64, Block>,
}

impl Content {
    /// The durable bytes of `path`; none when it was never synced.
    pub fn load(path: PathBuf) -> io::Result<Content> {
        let len = match path.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Content {
            durable: path,
            len,
            shown: len,
            written: BTreeMap::new(),
        })
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn read(&self, position: u64, size: u64) -> io::Result<Vec<u8>> {
        let end = position.saturating_add(size).min(self.len);
        if end <= position {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; (end - position) as usize];
        let durable_end = end.min(self.shown);
        if position < durable_end {
            let durable = &mut bytes[..(durable_end - position) as usize];
            File::open(&self.durable)?.read_exact_at(durable, position)?;
        }
        for (&number, block) in self
            .written
            .range(position / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES))
        {
            let begin = number * BLOCK_BYTES;
            let (from, to) = (begin.max(position), (begin + BLOCK_BYTES).min(end));
            bytes[(from - position) as usize..(to - position) as usize]
                .copy_from_slice(&block[(from - begin) as usize..(to - begin) as usize]);
        }
        Ok(bytes)
    }

    pub fn write(&mut self, position: u64, data: &[u8]) -> io::Result<()> {
        let mut at = 0;
        while at < data.len() {
            let number = (position + at as u64) / BLOCK_BYTES;
            let skip = ((position + at as u64) % BLOCK_BYTES) as usize;
            let size = (BLOCK_BYTES as usize - skip).min(data.len() - at);
            self.block(number)?[skip..skip + size].copy_from_slice(&data[at..at + size]);
            at += size;
        }
        self.len = self.len.max(position + data.len() as u64);
        Ok(())
    }

    /// The block, in memory from now on.
    fn block(&mut self, number: u64) -> io::Result<&mut Block> {
        if !self.written.contains_key(&number) {
            let mut block = Box::new([0; BLOCK_BYTES as usize]);
            let old = self.read(number * BLOCK_BYTES, BLOCK_BYTES)?;
            block[..old.len()].copy_from_slice(&old);
            self.written.insert(number, block);
        }
        Ok(self
            .written
            .get_mut(&number)
            .expect("it was put there above"))
    }

    /// Cuts off, or extends by zeros.
    pub fn set_len(&mut self, len: u64) -> io::Result<()> {
        if len < self.len {
            let kept = (len % BLOCK_BYTES) as usize;
            if kept > 0 {
                self.block(len / BLOCK_BYTES)?[kept..].fill(0);
            }
            self.written.split_off(&len.div_ceil(BLOCK_BYTES));
            self.shown = self.shown.min(len);
        }
        self.len = len;
        Ok(())
    }

    /// A power cut that finds a part of what was written on the disk already: each block, and
    /// the length, is old or new as `choose` says.
    pub fn cut(&mut self, choose: &mut impl FnMut() -> bool) -> io::Result<()> {
        self.written.retain(|_, _| choose());
        if !choose() {
            let old = Content::load(self.durable.clone())?;
            (self.len, self.shown) = (old.len, old.shown);
            self.written.split_off(&self.len.div_ceil(BLOCK_BYTES));
        }
        self.sync()
    }

    /// Makes everything that was written durable.
    pub fn sync(&mut self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.durable)?;
        if file.metadata()?.len() > self.shown {
            file.set_len(self.shown)?;
        }
        for (number, block) in &self.written {
            file.write_all_at(&block[..], number * BLOCK_BYTES)?;
        }
        file.set_len(self.len)?;
        self.shown = self.len;
        self.written.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (tempfile::TempDir, Content) {
        let folder = tempfile::tempdir().unwrap();
        let content = Content::load(folder.path().join("2.data")).unwrap();
        (folder, content)
    }

    fn after_power_loss(content: &Content) -> Vec<u8> {
        let content = Content::load(content.durable.clone()).unwrap();
        content.read(0, u64::MAX).unwrap()
    }

    #[test]
    fn what_was_written_is_read_at_once_and_lost_without_a_sync() {
        let (_folder, mut content) = fresh();
        content.write(4090, b"across two blocks").unwrap();
        assert_eq!(content.read(4090, 100).unwrap(), b"across two blocks");
        assert_eq!(content.read(0, 4090).unwrap(), [0; 4090]);
        assert_eq!(after_power_loss(&content), b"");
    }

    #[test]
    fn a_sync_keeps_what_was_written_before_it_alone() {
        let (_folder, mut content) = fresh();
        content.write(0, b"first").unwrap();
        content.sync().unwrap();
        content.write(2, b"XX and more").unwrap();
        assert_eq!(content.read(0, 100).unwrap(), b"fiXX and more");
        assert_eq!(after_power_loss(&content), b"first");
    }

    #[test]
    fn a_cut_leaves_each_block_and_the_length_old_or_new() {
        for length_is_new in [true, false] {
            let (_folder, mut content) = fresh();
            content.write(0, &[1; 8192]).unwrap();
            content.sync().unwrap();
            content.write(0, &[2; 12288]).unwrap();
            let mut choices = [false, true, true, length_is_new].into_iter();
            content.cut(&mut || choices.next().unwrap()).unwrap();
            let mut expected = [[1; 4096], [2; 4096]].concat();
            if length_is_new {
                expected.extend([2; 4096]);
            }
            assert_eq!(after_power_loss(&content), expected);
        }
    }

    #[test]
    fn a_truncation_is_lost_without_a_sync_and_hides_old_bytes_until_then() {
        let (_folder, mut content) = fresh();
        content.write(0, &[7; 10_000]).unwrap();
        content.sync().unwrap();
        content.set_len(5000).unwrap();
        content.set_len(9000).unwrap();
        let mut expected = vec![7; 5000];
        expected.resize(9000, 0);
        assert_eq!(content.read(0, 20_000).unwrap(), expected);
        assert_eq!(after_power_loss(&content), [7; 10_000]);
        content.sync().unwrap();
        assert_eq!(content.read(0, 20_000).unwrap(), expected);
        assert_eq!(after_power_loss(&content), expected);
    }
}
