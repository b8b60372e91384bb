//! Lua through EVAL, EVALSHA and FCALL. What the texts and conversions are was asked of Redis 7.0.15.

use crate::commands::testing::Harness;
use crate::reply::Response;

fn bulk(text: &str) -> Response {
    Response::Bulk(text.as_bytes().to_vec())
}

fn error(text: &str) -> Response {
    Response::Error(text.to_owned())
}

fn eval(harness: &mut Harness, body: &str) -> Response {
    harness.run_words(&[b"EVAL", body.as_bytes(), b"0"])
}

/// The error of a body without what names its SHA1.
fn message(harness: &mut Harness, body: &str) -> String {
    match eval(harness, body) {
        Response::Error(text) => text
            .split(" script: ")
            .next()
            .unwrap_or_default()
            .to_owned(),
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn values_become_replies() {
    let mut harness = Harness::new();
    let array = |items: &[Response]| Response::Array(items.to_vec());
    let int = Response::Int;
    for (body, reply) in [
        ("return 'hello'", bulk("hello")),
        ("return 3.9", int(3)),
        ("return -3.9", int(-3)),
        ("return 1e300", int(i64::MIN)),
        ("return true", int(1)),
        ("return false", Response::Null),
        ("return nil", Response::Null),
        ("return {1,2,nil,4}", array(&[int(1), int(2)])),
        ("return {ok='fine'}", Response::Simple("fine".into())),
        ("return {err='MY thing'}", error("MY thing")),
        ("return {double=3.5}", bulk("3.5")),
        ("return {map={a=1}}", array(&[bulk("a"), int(1)])),
        ("return {set={a=true}}", array(&[bulk("a")])),
        ("return {big_number='123'}", bulk("123")),
        (
            "return {verbatim_string={format='txt',string='abc'}}",
            bulk("abc"),
        ),
        ("return redis.error_reply('single')", error("ERR single")),
        ("return redis.error_reply('-MY err')", error("MY err")),
        (
            "return redis.status_reply('x')",
            Response::Simple("x".into()),
        ),
        ("return redis.call('echo', 1e17)", bulk("1e+17")),
        (
            "return redis.call('echo', 9007199254740991)",
            bulk("9007199254740991"),
        ),
        (
            "return redis.sha1hex('')",
            bulk("da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ),
        ("return {KEYS[1], #KEYS, #ARGV}", array(&[])),
    ] {
        assert_eq!(eval(&mut harness, body), reply, "{body}");
    }
    harness.session.resp3 = true;
    assert_eq!(
        eval(&mut harness, "redis.setresp(3) return {double=1.5}"),
        Response::Double(1.5)
    );
    assert_eq!(
        eval(&mut harness, "redis.setresp(3) return true"),
        Response::Bool(true)
    );
}

/// Short plain lists have a way of their own; the others look the same.
#[test]
fn lists_are_the_same_however_deep_or_long() {
    let mut harness = Harness::new();
    for depth in 0..8 {
        let (open, close) = (
            "{'a',".repeat(depth),
            ",true,function() end,2^53}".repeat(depth),
        );
        let body = format!("return {open}'end'{close}");
        let wrap = |inner, _| {
            let big = Response::Int(1 << 53);
            Response::Array(vec![
                bulk("a"),
                inner,
                Response::Int(1),
                Response::Null,
                big,
            ])
        };
        let expected = (0..depth).fold(bulk("end"), wrap);
        assert_eq!(eval(&mut harness, &body), expected, "{body}");
    }
    for depth in 0..6 {
        let (open, close) = ("{1,".repeat(depth), ",2}".repeat(depth));
        let body = format!("return {open}{{ok='fine'}}{close}");
        let wrap = |inner, _| Response::Array(vec![Response::Int(1), inner, Response::Int(2)]);
        let expected = (0..depth).fold(Response::Simple("fine".into()), wrap);
        assert_eq!(eval(&mut harness, &body), expected, "{body}");
    }
    for len in [0, 1, 65_534, 65_535, 65_536, 100_000] {
        let body = format!("local t = {{}} for i = 1, {len} do t[i] = i end return t");
        let expected = Response::Array((1..=len).map(Response::Int).collect());
        assert!(eval(&mut harness, &body) == expected, "{len}");
    }
    // A thousand times a thousand values, and every one is there.
    let body = "local t, u = {}, {} for i = 1, 1000 do t[i] = u; u[i] = 'v' end return t";
    let row = Response::Array(vec![bulk("v"); 1000]);
    assert!(eval(&mut harness, body) == Response::Array(vec![row; 1000]));
    let body = "redis.setresp(3) return {true, false, {false, 'x'}}";
    let no = Response::Int(0);
    let inner = Response::Array(vec![no.clone(), bulk("x")]);
    let replies = [Response::Int(1), no, inner];
    assert_eq!(eval(&mut harness, body), Response::Array(replies.to_vec()));
}

#[test]
fn replies_become_values() {
    let mut harness = Harness::new();
    harness.run("SET s abc");
    harness.run("HSET h f v");
    harness.run("ZADD z 1.5 a");
    for (body, reply) in [
        ("return type(redis.call('get','no'))", "boolean"),
        (
            "redis.setresp(3) return type(redis.call('get','no'))",
            "nil",
        ),
        ("return redis.call('set','a','1').ok", "OK"),
        (
            "return redis.pcall('incr','s').err",
            "ERR value is not an integer or out of range",
        ),
        ("return redis.call('zscore','z','a')", "1.5"),
        (
            "redis.setresp(3) return tostring(redis.call('zscore','z','a').double)",
            "1.5",
        ),
        (
            "redis.setresp(3) return redis.call('hgetall','h').map.f",
            "v",
        ),
        ("return type(redis.call('incr','n'))", "number"),
        (
            "local ok, text = pcall(redis.call, 'incr', 's') return text",
            "ERR value is not an integer or out of range",
        ),
    ] {
        assert_eq!(eval(&mut harness, body), bulk(reply), "{body}");
    }
}

#[test]
fn errors_say_where() {
    let mut harness = Harness::new();
    let sha1 = "82903a0434f1503e152f89c03c9acd881a0e8150";
    assert_eq!(
        eval(&mut harness, "error('boom')"),
        error(&format!(
            "ERR user_script:1: boom script: {sha1}, on @user_script:1."
        ))
    );
    for (body, text) in [
        (
            "return redis.call('nosuch')",
            "ERR Unknown Redis command called from script",
        ),
        (
            "return redis.call()",
            "ERR Please specify at least one argument for this redis lib call",
        ),
        (
            "return redis.call({})",
            "ERR Lua redis lib command arguments must be strings or integers",
        ),
        ("\n\nerror({err='MY x'})", "MY x"),
    ] {
        assert_eq!(message(&mut harness, body), text, "{body}");
    }
}

#[test]
fn the_sandbox_cannot_be_changed() {
    let mut harness = Harness::new();
    for (body, text) in [
        (
            "foo = 1",
            "ERR user_script:1: Attempt to modify a readonly table",
        ),
        (
            "redis.call = 1",
            "ERR user_script:1: Attempt to modify a readonly table",
        ),
        (
            "rawset(redis, 'x', 1)",
            "ERR Attempt to modify a readonly table",
        ),
        (
            "setmetatable(_G, {})",
            "ERR Attempt to modify a readonly table",
        ),
        (
            "table.insert(_G, 1)",
            "ERR Attempt to modify a readonly table",
        ),
        (
            "getmetatable('').__index = 1",
            "ERR user_script:1: Attempt to modify a readonly table",
        ),
        (
            "getmetatable(_G).x = 1",
            "ERR user_script:1: Attempt to modify a readonly table",
        ),
        (
            "return foo",
            "ERR user_script:1: Script attempted to access nonexistent global variable 'foo'",
        ),
        (
            "return os",
            "ERR user_script:1: Script attempted to access nonexistent global variable 'os'",
        ),
        (
            "x x",
            "ERR Error compiling script (new function): user_script:1: '=' expected near 'x'",
        ),
        (
            "é",
            "ERR Error compiling script (new function): user_script:1: unexpected symbol near '\u{10ffc3}'",
        ),
        (
            "return {unpack({1,2,3}, -2, 2147483647)}",
            "ERR user_script:1: too many results to unpack",
        ),
        (
            "return bit.band()",
            "ERR user_script:1: bad argument #1 to 'band' (number expected, got no value)",
        ),
        (
            "return cjson.decode('{')",
            "ERR user_script:1: Expected object key string but found T_END at character 2",
        ),
        (
            "for k, t in pairs({redis, string, _G}) do for a, b in pairs(t) do t.x = 1 end end",
            "ERR user_script:1: Attempt to modify a readonly table",
        ),
    ] {
        assert_eq!(message(&mut harness, body), text, "{body}");
    }
}

#[test]
fn headers_say_what_a_script_may_do() {
    let mut harness = Harness::new();
    for (body, text) in [
        (
            "#!lua flags=no-writes\nreturn redis.call('set','x',1)",
            "ERR Write commands are not allowed from read-only scripts.",
        ),
        (
            "#!js\nreturn 1",
            "ERR Unexpected engine in script shebang: #!js",
        ),
        (
            "#!lua foo=x\nreturn 1",
            "ERR Unknown lua shebang option: foo=x",
        ),
        (
            "#!lua flags=a\nreturn 1",
            "ERR Unexpected flag in script shebang: a",
        ),
        ("#!lua", "ERR Invalid script shebang"),
    ] {
        assert_eq!(message(&mut harness, body), text, "{body}");
    }
    let read_only = harness.run_words(&[b"EVAL_RO", b"#!lua\nreturn 1", b"0"]);
    let refused = "ERR Can not execute a script with write flag using *_ro command.";
    assert_eq!(read_only, error(refused));
}

#[test]
fn effects_are_logged_as_the_script_wishes() {
    let mut harness = Harness::new();
    let body = "redis.call('set','a',1) redis.set_repl(redis.REPL_NONE) redis.call('set','b',2) \
                redis.set_repl(redis.REPL_ALL) redis.call('incr','a') redis.call('get','a')";
    eval(&mut harness, body);
    assert_eq!(harness.effects(), ["set a 1", "incr a"]);
}

#[test]
fn functions_live_in_libraries() {
    let mut harness = Harness::new();
    let code = b"#!lua name=lib\nlocal calls = 0\nredis.register_function('count', function(keys, args) calls = calls + 1 \
                 return {calls, keys[1], args[1]} end)\nredis.register_function{function_name='read', \
                 callback=function() return redis.call('set','x',1) end, description='d', flags={'no-writes'}}";
    let load = |harness: &mut Harness, words: &[&[u8]]| {
        let head: [&[u8]; 2] = [b"FUNCTION", b"LOAD"];
        harness.run_words(&[&head[..], words].concat())
    };
    assert_eq!(load(&mut harness, &[code]), bulk("lib"));
    assert_eq!(
        load(&mut harness, &[code]),
        error("ERR Library 'lib' already exists")
    );
    let dump = match harness.run("FUNCTION DUMP") {
        Response::Bulk(dump) => dump,
        other => panic!("{other:?}"),
    };
    for calls in 1..3 {
        let reply = vec![Response::Int(calls), bulk("k"), bulk("a")];
        assert_eq!(harness.run("FCALL COUNT 1 k a"), Response::Array(reply));
    }
    assert_eq!(
        harness.run("FCALL read 0"),
        error(
            "ERR Write commands are not allowed from read-only scripts. script: read, on @user_function:4."
        )
    );
    let other = b"#!lua name=other\nredis.register_function('COUNT', function() end)";
    assert_eq!(
        load(&mut harness, &[other]),
        error("ERR Function COUNT already exists")
    );
    let bad = b"#!lua name=lib\nreturn redis.call('ping')";
    assert_eq!(
        load(&mut harness, &[b"REPLACE", bad]),
        error(
            "ERR Error registering functions: ERR user_function:2: Script attempted to access nonexistent global \
             variable 'call'"
        )
    );
    assert_eq!(
        harness.run("FUNCTION DELETE lib"),
        Response::Simple("OK".into())
    );
    assert_eq!(
        harness.run("FCALL count 0"),
        error("ERR Function not found")
    );
    harness.run_words(&[b"FUNCTION", b"RESTORE", &dump]);
    assert_eq!(
        harness.run("FCALL count 0"),
        Response::Array(vec![Response::Int(1)])
    );
}

/// Lua keeps some thousands of values outside its tables; replies and packed maps are larger.
#[test]
fn large_values_are_whole() {
    let mut harness = Harness::new();
    let body = "local t = {} for i = 1, 20000 do t[i] = 's' .. i end return t";
    match eval(&mut harness, body) {
        Response::Array(items) => assert_eq!(items.len(), 20_000),
        other => panic!("{other:?}"),
    }
    let body = "local m = {} for i = 1, 20000 do m['k' .. i] = i end \
                return cmsgpack.unpack(cmsgpack.pack(m)).k20000";
    assert_eq!(eval(&mut harness, body), Response::Int(20_000));
    let body =
        "local a = {} for i = 1, 7000 do a[i] = 1 end return redis.call('lpush', 'l', unpack(a))";
    assert_eq!(eval(&mut harness, body), Response::Int(7000));
}

/// Each compiled script is kept, and so is what Lua has room for.
#[test]
fn there_may_be_many_scripts() {
    let mut harness = Harness::new();
    for number in 0..9000 {
        let body = format!("return {number}");
        assert_eq!(eval(&mut harness, &body), Response::Int(number));
    }
}

/// What the libraries answer odd input was asked of Redis 7.0.15.
#[test]
fn libraries_answer_odd_input_as_redis_does() {
    let mut harness = Harness::new();
    for (body, reply) in [
        ("return cjson.encode({[1e10] = 2})", r#"{"10000000000":2}"#),
        ("return struct.pack('i4', 1e308)", "\0\0\0\0"),
        ("return tostring(select('#', pcall(error, {})))", "3"),
        (
            "return select(2, pcall())",
            "attempt to call a boolean value",
        ),
        ("return redis.error_reply('MY \\0 text').err", "MY "),
        ("return tostring(struct.size('b q'))", "1"),
    ] {
        assert_eq!(eval(&mut harness, body), bulk(reply), "{body}");
    }
    let empty = Response::Bulk(vec![0x90]);
    assert_eq!(eval(&mut harness, "return cmsgpack.pack({})"), empty);
    for (body, text) in [
        (
            "cjson.decode('[1,\\0]')",
            "ERR user_script:1: Expected value but found T_END at character 4",
        ),
        (
            "cmsgpack.unpack('\\196\\001x')",
            "ERR user_script:1: Bad data format in input.",
        ),
        (
            "cmsgpack.unpack('\\129\\192\\001')",
            "ERR table index is nil",
        ),
        (
            "struct.pack('!3 i4', 1)",
            "ERR user_script:1: alignment 3 is not a power of 2",
        ),
        (
            "struct.pack('b')",
            "ERR user_script:1: bad argument #2 to 'pack' (number expected, got nil)",
        ),
    ] {
        assert_eq!(message(&mut harness, body), text, "{body}");
    }
}

/// A library with more functions than there is room for does no harm to others.
#[test]
fn libraries_outlive_one_that_is_too_large() {
    let mut harness = Harness::new();
    let load = |harness: &mut Harness, code: &str| {
        harness.run_words(&[b"FUNCTION", b"LOAD", code.as_bytes()])
    };
    let code = "#!lua name=small\nredis.register_function('seven', function() return 7 end)";
    assert_eq!(load(&mut harness, code), bulk("small"));
    let code = "#!lua name=large\nfor i = 1, 20000 do redis.register_function('f' .. i, function() end) end";
    assert!(matches!(load(&mut harness, code), Response::Error(_)));
    let call: [&[u8]; 3] = [b"FCALL", b"seven", b"0"];
    assert_eq!(harness.run_words(&call), Response::Int(7));
}
