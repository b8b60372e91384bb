//! `Hash`: fields and values, as a listpack while small and as a `Table` of pairs from then on. Where fields have been
//! given times to run out at, it is of a third form (`timed`), for good; the others pay nothing for it.
//! It must not know keys, clocks or commands; lengths and limits are given by the caller.

use std::fmt;

use super::copying::{Copying, Step};
use super::hasher::hash_bytes;
use super::listpack::{Element, Listpack, Position, Splice};
use super::random::{below, distinct_below};
use super::table::{Stored, Table};
use super::thin_bytes::{PREFIX_LEN, ThinBytes};
use super::view::{Buffer, Compact, CompactForm};
use timed::Timed;

mod timed;

pub use timed::FieldTime;

/// What a hash may hold before it leaves the listpack form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashLimits {
    /// Fields, at most (`hash-max-listpack-entries`).
    pub max_listpack_entries: usize,
    /// Bytes of a field or a value, at most (`hash-max-listpack-value`).
    pub max_listpack_value: usize,
}

/// A map from field to value, both byte strings. Two words wide.
#[derive(Clone)]
pub struct Hash {
    form: Form,
}

#[derive(Clone)]
enum Form {
    /// Field, value, field, value …
    Listpack(Listpack),
    Table(Box<Dictionary>),
    Timed(Box<Timed>),
}

#[derive(Clone, Default)]
struct Dictionary {
    pairs: Table<Pair>,
    pair_bytes: usize,
    /// What is kept are values as the pairs hold them.
    copying: Copying<CopyPlace, Box<[u8]>>,
}

/// How far a copy of a hash has come, and what kind of hash it is of.
#[derive(Debug, Clone, Copy)]
struct CopyPlace {
    cursor: u64,
    /// Values have times before them.
    timed: bool,
    /// When the first field runs out.
    earliest: Option<i64>,
}

/// A field and its value in one allocation: length of the field (one byte, or 255 and four bytes), field, value.
#[derive(Clone)]
struct Pair(ThinBytes);

/// Field lengths from here on take five bytes.
const LONG_FIELD: u8 = u8::MAX;

fn field_prefix(len: usize, buffer: &mut [u8; 5]) -> &[u8] {
    match u8::try_from(len) {
        Ok(short) if short < LONG_FIELD => {
            buffer[0] = short;
            &buffer[..1]
        }
        _ => {
            let long = u32::try_from(len).expect("ThinBytes bounds the length of a field");
            buffer[0] = LONG_FIELD;
            buffer[1..].copy_from_slice(&long.to_le_bytes());
            buffer
        }
    }
}

impl Stored for Pair {
    fn prefetch(&self) {
        self.0.prefetch();
    }
}

impl Pair {
    fn new(field: &[u8], value: &[u8]) -> Self {
        Self(ThinBytes::new(&[
            field_prefix(field.len(), &mut [0; 5]),
            field,
            value,
        ]))
    }

    /// Where the field begins in the content, and its length.
    #[inline]
    fn field_place(&self) -> (usize, usize) {
        match *self.0.content() {
            [LONG_FIELD, a, b, c, d, ..] => (5, u32::from_le_bytes([a, b, c, d]) as usize),
            [short, ..] => (1, usize::from(short)),
            [] => (0, 0),
        }
    }

    #[inline]
    fn field(&self) -> &[u8] {
        let (start, len) = self.field_place();
        &self.0.content()[start..start + len]
    }

    fn value(&self) -> &[u8] {
        let (start, len) = self.field_place();
        &self.0.content()[start + len..]
    }

    fn elements(&self) -> (Element<'_>, Element<'_>) {
        (Element::Bytes(self.field()), Element::Bytes(self.value()))
    }

    fn set_value(&mut self, value: &[u8]) {
        let (start, len) = self.field_place();
        let at = PREFIX_LEN + start + len;
        self.0.splice(at, self.0.len() - at, &[value]);
    }

    fn hash(&self) -> u64 {
        hash_bytes(self.field())
    }
}

impl Dictionary {
    fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let hash = hash_bytes(field);
        let position = self.pairs.position(hash);
        if let Some(pair) = self.pairs.find_mut(hash, |pair| pair.field() == field) {
            self.copying.note(field, |place| {
                (position >= place.cursor).then(|| Some(pair.value().into()))
            });
            self.pair_bytes -= pair.0.heap_size();
            pair.set_value(value);
            self.pair_bytes += pair.0.heap_size();
            return false;
        }
        self.copying
            .note(field, |place| (position >= place.cursor).then_some(None));
        let pair = Pair::new(field, value);
        self.pair_bytes += pair.0.heap_size();
        self.pairs.insert_unique(hash, pair, Pair::hash);
        true
    }

    fn remove(&mut self, field: &[u8]) -> bool {
        let hash = hash_bytes(field);
        let removed = self
            .pairs
            .remove(hash, |pair| pair.field() == field, Pair::hash);
        if let Some(pair) = &removed {
            self.pair_bytes -= pair.0.heap_size();
            let position = self.pairs.position(hash);
            self.copying.note(field, |place| {
                (position >= place.cursor).then(|| Some(pair.value().into()))
            });
        }
        removed.is_some()
    }

    fn begin_copy(&mut self, timed: bool, earliest: Option<i64>) {
        let place = CopyPlace {
            cursor: 0,
            timed,
            earliest,
        };
        self.copying.begin(self.pairs.len(), place);
    }

    fn copy_part(&mut self, count: usize, mut visit: impl FnMut(&[u8], &[u8], bool)) -> bool {
        match self.copying.step() {
            Some(Step::Walk(place, changed)) => {
                let timed = place.timed;
                place.cursor = self.pairs.scan(place.cursor, count, Pair::hash, |pair| {
                    if !changed.contains_key(pair.field()) {
                        visit(pair.field(), pair.value(), timed);
                    }
                });
                if place.cursor == 0 {
                    self.copying.end_walk();
                }
            }
            Some(Step::Rest(place, rest)) => {
                for (field, old) in rest.take(count) {
                    if let Some(old) = old {
                        visit(&field, &old, place.timed);
                    }
                }
            }
            None => {}
        }
        self.copying.goes_on()
    }

    /// Keeps all that a copy has not got yet, because the pairs go.
    fn take_copy(&mut self) -> Copying<CopyPlace, Box<[u8]>> {
        let mut copying = std::mem::take(&mut self.copying);
        if let Some(&place) = copying.place() {
            for pair in self.pairs.iter() {
                let position = self.pairs.position(pair.hash());
                copying.note(pair.field(), |_| {
                    (position >= place.cursor).then(|| Some(pair.value().into()))
                });
            }
            copying.end_walk();
        }
        copying
    }
}

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}

impl Compact for Hash {
    fn compact(&self) -> Option<(CompactForm, &[u8])> {
        let listpack = self.as_listpack()?;
        Some((CompactForm::Listpack, listpack.as_bytes()))
    }

    fn from_buffer(_: CompactForm, buffer: Buffer) -> Self {
        Self {
            form: Form::Listpack(Listpack::from_buffer(buffer)),
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash")
            .field("encoding", &self.encoding())
            .field("len", &self.len())
            .finish()
    }
}

impl Hash {
    /// A hash without fields.
    pub fn new() -> Self {
        Self {
            form: Form::Listpack(Listpack::new()),
        }
    }

    /// Takes over a listpack of fields and values (RDB, RESTORE): none when it is not one, because an element is left
    /// over or a field occurs twice. O(fields).
    pub fn from_listpack(listpack: Listpack, limits: &HashLimits) -> Option<Self> {
        let len = listpack.len();
        let listed = Self {
            form: Form::Listpack(listpack),
        };
        let mut dictionary = Dictionary::default();
        let distinct = listed.iter().all(|(field, value)| {
            let (mut own_field, mut own_value) = (itoa::Buffer::new(), itoa::Buffer::new());
            dictionary.set(
                field.to_bytes(&mut own_field),
                value.to_bytes(&mut own_value),
            )
        });
        if !distinct || !len.is_multiple_of(2) {
            return None;
        }
        let stays = listed.len() <= limits.max_listpack_entries
            && listed
                .iter()
                .all(|(field, value)| field.len().max(value.len()) <= limits.max_listpack_value);
        Some(if stays {
            listed
        } else {
            Self {
                form: Form::Table(Box::new(dictionary)),
            }
        })
    }

    /// The listpack of a hash in that form, to be stored as it is.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.form {
            Form::Listpack(listpack) => Some(listpack),
            Form::Table(_) | Form::Timed(_) => None,
        }
    }

    /// The name of the form, as OBJECT ENCODING says it.
    pub fn encoding(&self) -> &'static str {
        match &self.form {
            Form::Listpack(_) => "listpack",
            Form::Table(_) => "hashtable",
            Form::Timed(timed) if timed.as_listpack().is_some() => "listpackex",
            Form::Timed(_) => "hashtable",
        }
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Listpack(listpack) => listpack.len() / 2,
            Form::Table(dictionary) => dictionary.pairs.len(),
            Form::Timed(timed) => timed.len(),
        }
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes allocated. O(1).
    pub fn heap_size(&self) -> usize {
        match &self.form {
            Form::Listpack(listpack) => listpack.heap_size(),
            Form::Table(dictionary) => {
                size_of::<Dictionary>() + dictionary.pairs.heap_size() + dictionary.pair_bytes
            }
            Form::Timed(timed) => timed.heap_size(),
        }
    }

    /// The hash table's buckets, where there is one.
    pub fn bucket_count(&self) -> Option<usize> {
        match &self.form {
            Form::Listpack(_) => None,
            Form::Table(dictionary) => Some(dictionary.pairs.bucket_count()),
            Form::Timed(timed) => timed.pairs().map(Table::bucket_count),
        }
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8]) -> Option<Element<'_>> {
        match &self.form {
            Form::Listpack(listpack) => {
                let value = listpack.next(find_field(listpack, field)?)?;
                Some(listpack.get(value))
            }
            Form::Table(dictionary) => {
                let pair = dictionary
                    .pairs
                    .find(hash_bytes(field), |pair| pair.field() == field)?;
                Some(Element::Bytes(pair.value()))
            }
            Form::Timed(timed) => timed.get(field),
        }
    }

    /// Starts to fetch what a look-up of `field` will read, where that lies far away.
    pub fn prefetch(&self, field: &[u8]) {
        let pairs = match &self.form {
            Form::Listpack(_) => None,
            Form::Table(dictionary) => Some(&dictionary.pairs),
            Form::Timed(timed) => timed.pairs(),
        };
        if let Some(pair) = pairs.and_then(|pairs| pairs.candidate(hash_bytes(field))) {
            pair.prefetch();
        }
    }

    /// Whether there is such a field.
    pub fn contains(&self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// Sets a field, which then does not run out; true when it is new. May leave the listpack form, for good.
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &HashLimits) -> bool {
        if let Form::Listpack(listpack) = &self.form
            && (field.len().max(value.len()) > limits.max_listpack_value
                || !listpack.would_fit(Listpack::entry_size(field) + Listpack::entry_size(value)))
        {
            self.convert();
        }
        let created = match &mut self.form {
            Form::Listpack(listpack) => set_in_listpack(listpack, field, value),
            Form::Table(dictionary) => dictionary.set(field, value),
            Form::Timed(timed) => return timed.set(field, value, FieldTime::Never, limits),
        };
        if created
            && matches!(self.form, Form::Listpack(_))
            && self.len() > limits.max_listpack_entries
        {
            self.convert();
        }
        created
    }

    /// What [`set`](Self::set) would do to the bytes of a listpack, and whether the field is new. None where it would
    /// leave that form, or has left it.
    pub fn splice_to_set<'a>(
        &self,
        field: &'a [u8],
        value: &'a [u8],
        limits: &HashLimits,
    ) -> Option<(Splice<'a>, bool)> {
        let listpack = self.as_listpack()?;
        if field.len().max(value.len()) > limits.max_listpack_value {
            return None;
        }
        let found = find_field(listpack, field).and_then(|position| listpack.next(position));
        if let Some(position) = found {
            return Some((Splice::replacing(listpack, position, value), false));
        }
        let splice = Splice::appending(listpack, field, Some(value));
        (self.len() < limits.max_listpack_entries).then_some((splice, true))
    }

    /// Removes a field; false when it was not there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match &mut self.form {
            Form::Listpack(listpack) => {
                let found = find_field(listpack, field);
                found.is_some_and(|position| listpack.remove_range(position, 2) == 2)
            }
            Form::Table(dictionary) => dictionary.remove(field),
            Form::Timed(timed) => timed.remove(field),
        }
    }

    /// All fields and values: in order of insertion while it is a listpack, in no order as a table.
    pub fn iter(&self) -> impl Iterator<Item = (Element<'_>, Element<'_>)> {
        let (listpack, table, timed) = match &self.form {
            Form::Listpack(listpack) => (Some(listpack), None, false),
            Form::Table(dictionary) => (None, Some(&dictionary.pairs), false),
            Form::Timed(timed) => (timed.as_listpack(), timed.pairs(), true),
        };
        let mut elements = listpack.into_iter().flatten();
        let listed = std::iter::from_fn(move || {
            let pair = (elements.next()?, elements.next()?);
            if timed {
                elements.next();
            }
            Some(pair)
        });
        let pairs = table.into_iter().flat_map(Table::iter).map(move |pair| {
            if timed {
                timed::elements(pair)
            } else {
                pair.elements()
            }
        });
        listed.chain(pairs)
    }

    /// Visits about `count` fields from `cursor` on (all of a listpack) and returns the cursor to go on from, 0 at
    /// the end. See [`Table::scan`].
    pub fn scan(
        &self,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(Element<'_>, Element<'_>),
    ) -> u64 {
        let (pairs, timed) = match &self.form {
            Form::Listpack(_) => (None, false),
            Form::Table(dictionary) => (Some(&dictionary.pairs), false),
            Form::Timed(timed) => (timed.pairs(), true),
        };
        let Some(pairs) = pairs else {
            self.iter().for_each(|(field, value)| visit(field, value));
            return 0;
        };
        pairs.scan(cursor, count, Pair::hash, |pair| {
            let (field, value) = if timed {
                timed::elements(pair)
            } else {
                pair.elements()
            };
            visit(field, value);
        })
    }

    /// Any field and its value, each with the same probability. `random` gives uniform words.
    pub fn random(&self, random: &mut impl FnMut() -> u64) -> Option<(Element<'_>, Element<'_>)> {
        match &self.form {
            Form::Listpack(_) if self.is_empty() => None,
            Form::Listpack(listpack) => pair_at(listpack, below(self.len(), random())),
            Form::Table(dictionary) => dictionary.pairs.random(random).map(Pair::elements),
            Form::Timed(timed) => timed.random(random),
        }
    }

    /// `count` different fields (all of them if there are no more), each choice equally likely, in no order.
    pub fn sample(
        &self,
        count: usize,
        random: &mut impl FnMut() -> u64,
    ) -> Vec<(Element<'_>, Element<'_>)> {
        match &self.form {
            Form::Listpack(_) => {
                let pairs: Vec<_> = self.iter().collect();
                let chosen = distinct_below(pairs.len(), count, random);
                chosen.into_iter().map(|index| pairs[index]).collect()
            }
            Form::Table(dictionary) => dictionary
                .pairs
                .sample(count, random)
                .into_iter()
                .map(Pair::elements)
                .collect(),
            Form::Timed(timed) => timed.sample(count, random),
        }
    }

    fn convert(&mut self) {
        let mut dictionary = Dictionary::default();
        for (field, value) in self.iter() {
            let (mut own_field, mut own_value) = (itoa::Buffer::new(), itoa::Buffer::new());
            dictionary.set(
                field.to_bytes(&mut own_field),
                value.to_bytes(&mut own_value),
            );
        }
        self.form = Form::Table(Box::new(dictionary));
    }
}

/// A copy of what the hash is at one moment, taken part by part while it goes on changing.
impl Hash {
    fn dictionary(&self) -> Option<&Dictionary> {
        match &self.form {
            Form::Listpack(_) => None,
            Form::Table(dictionary) => Some(dictionary),
            Form::Timed(timed) => timed.dictionary(),
        }
    }

    fn dictionary_mut(&mut self) -> Option<&mut Dictionary> {
        match &mut self.form {
            Form::Listpack(_) => None,
            Form::Table(dictionary) => Some(dictionary),
            Form::Timed(timed) => timed.dictionary_mut(),
        }
    }

    /// Begins a copy; false where that takes a table, and the hash has none. O(1).
    pub fn begin_copy(&mut self) -> bool {
        let (timed, earliest) = (self.knows_times(), self.next_time());
        let Some(dictionary) = self.dictionary_mut() else {
            return false;
        };
        dictionary.begin_copy(timed, earliest);
        true
    }

    /// Fields when the copy began, and when the first of them runs out.
    pub fn copied(&self) -> (usize, Option<i64>) {
        self.dictionary().map_or((0, None), |dictionary| {
            let earliest = dictionary.copying.place().and_then(|place| place.earliest);
            (dictionary.copying.len(), earliest)
        })
    }

    /// The next part of the copy, about `count` fields in no order with their values and times; whether there is more.
    /// O(part).
    pub fn copy_part(
        &mut self,
        count: usize,
        mut visit: impl FnMut(Element<'_>, Element<'_>, Option<i64>),
    ) -> bool {
        self.dictionary_mut().is_some_and(|dictionary| {
            dictionary.copy_part(count, |field, stored, timed| {
                let (value, time) = match timed {
                    true => timed::parts_of(stored),
                    false => (stored, None),
                };
                visit(Element::Bytes(field), Element::Bytes(value), time);
            })
        })
    }

    /// Nobody wants the rest of the copy.
    pub fn end_copy(&mut self) {
        if let Some(dictionary) = self.dictionary_mut() {
            dictionary.copying.end();
        }
    }
}

/// Times of single fields, in Unix milliseconds.
impl Hash {
    /// Takes over a listpack of fields, values and times (RDB, RESTORE), 0 being no time: none when it is not one.
    /// O(fields), O(n log n) where they are not in order of their times.
    pub fn from_listpack_with_times(listpack: Listpack, limits: &HashLimits) -> Option<Self> {
        let timed = Timed::from_listpack(listpack, limits)?;
        Some(Self {
            form: Form::Timed(Box::new(timed)),
        })
    }

    /// The listpack of a hash with times in that form, to be stored as it is: soonest first.
    pub fn as_listpack_with_times(&self) -> Option<&Listpack> {
        match &self.form {
            Form::Timed(timed) => timed.as_listpack(),
            Form::Listpack(_) | Form::Table(_) => None,
        }
    }

    /// Whether it is of the form that knows times, which need not mean that a field has one now.
    pub fn knows_times(&self) -> bool {
        matches!(self.form, Form::Timed(_))
    }

    /// Goes over to the form that knows times, for good. O(fields) the first time.
    pub fn know_times(&mut self) {
        let timed = match &mut self.form {
            Form::Listpack(listpack) => Timed::from_listpack_of_pairs(listpack),
            Form::Table(dictionary) => Timed::from_dictionary(dictionary),
            Form::Timed(_) => return,
        };
        self.form = Form::Timed(Box::new(timed));
    }

    /// When the next field runs out.
    #[inline]
    pub fn next_time(&self) -> Option<i64> {
        match &self.form {
            Form::Timed(timed) => timed.next_time(),
            Form::Listpack(_) | Form::Table(_) => None,
        }
    }

    /// Whether a field's time is before `now`.
    #[inline]
    pub fn is_due(&self, now: i64) -> bool {
        match &self.form {
            Form::Timed(timed) => timed.next_time().is_some_and(|time| time < now),
            Form::Listpack(_) | Form::Table(_) => false,
        }
    }

    /// When a field runs out, if ever; none where there is no such field.
    pub fn time(&self, field: &[u8]) -> Option<Option<i64>> {
        match &self.form {
            Form::Timed(timed) => timed.time(field),
            Form::Listpack(_) | Form::Table(_) => self.contains(field).then_some(None),
        }
    }

    /// Gives a field another time, or none; false where there is no such field.
    pub fn set_time(&mut self, field: &[u8], time: Option<i64>) -> bool {
        if time.is_some() {
            self.know_times();
        }
        match &mut self.form {
            Form::Timed(timed) => timed.set_time(field, time),
            Form::Listpack(_) | Form::Table(_) => self.contains(field),
        }
    }

    /// Sets a field and its time; true when it is new.
    pub fn set_with_time(
        &mut self,
        field: &[u8],
        value: &[u8],
        time: FieldTime,
        limits: &HashLimits,
    ) -> bool {
        if matches!(time, FieldTime::At(_)) {
            self.know_times();
        }
        match &mut self.form {
            Form::Timed(timed) => timed.set(field, value, time, limits),
            Form::Listpack(_) | Form::Table(_) => self.set(field, value, limits),
        }
    }

    /// Removes up to `limit` fields whose time is before `now`, soonest first. O(log n) each.
    pub fn remove_due(&mut self, now: i64, limit: usize) -> Vec<Box<[u8]>> {
        match &mut self.form {
            Form::Timed(timed) => timed.remove_due(now, limit),
            Form::Listpack(_) | Form::Table(_) => Vec::new(),
        }
    }

    /// All fields and values with their times: soonest first while it is a listpack, in no order as a table.
    pub fn iter_with_times(&self) -> impl Iterator<Item = (Element<'_>, Element<'_>, Option<i64>)> {
        let timed = match &self.form {
            Form::Timed(timed) => Some(timed),
            Form::Listpack(_) | Form::Table(_) => None,
        };
        let plain = self
            .iter()
            .take(if timed.is_some() { 0 } else { self.len() });
        plain
            .map(|(field, value)| (field, value, None))
            .chain(timed.into_iter().flat_map(|timed| timed.iter()))
    }
}

fn find_field(listpack: &Listpack, field: &[u8]) -> Option<Position> {
    listpack.find(field, listpack.first()?, 1)
}

fn set_in_listpack(listpack: &mut Listpack, field: &[u8], value: &[u8]) -> bool {
    let found = find_field(listpack, field).and_then(|position| listpack.next(position));
    if let Some(position) = found {
        listpack.replace(position, value);
        return false;
    }
    listpack.push_back(field);
    listpack.push_back(value);
    true
}

fn pair_at(listpack: &Listpack, index: usize) -> Option<(Element<'_>, Element<'_>)> {
    let field = listpack.seek(2 * index as i64)?;
    Some((listpack.get(field), listpack.get(listpack.next(field)?)))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const LIMITS: HashLimits = HashLimits {
        max_listpack_entries: 8,
        max_listpack_value: 16,
    };

    fn contents(hash: &Hash) -> BTreeMap<Vec<u8>, Vec<u8>> {
        hash.iter()
            .map(|(field, value)| (field.to_vec(), value.to_vec()))
            .collect()
    }

    fn check_bytes(hash: &Hash) {
        if let Form::Table(dictionary) = &hash.form {
            let bytes: usize = dictionary.pairs.iter().map(|pair| pair.0.heap_size()).sum();
            assert_eq!(bytes, dictionary.pair_bytes);
        }
    }

    /// Hashes without times are no larger for those that have them.
    #[test]
    fn is_two_words_wide() {
        assert_eq!(size_of::<Hash>(), 2 * size_of::<usize>());
    }

    #[test]
    fn leaves_the_listpack_for_good_when_limits_are_exceeded() {
        let mut hash = Hash::new();
        for number in 0..8 {
            assert!(hash.set(format!("field:{number}").as_bytes(), b"12", &LIMITS));
        }
        assert_eq!((hash.encoding(), hash.len()), ("listpack", 8));
        assert_eq!(hash.get(b"field:3"), Some(Element::Int(12)));
        let mut long = hash.clone();
        assert!(hash.set(b"ninth", b"", &LIMITS));
        assert!(!long.set(b"field:0", &[b'x'; 17], &LIMITS));
        for hash in [&mut hash, &mut long] {
            assert_eq!(hash.encoding(), "hashtable");
            assert_eq!(hash.get(b"field:3"), Some(Element::Bytes(b"12")));
            assert!(hash.remove(b"field:3") && !hash.remove(b"field:3"));
            assert_eq!(hash.encoding(), "hashtable");
            check_bytes(hash);
        }
    }

    #[test]
    fn long_fields_and_values_keep_apart() {
        let mut hash = Hash::new();
        for len in [0, 1, 253, 254, 255, 256, 70_000] {
            let (field, value) = (vec![b'f'; len], vec![b'v'; len]);
            assert!(hash.set(&field, &value, &LIMITS));
            assert!(!hash.set(&field, b"other", &LIMITS));
            assert_eq!(hash.get(&field), Some(Element::Bytes(b"other")));
            assert!(!hash.set(&field, &value, &LIMITS));
            assert_eq!(hash.get(&field).map(|value| value.to_vec()), Some(value));
        }
        check_bytes(&hash);
    }

    #[test]
    fn refuses_listpacks_that_are_no_hash() {
        let limits = HashLimits {
            max_listpack_entries: 2,
            max_listpack_value: 16,
        };
        let take = |elements: &[&str]| Hash::from_listpack(elements.iter().collect(), &limits);
        assert!(take(&["a", "1", "b"]).is_none());
        assert!(take(&["a", "1", "a", "2"]).is_none());
        assert_eq!(
            take(&["a", "1", "b", "2"]).map(|hash| hash.encoding()),
            Some("listpack")
        );
        let large = take(&["a", "1", "b", "2", "c", "3"]).expect("it is a hash");
        assert_eq!((large.encoding(), large.len()), ("hashtable", 3));
    }

    #[test]
    fn random_fields_come_from_either_form() {
        let mut state = 0_u64;
        let mut random = || {
            state += 1;
            hash_bytes(&state.to_le_bytes())
        };
        assert!(Hash::new().random(&mut random).is_none());
        for size in [8_usize, 40] {
            let mut hash = Hash::new();
            (0..size).for_each(|number| assert!(hash.set(&[b'a' + number as u8], b"A", &LIMITS)));
            let seen: BTreeSet<_> = (0..size * 20)
                .filter_map(|_| hash.random(&mut random))
                .map(|(field, _)| field.to_vec())
                .collect();
            assert_eq!(seen.len(), size);
            for count in [0, 1, 3, size - 1, size, size + 5] {
                let sample = hash.sample(count, &mut random);
                let distinct: BTreeSet<_> =
                    sample.iter().map(|(field, _)| field.to_vec()).collect();
                assert_eq!(
                    (sample.len(), distinct.len()),
                    (count.min(size), count.min(size))
                );
            }
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(
            entries in 0_usize..40,
            operations in prop::collection::vec(
                (any::<bool>(), "[a-c0-9]{0,2}", prop_oneof!["-?[0-9]{1,4}", "[a-z]{0,20}"]), 1..120),
        ) {
            let limits = HashLimits { max_listpack_entries: entries, max_listpack_value: 16 };
            let mut hash = Hash::new();
            let mut model = BTreeMap::new();
            for (set, field, value) in operations {
                let (field, value) = (field.into_bytes(), value.into_bytes());
                if set {
                    prop_assert_eq!(hash.set(&field, &value, &limits), model.insert(field.clone(), value).is_none());
                } else {
                    prop_assert_eq!(hash.remove(&field), model.remove(&field).is_some());
                }
                prop_assert_eq!(hash.get(&field).map(|value| value.to_vec()), model.get(&field).cloned());
                prop_assert_eq!(hash.len(), model.len());
            }
            check_bytes(&hash);
            prop_assert_eq!(contents(&hash), model.clone());
            prop_assert_eq!(contents(&hash.clone()), model.clone());
            let (mut scanned, mut cursor) = (BTreeMap::new(), 0);
            loop {
                cursor = hash.scan(cursor, 3, |field, value| {
                    assert!(scanned.insert(field.to_vec(), value.to_vec()).is_none());
                });
                if cursor == 0 {
                    break;
                }
            }
            prop_assert_eq!(scanned, model);
        }
    }
}
