//! Time and randomness through one injected handle, so that a simulation can replay them.

use std::cell::RefCell;
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
        match bytes.len() {
            0..=SMALL_BYTES_MAX => DRAWN.with_borrow_mut(|drawn| drawn.take(bytes)),
            _ => draw(bytes),
        }
    }
}

/// Larger amounts are asked of the machine directly.
const SMALL_BYTES_MAX: usize = 64;
const DRAWN_BYTES: usize = 512;

thread_local! {
    static DRAWN: RefCell<Drawn> = const { RefCell::new(Drawn { bytes: [0; DRAWN_BYTES], left: 0 }) };
}

/// Random bytes of one thread that were drawn in advance: a new pod takes eleven small amounts,
/// each of which would be a system call.
struct Drawn {
    bytes: [u8; DRAWN_BYTES],
    /// The first of them have not been handed out; the others are zero.
    left: usize,
}

impl Drawn {
    /// Fills `out`, which is no longer than [`SMALL_BYTES_MAX`]. No byte is handed out twice, or
    /// kept afterwards.
    fn take(&mut self, out: &mut [u8]) {
        if self.left < out.len() {
            draw(&mut self.bytes);
            self.left = DRAWN_BYTES;
        }
        let rest = self.left - out.len();
        let given = &mut self.bytes[rest..self.left];
        out.copy_from_slice(given);
        given.fill(0);
        self.left = rest;
    }
}

/// Random bytes of the machine.
fn draw(bytes: &mut [u8]) {
    let random = rustls::crypto::ring::default_provider().secure_random;
    // Without randomness no secret can be made; going on would be worse than ending this request.
    assert!(random.fill(bytes).is_ok(), "the machine's source of randomness failed");
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

    /// A number below `bound` (which must not be zero); the bias is below 2^-32 for the small
    /// bounds used here.
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
    fn no_random_byte_is_handed_out_twice_or_kept() {
        let mut drawn = Drawn { bytes: [0; DRAWN_BYTES], left: 0 };
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..500 {
            let mut out = [0; 16];
            drawn.take(&mut out);
            assert!(seen.insert(out));
            assert!(drawn.bytes[drawn.left..].iter().all(|byte| *byte == 0));
        }
        let mut large = [0; 4 * SMALL_BYTES_MAX];
        SystemEnvironment.fill(&mut large);
        assert!(large.chunks(16).all(|part| part != [0; 16]));
    }

    #[test]
    fn uids_are_version_four() {
        let env = Env::new(Arc::new(SystemEnvironment));
        let uid = env.uid();
        assert_eq!((uid.len(), uid.as_bytes()[14]), (36, b'4'));
        assert_ne!(uid, env.uid());
        assert!(env.name_suffix(5).bytes().all(|letter| NAME_LETTERS.contains(&letter))); // DS-C60
    }
}
