//! Scripts in Lua made at random: calls of commands of all families, every kind of reply, errors caught and not caught,
//! and the libraries with odd input. Both servers must answer them alike, and have the same data afterwards.
//! `INNKEEP_DIFF_SCRIPTS` says how many scripts, `INNKEEP_DIFF_SEED` which.

mod expressions;
mod values;

use innkeep_test_server::{Launch, may_skip};

use crate::grammar::{Command, Compare, Grammar};
use crate::pair::{COMMON, Pair, Step};
use crate::random::Random;
use crate::reasons::{reason, runs_out_soon};
use crate::{SETTINGS, families, number, run, shorten};
use values::{text, value};

const DEFAULT_SCRIPTS: usize = 3000;
/// Scripts between two fresh starts.
const ROUND: usize = 250;
const FAMILIES: &str = "strings,keys,lists,hashes,sets,zsets,streams,bitmaps,geo,hyperloglog,sort";

/// Shows any value of Lua's as text, the same wherever the order of a table's fields is the interpreter's affair.
const SHOW: &str = "local function show(v, d) d = d or 0 local t = type(v) \
    if t == 'table' then if d > 6 then return '{deep}' end local p = {} \
    for k, x in pairs(v) do p[#p + 1] = show(k, d + 1) .. '=' .. show(x, d + 1) end table.sort(p) \
    return '{' .. table.concat(p, ',') .. '}' end \
    if t == 'number' then return string.format('%.17g', v) end \
    if t == 'string' then return string.format('%q', v) end \
    if t == 'function' or t == 'userdata' or t == 'thread' then return t end return tostring(v) end \
    local out = {} local function say(...) \
    for i = 1, select('#', ...) do out[#out + 1] = show((select(i, ...))) end end \
    local function afresh(name) redis.pcall('ZUNION', 1, 'nothing', 'WEIGHTS', 1) return name end\n";

/// What is called instead of a command's name, or with other words, now and then.
const WRONG_CALLS: &[&str] = &[
    "",
    "'nosuchcommand', 'a'",
    "{}",
    "nil",
    "'get'",
    "'get', nil",
    "'get', {}",
    "'get', true",
    "'set', 'k:n', 1e20",
    "'set', 'k:n', -0.1",
    "'set', 'k:n', 1/0",
    "'set', 'k:n', 12345678901234567890",
    "'set', 'k:n', 100000000000000",
    "'get', 'k:n'",
    "'incrby', 'k:n', 1.5",
    "'subscribe', 'c'",
    "'multi'",
    "'eval', 'return 1', 0",
    "'watch', 'a'",
    "'hello', 3",
    "'auth', 'x'",
    "'blpop', 'nothing here', 0",
    "'brpoplpush', 'nothing here', 'nor here', 0",
    "'bzpopmin', 'nothing here', 0",
    "'xread', 'block', 0, 'streams', 'nothing here', '$'",
    "'ping'",
    "'echo', 'x\\0y\\r\\n'",
    "'select', 0",
    "'select', 99",
    "'config', 'get', 'hash-max-listpack-entries'",
    "'object', 'help'",
    "'debug', 'protocol', 'map'",
];

/// How a script may fail, in a statement.
const FAILURES: &[&str] = &[
    "error('on purpose')",
    "error('on purpose', 0)",
    "error('on purpose', 2)",
    "error({err = 'MINE and only mine'})",
    "error({err = 'OneWord'})",
    "error(nil)",
    "error(12)",
    "error(1.5)",
    "error(true)",
    "error()",
    "error(redis.error_reply('MY text'))",
    "assert(false)",
    "assert(false, 'not so')",
    "assert(nil, {err = 'TABLE text'})",
    "local x = nothere",
    "nothere = 1",
    "local x = nil + 1",
    "local x = {} .. 'a'",
    "local x = nil .. 'a'",
    "local x = {} < {}",
    "local x = 1 < 'a'",
    "local x = #nil",
    "local x = nil x()",
    "local x = ('x').y.z",
    "string.nothere()",
    "redis.nothere()",
    "redis.x = 1",
    "string.x = 1",
    "_G.x = 1",
    "rawset(_G, 'x', 1)",
    "setmetatable(_G, {})",
    "setmetatable(redis, {})",
    "table.insert(string, 1)",
    "local x = {} x[nil] = 1",
    "local x = {} x[0/0] = 1",
    "local function f() return f() + 1 end f()",
    "return unpack({}, 1, 1e6)",
    "string.rep()",
    "('x'):rep('y')",
    "tonumber('z', 99)",
    "setmetatable({}, {__index = function() error('deep') end}).x()",
    "redis.setresp()",
    "redis.setresp(4)",
    "redis.setresp('a')",
    "redis.log()",
    "redis.log(9, 'x')",
    "redis.log('a', 'x')",
    "redis.sha1hex()",
    "redis.error_reply()",
    "redis.status_reply(1)",
    "redis.set_repl()",
    "redis.set_repl(77)",
    "redis.acl_check_cmd()",
    "redis.acl_check_cmd('nosuchcommand')",
    "redis.register_function('f', function() end)",
    "cjson.decode('{')",
    "cmsgpack.unpack('\\193')",
    "struct.unpack('i4', 'x')",
];

/// The words of a command in Lua: strings, some of them as numbers.
fn words(command: &Command, random: &mut Random) -> String {
    let word = |word: &Vec<u8>| {
        let digits = !word.is_empty() && word.len() < 12 && word.iter().all(u8::is_ascii_digit);
        if digits && random.chance(40) {
            String::from_utf8_lossy(word).into_owned()
        } else {
            text(word)
        }
    };
    let mut words: Vec<String> = command.arguments.iter().map(word).collect();
    if command.is("SORT") || command.is("SORT_RO") {
        // Redis forgets to clear C's errno before it reads weights: the weight of a union clears it.
        words[0] = format!("afresh({})", words[0]);
    }
    words.join(", ")
}

/// A command whose reply is the same on both sides.
fn command(grammar: &Grammar, random: &mut Random) -> Command {
    loop {
        let command = grammar.command_or_worse(random);
        if command.compare == Compare::Exact
            && !runs_out_soon(&command.arguments)
            && reason(&command.arguments).is_none()
        {
            return command;
        }
    }
}

fn statement(grammar: &Grammar, random: &mut Random) -> String {
    let called = if random.chance(12) {
        (*random.pick(WRONG_CALLS)).to_owned()
    } else {
        words(&command(grammar, random), random)
    };
    match random.below(100) {
        0..30 => format!("say(redis.pcall({called}))"),
        30..45 => format!("say(redis.call({called}))"),
        45..55 if called.is_empty() => "say(pcall(redis.call))".to_owned(),
        45..55 => format!("say(pcall(redis.call, {called}))"),
        55..58 => format!(
            "say(xpcall(function() return redis.call({called}) end, function(e) return show(e) end))"
        ),
        58..62 => format!("redis.setresp({})", 2 + random.below(2)),
        62..65 => format!("say(pcall(function() {} end))", random.pick(FAILURES)),
        65..66 => (*random.pick(FAILURES)).to_owned(),
        66..68 => format!(
            "redis.set_repl({})",
            random.pick(&["redis.REPL_ALL", "redis.REPL_NONE", "redis.REPL_AOF"])
        ),
        68..70 => format!(
            "say(coroutine.wrap(function() coroutine.yield(1) return redis.call({called}) end)())"
        ),
        _ => format!(
            "say(pcall(function() return {} end))",
            expressions::expression(random)
        ),
    }
}

fn script(grammar: &Grammar, random: &mut Random) -> String {
    let mut script = match random.below(20) {
        0 => "#!lua\n".to_owned(),
        1 => format!(
            "#!lua flags={}\n",
            random.pick(&[
                "no-writes",
                "allow-oom",
                "allow-stale,no-cluster",
                "nothing",
                "allow-cross-slot-keys"
            ])
        ),
        _ => String::new(),
    };
    script.push_str(SHOW);
    let repeats = random.chance(5);
    if repeats {
        script.push_str("for round = 1, 3 do\n");
    }
    for _ in 0..=random.below(7) {
        script.push_str(&statement(grammar, random));
        script.push('\n');
    }
    if repeats {
        script.push_str("end\n");
    }
    let last = match random.below(10) {
        0..6 => "return out".to_owned(),
        6..8 => format!("return {}", value(random, 3)),
        8 => format!("return {{out, {}}}", value(random, 2)),
        _ => format!(
            "return redis.pcall({})",
            words(&command(grammar, random), random)
        ),
    };
    script.push_str(&last);
    script
}

fn call(grammar: &Grammar, random: &mut Random) -> Command {
    let name = if random.chance(5) { "EVAL_RO" } else { "EVAL" };
    let mut arguments = vec![
        name.as_bytes().to_vec(),
        script(grammar, random).into_bytes(),
    ];
    let keys = random.below(3);
    arguments.push(keys.to_string().into_bytes());
    for _ in 0..keys + random.below(3) {
        arguments.push(
            random
                .pick(&["k:n", "s:1", "12", "-1.5", "", "x\r\ny"])
                .as_bytes()
                .to_vec(),
        );
    }
    Command {
        arguments,
        compare: Compare::Exact,
    }
}

fn round(grammar: &Grammar, seed: u64, length: usize) -> Vec<Step> {
    let mut random = Random::new(seed);
    let mut steps = Vec::new();
    let mut scripts = 0;
    while scripts < length {
        let count = 1 + random.below(8);
        let calls = (0..count).map(|_| call(grammar, &mut random)).collect();
        steps.push(Step::Batch(random.below(COMMON), calls));
        scripts += count;
    }
    steps.push(Step::Data(true));
    steps
}

#[test]
fn scripts_do_what_they_do_on_a_real_server() {
    let Some(reference) = Launch::redis() else {
        assert!(may_skip("redis-server"));
        return;
    };
    let scripts = number("INNKEEP_DIFF_SCRIPTS").map_or(DEFAULT_SCRIPTS, |count| {
        usize::try_from(count).unwrap_or(usize::MAX)
    });
    let seed = number("INNKEEP_DIFF_SEED").unwrap_or(5100);
    let ours = Launch::under_test(env!("CARGO_BIN_EXE_innkeep"));
    let mut pair = Pair::start(ours, reference, false).expect("both servers start");
    let grammar = Grammar::new(families::FAMILIES, FAMILIES);
    let rounds = scripts.div_ceil(ROUND);
    for at in 0..rounds {
        let seed = seed.wrapping_add(u64::try_from(at).unwrap_or_default());
        let settings = SETTINGS[at % SETTINGS.len()];
        let steps = round(&grammar, seed, ROUND.min(scripts));
        if let Err((at, what)) = run(&mut pair, settings, &steps) {
            let (steps, what) = shorten::shorten(&mut pair, settings, steps, at, what);
            panic!(
                "a difference in a round of scripts (seed {seed}, {settings:?}):\n{}\n{what}",
                shorten::print(&steps)
            );
        }
    }
    println!("{scripts} scripts in {rounds} rounds from seed {seed}: no difference");
}
