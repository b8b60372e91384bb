//! One key with its value and expiry, in one allocation where it can be: short strings, and small hashes and sets in
//! their compact forms, stand behind the key. The only unsafe file of the keyspace: it owns the layout below and hands
//! out nothing but checked slices and references. It knows no clock and no locks.
//!
//! ```text
//! 0        1         4          6            8
//! +--------+---------+----------+------------+-- --------+- ---------+-- -----------+-----+-------------+
//! | kind + | access  | key      | inline     | expiry    | long key  | slot: i64 or | key | inline      |
//! | flags  | 24 bits | length   | length     | 8, if set | 8, if so  | collection   |     | bytes       |
//! +--------+---------+----------+------------+-----------+-----------+--------------+-----+-------------+
//! ```
#![expect(
    unsafe_code,
    reason = "a thin, variable-length allocation; every offset is derived from the header that was written with it"
)]

#[cfg(test)]
mod tests;

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::mem::{ManuallyDrop, align_of, size_of};
use std::ptr::NonNull;
use std::{fmt, ptr, slice};

use super::lease::{Leasable, Lease};
use super::parts::Source;
use crate::value::hash::Hash;
use crate::value::intset::EMPTY_INTSET;
use crate::value::list::List;
use crate::value::listpack::{EMPTY_LISTPACK, Element, Splice};
use crate::value::number::parse_i64;
use crate::value::prefetch::{prefetch_behind, prefetch_read};
use crate::value::set::Set;
use crate::value::stream::Stream;
use crate::value::view::{self, CompactForm, View};
use crate::value::zset::SortedSet;

/// Longest string that lives in the entry itself.
const MAX_INLINE: usize = 1024;
/// Longest compact form that lives in the entry itself. A change copies it out and back, so it stays short.
const MAX_PACKED: usize = 512;
/// Longest string that Redis calls `embstr`.
const MAX_EMBEDDED: usize = 44;
const HEADER: usize = 8;
/// Where the header, a usual key and the beginning of its value end.
const NEAR: usize = 40;
const LONG_KEY: usize = u16::MAX as usize;

const HAS_EXPIRY: u8 = 0x10;
/// A hash of which fields run out, as its shard counts it.
const HAS_FIELD_TIMES: u8 = 0x20;
const KIND: u8 = 0x0f;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Inline,
    Int,
    Heap,
    List,
    Hash,
    Set,
    SortedSet,
    Stream,
    /// A hash that is a short listpack.
    PackedHash,
    /// A set that is a short listpack.
    PackedSet,
    /// A set that is a short intset.
    PackedIntSet,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Inline,
        Self::Int,
        Self::Heap,
        Self::List,
        Self::Hash,
        Self::Set,
        Self::SortedSet,
        Self::Stream,
        Self::PackedHash,
        Self::PackedSet,
        Self::PackedIntSet,
    ];

    const fn slot_size(self) -> usize {
        match self {
            Self::Inline | Self::PackedHash | Self::PackedSet | Self::PackedIntSet => 0,
            Self::Int => size_of::<i64>(),
            Self::Heap => size_of::<Vec<u8>>(),
            Self::List => size_of::<List>(),
            Self::Hash => size_of::<Hash>(),
            Self::Set => size_of::<Set>(),
            Self::SortedSet => size_of::<SortedSet>(),
            Self::Stream => size_of::<Stream>(),
        }
    }
}

/// Where a key of usual length begins, by the kind and the flag of an expiry.
static KEY_OFFSETS: [u8; 32] = {
    let mut offsets = [0; 32];
    let mut kind = 0;
    while kind < Kind::ALL.len() {
        let offset = HEADER + Kind::ALL[kind].slot_size();
        offsets[kind] = offset as u8;
        offsets[kind | HAS_EXPIRY as usize] = (offset + 8) as u8;
        kind += 1;
    }
    offsets
};

const _: () = assert!(
    align_of::<List>() <= 8
        && align_of::<Hash>() <= 8
        && align_of::<Set>() <= 8
        && align_of::<SortedSet>() <= 8
        && align_of::<Stream>() <= 8
);

/// An owned value of any type.
#[derive(Debug, Clone)]
pub enum Value {
    /// A string that is a canonical 64-bit integer.
    Int(i64),
    /// Any other string.
    Bytes(Vec<u8>),
    /// A string that was changed in place, which OBJECT ENCODING calls `raw` however short it is.
    Raw(Vec<u8>),
    /// A list.
    List(List),
    /// A hash.
    Hash(Hash),
    /// A set.
    Set(Set),
    /// A sorted set.
    SortedSet(SortedSet),
    /// A stream.
    Stream(Stream),
}

impl Value {
    /// A string in its smallest form: an integer where it is one.
    #[must_use]
    pub fn string(bytes: &[u8]) -> Self {
        parse_i64(bytes).map_or_else(|| Self::Bytes(bytes.to_vec()), Self::Int)
    }

    /// How the value looks from outside.
    #[must_use]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Int(n) => ValueRef::String(Element::Int(*n)),
            Self::Bytes(b) | Self::Raw(b) => ValueRef::String(Element::Bytes(b)),
            Self::List(v) => ValueRef::List(v),
            Self::Hash(v) => ValueRef::Hash(View::Whole(v)),
            Self::Set(v) => ValueRef::Set(View::Whole(v)),
            Self::SortedSet(v) => ValueRef::SortedSet(v),
            Self::Stream(v) => ValueRef::Stream(v),
        }
    }
}

macro_rules! from_collection {
    ($($kind:ident)*) => {$(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Self::$kind(value)
            }
        }
    )*};
}
from_collection!(List Hash Set SortedSet Stream);

/// A borrowed value of any type.
#[derive(Debug, Clone)]
pub enum ValueRef<'a> {
    /// A string, perhaps held as an integer.
    String(Element<'a>),
    /// A list.
    List(&'a List),
    /// A hash.
    Hash(View<'a, Hash>),
    /// A set.
    Set(View<'a, Set>),
    /// A sorted set.
    SortedSet(&'a SortedSet),
    /// A stream.
    Stream(&'a Stream),
}

impl ValueRef<'_> {
    /// As TYPE names it.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Hash(_) => "hash",
            Self::Set(_) => "set",
            Self::SortedSet(_) => "zset",
            Self::Stream(_) => "stream",
        }
    }

    /// Bytes on the heap beyond the entry.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        match self {
            Self::String(_) => 0,
            Self::List(v) => v.heap_size(),
            Self::Hash(v) => v.own_heap_size(Hash::heap_size),
            Self::Set(v) => v.own_heap_size(Set::heap_size),
            Self::SortedSet(v) => v.heap_size(),
            Self::Stream(v) => v.heap_size(),
        }
    }
}

/// A key, its value, its expiry and when it was last used. One pointer wide.
pub struct Entry(NonNull<u8>);

// SAFETY: an entry owns its allocation alone, and everything in it is Send.
unsafe impl Send for Entry {}
// SAFETY: shared access only reads.
unsafe impl Sync for Entry {}

/// How a collection's bytes live in an entry, if they may.
fn packed<T: Leasable>(value: &T) -> Option<(Kind, &[u8])> {
    let (form, bytes) = value.compact()?;
    let kind = T::FORMS.iter().find(|(packed, _)| *packed == form)?.1;
    (bytes.len() <= MAX_PACKED).then_some((kind, bytes))
}

struct Shape {
    kind: Kind,
    expiry: bool,
    key: usize,
    inline: usize,
}

impl Shape {
    const fn long_key(&self) -> bool {
        self.key >= LONG_KEY
    }
    const fn slot(&self) -> usize {
        HEADER + if self.expiry { 8 } else { 0 } + if self.long_key() { 8 } else { 0 }
    }
    const fn key_offset(&self) -> usize {
        self.slot() + self.kind.slot_size()
    }
    const fn inline_offset(&self) -> usize {
        self.key_offset() + self.key
    }
    fn layout(&self) -> Layout {
        Layout::from_size_align(self.inline_offset() + self.inline, 8)
            .expect("keys are shorter than the address space")
    }
}

impl Entry {
    /// An entry; the value moves in.
    #[must_use]
    pub fn new(key: &[u8], value: Value, expires_at_ms: Option<i64>) -> Self {
        match value {
            Value::Bytes(bytes) if bytes.len() <= MAX_INLINE => {
                Self::inline(key, &bytes, expires_at_ms)
            }
            Value::Bytes(bytes) | Value::Raw(bytes) => {
                Self::with_slot(key, Kind::Heap, expires_at_ms, bytes)
            }
            Value::Int(n) => Self::with_slot(key, Kind::Int, expires_at_ms, n),
            Value::List(v) => Self::with_slot(key, Kind::List, expires_at_ms, v),
            Value::Hash(v) => Self::with_collection(key, expires_at_ms, v),
            Value::Set(v) => Self::with_collection(key, expires_at_ms, v),
            Value::SortedSet(v) => Self::with_slot(key, Kind::SortedSet, expires_at_ms, v),
            Value::Stream(v) => Self::with_slot(key, Kind::Stream, expires_at_ms, v),
        }
    }

    /// A string entry, integers recognised, without a temporary copy of the value.
    #[must_use]
    pub fn new_string(key: &[u8], bytes: &[u8], expires_at_ms: Option<i64>) -> Self {
        match parse_i64(bytes) {
            Some(n) => Self::with_slot(key, Kind::Int, expires_at_ms, n),
            None if bytes.len() <= MAX_INLINE => Self::inline(key, bytes, expires_at_ms),
            None => Self::with_slot(key, Kind::Heap, expires_at_ms, bytes.to_vec()),
        }
    }

    /// A hash without fields, to be filled.
    #[must_use]
    pub fn empty_hash(key: &[u8]) -> Self {
        Self::with_bytes(key, Kind::PackedHash, EMPTY_LISTPACK, None)
    }

    /// A set without members, to be filled.
    #[must_use]
    pub fn empty_set(key: &[u8]) -> Self {
        Self::with_bytes(key, Kind::PackedIntSet, EMPTY_INTSET, None)
    }

    /// A collection, in the entry itself where it can be.
    fn with_collection<T: Leasable>(key: &[u8], expires_at_ms: Option<i64>, value: T) -> Self {
        match packed(&value) {
            Some((kind, bytes)) => Self::with_bytes(key, kind, bytes, expires_at_ms),
            None => Self::with_slot(key, T::WHOLE, expires_at_ms, value),
        }
    }

    fn inline(key: &[u8], bytes: &[u8], expires_at_ms: Option<i64>) -> Self {
        Self::with_bytes(key, Kind::Inline, bytes, expires_at_ms)
    }

    fn with_bytes(key: &[u8], kind: Kind, bytes: &[u8], expires_at_ms: Option<i64>) -> Self {
        let shape = Shape {
            kind,
            expiry: expires_at_ms.is_some(),
            key: key.len(),
            inline: bytes.len(),
        };
        let entry = Self::allocate(&shape, key, expires_at_ms);
        // SAFETY: the layout of `shape` has `inline` bytes at `inline_offset`.
        unsafe {
            ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                entry.0.as_ptr().add(shape.inline_offset()),
                bytes.len(),
            )
        };
        entry
    }

    fn with_slot<T>(key: &[u8], kind: Kind, expires_at_ms: Option<i64>, value: T) -> Self {
        assert_eq!(kind.slot_size(), size_of::<T>());
        let shape = Shape {
            kind,
            expiry: expires_at_ms.is_some(),
            key: key.len(),
            inline: 0,
        };
        let entry = Self::allocate(&shape, key, expires_at_ms);
        // SAFETY: the slot has the size of T (asserted), lies at a multiple of 8 and T needs no more alignment.
        unsafe { entry.0.as_ptr().add(shape.slot()).cast::<T>().write(value) };
        entry
    }

    fn allocate(shape: &Shape, key: &[u8], expires_at_ms: Option<i64>) -> Self {
        let layout = shape.layout();
        // SAFETY: the layout is at least the header long. All writes lie within it by `Shape`'s arithmetic.
        unsafe {
            let Some(start) = NonNull::new(alloc(layout)) else {
                handle_alloc_error(layout)
            };
            let p = start.as_ptr();
            let flags = if shape.expiry { HAS_EXPIRY } else { 0 };
            p.cast::<u32>().write(u32::from(shape.kind as u8 | flags));
            p.add(4).cast::<u16>().write(shape.key.min(LONG_KEY) as u16);
            p.add(6).cast::<u16>().write(shape.inline as u16);
            if let Some(at) = expires_at_ms {
                p.add(HEADER).cast::<i64>().write(at);
            }
            if shape.long_key() {
                p.add(shape.slot() - 8)
                    .cast::<u64>()
                    .write(shape.key as u64);
            }
            ptr::copy_nonoverlapping(key.as_ptr(), p.add(shape.key_offset()), key.len());
            Self(start)
        }
    }

    /// Brings the entry towards the processor: its header, key and short value, which begin anywhere in a cache line and so
    /// often end in the next.
    #[inline]
    pub fn prefetch(&self) {
        // SAFETY: every entry is at least its header long.
        let start = unsafe { self.0.as_ref() };
        prefetch_read(start);
        prefetch_behind(start, NEAR);
    }

    fn flags(&self) -> u8 {
        // SAFETY: the first byte of every entry is initialised.
        unsafe { self.0.as_ptr().read() }
    }

    fn kind(&self) -> Kind {
        Kind::ALL[usize::from(self.flags() & KIND)]
    }

    fn shape(&self) -> Shape {
        let p = self.0.as_ptr();
        let flags = self.flags();
        let expiry = flags & HAS_EXPIRY != 0;
        // SAFETY: the header is initialised; the long length stands where `allocate` put it.
        unsafe {
            let mut key = usize::from(p.add(4).cast::<u16>().read());
            if key == LONG_KEY {
                key = p
                    .add(HEADER + if expiry { 8 } else { 0 })
                    .cast::<u64>()
                    .read() as usize;
            }
            let inline = usize::from(p.add(6).cast::<u16>().read());
            Shape {
                kind: self.kind(),
                expiry,
                key,
                inline,
            }
        }
    }

    /// The key.
    #[must_use]
    #[inline]
    pub fn key(&self) -> &[u8] {
        let p = self.0.as_ptr();
        // SAFETY: the header is initialised; the key was copied there by `allocate`.
        unsafe {
            let len = usize::from(p.add(4).cast::<u16>().read());
            if len == LONG_KEY {
                let shape = self.shape();
                return slice::from_raw_parts(p.add(shape.key_offset()), shape.key);
            }
            let offset = KEY_OFFSETS[usize::from(self.flags() & (KIND | HAS_EXPIRY))];
            slice::from_raw_parts(p.add(usize::from(offset)), len)
        }
    }

    /// When it expires, in Unix milliseconds.
    #[must_use]
    pub fn expires_at_ms(&self) -> Option<i64> {
        // SAFETY: the flag says that the expiry was written.
        (self.flags() & HAS_EXPIRY != 0)
            .then(|| unsafe { self.0.as_ptr().add(HEADER).cast::<i64>().read() })
    }

    /// Sets or removes the expiry; moves the entry when it did not have one, or loses it.
    pub fn set_expires_at_ms(&mut self, at: Option<i64>) {
        match at {
            Some(at) if self.flags() & HAS_EXPIRY != 0 => {
                // SAFETY: the flag says that the place exists.
                unsafe { self.0.as_ptr().add(HEADER).cast::<i64>().write(at) };
            }
            None if self.flags() & HAS_EXPIRY == 0 => {}
            _ => self.reshape(at),
        }
    }

    fn reshape(&mut self, at: Option<i64>) {
        let old = self.shape();
        let new = Shape {
            kind: old.kind,
            expiry: at.is_some(),
            key: old.key,
            inline: old.inline,
        };
        let mut moved = Self::allocate(&new, self.key(), at);
        // SAFETY: both slots have the size of the kind, both inline parts the same length; the old allocation is freed
        // below without dropping the slot, which now lives in the new one.
        unsafe {
            let (from, to) = (self.0.as_ptr(), moved.0.as_ptr());
            ptr::copy_nonoverlapping(
                from.add(old.slot()),
                to.add(new.slot()),
                old.kind.slot_size(),
            );
            ptr::copy_nonoverlapping(
                from.add(old.inline_offset()),
                to.add(new.inline_offset()),
                old.inline,
            );
        }
        moved.touch(self.access());
        moved.flag_field_times(self.has_field_times());
        let old_entry = ManuallyDrop::new(std::mem::replace(self, moved));
        // SAFETY: `old_entry` owned this allocation with this layout, and is never used again.
        unsafe { dealloc(old_entry.0.as_ptr(), old.layout()) };
    }

    /// Whether fields of it ran out at a time when [`Self::note_field_times`] was called last.
    #[must_use]
    pub fn has_field_times(&self) -> bool {
        self.flags() & HAS_FIELD_TIMES != 0
    }

    /// Notes whether fields run out, and returns when the next one does.
    pub fn note_field_times(&mut self) -> Option<i64> {
        if self.kind() != Kind::Hash {
            return None;
        }
        let next = match self.value() {
            ValueRef::Hash(hash) => hash.next_time(),
            _ => None,
        };
        self.flag_field_times(next.is_some());
        next
    }

    fn flag_field_times(&mut self, has: bool) {
        let flags = self.flags() & !HAS_FIELD_TIMES | if has { HAS_FIELD_TIMES } else { 0 };
        // SAFETY: the first byte of every entry is the flags', and `self` is borrowed exclusively.
        unsafe { self.0.as_ptr().write(flags) };
    }

    /// Whether a field's time is before `now_ms`.
    #[must_use]
    pub fn has_due_fields(&self, now_ms: i64) -> bool {
        self.has_field_times()
            && matches!(self.value(), ValueRef::Hash(hash) if hash.is_due(now_ms))
    }

    /// The 24 bits of the access clock (LRU time or LFU counter).
    #[must_use]
    pub fn access(&self) -> u32 {
        // SAFETY: the first four bytes are initialised and aligned.
        unsafe { self.0.as_ptr().cast::<u32>().read() >> 8 }
    }

    /// Notes that the key was used, at this access clock.
    pub fn touch(&mut self, clock: u32) {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe {
            let p = self.0.as_ptr().cast::<u32>();
            p.write((p.read() & 0xff) | (clock << 8));
        }
    }

    fn slot<T>(&self, kind: Kind) -> &T {
        debug_assert_eq!(kind.slot_size(), size_of::<T>());
        // SAFETY: callers name the T of this kind; `with_slot` wrote it.
        unsafe { &*self.0.as_ptr().add(self.shape().slot()).cast::<T>() }
    }

    fn slot_mut<T>(&mut self, kind: Kind) -> &mut T {
        debug_assert_eq!(kind.slot_size(), size_of::<T>());
        // SAFETY: as `slot`, and `self` is borrowed exclusively.
        unsafe { &mut *self.0.as_ptr().add(self.shape().slot()).cast::<T>() }
    }

    /// What stands behind the key.
    fn bytes(&self) -> &[u8] {
        let shape = self.shape();
        // SAFETY: `with_bytes` or `put_bytes` copied as many bytes there.
        unsafe { slice::from_raw_parts(self.0.as_ptr().add(shape.inline_offset()), shape.inline) }
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> ValueRef<'_> {
        let kind = self.kind();
        match kind {
            Kind::Inline => ValueRef::String(Element::Bytes(self.bytes())),
            Kind::PackedHash => ValueRef::Hash(View::of_bytes(CompactForm::Listpack, self.bytes())),
            Kind::PackedSet => ValueRef::Set(View::of_bytes(CompactForm::Listpack, self.bytes())),
            Kind::PackedIntSet => ValueRef::Set(View::of_bytes(CompactForm::IntSet, self.bytes())),
            Kind::Int => ValueRef::String(Element::Int(*self.slot::<i64>(kind))),
            Kind::Heap => ValueRef::String(Element::Bytes(self.slot::<Vec<u8>>(kind))),
            Kind::List => ValueRef::List(self.slot(kind)),
            Kind::Hash => ValueRef::Hash(View::Whole(self.slot(kind))),
            Kind::Set => ValueRef::Set(View::Whole(self.slot(kind))),
            Kind::SortedSet => ValueRef::SortedSet(self.slot(kind)),
            Kind::Stream => ValueRef::Stream(self.slot(kind)),
        }
    }

    /// The value as it is taken in parts. One that `keeps` what it was is changed by that.
    pub(super) fn source(&mut self, keeps: bool) -> Source<'_> {
        let kind = self.kind();
        match kind {
            Kind::List if keeps => Source::List(self.slot_mut(kind)),
            Kind::Hash if keeps => Source::Hash(self.slot_mut(kind)),
            Kind::Set if keeps => Source::Set(self.slot_mut(kind)),
            Kind::SortedSet if keeps => Source::SortedSet(self.slot_mut(kind)),
            _ => Source::Whole(self.value()),
        }
    }

    /// The list, if it is one.
    pub fn list_mut(&mut self) -> Option<&mut List> {
        (self.kind() == Kind::List).then(|| self.slot_mut(Kind::List))
    }

    /// The hash, if it is one.
    pub fn hash_mut(&mut self) -> Option<Lease<'_, Hash>> {
        self.lease()
    }

    /// The set, if it is one.
    pub fn set_mut(&mut self) -> Option<Lease<'_, Set>> {
        self.lease()
    }

    fn lease<T: Leasable>(&mut self) -> Option<Lease<'_, T>> {
        let kind = self.kind();
        if kind == T::WHOLE {
            return Some(Lease::in_place(self.slot_mut(kind)));
        }
        let is_packed = T::FORMS.iter().any(|(_, packed)| *packed == kind);
        is_packed.then(|| Lease::packed(self))
    }

    /// A look at a collection that stands behind the key.
    pub(super) fn packed_view<T: Leasable>(&self) -> View<'_, T> {
        View::of_bytes(self.packed_form::<T>(), self.bytes())
    }

    /// A copy of it.
    pub(super) fn packed_copy<T: Leasable>(&self) -> T {
        view::from_bytes(self.packed_form::<T>(), self.bytes())
    }

    fn packed_form<T: Leasable>(&self) -> CompactForm {
        let kind = self.kind();
        let form = T::FORMS.iter().find(|(_, packed)| *packed == kind);
        form.expect("a lease is of the type that stands behind the key")
            .0
    }

    /// Changes a listpack that stands behind the key; false if that would make it too long.
    pub(super) fn splice(&mut self, splice: &Splice<'_>) -> bool {
        let (shape, new_len) = (self.shape(), splice.new_len());
        if new_len > MAX_PACKED {
            return false;
        }
        let longest = new_len.max(shape.inline);
        if new_len > shape.inline {
            self.resize_bytes(&shape, new_len);
        }
        // SAFETY: the allocation has this many bytes there, those of the old form and what was resized are initialised,
        // and `self` is borrowed exclusively.
        splice.apply(unsafe {
            slice::from_raw_parts_mut(self.0.as_ptr().add(shape.inline_offset()), longest)
        });
        if new_len < shape.inline {
            self.resize_bytes(&shape, new_len);
        }
        true
    }

    /// Brings what stands behind the key from the length in `old`, which is that of the entry, to another one. What is
    /// new is zero.
    fn resize_bytes(&mut self, old: &Shape, len: usize) {
        assert!(old.kind.slot_size() == 0 && len <= MAX_PACKED);
        let new = Shape {
            inline: len,
            ..*old
        };
        let (from, to) = (old.layout(), new.layout());
        // SAFETY: the allocation was made with `from`, and `to` has the same alignment and a size that is neither zero
        // nor too long. Without a slot, all before the bytes behind the key stays where it is.
        unsafe {
            let moved = realloc(self.0.as_ptr(), from, to.size());
            self.0 = NonNull::new(moved).unwrap_or_else(|| handle_alloc_error(to));
            let p = self.0.as_ptr();
            p.add(6).cast::<u16>().write(len as u16);
            if let Some(added) = len.checked_sub(old.inline) {
                p.add(new.inline_offset() + old.inline)
                    .write_bytes(0, added);
            }
        }
    }

    /// Puts a collection that was copied out back in.
    pub(super) fn put_back<T: Leasable>(&mut self, value: T) {
        if let Some((kind, bytes)) = packed(&value) {
            return self.put_bytes(kind, bytes);
        }
        let access = self.access();
        *self = Self::with_slot(self.key(), T::WHOLE, self.expires_at_ms(), value);
        self.touch(access);
    }

    /// Replaces what stands behind the key of an entry that has no slot.
    fn put_bytes(&mut self, kind: Kind, bytes: &[u8]) {
        assert!(kind.slot_size() == 0);
        let shape = self.shape();
        self.resize_bytes(&shape, bytes.len());
        // SAFETY: neither kind has a slot, so that the layout is the same but for the length, which was adjusted; the
        // bytes come from elsewhere.
        unsafe {
            let p = self.0.as_ptr();
            p.write(p.read() & !KIND | kind as u8);
            ptr::copy_nonoverlapping(bytes.as_ptr(), p.add(shape.inline_offset()), bytes.len());
        }
    }

    /// Makes a listpack without elements of a set that has none.
    pub(super) fn put_empty_listpack(&mut self) {
        self.put_bytes(Kind::PackedSet, EMPTY_LISTPACK);
    }

    /// The sorted set, if it is one.
    pub fn sorted_set_mut(&mut self) -> Option<&mut SortedSet> {
        (self.kind() == Kind::SortedSet).then(|| self.slot_mut(Kind::SortedSet))
    }

    /// The stream, if it is one.
    pub fn stream_mut(&mut self) -> Option<&mut Stream> {
        (self.kind() == Kind::Stream).then(|| self.slot_mut(Kind::Stream))
    }

    /// The string as bytes that can grow and change, if it is a string. From then on it is `raw` to OBJECT ENCODING.
    pub fn bytes_mut(&mut self) -> Option<&mut Vec<u8>> {
        let bytes = match self.value() {
            ValueRef::String(_) if self.kind() == Kind::Heap => None,
            ValueRef::String(text) => Some(text.to_vec()),
            _ => return None,
        };
        if let Some(bytes) = bytes {
            let access = self.access();
            *self = Self::with_slot(self.key(), Kind::Heap, self.expires_at_ms(), bytes);
            self.touch(access);
        }
        Some(self.slot_mut(Kind::Heap))
    }

    /// Whether it is a string.
    #[must_use]
    pub fn is_string(&self) -> bool {
        matches!(self.kind(), Kind::Inline | Kind::Int | Kind::Heap)
    }

    /// Overwrites an integer in place, if the entry holds one.
    pub fn int_mut(&mut self) -> Option<&mut i64> {
        (self.kind() == Kind::Int).then(|| self.slot_mut(Kind::Int))
    }

    /// Replaces a string in place when the new one has the same shape; false when a new entry is needed.
    pub fn overwrite_string(&mut self, bytes: &[u8]) -> bool {
        if let Some(integer) = parse_i64(bytes) {
            return self.int_mut().map(|old| *old = integer).is_some();
        }
        let shape = self.shape();
        if shape.kind != Kind::Inline || shape.inline != bytes.len() {
            return false;
        }
        // SAFETY: the inline part is `bytes.len()` long, and `bytes` is borrowed from elsewhere.
        unsafe {
            ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.0.as_ptr().add(shape.inline_offset()),
                bytes.len(),
            );
        }
        true
    }

    /// As OBJECT ENCODING names it.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match self.value() {
            ValueRef::String(Element::Int(_)) => "int",
            ValueRef::String(Element::Bytes(b))
                if self.kind() == Kind::Inline && b.len() <= MAX_EMBEDDED =>
            {
                "embstr"
            }
            ValueRef::String(_) => "raw",
            ValueRef::List(_) => "quicklist",
            ValueRef::Hash(v) => v.encoding(),
            // Redis 7.0, whose answers these are, has no listpack for sets and calls small and large ones alike.
            ValueRef::Set(v) if v.as_intset().is_none() => "hashtable",
            ValueRef::Set(v) => v.encoding(),
            ValueRef::SortedSet(v) => v.encoding(),
            ValueRef::Stream(_) => "stream",
        }
    }

    /// Takes the value out and frees the rest.
    #[must_use]
    pub fn into_value(self) -> Value {
        let kind = self.kind();
        if kind.slot_size() == 0 {
            return self.clone_value();
        }
        let entry = ManuallyDrop::new(self);
        let shape = entry.shape();
        // SAFETY: the slot is read out once and the allocation freed without dropping it again.
        unsafe {
            let slot = entry.0.as_ptr().add(shape.slot());
            let value = match kind {
                Kind::Inline | Kind::PackedHash | Kind::PackedSet | Kind::PackedIntSet => {
                    unreachable!("returned above")
                }
                Kind::Int => Value::Int(slot.cast::<i64>().read()),
                Kind::Heap => Value::Raw(slot.cast::<Vec<u8>>().read()),
                Kind::List => Value::List(slot.cast::<List>().read()),
                Kind::Hash => Value::Hash(slot.cast::<Hash>().read()),
                Kind::Set => Value::Set(slot.cast::<Set>().read()),
                Kind::SortedSet => Value::SortedSet(slot.cast::<SortedSet>().read()),
                Kind::Stream => Value::Stream(slot.cast::<Stream>().read()),
            };
            dealloc(entry.0.as_ptr(), shape.layout());
            value
        }
    }

    /// An owned copy of the value. O(size of the value).
    #[must_use]
    pub fn clone_value(&self) -> Value {
        match self.value() {
            ValueRef::String(Element::Int(n)) => Value::Int(n),
            ValueRef::String(Element::Bytes(b)) if self.kind() == Kind::Heap => {
                Value::Raw(b.to_vec())
            }
            ValueRef::String(Element::Bytes(b)) => Value::Bytes(b.to_vec()),
            ValueRef::List(v) => Value::List(v.clone()),
            ValueRef::Hash(v) => Value::Hash(Hash::clone(&v)),
            ValueRef::Set(v) => Value::Set(Set::clone(&v)),
            ValueRef::SortedSet(v) => Value::SortedSet(v.clone()),
            ValueRef::Stream(v) => Value::Stream(v.clone()),
        }
    }

    /// Bytes allocated for the entry and everything under it.
    #[must_use]
    pub fn memory(&self) -> usize {
        let heap = match self.kind() {
            Kind::Heap => self.slot::<Vec<u8>>(Kind::Heap).capacity(),
            _ => self.value().heap_size(),
        };
        self.shape().layout().size() + heap
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let shape = self.shape();
        // SAFETY: the slot holds a live value of its kind, dropped here once; then the allocation goes with the layout
        // it was made with.
        unsafe {
            let slot = self.0.as_ptr().add(shape.slot());
            match shape.kind {
                Kind::Inline
                | Kind::Int
                | Kind::PackedHash
                | Kind::PackedSet
                | Kind::PackedIntSet => {}
                Kind::Heap => slot.cast::<Vec<u8>>().drop_in_place(),
                Kind::List => slot.cast::<List>().drop_in_place(),
                Kind::Hash => slot.cast::<Hash>().drop_in_place(),
                Kind::Set => slot.cast::<Set>().drop_in_place(),
                Kind::SortedSet => slot.cast::<SortedSet>().drop_in_place(),
                Kind::Stream => slot.cast::<Stream>().drop_in_place(),
            }
            dealloc(self.0.as_ptr(), shape.layout());
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &String::from_utf8_lossy(self.key()))
            .field("value", &self.value())
            .field("expires_at_ms", &self.expires_at_ms())
            .finish()
    }
}
