//! The fields of a hash of which some run out at a time of their own: a listpack of triplets while small, a `Table` and
//! an order of times from then on. It must not know the clock: what is due is asked for with a time.
//!
//! The listpack is the one of Redis: field, value, time in Unix milliseconds (0: never), by time, those without one last.
//! In the table a value has its time in front of it, in eight bytes.

use std::collections::{BTreeSet, HashSet};

use super::{Dictionary, HashLimits, Pair};
use crate::value::hasher::hash_bytes;
use crate::value::listpack::{Element, Listpack, Position};
use crate::value::random::{below, distinct_below};
use crate::value::table::Table;

/// The time of a field that stays.
const NEVER: i64 = 0;

/// What a field costs in the order of the times: nodes of a B-tree are two thirds full as a rule.
const ORDERED_BYTES: usize = size_of::<(i64, u64)>() * 3 / 2;

/// What becomes of a field's time when it gets a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldTime {
    /// It stays; a new field has none.
    Kept,
    /// The field does not run out.
    Never,
    /// It runs out at this time, in Unix milliseconds.
    At(i64),
}

/// Fields, values and times.
#[derive(Clone)]
pub(super) struct Timed {
    form: Form,
}

#[derive(Clone)]
enum Form {
    /// Field, value, time, field, value, time …
    Listpack(Listpack),
    /// Behind a pointer, because most are small.
    Table(Box<TimedTable>),
}

#[derive(Clone, Default)]
struct TimedTable {
    dictionary: Dictionary,
    /// The times of the fields that run out and the hashes of their names, soonest first. Two fields of one hash that run out
    /// together share a place.
    order: BTreeSet<(i64, u64)>,
}

fn some_time(time: i64) -> Option<i64> {
    (time != NEVER).then_some(time)
}

/// A time that is set: zero would mean that there is none.
fn set_time(time: Option<i64>) -> i64 {
    time.map_or(NEVER, |time| time.max(1))
}

/// The time in front of a value of the table, and the value.
fn split_value(stored: &[u8]) -> (i64, &[u8]) {
    stored
        .split_first_chunk()
        .map_or((NEVER, stored), |(time, value)| {
            (i64::from_le_bytes(*time), value)
        })
}

/// A value as the table stores it, and its time if it has one.
pub(super) fn parts_of(stored: &[u8]) -> (&[u8], Option<i64>) {
    let (time, value) = split_value(stored);
    (value, some_time(time))
}

impl TimedTable {
    fn find(&self, field: &[u8]) -> Option<(i64, &[u8])> {
        let pairs = &self.dictionary.pairs;
        let pair = pairs.find(hash_bytes(field), |pair| pair.field() == field)?;
        Some(split_value(pair.value()))
    }

    /// A field that has this place in the order.
    fn field_at(&self, (time, hash): (i64, u64)) -> Option<&[u8]> {
        let pairs = &self.dictionary.pairs;
        let is_there = |pair: &Pair| split_value(pair.value()).0 == time && pair.hash() == hash;
        Some(pairs.find(hash, is_there)?.field())
    }

    fn set(&mut self, field: &[u8], value: &[u8], time: i64) -> bool {
        let before = self.find(field).map_or(NEVER, |(time, _)| time);
        let stored = [&time.to_le_bytes(), value].concat();
        let is_new = self.dictionary.set(field, &stored);
        self.reorder(field, before, time);
        is_new
    }

    fn remove(&mut self, field: &[u8]) -> bool {
        let before = self.find(field).map_or(NEVER, |(time, _)| time);
        let removed = self.dictionary.remove(field);
        self.reorder(field, before, NEVER);
        removed
    }

    /// A field of the table has another time now, or is gone.
    fn reorder(&mut self, field: &[u8], before: i64, after: i64) {
        if before == after {
            return;
        }
        let hash = hash_bytes(field);
        // Another one may have the same place.
        if before != NEVER && self.field_at((before, hash)).is_none() {
            self.order.remove(&(before, hash));
        }
        if after != NEVER {
            self.order.insert((after, hash));
        }
    }

    fn heap_size(&self) -> usize {
        let Dictionary {
            pairs, pair_bytes, ..
        } = &self.dictionary;
        let ordered = self.order.len() * ORDERED_BYTES;
        size_of::<Self>() + pairs.heap_size() + pair_bytes + ordered
    }
}

/// A triplet of the listpack: where its field stands, and the time.
fn time_at(listpack: &Listpack, field: Position) -> i64 {
    let time = listpack
        .next(field)
        .and_then(|value| listpack.next(value))
        .map(|time| listpack.get(time));
    match time {
        Some(Element::Int(time)) => time,
        _ => NEVER,
    }
}

fn next_triplet(listpack: &Listpack, field: Position) -> Option<Position> {
    let value = listpack.next(field)?;
    listpack.next(listpack.next(value)?)
}

fn find_triplet(listpack: &Listpack, field: &[u8]) -> Option<Position> {
    listpack.find(field, listpack.first()?, 2)
}

/// Puts a triplet where its time belongs: before all that run out no sooner, or last.
fn insert_triplet(listpack: &mut Listpack, field: &[u8], value: &[u8], time: i64) {
    let mut digits = itoa::Buffer::new();
    let words = [field, value, digits.format(time).as_bytes()];
    let mut place = listpack.first().filter(|_| time != NEVER);
    while let Some(position) = place
        && (1..time).contains(&time_at(listpack, position))
    {
        place = next_triplet(listpack, position);
    }
    match place {
        None => words.iter().for_each(|word| listpack.push_back(word)),
        Some(position) => {
            let mut at = listpack.insert_before(position, words[0]);
            for word in &words[1..] {
                at = listpack.insert_after(at, word);
            }
        }
    }
}

impl Timed {
    /// Takes over the fields of a hash without times. O(fields).
    pub(super) fn from_listpack_of_pairs(pairs: &Listpack) -> Self {
        let mut listpack = Listpack::new();
        let mut elements = pairs.iter();
        while let (Some(field), Some(value)) = (elements.next(), elements.next()) {
            let (mut own_field, mut own_value) = (itoa::Buffer::new(), itoa::Buffer::new());
            let words = [
                field.to_bytes(&mut own_field),
                value.to_bytes(&mut own_value),
            ];
            insert_triplet(&mut listpack, words[0], words[1], NEVER);
        }
        Self {
            form: Form::Listpack(listpack),
        }
    }

    /// The same for a large one.
    pub(super) fn from_dictionary(dictionary: &mut Dictionary) -> Self {
        let mut table = Box::<TimedTable>::default();
        table.dictionary.copying = dictionary.take_copy();
        for pair in dictionary.pairs.iter() {
            table.set(pair.field(), pair.value(), NEVER);
        }
        Self {
            form: Form::Table(table),
        }
    }

    /// Takes over a listpack of triplets: none when it is not one, because elements are left over, a time is no time or a
    /// field occurs twice. They may come in any order of their times.
    pub(super) fn from_listpack(listpack: Listpack, limits: &HashLimits) -> Option<Self> {
        let mut triplets = Vec::new();
        let mut elements = listpack.iter();
        while let Some(field) = elements.next() {
            let (value, Element::Int(time)) = (elements.next()?, elements.next()?) else {
                return None;
            };
            triplets.push((field.to_vec(), value.to_vec(), time));
        }
        let mut seen = HashSet::with_capacity(triplets.len());
        let sound = triplets
            .iter()
            .all(|(field, _, time)| *time >= NEVER && seen.insert(field));
        if !sound {
            return None;
        }
        let rank = |time: &i64| some_time(*time).unwrap_or(i64::MAX);
        if !triplets.is_sorted_by_key(|(_, _, time)| rank(time)) {
            triplets.sort_by_key(|(_, _, time)| rank(time));
            let mut sorted = Listpack::new();
            for (field, value, time) in &triplets {
                let mut digits = itoa::Buffer::new();
                let words = [field, value, digits.format(*time).as_bytes()];
                words.iter().for_each(|word| sorted.push_back(word));
            }
            return Some(Self::within(sorted, limits));
        }
        Some(Self::within(listpack, limits))
    }

    fn within(listpack: Listpack, limits: &HashLimits) -> Self {
        let mut timed = Self {
            form: Form::Listpack(listpack),
        };
        let stays = timed.len() <= limits.max_listpack_entries
            && timed
                .iter()
                .all(|(field, value, _)| field.len().max(value.len()) <= limits.max_listpack_value);
        if !stays {
            timed.convert();
        }
        timed
    }

    pub(super) fn as_listpack(&self) -> Option<&Listpack> {
        match &self.form {
            Form::Listpack(listpack) => Some(listpack),
            Form::Table(_) => None,
        }
    }

    pub(super) fn pairs(&self) -> Option<&Table<Pair>> {
        match &self.form {
            Form::Listpack(_) => None,
            Form::Table(table) => Some(&table.dictionary.pairs),
        }
    }

    pub(super) fn dictionary(&self) -> Option<&Dictionary> {
        match &self.form {
            Form::Listpack(_) => None,
            Form::Table(table) => Some(&table.dictionary),
        }
    }

    pub(super) fn dictionary_mut(&mut self) -> Option<&mut Dictionary> {
        match &mut self.form {
            Form::Listpack(_) => None,
            Form::Table(table) => Some(&mut table.dictionary),
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.form {
            Form::Listpack(listpack) => listpack.len() / 3,
            Form::Table(table) => table.dictionary.pairs.len(),
        }
    }

    pub(super) fn heap_size(&self) -> usize {
        let fields = match &self.form {
            Form::Listpack(listpack) => listpack.heap_size(),
            Form::Table(table) => table.heap_size(),
        };
        size_of::<Self>() + fields
    }

    pub(super) fn get(&self, field: &[u8]) -> Option<Element<'_>> {
        match &self.form {
            Form::Listpack(listpack) => {
                let value = listpack.next(find_triplet(listpack, field)?)?;
                Some(listpack.get(value))
            }
            Form::Table(table) => table.find(field).map(|(_, value)| Element::Bytes(value)),
        }
    }

    /// When a field runs out, if ever; none where there is no such field.
    pub(super) fn time(&self, field: &[u8]) -> Option<Option<i64>> {
        let time = match &self.form {
            Form::Listpack(listpack) => time_at(listpack, find_triplet(listpack, field)?),
            Form::Table(table) => table.find(field)?.0,
        };
        Some(some_time(time))
    }

    /// When the next field runs out. O(1) as a listpack, O(log n) as a table.
    pub(super) fn next_time(&self) -> Option<i64> {
        match &self.form {
            Form::Listpack(listpack) => some_time(time_at(listpack, listpack.first()?)),
            Form::Table(table) => table.order.first().map(|(time, _)| *time),
        }
    }

    pub(super) fn set(
        &mut self,
        field: &[u8],
        value: &[u8],
        time: FieldTime,
        limits: &HashLimits,
    ) -> bool {
        if let Form::Listpack(listpack) = &self.form {
            const LONGEST_TIME: &[u8] = b"9223372036854775807";
            let added: usize = [field, value, LONGEST_TIME]
                .iter()
                .map(|word| Listpack::entry_size(word))
                .sum();
            if field.len().max(value.len()) > limits.max_listpack_value
                || !listpack.would_fit(added)
            {
                self.convert();
            }
        }
        let before = self.time(field);
        let moves = matches!(time, FieldTime::At(_));
        let time = match time {
            FieldTime::Kept => set_time(before.flatten()),
            FieldTime::Never => NEVER,
            FieldTime::At(time) => set_time(Some(time)),
        };
        match &mut self.form {
            Form::Listpack(listpack) => set_triplet(listpack, field, value, time, moves),
            Form::Table(table) => _ = table.set(field, value, time),
        }
        if before.is_none() && self.len() > limits.max_listpack_entries {
            self.convert();
        }
        before.is_none()
    }

    /// Gives a field another time; false where there is no such field.
    pub(super) fn set_time(&mut self, field: &[u8], time: Option<i64>) -> bool {
        let Some(value) = self.get(field).map(|value| value.to_vec()) else {
            return false;
        };
        let time = set_time(time);
        match &mut self.form {
            Form::Listpack(listpack) => {
                if let Some(position) = find_triplet(listpack, field)
                    && (time != NEVER || time_at(listpack, position) != NEVER)
                {
                    listpack.remove_range(position, 3);
                    insert_triplet(listpack, field, &value, time);
                }
            }
            Form::Table(table) => _ = table.set(field, &value, time),
        }
        true
    }

    pub(super) fn remove(&mut self, field: &[u8]) -> bool {
        match &mut self.form {
            Form::Listpack(listpack) => {
                let found = find_triplet(listpack, field);
                found.is_some_and(|position| listpack.remove_range(position, 3) == 3)
            }
            Form::Table(table) => table.remove(field),
        }
    }

    /// Removes up to `limit` fields whose time is before `now`, soonest first.
    pub(super) fn remove_due(&mut self, now: i64, limit: usize) -> Vec<Box<[u8]>> {
        let mut removed = Vec::new();
        while removed.len() < limit && self.next_time().is_some_and(|time| time < now) {
            let first = match &self.form {
                Form::Listpack(listpack) => listpack
                    .first()
                    .map(|position| listpack.get(position).to_vec().into()),
                Form::Table(table) => table
                    .order
                    .first()
                    .and_then(|place| table.field_at(*place).map(Box::from)),
            };
            let Some(field) = first else { break };
            if !self.remove(&field) {
                break;
            }
            removed.push(field);
        }
        removed
    }

    /// Fields, values and times: by time while it is a listpack, in no order as a table.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Element<'_>, Element<'_>, Option<i64>)> {
        let mut elements = self.as_listpack().into_iter().flatten();
        let listed = std::iter::from_fn(move || {
            let (field, value, time) = (elements.next()?, elements.next()?, elements.next()?);
            let time = match time {
                Element::Int(time) => some_time(time),
                Element::Bytes(_) => None,
            };
            Some((field, value, time))
        });
        let stored = self.pairs().into_iter().flat_map(Table::iter).map(|pair| {
            let (time, value) = split_value(pair.value());
            let field = Element::Bytes(pair.field());
            (field, Element::Bytes(value), some_time(time))
        });
        listed.chain(stored)
    }

    pub(super) fn random(
        &self,
        random: &mut impl FnMut() -> u64,
    ) -> Option<(Element<'_>, Element<'_>)> {
        match &self.form {
            Form::Listpack(listpack) if listpack.is_empty() => None,
            Form::Listpack(listpack) => {
                let index = below(self.len(), random());
                let field = listpack.seek(3 * index as i64)?;
                Some((listpack.get(field), listpack.get(listpack.next(field)?)))
            }
            Form::Table(table) => table.dictionary.pairs.random(random).map(elements),
        }
    }

    pub(super) fn sample(
        &self,
        count: usize,
        random: &mut impl FnMut() -> u64,
    ) -> Vec<(Element<'_>, Element<'_>)> {
        match &self.form {
            Form::Listpack(_) => {
                let pairs: Vec<_> = self
                    .iter()
                    .map(|(field, value, _)| (field, value))
                    .collect();
                let chosen = distinct_below(pairs.len(), count, random);
                chosen.into_iter().map(|index| pairs[index]).collect()
            }
            Form::Table(table) => {
                let sample = table.dictionary.pairs.sample(count, random);
                sample.into_iter().map(elements).collect()
            }
        }
    }

    /// Becomes a table, unless it is one. O(fields).
    fn convert(&mut self) {
        if self.as_listpack().is_none() {
            return;
        }
        let mut table = Box::<TimedTable>::default();
        for (field, value, time) in self.iter() {
            let (mut own_field, mut own_value) = (itoa::Buffer::new(), itoa::Buffer::new());
            table.set(
                field.to_bytes(&mut own_field),
                value.to_bytes(&mut own_value),
                set_time(time),
            );
        }
        self.form = Form::Table(table);
    }
}

/// Sets a field; one that has its time already is moved before the others of that time all the same if it `moves`.
fn set_triplet(listpack: &mut Listpack, field: &[u8], value: &[u8], time: i64, moves: bool) {
    let found = find_triplet(listpack, field);
    let Some(position) = found else {
        return insert_triplet(listpack, field, value, time);
    };
    if !moves
        && time_at(listpack, position) == time
        && let Some(place) = listpack.next(position)
    {
        listpack.replace(place, value);
        return;
    }
    listpack.remove_range(position, 3);
    insert_triplet(listpack, field, value, time);
}

/// Field and value of a pair that has a time.
pub(super) fn elements(pair: &Pair) -> (Element<'_>, Element<'_>) {
    let (_, value) = split_value(pair.value());
    (Element::Bytes(pair.field()), Element::Bytes(value))
}

#[cfg(test)]
mod tests;
