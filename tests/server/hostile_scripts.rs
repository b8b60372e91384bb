//! Scripts that mean harm: the server answers them with an error, or lets others end them, and goes on serving everybody.

use std::io;
use std::time::{Duration, Instant};

use innkeep_test_server::wire::{Reply, Wire};
use innkeep_test_server::{Launch, SERVER_VARIABLE, Server};

use crate::connect;

const BUSY: &[u8] =
    b"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
/// So long a machine that has other work may take; it is never waited for.
const PATIENCE: Duration = Duration::from_secs(60);

fn server(options: &[(&str, &str)]) -> Server {
    let launch = Launch::under_test(env!("CARGO_BIN_EXE_innkeep"));
    let launch = launch.option("busy-reply-threshold", "50");
    let launch = options
        .iter()
        .fold(launch, |launch, (name, value)| launch.option(name, value));
    launch.start().expect("the server starts")
}

/// These limits are ours: another server under the same tests has none.
fn is_ours() -> bool {
    std::env::var_os(SERVER_VARIABLE).is_none()
}

fn send(client: &mut Wire, words: &[&str]) -> io::Result<()> {
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    client.send([&words[..]])
}

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.bytes()).into_owned()
}

/// Asks until the script is known to be busy.
fn wait_until_busy(client: &mut Wire) -> io::Result<()> {
    let start = Instant::now();
    while client.ask(&["PING"])?.bytes() != BUSY {
        assert!(start.elapsed() < PATIENCE, "nobody is told of the script");
    }
    Ok(())
}

/// Starts a script that does not end, has it killed, and looks whether everything is as before.
fn is_killed(server: &Server, body: &str) -> io::Result<()> {
    let (mut victim, mut other) = (connect(server), connect(server));
    send(&mut victim, &["EVAL", body, "0"])?;
    wait_until_busy(&mut other)?;
    let refused = other.ask(&["SET", "a", "b"])?;
    assert_eq!(refused.bytes(), BUSY, "{body}");
    let killed = other.ask(&["SCRIPT", "KILL"])?;
    assert!(killed.is_status("OK"), "{body}: {}", text(&killed));
    let answer = victim.receive()?;
    assert!(
        answer.is_error() && text(&answer).contains("Script killed by user with SCRIPT KILL"),
        "{body}: {}",
        text(&answer)
    );
    for client in [&mut victim, &mut other] {
        assert!(client.ask(&["SET", "a", "b"])?.is_status("OK"), "{body}");
    }
    assert_eq!(other.ask(&["EVAL", "return 7", "0"])?.int(), Some(7));
    Ok(())
}

#[test]
fn endless_scripts_are_killed() -> io::Result<()> {
    let server = server(&[]);
    for body in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() return f() end return f()",
        "while true do xpcall(function() error({}) end, function(e) error(e) end) end",
        "local c = coroutine.wrap(function() while true do pcall(coroutine.yield, 1) end end) while true do c() end",
        "coroutine.wrap(function() while true do end end)()",
        "while true do pcall(redis.call, 'nothing') end",
        "while true do redis.pcall('get', 'a') end",
        "setmetatable({}, {__index = function(t, k) while true do end end}).x()",
        "for w in function() return 1 end do end",
    ] {
        is_killed(&server, body)?;
    }
    Ok(())
}

/// One call of a library that Redis lets run to its end, however long that takes.
#[test]
fn endless_calls_of_libraries_are_killed() -> io::Result<()> {
    if !is_ours() {
        return Ok(());
    }
    let server = server(&[]);
    for body in [
        "return string.find(string.rep('a', 3000), string.rep('a*', 8) .. 'b')",
        "return string.match(string.rep('a', 3000), string.rep('a-', 8) .. 'b')",
        "return string.gsub(string.rep('a', 3000), string.rep('a*', 8) .. 'b', 'x')",
        "for w in string.gmatch(string.rep('a', 3000), string.rep('a?', 30) .. string.rep('a*', 8) .. 'b') do end",
        "while true do pcall(string.find, string.rep('a', 3000), string.rep('a*', 8) .. 'b') end",
        "return string.gsub(string.rep('a', 100), 'a', function() while true do end end)",
        "local t = {} for i = 1, 200000 do t[i] = i % 7 end while true do table.sort(t) end",
        "for i = 1, 500 do redis.call('ping') end while true do redis.call('keys', '*') end",
    ] {
        is_killed(&server, body)?;
    }
    Ok(())
}

#[test]
fn a_script_that_has_written_is_not_killed_but_by_the_end_of_the_server() -> io::Result<()> {
    let mut server = server(&[
        ("save", ""),
        ("appendonly", "no"),
        ("maxmemory", "20mb"),
        ("maxmemory-policy", "allkeys-random"),
    ]);
    let (mut victim, mut other) = (connect(&server), connect(&server));
    // Whoever made room now would wait for the script.
    let body = "redis.call('set', 'a', string.rep('b', 30000000)) while true do end";
    send(&mut victim, &["EVAL", body, "0"])?;
    wait_until_busy(&mut other)?;
    let refused = text(&other.ask(&["SCRIPT", "KILL"])?);
    assert!(refused.starts_with("UNKILLABLE "), "{refused}");
    assert_eq!(other.ask(&["PING"])?.bytes(), BUSY);
    assert_eq!(other.ask(&["SHUTDOWN"])?.bytes(), BUSY);
    send(&mut other, &["SHUTDOWN", "NOSAVE"])?;
    let status = server.wait_for_exit(PATIENCE)?;
    assert!(status.success(), "{status}");
    Ok(())
}

/// What each must be told that takes more than there is.
const TOO_MUCH: &[(&str, &str)] = &[
    ("return #string.rep('x', 1000000000)", "not enough memory"),
    (
        "return #string.rep(string.rep('x', 1000000), 1000000000)",
        "not enough memory",
    ),
    (
        "local s = 'x' while true do s = s .. s end",
        "not enough memory",
    ),
    (
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "not enough memory",
    ),
    (
        "local t = {} for i = 1, 1e9 do t[i] = {i} end",
        "not enough memory",
    ),
    (
        "local t = {} for i = 1, 1e9 do t['k' .. i] = 1 end",
        "not enough memory",
    ),
    (
        "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
        "not enough memory",
    ),
    (
        "local t = {} while true do t[#t + 1] = assert(loadstring('return 1')) end",
        "not enough memory",
    ),
    (
        "local s = string.rep('x', 1000) return #string.gsub(s, 'x', string.rep('y', 1000000))",
        "not enough memory",
    ),
    (
        "local t = {} for i = 1, 300 do t[i] = string.rep('x', 100000) .. i end local u = {} for i = 1, 100 do u[i] = table.concat(t) end",
        "not enough memory",
    ),
    (
        "local function f(n) return 1 + f(n + 1) end return f(1)",
        "stack overflow",
    ),
    (
        "local t = {} for i = 1, 100000 do t = {t} end return cjson.encode(t)",
        "excessive nesting",
    ),
    (
        "local f = 'return 1' for i = 1, 10000 do f = 'return (function() ' .. f .. ' end)()' end return assert(loadstring(f))",
        "too many",
    ),
    (
        "return string.find(string.rep('a', 100000), string.rep('a?', 100000))",
        "pattern too complex",
    ),
    (
        "return string.find('a', string.rep('(', 100000))",
        "too many captures",
    ),
    (
        "local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x",
        "loop in gettable",
    ),
    (
        "local c c = function() return coroutine.wrap(c)() end return c()",
        "overflow",
    ),
    (
        "return select('#', unpack({}, 1, 1e7))",
        "too many results to unpack",
    ),
    (
        "return string.rep('x', -1) .. string.rep('', 2147483647) .. {}",
        "attempt to concatenate",
    ),
];

#[test]
fn what_takes_too_much_memory_or_stack_is_an_error() -> io::Result<()> {
    if !is_ours() {
        return Ok(());
    }
    let server = server(&[
        ("busy-reply-threshold", "60000"),
        ("lua-memory-limit", "16mb"),
    ]);
    let mut client = connect(&server);
    for (body, expected) in TOO_MUCH {
        let reply = client.ask(&["EVAL", body, "0"])?;
        let told = text(&reply);
        assert!(
            reply.is_error() && told.contains(expected),
            "{body}: {told}"
        );
        let caught = format!("local ok = pcall(function() {body} end) return ok and 1 or 0");
        let reply = client.ask(&["EVAL", &caught, "0"])?;
        assert!(
            !told.contains("memory") || reply.is_error() || reply.int() == Some(0),
            "{body}: {}",
            text(&reply)
        );
        assert_eq!(
            client.ask(&["EVAL", "return 7", "0"])?.int(),
            Some(7),
            "{body}"
        );
    }
    let reply = client.ask(&["EVAL", "return collectgarbage('count') < 8192", "0"])?;
    assert_eq!(
        reply.int(),
        Some(1),
        "what scripts have left behind is collected"
    );
    Ok(())
}

/// Tables that stand in themselves many times over take no memory of Lua's.
#[test]
fn what_grows_by_repeating_itself_is_an_error() -> io::Result<()> {
    if !is_ours() {
        return Ok(());
    }
    let server = server(&[("busy-reply-threshold", "600000")]);
    let mut client = connect(&server);
    let bomb = "local s = string.rep('x', 10000000) local t = {} for i = 1, 60 do t[i] = {s} end ";
    let reply = client.ask(&["EVAL", &format!("{bomb} return #cmsgpack.pack(t)"), "0"])?;
    assert!(
        text(&reply).contains("not enough memory"),
        "{}",
        text(&reply)
    );
    assert_eq!(client.ask(&["EVAL", "return 7", "0"])?.int(), Some(7));
    Ok(())
}

/// Nothing of these reaches beyond the script that tries it.
#[test]
fn the_walls_hold() -> io::Result<()> {
    let server = server(&[]);
    let mut client = connect(&server);
    for body in [
        "getmetatable('').__index = function() return 1 end",
        "getmetatable('').__index.find = nil",
        "string.find = nil",
        "rawset(string, 'find', nil)",
        "setmetatable(_G, nil)",
        "rawset(_G, 'redis', nil)",
        "_G.redis = nil",
        "redis.call = nil",
        "table.insert(redis, 1)",
        "table.sort(redis, 1)",
        "getfenv(0).redis = nil",
        "setfenv(0, {})",
        "debug.getregistry()",
        "os.execute('true')",
        "io.open('/etc/passwd')",
        "require('os')",
        "dofile('/etc/passwd')",
        "loadfile('/etc/passwd')()",
        "package.loadlib('libc.so.6', 'system')",
        "newproxy(true)",
        "assert(loadstring('\\27Lua'))",
        "assert(load(function() return '\\27LuaQ' end))",
        "assert(loadstring(string.dump(function() return 1 end)))()",
        "coroutine.wrap(function() rawset(_G, 'x', 1) end)()",
        "xpcall(function() error('x') end, function() _G.x = 1 end) error('over')",
        "error(setmetatable({}, {__index = function() return _G.x.y end}))",
        "error(setmetatable({err = 'MINE'}, {__newindex = function() error('again') end}))",
        "redis.call('eval', 'return 1', 0)",
        "redis.call(setmetatable({}, {__tostring = function() return 'get' end}))",
    ] {
        let reply = client.ask(&["EVAL", body, "0"])?;
        assert!(reply.is_error(), "{body}: {}", text(&reply));
        let sound = "return type(string.find) == 'function' and ('x'):find('x') == 1 and type(redis.call) == 'function' \
                     and rawget(_G, 'x') == nil and redis.call('echo', 'here') == 'here'";
        let reply = client.ask(&["EVAL", sound, "0"])?;
        assert_eq!(reply.int(), Some(1), "{body}: {}", text(&reply));
    }
    Ok(())
}
