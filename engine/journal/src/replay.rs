use sillon_buffer::Slice;
use sillon_buffer::planted::{self, Bug};

use crate::decode::{entries_of, headers_are_whole};
use crate::format::RoundHeader;
use crate::ring::BLOCK;
use crate::window::{RingReader, Window};
use crate::{ChainPoint, EntryMeta, Incarnation, JournalId, RingLayout, RingPosition};

/// Walks the chain of rounds after a restart. [`Self::next`] until it gives none, then
/// [`Self::finish`].
#[derive(Debug)]
pub struct Replay {
    layout: RingLayout,
    id: JournalId,
    incarnation: Incarnation,
    /// Where the first round of the walk is expected, counted from file 0 in the first lap.
    from: u64,
    /// Where the last round of the walk ends, counted in the same way.
    at: u64,
    next_sequence: u64,
    previous_checksum: u32,
    durable_through: u64,
    window: Window,
}

/// A round that was read back whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayedRound {
    /// Its number.
    pub sequence: u64,
    /// Where it lies.
    pub position: RingPosition,
    /// How much of the ring it takes, in bytes.
    pub len_bytes: u64,
    /// Every round up to this one was flushed when it was sealed.
    pub durable_through: u64,
    /// What it says, in order. The payloads share the memory of the round.
    pub entries: Vec<(EntryMeta, Slice)>,
}

/// A round behind the end of a chain: nothing says what came before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Straggler {
    /// Its number.
    pub sequence: u64,
    /// Where it lies.
    pub position: RingPosition,
    /// What it says; `None` when its headers are whole and its payloads are not.
    pub round: Option<ReplayedRound>,
}

/// Records that were promised cannot be read: the journal is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "journal round {sequence}, expected in ring file {} at byte {} or at the start of the file \
     behind it, is missing or damaged, and rounds up to {durable_through} had been promised. \
     Nothing was changed. Mend the disk or restore the file, then start again; `sillon journal \
     repair DIR` shows what it would cost to go on without it",
    position.file,
    position.offset
)]
pub struct Gap {
    /// Where the missing round is expected.
    pub position: RingPosition,
    /// The round that is missing.
    pub sequence: u64,
    /// D, the largest `durable_through` found: rounds up to this one had been flushed.
    pub durable_through: u64,
}

impl Replay {
    /// A walk from a checkpoint's `from` on, over the rounds of the incarnation that is in that
    /// same checkpoint.
    ///
    /// # Panics
    /// When the layout is not valid or does not contain `from`.
    pub fn new(
        layout: RingLayout,
        id: JournalId,
        incarnation: Incarnation,
        from: ChainPoint,
    ) -> Replay {
        let start = layout.ring_byte(from.position);
        Replay {
            layout,
            id,
            incarnation,
            from: start,
            at: start,
            next_sequence: from.next_sequence,
            previous_checksum: from.previous_checksum,
            durable_through: from.durable_through,
            window: Window::new(layout),
        }
    }

    /// The next round of the chain, or none when it is not there or not whole.
    ///
    /// # Errors
    /// What the reader says. The same call may be tried again.
    pub async fn next<R: RingReader>(
        &mut self,
        reader: &mut R,
    ) -> Result<Option<ReplayedRound>, R::Error> {
        let mut start = self.at;
        loop {
            if let Some(header) = self.header_at(reader, start).await?
                && self.is_next(&header)
                && let Some(round) = self.take(reader, start, header).await?
            {
                return Ok(Some(round));
            }
            let next_file = self.layout.next_file(self.at);
            if start == next_file {
                break;
            }
            start = next_file;
        }
        if planted::is(Bug::GapIgnored) {
            while let Some(straggler) = self.next_behind_gap(reader).await? {
                if straggler.round.is_some() {
                    return Ok(straggler.round);
                }
            }
        }
        Ok(None)
    }

    /// After [`Self::next`] gave none: looks behind the end of the chain for what the journal had
    /// promised. Gives the point where the chain goes on, under a new incarnation; what lies
    /// behind it was never promised.
    ///
    /// A round that promises the missing one begins near it, because a journal is flushed after
    /// [`RingLayout::unflushed_bytes_max`]; so block by block only that far. Wider damage, a lost
    /// file for instance, shows at the starts of the files behind, where a round always begins.
    ///
    /// # Errors
    /// What the reader says; within that, the [`Gap`], when the chain ends before a promise does.
    pub async fn finish<R: RingReader>(
        &mut self,
        reader: &mut R,
    ) -> Result<Result<ChainPoint, Gap>, R::Error> {
        let ring_end = self.from + self.layout.capacity_bytes();
        let near_end = ring_end.min(self.at + self.layout.promise_bytes_max());
        let mut start = self.at;
        let mut end = near_end;
        while start < ring_end {
            match self.find(reader, start, end).await? {
                Some((found, header)) => {
                    self.durable_through = self.durable_through.max(header.durable_through.get());
                    start = found + BLOCK;
                }
                None => start = end,
            }
            if start >= near_end {
                start = self.layout.next_file(start);
                end = ring_end.min(start + BLOCK);
            }
        }
        if self.durable_through >= self.next_sequence && !planted::is(Bug::GapIgnored) {
            return Ok(Err(Gap {
                position: self.layout.position(self.at),
                sequence: self.next_sequence,
                durable_through: self.durable_through,
            }));
        }
        Ok(Ok(self.chain_point()))
    }

    /// The next round behind the end of the chain, wherever in the ring it lies: what is given up
    /// when an operator accepts the loss. The walk goes on behind it.
    ///
    /// # Errors
    /// What the reader says.
    pub async fn next_behind_gap<R: RingReader>(
        &mut self,
        reader: &mut R,
    ) -> Result<Option<Straggler>, R::Error> {
        let end = self.from + self.layout.capacity_bytes();
        let Some((found, header)) = self.find(reader, self.at, end).await? else {
            return Ok(None);
        };
        let sequence = header.sequence.get();
        let round = self.take(reader, found, header).await?;
        if round.is_none() {
            self.at = found + BLOCK;
            self.next_sequence = sequence.saturating_add(1);
        }
        Ok(Some(Straggler {
            sequence,
            position: self.layout.position(found),
            round,
        }))
    }

    /// Where the chain goes on behind the last round that was read. After a [`Gap`] this is what a
    /// repaired journal goes on from: it promises nothing beyond.
    pub fn chain_point(&self) -> ChainPoint {
        ChainPoint {
            next_sequence: self.next_sequence,
            position: self.layout.position(self.at),
            previous_checksum: self.previous_checksum,
            durable_through: self
                .durable_through
                .min(self.next_sequence.saturating_sub(1)),
        }
    }

    /// The first round that begins at or behind `start` and before `end`, looked for block by
    /// block, and was sealed after the chain's last: its headers are whole, its payloads need not
    /// be.
    async fn find<R: RingReader>(
        &mut self,
        reader: &mut R,
        mut start: u64,
        end: u64,
    ) -> Result<Option<(u64, RoundHeader)>, R::Error> {
        while start < end {
            let position = self.layout.position(start);
            if self.window.at(reader, position).await?.is_empty() {
                start = self.layout.next_file(start + BLOCK);
                continue;
            }
            if let Some(header) = self.header_at(reader, start).await?
                && header.sequence.get() >= self.next_sequence
                && self.headers_are_whole_at(reader, position, &header).await?
            {
                return Ok(Some((start, header)));
            }
            start += BLOCK;
        }
        Ok(None)
    }

    /// The header of a round of this journal and incarnation that says it lies right there.
    /// Nothing but its lengths has been checked otherwise.
    async fn header_at<R: RingReader>(
        &mut self,
        reader: &mut R,
        start: u64,
    ) -> Result<Option<RoundHeader>, R::Error> {
        let position = self.layout.position(start);
        let until_file_end = self.layout.file_bytes - position.offset;
        // A round over what has been walked already would be a lap ahead of the checkpoint.
        let end = self.from + self.layout.capacity_bytes();
        let until_walked = end.saturating_sub(start);
        let available = until_file_end.min(until_walked);
        let block = self.window.at(reader, position).await?;
        let header = RoundHeader::peek(block, available).copied();
        Ok(header.filter(|header| {
            planted::is(Bug::PayloadTakenForRound)
                || (header.journal_id.get() == self.id.0
                    && header.incarnation.get() == self.incarnation.0
                    && header.file.get() == position.file
                    && header.offset.get() == position.offset)
        }))
    }

    /// Whether the round chains to the last one.
    fn is_next(&self, header: &RoundHeader) -> bool {
        planted::is(Bug::ChainUnchecked)
            || (header.sequence.get() == self.next_sequence
                && header.previous_checksum.get() == self.previous_checksum)
    }

    /// Whether the headers at `position` are whole, be the padding what it may.
    async fn headers_are_whole_at<R: RingReader>(
        &mut self,
        reader: &mut R,
        position: RingPosition,
        header: &RoundHeader,
    ) -> Result<bool, R::Error> {
        let len = header.headers_bytes() as usize;
        let headers = self.window.copy(reader, position, len).await?;
        Ok(headers.is_some_and(|headers| {
            planted::is(Bug::PayloadTakenForRound)
                || headers_are_whole(header, &headers, header.padding())
        }))
    }

    /// Reads the round at `start` and, when it is whole, goes on behind it.
    async fn take<R: RingReader>(
        &mut self,
        reader: &mut R,
        start: u64,
        header: RoundHeader,
    ) -> Result<Option<ReplayedRound>, R::Error> {
        let position = self.layout.position(start);
        let len_bytes = header.round_bytes();
        let Some(round) = self
            .window
            .copy(reader, position, len_bytes as usize)
            .await?
        else {
            return Ok(None);
        };
        let headers = &round[..header.headers_bytes() as usize];
        let padding = &round[header.length_bytes.get() as usize..];
        let is_whole =
            planted::is(Bug::PayloadTakenForRound) || headers_are_whole(&header, headers, padding);
        let Some(entries) = entries_of(&header, &round).filter(|_| is_whole) else {
            return Ok(None);
        };
        self.at = start + len_bytes;
        self.next_sequence = header.sequence.get().saturating_add(1);
        self.previous_checksum = header.checksum.get();
        self.durable_through = self.durable_through.max(header.durable_through.get());
        Ok(Some(ReplayedRound {
            sequence: header.sequence.get(),
            position,
            len_bytes,
            durable_through: header.durable_through.get(),
            entries,
        }))
    }
}
