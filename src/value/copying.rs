//! What a collection was when a copy of it was begun. While that goes on, part by part, whoever changes what has not been
//! copied leaves here what was there before; so nobody waits for the copy, and it is the collection of one moment.
//! It must not know what is copied, nor in which order.

use std::collections::{HashMap, hash_map};

/// Names of what has changed, and what each was: none where it was not there, or has been copied already.
pub(super) type Changed<V> = HashMap<Box<[u8]>, Option<V>>;

/// A copy of a collection under way, or none. A clone of the collection has none.
#[derive(Debug)]
pub(super) struct Copying<P, V>(Option<Box<Copy<P, V>>>);

#[derive(Debug)]
struct Copy<P, V> {
    /// Elements when it began.
    len: usize,
    /// How far it has come.
    place: P,
    left: Left<V>,
}

#[derive(Debug)]
enum Left<V> {
    /// What lies behind the place but for what has changed, and then that.
    All(Changed<V>),
    /// What has changed.
    Rest(hash_map::IntoIter<Box<[u8]>, Option<V>>),
}

/// What comes next.
pub(super) enum Step<'a, P, V> {
    /// The next elements behind the place, but for those that have changed. The place is to be moved on.
    Walk(&'a mut P, &'a Changed<V>),
    /// Some of what has changed.
    Rest(&'a P, &'a mut hash_map::IntoIter<Box<[u8]>, Option<V>>),
}

impl<P, V> Default for Copying<P, V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<P, V> Clone for Copying<P, V> {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl<P, V> Copying<P, V> {
    /// Begins a copy of what is there now, `len` elements, at a place before all of them.
    pub(super) fn begin(&mut self, len: usize, place: P) {
        self.0 = Some(Box::new(Copy {
            len,
            place,
            left: Left::All(Changed::new()),
        }));
    }

    /// Nothing more is kept for it.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }

    /// Elements when it began.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |copy| copy.len)
    }

    pub(super) fn place(&self) -> Option<&P> {
        Some(&self.0.as_ref()?.place)
    }

    /// Before a change of `name`: `old` says from the place of the copy what is to be kept, if anything.
    #[inline]
    pub(super) fn note(&mut self, name: &[u8], old: impl FnOnce(&P) -> Option<Option<V>>) {
        if let Some(copy) = &mut self.0 {
            copy.note(name, old);
        }
    }

    /// Everything that is left has been noted: the walk is over.
    pub(super) fn end_walk(&mut self) {
        if let Some(copy) = &mut self.0
            && let Left::All(changed) = &mut copy.left
        {
            copy.left = Left::Rest(std::mem::take(changed).into_iter());
        }
    }

    /// What is to be copied next; none when the copy is complete, and over.
    pub(super) fn step(&mut self) -> Option<Step<'_, P, V>> {
        let is_complete = self.0.as_ref().is_none_or(|copy| match &copy.left {
            Left::All(_) => false,
            Left::Rest(rest) => rest.len() == 0,
        });
        if is_complete {
            self.0 = None;
        }
        let copy = self.0.as_mut()?;
        Some(match &mut copy.left {
            Left::All(changed) => Step::Walk(&mut copy.place, changed),
            Left::Rest(rest) => Step::Rest(&copy.place, rest),
        })
    }

    /// Whether there is more to copy. Where there is not, it is over.
    pub(super) fn goes_on(&mut self) -> bool {
        self.step().is_some()
    }
}

impl<P, V> Copy<P, V> {
    #[cold]
    fn note(&mut self, name: &[u8], old: impl FnOnce(&P) -> Option<Option<V>>) {
        if let Left::All(changed) = &mut self.left
            && !changed.contains_key(name)
            && let Some(old) = old(&self.place)
        {
            changed.insert(name.into(), old);
        }
    }
}
