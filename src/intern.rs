//! Texts that come again and again, each held once.

use std::{
    borrow::Borrow,
    collections::HashSet,
    fmt,
    ops::Deref,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

/// A text of which there are few different ones in the whole process, e.g. the name of an AWS service
/// or region: equal ones are one in memory, and each takes no more than a pointer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Word(Arc<Box<str>>);

/// How many words there may be before those that nobody holds are looked for.
const SOME: usize = 1_024;

/// All words, those that nobody holds any more among them.
static WORDS: LazyLock<Mutex<Words>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Words {
    all: HashSet<Word>,
    /// How many were still held when that was last looked at.
    held: usize,
}

impl Words {
    fn get(&mut self, text: &str) -> Word {
        if let Some(word) = self.all.get(text) {
            return word.clone();
        }
        // A report file may hold anything, and any number of it. Doubling keeps the looking cheap.
        if self.all.len() >= SOME.max(2 * self.held) {
            self.all.retain(|word| Arc::strong_count(&word.0) > 1);
            self.all.shrink_to_fit();
            self.held = self.all.len();
        }
        let word = Word(Arc::new(text.into()));
        self.all.insert(word.clone());
        word
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        // A panic in there leaves no word half-made.
        let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
        words.get(text)
    }
}

impl From<String> for Word {
    fn from(text: String) -> Self {
        Self::from(&*text)
    }
}

impl Deref for Word {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Word {
    fn borrow(&self) -> &str {
        self
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// The texts of one report or file: equal ones share one allocation, as long as this lives.
#[derive(Debug, Default)]
pub(crate) struct Interner(HashSet<Arc<str>>);

impl Interner {
    /// The text, shared with everybody who asked for the same.
    pub(crate) fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.0.insert(Arc::clone(&text));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one() {
        let mut interner = Interner::default();
        let (one, other) = (interner.get("s3"), interner.get("ec2"));
        assert_eq!((&*one, &*other), ("s3", "ec2"));
        assert!(Arc::ptr_eq(&one, &interner.get(&String::from("s3"))));
    }

    #[test]
    fn equal_words_are_one_wherever_they_come_from() {
        let (one, other) = (Word::from("s3"), Word::from(&*String::from("s3")));
        assert!(Arc::ptr_eq(&one.0, &other.0));
        assert_eq!(one, other);
        assert_ne!(one, Word::from("ec2"));
        assert_eq!(format!("{one} {one:?}"), "s3 \"s3\"");
    }

    #[test]
    fn words_that_nobody_holds_are_forgotten_and_others_stay() {
        let mut words = Words::default();
        let held: Vec<Word> = (0..SOME).map(|n| words.get(&format!("held {n}"))).collect();
        for n in 0..100 * SOME {
            words.get(&format!("let go {n}"));
            assert!(words.all.len() <= 2 * SOME);
        }
        for word in &held {
            assert!(Arc::ptr_eq(&word.0, &words.get(word).0));
        }
    }
}
