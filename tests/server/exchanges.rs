//! Bytes in, bytes out: inline commands, broken frames, the states of a connection.

use std::io::{Read, Write};

use innkeep_test_server::Server;

/// What is sent, and what must come back.
type Exchange<'bytes> = (&'bytes [u8], &'bytes [u8]);

/// What a connection that is still in order answers to at the end.
const ALIVE: Exchange<'static> = (b"PING alive\r\n", b"$5\r\nalive\r\n");

/// Exchanges on connections of their own, after which each of them goes on working.
fn all_go_on(exchanges: &[Exchange]) {
    let server = crate::server();
    for (request, expected) in exchanges {
        exchange(
            &server,
            &[request, ALIVE.0].concat(),
            &[expected, ALIVE.1].concat(),
            false,
        );
    }
}

/// Exchanges after which the server closes the connection.
fn all_are_closed(exchanges: &[Exchange]) {
    let server = crate::server();
    for (request, expected) in exchanges {
        exchange(&server, request, expected, true);
        exchange(&server, ALIVE.0, ALIVE.1, false);
    }
}

fn exchange(server: &Server, request: &[u8], expected: &[u8], closed: bool) {
    let mut stream = server.connect().expect("the server accepts");
    // A server that has had enough may close before it has read everything.
    drop(stream.write_all(request));
    let mut answer = vec![0; expected.len()];
    let outcome = stream.read_exact(&mut answer);
    let shown = request[..request.len().min(100)].escape_ascii().to_string();
    assert!(
        outcome.is_ok(),
        "{shown}: {outcome:?} after {:?}",
        answer.escape_ascii().to_string()
    );
    assert_eq!(
        answer.escape_ascii().to_string(),
        expected.escape_ascii().to_string(),
        "to {shown}"
    );
    if closed {
        let end = stream.read(&mut [0; 1]);
        assert!(
            matches!(end, Ok(0) | Err(_)),
            "{shown}: the connection is still open"
        );
        assert!(
            end.map_err(|error| error.kind()) != Err(std::io::ErrorKind::WouldBlock),
            "{shown}: the connection is still open"
        );
    }
}

#[test]
fn a_message_goes_out_before_the_answer_to_what_ended_the_subscription() {
    let server = crate::server();
    let mut stream = server.connect().expect("the server accepts");
    let request =
        b"HELLO 3\r\nSUBSCRIBE a\r\nPUBLISH a one\r\nPUBLISH a two\r\nUNSUBSCRIBE a\r\nQUIT\r\n";
    stream.write_all(request).expect("the server reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("QUIT closes the connection");
    let end = answer.find(">3").map_or("", |start| &answer[start..]);
    // As redis-server 7.0.15 answers.
    assert_eq!(
        end,
        ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n\
         >3\r\n$7\r\nmessage\r\n$1\r\na\r\n$3\r\none\r\n:1\r\n\
         >3\r\n$7\r\nmessage\r\n$1\r\na\r\n$3\r\ntwo\r\n:1\r\n\
         >3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n+OK\r\n"
    );
}

#[test]
fn inline_commands() {
    all_go_on(&[
        (b"PING\r\nPING\n", b"+PONG\r\n+PONG\r\n"),
        (b"\r\n\r\n  \r\nPING\r\n", b"+PONG\r\n"),
        (b"ECHO 'a\\'b'\r\n", b"$3\r\na'b\r\n"),
        (b"ECHO \"\\x41\\n\\\"\"\r\n", b"$3\r\nA\n\"\r\n"),
        (b"  ping  \r\n", b"+PONG\r\n"),
        (
            b"SET key \"with space\"\r\nGET key\r\n",
            b"+OK\r\n$10\r\nwith space\r\n",
        ),
    ]);
}

#[test]
fn frames_that_are_odd_but_whole() {
    all_go_on(&[
        (b"*0\r\n", b""),
        (b"*-5\r\n", b""),
        (b"*1\r\n$4\r\nPING\r\nPING\r\n*1\r\n$4\r\nPING\r\n", b"+PONG\r\n+PONG\r\n+PONG\r\n"),
        (b"*1\r\n$0\r\n\r\n", b"-ERR unknown command '', with args beginning with: \r\n"),
        (b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", b"$-1\r\n"),
        (b"*3\r\n$3\r\nSET\r\n$4\r\n\x00\r\n\xff\r\n$2\r\n\r\n\r\n*2\r\n$3\r\nGET\r\n$4\r\n\x00\r\n\xff\r\n", b"+OK\r\n$2\r\n\r\n\r\n"),
        // The two bytes after an argument are skipped unread.
        (b"*2\r\n$4\r\nECHO\r\n$3\r\nabcXY", b"$3\r\nabc\r\n"),
    ]);
}

#[test]
fn frames_that_are_broken_end_the_connection() {
    let long = |head: &[u8], byte: u8| [head, &vec![byte; 70_000]].concat();
    all_are_closed(&[
        (
            b"*1\r\nfoo\r\n",
            b"-ERR Protocol error: expected '$', got 'f'\r\n",
        ),
        (
            b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n",
            b"-ERR Protocol error: expected '$', got 'f'\r\n",
        ),
        (
            b"*1\r\n*1\r\n$4\r\nPING\r\n",
            b"-ERR Protocol error: expected '$', got '*'\r\n",
        ),
        (
            b"*1\r\n$-1\r\n",
            b"-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"*1\r\n$abc\r\n",
            b"-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"*1\r\n$536870913\r\n",
            b"-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"*1\r\n$9223372036854775808\r\n",
            b"-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"*abc\r\n",
            b"-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            b"*2147483648\r\n",
            b"-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            b"ECHO \"unbalanced\r\nPING\r\n",
            b"-ERR Protocol error: unbalanced quotes in request\r\n",
        ),
        (
            b"ECHO \"a\"b\r\n",
            b"-ERR Protocol error: unbalanced quotes in request\r\n",
        ),
        (
            &long(b"", b'x'),
            b"-ERR Protocol error: too big inline request\r\n",
        ),
        (
            &long(b"*", b'1'),
            b"-ERR Protocol error: too big mbulk count string\r\n",
        ),
        (
            &long(b"*1\r\n$", b'1'),
            b"-ERR Protocol error: too big bulk count string\r\n",
        ),
        (
            b"PING\r\n*1\r\nfoo\r\n",
            b"+PONG\r\n-ERR Protocol error: expected '$', got 'f'\r\n",
        ),
        // What a browser sends is not to be taken for commands.
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\nSET a b\r\n", b""),
        (b"Host: x\r\n", b""),
        (b"QUIT\r\nPING\r\n", b"+OK\r\n"),
    ]);
}

#[test]
fn errors_name_what_was_wrong() {
    all_go_on(&[
        (b"GET\r\n", b"-ERR wrong number of arguments for 'get' command\r\n"),
        (b"GET a b\r\n", b"-ERR wrong number of arguments for 'get' command\r\n"),
        (b"NOSUCH a b\r\n", b"-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' \r\n"),
        (b"CLIENT NONSENSE\r\n", b"-ERR unknown subcommand 'NONSENSE'. Try CLIENT HELP.\r\n"),
        (b"CLIENT\r\nCONFIG\r\n", b"-ERR wrong number of arguments for 'client' command\r\n-ERR wrong number of arguments for 'config' command\r\n"),
        (b"EXEC\r\nDISCARD\r\nUNWATCH\r\n", b"-ERR EXEC without MULTI\r\n-ERR DISCARD without MULTI\r\n+OK\r\n"),
        (b"HELLO 9\r\n", b"-NOPROTO unsupported protocol version\r\n"),
        (b"SELECT 16\r\nSELECT -1\r\nSELECT a\r\n", b"-ERR DB index is out of range\r\n-ERR DB index is out of range\r\n-ERR value is not an integer or out of range\r\n"),
        (b"EVALSHA 0000000000000000000000000000000000000000 0\r\n", b"-NOSCRIPT No matching script. Please use EVAL.\r\n"),
    ]);
}

#[test]
fn numbers_out_of_range_are_answered_as_redis_does() {
    all_go_on(&[
        (b"SET k v EX 0\r\n", b"-ERR invalid expire time in 'set' command\r\n"),
        (b"SET k v PX 9223372036854775807\r\n", b"-ERR invalid expire time in 'set' command\r\n"),
        (b"SET k v EX abc\r\n", b"-ERR value is not an integer or out of range\r\n"),
        (b"SET k v KEEPTTL EX 1\r\n", b"-ERR syntax error\r\n"),
        (b"EXPIRE k 9223372036854775807\r\n", b"-ERR invalid expire time in 'expire' command\r\n"),
        (b"LPOP k -1\r\n", b"-ERR value is out of range, must be positive\r\n"),
        (b"SRANDMEMBER s -9223372036854775808\r\n", b"-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807\r\n"),
        (b"HRANDFIELD h 9223372036854775807 WITHVALUES\r\n", b"-ERR value is out of range\r\n"),
        (b"SETRANGE s 536870912 x\r\n", b"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"),
        (b"ZADD z nan m\r\n", b"-ERR value is not a valid float\r\n"),
        (b"BLPOP a -1\r\n", b"-ERR timeout is negative\r\n"),
        (b"BLPOP a nan\r\n", b"-ERR timeout is not a float or out of range\r\n"),
    ]);
}

#[test]
fn replies_can_be_switched_off() {
    all_go_on(&[
        (
            b"CLIENT REPLY OFF\r\nPING\r\nSET a b\r\nCLIENT REPLY ON\r\n",
            b"+OK\r\n",
        ),
        (b"CLIENT REPLY SKIP\r\nPING\r\nPING\r\n", b"+PONG\r\n"),
        (b"CLIENT REPLY SKIP\r\n \r\nPING\r\n", b"+PONG\r\n"),
        (
            b"MULTI\r\nCLIENT REPLY OFF\r\nGET a\r\nEXEC\r\nCLIENT REPLY ON\r\n",
            b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n",
        ),
        (
            b"CLIENT REPLY OFF\r\nSUBSCRIBE\r\nCLIENT REPLY ON\r\n",
            b"+OK\r\n",
        ),
    ]);
}

#[test]
fn reset_makes_a_connection_new() {
    all_go_on(&[
        (
            b"MULTI\r\nRESET\r\nEXEC\r\n",
            b"+OK\r\n+RESET\r\n-ERR EXEC without MULTI\r\n",
        ),
        (
            b"SUBSCRIBE a\r\nRESET\r\nGET nothing\r\n",
            b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n+RESET\r\n$-1\r\n",
        ),
        (
            b"CLIENT SETNAME x\r\nRESET\r\nCLIENT GETNAME\r\n",
            b"+OK\r\n+RESET\r\n$-1\r\n",
        ),
    ]);
}

#[test]
fn a_subscribed_connection_speaks_of_messages_only() {
    let refused =
        "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
    let expected = format!(
        "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n*2\r\n$4\r\npong\r\n$1\r\nx\r\n\
         -ERR Can't execute 'get': {refused}\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n"
    );
    all_go_on(&[
        (
            b"SUBSCRIBE a\r\nPING\r\nPING x\r\nGET a\r\nUNSUBSCRIBE\r\n",
            expected.as_bytes(),
        ),
        (
            b"UNSUBSCRIBE\r\nPUNSUBSCRIBE\r\n",
            b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n*3\r\n$12\r\npunsubscribe\r\n$-1\r\n:0\r\n",
        ),
    ]);
}

#[test]
fn nothing_blocks_inside_a_transaction() {
    all_go_on(&[
        (
            b"MULTI\r\nBLPOP a 0\r\nBRPOPLPUSH a b 0\r\nBZPOPMIN z 0\r\nEXEC\r\n",
            b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n*-1\r\n$-1\r\n*-1\r\n",
        ),
        (b"MULTI\r\nWATCH a\r\nEXEC\r\n", b"+OK\r\n-ERR WATCH inside MULTI is not allowed\r\n*0\r\n"),
        (
            b"MULTI\r\nNOSUCH\r\nSET a b\r\nEXEC\r\nGET never\r\n",
            b"+OK\r\n-ERR unknown command 'NOSUCH', with args beginning with: \r\n+QUEUED\r\n-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n",
        ),
    ]);
}

#[test]
fn any_cut_of_a_request_gives_the_same_replies() {
    let server = crate::server();
    let request = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nva\r\nl\r\nGET key\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\nPING\r\n";
    let expected = b"+OK\r\n$5\r\nva\r\nl\r\n$2\r\nhi\r\n+PONG\r\n";
    for cut in 1..request.len() {
        let mut stream = server.connect().expect("the server accepts");
        let mut answer = vec![0; expected.len()];
        for part in [&request[..cut], &request[cut..]] {
            stream.write_all(part).expect("the server reads");
        }
        stream.read_exact(&mut answer).expect("the server answers");
        assert_eq!(
            answer.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "cut at {cut}"
        );
    }
}
