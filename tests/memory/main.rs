//! Memory as a program sees it that counts its allocations: what the engine tells, and what `maxmemory` holds. One test
//! a process, because what is counted is the whole process.

use innkeep::server::Mimalloc;
use innkeep::{Config, Counting, Engine, Response, Session, allocated_memory};

#[global_allocator]
static ALLOCATOR: Counting<Mimalloc> = Counting(Mimalloc);

fn run(session: &mut Session, line: &str) -> Response {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    session.execute(&words)
}

fn used() -> usize {
    allocated_memory().expect("the allocator counts")
}

fn engine(line: &[(&str, &str)]) -> Engine {
    let mut config = Config::default();
    config.assign(b"appendonly", b"no").expect("a parameter");
    for (name, value) in line {
        let assigned = config.assign(name.as_bytes(), value.as_bytes());
        assigned.expect("a parameter");
    }
    Engine::open(config).expect("nothing is on disk")
}

/// What `used_memory` of INFO tells.
fn told(session: &mut Session) -> usize {
    let (Response::Verbatim { text, .. } | Response::Bulk(text)) = run(session, "INFO memory")
    else {
        panic!("INFO answers text")
    };
    let text = String::from_utf8(text).expect("INFO is text");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    line.expect("the line is there").parse().expect("a number")
}

#[test]
fn memory_is_what_was_allocated_and_is_held() {
    let before = used();
    let block = vec![1_u8; 3 << 20];
    assert!((3 << 20..(3 << 20) + 8192).contains(&(used() - before)));
    drop(block);
    grows_and_shrinks_with_the_data();
    holds_the_limit_and_keeps_what_is_used();
    counts_every_thread();
}

fn grows_and_shrinks_with_the_data() {
    let before = used();
    {
        let engine = engine(&[]);
        let mut session = engine.session();
        let empty = told(&mut session);
        let mut entries = 0;
        for number in 0..10_000 {
            run(
                &mut session,
                &format!("SET key:{number:012} {}", "x".repeat(32)),
            );
        }
        for number in 0..10_000 {
            let Response::Int(bytes) = run(&mut session, &format!("MEMORY USAGE key:{number:012}"))
            else {
                panic!("a key has a size")
            };
            entries += bytes.unsigned_abs() as usize;
        }
        let grown = told(&mut session) - empty;
        assert!(
            grown >= entries && grown < entries * 3 / 2,
            "{entries} in {grown}"
        );
        run(&mut session, "FLUSHALL");
        let left = told(&mut session).saturating_sub(empty);
        assert!(left < grown / 20, "{left} bytes are left");
    }
    // The background thread lets go of the engine when it next looks.
    assert!(used() < before + (1 << 20));
}

fn holds_the_limit_and_keeps_what_is_used() {
    let limit = used() + (2 << 20);
    let limit_text = limit.to_string();
    let engine = engine(&[
        ("maxmemory", &limit_text),
        ("maxmemory-policy", "allkeys-lfu"),
        ("maxmemory-eviction-tenacity", "100"),
    ]);
    let mut session = engine.session();
    for number in 0..30_000 {
        let set = run(
            &mut session,
            &format!("SET key:{number} {}", "x".repeat(100)),
        );
        assert_eq!(set, Response::Simple("OK".into()));
        run(&mut session, &format!("GET key:{}", number % 100));
        assert!(used() < limit + (64 << 10));
    }
    let Response::Int(keys) = run(&mut session, "DBSIZE") else {
        panic!("DBSIZE is a number")
    };
    assert!((7_000..20_000).contains(&keys), "{keys} keys");
    let popular = (0..100)
        .filter(|number| run(&mut session, &format!("EXISTS key:{number}")) == Response::Int(1));
    let popular = popular.count();
    assert!(popular > 90, "{popular} of a hundred popular keys are left");
}

fn counts_every_thread() {
    let before = used();
    let threads: Vec<_> = (0..100_usize)
        .map(|number| std::thread::spawn(move || vec![1_u8; 100_000 + number]))
        .collect();
    let blocks: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().expect("it only allocates"))
        .collect();
    let held = used() - before;
    assert!((10_000_000..13_000_000).contains(&held), "{held}");
    drop(blocks);
    assert!(used() < before + 100_000);
}
