//! Text that mostly is one of a few known words.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A short text that takes no memory of its own if it is one of [`KNOWN`]. Every pod says `Ready`
/// and `True`; thousands of them would have it in thousands of places, and a pass over them would
/// fetch each from memory.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(Cow<'static, str>);

/// Condition types and statuses of pods and nodes (core/v1).
const KNOWN: &[&str] = &[
    "",
    "ContainersReady",
    "DiskPressure",
    "DisruptionTarget",
    "False",
    "Initialized",
    "MemoryPressure",
    "NetworkUnavailable",
    "PIDPressure",
    "PodReadyToStartContainers",
    "PodScheduled",
    "Ready",
    "True",
    "Unknown",
];

impl Word {
    fn known(text: &str) -> Option<Self> {
        let index = KNOWN.binary_search(&text).ok()?;
        Some(Word(Cow::Borrowed(KNOWN[index])))
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Word::known(text).unwrap_or_else(|| Word(Cow::Owned(text.to_owned())))
    }
}

impl Deref for Word {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Word {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordVisitor;
        impl Visitor<'_> for WordVisitor {
            type Value = Word;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Word, E> {
                Ok(text.into())
            }
        }
        deserializer.deserialize_str(WordVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_take_no_memory_and_all_words_are_text() {
        assert!(KNOWN.is_sorted(), "they are found by bisection");
        for text in KNOWN.iter().chain(&["example.com/gate", "ready"]) {
            let word: Word = serde_json::from_value((*text).into()).unwrap();
            assert_eq!(&word, *text);
            assert_eq!(matches!(word.0, Cow::Borrowed(_)), KNOWN.contains(text));
        }
        assert!(serde_json::from_str::<Word>("1").is_err());
    }
}
