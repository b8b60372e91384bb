//! The built-in scripts, on a real keyspace with a stopped clock.

use crate::commands::testing::Harness;
use crate::reply::Response;

/// Runs a built-in and shows its reply with blanks between the values.
fn run(harness: &mut Harness, line: &str) -> String {
    shown(&harness.run(&format!("EVAL innkeep.{line}")))
}

fn shown(response: &Response) -> String {
    match response {
        Response::Null => "nil".to_owned(),
        Response::Int(value) => value.to_string(),
        Response::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Response::Simple(text) => text.to_string(),
        Response::Error(text) => text.clone(),
        Response::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    }
}

fn ask(harness: &mut Harness, line: &str) -> String {
    shown(&harness.run(line))
}

fn advance(harness: &Harness, ms: i64) {
    let now = harness.keyspace.now_ms();
    harness.keyspace.set_now_ms(Some(now + ms));
}

#[test]
fn a_lock_has_one_owner() {
    let mut h = Harness::new();
    assert_eq!(run(&mut h, "lock.acquire 1 l mine 1000"), "1");
    assert_eq!(run(&mut h, "lock.acquire 1 l yours 1000"), "0");
    advance(&h, 600);
    assert_eq!(run(&mut h, "lock.acquire 1 l mine 1000"), "1");
    assert_eq!(ask(&mut h, "PTTL l"), "1000");
    assert_eq!(run(&mut h, "lock.extend 1 l yours 5000"), "0");
    assert_eq!(run(&mut h, "lock.extend 1 l mine 5000"), "1");
    assert_eq!(ask(&mut h, "PTTL l"), "5000");
    assert_eq!(run(&mut h, "lock.release 1 l yours"), "0");
    assert_eq!(run(&mut h, "lock.release 1 l mine"), "1");
    assert_eq!(run(&mut h, "lock.release 1 l mine"), "0");
    assert_eq!(run(&mut h, "lock.acquire 1 l yours 1000"), "1");
    advance(&h, 1001);
    assert_eq!(run(&mut h, "lock.acquire 1 l mine 1000"), "1");
    assert_eq!(
        run(&mut h, "lock.acquire 1 l mine 0"),
        "ERR ARGV[2], the time to live in milliseconds, is no integer of at least 1"
    );
}

#[test]
fn the_documented_release_of_a_lock_runs_unchanged() {
    let mut h = Harness::new();
    let source = br#"if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end"#;
    h.run("SET l mine");
    let release =
        |h: &mut Harness, token: &[u8]| h.run_words(&[b"EVAL", source, b"1", b"l", token]);
    assert_eq!(release(&mut h, b"yours"), Response::Int(0));
    assert_eq!(release(&mut h, b"mine"), Response::Int(1));
    assert_eq!(h.effects(), ["del l"]);
}

#[test]
fn a_message_is_first_once() {
    let mut h = Harness::new();
    assert_eq!(run(&mut h, "dedup.first 1 m 1000"), "1");
    assert_eq!(run(&mut h, "dedup.first 1 m 1000 x"), "0");
    assert_eq!(ask(&mut h, "GET m"), "1");
    advance(&h, 1001);
    assert_eq!(run(&mut h, "dedup.first 1 m 1000 x"), "1");
    assert_eq!(ask(&mut h, "GET m"), "x");
}

#[test]
fn a_window_is_counted() {
    let mut h = Harness::new();
    assert_eq!(run(&mut h, "limit.count 1 c 1000"), "1");
    advance(&h, 400);
    assert_eq!(run(&mut h, "limit.count 1 c 1000"), "2");
    assert_eq!(ask(&mut h, "PTTL c"), "600");
}

#[test]
fn a_fixed_window_lets_its_limit_through() {
    let mut h = Harness::new();
    assert_eq!(run(&mut h, "limit.fixed_window 1 w 3 1000"), "1 2 0");
    advance(&h, 400);
    assert_eq!(run(&mut h, "limit.fixed_window 1 w 3 1000 2"), "1 0 0");
    assert_eq!(run(&mut h, "limit.fixed_window 1 w 3 1000"), "0 0 600");
    assert_eq!(h.effects(), Vec::<String>::new());
    assert_eq!(run(&mut h, "limit.fixed_window 1 w 3 1000 4"), "0 0 -1");
    advance(&h, 601);
    assert_eq!(run(&mut h, "limit.fixed_window 1 w 3 1000"), "1 2 0");
    h.run("SET old 9");
    assert_eq!(run(&mut h, "limit.fixed_window 1 old 3 1000"), "0 0 1000");
    assert_eq!(ask(&mut h, "PTTL old"), "1000");
    h.run("SET text x");
    assert_eq!(
        run(&mut h, "limit.fixed_window 1 text 3 1000"),
        "ERR value is not an integer or out of range"
    );
}

#[test]
fn a_sliding_window_forgets_one_by_one() {
    let mut h = Harness::new();
    assert_eq!(run(&mut h, "limit.sliding_window 1 w 2 1000 a"), "1 1 0");
    advance(&h, 300);
    assert_eq!(run(&mut h, "limit.sliding_window 1 w 2 1000"), "1 0 0");
    assert_eq!(run(&mut h, "limit.sliding_window 1 w 2 1000"), "0 0 700");
    advance(&h, 700);
    assert_eq!(run(&mut h, "limit.sliding_window 1 w 2 1000 b"), "1 0 0");
    assert_eq!(run(&mut h, "limit.sliding_window 1 w 2 1000 c"), "0 0 300");
    assert_eq!(ask(&mut h, "PTTL w"), "1000");
    assert_eq!(run(&mut h, "limit.sliding_window 1 w 0 1000"), "0 0 -1");
}

#[test]
fn a_bucket_fills_steadily() {
    let mut h = Harness::new();
    assert_eq!(run(&mut h, "limit.token_bucket 1 b 5 2 4"), "1 1 0");
    assert_eq!(ask(&mut h, "PTTL b"), "2000");
    assert_eq!(run(&mut h, "limit.token_bucket 1 b 5 2 2"), "0 1 500");
    advance(&h, 499);
    assert_eq!(run(&mut h, "limit.token_bucket 1 b 5 2 2"), "0 1 1");
    advance(&h, 1);
    assert_eq!(run(&mut h, "limit.token_bucket 1 b 5 2 2"), "1 0 0");
    assert_eq!(run(&mut h, "limit.token_bucket 1 b 5 2 6"), "0 0 -1");
    advance(&h, 3_600_000);
    assert_eq!(run(&mut h, "limit.token_bucket 1 b 5 2"), "1 4 0");
    assert_eq!(
        run(&mut h, "limit.token_bucket 1 b 5 -1"),
        "ERR ARGV[2], the tokens gained in a second, is no number above zero"
    );
}

#[test]
fn cells_arrive_evenly() {
    let mut h = Harness::new();
    for left in ["2", "1", "0"] {
        let answer = run(&mut h, "limit.gcra 1 g 3 10 1000");
        assert_eq!(answer, format!("1 {left} 0"));
    }
    assert_eq!(run(&mut h, "limit.gcra 1 g 3 10 1000"), "0 0 100");
    advance(&h, 99);
    assert_eq!(run(&mut h, "limit.gcra 1 g 3 10 1000"), "0 0 1");
    advance(&h, 1);
    assert_eq!(run(&mut h, "limit.gcra 1 g 3 10 1000"), "1 0 0");
    assert_eq!(run(&mut h, "limit.gcra 1 g 3 10 1000 4"), "0 0 -1");
    assert_eq!(ask(&mut h, "PTTL g"), "300");
    let huge = i64::MAX;
    for line in [
        format!("limit.gcra 1 x {huge} 1 {huge} {huge}"),
        format!("limit.gcra 1 x {huge} {huge} 1 {huge}"),
    ] {
        assert!(!run(&mut h, &line).is_empty());
    }
}

#[test]
fn due_jobs_move_to_their_queue() {
    let mut h = Harness::new();
    let now = h.keyspace.now_ms();
    for (job, wait) in [("b", -10), ("a", -20), ("c", 0), ("d", 50)] {
        h.run(&format!("ZADD delayed {} {job}", now + wait));
    }
    assert_eq!(run(&mut h, "queue.promote 2 delayed queue 2"), "2 0");
    assert_eq!(h.effects(), ["LPUSH queue a b", "ZREM delayed a b"]);
    assert_eq!(run(&mut h, "queue.promote 2 delayed queue"), "1 50");
    assert_eq!(ask(&mut h, "LRANGE queue 0 -1"), "c b a");
    advance(&h, 50);
    assert_eq!(run(&mut h, "queue.promote 2 delayed queue 5 right"), "1 -1");
    assert_eq!(ask(&mut h, "LRANGE queue 0 -1"), "c b a d");
    assert_eq!(run(&mut h, "queue.promote 2 delayed queue"), "0 -1");
    assert_eq!(
        run(&mut h, "queue.promote 2 delayed queue 1 top"),
        "ERR the side is neither LEFT nor RIGHT"
    );
}

#[test]
fn stale_jobs_go_back() {
    let mut h = Harness::new();
    let now = h.keyspace.now_ms();
    h.run("RPUSH queue z");
    for (job, age) in [("old", 2000), ("older", 3000), ("fresh", 10)] {
        h.run(&format!("ZADD taken {} {job}", now - age));
    }
    assert_eq!(run(&mut h, "queue.reclaim 2 taken queue 1000"), "2");
    assert_eq!(ask(&mut h, "LRANGE queue 0 -1"), "z old older");
    assert_eq!(ask(&mut h, "ZRANGE taken 0 -1"), "fresh");
    h.run("SET text x");
    assert!(run(&mut h, "queue.reclaim 2 taken text 0").starts_with("WRONGTYPE"));
    assert_eq!(ask(&mut h, "ZRANGE taken 0 -1"), "fresh");
}

#[test]
fn a_list_of_jobs_in_progress_is_watched() {
    let mut h = Harness::new();
    h.run("RPUSH taken a b");
    let reclaim = |h: &mut Harness| run(h, "queue.reclaim_list 3 taken times queue 1000");
    assert_eq!(reclaim(&mut h), "0");
    advance(&h, 600);
    h.run("LREM taken 1 a");
    h.run("RPUSH taken c");
    assert_eq!(reclaim(&mut h), "0");
    assert_eq!(ask(&mut h, "ZRANGE times 0 -1"), "b c");
    advance(&h, 400);
    assert_eq!(reclaim(&mut h), "1");
    assert_eq!(ask(&mut h, "LRANGE queue 0 -1"), "b");
    assert_eq!(ask(&mut h, "LRANGE taken 0 -1"), "c");
    advance(&h, 600);
    assert_eq!(reclaim(&mut h), "1");
    assert_eq!(ask(&mut h, "EXISTS taken times"), "0");
    assert_eq!(reclaim(&mut h), "0");
}
