//! Bytes that are hardly commands: whole frames, inline commands and broken ones in one stream, some of its bytes
//! changed. It knows no server. HELLO is not among them, which tells the server's version.

use crate::random::Random;

/// What streams are put together from.
const FRAGMENTS: &[&[u8]] = &[
    b"*1\r\n$4\r\nPING\r\n",
    b"*2\r\n$4\r\nECHO\r\n$5\r\nwords\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\nr\r\n$3\r\n1\r\n\r\n",
    b"*2\r\n$3\r\nGET\r\n$1\r\nr\r\n",
    b"*2\r\n$4\r\nINCR\r\n$1\r\nr\r\n",
    b"*1\r\n$5\r\nMULTI\r\n",
    b"*1\r\n$4\r\nEXEC\r\n",
    b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
    b"*2\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n",
    b"PING\r\n",
    b"PING\n",
    b"  ping   one  \r\n",
    b"ECHO \"a\\x41\\n\\t\\\"\"\r\n",
    b"ECHO 'it\\'s'\r\n",
    b"ECHO \"\"\r\n",
    b"SET r 'x y'\r\n",
    b"GET r\r\n",
    b"GET\r\n",
    b"GET a b c\r\n",
    b"NOSUCH one two\r\n",
    b"\r\n",
    b"\n",
    b" \r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"*-9\r\n",
    b"EXEC\r\n",
    b"DISCARD\r\n",
    b"RESET\r\n",
    b"CLIENT REPLY SKIP\r\n",
    b"CLIENT REPLY OFF\r\n",
    b"CLIENT REPLY ON\r\n",
    b"SELECT 1\r\n",
    b"LRANGE l1 0 1\r\n",
    b"HGETALL nothing\r\n",
];

/// What ends a connection, or should.
const ENDS: &[&[u8]] = &[
    b"*1\r\nfoo\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$x\r\n",
    b"*1\r\n$4294967296\r\n",
    b"*x\r\n",
    b"*1 \r\n",
    b"*+1\r\n$4\r\nPING\r\n",
    b"* 1\r\n",
    b"*99999999999999999999\r\n",
    b"*1048577\r\n",
    b"*2147483648\r\n",
    b"ECHO \"open\r\n",
    b"ECHO 'open\r\n",
    b"ECHO \"a\"b\r\n",
    b"ECHO 'a'b\r\n",
    b"QUIT\r\n",
    b"*2\r\n$4\r\nECHO\r\n",
    b"*1\r\n$4\r\nPI",
    b"GET r",
    b"*",
];

/// A stream; every third has some bytes changed.
pub(crate) fn stream(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..1 + random.below(6) {
        bytes.extend_from_slice(random.pick::<&[u8]>(FRAGMENTS));
    }
    if random.chance(50) {
        bytes.extend_from_slice(random.pick::<&[u8]>(ENDS));
        bytes.extend_from_slice(random.pick::<&[u8]>(FRAGMENTS));
    }
    if random.chance(30) {
        for _ in 0..=random.below(3) {
            const BYTES: &[u8] = b"*$\r\n 0129-+\"'\\x\0aP";
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = *random.pick(BYTES),
                1 => bytes.insert(at, *random.pick(BYTES)),
                _ if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {}
            }
        }
    }
    bytes
}
