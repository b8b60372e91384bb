//! The names that a session listens to. It knows nothing of who publishes.

use std::collections::HashMap;

/// Names of channels or patterns, in the order in which they came: clients that leave all of them at once expect to be
/// told so in that order.
#[derive(Debug, Clone, Default)]
pub struct Subscriptions {
    /// Each name and its place in the order.
    places: HashMap<Box<[u8]>, u64>,
    next: u64,
}

impl Subscriptions {
    /// Adds a name at the end; false if it is there. O(1).
    pub fn insert(&mut self, name: &[u8]) -> bool {
        if self.places.contains_key(name) {
            return false;
        }
        self.places.insert(Box::from(name), self.next);
        self.next += 1;
        true
    }

    /// Takes a name out; false if it was not there. O(1).
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.places.remove(name).is_some()
    }

    /// All names, in their order. O(N log N).
    #[must_use]
    pub fn in_order(&self) -> Vec<Box<[u8]>> {
        let mut all: Vec<_> = self.places.iter().collect();
        all.sort_unstable_by_key(|(_, place)| **place);
        all.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A list without repetitions in which every name is searched does the same.
        #[test]
        fn names_keep_their_order(steps in prop::collection::vec((any::<bool>(), 0..20_u8), 0..200)) {
            let (mut names, mut model) = (Subscriptions::default(), Vec::new());
            for (adds, name) in steps {
                let known = model.contains(&[name]);
                if adds {
                    prop_assert_eq!(names.insert(&[name]), !known);
                    if !known {
                        model.push([name]);
                    }
                } else {
                    prop_assert_eq!(names.remove(&[name]), known);
                    model.retain(|kept| *kept != [name]);
                }
                prop_assert_eq!((names.len(), names.is_empty()), (model.len(), model.is_empty()));
            }
            let all: Vec<Vec<u8>> = names.in_order().into_iter().map(Vec::from).collect();
            prop_assert_eq!(all, model);
        }
    }
}
