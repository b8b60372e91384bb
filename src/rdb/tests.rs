//! Small RDBs, written byte by byte: every opcode and type, what is refused and how, and hostile bytes.

use proptest::prelude::*;

use super::{
    Decoded, Problem, RawEntries, RawEntry, RawKind, RdbEntry, RdbError, RdbSummary, crc64, read,
    skim,
};
use crate::keyspace::{Limits, Value};

/// An RDB of this version with its checksum.
fn rdb(version: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("REDIS{version:04}").into_bytes();
    bytes.extend_from_slice(body);
    bytes.push(0xff);
    if version >= 5 {
        bytes.extend(crc64::update(0, &bytes).to_le_bytes());
    }
    bytes
}

/// Reads an RDB in two steps, one after the other.
pub(super) fn skim_all(
    mut bytes: &[u8],
    limits: &Limits,
) -> Result<(Vec<RdbEntry>, RdbSummary), RdbError> {
    struct Sink<'a> {
        limits: &'a Limits,
        /// What the next value still lacks.
        next: Option<(RdbEntry, RawKind)>,
        entries: Vec<RdbEntry>,
        failure: Option<RdbError>,
    }

    impl RawEntries for Sink<'_> {
        type Error = RdbError;

        fn expect(&mut self, _: usize, _: u64) {}

        fn begin(&mut self, entry: RawEntry<'_>) -> Result<Option<Vec<u8>>, RdbError> {
            let blank = RdbEntry {
                db: entry.db,
                key: entry.key.to_vec(),
                value: Value::Int(0),
                expires_at_ms: entry.expires_at_ms,
                usage: entry.usage,
            };
            self.next = Some((blank, entry.kind));
            Ok(Some(b"before".to_vec()))
        }

        fn end(&mut self, bytes: Vec<u8>) {
            let value = bytes.strip_prefix(b"before").expect("it is appended");
            let (mut entry, kind) = self.next.take().expect("it has begun");
            match kind.decode(value, self.limits) {
                Ok(Decoded::Empty) => return,
                Ok(Decoded::Text(text)) => entry.value = Value::string(text),
                Ok(Decoded::Value(value)) => entry.value = value,
                Err(error) => {
                    self.failure.get_or_insert(error);
                }
            }
            self.entries.push(entry);
        }
    }

    let mut sink = Sink {
        limits,
        next: None,
        entries: Vec::new(),
        failure: None,
    };
    let summary = skim(&mut bytes, &mut sink)?;
    match sink.failure {
        Some(error) => Err(error),
        None => Ok((sink.entries, summary)),
    }
}

/// What is read at once; what is read in two steps is the same.
fn entries(bytes: &[u8]) -> Result<(Vec<RdbEntry>, RdbSummary), RdbError> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    let summary = read::<RdbError>(&mut rest, &Limits::default(), |entry| {
        entries.push(entry);
        Ok(())
    });
    let in_steps = skim_all(bytes, &Limits::default());
    assert_eq!(
        summary.is_ok(),
        in_steps.is_ok(),
        "{summary:?} {in_steps:?}"
    );
    let summary = summary?;
    let (others, counted) = in_steps?;
    assert_eq!(format!("{entries:?}"), format!("{others:?}"));
    assert_eq!(counted.keys, summary.keys + summary.empty_keys);
    Ok((entries, summary))
}

fn refused(bytes: &[u8]) -> String {
    entries(bytes).expect_err("must be refused").to_string()
}

/// The elements of any value as text, in their order: `field=value`, `member:score`.
fn texts(value: &Value) -> Vec<String> {
    let text = |element: crate::value::listpack::Element<'_>| {
        String::from_utf8_lossy(&element.to_vec()).into_owned()
    };
    match value {
        Value::Int(number) => vec![number.to_string()],
        Value::Bytes(bytes) | Value::Raw(bytes) => {
            vec![String::from_utf8_lossy(bytes).into_owned()]
        }
        Value::List(list) => list.iter().map(text).collect(),
        Value::Set(set) => set.iter().map(text).collect(),
        Value::Hash(hash) => hash
            .iter()
            .map(|(field, value)| format!("{}={}", text(field), text(value)))
            .collect(),
        Value::SortedSet(set) => set
            .iter()
            .map(|(member, score)| format!("{}:{score}", text(member)))
            .collect(),
        Value::Stream(stream) => vec![format!("{stream:?}")],
    }
}

/// Reads the one key `k` of type `kind`.
fn value(kind: u8, bytes: &[u8]) -> Value {
    let body = [&[kind, 1, b'k'], bytes].concat();
    let (mut entries, summary) = entries(&rdb(11, &body)).expect("a sound RDB");
    assert_eq!(summary.keys, 1);
    entries.pop().expect("one key").value
}

#[test]
fn a_file_of_redis_is_read_to_its_last_byte() {
    // SAVE of redis-server 7.0.15 with `a` 1, `b` hello with an expiry and the list `l` of a, b, 3; commands behind it.
    let mut bytes = rdb(
        10,
        b"\xfa\x09redis-ver\x067.0.15\xfa\x0aredis-bits\xc0\x40\xf5\x04code\xfe\x00\xfb\x03\x01\x12\x01l\x01\x02\x0f\
          \x0f\0\0\0\x03\0\x81a\x02\x81b\x02\x03\x01\xff\xfc\x0d\xaa\xee\x0d\xa2\x01\0\0\0\x01b\x05hello\0\x01a\xc0\x01",
    );
    let len = bytes.len() as u64;
    bytes.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
    let (entries, summary) = entries(&bytes).expect("sound");
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| {
            (
                entry.key.as_slice(),
                texts(&entry.value).join(" "),
                entry.expires_at_ms,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (&b"l"[..], "a b 3".to_owned(), None),
            (b"b", "hello".to_owned(), Some(1_795_530_074_637)),
            (b"a", "1".to_owned(), None),
        ]
    );
    assert_eq!(
        (summary.bytes, summary.version, summary.functions.len()),
        (len, 10, 1)
    );
    assert!(summary.has_checksum && summary.keys == 3);
    let aux = (b"redis-bits".to_vec(), b"64".to_vec());
    assert_eq!(summary.aux.last(), Some(&aux));
}

#[test]
fn opcodes_apply_to_the_next_key() {
    let body = b"\xfe\x03\xfd\x01\0\0\0\xf8\x40\x80\x00\x01a\x01x\xf9\x05\x00\x01b\x01y\xf4\x01\x02\x03\xfe\x40\x64\x00\x01c\xc1\x00\x80";
    let (entries, _) = entries(&rdb(12, body)).expect("sound");
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry.db, texts(&entry.value).join(""), entry.expires_at_ms))
        .collect();
    assert_eq!(
        seen,
        [
            (3, "x".to_owned(), Some(1000)),
            (3, "y".to_owned(), None),
            (100, "-32768".to_owned(), None)
        ]
    );
}

/// A ziplist of `b` and 2, as a string.
const ZIPLIST: &[u8] = b"\x10\x10\0\0\0\x0d\0\0\0\x02\0\0\x01b\x03\xf3\xff";

#[test]
fn every_type_is_read() {
    let cases: &[(u8, &[u8], &[&str], &str)] = &[
        (0, b"\xc2\x00\x00\x00\x80", &["-2147483648"], ""),
        (0, b"\xc3\x04\x06\x00x\x60\x00", &["xxxxxx"], ""),
        (0, b"\x80\0\0\0\x01x", &["x"], ""),
        (0, b"\x81\0\0\0\0\0\0\0\x01x", &["x"], ""),
        (1, b"\x03\x01a\xc0\x05\x01a", &["a", "5", "a"], ""),
        (2, b"\x02\xc0\x02\xc0\x01", &["1", "2"], "intset"),
        (
            3,
            b"\x03\x01a\x031.5\x01b\xfe\x01c\xff",
            &["c:-inf", "a:1.5", "b:inf"],
            "listpack",
        ),
        (5, b"\x01\x01a\0\0\0\0\0\0\xf8\x3f", &["a:1.5"], "listpack"),
        (4, b"\x01\x01f\x01v", &["f=v"], "listpack"),
        (
            9,
            b"\x0d\x02\x02f1\x02\x00v1\x01f\x00\x00\xff",
            &["f1=v1", "f="],
            "listpack",
        ),
        (10, ZIPLIST, &["b", "2"], ""),
        (
            11,
            b"\x0c\x02\0\0\0\x02\0\0\0\x01\0\x05\0",
            &["1", "5"],
            "intset",
        ),
        (12, ZIPLIST, &["b:2"], "listpack"),
        (13, ZIPLIST, &["b=2"], "listpack"),
        (
            16,
            b"\x0c\x0c\0\0\0\x02\0\x81f\x02\x07\x01\xff",
            &["f=7"],
            "listpack",
        ),
        (
            17,
            b"\x0c\x0c\0\0\0\x02\0\x81m\x02\x07\x01\xff",
            &["m:7"],
            "listpack",
        ),
        (
            18,
            b"\x02\x01\x05plain\x02\x0c\x0c\0\0\0\x02\0\x81f\x02\x07\x01\xff",
            &["plain", "f", "7"],
            "",
        ),
        (
            20,
            b"\x0c\x0c\0\0\0\x02\0\x81f\x02\x07\x01\xff",
            &["f", "7"],
            "listpack",
        ),
    ];
    for (kind, bytes, expected, encoding) in cases {
        let value = value(*kind, bytes);
        assert_eq!(texts(&value), *expected, "type {kind}");
        let form = match &value {
            Value::Hash(hash) => hash.encoding(),
            Value::Set(set) => set.encoding(),
            Value::SortedSet(set) => set.encoding(),
            _ => "",
        };
        assert_eq!(form, *encoding, "type {kind}");
    }
    let nodes = [&b"\x02"[..], ZIPLIST, ZIPLIST].concat();
    assert_eq!(texts(&value(14, &nodes)), ["b", "2", "b", "2"]);
}

/// DUMPs of redis-server 8.2.3, and what they are in the release candidates' forms.
#[test]
fn fields_of_hashes_have_times() {
    let listpack = b"\x2d\x2d\0\0\0\x09\0\x81c\x02\x81x\x02\xf4\0\xd8\xc3\x2c\xbb\x03\0\0\x09\x81a\x02\x01\x01\
        \xf4\x05\xd8\xc3\x2c\xbb\x03\0\0\x09\x81b\x02\x16\x01\0\x01\xff";
    let earliest = b"\0\xd8\xc3\x2c\xbb\x03\0\0";
    let fields = b"\x03\x06\x01a\xc0\x01\x01\x01c\x01x\0\x01b\xc0\x16";
    let absolute = b"\x03\x81\0\0\x03\xbb\x2c\xc3\xd8\x05\x01a\xc0\x01\x81\0\0\x03\xbb\x2c\xc3\xd8\0\x01c\x01x\0\x01b\xc0\x16";
    for (kind, bytes) in [
        (25, [&earliest[..], listpack].concat()),
        (24, [&earliest[..], fields].concat()),
        (23, listpack.to_vec()),
        (22, absolute.to_vec()),
    ] {
        let Value::Hash(hash) = value(kind, &bytes) else {
            panic!("type {kind} is a hash");
        };
        assert_eq!(
            (hash.encoding(), hash.len()),
            ("listpackex", 3),
            "type {kind}"
        );
        let times = [b"a", b"b", b"c"].map(|field| hash.time(field));
        let expected = [Some(4_102_444_800_005), None, Some(4_102_444_800_000)];
        assert_eq!(times, expected.map(Some), "type {kind}");
    }
    let late = refused(&rdb(
        12,
        b"\x18\x01k\xff\xff\xff\xff\xff\xff\xff\x7f\x01\x02\x01a\x01b",
    ));
    assert!(late.ends_with("no time of a field: 2"), "{late}");
    let pairs = refused(&rdb(
        12,
        b"\x17\x01k\x0c\x0c\0\0\0\x02\0\x81f\x02\x07\x01\xff",
    ));
    assert!(
        pairs.contains("Hash listpack integrity check failed") && pairs.contains("hash with times"),
        "{pairs}"
    );
}

#[test]
fn empty_collections_are_passed_over() {
    let (entries, summary) =
        entries(&rdb(9, b"\x01\x01l\x00\x04\x01h\x00\x00\x01s\x00")).expect("sound");
    assert_eq!((entries.len(), summary.keys, summary.empty_keys), (1, 1, 2));
}

#[test]
fn versions_without_a_checksum_are_read_and_a_zero_checksum_is_none() {
    let (_, summary) = entries(&rdb(4, b"\x00\x01a\x01x")).expect("sound");
    assert_eq!((summary.has_checksum, summary.bytes), (false, 15));
    let mut bytes = rdb(11, b"\x00\x01a\x01x");
    let end = bytes.len() - 8;
    bytes.truncate(end);
    bytes.extend([0; 8]);
    let (_, summary) = entries(&bytes).expect("sound");
    assert_eq!((summary.has_checksum, summary.bytes), (false, 23));
}

#[test]
fn refusals_say_where_and_what() {
    for (kind, what) in [
        (26, "streams of Redis 8.2 are not supported yet"),
        (8, "unknown opcode or type 8"),
    ] {
        let expected = format!("offset 11, key 'k' of database 7: {what}");
        assert_eq!(refused(&rdb(11, &[0xfe, 7, kind, 1, b'k'])), expected);
    }
    let id = [0x81, 0x00, 0x10, 0x83, 0x10, 0x51, 0x87, 0x20, 0x01];
    let module = refused(&rdb(11, &[&[7, 1, b'k'], &id[..]].concat()));
    assert!(
        module.ends_with("values of the module type ABCDEFGHI are not supported yet"),
        "{module}"
    );
    let aux = refused(&rdb(11, &[&[0xf7], &id[..]].concat()));
    assert!(
        aux.ends_with("data of the module ABCDEFGHI are not supported yet"),
        "{aux}"
    );
    assert_eq!(
        refused(b"RADIS0011\xff"),
        "offset 0: no RDB: it begins with 'RADIS'"
    );
    for version in ["0000", "0013", "00x1", "-001"] {
        let expected = format!("offset 5: RDB version '{version}' cannot be read (1 to 12 can)");
        assert_eq!(refused(format!("REDIS{version}").as_bytes()), expected);
    }
    assert_eq!(
        refused(&rdb(11, b"\xf0")),
        "offset 9: unknown opcode or type 240"
    );
    let twice = refused(&rdb(11, b"\x02\x01k\x02\x01a\x01a"));
    assert_eq!(
        twice,
        "offset 15, key 'k' of database 0: Value integrity check failed: 'a' occurs twice"
    );
    let cut = refused(b"REDIS0011\x00\x01k\x81\x7f\0\0\0\0\0\0\0abc");
    assert_eq!(
        cut,
        "offset 24, key 'k' of database 0: the RDB ends too early"
    );
    let score = refused(&rdb(11, b"\x05\x01k\x01\x01a\0\0\0\0\0\0\xf8\x7f"));
    assert!(score.contains("a score that is not a number"), "{score}");
}

#[test]
fn a_flipped_bit_is_found() {
    let good = rdb(11, b"\x00\x01a\x05hello");
    for at in 9..good.len() - 9 {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        entries(&bytes).expect_err("damaged");
    }
    let mut bytes = good;
    bytes[13] ^= 1;
    let error = entries(&bytes).expect_err("damaged");
    assert!(matches!(error.problem, Problem::Checksum { .. }), "{error}");
}

#[test]
fn the_handler_may_refuse() {
    #[derive(Debug)]
    struct Refused;
    impl From<RdbError> for Refused {
        fn from(error: RdbError) -> Self {
            panic!("{error}")
        }
    }
    let bytes = rdb(11, b"\x00\x01a\x01x");
    read(&mut bytes.as_slice(), &Limits::default(), |_| Err(Refused))
        .expect_err("as the handler says");
}

/// Hands out one byte at a time, with an interruption before each.
struct Slow<'a>(&'a [u8], bool);

impl std::io::Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let (piece, rest) = self.0.split_at(1.min(self.0.len()));
        self.0 = rest;
        buffer[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    }
}

#[test]
fn a_reader_may_be_slow() {
    let bytes = rdb(
        11,
        b"\xfc\x01\0\0\0\0\0\0\0\x05\x01z\x01\x01a\0\0\0\0\0\0\xf8\x3f",
    );
    let mut keys = 0;
    let summary = read::<RdbError>(&mut Slow(&bytes, false), &Limits::default(), |_| {
        keys += 1;
        Ok(())
    })
    .expect("sound");
    assert_eq!((summary.bytes, keys), (bytes.len() as u64, 1));
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(
        kind in 0_u8..27,
        noise in prop::collection::vec(prop_oneof![0_u8..20, any::<u8>()], 0..80),
    ) {
        drop(entries(&rdb(11, &noise)));
        drop(entries(&rdb(9, &[&[kind, 1, b'k'], noise.as_slice()].concat())));
        let compact = [&[kind, 1, b'k', noise.len() as u8 & 0x3f], noise.as_slice()].concat();
        drop(entries(&rdb(9, &compact)));
    }
}
