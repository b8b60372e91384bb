//! `Set`: distinct members, as sorted integers, as a listpack, or as a `Table` of members.
//! It must not know keys, clocks or commands; lengths and limits are given by the caller.

use std::fmt;

use smallvec::SmallVec;

use super::copying::{Copying, Step};
use super::hasher::hash_bytes;
use super::intset::{self, IntSet};
use super::listpack::{Element, Listpack, Position, Splice};
use super::number::parse_i64;
use super::random::{below, distinct_below};
use super::table::{Stored, Table};
use super::thin_bytes::ThinBytes;
use super::view::{Buffer, Compact, CompactForm};

/// What a set may hold before it leaves its compact forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetLimits {
    /// Members of a set of integers, at most (`set-max-intset-entries`).
    pub max_intset_entries: usize,
    /// Members of a listpack, at most (`set-max-listpack-entries`); 0: never a listpack.
    pub max_listpack_entries: usize,
    /// Bytes of a member of a listpack, at most (`set-max-listpack-value`).
    pub max_listpack_value: usize,
}

/// A set of byte strings. Two words wide.
#[derive(Clone)]
pub struct Set {
    form: Form,
}

#[derive(Clone)]
enum Form {
    IntSet(IntSet),
    Listpack(Listpack),
    Table(Box<Dictionary>),
}

#[derive(Clone, Default)]
struct Dictionary {
    members: Table<ThinBytes>,
    member_bytes: usize,
    /// The place is a cursor.
    copying: Copying<u64, ()>,
}

impl Stored for ThinBytes {
    fn prefetch(&self) {
        self.prefetch();
    }
}

fn hash_of(member: &ThinBytes) -> u64 {
    hash_bytes(member.content())
}

impl Dictionary {
    fn insert(&mut self, member: &[u8]) -> bool {
        let (stored, created) = self.members.find_or_insert(
            hash_bytes(member),
            |other| other.content() == member,
            || ThinBytes::new(&[member]),
            hash_of,
        );
        if created {
            self.member_bytes += stored.heap_size();
            let position = self.members.position(hash_bytes(member));
            self.copying
                .note(member, |&cursor| (position >= cursor).then_some(None));
        }
        created
    }

    fn contains(&self, member: &[u8]) -> bool {
        self.members
            .find(hash_bytes(member), |other| other.content() == member)
            .is_some()
    }

    fn remove(&mut self, member: &[u8]) -> bool {
        let removed = self.members.remove(
            hash_bytes(member),
            |other| other.content() == member,
            hash_of,
        );
        if let Some(member) = &removed {
            self.note_removed(member);
        }
        removed.is_some()
    }

    fn note_removed(&mut self, member: &ThinBytes) {
        self.member_bytes -= member.heap_size();
        let position = self.members.position(hash_of(member));
        self.copying.note(member.content(), |&cursor| {
            (position >= cursor).then_some(Some(()))
        });
    }

    fn pop(&mut self, random: &mut impl FnMut() -> u64) -> Option<Vec<u8>> {
        let id = self.members.random_id(random)?;
        let member = self.members.remove_id(id, hash_of)?;
        self.note_removed(&member);
        Some(member.content().to_vec())
    }

    fn copy_part(&mut self, count: usize, mut visit: impl FnMut(Element<'_>)) -> bool {
        match self.copying.step() {
            Some(Step::Walk(cursor, changed)) => {
                *cursor = self.members.scan(*cursor, count, hash_of, |member| {
                    if !changed.contains_key(member.content()) {
                        visit(Element::Bytes(member.content()));
                    }
                });
                if *cursor == 0 {
                    self.copying.end_walk();
                }
            }
            Some(Step::Rest(_, rest)) => rest
                .take(count)
                .filter(|(_, old)| old.is_some())
                .for_each(|(member, _)| visit(Element::Bytes(&member))),
            None => {}
        }
        self.copying.goes_on()
    }
}

impl Default for Set {
    fn default() -> Self {
        Self::new()
    }
}

impl Compact for Set {
    fn compact(&self) -> Option<(CompactForm, &[u8])> {
        match &self.form {
            Form::IntSet(integers) => Some((CompactForm::IntSet, integers.buffer())),
            Form::Listpack(listpack) => Some((CompactForm::Listpack, listpack.as_bytes())),
            Form::Table(_) => None,
        }
    }

    fn from_buffer(form: CompactForm, buffer: Buffer) -> Self {
        let form = match form {
            CompactForm::IntSet => Form::IntSet(IntSet::from_buffer(buffer)),
            CompactForm::Listpack => Form::Listpack(Listpack::from_buffer(buffer)),
        };
        Self { form }
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Set")
            .field("encoding", &self.encoding())
            .field("len", &self.len())
            .finish()
    }
}

impl Set {
    /// A set without members. The first one decides on its form.
    pub fn new() -> Self {
        Self {
            form: Form::IntSet(IntSet::new()),
        }
    }

    /// Takes over sorted integers (RDB, RESTORE).
    pub fn from_intset(integers: IntSet, limits: &SetLimits) -> Self {
        let mut set = Self {
            form: Form::IntSet(integers),
        };
        set.keep_intset_limit(limits);
        set
    }

    /// Takes over a listpack of members (RDB, RESTORE): none when a member occurs twice. O(members).
    pub fn from_listpack(listpack: Listpack, limits: &SetLimits) -> Option<Self> {
        let mut dictionary = Dictionary::default();
        let distinct = listpack
            .iter()
            .all(|member| member.with_bytes(|bytes| dictionary.insert(bytes)));
        let stays = listpack.len() <= limits.max_listpack_entries
            && listpack
                .iter()
                .all(|member| member.len() <= limits.max_listpack_value);
        let form = if stays {
            Form::Listpack(listpack)
        } else {
            Form::Table(Box::new(dictionary))
        };
        distinct.then_some(Self { form })
    }

    /// The integers of a set in that form, to be stored as they are.
    pub fn as_intset(&self) -> Option<&IntSet> {
        match &self.form {
            Form::IntSet(integers) => Some(integers),
            _ => None,
        }
    }

    /// The listpack of a set in that form, to be stored as it is.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.form {
            Form::Listpack(listpack) => Some(listpack),
            _ => None,
        }
    }

    /// The name of the form, as OBJECT ENCODING says it.
    pub fn encoding(&self) -> &'static str {
        match &self.form {
            Form::IntSet(_) => "intset",
            Form::Listpack(_) => "listpack",
            Form::Table(_) => "hashtable",
        }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::IntSet(integers) => integers.len(),
            Form::Listpack(listpack) => listpack.len(),
            Form::Table(dictionary) => dictionary.members.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes allocated. O(1).
    pub fn heap_size(&self) -> usize {
        match &self.form {
            Form::IntSet(integers) => integers.heap_size(),
            Form::Listpack(listpack) => listpack.heap_size(),
            Form::Table(dictionary) => {
                size_of::<Dictionary>() + dictionary.members.heap_size() + dictionary.member_bytes
            }
        }
    }

    /// The hash table's buckets, where there is one.
    pub fn bucket_count(&self) -> Option<usize> {
        match &self.form {
            Form::Table(dictionary) => Some(dictionary.members.bucket_count()),
            _ => None,
        }
    }

    /// Starts to fetch what a look-up of `member` will read, where that lies far away.
    pub fn prefetch(&self, member: &[u8]) {
        if let Form::Table(dictionary) = &self.form
            && let Some(stored) = dictionary.members.candidate(hash_bytes(member))
        {
            stored.prefetch();
        }
    }

    /// Whether `member` is in the set.
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.form {
            Form::IntSet(integers) => {
                parse_i64(member).is_some_and(|integer| integers.contains(integer))
            }
            Form::Listpack(listpack) => find(listpack, member).is_some(),
            Form::Table(dictionary) => dictionary.contains(member),
        }
    }

    /// Adds a member; true when it is new. May change the form, towards the table only.
    pub fn insert(&mut self, member: &[u8], limits: &SetLimits) -> bool {
        if let Form::IntSet(integers) = &mut self.form {
            if let Some(integer) = parse_i64(member) {
                let created = integers.insert(integer);
                self.keep_intset_limit(limits);
                return created;
            }
            self.leave_intset(member.len(), limits);
        }
        if let Form::Listpack(listpack) = &mut self.form {
            if find(listpack, member).is_some() {
                return false;
            }
            if listpack.len() < limits.max_listpack_entries
                && member.len() <= limits.max_listpack_value
                && listpack.would_fit(Listpack::entry_size(member))
            {
                listpack.push_back(member);
                return true;
            }
        }
        self.dictionary().insert(member)
    }

    /// What [`insert`](Self::insert) would do to the bytes of a listpack: nothing where the member is there. None where
    /// the set is of another form, or would become so.
    pub fn splice_to_insert<'a>(
        &self,
        member: &'a [u8],
        limits: &SetLimits,
    ) -> Option<Option<Splice<'a>>> {
        let listpack = self.as_listpack()?;
        if find(listpack, member).is_some() {
            return Some(None);
        }
        let stays = listpack.len() < limits.max_listpack_entries
            && member.len() <= limits.max_listpack_value;
        stays.then(|| Some(Splice::appending(listpack, member, None)))
    }

    /// Whether a set without members would be a listpack with `member` as its first.
    pub fn begins_as_listpack(member: &[u8], limits: &SetLimits) -> bool {
        limits.max_listpack_entries > 0
            && member.len() <= limits.max_listpack_value
            && parse_i64(member).is_none()
    }

    /// Removes a member; false when it was not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.form {
            Form::IntSet(integers) => {
                parse_i64(member).is_some_and(|integer| integers.remove(integer))
            }
            Form::Listpack(listpack) => {
                let found = find(listpack, member);
                found.is_some_and(|position| listpack.remove_range(position, 1) == 1)
            }
            Form::Table(dictionary) => dictionary.remove(member),
        }
    }

    /// All members: ascending as integers, in order of insertion in a listpack, in no order as a table.
    pub fn iter(&self) -> impl Iterator<Item = Element<'_>> {
        let (mut integers, mut listpack, mut table) = (None, None, None);
        match &self.form {
            Form::IntSet(own) => integers = Some(own.iter()),
            Form::Listpack(own) => listpack = Some(own.iter()),
            Form::Table(own) => table = Some(own.members.iter()),
        }
        let integers = integers.into_iter().flatten().map(Element::Int);
        let table = table
            .into_iter()
            .flatten()
            .map(|member| Element::Bytes(member.content()));
        integers.chain(listpack.into_iter().flatten()).chain(table)
    }

    /// Visits about `count` members from `cursor` on (all of a compact form) and returns the cursor to go on from, 0
    /// at the end. See [`Table::scan`].
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Element<'_>)) -> u64 {
        match &self.form {
            Form::Table(dictionary) => dictionary.members.scan(cursor, count, hash_of, |member| {
                visit(Element::Bytes(member.content()))
            }),
            _ => {
                self.iter().for_each(visit);
                0
            }
        }
    }

    /// Any member, each with the same probability. `random` gives uniform words.
    pub fn random(&self, random: &mut impl FnMut() -> u64) -> Option<Element<'_>> {
        match &self.form {
            Form::IntSet(integers) => integers
                .get(below(integers.len(), random()))
                .map(Element::Int),
            Form::Listpack(listpack) => {
                let position = listpack.seek(below(listpack.len(), random()) as i64)?;
                Some(listpack.get(position))
            }
            Form::Table(dictionary) => dictionary
                .members
                .random(random)
                .map(|member| Element::Bytes(member.content())),
        }
    }

    /// `count` different members (all of them if there are no more), each choice equally likely, in no order.
    pub fn sample(&self, count: usize, random: &mut impl FnMut() -> u64) -> Vec<Element<'_>> {
        match &self.form {
            Form::IntSet(integers) => {
                let chosen = distinct_below(integers.len(), count, random);
                chosen
                    .into_iter()
                    .filter_map(|index| integers.get(index))
                    .map(Element::Int)
                    .collect()
            }
            Form::Listpack(listpack) => {
                let members: Vec<_> = listpack.iter().collect();
                let chosen = distinct_below(members.len(), count, random);
                chosen.into_iter().map(|index| members[index]).collect()
            }
            Form::Table(dictionary) => {
                let chosen = dictionary.members.sample(count, random);
                chosen
                    .into_iter()
                    .map(|member| Element::Bytes(member.content()))
                    .collect()
            }
        }
    }

    /// Removes any member, each with the same probability.
    pub fn pop(&mut self, random: &mut impl FnMut() -> u64) -> Option<Vec<u8>> {
        match &mut self.form {
            Form::IntSet(integers) => {
                let integer = integers.get(below(integers.len(), random()))?;
                integers.remove(integer);
                Some(Element::Int(integer).to_vec())
            }
            Form::Listpack(listpack) => {
                let position = listpack.seek(below(listpack.len(), random()) as i64)?;
                let member = listpack.get(position).to_vec();
                listpack.remove(position);
                Some(member)
            }
            Form::Table(dictionary) => dictionary.pop(random),
        }
    }

    fn keep_intset_limit(&mut self, limits: &SetLimits) {
        if self.len() > limits.max_intset_entries.min(intset::MAX_ENTRIES - 1) {
            self.dictionary();
        }
    }

    /// Makes a listpack of the integers, if it has room for one more member of `added` bytes; else a table.
    fn leave_intset(&mut self, added: usize, limits: &SetLimits) {
        let longest = self.iter().map(|member| member.len()).max().unwrap_or(0);
        if self.len() >= limits.max_listpack_entries
            || longest.max(added) > limits.max_listpack_value
        {
            self.dictionary();
            return;
        }
        let mut listpack = Listpack::new();
        self.iter()
            .for_each(|member| member.with_bytes(|bytes| listpack.push_back(bytes)));
        self.form = Form::Listpack(listpack);
    }

    /// Begins a copy of what the set is now, which is then taken part by part while the set goes on changing; false where
    /// that takes a table, and it has none. O(1).
    pub fn begin_copy(&mut self) -> bool {
        let Form::Table(dictionary) = &mut self.form else {
            return false;
        };
        dictionary.copying.begin(dictionary.members.len(), 0);
        true
    }

    /// Members when the copy began.
    pub fn copied_len(&self) -> usize {
        match &self.form {
            Form::Table(dictionary) => dictionary.copying.len(),
            Form::IntSet(_) | Form::Listpack(_) => 0,
        }
    }

    /// The next part of the copy, about `count` members in no order; whether there is more. O(part).
    pub fn copy_part(&mut self, count: usize, visit: impl FnMut(Element<'_>)) -> bool {
        match &mut self.form {
            Form::Table(dictionary) => dictionary.copy_part(count, visit),
            Form::IntSet(_) | Form::Listpack(_) => false,
        }
    }

    /// Nobody wants the rest of the copy.
    pub fn end_copy(&mut self) {
        if let Form::Table(dictionary) = &mut self.form {
            dictionary.copying.end();
        }
    }

    /// The dictionary, to which the set is converted where it has none.
    fn dictionary(&mut self) -> &mut Dictionary {
        if !matches!(self.form, Form::Table(_)) {
            let mut dictionary = Dictionary::default();
            self.iter().for_each(|member| {
                member.with_bytes(|bytes| dictionary.insert(bytes));
            });
            self.form = Form::Table(Box::new(dictionary));
        }
        match &mut self.form {
            Form::Table(dictionary) => dictionary,
            _ => unreachable!("every other form was converted"),
        }
    }
}

/// Visits the members of `smallest` that all `others` have, until `visit` has had enough and answers false.
pub fn intersect<'a>(
    smallest: &'a Set,
    others: &[&Set],
    mut visit: impl FnMut(Element<'a>) -> bool,
) {
    let integers = others.iter().map(|set| set.as_intset());
    if let Some(smallest) = smallest.as_intset()
        && let Some(others) = integers.collect::<Option<SmallVec<[&IntSet; 8]>>>()
    {
        intset::intersect(smallest, &others, |value| visit(Element::Int(value)));
        return;
    }
    for member in smallest.iter() {
        let common = member.with_bytes(|bytes| others.iter().all(|set| set.contains(bytes)));
        if common && !visit(member) {
            return;
        }
    }
}

fn find(listpack: &Listpack, member: &[u8]) -> Option<Position> {
    listpack.find(member, listpack.first()?, 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const LIMITS: SetLimits = SetLimits {
        max_intset_entries: 5,
        max_listpack_entries: 4,
        max_listpack_value: 8,
    };

    fn words() -> impl FnMut() -> u64 {
        let mut state = 0_u64;
        move || {
            state += 1;
            hash_bytes(&state.to_le_bytes())
        }
    }

    fn set_of(members: &[&str], limits: &SetLimits) -> Set {
        let mut set = Set::new();
        members
            .iter()
            .for_each(|member| assert!(set.insert(member.as_bytes(), limits)));
        set
    }

    fn contents(set: &Set) -> BTreeSet<Vec<u8>> {
        set.iter().map(|member| member.to_vec()).collect()
    }

    #[test]
    fn changes_its_form_as_redis_does() {
        let encoding = |members: &[&str]| set_of(members, &LIMITS).encoding();
        assert_eq!(encoding(&["1", "2", "3", "4", "5"]), "intset");
        assert_eq!(encoding(&["1", "2", "3", "4", "5", "6"]), "hashtable");
        assert_eq!(encoding(&["1", "2", "3", "x"]), "listpack");
        assert_eq!(encoding(&["1", "2", "3", "4", "x"]), "hashtable");
        assert_eq!(encoding(&["1", "long member"]), "hashtable");
        assert_eq!(encoding(&["1234567890", "x"]), "hashtable");
        assert_eq!(encoding(&["a", "b", "c", "d"]), "listpack");
        assert_eq!(encoding(&["a", "b", "c", "d", "e"]), "hashtable");
        assert_eq!(encoding(&["01"]), "listpack");
        let never = SetLimits {
            max_listpack_entries: 0,
            ..LIMITS
        };
        assert_eq!(set_of(&["a"], &never).encoding(), "hashtable");
        let mut set = set_of(&["a", "b", "c", "d"], &LIMITS);
        assert!(!set.insert(b"a", &LIMITS));
        assert_eq!(set.encoding(), "listpack");
    }

    #[test]
    fn takes_over_compact_forms() {
        let take = |members: &[&str]| Set::from_listpack(members.iter().collect(), &LIMITS);
        assert!(take(&["a", "b", "a"]).is_none());
        assert_eq!(
            take(&["a", "1"]).map(|set| set.encoding()),
            Some("listpack")
        );
        assert_eq!(
            take(&["a", "1", "2", "3", "4"]).map(|set| set.encoding()),
            Some("hashtable")
        );
        let mut integers = IntSet::new();
        (0..6).for_each(|integer| assert!(integers.insert(integer)));
        let set = Set::from_intset(integers, &LIMITS);
        assert_eq!((set.encoding(), set.len()), ("hashtable", 6));
    }

    #[test]
    fn random_members_come_from_every_form() {
        let mut random = words();
        let table: Vec<String> = (0..40).map(|number| format!("m{number}")).collect();
        let table: Vec<&str> = table.iter().map(String::as_str).collect();
        assert!(Set::new().random(&mut random).is_none() && Set::new().pop(&mut random).is_none());
        for members in [&["1", "2", "3"][..], &["1", "b", "c"], &table] {
            let mut set = set_of(members, &LIMITS);
            let size = members.len();
            let seen: BTreeSet<_> = (0..size * 20)
                .filter_map(|_| set.random(&mut random))
                .map(|member| member.to_vec())
                .collect();
            assert_eq!(seen.len(), size);
            for count in [0, 1, size - 1, size, size + 5] {
                let sample = set.sample(count, &mut random);
                let distinct: BTreeSet<_> = sample.iter().map(Element::to_vec).collect();
                assert_eq!(
                    (sample.len(), distinct.len()),
                    (count.min(size), count.min(size))
                );
            }
            let mut popped = BTreeSet::new();
            while let Some(member) = set.pop(&mut random) {
                assert!(popped.insert(member));
            }
            assert_eq!((popped, set.len()), (seen, 0));
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(
            intset in 0_usize..20,
            listpack in 0_usize..20,
            operations in prop::collection::vec((0_u8..3, prop_oneof![4 => "-?[0-9]{1,2}", 1 => "[a-c]{0,9}"]), 1..120),
        ) {
            let limits =
                SetLimits { max_intset_entries: intset, max_listpack_entries: listpack, max_listpack_value: 8 };
            let mut set = Set::new();
            let mut model = BTreeSet::new();
            for (operation, member) in operations {
                let member = member.into_bytes();
                if operation == 0 {
                    prop_assert_eq!(set.remove(&member), model.remove(&member));
                } else {
                    prop_assert_eq!(set.insert(&member, &limits), model.insert(member.clone()));
                }
                prop_assert_eq!(set.contains(&member), model.contains(&member));
                prop_assert_eq!(set.len(), model.len());
            }
            if let Form::Table(dictionary) = &set.form {
                let bytes: usize = dictionary.members.iter().map(ThinBytes::heap_size).sum();
                prop_assert_eq!(bytes, dictionary.member_bytes);
            }
            prop_assert_eq!(contents(&set.clone()), model.clone());
            let (mut scanned, mut cursor) = (BTreeSet::new(), 0);
            loop {
                cursor = set.scan(cursor, 3, |member| assert!(scanned.insert(member.to_vec())));
                if cursor == 0 {
                    break;
                }
            }
            prop_assert_eq!(scanned, model);
        }
    }
}
