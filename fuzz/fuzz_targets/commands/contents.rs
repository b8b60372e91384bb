//! What an engine holds, told by commands alone, and whether what it counts is what is there.

use innkeep::{Engine, Response, Session};

const DATABASES: [&[u8]; 3] = [b"0", b"1", b"2"];

/// What of a stream is not part of the data: how it is held, and when consumers were seen.
const UNTOLD: &[&[u8]] = &[
    b"radix-tree-keys",
    b"radix-tree-nodes",
    b"seen-time",
    b"active-time",
];

fn ask(session: &mut Session, words: &[&[u8]]) -> Response {
    let answer = session.execute(words);
    assert!(
        !matches!(answer, Response::Error(_)),
        "{words:?}: {answer:?}"
    );
    answer
}

fn items(answer: Response) -> Vec<Response> {
    match answer {
        Response::Array(items) | Response::Set(items) => items,
        other => panic!("an array: {other:?}"),
    }
}

fn number(answer: Response) -> usize {
    match answer {
        Response::Int(number) => usize::try_from(number).expect("a number of things"),
        other => panic!("a number: {other:?}"),
    }
}

fn keys(session: &mut Session) -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = items(ask(session, &[b"KEYS", b"*"]))
        .into_iter()
        .map(|key| match key {
            Response::Bulk(key) => key,
            other => panic!("a key: {other:?}"),
        })
        .collect();
    keys.sort();
    keys
}

fn told(answer: Response) -> Response {
    let Response::Array(items) = answer else {
        return answer;
    };
    let mut kept = Vec::new();
    let mut items = items.into_iter();
    while let Some(item) = items.next() {
        if matches!(&item, Response::Bulk(text) if UNTOLD.contains(&text.as_slice())) {
            items.next();
        } else {
            kept.push(told(item));
        }
    }
    Response::Array(kept)
}

/// A key's database and name, its type, when it runs out, its digest, and what a digest leaves out.
pub type Item = (Vec<u8>, Vec<u8>, Response, Response, Response, Response);

pub fn contents(engine: &Engine) -> Vec<Item> {
    let mut all = Vec::new();
    let mut session = engine.session();
    for db in DATABASES {
        ask(&mut session, &[b"SELECT", db]);
        for key in keys(&mut session) {
            let kind = ask(&mut session, &[b"TYPE", &key]);
            let digest = ask(&mut session, &[b"DEBUG", b"DIGEST-VALUE", &key]);
            let further = match &kind {
                Response::Simple(kind) if kind == "stream" => told(ask(
                    &mut session,
                    &[b"XINFO", b"STREAM", &key, b"FULL", b"COUNT", b"0"],
                )),
                Response::Simple(kind) if kind == "hash" => field_times(&mut session, &key),
                _ => Response::Null,
            };
            let time = ask(&mut session, &[b"PEXPIRETIME", &key]);
            all.push((db.to_vec(), key, kind, time, digest, further));
        }
    }
    let functions = ask(&mut session, &[b"FUNCTION", b"DUMP"]);
    all.push((
        Vec::new(),
        Vec::new(),
        functions,
        Response::Null,
        Response::Null,
        Response::Null,
    ));
    all
}

fn field_times(session: &mut Session, key: &[u8]) -> Response {
    let fields = items(ask(session, &[b"HKEYS", key]));
    let mut times: Vec<(Vec<u8>, Response)> = Vec::new();
    for field in fields {
        let Response::Bulk(field) = field else {
            panic!("a field: {field:?}");
        };
        let time = ask(session, &[b"HPEXPIRETIME", key, b"FIELDS", b"1", &field]);
        times.push((field, time));
    }
    times.sort_by(|one, other| one.0.cmp(&other.0));
    Response::Array(times.into_iter().map(|(_, time)| time).collect())
}

/// DBSIZE, the iteration by SCAN, the number of keys that run out, and the length of each collection.
pub fn check_counts(engine: &Engine) {
    let mut session = engine.session();
    let mut expiring = Vec::new();
    for db in DATABASES {
        ask(&mut session, &[b"SELECT", db]);
        let keys = keys(&mut session);
        let mut with_time = 0;
        for key in &keys {
            check_length(&mut session, key);
            let time = ask(&mut session, &[b"PEXPIRETIME", key]);
            with_time += usize::from(!matches!(time, Response::Int(-1 | -2)));
        }
        // A hash of which every field had run out is gone now.
        let keys = self::keys(&mut session);
        // SCAN removes what has run out; KEYS only leaves it out.
        assert_eq!(scanned(&mut session), keys, "SCAN");
        // A hash of which every field has run out is counted until somebody looks at it.
        let counted = number(ask(&mut session, &[b"DBSIZE"]));
        assert!(counted >= keys.len(), "DBSIZE: {counted}");
        expiring.push(with_time);
    }
    let (Response::Verbatim { text, .. } | Response::Bulk(text)) =
        ask(&mut session, &[b"INFO", b"keyspace"])
    else {
        panic!("a text");
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    for (db, expected) in expiring.iter().enumerate() {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("db{db}:")));
        let told = line.and_then(|line| {
            line.split("expires=")
                .nth(1)?
                .split(',')
                .next()?
                .parse()
                .ok()
        });
        assert!(told.unwrap_or(0) >= *expected, "db{db}: {text}");
    }
}

fn scanned(session: &mut Session) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut cursor = b"0".to_vec();
    loop {
        let mut parts = items(ask(session, &[b"SCAN", &cursor]));
        let keys = items(parts.pop().expect("two parts"));
        found.extend(keys.into_iter().map(|key| match key {
            Response::Bulk(key) => key,
            other => panic!("a key: {other:?}"),
        }));
        let Some(Response::Bulk(next)) = parts.pop() else {
            panic!("a cursor");
        };
        if next == b"0" {
            break;
        }
        cursor = next;
    }
    found.sort();
    found
}

fn check_length(session: &mut Session, key: &[u8]) {
    let Response::Simple(kind) = ask(session, &[b"TYPE", key]) else {
        panic!("a type");
    };
    let (length, all): (&[u8], &[&[u8]]) = match kind.as_ref() {
        "list" => (b"LLEN", &[b"LRANGE", key, b"0", b"-1"]),
        "set" => (b"SCARD", &[b"SMEMBERS", key]),
        "zset" => (b"ZCARD", &[b"ZRANGE", key, b"0", b"-1"]),
        "hash" => (b"HLEN", &[b"HKEYS", key]),
        "stream" => (b"XLEN", &[b"XRANGE", key, b"-", b"+"]),
        _ => return,
    };
    let counted = items(ask(session, all)).len();
    assert_eq!(number(ask(session, &[length, key])), counted, "{kind}");
    let mut gone = || ask(session, &[b"EXISTS", key]) == Response::Int(0);
    assert!(
        counted > 0 || kind == "stream" || gone(),
        "an empty {kind} is kept"
    );
}
