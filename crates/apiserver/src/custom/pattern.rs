//! The patterns of schemas, which are written for Go's `regexp`, in the syntax of the crate `regex`.
//!
//! Both are finite automata and differ in their notation: in Go `\d` is a digit of ASCII, `{` that
//! opens no repetition is itself, and classes have no set operations. [`translate`] reads a pattern
//! as Go does, refuses it in Go's words, and writes it anew; every literal that is no letter and no
//! digit is written as its number, so that nothing in it means anything.
//!
//! What a pattern costs once it is compiled follows from its text: [`Translated::states`].

use std::sync::{Arc, OnceLock};

use regex::{Regex, RegexBuilder};
use thiserror::Error;

mod class;

/// Go's limits of a repetition, and of the product of nested ones.
const REPEAT_MAX: u32 = 1_000;
/// How deeply groups are nested at most; each level is some stack of the compiler.
const DEPTH_MAX: usize = 200;
/// The states that all patterns of one definition may have: what is compiled of them stays below
/// some tens of megabytes.
pub(crate) const STATES_MAX: u64 = 200_000;
/// A compiled pattern takes no more memory: its states, with room for the tables beside them.
const COMPILED_BYTES_MAX: usize = 32 << 20;
/// The cache that one pattern searches with.
const CACHE_BYTES_MAX: usize = 256 << 10;

/// What a pattern costs besides its states, in states.
const PATTERN_STATES: u64 = 50;

/// Why a pattern is none, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("error parsing regexp: {what}: `{part}`")]
pub(crate) struct PatternError {
    what: &'static str,
    part: String,
}

fn fault(what: &'static str, part: &str) -> PatternError {
    PatternError { what, part: part.to_owned() }
}

/// A pattern in the syntax of the crate `regex`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Translated {
    text: String,
    /// About how many states the automaton has.
    pub(crate) states: u64,
}

/// A pattern that is compiled when it is first used.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// As it was written.
    pub(crate) written: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(crate) fn new(written: &str) -> Arc<Pattern> {
        Arc::new(Pattern { written: written.into(), compiled: OnceLock::new() })
    }

    /// Whether a text has a part that matches. A pattern that cannot be compiled, which was refused
    /// with its definition, matches all.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| compile(&translate(&self.written).ok()?).ok());
        compiled.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

/// Reads a pattern as Go does.
///
/// # Errors
/// It is none.
pub(crate) fn translate(written: &str) -> Result<Translated, PatternError> {
    let mut reader =
        Reader { whole: written, rest: written, out: String::new(), groups: vec![Group::default()], pushed: 0 };
    while !reader.rest.is_empty() {
        reader.step()?;
        if reader.pushed > STATES_MAX {
            return Err(fault("expression too large", written));
        }
    }
    match reader.groups.len() {
        1 => {
            let states = reader.groups.remove(0).total().states;
            Ok(Translated { text: reader.out, states: states.saturating_add(PATTERN_STATES) })
        }
        _ => Err(fault("missing closing )", written)),
    }
}

/// There is no room for a pattern.
pub(crate) fn too_large(written: &str) -> PatternError {
    fault("expression too large", written)
}

/// Whether a pattern that was translated can be compiled: it can, unless it is too large.
///
/// # Errors
/// Why not.
pub(crate) fn check(translated: &Translated, written: &str) -> Result<(), PatternError> {
    compile(translated).map(|_| ()).map_err(|_| too_large(written))
}

fn compile(translated: &Translated) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&translated.text).size_limit(COMPILED_BYTES_MAX).dfa_size_limit(CACHE_BYTES_MAX).build()
}

/// What a part of a pattern amounts to.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    states: u64,
    /// The largest product of nested repetitions in it.
    repeats: u32,
}

/// A group whose end was not met yet.
#[derive(Debug, Default)]
struct Group {
    /// Of all its parts but the last one.
    before: Size,
    /// The last part, if a repetition could follow it.
    last: Option<Size>,
    /// Where the last repetition begins, if nothing came after it.
    repetition: Option<usize>,
}

impl Group {
    fn push(&mut self, part: Size) {
        self.before = self.total();
        self.last = Some(part);
        self.repetition = None;
    }

    /// Begins another alternative.
    fn alternative(&mut self) {
        self.before = self.total();
        self.before.states += 1;
        (self.last, self.repetition) = (None, None);
    }

    fn total(&self) -> Size {
        let last = self.last.unwrap_or_default();
        Size {
            states: self.before.states.saturating_add(last.states),
            repeats: self.before.repeats.max(last.repeats).max(1),
        }
    }
}

struct Reader<'p> {
    whole: &'p str,
    rest: &'p str,
    out: String,
    groups: Vec<Group>,
    /// The states of all that was pushed, each thing counted once.
    pushed: u64,
}

/// States of an ordinary letter, of any character, and of a class with letters of all scripts.
const LITERAL_STATES: u64 = 1;
const ANY_STATES: u64 = 12;
const UNICODE_STATES: u64 = 800;

impl<'p> Reader<'p> {
    fn step(&mut self) -> Result<(), PatternError> {
        let first = self.rest.chars().next().unwrap_or_default();
        match first {
            '(' => self.open(),
            ')' => self.close(),
            '|' => {
                self.take(1);
                self.out.push('|');
                self.group().alternative();
                Ok(())
            }
            '^' | '$' | '.' => {
                self.take(1);
                self.out.push(first);
                self.push(if first == '.' { ANY_STATES } else { LITERAL_STATES });
                Ok(())
            }
            '[' => self.class(),
            '*' | '+' | '?' => self.repeat(1, None),
            '{' => match counts(self.rest) {
                None => {
                    self.take(1);
                    self.literal('{');
                    Ok(())
                }
                Some((min, max, length)) => self.repeat(length, Some((min, max))),
            },
            '\\' => self.escape(),
            letter => {
                self.take(letter.len_utf8());
                self.literal(letter);
                Ok(())
            }
        }
    }

    fn take(&mut self, bytes: usize) -> &'p str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn group(&mut self) -> &mut Group {
        // The outermost one is never closed.
        let last = self.groups.len() - 1;
        &mut self.groups[last]
    }

    fn push(&mut self, states: u64) {
        self.pushed = self.pushed.saturating_add(states);
        self.group().push(Size { states, repeats: 1 });
    }

    /// What was pushed before cannot be repeated any more.
    fn push_nothing(&mut self) {
        let group = self.group();
        group.before = group.total();
        (group.last, group.repetition) = (None, None);
    }

    fn literal(&mut self, letter: char) {
        push_literal(&mut self.out, letter);
        self.push(letter.len_utf8() as u64 * LITERAL_STATES);
    }

    fn open(&mut self) -> Result<(), PatternError> {
        let start = self.rest;
        if self.groups.len() > DEPTH_MAX {
            return Err(fault("expression nests too deeply", self.whole));
        }
        if !start.starts_with("(?") {
            self.take(1);
            self.begin("(?:");
            return Ok(());
        }
        let name_at = ["(?P<", "(?<"].into_iter().find(|opening| start.starts_with(opening)).map(str::len);
        if let Some(name_at) = name_at {
            let end = start.find('>').ok_or_else(|| fault("invalid named capture", start))?;
            let name = start.get(name_at..end).unwrap_or_default();
            if name.is_empty() || !name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()) {
                return Err(fault("invalid named capture", &start[..=end]));
            }
            self.take(end + 1);
            self.begin("(?:");
            return Ok(());
        }
        self.flags()
    }

    fn begin(&mut self, opening: &str) {
        self.out.push_str(opening);
        self.groups.push(Group::default());
    }

    /// `(?i)`, `(?i-s:`: flags, to the end of the group or for a group of their own.
    fn flags(&mut self) -> Result<(), PatternError> {
        let start = self.rest;
        let invalid = |end: usize| fault("invalid or unsupported Perl syntax", &start[..end]);
        let (mut on, mut off, mut negative, mut any) = (String::new(), String::new(), false, false);
        for (at, letter) in start.char_indices().skip(2) {
            match letter {
                'i' | 'm' | 's' | 'U' => {
                    let (to, from) = if negative { (&mut off, &mut on) } else { (&mut on, &mut off) };
                    from.retain(|flag| flag != letter);
                    if !to.contains(letter) {
                        to.push(letter);
                    }
                    any = true;
                }
                '-' if !negative => (negative, any) = (true, false),
                ':' | ')' if !negative || any => {
                    self.take(at + 1);
                    let minus = if off.is_empty() { "" } else { "-" };
                    match letter {
                        ':' => self.begin(&format!("(?{on}{minus}{off}:")),
                        _ if on.is_empty() && off.is_empty() => {}
                        _ => {
                            self.out.push_str(&format!("(?{on}{minus}{off})"));
                            self.push_nothing();
                        }
                    }
                    return Ok(());
                }
                other => return Err(invalid(at + other.len_utf8())),
            }
        }
        Err(invalid(start.len()))
    }

    fn close(&mut self) -> Result<(), PatternError> {
        if self.groups.len() == 1 {
            return Err(fault("unexpected )", self.whole));
        }
        self.take(1);
        self.out.push(')');
        if let Some(group) = self.groups.pop() {
            let size = group.total();
            self.group().push(size);
        }
        Ok(())
    }

    /// A repetition whose text is so long, without the `?` that may follow; no counts: by its sign.
    fn repeat(&mut self, length: usize, counts: Option<(u32, Option<u32>)>) -> Result<(), PatternError> {
        let at = self.whole.len() - self.rest.len();
        let sign = self.take(length);
        let lazy = if self.rest.starts_with('?') { self.take(1) } else { "" };
        let end = self.whole.len() - self.rest.len();
        let whole = self.whole;
        let size_fault = || fault("invalid repeat count", &whole[at..at + length]);
        if let Some((min, max)) = counts
            && (min > REPEAT_MAX || max.is_some_and(|max| max > REPEAT_MAX || min > max))
        {
            return Err(size_fault());
        }
        let group = self.group();
        if let Some(before) = group.repetition {
            return Err(fault("invalid nested repetition operator", &whole[before..end]));
        }
        let Some(last) = &mut group.last else {
            return Err(fault("missing argument to repetition operator", &whole[at..end]));
        };
        match counts {
            None => last.states = last.states.saturating_add(2),
            Some((min, max)) => {
                let most = max.unwrap_or(min);
                let copies = u64::from(max.unwrap_or(min + 1).max(1));
                last.states = last.states.saturating_add(1).saturating_mul(copies);
                last.repeats = last.repeats.max(1).saturating_mul(most).max(1);
                if min.max(most) >= 2 && last.repeats > REPEAT_MAX {
                    return Err(size_fault());
                }
            }
        }
        group.repetition = Some(at);
        self.out.push_str(sign);
        self.out.push_str(lazy);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), PatternError> {
        let start = self.rest;
        match start[1..].chars().next() {
            Some('C') => return Err(fault("invalid escape sequence", &start[..2])),
            Some('Q') => {
                let text = &start[2..];
                let (literals, length) = match text.split_once("\\E") {
                    Some((literals, _)) => (literals, literals.len() + 4),
                    None => (text, start.len()),
                };
                self.take(length);
                literals.chars().for_each(|letter| self.literal(letter));
                return Ok(());
            }
            Some(letter @ ('A' | 'z' | 'b' | 'B')) => {
                self.take(2);
                self.out.push_str(match letter {
                    'A' => r"\A",
                    'z' => r"\z",
                    'b' => r"(?-u:\b)",
                    _ => r"(?-u:\B)",
                });
                self.push(LITERAL_STATES);
                return Ok(());
            }
            _ => {}
        }
        if let Some((set, rest)) = class::set(start)? {
            self.rest = rest;
            self.out.push_str(&set.written(false));
            self.push(set.states());
            return Ok(());
        }
        let (letter, rest) = class::escaped(start)?;
        self.rest = rest;
        match char::from_u32(letter) {
            Some(letter) => self.literal(letter),
            // Half of a pair, which no text has.
            None => {
                self.out.push_str(NOTHING);
                self.push(LITERAL_STATES);
            }
        }
        Ok(())
    }

    fn class(&mut self) -> Result<(), PatternError> {
        let (written, states, rest) = class::read(self.rest)?;
        self.rest = rest;
        self.out.push_str(&written);
        self.push(states);
        Ok(())
    }
}

/// What matches nothing.
const NOTHING: &str = r"[^\x{0}-\x{10FFFF}]";

fn push_literal(out: &mut String, letter: char) {
    if letter.is_alphanumeric() {
        out.push(letter);
    } else {
        out.push_str(&format!("\\x{{{:X}}}", u32::from(letter)));
    }
}

/// The counts of `{n}`, `{n,}` and `{n,m}`, and the length of the text; `None`: it is no repetition.
/// What is too large for a number is the largest one.
fn counts(text: &str) -> Option<(u32, Option<u32>, usize)> {
    let (inside, _) = text.strip_prefix('{')?.split_once('}')?;
    let number = |digits: &str| -> Option<u32> {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let leading_zero = digits.len() > 1 && digits.starts_with('0');
        (is_number && !leading_zero).then(|| digits.parse().unwrap_or(u32::MAX - 1))
    };
    let (min, max) = match inside.split_once(',') {
        None => (number(inside)?, Some(number(inside)?)),
        Some((min, "")) => (number(min)?, None),
        Some((min, max)) => (number(min)?, Some(number(max)?)),
    };
    Some((min, max, inside.len() + 2))
}

#[cfg(test)]
mod tests;
