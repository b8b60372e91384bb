//! Scripts that come to their keys one after the other, beside everything else that locks several shards: nobody waits for
//! ever, nobody sees half of what another does, and the log tells it in an order that leads to the same data.

use std::thread;

use innkeep::{Config, Engine, Response, Session};

const ACCOUNTS: u64 = 12;
const WEALTH: i64 = 1000;
const TOKENS: u64 = 5;
const ROUNDS: u64 = 120;

/// Works on what nobody may see halfway, beginning with the keys that it declares, and then on others.
const TRANSFER: &str = "
    local from, to = KEYS[1] or 'account:' .. ARGV[1], KEYS[2] or 'account:' .. ARGV[2]
    redis.call('DECRBY', from, ARGV[3])
    if ARGV[4] == 'look' then redis.call('EXISTS', 'pair:' .. ARGV[1], 'token:1') end
    redis.call('INCRBY', to, ARGV[3])
    redis.call('RPUSH', 'passed', ARGV[1])
    if redis.call('LLEN', 'passed') > 20 then redis.call('DEL', 'passed') end
    return 1";
/// Looks at everything in an order of its own.
const LOOK: &str = "
    local sum, tokens, first = 0, 0, tonumber(ARGV[1])
    for i = 0, 11 do sum = sum + redis.call('GET', 'account:' .. (first + i * 5) % 12) end
    for i = 0, 4 do tokens = tokens + redis.call('EXISTS', 'token:' .. (first + i) % 5) end
    local left, right = redis.call('GET', 'pair:0'), redis.call('GET', 'pair:1')
    return {sum, tokens, left == right and 1 or 0}";
/// Comes to everything only when it has changed something.
const EMPTY: &str = "
    redis.call('DECRBY', 'account:' .. ARGV[1], 1)
    redis.call('SELECT', 5)
    redis.call('FLUSHDB')
    redis.call('SET', 'left:' .. ARGV[1], 'x', 'PX', '3')
    redis.call('SELECT', 0)
    redis.call('INCRBY', 'account:' .. ARGV[2], 1)
    return redis.call('DBSIZE') > 0 and 1 or 0";
/// The same, and nothing is left but what it says.
const BEGIN_ANEW: &str = "
    redis.call('GET', 'account:' .. ARGV[1])
    redis.call('FLUSHALL')
    for i = 0, 11 do redis.call('SET', 'account:' .. i, 1000) end
    redis.call('SET', 'token:' .. ARGV[1] % 5, 1)
    redis.call('MSET', 'pair:0', 'new', 'pair:1', 'new')
    return 1";

fn run(session: &mut Session, words: &[&str]) -> Response {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    session.execute(&words)
}

fn done(session: &mut Session, words: &[&str]) -> Response {
    let answer = run(session, words);
    assert!(
        !matches!(answer, Response::Error(_)),
        "{words:?}: {answer:?}"
    );
    answer
}

/// Two different accounts, and an amount.
fn pair(thread: u64, round: u64) -> [String; 3] {
    let from = (thread * 31 + round * 17) % ACCOUNTS;
    let to = (from + 1 + round % (ACCOUNTS - 1)) % ACCOUNTS;
    [from, to, round % 9].map(|number| number.to_string())
}

fn begin(session: &mut Session) {
    for number in 0..ACCOUNTS {
        let key = format!("account:{number}");
        done(session, &["SET", &key, &WEALTH.to_string()]);
    }
    done(
        session,
        &["MSET", "pair:0", "0", "pair:1", "0", "token:0", "1"],
    );
}

fn transfer_by_script(session: &mut Session, thread: u64, round: u64) {
    let [from, to, amount] = pair(thread, round);
    let [from_key, to_key] = [&from, &to].map(|number| format!("account:{number}"));
    let look = if round.is_multiple_of(4) { "look" } else { "" };
    let keys: &[&str] = match round % 3 {
        0 => &["2", &from_key, &to_key],
        1 => &["1", &from_key],
        _ => &["0"],
    };
    let words = [&["EVAL", TRANSFER], keys, &[&from, &to, &amount, look]].concat();
    done(session, &words);
}

fn transfer_by_transaction(session: &mut Session, thread: u64, round: u64) {
    let [from, to, amount] = pair(thread, round);
    let [from_key, to_key] = [&from, &to].map(|number| format!("account:{number}"));
    done(session, &["MULTI"]);
    done(session, &["DECRBY", &from_key, &amount]);
    if round.is_multiple_of(5) {
        done(session, &["EVAL", TRANSFER, "0", &to, &from, "1"]);
    }
    done(session, &["INCRBY", &to_key, &amount]);
    assert!(matches!(done(session, &["EXEC"]), Response::Array(_)));
}

fn look(session: &mut Session, thread: u64, round: u64) {
    let first = (thread + round).to_string();
    let seen = done(session, &["EVAL", LOOK, "0", &first]);
    let expected = [ACCOUNTS as i64 * WEALTH, 1, 1].map(Response::Int).to_vec();
    assert_eq!(seen, Response::Array(expected));
    let keys: Vec<String> = (0..ACCOUNTS)
        .map(|number| format!("account:{number}"))
        .collect();
    let mut words = vec!["MGET"];
    words.extend(keys.iter().map(String::as_str));
    let Response::Array(balances) = done(session, &words) else {
        panic!("MGET answers an array");
    };
    let balance = |answer: &Response| match answer {
        Response::Bulk(text) => String::from_utf8_lossy(text).parse().unwrap_or(0),
        _ => 0,
    };
    assert_eq!(
        balances.iter().map(balance).sum::<i64>(),
        ACCOUNTS as i64 * WEALTH
    );
}

/// Changes several keys by one command.
fn change_together(session: &mut Session, thread: u64, round: u64) {
    let value = (thread * 1000 + round).to_string();
    done(session, &["MSET", "pair:1", &value, "pair:0", &value]);
    let from = format!("token:{}", round % TOKENS);
    let to = format!("token:{}", (round * 3 + thread) % TOKENS);
    // Most of them are not there.
    run(session, &["RENAME", &from, &to]);
}

/// What concerns every shard.
fn everything(session: &mut Session, thread: u64, round: u64) {
    let [from, to, _] = pair(thread, round);
    match round % 12 {
        0 => drop(run(session, &["BGSAVE"])),
        1 => drop(done(session, &["SWAPDB", "2", "3"])),
        2 => drop(done(session, &["KEYS", "account:*"])),
        3 => drop(done(session, &["SCAN", "0", "COUNT", "100"])),
        4 => drop(done(session, &["INFO", "keyspace"])),
        5 => drop(done(session, &["EVAL", EMPTY, "0", &from, &to])),
        6 => drop(done(session, &["RANDOMKEY"])),
        7 => drop(done(
            session,
            &["CONFIG", "SET", "hash-max-listpack-entries", "64"],
        )),
        8 => drop(run(session, &["BGREWRITEAOF"])),
        9 => {
            done(session, &["SELECT", "5"]);
            done(session, &["FLUSHDB"]);
            done(session, &["SELECT", "0"]);
        }
        _ => drop(done(session, &["DBSIZE"])),
    }
}

fn begin_anew(session: &mut Session, thread: u64, round: u64) {
    if round % 10 == thread % 10 {
        done(
            session,
            &["EVAL", BEGIN_ANEW, "0", &(round % 12).to_string()],
        );
    } else {
        everything(session, thread, round);
    }
}

/// Scripts make keys ready that they have not declared, for those who want to change another key then.
fn push_for_waiters(session: &mut Session, _: u64, round: u64) {
    let body =
        "redis.call('INCR', 'count:' .. ARGV[1]) redis.call('RPUSH', 'in', ARGV[1]) return 1";
    done(session, &["EVAL", body, "0", &round.to_string()]);
}

fn move_elements(session: &mut Session, thread: u64, round: u64) {
    let to = format!("out:{}", (thread + round) % 7);
    done(session, &["BLMOVE", "in", &to, "LEFT", "RIGHT", "0"]);
}

type Work = fn(&mut Session, u64, u64);

/// An engine over a log in this directory.
fn open(directory: &std::path::Path, shards: &str) -> Engine {
    let mut config = Config::default();
    let path = directory.as_os_str().as_encoded_bytes();
    let settings: [(&[u8], &[u8]); 6] = [
        (b"dir", path),
        (b"shards", shards.as_bytes()),
        (b"appendonly", b"yes"),
        (b"appendfsync", b"no"),
        (b"auto-aof-rewrite-percentage", b"0"),
        (b"enable-debug-command", b"yes"),
    ];
    for (name, value) in settings {
        config.assign(name, value).expect("a known parameter");
    }
    Engine::open(config).expect("the directory is ours")
}

/// Does all this at once, some threads for each kind of work, and looks whether the log leads to the same data.
fn beside_each_other(shards: &str, kinds: &[Work]) {
    let directory = tempfile::tempdir().expect("the system gives a directory");
    let engine = open(directory.path(), shards);
    begin(&mut engine.session());
    thread::scope(|scope| {
        for (number, work) in (0..).zip(kinds.iter().chain(kinds)) {
            let mut session = engine.session();
            scope.spawn(move || (0..ROUNDS).for_each(|round| work(&mut session, number, round)));
        }
    });
    let mut session = engine.session();
    look(&mut session, 0, 0);
    // What runs out there would be gone by now, or a moment later.
    everything(&mut session, 0, 9);
    let before = done(&mut session, &["DEBUG", "DIGEST"]);
    drop((session, engine));
    let mut session = open(directory.path(), shards).session();
    assert_eq!(done(&mut session, &["DEBUG", "DIGEST"]), before);
}

const COMMON: [Work; 5] = [
    transfer_by_script,
    transfer_by_transaction,
    look,
    change_together,
    everything,
];

#[test]
fn with_one_shard() {
    beside_each_other("1", &COMMON);
}

#[test]
fn with_few_shards() {
    beside_each_other("4", &COMMON);
}

#[test]
fn with_many_shards() {
    beside_each_other("64", &COMMON);
}

#[test]
fn while_all_begins_anew() {
    let kinds = [&COMMON[..], &[begin_anew]].concat();
    beside_each_other("64", &kinds);
}

#[test]
fn while_others_wait_for_keys() {
    let kinds = [&COMMON[..], &[push_for_waiters, move_elements]].concat();
    beside_each_other("16", &kinds);
    beside_each_other("64", &kinds);
}
