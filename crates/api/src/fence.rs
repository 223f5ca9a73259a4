//! The fence of a leader: writes that count only while their sender holds its lease.
//!
//! A leader that was paused, or whose network was slow, may go on writing after another one has
//! taken over. On our own server it cannot: its writes name the lease that they depend on, and the
//! server compares it in the transaction that writes the object. Other servers do not know the
//! header and ignore it; there, preconditions and colliding names are what is left.
//!
//! The header's form is `NAMESPACE/NAME; transitions=N; holder=IDENTITY`.

use crate::status::Status;

/// The request header.
pub const HEADER: &str = "Everynode-Lease";
/// The cause of a write that was refused because the lease is not held as the fence says.
pub const LOST: &str = "LeaseLost";
/// The longest identity: a host name and a random number are under 100.
pub const HOLDER_BYTES_MAX: usize = 253;
/// The longest header: namespace (63), name (253), number (20), identity (253), and the words
/// between.
pub const HEADER_BYTES_MAX: usize = 640;

/// Which leadership a write was made under. It ends with the next holder or the next transition,
/// never with a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    namespace: String,
    name: String,
    holder: String,
    transitions: u64,
}

/// Why a text is no fence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{HEADER}: {0}: expected `NAMESPACE/NAME; transitions=N; holder=IDENTITY`")]
pub struct FenceError(&'static str);

impl Fence {
    /// The lease `namespace/name` as `holder` took it.
    pub fn new(namespace: &str, name: &str, holder: &str, transitions: u64) -> Result<Fence, FenceError> {
        let is_part = |text: &str| !text.is_empty() && text.bytes().all(is_name_byte);
        match () {
            () if namespace.len() > 63 || !is_part(namespace) => Err(FenceError("not a namespace")),
            () if name.len() > 253 || !is_part(name) => Err(FenceError("not a lease name")),
            () if holder.len() > HOLDER_BYTES_MAX || !is_identity(holder) => Err(FenceError("not an identity")),
            () => {
                let [namespace, name, holder] = [namespace, name, holder].map(str::to_owned);
                Ok(Fence { namespace, name, holder, transitions })
            }
        }
    }

    /// Reads the header's value.
    pub fn parse(text: &str) -> Result<Fence, FenceError> {
        if text.len() > HEADER_BYTES_MAX {
            return Err(FenceError("too long"));
        }
        let mut parts = text.split("; ");
        let (Some(lease), Some(transitions), Some(holder), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(FenceError("not three parts"));
        };
        let (namespace, name) = lease.split_once('/').ok_or(FenceError("no namespace"))?;
        let number = transitions.strip_prefix("transitions=").filter(|digits| is_number(digits));
        let number = number.and_then(|digits| digits.parse().ok()).ok_or(FenceError("no transitions"))?;
        let holder = holder.strip_prefix("holder=").ok_or(FenceError("no holder"))?;
        Fence::new(namespace, name, holder, number)
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a lease that says this is held under this leadership.
    pub fn holds(&self, holder: &str, transitions: u64) -> bool {
        self.holder == holder && self.transitions == transitions
    }
}

/// The header's value.
impl std::fmt::Display for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Fence { namespace, name, holder, transitions } = self;
        write!(f, "{namespace}/{name}; transitions={transitions}; holder={holder}")
    }
}

fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')
}

/// What host names, uuids and process numbers are made of.
fn is_identity(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'@');
    !text.is_empty() && text.bytes().all(is_fine)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Status {
    /// Whether the write was refused because its sender leads no longer.
    pub fn is_lease_lost(&self) -> bool {
        self.is_conflict() && self.has_cause(LOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        let fence = Fence::new("kube-system", "everynode-controller-x.y", "host_1:a@b.c", 7).unwrap();
        assert_eq!(fence.to_string(), "kube-system/everynode-controller-x.y; transitions=7; holder=host_1:a@b.c");
        assert_eq!(Fence::parse(&fence.to_string()), Ok(fence.clone()));
        assert!(fence.holds("host_1:a@b.c", 7) && !fence.holds("host_1:a@b.c", 8) && !fence.holds("other", 7));
        let longest = Fence::new(&"n".repeat(63), &"l".repeat(253), &"h".repeat(253), u64::MAX).unwrap().to_string();
        assert!(longest.len() <= HEADER_BYTES_MAX && Fence::parse(&longest).is_ok());
    }

    #[test]
    fn everything_else_is_refused() {
        let long = format!("n/l; transitions=1; holder={}", "h".repeat(HEADER_BYTES_MAX));
        for (text, why) in [
            ("", "not three parts"),
            ("n/l", "not three parts"),
            ("n/l; transitions=1; holder=h; more", "not three parts"),
            ("l; transitions=1; holder=h", "no namespace"),
            ("/l; transitions=1; holder=h", "not a namespace"),
            ("n/; transitions=1; holder=h", "not a lease name"),
            ("n/../l; transitions=1; holder=h", "not a lease name"),
            ("n/l; transitions=; holder=h", "no transitions"),
            ("n/l; transitions=+1; holder=h", "no transitions"),
            ("n/l; transitions=18446744073709551616; holder=h", "no transitions"),
            ("n/l; holder=h; transitions=1", "no transitions"),
            ("n/l; transitions=1; holder=", "not an identity"),
            ("n/l; transitions=1; holder=a b", "not an identity"),
            (&long, "too long"),
        ] {
            assert_eq!(Fence::parse(text), Err(FenceError(why)), "{text}");
        }
    }
}
