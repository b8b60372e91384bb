//! A collection that is looked at where it lies: as it is, or made for the moment around a compact form that lies in
//! somebody else's memory. It must not know whose memory that is.
#![expect(
    unsafe_code,
    reason = "a handle whose buffer belongs to somebody else must neither free nor change it"
)]

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;

use super::thin_bytes::{PREFIX_LEN, ThinBytes};

/// The forms that are one run of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompactForm {
    /// A listpack.
    Listpack,
    /// An intset.
    IntSet,
}

/// A collection that may have a compact form, whose bytes can be kept elsewhere.
pub trait Compact: Sized {
    /// The form and its bytes, if it has one that [`View::of_bytes`] and [`from_bytes`] take.
    fn compact(&self) -> Option<(CompactForm, &[u8])>;

    /// Takes over bytes that [`Compact::compact`] gave. Only moves them into place: it neither drops nor panics.
    #[doc(hidden)]
    fn from_buffer(form: CompactForm, buffer: Buffer) -> Self;
}

/// The bytes of a compact form, as the forms themselves hold them.
#[derive(Debug)]
pub struct Buffer(pub(super) ThinBytes);

/// A collection of its own around a copy of `bytes`, which [`Compact::compact`] gave.
///
/// # Panics
/// When the bytes are too few to be any form.
pub fn from_bytes<T: Compact>(form: CompactForm, bytes: &[u8]) -> T {
    let content = bytes.get(PREFIX_LEN..).expect("every form has a prefix");
    T::from_buffer(form, Buffer(ThinBytes::new(&[content])))
}

/// A handle around bytes that belong to somebody else.
pub struct Lent<'a, T> {
    handle: ManuallyDrop<T>,
    bytes: PhantomData<&'a [u8]>,
}

/// A collection to be read.
pub enum View<'a, T> {
    /// It has a place of its own.
    Whole(&'a T),
    /// Only its bytes have one.
    Bytes(Lent<'a, T>),
}

impl<'a, T: Compact> View<'a, T> {
    /// Looks at `bytes`, which [`Compact::compact`] gave.
    ///
    /// # Panics
    /// When they are not as many as their prefix says.
    #[inline]
    pub fn of_bytes(form: CompactForm, bytes: &'a [u8]) -> Self {
        // SAFETY: the buffer is never dropped nor changed: `from_buffer` only moves it, and what it is moved into stays
        // in `ManuallyDrop` and is given out as a shared reference, for as long as `bytes` are borrowed at most.
        let buffer = Buffer(unsafe { ThinBytes::over(bytes) });
        Self::Bytes(Lent {
            handle: ManuallyDrop::new(T::from_buffer(form, buffer)),
            bytes: PhantomData,
        })
    }

    /// Bytes that the collection itself has on the heap.
    pub fn own_heap_size(&self, heap_size: impl Fn(&T) -> usize) -> usize {
        match self {
            Self::Whole(whole) => heap_size(whole),
            Self::Bytes(_) => 0,
        }
    }
}

impl<T> Deref for View<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self {
            Self::Whole(whole) => whole,
            Self::Bytes(lent) => &lent.handle,
        }
    }
}

impl<T> Clone for View<'_, T> {
    /// Another look at the same collection.
    #[inline]
    fn clone(&self) -> Self {
        match self {
            Self::Whole(whole) => Self::Whole(whole),
            Self::Bytes(lent) => Self::Bytes(Lent {
                // SAFETY: neither handle is ever dropped or changed, so that both may name the same bytes.
                handle: unsafe { ptr::read(&lent.handle) },
                bytes: PhantomData,
            }),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for View<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl<T: fmt::Debug> fmt::Debug for Lent<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (*self.handle).fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::hash::{Hash, HashLimits};
    use crate::value::set::{Set, SetLimits};

    #[test]
    fn a_hash_is_read_where_its_bytes_lie() {
        let limits = HashLimits {
            max_listpack_entries: 2,
            max_listpack_value: 9,
        };
        let mut hash = Hash::new();
        hash.set(b"a", b"1", &limits);
        hash.set(b"b", b"text", &limits);
        let (form, bytes) = hash.compact().expect("a listpack");
        let bytes = bytes.to_vec();
        let other = View::<Hash>::of_bytes(form, &bytes).clone();
        assert_eq!(
            other.get(b"b").map(|value| value.to_vec()),
            Some(b"text".to_vec())
        );
        let mut copy: Hash = from_bytes(form, &bytes);
        assert!(copy.remove(b"a") && !other.own_heap_size(Hash::heap_size) > 0);
        assert_eq!((copy.len(), other.len(), hash.len()), (1, 2, 2));
        copy.set(b"c", b"longer than nine", &limits);
        assert!(copy.compact().is_none());
    }

    #[test]
    fn a_set_has_two_compact_forms() {
        let limits = SetLimits {
            max_intset_entries: 9,
            max_listpack_entries: 9,
            max_listpack_value: 9,
        };
        let mut set = Set::new();
        for (member, expected) in [
            (&b"7"[..], CompactForm::IntSet),
            (b"-300", CompactForm::IntSet),
            (b"x", CompactForm::Listpack),
        ] {
            set.insert(member, &limits);
            let (form, bytes) = set.compact().expect("it is small");
            assert_eq!(form, expected);
            let view = View::<Set>::of_bytes(form, bytes);
            assert!(view.contains(member) && view.len() == set.len());
        }
    }

    #[test]
    #[should_panic(expected = "prefix")]
    fn bytes_of_another_length_are_refused() {
        let _ = View::<Set>::of_bytes(CompactForm::Listpack, &[9, 0, 0, 0, 0, 0, 255]);
    }
}
