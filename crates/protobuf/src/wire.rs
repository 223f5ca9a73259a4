//! Protobuf's wire format (encoding of proto2): numbered fields, one after the other.

use crate::decode_error::DecodeError;

/// A field's content as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// A varint: integers, flags.
    Number(u64),
    /// Length and bytes: texts, bytes, messages.
    Bytes(&'a [u8]),
    /// Eight bytes: floating point.
    Eight(u64),
    /// Four bytes; no message of Kubernetes' API has such a field.
    Four,
}

/// The fields of a message in order. After an error there is no more.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn field(&mut self) -> Result<(u64, Content<'a>), DecodeError> {
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Content::Number(self.varint()?),
            1 => Content::Eight(self.eight()?),
            2 => {
                let length = self.varint()?;
                Content::Bytes(self.take(usize::try_from(length).map_err(|_| DecodeError::Truncated)?)?)
            }
            5 => self.take(4).map(|_| Content::Four)?,
            other => return Err(DecodeError::WireType(other)),
        };
        match tag >> 3 {
            0 => Err(DecodeError::NumberZero),
            number => Ok((number, content)),
        }
    }

    /// Seven bits a byte, the least significant first; at most ten bytes.
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0u64;
        for place in 0..10 {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(DecodeError::LongNumber)
    }

    fn eight(&mut self) -> Result<u64, DecodeError> {
        let bytes = self.take(8)?.try_into().map_err(|_| DecodeError::Truncated)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u64, Content<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

pub(crate) fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// How many bytes a varint takes.
pub(crate) fn varint_length(number: u64) -> usize {
    let bits = 64 - (number | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

pub(crate) fn push_number(out: &mut Vec<u8>, field: u32, number: u64) {
    push_varint(out, u64::from(field) << 3);
    push_varint(out, number);
}

pub(crate) fn push_eight(out: &mut Vec<u8>, field: u32, bits: u64) {
    push_varint(out, u64::from(field) << 3 | 1);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// The tag and length of a field with so many bytes, which are still to come.
pub(crate) fn push_length(out: &mut Vec<u8>, field: u32, length: usize) {
    push_varint(out, u64::from(field) << 3 | 2);
    push_varint(out, length as u64);
}

pub(crate) fn push_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    push_length(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// Begins a field whose length is not known yet. The result is for [`close`].
#[must_use]
pub(crate) fn open(out: &mut Vec<u8>, field: u32) -> usize {
    push_varint(out, u64::from(field) << 3 | 2);
    out.push(0);
    out.len()
}

/// Ends a field that [`open`] began: one byte was left for the length, and what follows moves if it
/// takes more.
pub(crate) fn close(out: &mut Vec<u8>, start: usize) {
    let end = out.len();
    let length = (end - start) as u64;
    let more = varint_length(length) - 1;
    if more > 0 {
        out.resize(end + more, 0);
        out.copy_within(start..end, start + more);
    }
    let mut left = length;
    for place in &mut out[start - 1..start + more] {
        *place = left as u8 | 0x80;
        left >>= 7;
    }
    out[start - 1 + more] &= 0x7f;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_behind_what_they_measure() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 3_000_000] {
            let content = vec![7; length];
            let mut out = vec![1, 2];
            let start = open(&mut out, 300);
            out.extend_from_slice(&content);
            close(&mut out, start);
            let mut expected = vec![1, 2];
            push_bytes(&mut expected, 300, &content);
            assert!(out == expected, "{length}");
        }
    }

    #[test]
    fn numbers_are_as_long_as_measured() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            push_varint(&mut out, number);
            assert_eq!(out.len(), varint_length(number));
            assert_eq!(Reader::new(&out).varint(), Ok(number));
        }
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(DecodeError::LongNumber));
    }
}
