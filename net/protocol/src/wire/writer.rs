use bytes::{BufMut, BytesMut};

use super::STRING_BYTES_MAX;

/// Appends primitive types to a buffer that its owner uses again.
pub(crate) struct Writer<'a> {
    out: &'a mut BytesMut,
    flexible: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut BytesMut, flexible: bool) -> Writer<'a> {
        Writer { out, flexible }
    }

    #[inline]
    pub(crate) fn i8(&mut self, value: i8) {
        self.out.put_i8(value);
    }

    #[inline]
    pub(crate) fn i16(&mut self, value: i16) {
        self.out.put_i16(value);
    }

    #[inline]
    pub(crate) fn i32(&mut self, value: i32) {
        self.out.put_i32(value);
    }

    #[inline]
    pub(crate) fn i64(&mut self, value: i64) {
        self.out.put_i64(value);
    }

    #[inline]
    pub(crate) fn uuid(&mut self, value: &[u8; 16]) {
        self.out.put_slice(value);
    }

    #[inline]
    pub(crate) fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.put_u8(value as u8);
    }

    /// The length of something, or null.
    fn wide_length(&mut self, length: Option<usize>) {
        if self.flexible {
            let coded = length.map_or(0, |length| length + 1);
            self.varint(u32::try_from(coded).expect("a frame is smaller than 2 GiB"));
        } else {
            let coded = length.map_or(Ok(-1), i32::try_from);
            self.i32(coded.expect("a frame is smaller than 2 GiB"));
        }
    }

    /// A string; what the protocol has no room for is cut off.
    pub(crate) fn string(&mut self, text: &str) {
        let mut end = text.len().min(STRING_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text[..end];
        if self.flexible {
            self.varint(text.len() as u32 + 1);
        } else {
            self.i16(text.len() as i16);
        }
        self.out.put_slice(text.as_bytes());
    }

    pub(crate) fn nullable_string(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text),
            None if self.flexible => self.varint(0),
            None => self.i16(-1),
        }
    }

    pub(crate) fn array_length(&mut self, count: usize) {
        self.wide_length(Some(count));
    }

    pub(crate) fn nullable_array_length(&mut self, count: Option<usize>) {
        self.wide_length(count);
    }

    /// The length of a byte field whose bytes follow.
    pub(crate) fn bytes_length(&mut self, length: Option<usize>) {
        self.wide_length(length);
    }

    /// How many tagged fields follow, where the encoding has them.
    #[inline]
    pub(crate) fn tags(&mut self, count: u32) {
        if self.flexible {
            self.varint(count);
        } else {
            debug_assert_eq!(count, 0, "the classic encoding has no tagged fields");
        }
    }

    /// The beginning of a tagged field whose content follows.
    pub(crate) fn tag(&mut self, tag: u32, size_bytes: usize) {
        self.varint(tag);
        self.varint(u32::try_from(size_bytes).expect("a frame is smaller than 2 GiB"));
    }

    /// A tagged field whose content is not sized beforehand: writes it, then moves it up behind
    /// its size. For what is rare and small.
    pub(crate) fn sized_tag(&mut self, tag: u32, content: impl FnOnce(&mut Writer<'_>)) {
        let start = self.out.len();
        content(&mut Writer::new(self.out, self.flexible));
        let content = self.out.split_off(start);
        self.tag(tag, content.len());
        self.out.put_slice(&content);
    }
}
