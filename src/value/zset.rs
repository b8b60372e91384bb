//! `SortedSet`: members ordered by score and then by their bytes; a listpack while small, then a counted tree beside
//! a `Table` from member to score. It must not know keys, clocks, commands or how scores are written in requests.
//!
//! Tree and table answer different questions about the same members, so they share one allocation for each, which
//! holds its score too. The tree repeats the score next to its pointer: its searches then stay in its own memory.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use super::copying::{Copying, Step};
use super::hasher::hash_bytes;
use super::listpack::{Element, Listpack, Position};
use super::member::Member;
use super::number::{DoubleBuffer, parse_f64};
use super::prefetch::prefetch_read;
use super::random::{below, distinct_below};
use super::table::{Stored, Table};
use super::tree::{self, CountedTree};

/// What a sorted set may hold before it leaves the listpack form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZSetLimits {
    /// Members, at most (`zset-max-listpack-entries`).
    pub max_listpack_entries: usize,
    /// Bytes of a member, at most (`zset-max-listpack-value`).
    pub max_listpack_value: usize,
}

/// What an insertion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// The member is new.
    Added,
    /// The member was there with another score.
    Updated,
    /// The member was there with this score.
    Same,
}

/// An end of a range of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreBound {
    /// The score; not NaN.
    pub value: f64,
    /// Whether the score itself is outside.
    pub exclusive: bool,
}

/// An end of a range of members, which must all have the same score for the range to make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before every member.
    Min,
    /// Behind every member.
    Max,
    /// A member, inside.
    Inclusive(&'a [u8]),
    /// A member, outside.
    Exclusive(&'a [u8]),
}

impl ScoreBound {
    /// Whether a score lies before a range that begins here.
    fn is_above(&self, score: f64) -> bool {
        score < self.value || (self.exclusive && score == self.value)
    }

    /// Whether a score lies in or before a range that ends here.
    fn is_end_of(&self, score: f64) -> bool {
        score < self.value || (!self.exclusive && score == self.value)
    }
}

impl LexBound<'_> {
    /// Whether a member lies before a range that begins here.
    fn is_above(&self, member: &[u8]) -> bool {
        match *self {
            Self::Min => false,
            Self::Max => true,
            Self::Inclusive(bytes) => member < bytes,
            Self::Exclusive(bytes) => member <= bytes,
        }
    }

    /// Whether a member lies in or before a range that ends here.
    fn is_end_of(&self, member: &[u8]) -> bool {
        match *self {
            Self::Min => false,
            Self::Max => true,
            Self::Inclusive(bytes) => member <= bytes,
            Self::Exclusive(bytes) => member < bytes,
        }
    }
}

/// A set of byte strings in the order of their scores. Two words wide.
#[derive(Clone)]
pub struct SortedSet {
    form: Form,
}

#[derive(Clone)]
enum Form {
    /// Member, score, member, score … in order.
    Listpack(Listpack),
    Tree(Box<Ranking>),
}

/// A member in the tree.
struct Ranked {
    score: f64,
    member: Member,
}

#[derive(Default)]
struct Ranking {
    tree: CountedTree<Ranked>,
    members: Table<Member>,
    member_bytes: usize,
    /// What is kept are scores.
    copying: Copying<CopyPlace, f64>,
}

/// How far a copy of a sorted set has come.
#[derive(Debug)]
struct CopyPlace {
    /// Whether it goes from the last member to the first.
    descending: bool,
    /// The last member that it has passed, and its score then.
    last: Option<(f64, Box<[u8]>)>,
}

impl CopyPlace {
    /// Whether a member with this score has been passed.
    fn is_behind(&self, score: f64, member: &[u8]) -> bool {
        self.last.as_ref().is_some_and(|(last_score, last)| {
            let order = compare_scores(score, *last_score).then_with(|| member.cmp(last));
            match self.descending {
                true => order != Ordering::Less,
                false => order != Ordering::Greater,
            }
        })
    }
}

impl Stored for Member {
    fn prefetch(&self) {
        prefetch_read(self.bytes());
    }
}

fn hash_of(member: &Member) -> u64 {
    hash_bytes(member.bytes())
}

impl Ranked {
    #[inline]
    fn is_before(&self, score: f64, member: &[u8]) -> bool {
        self.score < score || (self.score == score && self.member.bytes() < member)
    }
}

impl Clone for Ranking {
    // Members are shared within one sorted set only: their scores can change.
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        for Ranked { score, member } in self.tree.iter() {
            copy.push_back(member.bytes(), *score);
        }
        copy
    }
}

impl Ranking {
    fn find(&self, member: &[u8]) -> Option<&Member> {
        self.members
            .find(hash_bytes(member), |other| other.bytes() == member)
    }

    fn rank_of(&self, score: f64, member: &[u8]) -> usize {
        self.tree
            .partition_point(|entry| entry.is_before(score, member))
    }

    fn insert(&mut self, bytes: &[u8], score: f64) -> Inserted {
        let Some(member) = self.find(bytes) else {
            self.copying.note(bytes, |_| Some(None));
            let member = self.register(bytes, score);
            self.tree.insert(Ranked { score, member }, |entry| {
                entry.is_before(score, bytes)
            });
            return Inserted::Added;
        };
        let before = member.score();
        if before == score {
            return Inserted::Same;
        }
        member.set_score(score);
        self.copying.note(bytes, |place| {
            // It may move to where the copy is still to come.
            Some((!place.is_behind(before, bytes)).then_some(before))
        });
        let mut entry = self
            .tree
            .remove(self.rank_of(before, bytes))
            .expect("every member of the table is in the tree");
        debug_assert_eq!(entry.member.bytes(), bytes);
        entry.score = score;
        self.tree
            .insert(entry, |entry| entry.is_before(score, bytes));
        Inserted::Updated
    }

    /// Adds a member that is known to be new and to come last.
    fn push_back(&mut self, bytes: &[u8], score: f64) {
        let member = self.register(bytes, score);
        self.tree.insert(Ranked { score, member }, |_| true);
    }

    fn register(&mut self, bytes: &[u8], score: f64) -> Member {
        let member = Member::new(bytes, score);
        self.member_bytes += Member::heap_size(bytes.len());
        self.members
            .insert_unique(hash_bytes(bytes), member.clone(), hash_of);
        member
    }

    fn forget(&mut self, bytes: &[u8]) -> Option<Member> {
        let member =
            self.members
                .remove(hash_bytes(bytes), |other| other.bytes() == bytes, hash_of)?;
        self.member_bytes -= Member::heap_size(bytes.len());
        Some(member)
    }

    fn remove(&mut self, bytes: &[u8]) -> Option<f64> {
        let score = self.forget(bytes)?.score();
        note_removed(&mut self.copying, score, bytes);
        let entry = self.tree.remove(self.rank_of(score, bytes));
        debug_assert!(entry.is_some_and(|entry| entry.member.bytes() == bytes));
        Some(score)
    }

    fn remove_range(&mut self, ranks: Range<usize>, mut take: impl FnMut(&[u8], f64)) {
        let Self {
            tree,
            members,
            member_bytes,
            copying,
        } = self;
        tree.remove_range(ranks.start, ranks.len(), |Ranked { score, member }| {
            let bytes = member.bytes();
            note_removed(copying, score, bytes);
            members.remove(hash_bytes(bytes), |other| other.bytes() == bytes, hash_of);
            *member_bytes -= Member::heap_size(bytes.len());
            take(bytes, score);
        });
    }

    fn heap_size(&self) -> usize {
        size_of::<Self>() + self.tree.heap_size() + self.members.heap_size() + self.member_bytes
    }

    fn copy_part(&mut self, count: usize, mut visit: impl FnMut(&[u8], f64)) -> bool {
        match self.copying.step() {
            Some(Step::Walk(place, changed)) => {
                let (len, ranks) = (self.tree.len(), next_ranks(&self.tree, place, count));
                let is_last = if place.descending {
                    ranks.start == 0
                } else {
                    ranks.end == len
                };
                let mut pass = |entry: &Ranked| {
                    let bytes = entry.member.bytes();
                    if !changed.contains_key(bytes) {
                        visit(bytes, entry.score);
                    }
                };
                let entries = self.tree.range(ranks.start, ranks.end);
                let last = match place.descending {
                    true => entries.rev().inspect(|entry| pass(entry)).last(),
                    false => entries.inspect(|entry| pass(entry)).last(),
                };
                place.last = last.map(|entry| (entry.score, entry.member.bytes().into()));
                if is_last {
                    self.copying.end_walk();
                }
            }
            Some(Step::Rest(_, rest)) => {
                for (member, old) in rest.take(count) {
                    if let Some(score) = old {
                        visit(&member, score);
                    }
                }
            }
            None => {}
        }
        self.copying.goes_on()
    }
}

/// The ranks of the next members that a copy has not passed.
fn next_ranks(tree: &CountedTree<Ranked>, place: &CopyPlace, count: usize) -> Range<usize> {
    if place.descending {
        let end = tree.partition_point(|entry| !place.is_behind(entry.score, entry.member.bytes()));
        end.saturating_sub(count)..end
    } else {
        let start =
            tree.partition_point(|entry| place.is_behind(entry.score, entry.member.bytes()));
        start..start.saturating_add(count).min(tree.len())
    }
}

/// Where a copy has passed a member it does not matter that it goes.
fn note_removed(copying: &mut Copying<CopyPlace, f64>, score: f64, member: &[u8]) {
    copying.note(member, |place| {
        (!place.is_behind(score, member)).then_some(Some(score))
    });
}

impl Default for SortedSet {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SortedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SortedSet")
            .field("encoding", &self.encoding())
            .field("len", &self.len())
            .finish()
    }
}

impl SortedSet {
    /// A sorted set without members.
    pub fn new() -> Self {
        Self {
            form: Form::Listpack(Listpack::new()),
        }
    }

    /// Takes over a listpack of members and scores (RDB, RESTORE): none when it is not one, because an element is
    /// left over, a score is no number, the order is wrong or a member occurs twice. O(members).
    pub fn from_listpack(listpack: Listpack, limits: &ZSetLimits) -> Option<Self> {
        let mut ranking = Ranking::default();
        let mut elements = listpack.iter();
        while let Some(member) = elements.next() {
            let score = checked_score(elements.next()?)?;
            let added = member.with_bytes(|bytes| {
                let behind_the_last = ranking
                    .tree
                    .last()
                    .is_none_or(|last| last.is_before(score, bytes));
                let fresh = ranking.find(bytes).is_none();
                if behind_the_last && fresh {
                    ranking.push_back(bytes, score);
                }
                behind_the_last && fresh
            });
            if !added {
                return None;
            }
        }
        let stays = ranking.tree.len() <= limits.max_listpack_entries
            && ranking
                .tree
                .iter()
                .all(|entry| entry.member.bytes().len() <= limits.max_listpack_value);
        Some(Self {
            form: if stays {
                Form::Listpack(listpack)
            } else {
                Form::Tree(Box::new(ranking))
            },
        })
    }

    /// The listpack of a sorted set in that form, to be stored as it is.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.form {
            Form::Listpack(listpack) => Some(listpack),
            Form::Tree(_) => None,
        }
    }

    /// The name of the form, as OBJECT ENCODING says it.
    pub fn encoding(&self) -> &'static str {
        match &self.form {
            Form::Listpack(_) => "listpack",
            // Clients know this name for the large form; that there is a tree behind it is nobody's business.
            Form::Tree(_) => "skiplist",
        }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Listpack(listpack) => listpack.len() / 2,
            Form::Tree(ranking) => ranking.tree.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes allocated. O(1).
    pub fn heap_size(&self) -> usize {
        match &self.form {
            Form::Listpack(listpack) => listpack.heap_size(),
            Form::Tree(ranking) => ranking.heap_size(),
        }
    }

    /// The hash table's buckets, where there is one.
    pub fn bucket_count(&self) -> Option<usize> {
        match &self.form {
            Form::Listpack(_) => None,
            Form::Tree(ranking) => Some(ranking.members.bucket_count()),
        }
    }

    /// Starts to fetch what a look-up of `member` will read, where that lies far away.
    pub fn prefetch(&self, member: &[u8]) {
        if let Form::Tree(ranking) = &self.form
            && let Some(stored) = ranking.members.candidate(hash_bytes(member))
        {
            stored.prefetch();
        }
    }

    /// The score of a member. O(1) in the large form.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.form {
            Form::Listpack(listpack) => {
                let position = listpack.next(find(listpack, member)?)?;
                Some(score_of(listpack.get(position)))
            }
            Form::Tree(ranking) => ranking.find(member).map(Member::score),
        }
    }

    /// Gives a member a score, whether it is there or not. O(log n); may leave the listpack form, for good.
    ///
    /// # Panics
    /// When the score is NaN.
    pub fn insert(&mut self, member: &[u8], score: f64, limits: &ZSetLimits) -> Inserted {
        assert!(!score.is_nan(), "a score must be a number");
        let Form::Listpack(listpack) = &mut self.form else {
            return self.ranking().insert(member, score);
        };
        let found = find(listpack, member);
        if let Some(position) = found {
            let before = listpack
                .next(position)
                .map(|position| score_of(listpack.get(position)));
            if before == Some(score) {
                return Inserted::Same;
            }
            listpack.remove_range(position, 2);
            insert_into_listpack(listpack, member, score);
            return Inserted::Updated;
        }
        if listpack.len() / 2 >= limits.max_listpack_entries
            || member.len() > limits.max_listpack_value
            || !listpack.would_fit(member.len() + MAX_SCORE_LEN)
        {
            return self.ranking().insert(member, score);
        }
        insert_into_listpack(listpack, member, score);
        Inserted::Added
    }

    /// Leaves the listpack form, for good. O(n log n).
    pub fn leave_listpack(&mut self) {
        self.ranking();
    }

    /// Removes a member and returns its score. O(log n).
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.form {
            Form::Listpack(listpack) => {
                let position = find(listpack, member)?;
                let score = score_of(listpack.get(listpack.next(position)?));
                listpack.remove_range(position, 2);
                Some(score)
            }
            Form::Tree(ranking) => ranking.remove(member),
        }
    }

    /// The rank of a member, counted from the highest score if `reverse`, and its score. O(log n).
    pub fn rank(&self, member: &[u8], reverse: bool) -> Option<(usize, f64)> {
        let (rank, score) = match &self.form {
            Form::Listpack(_) => {
                let mut entries = self.iter();
                let rank = entries.position(|(other, _)| other.equals(member))?;
                (rank, self.get(rank)?.1)
            }
            Form::Tree(ranking) => {
                let score = ranking.find(member)?.score();
                (ranking.rank_of(score, member), score)
            }
        };
        Some((if reverse { self.len() - 1 - rank } else { rank }, score))
    }

    /// The member of a rank and its score. O(log n).
    pub fn get(&self, rank: usize) -> Option<(Element<'_>, f64)> {
        self.range(rank..rank.saturating_add(1)).next()
    }

    /// The ranks of the scores from `min` to `max`: to count, to read ([`range`](Self::range)) or to remove
    /// ([`remove_range`](Self::remove_range)). O(log n).
    pub fn score_range(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        let start = self.partition_point(|_, score| min.is_above(score));
        let end = self.partition_point(|_, score| max.is_end_of(score));
        start..end.max(start)
    }

    /// The ranks of the members from `min` to `max`, if all members have the same score. O(log n).
    pub fn lex_range(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        let start =
            self.partition_point(|member, _| member.with_bytes(|bytes| min.is_above(bytes)));
        let end = self.partition_point(|member, _| member.with_bytes(|bytes| max.is_end_of(bytes)));
        start..end.max(start)
    }

    /// How many members, from the first on, `before` holds for.
    fn partition_point(&self, before: impl Fn(Element<'_>, f64) -> bool) -> usize {
        match &self.form {
            Form::Listpack(_) => self
                .iter()
                .take_while(|&(member, score)| before(member, score))
                .count(),
            Form::Tree(ranking) => ranking
                .tree
                .partition_point(|entry| before(Element::Bytes(entry.member.bytes()), entry.score)),
        }
    }

    /// The members of these ranks, cut to what is there, with their scores; from both ends. O(log n) to begin.
    pub fn range(&self, ranks: Range<usize>) -> Entries<'_> {
        match &self.form {
            Form::Listpack(listpack) => {
                let len = listpack.len() / 2;
                let (start, end) = (ranks.start.min(len), ranks.end.min(len));
                let left = end.saturating_sub(start);
                let edge =
                    |rank: usize| (left > 0).then(|| listpack.seek(2 * rank as i64)).flatten();
                let back = if left > 0 { edge(end - 1) } else { None };
                Entries(Source::Listpack {
                    listpack,
                    front: edge(start),
                    back,
                    left,
                })
            }
            Form::Tree(ranking) => {
                Entries(Source::Tree(ranking.tree.range(ranks.start, ranks.end)))
            }
        }
    }

    /// All members in order, with their scores.
    pub fn iter(&self) -> Entries<'_> {
        self.range(0..usize::MAX)
    }

    /// Removes the members of these ranks, cut to what is there, and hands them over in order. O(log n + members).
    pub fn remove_range(&mut self, ranks: Range<usize>, mut take: impl FnMut(&[u8], f64)) {
        let end = ranks.end.min(self.len());
        let ranks = ranks.start.min(end)..end;
        if let Form::Tree(ranking) = &mut self.form {
            return ranking.remove_range(ranks, take);
        }
        self.range(ranks.clone())
            .for_each(|(member, score)| member.with_bytes(|bytes| take(bytes, score)));
        if let Form::Listpack(listpack) = &mut self.form {
            listpack.remove_index_range(2 * ranks.start as i64, 2 * ranks.len());
        }
    }

    /// Removes the member with the lowest score. O(log n).
    pub fn pop_min(&mut self) -> Option<(Vec<u8>, f64)> {
        let mut popped = None;
        self.remove_range(0..1, |member, score| {
            popped = Some((member.to_vec(), score))
        });
        popped
    }

    /// Removes the member with the highest score. O(log n).
    pub fn pop_max(&mut self) -> Option<(Vec<u8>, f64)> {
        let (len, mut popped) = (self.len(), None);
        self.remove_range(len.saturating_sub(1)..len, |member, score| {
            popped = Some((member.to_vec(), score))
        });
        popped
    }

    /// Visits about `count` members from `cursor` on (all of a listpack) and returns the cursor to go on from, 0 at
    /// the end. See [`Table::scan`].
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Element<'_>, f64)) -> u64 {
        match &self.form {
            Form::Listpack(_) => {
                self.iter().for_each(|(member, score)| visit(member, score));
                0
            }
            Form::Tree(ranking) => ranking.members.scan(cursor, count, hash_of, |member| {
                visit(Element::Bytes(member.bytes()), member.score());
            }),
        }
    }

    /// Any member and its score, each with the same probability. `random` gives uniform words. O(log n).
    pub fn random(&self, random: &mut impl FnMut() -> u64) -> Option<(Element<'_>, f64)> {
        self.get(below(self.len(), random()))
    }

    /// `count` different members (all of them if there are no more), each choice equally likely, in no order.
    pub fn sample(
        &self,
        count: usize,
        random: &mut impl FnMut() -> u64,
    ) -> Vec<(Element<'_>, f64)> {
        if count >= self.len() {
            return self.iter().collect();
        }
        let chosen = distinct_below(self.len(), count, random);
        match &self.form {
            Form::Listpack(_) => {
                let entries: Vec<_> = self.iter().collect();
                chosen.into_iter().map(|rank| entries[rank]).collect()
            }
            Form::Tree(_) => chosen
                .into_iter()
                .filter_map(|rank| self.get(rank))
                .collect(),
        }
    }

    /// Begins a copy of what the set is now, which is then taken part by part while the set goes on changing; false where it
    /// is a listpack. It goes from the last member to the first if `descending`. O(1).
    pub fn begin_copy(&mut self, descending: bool) -> bool {
        let Form::Tree(ranking) = &mut self.form else {
            return false;
        };
        let place = CopyPlace {
            descending,
            last: None,
        };
        ranking.copying.begin(ranking.tree.len(), place);
        true
    }

    /// Members when the copy began.
    pub fn copied_len(&self) -> usize {
        match &self.form {
            Form::Listpack(_) => 0,
            Form::Tree(ranking) => ranking.copying.len(),
        }
    }

    /// The next part of the copy, about `count` members: in order, but for those that have changed meanwhile, which come
    /// last. Whether there is more. O(log n + part).
    pub fn copy_part(&mut self, count: usize, mut visit: impl FnMut(Element<'_>, f64)) -> bool {
        match &mut self.form {
            Form::Listpack(_) => false,
            Form::Tree(ranking) => ranking.copy_part(count, |member, score| {
                visit(Element::Bytes(member), score);
            }),
        }
    }

    /// Nobody wants the rest of the copy.
    pub fn end_copy(&mut self) {
        if let Form::Tree(ranking) = &mut self.form {
            ranking.copying.end();
        }
    }

    /// The large form, to which the set is converted where it is small.
    fn ranking(&mut self) -> &mut Ranking {
        if matches!(self.form, Form::Listpack(_)) {
            let mut ranking = Ranking::default();
            self.iter().for_each(|(member, score)| {
                member.with_bytes(|bytes| ranking.push_back(bytes, score))
            });
            self.form = Form::Tree(Box::new(ranking));
        }
        match &mut self.form {
            Form::Tree(ranking) => ranking,
            Form::Listpack(_) => unreachable!("the listpack was converted"),
        }
    }
}

/// Bytes of the longest entry that a score makes.
const MAX_SCORE_LEN: usize = 32;

fn find(listpack: &Listpack, member: &[u8]) -> Option<Position> {
    listpack.find(member, listpack.first()?, 1)
}

fn checked_score(element: Element<'_>) -> Option<f64> {
    match element {
        Element::Int(integer) => Some(integer as f64),
        Element::Bytes(text) => parse_f64(text).filter(|score| !score.is_nan()),
    }
}

fn score_of(element: Element<'_>) -> f64 {
    checked_score(element).expect("scores are checked before they are stored")
}

fn compare_scores(one: f64, other: f64) -> Ordering {
    one.partial_cmp(&other).expect("no score is NaN")
}

/// The integer that stands for a score in the small form, where one does: Redis stores whole numbers up to half the
/// range of 64 bits so, and loses the sign of zero.
pub fn compact_score(score: f64) -> Option<i64> {
    const LIMIT: f64 = (i64::MAX / 2) as f64;
    let whole = score.abs() <= LIMIT && score.trunc() == score;
    whole.then_some(score as i64)
}

fn insert_into_listpack(listpack: &mut Listpack, member: &[u8], score: f64) {
    let (mut digits, mut double) = (itoa::Buffer::new(), DoubleBuffer::new());
    let text = match compact_score(score) {
        Some(integer) => digits.format(integer).as_bytes(),
        None => double.format(score),
    };
    let mut place = listpack.first();
    while let Some(position) = place {
        let own_score_at = listpack
            .next(position)
            .expect("a score follows each member");
        let own_score = score_of(listpack.get(own_score_at));
        let order = compare_scores(own_score, score)
            .then_with(|| listpack.get(position).with_bytes(|own| own.cmp(member)));
        if order == Ordering::Greater {
            let position = listpack.insert_before(position, member);
            listpack.insert_after(position, text);
            return;
        }
        place = listpack.next(own_score_at);
    }
    listpack.push_back(member);
    listpack.push_back(text);
}

/// Members of neighbouring ranks with their scores, from both ends.
#[derive(Debug)]
pub struct Entries<'a>(Source<'a>);

enum Source<'a> {
    Listpack {
        listpack: &'a Listpack,
        front: Option<Position>,
        back: Option<Position>,
        left: usize,
    },
    Tree(tree::Range<'a, Ranked>),
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = match self {
            Self::Listpack { left, .. } => *left,
            Self::Tree(range) => range.len(),
        };
        f.debug_struct("Source").field("left", &left).finish()
    }
}

fn pair_at(listpack: &Listpack, position: Position) -> Option<(Element<'_>, f64, Position)> {
    let score = listpack.next(position)?;
    Some((listpack.get(position), score_of(listpack.get(score)), score))
}

fn ranked_pair(entry: &Ranked) -> (Element<'_>, f64) {
    (Element::Bytes(entry.member.bytes()), entry.score)
}

impl<'a> Iterator for Entries<'a> {
    type Item = (Element<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::Listpack {
                listpack,
                front,
                left,
                ..
            } => {
                *left = left.checked_sub(1)?;
                let (member, score, score_at) = pair_at(listpack, (*front)?)?;
                *front = listpack.next(score_at);
                Some((member, score))
            }
            Source::Tree(range) => range.next().map(ranked_pair),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Source::Listpack { left, .. } => *left,
            Source::Tree(range) => range.len(),
        };
        (left, Some(left))
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::Listpack {
                listpack,
                back,
                left,
                ..
            } => {
                *left = left.checked_sub(1)?;
                let position = (*back)?;
                let (member, score, _) = pair_at(listpack, position)?;
                *back = listpack
                    .prev(position)
                    .and_then(|score_at| listpack.prev(score_at));
                Some((member, score))
            }
            Source::Tree(range) => range.next_back().map(ranked_pair),
        }
    }
}

impl ExactSizeIterator for Entries<'_> {}

#[cfg(test)]
mod tests;
