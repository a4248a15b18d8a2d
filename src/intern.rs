//! Texts that come again and again, each held once.

use std::{
    borrow::Borrow,
    collections::HashSet,
    fmt,
    hash::Hash,
    ops::Deref,
    sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError},
};

/// A text of which there are few different ones in the whole process, e.g. the path of a user: equal
/// ones are one in memory, and each takes no more than a pointer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Word(Arc<Box<str>>);

/// Two texts that are mostly met together, held as a [`Word`] is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pair(Arc<(Word, Word)>);

/// All words.
static WORDS: LazyLock<Mutex<Pool<Word>>> = LazyLock::new(Mutex::default);

/// All pairs.
static PAIRS: LazyLock<Mutex<Pool<Pair>>> = LazyLock::new(Mutex::default);

/// How many there may be in a pool before those that nobody holds are looked for.
const SOME: usize = 1_024;

/// One of each, those that nobody holds any more among them.
struct Pool<T> {
    all: HashSet<T>,
    /// How many were still held when that was last looked at.
    held: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self {
            all: HashSet::new(),
            held: 0,
        }
    }
}

/// What a pool can hold.
trait Pooled: Clone + Eq + Hash {
    /// Whether anybody but the pool holds it.
    fn is_held(&self) -> bool;
}

impl Pooled for Word {
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl Pooled for Pair {
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl<T: Pooled> Pool<T> {
    fn get<Q: Eq + Hash + ?Sized>(&mut self, like: &Q, make: impl FnOnce() -> T) -> T
    where
        T: Borrow<Q>,
    {
        if let Some(known) = self.all.get(like) {
            return known.clone();
        }
        // A report file may hold anything, and any number of it. Doubling keeps the looking cheap.
        if self.all.len() >= SOME.max(2 * self.held) {
            self.all.retain(T::is_held);
            self.all.shrink_to_fit();
            self.held = self.all.len();
        }
        let new = make();
        self.all.insert(new.clone());
        new
    }
}

/// A panic in there leaves nothing half-made.
fn lock<T>(pool: &Mutex<T>) -> MutexGuard<'_, T> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        lock(&WORDS).get(text, || Self(Arc::new(text.into())))
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

impl Pair {
    /// The two texts.
    pub fn of(first: &str, second: &str) -> Self {
        let words = (Word::from(first), Word::from(second));
        let new = || Self(Arc::new(words.clone()));
        lock(&PAIRS).get(&words, new)
    }

    /// The first text.
    pub fn first(&self) -> &str {
        &self.0.0
    }

    /// The second text.
    pub fn second(&self) -> &str {
        &self.0.1
    }
}

impl Borrow<(Word, Word)> for Pair {
    fn borrow(&self) -> &(Word, Word) {
        &self.0
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A text that hardly ever comes, e.g. a status that this version knows nothing of. It takes a byte;
/// after 255 different ones all others are `other`, for none is ever forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rare(u8);

/// The rare texts met so far.
static RARE: [OnceLock<Box<str>>; u8::MAX as usize] = [const { OnceLock::new() }; _];

impl From<&str> for Rare {
    fn from(text: &str) -> Self {
        if text == Self::OTHER {
            return Self(u8::MAX);
        }
        let is_at = |place: &OnceLock<Box<str>>| **place.get_or_init(|| text.into()) == *text;
        let place = RARE.iter().position(is_at);
        Self(
            place
                .and_then(|place| u8::try_from(place).ok())
                .unwrap_or(u8::MAX),
        )
    }
}

impl Rare {
    /// What stands for all that there is no place for.
    const OTHER: &str = "other";

    /// The text.
    pub fn as_str(self) -> &'static str {
        let place = RARE.get(usize::from(self.0)).and_then(OnceLock::get);
        place.map_or(Self::OTHER, |text| text)
    }
}

impl fmt::Debug for Rare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
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
        let mut words = Pool::<Word>::default();
        let mut get = |text: &str| {
            let word = words.get(text, || Word(Arc::new(text.into())));
            assert!(words.all.len() <= 2 * SOME);
            word
        };
        let held: Vec<Word> = (0..SOME).map(|n| get(&format!("held {n}"))).collect();
        for n in 0..100 * SOME {
            get(&format!("let go {n}"));
        }
        for word in &held {
            assert!(Arc::ptr_eq(&word.0, &get(word).0));
        }
    }

    #[test]
    fn equal_pairs_are_one_and_keep_their_order() {
        let pair = Pair::of("s3", "N/A");
        assert!(Arc::ptr_eq(&pair.0, &Pair::of("s3", "N/A").0));
        assert_eq!((pair.first(), pair.second()), ("s3", "N/A"));
        assert_ne!(pair, Pair::of("N/A", "s3"));
    }

    #[test]
    fn rare_texts_are_told_apart() {
        let (one, other) = (Rare::from("Suspended"), Rare::from("Paused"));
        assert_eq!((one.as_str(), other.as_str()), ("Suspended", "Paused"));
        assert_eq!(one, Rare::from("Suspended"));
        assert_ne!(one, other);
    }
}
