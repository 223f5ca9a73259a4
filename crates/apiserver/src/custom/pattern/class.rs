//! Classes and escapes of a pattern.

use super::{ANY_STATES, LITERAL_STATES, NOTHING, PatternError, UNICODE_STATES, fault};

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// The names of general categories and scripts, which are the ones that Go knows.
const NAME_BYTES_MAX: usize = 32;

/// A class that has a name of its own: `\d`, `[:alpha:]`, `\p{Greek}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Set {
    /// The members of a class, and whether they are those that it has not.
    Ascii(&'static str, bool),
    Posix(String),
    Unicode(String, bool),
}

impl Set {
    /// In the syntax of the crate `regex`; `inside` a class, or alone.
    pub(super) fn written(&self, inside: bool) -> String {
        match self {
            Set::Ascii(members, false) if inside => (*members).to_owned(),
            Set::Ascii(members, negated) => format!("[{}{members}]", if *negated { "^" } else { "" }),
            Set::Posix(name) if inside => name.clone(),
            Set::Posix(name) => format!("[{name}]"),
            Set::Unicode(name, negated) => format!("\\{}{{{name}}}", if *negated { 'P' } else { 'p' }),
        }
    }

    pub(super) fn states(&self) -> u64 {
        match self {
            Set::Ascii(_, false) => LITERAL_STATES,
            Set::Ascii(..) | Set::Posix(_) => ANY_STATES,
            Set::Unicode(..) => UNICODE_STATES,
        }
    }
}

/// The set that an escape at the beginning of a text stands for, and what follows it.
pub(super) fn set(text: &str) -> Result<Option<(Set, &str)>, PatternError> {
    let Some(after) = text.strip_prefix('\\') else { return Ok(None) };
    let Some(letter) = after.chars().next() else { return Ok(None) };
    let members = match letter.to_ascii_lowercase() {
        'd' => "0-9",
        's' => r"\t\n\f\r\x{20}",
        'w' => "0-9A-Za-z_",
        'p' => return unicode(text, letter == 'P').map(Some),
        _ => return Ok(None),
    };
    Ok(Some((Set::Ascii(members, letter.is_ascii_uppercase()), &after[1..])))
}

/// `\pL`, `\p{Greek}`, `\P{^Greek}`.
fn unicode(text: &str, negated: bool) -> Result<(Set, &str), PatternError> {
    let after = &text[2..];
    let first = after.chars().next().ok_or_else(|| fault("invalid character class range", text))?;
    let (name, end) = match first {
        '{' => {
            let end = text.find('}').ok_or_else(|| fault("invalid character class range", text))?;
            (&text[3..end], end + 1)
        }
        letter => (&after[..letter.len_utf8()], 2 + letter.len_utf8()),
    };
    let (name, negated) = match name.strip_prefix('^') {
        Some(name) => (name, !negated),
        None => (name, negated),
    };
    let known = name.len() <= NAME_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b' '))
        && regex::Regex::new(&format!("\\p{{{name}}}")).is_ok();
    match known {
        true => Ok((Set::Unicode(name.to_owned(), negated), &text[end..])),
        false => Err(fault("invalid character class range", &text[..end])),
    }
}

/// The character that an escape at the beginning of a text stands for, and what follows it.
pub(super) fn escaped(text: &str) -> Result<(u32, &str), PatternError> {
    let after = &text[1..];
    let Some(letter) = after.chars().next() else {
        return Err(fault("trailing backslash at end of expression", ""));
    };
    let rest = &after[letter.len_utf8()..];
    let invalid = |rest: &str| fault("invalid escape sequence", &text[..text.len() - rest.len()]);
    let octal = |byte: Option<&u8>| byte.is_some_and(|byte| (b'0'..=b'7').contains(byte));
    let control = match letter {
        'a' => 0x07,
        'f' => 0x0c,
        'n' => 0x0a,
        'r' => 0x0d,
        't' => 0x09,
        'v' => 0x0b,
        'x' => return hexadecimal(text, rest),
        '1'..='7' if !octal(rest.as_bytes().first()) => return Err(invalid(rest)),
        '0'..='7' => {
            let length = after.bytes().take(3).take_while(|byte| octal(Some(byte))).count();
            let number = u32::from_str_radix(&after[..length], 8).map_err(|_| invalid(rest))?;
            return Ok((number, &after[length..]));
        }
        letter if letter.is_ascii() && !letter.is_ascii_alphanumeric() => u32::from(letter),
        _ => return Err(invalid(rest)),
    };
    Ok((control, rest))
}

/// `\x7f`, `\x{10FFFF}`.
fn hexadecimal<'t>(text: &'t str, digits: &'t str) -> Result<(u32, &'t str), PatternError> {
    let invalid = |length: usize| {
        let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= length).unwrap_or(text.len());
        fault("invalid escape sequence", &text[..end])
    };
    let (number, rest) = match digits.strip_prefix('{') {
        Some(inside) => inside.split_once('}').ok_or_else(|| invalid(text.len()))?,
        None => digits.split_at_checked(2).ok_or_else(|| invalid(4))?,
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(number, 16).ok().filter(|number| is_number && *number <= u32::from(char::MAX));
    number.map(|number| (number, rest)).ok_or_else(|| invalid(text.len() - rest.len()))
}

/// Reads a class at the beginning of a text: as it is written anew, its states, what follows it.
pub(super) fn read(text: &str) -> Result<(String, u64, &str), PatternError> {
    let mut out = String::from("[");
    let mut rest = &text[1..];
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    let (begun, mut states) = (out.len(), LITERAL_STATES);
    let (mut first, mut is_ascii) = (true, out.len() == 1);
    while first || !rest.starts_with(']') {
        first = false;
        if rest.is_empty() {
            return Err(fault("missing closing ]", text));
        }
        let named = match posix(rest)? {
            None => set(rest)?,
            found => found,
        };
        if let Some((set, after)) = named {
            out.push_str(&set.written(true));
            states = states.saturating_add(set.states());
            rest = after;
            continue;
        }
        let (low, high, after) = range(rest, text)?;
        rest = after;
        is_ascii &= high < 0x80;
        states = states.saturating_add(LITERAL_STATES);
        push_range(&mut out, low, high);
    }
    if out.len() == begun {
        let nothing = if begun == 1 { NOTHING } else { r"[\x{0}-\x{10FFFF}]" };
        return Ok((nothing.to_owned(), LITERAL_STATES, &rest[1..]));
    }
    out.push(']');
    Ok((out, if is_ascii && states < ANY_STATES { LITERAL_STATES } else { states.max(ANY_STATES) }, &rest[1..]))
}

fn posix(text: &str) -> Result<Option<(Set, &str)>, PatternError> {
    let Some((name, after)) = text.strip_prefix("[:").and_then(|inside| inside.split_once(":]")) else {
        return Ok(None);
    };
    let whole = &text[..text.len() - after.len()];
    match POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
        true => Ok(Some((Set::Posix(whole.to_owned()), after))),
        false => Err(fault("invalid character class range", whole)),
    }
}

/// A character, or two with `-` between them.
fn range<'t>(text: &'t str, class: &str) -> Result<(u32, u32, &'t str), PatternError> {
    let (low, rest) = character(text, class)?;
    let Some(after) = rest.strip_prefix('-').filter(|after| !after.is_empty() && !after.starts_with(']')) else {
        return Ok((low, low, rest));
    };
    let (high, rest) = character(after, class)?;
    match high < low {
        true => Err(fault("invalid character class range", &text[..text.len() - rest.len()])),
        false => Ok((low, high, rest)),
    }
}

fn character<'t>(text: &'t str, class: &str) -> Result<(u32, &'t str), PatternError> {
    match text.chars().next() {
        None => Err(fault("missing closing ]", class)),
        Some('\\') => escaped(text),
        Some(letter) => Ok((u32::from(letter), &text[letter.len_utf8()..])),
    }
}

/// The halves of pairs, which are no characters, are left out.
fn push_range(out: &mut String, low: u32, high: u32) {
    const HALVES: std::ops::RangeInclusive<u32> = 0xd800..=0xdfff;
    let low = if HALVES.contains(&low) { HALVES.end() + 1 } else { low };
    let high = if HALVES.contains(&high) { HALVES.start() - 1 } else { high };
    if low == high {
        out.push_str(&format!("\\x{{{low:X}}}"));
    } else if low < high {
        out.push_str(&format!("\\x{{{low:X}}}-\\x{{{high:X}}}"));
    }
}
