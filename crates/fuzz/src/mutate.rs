//! Seeded mutations: what libFuzzer does blindly, in small and the same every time.

/// The splitmix64 generator (public domain algorithm by Sebastiano Vigna).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % bound.max(1)
    }
}

/// Longest result.
const BYTES_MAX: usize = 1 << 16;
/// What parsers are most often wrong about.
const WORDS: [&[u8]; 24] = [
    b"%2F",
    b"%2f",
    b"%25",
    b"%00",
    b"%",
    b"..",
    "\u{202e}".as_bytes(),
    b"\xff\xff\xff\xff",
    b"\0",
    b"/",
    b"//",
    b"?",
    b"&",
    b"=",
    b"null",
    b"9223372036854775808",
    b"-1",
    b"1e309",
    b"{\"a\":",
    b"[[[[[[[[",
    b"\r\n",
    b"~1",
    b"\\u0000",
    b"*",
];

/// A changed input: one to four of flips, cuts, copies, words, and pieces of another one.
pub fn mutate(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(out.len() + 1);
        let end = at + random.below(out.len() - at + 1).min(64);
        match random.below(6) {
            0 if at < out.len() => out[at] ^= 1 << random.below(8),
            1 => drop(out.drain(at..end)),
            2 => {
                let copy = out[at..end].to_vec();
                out.splice(at..at, copy);
            }
            3 => drop(out.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
            4 => {
                let from = random.below(other.len() + 1);
                let to = from + random.below(other.len() - from + 1).min(256);
                out.splice(at..end, other[from..to].iter().copied());
            }
            _ if at < out.len() => out[at] = random.below(256) as u8,
            _ => out.push(random.below(256) as u8),
        }
    }
    out.truncate(BYTES_MAX);
    out
}
