/// Reads big-endian integers from bytes that nobody has checked.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The bytes end in the middle of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes end at {len} but a field of {wanted} bytes begins at {at}")]
pub struct CutShort {
    /// Where the field begins, in bytes.
    pub at: usize,
    /// Its length, in bytes.
    pub wanted: usize,
    /// How many bytes there are.
    pub len: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], CutShort> {
        if count > self.remaining() {
            return Err(CutShort {
                at: self.at,
                wanted: count,
                len: self.bytes.len(),
            });
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CutShort> {
        let taken = self.bytes(N)?;
        Ok(std::array::from_fn(|i| taken[i]))
    }

    pub(crate) fn id16(&mut self) -> Result<[u8; 16], CutShort> {
        self.array()
    }

    pub(crate) fn u8(&mut self) -> Result<u8, CutShort> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, CutShort> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, CutShort> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CutShort> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, CutShort> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, CutShort> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, CutShort> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, CutShort> {
        self.array().map(u128::from_be_bytes)
    }
}
