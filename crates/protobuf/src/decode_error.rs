//! What bytes can be wrong in.

/// Why bytes are no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first bytes are not those of Kubernetes' envelope.
    #[error("the body does not begin as Kubernetes' protobuf does")]
    NoEnvelope,
    /// The envelope says that what is in it is compressed.
    #[error("an encoded object in protobuf")]
    Encoded,
    /// No message is known for this kind.
    #[error("no kind {kind:?} is registered for version {version:?} in the protobuf encoding")]
    UnknownKind {
        /// The API version.
        version: String,
        /// The kind's name.
        kind: String,
    },
    /// A length says more than there is.
    #[error("protobuf that ends too early")]
    Truncated,
    /// A wire type that proto2 does not have.
    #[error("protobuf with wire type {0}")]
    WireType(u64),
    /// A field's number is 0.
    #[error("protobuf with field number 0")]
    NumberZero,
    /// A varint of more than ten bytes.
    #[error("protobuf with a number of more than ten bytes")]
    LongNumber,
    /// A text that is not UTF-8.
    #[error("a text that is not UTF-8")]
    Utf8,
    /// A time that RFC 3339 cannot write.
    #[error("a time out of range")]
    Time,
    /// A field with JSON in it that is none.
    #[error("raw bytes that are no JSON")]
    Raw,
    /// A field's content is of another type than the field.
    #[error("a field of another type than it has")]
    Type,
    /// Messages are nested too deeply.
    #[error("messages are nested too deeply")]
    Depth,
    /// The JSON would be too large.
    #[error("the object takes more than {0} bytes as JSON")]
    Size(usize),
    /// One of these in a member.
    #[error("{0}: {1}")]
    Member(&'static str, Box<DecodeError>),
}

impl DecodeError {
    /// Whether the object would be fine if it were smaller.
    pub fn is_too_large(&self) -> bool {
        match self {
            DecodeError::Size(_) => true,
            DecodeError::Member(_, inner) => inner.is_too_large(),
            _ => false,
        }
    }
}
