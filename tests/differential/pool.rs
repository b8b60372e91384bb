//! The small spaces that keys, values and numbers are drawn from, so that commands meet each other's data and the
//! edges of every type. It knows no commands.

use crate::payloads;
use crate::random::Random;

/// The prefix of a family that works on keys of all types.
pub(crate) const ANY: char = '*';

/// The spaces, seen from a family whose keys begin with `prefix`.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) prefix: char,
}

const LONG: &str = "a value that is longer than the compact forms take";

impl Pool {
    /// Each class of arguments, and what it may be. Common values stand more than once.
    #[rustfmt::skip]
    pub(crate) const CLASSES: &'static [(&'static str, &'static [&'static str])] = &[
        // Sorted sets in which all scores are the same: only there a lexicographic range has a defined answer.
        ("lexkey", &["x1", "x1", "x2", "x2", "x3", "nothing"]),
        ("sortable", &["l1", "l2", "l3", "l4", "t1", "t2", "t3", "z1", "z2", "z3", "h1", "nothing"]),
        ("sortpattern", &["s*", "z*", "h*->f1", "h*->f2", "*"]),
        ("getpattern", &["#", "#", "s*", "h*->f1", "h*->", "l*->f1", "nothing", "*", "s1", "\0*"]),
        ("nothing", &["nosort", "nothing", "#", ""]),
        ("value", &["1", "2", "10", "-7", "3.5", "a", "b", "abc", "hello world", "", "\0\r\n\u{ff}", "9223372036854775806",
            "12345678901234567890", "1.0e2", " 1", "ohmytext", "mynewtext", LONG]),
        ("field", &["f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "10", "11", "", LONG]),
        ("member", &["m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10", "m11", "", LONG]),
        ("rankedmember", &["m1", "m2", "m3", "m4", "m5", "m6", "m7", ""]),
        ("setmember", &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "-5", "32768", "2147483648", "70000000000", "1",
            "2", "3", "a", "01", "", LONG]),
        ("element", &["a", "b", "c", "a", "b", "1", "2", "100000", "", "x", LONG]),
        ("lexmember", &["a", "b", "c", "d", "aa", "ab", "", "zebra", "\u{ff}", "A"]),
        ("int", &["0", "1", "1", "2", "5", "-1", "-3", "100", "9223372036854775807", "-9223372036854775808", "1e3", "+1",
            "0x1", "01", "-0", " 1", "1 ", "", "1.5", "abc", "9223372036854775808"]),
        ("float", &["1", "1.5", "-2.25", "0", "-0", "3.0e5", "1e10", "0.1", "0.2", "1e-7", "1e17", "123456789.125", "1e300", "inf",
            "-inf", "nan", "abc", "1e400", "", " 1", "1 ", "0x10", "+5", ".5", "5."]),
        ("score", &["0", "1", "1", "2", "2", "3", "1.5", "-2.25", "-0", "1e10", "0.125", "inf", "-inf", "+inf", "nan", "abc",
            "0x10", "1e400", "+3"]),
        ("goodscore", &["0", "1", "1", "2", "2", "3", "1.5", "-2.25", "1e10", "0.125", "inf", "-inf"]),
        ("weight", &["1", "2", "0", "-1", "0.5", "inf", "abc"]),
        ("bound", &["-inf", "+inf", "0", "1", "(1", "2", "(2", "3", "(-inf", "(inf", "1.5", "abc", "nan", "("]),
        ("lexbound", &["-", "+", "[a", "(a", "[c", "(c", "[zebra", "[", "(", "a", "[aa"]),
        ("index", &["0", "1", "2", "3", "-1", "-2", "-3", "5", "-5", "10", "-10", "100", "-100", "abc", "9223372036854775807"]),
        ("count", &["0", "1", "1", "2", "2", "3", "5", "20", "9223372036854775807", "-1", "abc", "1.5"]),
        ("choicecount", &["0", "1", "2", "3", "5", "20", "-1", "-3", "-10", "9223372036854775807", "-9223372036854775808", "abc"]),
        ("rank", &["1", "2", "-1", "-2", "0", "3", "-9223372036854775807", "abc"]),
        ("offset", &["0", "1", "3", "5", "20", "-1", "536870912", "abc"]),
        ("bitoffset", &["0", "1", "7", "8", "100", "-1", "4294967296", "abc"]),
        ("bitindex", &["0", "1", "3", "7", "8", "9", "13", "20", "63", "64", "65", "100", "-1", "-2", "-9", "-64", "-100"]),
        ("bitwidth", &["u1", "u2", "u5", "u8", "u16", "u63", "i1", "i2", "i5", "i8", "i33", "i63", "i64", "u64", "i65", "u0", "x8", "8"]),
        ("bitplace", &["0", "1", "3", "7", "8", "12", "60", "64", "101", "#0", "#1", "#2", "#3", "#10", "-1", "#-1", "4294967296", "abc"]),
        ("increment", &["0", "1", "2", "3", "-1", "-2", "10", "100", "127", "128", "255", "256", "-128", "-129", "65535",
            "9223372036854775807", "-9223372036854775808"]),
        // HyperLogLogs that lose their sparse form.
        ("densekey", &["q1", "q2"]),
        ("longitude", &["13.361389", "15.087269", "0", "1", "-0.0001", "179.9999", "-179.9999", "180", "-180", "2.3522", "-74.006",
            "139.6917", "-58.3816", "151.2093", "13.5", "12.999", "90", "181", "abc"]),
        ("latitude", &["38.115556", "37.502669", "0", "1", "-0.0001", "85.05112878", "-85.05112878", "48.8566", "40.7128",
            "35.6895", "-34.6037", "-33.8688", "37.9", "66.5", "-67", "80.5", "-81", "86", "abc"]),
        ("place", &["Palermo", "Catania", "Paris", "Tokyo", "e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", ""]),
        ("distance", &["0", "1", "10", "100", "200", "500.5", "1000", "2000", "5000", "10000", "20000", "1e7", "0.001", "-1", "abc"]),
        ("unit", &["m", "km", "km", "km", "mi", "ft", "KM", "parsec"]),
        ("hlloffset", &["0", "4", "8", "15"]),
        ("hllbyte", &["\0", "\u{1}", "\u{80}", "?"]),
        ("bit", &["0", "1", "1", "2", "-1", "abc"]),
        // Long from now, or long over: nothing may run out while two servers are compared.
        ("seconds", &["1000", "2000", "500000", "0", "-1", "-100", "9223372036854775807", "abc", "1.5", "10000000000000000"]),
        ("milliseconds", &["1000000", "2000000", "0", "-1", "9223372036854775807", "abc", "100000000000000000"]),
        ("unixtime", &["4000000000", "4100000000", "1000", "0", "-1", "9223372036854775807", "abc"]),
        // What has run out is left lying by SET until somebody looks: a lapse.
        ("timetocome", &["4000000000", "4100000000", "0", "-1", "9223372036854775807", "abc"]),
        ("timetocomems", &["4000000000000", "4100000000000", "0", "-1", "9223372036854775807", "abc"]),
        ("unixtimems", &["4000000000000", "4100000000000", "1000", "0", "-1", "9223372036854775807", "abc"]),
        ("fieldtime", &["0", "0", "0", "-1", "9223372036854775807", "abc", "1.5", "70368744177664", "10000000000000000"]),
        ("timeout", &["0.01", "0.01", "-1", "abc", "1e5000", "nan"]),
        // As each server knows them: `@i2` is the id, `@a2` the address of player 2.
        ("player", &["@i0", "@i1", "@i2", "@i3"]),
        ("playeraddress", &["@a0", "@a1", "@a2", "@a3"]),
        ("database", &["0", "1", "2", "0", "1", "16", "-1", "abc"]),
        ("pattern", &["*", "s*", "l?", "[hz]*", "m1*", "f*", "*1", "[^a]*", "\\*", "nothing", "", "h[1-2]", "*\\"]),
        ("pagesize", &["1", "2", "5", "10", "1000", "0", "-1", "abc"]),
        ("type", &["string", "list", "set", "zset", "hash", "stream", "nonsense"]),
        ("channel", &["c1", "c2", "c3", "news.a", "news.b", ""]),
        ("channelpattern", &["c*", "news.*", "*", "c?", "[cn]*"]),
        ("message", &["hello", "", "\0\u{ff}", LONG]),
        // Ids: early ones, and those that follow each other. None is chosen by a clock.
        ("addid", &["9-*", "9-*", "9-*", "9-*", "9-*", "1-1", "2-2", "3-*", "5-5", "9-5", "9", "10-*", "0-*", "0-0", "abc", "-"]),
        ("streamid", &["1-1", "2-2", "3-0", "3-1", "5-5", "9-0", "9-1", "9-2", "9-3", "9-4", "9-5", "9-6", "9", "10-0", "0-1", "0",
            "99-1", "abc", "+"]),
        ("rangeid", &["-", "+", "-", "+", "0", "1", "2-2", "9", "9-1", "9-2", "9-3", "(9-1", "(9-2", "(5-5", "(", "(-", "abc",
            "18446744073709551615-18446744073709551615", "(18446744073709551615-18446744073709551615"]),
        ("readid", &["0", "0", "1-1", "3", "9-1", "9-2", "9-4", "$", "abc"]),
        ("groupid", &[">", ">", ">", "0", "0", "2-2", "9-2", "$", "abc"]),
        ("newid", &[">"]),
        ("unread", &[">"]),
        ("last", &["+"]),
        ("startid", &["0", "$", "9-2", "2-2", "-", "abc"]),
        ("group", &["g1", "g1", "g2", "g3"]),
        ("consumer", &["alice", "alice", "bob", "carol"]),
        // Nothing is idle for as long as the second, unless it was claimed with an older time.
        ("idle", &["0", "0", "1000000", "10000000", "-1", "abc"]),
        ("claimcount", &["1", "1", "2", "3", "20", "0", "-1", "abc"]),
        ("blockms", &["1", "2", "-1", "abc"]),
        ("user", &["u1", "u1", "u2", "u3"]),
        ("goodrule", &["on", "off", "nopass", ">secret", "+get", "-get", "+@all", "+@read", "-@dangerous", "+config|get", "~*", "~s*",
            "%R~h*", "%W~t*", "allkeys", "&c*", "allchannels", "(+@write ~l*)", "+@write", "-@write", "+set", "-config|get", "+config",
            "-client|kill", "+@pubsub", "&news.*", "(%R~* +@all -set &*)", "+client", "-client"]),
        ("aclrule", &["on", "off", "nopass", "resetpass", ">secret", "<secret", ">other", "<none",
            "#2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", "#12", "!12", "+get", "-get", "+@all", "-@all",
            "allcommands", "nocommands", "+@read", "-@nonsense", "+nonsense", "+config|get", "+config|nonsense", "+get|x", "+select|0",
            "-select|0", "~*", "~s*", "%R~h*", "%W~t*", "%RW~z*", "%X~a", "%~a", "%", "resetkeys", "allkeys", "~a b", "&*", "&c*",
            "resetchannels", "allchannels", "(+get ~s*)", "(+get", "+get)", "( )", "(nonsense)", "clearselectors", "sanitize-payload",
            "skip-sanitize-payload", "reset", "nonsense", "", "+", "-", "@all", "+@", "+client|kill|x"]),
        ("library", &[
            "#!lua name=lib1\nredis.register_function('F1', function(keys, args) return #keys end)",
            "#!lua name=lib1\nredis.register_function('F1', function(keys, args) return args[1] end)",
            "#!lua name=lib2\nredis.register_function{function_name='F2', callback=function(keys, args) return redis.call('type', keys[1]) end, flags={'no-writes'}}",
            "#!lua name=lib2\nredis.register_function('F2', function(keys, args) return redis.call('set', keys[1], args[1]) end)",
            "#!lua name=lib3\nredis.register_function('F1', function(keys, args) return 1 end)",
            "#!lua name=lib1\nreturn 1", "#!lua name=lib3\nredis.register_function('F3', 1)",
            "#!lua name=lib3\nredis.register_function{function_name='F3', callback=function() end, flags={'nonsense'}}",
            "#!lua name=lib3\nerror('no')", "#!lua name=lib3\n(", "#!lua\nreturn 1", "#!js name=lib1\nreturn 1", "return 1", "",
            "#!lua name=a-b\nreturn 1", "#!lua name=lib1 name=lib2\nreturn 1", "#!lua nonsense\nreturn 1", "#!lua name=lib1", "#!lua name=\nx"]),
        ("libraryname", &["lib1", "lib2", "lib3", "lib*", "*", "nothing", ""]),
        ("script", &["return 1", "return KEYS[1]", "return", "", "(", "#!lua flags=no-writes\nreturn 1", "#!lua flags=nonsense\nreturn 1",
            "#!lua nonsense\nreturn 1", "#!js\nreturn 1", "#!lua", "\u{ff}"]),
        ("prefix", &["s", "l", "s1", "h", "", "z"]),
        ("nokey", &[""]),
        ("movable", &["m1", "m2", "m3", "m4"]),
        ("subscriber", &["@s0", "@s1"]),
        ("name", &["guest", "worker-1", "", "with space", "new\nline"]),
    ];

    pub(crate) const PREFIXES: &'static [char] = &['s', 'l', 'h', 't', 'z', 'r'];

    /// An argument of this class. `key` is mostly one of the family's own, `other` any.
    pub(crate) fn argument(&self, class: &str, random: &mut Random) -> Vec<u8> {
        match class {
            "key" if self.prefix != ANY && random.chance(85) => self.key_of(self.prefix, random),
            "key" | "other" => {
                let prefix = *random.pick(Self::PREFIXES);
                self.key_of(prefix, random)
            }
            "payload" => random.pick::<&[u8]>(payloads::PAYLOADS).to_vec(),
            _ => {
                let (_, values) = Self::CLASSES
                    .iter()
                    .find(|(name, _)| *name == class)
                    .expect("the parser knows classes");
                random.pick(values).as_bytes().to_vec()
            }
        }
    }

    fn key_of(&self, prefix: char, random: &mut Random) -> Vec<u8> {
        format!("{prefix}{}", 1 + random.below(4)).into_bytes()
    }
}
