//! Time and randomness through one injected handle, so that a simulation can replay them.

use std::sync::Arc;

use jiff::Timestamp;

/// Where the server reads the time and takes randomness from.
pub trait Environment: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
    /// Fills `bytes` with (in production: cryptographically secure) random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The machine's clock and the TLS library's secure randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn fill(&self, bytes: &mut [u8]) {
        let random = rustls::crypto::ring::default_provider().secure_random;
        // Without randomness no secret can be made; going on would be worse than ending this request.
        assert!(random.fill(bytes).is_ok(), "the machine's source of randomness failed");
    }
}

/// The handle that the whole server shares.
#[derive(Clone)]
pub(crate) struct Env(Arc<dyn Environment>);

/// The letters of generated names (DS-C60): no vowels and nothing that looks like another.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Env {
    pub(crate) fn new(environment: Arc<dyn Environment>) -> Env {
        Env(environment)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.now()
    }

    pub(crate) fn environment(&self) -> &dyn Environment {
        self.0.as_ref()
    }

    /// `metav1.Time` of now.
    pub(crate) fn now_text(&self) -> String {
        everynode_api::time::rfc3339(self.now())
    }

    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }

    /// A number below `bound` (which must not be zero); the bias is below 2^-32 for the small bounds used here.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        u64::from_le_bytes(self.bytes()) % bound
    }

    /// A random (version 4) UUID.
    pub(crate) fn uid(&self) -> String {
        let mut bytes: [u8; 16] = self.bytes();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex = hex(&bytes);
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// `length` letters of generated names.
    pub(crate) fn name_suffix(&self, length: usize) -> String {
        (0..length).map(|_| char::from(NAME_LETTERS[self.below(NAME_LETTERS.len() as u64) as usize])).collect()
    }
}

/// Lower-case hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_version_four() {
        let env = Env::new(Arc::new(SystemEnvironment));
        let uid = env.uid();
        assert_eq!((uid.len(), uid.as_bytes()[14]), (36, b'4'));
        assert_ne!(uid, env.uid());
        assert!(env.name_suffix(5).bytes().all(|letter| NAME_LETTERS.contains(&letter))); // DS-C60
    }
}
