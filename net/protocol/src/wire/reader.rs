use std::ops::Range;

use super::{STRING_BYTES_MAX, WireError};

/// Reads primitive types from a frame. Allocates nothing and never reads beyond the end.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    flexible: bool,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from position `at` on.
    pub(crate) fn new(bytes: &'a [u8], at: usize, flexible: bool) -> Reader<'a> {
        let at = at.min(bytes.len());
        Reader {
            bytes,
            at,
            flexible,
        }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    #[inline]
    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        match self.bytes[self.at..].get(..count) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => Err(WireError::Truncated {
                at: self.at,
                needed: count,
                left: self.left(),
            }),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("take gives as many as asked for"))
    }

    #[inline]
    pub(crate) fn i8(&mut self) -> Result<i8, WireError> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn i16(&mut self) -> Result<i16, WireError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn i32(&mut self) -> Result<i32, WireError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn i64(&mut self) -> Result<i64, WireError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn uuid(&mut self) -> Result<[u8; 16], WireError> {
        self.array()
    }

    /// An unsigned varint of at most 32 bits.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u32, WireError> {
        let start = self.at;
        let first = self.array::<1>()?[0];
        if first < 0x80 {
            return Ok(u32::from(first));
        }
        let mut value = u32::from(first & 0x7f);
        for shift in [7, 14, 21, 28] {
            let byte = self.array::<1>()?[0];
            if shift == 28 && byte > 0x0f {
                return Err(WireError::Varint { at: start });
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Varint { at: start })
    }

    /// A flexible length: null is 0, and everything else is one more than it is.
    fn varint_length(&mut self) -> Result<i64, WireError> {
        Ok(i64::from(self.varint()?) - 1)
    }

    fn string_length(&mut self) -> Result<i64, WireError> {
        if self.flexible {
            self.varint_length()
        } else {
            Ok(i64::from(self.i16()?))
        }
    }

    fn wide_length(&mut self) -> Result<i64, WireError> {
        if self.flexible {
            self.varint_length()
        } else {
            Ok(i64::from(self.i32()?))
        }
    }

    fn text(&mut self, at: usize, length: i64) -> Result<&'a str, WireError> {
        let what = "a string";
        let length = match usize::try_from(length) {
            Ok(length) if length <= STRING_BYTES_MAX => length,
            _ => return Err(WireError::Length { at, length, what }),
        };
        let start = self.at;
        std::str::from_utf8(self.take(length)?).map_err(|_| WireError::Utf8 { at: start })
    }

    pub(crate) fn string(&mut self) -> Result<&'a str, WireError> {
        let at = self.at;
        let length = self.string_length()?;
        self.text(at, length)
    }

    pub(crate) fn nullable_string(&mut self) -> Result<Option<&'a str>, WireError> {
        let at = self.at;
        let length = self.string_length()?;
        if length == -1 {
            return Ok(None);
        }
        self.text(at, length).map(Some)
    }

    /// The count of an array. Every element takes at least a byte, so a count beyond what is left
    /// is refused here.
    pub(crate) fn array_length(&mut self, what: &'static str) -> Result<usize, WireError> {
        let at = self.at;
        match self.nullable_array_length(what)? {
            Some(count) => Ok(count),
            None => Err(WireError::Length {
                at,
                length: -1,
                what,
            }),
        }
    }

    /// As [`Self::array_length`], for an array that may be null.
    pub(crate) fn nullable_array_length(
        &mut self,
        what: &'static str,
    ) -> Result<Option<usize>, WireError> {
        let at = self.at;
        let length = self.wide_length()?;
        if length == -1 {
            return Ok(None);
        }
        match usize::try_from(length) {
            Ok(count) if count <= self.left() => Ok(Some(count)),
            _ => Err(WireError::Length { at, length, what }),
        }
    }

    /// Where the bytes of a nullable byte field are.
    pub(crate) fn nullable_bytes(
        &mut self,
        what: &'static str,
    ) -> Result<Option<Range<usize>>, WireError> {
        let at = self.at;
        let length = self.wide_length()?;
        if length == -1 {
            return Ok(None);
        }
        let Ok(length) = usize::try_from(length) else {
            return Err(WireError::Length { at, length, what });
        };
        let start = self.at;
        self.take(length)?;
        Ok(Some(start..self.at))
    }

    /// Skips the tagged fields that end a structure, where the encoding has them.
    #[inline]
    pub(crate) fn skip_tags(&mut self) -> Result<(), WireError> {
        self.tags(|_, _| Ok(false))
    }

    /// Reads the tagged fields that end a structure. `known` reads the content of a field it
    /// knows and returns true; others are skipped.
    #[inline]
    pub(crate) fn tags(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<bool, WireError>,
    ) -> Result<(), WireError> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.varint()?;
        let mut lowest = 0;
        for _ in 0..count {
            let at = self.at;
            let tag = self.varint()?;
            if u64::from(tag) < lowest {
                return Err(WireError::TagOrder { at, tag });
            }
            lowest = u64::from(tag) + 1;
            let size = self.varint()? as usize;
            let start = self.at;
            self.take(size)?;
            let mut content = Reader::new(&self.bytes[..self.at], start, true);
            if known(tag, &mut content)? && content.left() > 0 {
                return Err(WireError::TagSize {
                    at: content.at,
                    tag,
                });
            }
        }
        Ok(())
    }

    /// Nothing must follow.
    pub(crate) fn finish(&self) -> Result<(), WireError> {
        match self.left() {
            0 => Ok(()),
            left => Err(WireError::Trailing { at: self.at, left }),
        }
    }
}
