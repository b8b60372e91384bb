//! A collection that is lent to be changed: where it lies if it has a place of its own, else in its compact form behind
//! the key. What cannot be done there is done to a copy, which goes back when the lease ends. It knows nothing of the
//! entry's layout.

use super::entry::{Entry, Kind};
use crate::value::hash::{FieldTime, Hash, HashLimits};
use crate::value::set::{Set, SetLimits};
use crate::value::view::{Compact, CompactForm, View};

/// A collection whose compact forms live in the entry itself while they are short.
pub trait Leasable: Compact {
    /// The kind of an entry with a slot for it.
    #[doc(hidden)]
    const WHOLE: Kind;
    /// The kinds of entries that have nothing but the bytes of these forms.
    #[doc(hidden)]
    const FORMS: &'static [(CompactForm, Kind)];
}

impl Leasable for Hash {
    const WHOLE: Kind = Kind::Hash;
    const FORMS: &'static [(CompactForm, Kind)] = &[(CompactForm::Listpack, Kind::PackedHash)];
}

impl Leasable for Set {
    const WHOLE: Kind = Kind::Set;
    const FORMS: &'static [(CompactForm, Kind)] = &[
        (CompactForm::Listpack, Kind::PackedSet),
        (CompactForm::IntSet, Kind::PackedIntSet),
    ];
}

/// A collection to be changed. What was changed is in the keyspace when the lease ends.
#[derive(Debug)]
pub struct Lease<'a, T: Leasable>(Held<'a, T>);

#[derive(Debug)]
enum Held<'a, T> {
    InPlace(&'a mut T),
    Packed(&'a mut Entry),
    /// A copy; none once it has gone back.
    Apart(&'a mut Entry, Option<T>),
    /// In between.
    Nothing,
}

const KEPT: &str = "a lease holds its collection until it ends";

impl<'a, T: Leasable> Lease<'a, T> {
    pub(super) fn in_place(value: &'a mut T) -> Self {
        Self(Held::InPlace(value))
    }

    pub(super) fn packed(entry: &'a mut Entry) -> Self {
        Self(Held::Packed(entry))
    }

    /// The collection, to be read.
    #[inline]
    #[must_use]
    pub fn view(&self) -> View<'_, T> {
        match &self.0 {
            Held::InPlace(value) => View::Whole(value),
            Held::Packed(entry) => entry.packed_view(),
            Held::Apart(_, value) => View::Whole(value.as_ref().expect(KEPT)),
            Held::Nothing => unreachable!("{KEPT}"),
        }
    }

    /// The collection, to be changed in any way. Copies a short one out. O(bytes of it) the first time.
    pub fn whole(&mut self) -> &mut T {
        if let Held::Packed(entry) = &self.0 {
            let copy = entry.packed_copy();
            if let Held::Packed(entry) = std::mem::replace(&mut self.0, Held::Nothing) {
                self.0 = Held::Apart(entry, Some(copy));
            }
        }
        match &mut self.0 {
            Held::InPlace(value) => value,
            Held::Apart(_, value) => value.as_mut().expect(KEPT),
            Held::Packed(_) | Held::Nothing => unreachable!("{KEPT}"),
        }
    }
}

impl Lease<'_, Hash> {
    /// Sets a field, which then does not run out; true when it is new. As [`Hash::set`].
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &HashLimits) -> bool {
        if let Held::Packed(entry) = &mut self.0 {
            let splice = entry
                .packed_view::<Hash>()
                .splice_to_set(field, value, limits);
            if let Some((splice, created)) = splice
                && entry.splice(&splice)
            {
                return created;
            }
        }
        self.whole().set(field, value, limits)
    }

    /// Sets a field and its time; true when it is new. As [`Hash::set_with_time`].
    pub fn set_with_time(
        &mut self,
        field: &[u8],
        value: &[u8],
        time: FieldTime,
        limits: &HashLimits,
    ) -> bool {
        if matches!(self.0, Held::Packed(_)) && !matches!(time, FieldTime::At(_)) {
            return self.set(field, value, limits);
        }
        self.whole().set_with_time(field, value, time, limits)
    }
}

impl Lease<'_, Set> {
    /// Adds a member; true when it is new. As [`Set::insert`].
    pub fn insert(&mut self, member: &[u8], limits: &SetLimits) -> bool {
        if let Held::Packed(entry) = &mut self.0 {
            if entry.packed_view::<Set>().is_empty() && Set::begins_as_listpack(member, limits) {
                entry.put_empty_listpack();
            }
            match entry.packed_view::<Set>().splice_to_insert(member, limits) {
                Some(None) => return false,
                Some(Some(splice)) if entry.splice(&splice) => return true,
                _ => {}
            }
        }
        self.whole().insert(member, limits)
    }
}

impl<T: Leasable> Drop for Lease<'_, T> {
    fn drop(&mut self) {
        if let Held::Apart(entry, value) = &mut self.0
            && let Some(value) = value.take()
        {
            entry.put_back(value);
        }
    }
}
