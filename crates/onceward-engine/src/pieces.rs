//! Bytes in pieces, for what is sealed and stored: numbers big-endian, every piece behind its length.

/// Stored bytes that this program cannot read: cut short, too long, or of an unknown kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored bytes do not decode: {0}")]
pub struct DecodeError(pub &'static str);

/// Appends a piece.
pub fn put_piece(bytes: &mut Vec<u8>, piece: &[u8]) {
    bytes.extend((piece.len() as u64).to_be_bytes());
    bytes.extend(piece);
}

/// What is still to be read. Each method takes its part off the front.
#[derive(Debug)]
pub struct Pieces<'a>(&'a [u8]);

impl<'a> Pieces<'a> {
    /// All of `bytes`.
    #[must_use]
    pub const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// So many bytes, as they are.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(DecodeError("cut short"))?;
        self.0 = tail;
        Ok(*head)
    }

    /// A length, or how many of something follow. No memory may be reserved by it before that many are read.
    ///
    /// # Errors
    /// When fewer than eight bytes are left, or no machine has so many.
    pub fn count(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(u64::from_be_bytes(self.array()?)).or(Err(DecodeError("length")))
    }

    /// A piece that [`put_piece`] wrote.
    ///
    /// # Errors
    /// When less is left than it says.
    pub fn piece(&mut self) -> Result<&'a [u8], DecodeError> {
        let count = self.count()?;
        let (head, tail) = self.0.split_at_checked(count).ok_or(DecodeError("cut short"))?;
        self.0 = tail;
        Ok(head)
    }

    /// Nothing is left.
    ///
    /// # Errors
    /// When something is.
    pub const fn end(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError("bytes left over")) }
    }
}
