//! Seeded mutations: what libFuzzer does blindly, in small and the same every time.

use everynode_common::random::Random;

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
    for _ in 0..=random.index(4) {
        let at = random.index(out.len() + 1);
        let end = at + random.index(out.len() - at + 1).min(64);
        match random.index(6) {
            0 if at < out.len() => out[at] ^= 1 << random.index(8),
            1 => drop(out.drain(at..end)),
            2 => {
                let copy = out[at..end].to_vec();
                out.splice(at..at, copy);
            }
            3 => drop(out.splice(at..at, WORDS[random.index(WORDS.len())].iter().copied())),
            4 => {
                let from = random.index(other.len() + 1);
                let to = from + random.index(other.len() - from + 1).min(256);
                out.splice(at..end, other[from..to].iter().copied());
            }
            _ if at < out.len() => out[at] = random.index(256) as u8,
            _ => out.push(random.index(256) as u8),
        }
    }
    out.truncate(BYTES_MAX);
    out
}
