//! The values of an RDB, type by type, rebuilt in the form that the limits given ask for.
//! Knows no keys, databases or opcodes.

use std::io::Read;

use super::source::Source;
use super::{Problem, ziplist, zipmap};
use crate::keyspace::{Limits, Value};
use crate::value::hash::{FieldTime, Hash};
use crate::value::intset::IntSet;
use crate::value::list::List;
use crate::value::listpack::Listpack;
use crate::value::number::parse_i64;
use crate::value::set::Set;
use crate::value::zset::{Inserted, SortedSet};

/// The highest number of a type of value; opcodes are far above.
pub(super) const MAX_TYPE: u8 = 26;

pub(super) const STRING: u8 = 0;
pub(super) const LIST: u8 = 1;
pub(super) const SET: u8 = 2;
pub(super) const ZSET: u8 = 3;
pub(super) const HASH: u8 = 4;
pub(super) const ZSET_2: u8 = 5;
const MODULE_OLD: u8 = 6;
const MODULE: u8 = 7;
pub(super) const HASH_ZIPMAP: u8 = 9;
pub(super) const LIST_ZIPLIST: u8 = 10;
pub(super) const SET_INTSET: u8 = 11;
pub(super) const ZSET_ZIPLIST: u8 = 12;
pub(super) const HASH_ZIPLIST: u8 = 13;
pub(super) const LIST_QUICKLIST: u8 = 14;
pub(super) const STREAM: u8 = 15;
pub(super) const HASH_LISTPACK: u8 = 16;
pub(super) const ZSET_LISTPACK: u8 = 17;
pub(super) const LIST_QUICKLIST_2: u8 = 18;
pub(super) const STREAM_2: u8 = 19;
pub(super) const SET_LISTPACK: u8 = 20;
pub(super) const STREAM_3: u8 = 21;
/// Hashes with times of fields as the release candidates of Redis 7.4 wrote them, without the earliest time.
pub(super) const HASH_TIMES_BEFORE_RELEASE: u8 = 22;
pub(super) const HASH_LISTPACK_TIMES_BEFORE_RELEASE: u8 = 23;
pub(super) const HASH_TIMES: u8 = 24;
pub(super) const HASH_LISTPACK_TIMES: u8 = 25;
const STREAM_4: u8 = 26;

/// A node of a list that is one element by itself, and one that is a listpack.
pub(super) const NODE_PLAIN: u64 = 1;
pub(super) const NODE_PACKED: u64 = 2;

impl<R: Read> Source<'_, R> {
    /// The value of a key of this type. None where a collection is empty: servers with a bug long gone wrote such
    /// keys, and Redis passes them over.
    pub(super) fn value(&mut self, kind: u8, limits: &Limits) -> Result<Option<Value>, Problem> {
        self.checked_value(kind, limits)
            .map_err(|problem| match problem {
                Problem::Malformed(what) => {
                    let form = form_of(kind);
                    Problem::malformed(format_args!("{form} integrity check failed: {what}"))
                }
                problem => problem,
            })
    }

    fn checked_value(&mut self, kind: u8, limits: &Limits) -> Result<Option<Value>, Problem> {
        match kind {
            STRING => self.string().map(|bytes| Some(string_value(bytes))),
            LIST => self.list(limits).map(list_value),
            LIST_ZIPLIST => self.list_of_ziplist(limits).map(list_value),
            LIST_QUICKLIST => self.list_of_ziplists().map(list_value),
            LIST_QUICKLIST_2 => self.list_of_nodes().map(list_value),
            SET => self.set(limits).map(set_value),
            SET_INTSET => self.set_of_intset(limits).map(set_value),
            SET_LISTPACK => {
                let set = Set::from_listpack(self.listpack()?, &limits.set);
                set.ok_or_else(|| duplicate("set")).map(set_value)
            }
            HASH => self.hash(limits).map(hash_value),
            HASH_ZIPMAP | HASH_ZIPLIST | HASH_LISTPACK => {
                let hash = Hash::from_listpack(self.pairs(kind)?, &limits.hash);
                hash.ok_or_else(|| duplicate("hash")).map(hash_value)
            }
            HASH_TIMES_BEFORE_RELEASE..=HASH_LISTPACK_TIMES => {
                self.hash_with_times(kind, limits).map(hash_value)
            }
            ZSET | ZSET_2 => self.sorted_set(kind, limits).map(sorted_set_value),
            ZSET_ZIPLIST | ZSET_LISTPACK => {
                let set = SortedSet::from_listpack(self.pairs(kind)?, &limits.sorted_set);
                set.ok_or_else(|| duplicate("sorted set"))
                    .map(sorted_set_value)
            }
            STREAM | STREAM_2 | STREAM_3 => self.stream(kind).map(|stream| Some(stream.into())),
            _ => Err(self.unsupported(kind)),
        }
    }

    pub(super) fn unsupported(&mut self, kind: u8) -> Problem {
        match kind {
            STREAM_4 => Problem::unsupported("streams of Redis 8.2"),
            MODULE_OLD | MODULE => match self.module_name() {
                Ok(name) => Problem::unsupported(format_args!("values of the module type {name}")),
                Err(problem) => problem,
            },
            _ => Problem::Opcode(kind),
        }
    }

    /// The name in a module's id: nine characters of six bits each; ten bits of version follow.
    pub(super) fn module_name(&mut self) -> Result<String, Problem> {
        const CHARACTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let id = self.length()?;
        Ok((0..9)
            .map(|index| CHARACTERS[(id >> (58 - 6 * index)) as usize & 0x3f])
            .map(char::from)
            .collect())
    }

    /// The bytes of a compact form.
    fn compact(&mut self) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        self.part_into(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn listpack(&mut self) -> Result<Listpack, Problem> {
        let pack = self.with_string(Listpack::from_bytes_checked)?;
        pack.map_err(Problem::malformed)
    }

    /// Fields and values, or members and scores, in whichever compact form.
    fn pairs(&mut self, kind: u8) -> Result<Listpack, Problem> {
        match kind {
            HASH_ZIPMAP => zipmap::to_listpack(&self.compact()?),
            HASH_ZIPLIST | ZSET_ZIPLIST => ziplist::to_listpack(&self.compact()?),
            _ => self.listpack(),
        }
    }

    fn list(&mut self, limits: &Limits) -> Result<List, Problem> {
        let (mut list, mut element) = (List::new(), Vec::new());
        for _ in 0..self.length()? {
            self.string_into(&mut element)?;
            list.push_back(&element, &limits.list);
        }
        Ok(list)
    }

    fn list_of_ziplist(&mut self, limits: &Limits) -> Result<List, Problem> {
        let mut list = List::new();
        for element in &ziplist::to_listpack(&self.compact()?)? {
            element.with_bytes(|bytes| list.push_back(bytes, &limits.list));
        }
        Ok(list)
    }

    fn list_of_ziplists(&mut self) -> Result<List, Problem> {
        let mut list = List::new();
        for _ in 0..self.length()? {
            let pack = ziplist::to_listpack(&self.compact()?)?;
            if !pack.is_empty() {
                list.append_packed(pack);
            }
        }
        Ok(list)
    }

    fn list_of_nodes(&mut self) -> Result<List, Problem> {
        let mut list = List::new();
        for _ in 0..self.length()? {
            match self.length()? {
                NODE_PLAIN => match self.string()?.as_slice() {
                    [] => return Err(Problem::malformed("an empty node of a list")),
                    element => list.append_plain(element),
                },
                NODE_PACKED => {
                    let pack = self.listpack()?;
                    if !pack.is_empty() {
                        list.append_packed(pack);
                    }
                }
                other => {
                    let what = format_args!("unknown form {other} of a list's node");
                    return Err(Problem::malformed(what));
                }
            }
        }
        Ok(list)
    }

    fn set(&mut self, limits: &Limits) -> Result<Set, Problem> {
        let (mut set, mut member) = (Set::new(), Vec::new());
        for _ in 0..self.length()? {
            self.part_into(&mut member)?;
            if !set.insert(&member, &limits.set) {
                return Err(twice(&member));
            }
        }
        Ok(set)
    }

    fn set_of_intset(&mut self, limits: &Limits) -> Result<Set, Problem> {
        let bytes = self.compact()?;
        let integers = IntSet::from_bytes_checked(&bytes).map_err(Problem::malformed)?;
        Ok(Set::from_intset(integers, &limits.set))
    }

    fn hash(&mut self, limits: &Limits) -> Result<Hash, Problem> {
        let (mut hash, mut field, mut value) = (Hash::new(), Vec::new(), Vec::new());
        for _ in 0..self.length()? {
            self.part_into(&mut field)?;
            self.part_into(&mut value)?;
            if !hash.set(&field, &value, &limits.hash) {
                return Err(twice(&field));
            }
        }
        Ok(hash)
    }

    /// A hash of which fields run out: the earliest time, then a listpack of triplets, or for each field its time (0: none;
    /// from the earliest on, which is 1), itself and its value.
    fn hash_with_times(&mut self, kind: u8, limits: &Limits) -> Result<Hash, Problem> {
        let earliest = match kind {
            HASH_TIMES | HASH_LISTPACK_TIMES => Some(i64::from_le_bytes(self.array()?)),
            _ => None,
        };
        if matches!(
            kind,
            HASH_LISTPACK_TIMES | HASH_LISTPACK_TIMES_BEFORE_RELEASE
        ) {
            let hash = Hash::from_listpack_with_times(self.listpack()?, &limits.hash);
            return hash.ok_or_else(|| duplicate("hash with times"));
        }
        let (mut hash, mut field, mut value) = (Hash::new(), Vec::new(), Vec::new());
        hash.know_times();
        for _ in 0..self.length()? {
            let time = self.field_time(earliest)?;
            self.part_into(&mut field)?;
            self.part_into(&mut value)?;
            if !hash.set_with_time(&field, &value, time, &limits.hash) {
                return Err(twice(&field));
            }
        }
        Ok(hash)
    }

    fn field_time(&mut self, earliest: Option<i64>) -> Result<FieldTime, Problem> {
        let stored = self.length()?;
        if stored == 0 {
            return Ok(FieldTime::Never);
        }
        let time = i64::try_from(stored).ok();
        time.and_then(|time| match earliest {
            Some(earliest) => earliest.checked_add(time - 1),
            None => Some(time),
        })
        .filter(|time| *time >= 0)
        .map(FieldTime::At)
        .ok_or_else(|| Problem::malformed(format_args!("no time of a field: {stored}")))
    }

    fn sorted_set(&mut self, kind: u8, limits: &Limits) -> Result<SortedSet, Problem> {
        let (mut set, mut member) = (SortedSet::new(), Vec::new());
        for _ in 0..self.length()? {
            self.part_into(&mut member)?;
            let score = if kind == ZSET {
                self.text_double()?
            } else {
                self.binary_double()?
            };
            if set.insert(&member, score, &limits.sorted_set) != Inserted::Added {
                return Err(twice(&member));
            }
        }
        Ok(set)
    }
}

/// What a type is called where its bytes are damaged.
const fn form_of(kind: u8) -> &'static str {
    match kind {
        HASH_ZIPMAP => "Zipmap",
        LIST_ZIPLIST | LIST_QUICKLIST => "Ziplist",
        SET_INTSET => "Intset",
        ZSET_ZIPLIST => "Zset ziplist",
        HASH_ZIPLIST => "Hash ziplist",
        HASH_LISTPACK | HASH_LISTPACK_TIMES | HASH_LISTPACK_TIMES_BEFORE_RELEASE => "Hash listpack",
        ZSET_LISTPACK => "Zset listpack",
        SET_LISTPACK => "Set listpack",
        LIST_QUICKLIST_2 => "Listpack",
        STREAM | STREAM_2 | STREAM_3 => "Stream listpack",
        _ => "Value",
    }
}

/// As [`Value::string`], without copying what is no integer.
fn string_value(bytes: Vec<u8>) -> Value {
    parse_i64(&bytes).map_or(Value::Bytes(bytes), Value::Int)
}

fn list_value(list: List) -> Option<Value> {
    (!list.is_empty()).then(|| list.into())
}

fn set_value(set: Set) -> Option<Value> {
    (!set.is_empty()).then(|| set.into())
}

fn hash_value(hash: Hash) -> Option<Value> {
    (!hash.is_empty()).then(|| hash.into())
}

fn sorted_set_value(set: SortedSet) -> Option<Value> {
    (!set.is_empty()).then(|| set.into())
}

fn twice(element: &[u8]) -> Problem {
    let shown = element.get(..64).unwrap_or(element);
    Problem::malformed(format_args!("'{}' occurs twice", shown.escape_ascii()))
}

fn duplicate(what: &str) -> Problem {
    Problem::malformed(format_args!(
        "listpack with dup elements, one that is left over, or out of order, for a {what}"
    ))
}
