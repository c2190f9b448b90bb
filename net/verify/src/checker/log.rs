use std::collections::BTreeMap;

/// Offsets of one chunk: 16 bytes each, so that a chunk is a page.
const CHUNK_OFFSETS: i64 = 256;

/// What is known of the values at a partition's offsets: 16 bytes an offset.
#[derive(Debug, Default)]
pub(super) struct Log {
    chunks: BTreeMap<i64, Box<[Slot; CHUNK_OFFSETS as usize]>>,
    /// What else was seen where one value was seen already.
    others: BTreeMap<i64, Vec<Slot>>,
}

/// A value at an offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    pub value: u64,
    /// The line that acknowledged it here, or 0.
    pub sent_line: u32,
    /// The first line of a poll that returned it, or 0.
    pub polled_line: u32,
}

/// Who says that a value is at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    Send,
    Poll,
}

impl Slot {
    /// Whether there is anything.
    pub fn is_known(self) -> bool {
        self.sent_line > 0 || self.polled_line > 0
    }

    /// A line that saw it.
    pub fn line(self) -> u32 {
        match self.sent_line {
            0 => self.polled_line,
            line => line,
        }
    }

    fn see(&mut self, line: u32, by: Witness) {
        let seen = match by {
            Witness::Send => &mut self.sent_line,
            Witness::Poll => &mut self.polled_line,
        };
        if *seen == 0 {
            *seen = line;
        }
    }
}

impl Log {
    /// A value is at an offset. Returns what was known to be there when that is another one, the
    /// first time.
    pub fn observe(&mut self, offset: i64, value: u64, line: u32, by: Witness) -> Option<Slot> {
        let (chunk, index) = place(offset);
        let chunk = self.chunks.entry(chunk);
        let slot = &mut chunk
            .or_insert_with(|| Box::new([Slot::default(); CHUNK_OFFSETS as usize]))[index];
        if !slot.is_known() {
            slot.value = value;
        }
        if slot.value == value {
            slot.see(line, by);
            return None;
        }
        let known = *slot;
        let others = self.others.entry(offset).or_default();
        match others.iter_mut().find(|other| other.value == value) {
            Some(other) => {
                other.see(line, by);
                None
            }
            None => {
                let mut other = Slot {
                    value,
                    ..Slot::default()
                };
                other.see(line, by);
                others.push(other);
                Some(known)
            }
        }
    }

    /// What was first seen at an offset.
    pub fn at(&self, offset: i64) -> Option<Slot> {
        let (chunk, index) = place(offset);
        let slot = self.chunks.get(&chunk)?[index];
        slot.is_known().then_some(slot)
    }

    /// Everything that was seen, by offset; an offset with two values is there twice.
    pub fn all(&self) -> impl Iterator<Item = (i64, Slot)> + '_ {
        let first = self.chunks.iter().flat_map(|(chunk, slots)| {
            let base = chunk * CHUNK_OFFSETS;
            let slots = (base..).zip(slots.iter().copied());
            slots.filter(|(_, slot)| slot.is_known())
        });
        let others = self.others.iter();
        first.chain(others.flat_map(|(offset, slots)| slots.iter().map(|slot| (*offset, *slot))))
    }

    /// The first thing seen in a range of offsets.
    pub fn first_in(&self, from: i64, to: i64) -> Option<(i64, Slot)> {
        let chunks = self.chunks.range(place(from).0..=place(to - 1).0);
        for (chunk, slots) in chunks {
            for (offset, slot) in (chunk * CHUNK_OFFSETS..).zip(slots.iter()) {
                if from <= offset && offset < to && slot.is_known() {
                    return Some((offset, *slot));
                }
            }
        }
        None
    }
}

fn place(offset: i64) -> (i64, usize) {
    let index = offset.rem_euclid(CHUNK_OFFSETS) as usize;
    (offset.div_euclid(CHUNK_OFFSETS), index)
}
