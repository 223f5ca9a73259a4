//! Protobuf's wire format (encoding of proto2): numbered fields, one after the other.

/// A field's content as it stands on the wire.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// A varint: numbers, flags.
    Number(u64),
    /// Length and bytes: texts, bytes, messages.
    Bytes(&'a [u8]),
    /// Eight or four bytes; no message of Kubernetes' API has such a field that we read.
    Fixed,
}

/// The fields of a message in order. After an error there is no more.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    fn field(&mut self) -> Result<(u64, Content<'a>), String> {
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Content::Number(self.varint()?),
            1 => self.take(8).map(|_| Content::Fixed)?,
            2 => {
                let length = self.varint()?;
                Content::Bytes(self.take(usize::try_from(length).map_err(|_| "a length out of range")?)?)
            }
            5 => self.take(4).map(|_| Content::Fixed)?,
            other => return Err(format!("protobuf with wire type {other}")),
        };
        Ok((tag >> 3, content))
    }

    /// Seven bits a byte, the least significant first; at most ten bytes.
    fn varint(&mut self) -> Result<u64, String> {
        let mut number = 0u64;
        for place in 0..10 {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("protobuf with a number of more than ten bytes".to_owned())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or("protobuf that ends too early")?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u64, Content<'a>), String>;

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
