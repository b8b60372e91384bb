//! Streams against a sorted map that does the same without nodes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::value::listpack::Element;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn fields_of(entry: &Entry<'_>) -> Fields {
    entry
        .fields()
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect()
}

fn words(fields: &Fields) -> Vec<&[u8]> {
    fields
        .iter()
        .flat_map(|(name, value)| [name.as_slice(), value.as_slice()])
        .collect()
}

/// What a stream says of itself must follow from its entries, and its nodes must be as Redis would write them.
fn check(stream: &Stream, model: &BTreeMap<StreamId, Fields>, state: &State) {
    assert_eq!(stream.len(), model.len());
    assert_eq!(stream.state(), *state);
    let forward: Vec<_> = stream.range(StreamId::MIN, StreamId::MAX).collect();
    let entries = forward.iter().map(|entry| (entry.id, fields_of(entry)));
    assert!(entries.eq(model.iter().map(|(id, fields)| (*id, fields.clone()))));
    let backward = stream.reverse_range(StreamId::MIN, StreamId::MAX);
    assert!(
        backward
            .map(|entry| entry.id)
            .eq(model.keys().rev().copied())
    );
    let mut copy = Stream::new();
    for (master, pack) in stream.nodes() {
        copy.push_node(master, pack.clone()).expect("a sound node");
    }
    assert_eq!(copy.len(), stream.len());
    let (first, last) = (model.first_key_value(), model.last_key_value());
    assert_eq!(
        stream.state().first_id,
        first.map_or(StreamId::MIN, |(id, _)| *id)
    );
    assert_eq!(
        stream.first_entry().map(|entry| entry.id),
        first.map(|(id, _)| *id)
    );
    assert_eq!(
        stream.last_entry().map(|entry| entry.id),
        last.map(|(id, _)| *id)
    );
}

#[test]
fn entries_share_the_names_of_the_first_one() {
    let mut stream = Stream::new();
    let limits = StreamLimits::default();
    let add = |stream: &mut Stream, seq, fields: &[&[u8]]| {
        assert!(stream.add(StreamId::new(7, seq), fields, &limits));
    };
    add(&mut stream, 1, &[b"name", b"a", b"age", b"1"]);
    add(&mut stream, 3, &[b"name", b"b", b"age", b"2"]);
    add(&mut stream, 4, &[b"age", b"3"]);
    let (master, pack) = stream.nodes().next().expect("one node");
    assert_eq!(master, StreamId::new(7, 1));
    let text = |element: Element<'_>| String::from_utf8_lossy(&element.to_vec()).into_owned();
    let elements: Vec<String> = pack.iter().map(text).collect();
    assert_eq!(
        elements.join(" "),
        "3 0 2 name age 0 2 0 0 a 1 5 2 0 2 b 2 5 0 0 3 1 age 3 6"
    );
    assert!(!stream.add(StreamId::new(7, 4), &[b"a", b"b"], &limits));
    assert!(!stream.add(StreamId::new(8, 0), &[b"a"], &limits));
}

#[test]
fn nodes_end_where_the_limits_say() {
    let nodes = |max_node_bytes, max_node_entries| {
        let limits = StreamLimits {
            max_node_bytes,
            max_node_entries,
        };
        let mut stream = Stream::new();
        for seq in 1..=1000 {
            stream.add(StreamId::new(1, seq), &[b"field", b"value"], &limits);
        }
        assert_eq!(stream.len(), 1000);
        stream.nodes().len()
    };
    assert_eq!(nodes(4096, 100), 10);
    assert_eq!(nodes(0, 0), 1);
    assert_eq!(nodes(1, 0), 1000);
    assert_eq!(nodes(0, 1), 1000);
    assert!((4..8).contains(&nodes(4096, 0)));
}

#[test]
fn heap_size_counts_nodes_groups_and_deliveries() {
    let mut stream = Stream::new();
    let empty = stream.heap_size();
    for seq in 1..=1000 {
        stream.add(
            StreamId::new(1, seq),
            &[b"field", &[b'x'; 50]],
            &StreamLimits::default(),
        );
    }
    let entries = stream.heap_size();
    assert!((50_000..80_000).contains(&(entries - empty)), "{entries}");
    let mut group = Group::new(StreamId::MIN, Some(0));
    group.add_consumer(b"consumer", 5);
    for seq in 1..=1000 {
        group.deliver(StreamId::new(1, seq), b"consumer", 5, 1);
    }
    stream.add_group(b"group", group);
    let deliveries = stream.heap_size() - entries;
    assert!((64_000..150_000).contains(&deliveries), "{deliveries}");
    let copy = stream.clone();
    stream.remove_group(b"group");
    assert_eq!(copy.group(b"group").map(Group::pending_len), Some(1000));
}

#[test]
fn hostile_nodes_are_refused() {
    let node = |elements: &[&str]| -> Listpack { elements.iter().map(|e| e.as_bytes()).collect() };
    let push = |elements: &[&str]| Stream::new().push_node(StreamId::new(5, 5), node(elements));
    let good = ["1", "0", "1", "f", "0", "2", "0", "0", "v", "4"];
    assert_eq!(push(&good), Ok(()));
    assert_eq!(push(&[]), Err(NodeError::Master));
    assert_eq!(
        push(&["1", "0", "9223372036854775807", "f", "0"]),
        Err(NodeError::Master)
    );
    assert_eq!(push(&["1", "0", "0", "0"]), Err(NodeError::Master));
    assert_eq!(push(&["1", "0", "1", "f", "0"]), Err(NodeError::Count));
    assert_eq!(push(&["-1", "0", "1", "f", "0"]), Err(NodeError::Master));
    for (at, word) in [
        (0, "2"),
        (1, "1"),
        (5, "3"),
        (9, "3"),
        (9, "4294967296"),
        (6, "-1"),
    ] {
        let mut bad = good;
        bad[at] = word;
        assert!(push(&bad).is_err(), "{bad:?}");
    }
    for end in 0..good.len() {
        assert!(push(&good[..end]).is_err());
    }
    let huge = [
        "1",
        "0",
        "1",
        "f",
        "0",
        "0",
        "0",
        "0",
        "9223372036854775807",
        "f",
        "v",
        "6",
    ];
    assert_eq!(push(&huge), Err(NodeError::Entry(0)));
    let mut twice = Stream::new();
    assert_eq!(twice.push_node(StreamId::new(5, 5), node(&good)), Ok(()));
    assert!(twice.push_node(StreamId::new(5, 5), node(&good)).is_err());
}

fn fields() -> impl Strategy<Value = Fields> {
    let name = prop::sample::select(vec![&b"a"[..], b"b", b"17", b""]);
    let value = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop_oneof![
        value
            .clone()
            .prop_map(|value| vec![(b"same".to_vec(), value)]),
        prop::collection::vec((name.prop_map(<[u8]>::to_vec), value), 1..4),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Add(u64, u64, Fields),
    Delete(usize),
    Trim(u64, bool, u64),
    TrimIds(usize, bool),
    Range(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u64, any::<u64>(), fields()).prop_map(|(ms, seq, f)| Step::Add(ms, seq, f)),
        2 => any::<usize>().prop_map(Step::Delete),
        1 => (0..80_u64, any::<bool>(), 0..30_u64).prop_map(|(n, a, l)| Step::Trim(n, a, l)),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(at, a)| Step::TrimIds(at, a)),
        1 => (0..200_u64, 0..200_u64).prop_map(|(from, to)| Step::Range(from, to)),
    ]
}

struct Model {
    stream: Stream,
    entries: BTreeMap<StreamId, Fields>,
    state: State,
    limits: StreamLimits,
}

impl Model {
    fn nth(&self, at: usize) -> Option<StreamId> {
        let len = self.entries.len().max(1);
        self.entries.keys().nth(at % len).copied()
    }

    fn trim(&mut self, how: &Trim) {
        let first_ids = self.entries.keys().copied().collect::<Vec<_>>();
        let removed = self.stream.trim(how);
        let exact = match how.to {
            TrimTo::Length(wanted) => first_ids.len().saturating_sub(wanted as usize),
            TrimTo::MinId(id) => first_ids.iter().filter(|other| **other < id).count(),
        };
        if how.approximate {
            assert!(removed <= exact && (how.limit == 0 || removed as u64 <= how.limit));
        } else {
            assert_eq!(removed, exact);
        }
        for id in &first_ids[..removed] {
            self.entries.remove(id);
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Add(ms, seq, fields) => {
                let last = self.state.last_id;
                let id = match ms {
                    0 => StreamId::new(last.ms, last.seq.saturating_add(1 + seq % 3)),
                    _ => StreamId::new(last.ms + ms, seq),
                };
                let added = self.stream.add(id, &words(&fields), &self.limits);
                assert_eq!(added, id > last);
                if added {
                    self.entries.insert(id, fields);
                    self.state.last_id = id;
                    self.state.entries_added += 1;
                }
            }
            Step::Delete(at) => {
                let Some(id) = self.nth(at) else { return };
                assert!(self.stream.delete(id) && !self.stream.delete(id));
                self.entries.remove(&id);
                self.state.max_deleted_id = self.state.max_deleted_id.max(id);
            }
            Step::Trim(wanted, approximate, limit) => self.trim(&Trim {
                to: TrimTo::Length(wanted),
                approximate,
                limit: if approximate { limit } else { 0 },
                references: References::Kept,
            }),
            Step::TrimIds(at, approximate) => {
                let id = self.nth(at).unwrap_or(StreamId::MAX);
                self.trim(&Trim {
                    to: TrimTo::MinId(id),
                    approximate,
                    limit: 0,
                    references: References::Kept,
                });
            }
            Step::Range(from, to) => {
                self.compare_range(StreamId::new(from, 0), StreamId::new(to, 9))
            }
        }
        let first = self.entries.keys().next();
        self.state.first_id = first.copied().unwrap_or_default();
    }

    fn compare_range(&self, start: StreamId, end: StreamId) {
        let within = |id: &StreamId| (start..=end).contains(id);
        let expected: Vec<_> = self.entries.keys().copied().filter(within).collect();
        let found: Vec<_> = self.stream.range(start, end).map(|e| e.id).collect();
        assert_eq!(found, expected);
        let mut found: Vec<_> = self
            .stream
            .reverse_range(start, end)
            .map(|e| e.id)
            .collect();
        found.reverse();
        assert_eq!(found, expected);
        for id in self.entries.keys().step_by(7) {
            let entry = self.stream.get(*id).map(|entry| fields_of(&entry));
            assert_eq!(entry.as_ref(), self.entries.get(id));
        }
    }
}

proptest! {
    #[test]
    fn behaves_like_a_sorted_map(
        steps in prop::collection::vec(step(), 1..150),
        max_node_entries in 0..12_usize,
        max_node_bytes in prop::sample::select(vec![0_usize, 100, 4096]),
    ) {
        let mut model = Model {
            stream: Stream::new(),
            entries: BTreeMap::new(),
            state: State::default(),
            limits: StreamLimits { max_node_bytes, max_node_entries },
        };
        for step in steps {
            model.run(step);
        }
        check(&model.stream, &model.entries, &model.state);
        check(&model.stream.clone(), &model.entries, &model.state);
    }

    #[test]
    fn nodes_of_any_bytes_are_refused_or_can_be_walked(
        elements in prop::collection::vec(prop_oneof![
            (-2..6_i64).prop_map(|n| n.to_string()),
            any::<i64>().prop_map(|n| n.to_string()),
            "[a-z]{0,3}",
        ], 0..24),
    ) {
        let mut stream = Stream::new();
        let pack = elements.iter().map(String::as_bytes).collect();
        if stream.push_node(StreamId::new(9, 9), pack).is_ok() {
            let ids: Vec<_> = stream.range(StreamId::MIN, StreamId::MAX).map(|e| e.id).collect();
            prop_assert_eq!(ids.len(), stream.len());
            prop_assert!(ids.iter().all(|id| stream.delete(*id)));
        }
    }

    /// Whatever is delivered, claimed and acknowledged: the group's list and those of its consumers say the same.
    #[test]
    fn a_group_and_its_consumers_agree(
        steps in prop::collection::vec((0..6_u8, 0..4_u8, 0..20_u64), 1..200),
    ) {
        let mut group = Group::default();
        let mut model: BTreeMap<u64, u8> = BTreeMap::new();
        let mut names: BTreeSet<u8> = BTreeSet::new();
        for (step, consumer, seq) in steps {
            let id = StreamId::new(1, seq);
            match step {
                0 => prop_assert_eq!(group.add_consumer(&[consumer], 3), names.insert(consumer)),
                1 => {
                    let count = model.values().filter(|name| **name == consumer).count();
                    let removed = names.remove(&consumer).then_some(count);
                    prop_assert_eq!(group.remove_consumer(&[consumer]), removed);
                    model.retain(|_, name| *name != consumer);
                }
                2 => prop_assert_eq!(group.acknowledge(id), model.remove(&seq).is_some()),
                _ => {
                    let known = names.contains(&consumer);
                    prop_assert_eq!(group.deliver(id, &[consumer], 4, 1), known);
                    if known {
                        model.insert(seq, consumer);
                    }
                }
            }
        }
        prop_assert_eq!(group.pending_len(), model.len());
        for (id, delivery) in group.pending(StreamId::MIN..=StreamId::MAX) {
            prop_assert_eq!(delivery.consumer.first(), model.get(&id.seq));
        }
        for (name, consumer) in group.consumers() {
            let own = model.iter().filter(|(_, owner)| name.first() == Some(owner));
            let own: Vec<_> = own.map(|(seq, _)| StreamId::new(1, *seq)).collect();
            prop_assert!(consumer.pending().eq(own));
        }
    }
}

/// A stream of twelve entries in nodes of three, of which a group has read eight and acknowledged 2, 3, 4 and 8.
fn read_by_a_group() -> Stream {
    let limits = StreamLimits {
        max_node_entries: 3,
        ..StreamLimits::default()
    };
    let mut stream = Stream::new();
    for ms in 1..=12 {
        assert!(stream.add(StreamId::new(ms, 0), &[b"a", b"b"], &limits));
    }
    stream.add_group(b"g", Group::new(StreamId::MIN, Some(0)));
    let group = stream.group_mut(b"g").expect("it was added");
    group.add_consumer(b"c", 0);
    for ms in 1..=8 {
        assert!(group.deliver(StreamId::new(ms, 0), b"c", 0, 1));
    }
    group.last_delivered = StreamId::new(8, 0);
    for ms in [2, 3, 4, 8] {
        assert!(group.acknowledge(StreamId::new(ms, 0)));
    }
    stream
}

#[test]
fn trims_mind_what_groups_want() {
    use References::{Awaited, Deleted, Kept};
    let (length, least) = (TrimTo::Length, |ms| TrimTo::MinId(StreamId::new(ms, 0)));
    let all: Vec<u64> = (1..=12).collect();
    for (to, approximate, references, left, pending) in [
        (length(9), false, Kept, &all[3..], &[1, 5, 6, 7][..]),
        (length(9), false, Deleted, &all[3..], &[5, 6, 7]),
        (length(5), true, Kept, &all[6..], &[1, 5, 6, 7]),
        (length(5), true, Deleted, &all, &[1, 5, 6, 7]),
        (least(6), false, Deleted, &all[5..], &[6, 7]),
        (
            length(9),
            false,
            Awaited,
            &[1, 5, 6, 7, 8, 9, 10, 11, 12],
            &[1, 5, 6, 7],
        ),
        (
            length(10),
            false,
            Awaited,
            &[1, 4, 5, 6, 7, 8, 9, 10, 11, 12],
            &[1, 5, 6, 7],
        ),
        (
            length(0),
            false,
            Awaited,
            &[1, 5, 6, 7, 9, 10, 11, 12],
            &[1, 5, 6, 7],
        ),
        (
            least(4),
            false,
            Awaited,
            &[1, 4, 5, 6, 7, 8, 9, 10, 11, 12],
            &[1, 5, 6, 7],
        ),
        (length(0), true, Awaited, &all, &[1, 5, 6, 7]),
        (least(9), true, Awaited, &all, &[1, 5, 6, 7]),
    ] {
        let mut stream = read_by_a_group();
        let how = Trim {
            to,
            approximate,
            limit: 0,
            references,
        };
        let removed = stream.trim(&how);
        let entries = stream.range(StreamId::MIN, StreamId::MAX);
        let entries: Vec<u64> = entries.map(|entry| entry.id.ms).collect();
        let group = stream.group(b"g").expect("it stays");
        let still = group.pending(StreamId::MIN..=StreamId::MAX);
        let still: Vec<u64> = still.map(|(id, _)| id.ms).collect();
        assert_eq!((&*entries, &*still), (left, pending), "{how:?}");
        assert_eq!((removed, stream.len()), (12 - left.len(), left.len()));
    }
}
