use bytes::BytesMut;

use crate::frame;
use crate::topic::TopicKey;
use crate::wire::Writer;

/// Writes a frame of topics that have partitions, front to back. Counts are announced before what
/// they count, and held to.
#[derive(Debug)]
pub(crate) struct TopicsWriter<'a> {
    out: &'a mut BytesMut,
    flexible: bool,
    by_id: bool,
    /// Where the frame begins.
    start: usize,
    /// Bytes of records that are part of the frame and not of `out`.
    gaps_bytes: usize,
    topics_left: usize,
    partitions_left: usize,
    is_in_topic: bool,
}

impl<'a> TopicsWriter<'a> {
    /// Goes on with the frame that began at `start`, whose header is written.
    pub(crate) fn new(
        out: &'a mut BytesMut,
        start: usize,
        flexible: bool,
        by_id: bool,
    ) -> TopicsWriter<'a> {
        TopicsWriter {
            out,
            flexible,
            by_id,
            start,
            gaps_bytes: 0,
            topics_left: 0,
            partitions_left: 0,
            is_in_topic: false,
        }
    }

    #[inline]
    pub(crate) fn fields(&mut self) -> Writer<'_> {
        Writer::new(self.out, self.flexible)
    }

    pub(crate) fn begin_topics(&mut self, count: usize) {
        self.fields().array_length(count);
        self.topics_left = count;
    }

    pub(crate) fn topic(&mut self, key: TopicKey<&str>, partitions: usize) {
        self.end_topic();
        assert!(self.topics_left > 0, "more topics than announced");
        self.topics_left -= 1;
        let by_id = self.by_id;
        let mut fields = self.fields();
        key.write(&mut fields, by_id);
        fields.array_length(partitions);
        self.partitions_left = partitions;
        self.is_in_topic = true;
    }

    /// The fields of the topic's next partition.
    #[inline]
    pub(crate) fn partition(&mut self) -> Writer<'_> {
        assert!(self.partitions_left > 0, "more partitions than announced");
        self.partitions_left -= 1;
        self.fields()
    }

    /// Announces records that lie elsewhere. Returns where in the buffer they belong.
    pub(crate) fn gap(&mut self, records_bytes: usize) -> usize {
        self.fields().bytes_length(Some(records_bytes));
        self.gaps_bytes += records_bytes;
        self.out.len()
    }

    /// Records that are copied.
    pub(crate) fn records(&mut self, records: Option<&[u8]>) {
        self.fields().bytes_length(records.map(<[u8]>::len));
        self.out.extend_from_slice(records.unwrap_or_default());
    }

    fn end_topic(&mut self) {
        assert_eq!(self.partitions_left, 0, "fewer partitions than announced");
        if self.is_in_topic {
            self.is_in_topic = false;
            self.fields().tags(0);
        }
    }

    /// Ends the array of topics; other fields may follow.
    pub(crate) fn end_topics(&mut self) {
        self.end_topic();
        assert_eq!(self.topics_left, 0, "fewer topics than announced");
    }

    /// Ends the frame: fills in its length, gaps included.
    pub(crate) fn finish(self) {
        let length = self.out.len() - self.start - frame::LENGTH_BYTES + self.gaps_bytes;
        frame::set_length(self.out, self.start, length);
    }
}
