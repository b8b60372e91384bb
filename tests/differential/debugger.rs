//! Sessions of the Lua debugger: what is said in each must be the same on both servers, and so what is left behind.

use std::io;

use innkeep_test_server::wire::{Reply, Wire};
use innkeep_test_server::{Launch, Server, may_skip};

/// A script, the words behind it, and what is said to its debugger; commands are parted by ` ; `.
type Session = (&'static str, &'static [&'static str], &'static str);

const LOOP: &str = "local i = 0\nwhile i < 3 do\n  i = i + 1\n  if i == 2 then\n    redis.breakpoint()\n  end\n  \
                    redis.debug('i', i, {i})\nend\nreturn i";
const CALLS: &str = "local function a(x)\n  local in_a = x\n  return (x == 0) and x or x\nend\nlocal function b(x)\n  local \
                     in_b = x\n  local r = a(x)\n  return r\nend\nlocal r = b(3)\nreturn r";
const VALUES: &str = "local n, b, c = nil, true, false\nlocal d, e, f, g = 1.5, 1e100, 1/0, -1/0\nlocal t = {}\nt[1] = t\nlocal \
                      u = {[1]=1, [2]=2, [4]=4}\nlocal v = {x={y={z=1}}}\nlocal w = string.rep('abc', 200)\nlocal y = {true, \
                      false, 'a', {}}\nlocal z = '\\0\\1\\255\\t\\\\\\a\\b\"'\nreturn 1";
const REPLIES: &str = "redis.call('del', 'k', 'h', 'z')\nredis.call('rpush', 'k', 'a', 'b', 'c')\nredis.call('lrange', 'k', 0, \
                       -1)\nredis.call('hset', 'h', 'f', 'v')\nredis.call('hgetall', 'h')\nredis.call('get', \
                       'nothing')\nredis.setresp(3)\nredis.call('hgetall', 'h')\nredis.call('zadd', 'z', 1.5, \
                       'm')\nredis.call('zscore', 'z', 'm')\nredis.call('smembers', 'nothing')\nredis.call('get', \
                       'nothing')\nredis.call('echo', string.rep('x', 500))\nreturn redis.status_reply('fine')";
const ERRORS: &str = "local a = redis.pcall('nosuch')\nlocal b = redis.pcall('get')\nlocal c = redis.pcall('eval', 'return 1', \
                      '0')\nlocal d = redis.pcall({})\nlocal e = redis.pcall()\nredis.error_reply('nospace')\nredis.call('set', \
                      's', 'x')\nlocal f = redis.pcall('lpush', 's', 'x')\nreturn redis.error_reply('CODE text')";
const COROUTINE: &str = "local co = coroutine.create(function(a)\n  local q = a + 1\n  return q\nend)\nlocal ok, v = \
                         coroutine.resume(co, 5)\nreturn v";
const LONG: &str = "local a = 1\nlocal b = 2\nlocal c = 3\nlocal d = 4\nlocal e = 5\nlocal f = 6\nlocal g = 7\nlocal h = 8\nlocal \
                    i = 9\nlocal j = 10\nlocal k = 11\nlocal l = 12\nreturn 1\n\r\n\n";
const TWO: &str = "local a = 1\r\nlocal b = 2\nreturn a + b";

const SESSIONS: &[Session] = &[
    (
        LOOP,
        &["0"],
        "b ; b 3 ; b 7 2 ; b ; b 0 ; b 99 ; b abc ; break -7 ; break ; c ; p i ; c ; c",
    ),
    (
        LOOP,
        &["0"],
        "b 3 ; c ; p i ; c ; c ; b -3 ; b -3 ; b 1 2 1 2 x -1 0 ; c ; c",
    ),
    (
        CALLS,
        &["0"],
        "b 3 ; c ; t ; p in_b ; p in_a ; p r ; p ; l ; n ; n ; w ; c",
    ),
    (
        VALUES,
        &["0"],
        "s ; s ; s ; s ; s ; s ; s ; s ; s ; p ; p t ; m 0 ; p w ; m 20 ; p ; p w ; m ; m x ; m -1 ; c",
    ),
    (
        REPLIES,
        &["0"],
        "s ; s ; s ; s ; s ; s ; s ; s ; s ; s ; s ; s ; m 0 ; s ; s",
    ),
    (ERRORS, &["0"], "s ; s ; s ; s ; s ; s ; s ; s ; s"),
    (COROUTINE, &["0"], "s ; s ; s ; s ; p ; t ; s ; s ; t ; s"),
    (
        LONG,
        &["0"],
        "l ; b 9 ; c ; l ; l 5 ; l 5 1 ; l 5 -1 ; l 0 2 ; l x ; l 100 ; l 1 2 3 ; w ; b 13 ; b 14 ; c ; s",
    ),
    (
        TWO,
        &["1", "key", "one", "two"],
        "p KEYS ; p ARGV ; p redis ; p a ; s ; p ; P a ; PRINT a ; p A ; p a b ; Step ; p ; s",
    ),
    (
        TWO,
        &["0"],
        "h ; help ; ? ; nosuch ; r ; q ; quit ; t ; trace ; abort",
    ),
    (
        TWO,
        &["0"],
        "e 1+1 ; e ; eval a ; e return 1, 2 ; e KEYS ; e x=5 ; e foo( ; e local q = 7 return q ; e error('boom') ; e \
                   redis.debug(1, 2) ; e redis.breakpoint() ; s ; e \"a\\nb\" ; c",
    ),
    (
        "return redis.call('get', KEYS[1])",
        &["1", "key"],
        "r set key value ; redis get key ; r lpush key x ; r nosuch ; r get ; \
                   r echo a b c d e f g h i j k l ; s",
    ),
    (
        "local f = function(...)\n local n = select('#', ...)\n return n\nend\nfor i = 1, 2 do\n  f(i)\nend\nreturn 1",
        &["0"],
        "s ; s ; s ; p n ; p ; t ; s ; p ; s ; p i ; c",
    ),
    ("return nosuch", &["0"], "s"),
    ("local x = 1\nx.y = 2\nreturn x", &["0"], "s ; s"),
    ("x = 1", &["0"], "s"),
    ("error({err = 'CODE text'})", &["0"], "s"),
    ("return (", &["0"], ""),
    ("return 1", &["x"], ""),
    ("", &["0"], "s ; s"),
    ("\n\nreturn {KEYS, ARGV}", &["1", "a\nb", "c"], "l ; s"),
    (
        "return cjson.decode('[1,{\"a\":null}]')",
        &["0"],
        "e cjson.decode('[1,[2,{}]]') ; n",
    ),
];

/// Says that the session is over, behind whatever was logged last.
fn is_last(reply: &Reply) -> bool {
    let last = reply.items().last();
    last.is_some_and(|line| line.bytes() == b"<endsession>")
}

/// Everything that a server says in a session, up to the end of the connection.
fn transcript(server: &Server, mode: &str, session: &Session) -> io::Result<Vec<Reply>> {
    let (script, words, commands) = session;
    let mut wire = Wire::new(server.connect()?);
    let mut said = vec![wire.ask(&["SCRIPT", "DEBUG", mode])?];
    said.push(wire.ask(&[&["EVAL", *script], *words].concat())?);
    let mut commands = commands.split(" ; ").filter(|command| !command.is_empty());
    while let Some(last) = said.last()
        && !is_last(last)
    {
        let words: Vec<&str> = commands.next().unwrap_or("c").split(' ').collect();
        said.push(wire.ask(&words)?);
    }
    said.push(wire.receive()?);
    assert!(
        wire.receive().is_err(),
        "the connection ends with its session"
    );
    Ok(said)
}

#[test]
fn debugging_sessions_are_those_of_redis() -> io::Result<()> {
    let Some(redis) = Launch::redis() else {
        assert!(may_skip("redis-server"));
        return Ok(());
    };
    let ours = Launch::under_test(env!("CARGO_BIN_EXE_innkeep")).start()?;
    let redis = redis.start()?;
    for session in SESSIONS {
        for mode in ["yes", "sync"] {
            let (here, there) = (
                transcript(&ours, mode, session)?,
                transcript(&redis, mode, session)?,
            );
            assert_eq!(here, there, "{mode}: {} {}", session.0, session.2);
        }
        let digest = |server: &Server| Wire::new(server.connect()?).ask(&["DEBUG", "DIGEST"]);
        assert_eq!(digest(&ours)?, digest(&redis)?, "{}", session.0);
    }
    Ok(())
}
