use std::sync::Arc;

/// Reads a key or value, in the flexible encoding or not. Reserves nothing for a count.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    is_flexible: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Reader<'a> {
        Reader {
            rest,
            is_flexible: false,
        }
    }

    /// A value's version, at most `flexible`, the one from which on the encoding is flexible.
    pub(super) fn version(&mut self, flexible: i16) -> Option<i16> {
        let version = self.i16()?;
        self.is_flexible = version == flexible;
        (0..=flexible).contains(&version).then_some(version)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A length that counts from 1 in the flexible encoding; `None` within: null.
    fn length(&mut self, classic: impl FnOnce(&mut Self) -> Option<i64>) -> Option<Option<usize>> {
        let length = match self.is_flexible {
            true => i64::from(self.varint()?) - 1,
            false => classic(self)?,
        };
        match length {
            -1 => Some(None),
            length => usize::try_from(length).ok().map(Some),
        }
    }

    pub(super) fn nullable_text(&mut self) -> Option<Option<Arc<str>>> {
        let Some(length) = self.length(|reader| reader.i16().map(i64::from))? else {
            return Some(None);
        };
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        Some(Some(text.into()))
    }

    pub(super) fn text(&mut self) -> Option<Arc<str>> {
        self.nullable_text()?
    }

    pub(super) fn bytes(&mut self) -> Option<Arc<[u8]>> {
        let length = self.length(|reader| reader.i32().map(i64::from))??;
        self.take(length).map(Arc::from)
    }

    pub(super) fn count(&mut self) -> Option<usize> {
        self.length(|reader| reader.i32().map(i64::from))?
    }

    /// Passes over tagged fields.
    pub(super) fn tags(&mut self) -> Option<()> {
        self.tag(u32::MAX).map(|_| ())
    }

    /// Passes over tagged fields but one, whose bytes it returns when it is there.
    pub(super) fn tag(&mut self, wanted: u32) -> Option<Option<&'a [u8]>> {
        let mut found = None;
        if !self.is_flexible {
            return Some(found);
        }
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let size = self.varint()?;
            let bytes = self.take(size as usize)?;
            if tag == wanted {
                found = Some(bytes);
            }
        }
        Some(found)
    }
}
