//! Texts that come again and again, each held once.

use std::{collections::HashSet, sync::Arc};

/// The texts seen so far: equal ones share one allocation.
///
/// Services, regions and paths are few, and the keys that name them many.
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
}
