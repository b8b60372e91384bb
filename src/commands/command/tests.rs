//! COMMAND on its own, and entry by entry against a real server where one is installed.

use super::*;
use crate::commands::testing::Harness;
use crate::reply::Response;

fn names(response: Response) -> Vec<String> {
    let Response::Array(items) = response else {
        panic!("{response:?} is no array");
    };
    let text = |item| match item {
        Response::Bulk(name) => String::from_utf8(name).expect("names are ASCII"),
        other => panic!("{other:?} is no name"),
    };
    items.into_iter().map(text).collect()
}

#[test]
fn lists() {
    let mut harness = Harness::new();
    let count = i64::try_from(table().commands.len()).expect("a small number");
    assert_eq!(harness.run("COMMAND COUNT"), Response::Int(count));
    let listed = names(harness.run("COMMAND LIST"));
    assert_eq!(listed.len(), table().all.len());
    assert!(listed.contains(&"config|set".to_owned()));
    let found = names(harness.run("COMMAND LIST FILTERBY PATTERN config*"));
    assert!(found.contains(&"config".to_owned()) && found.contains(&"config|set".to_owned()));
    let found = names(harness.run("COMMAND LIST FILTERBY ACLCAT Connection"));
    assert!(found.contains(&"ping".to_owned()) && !found.contains(&"info".to_owned()));
    assert!(names(harness.run("COMMAND LIST FILTERBY MODULE x")).is_empty());
    for line in ["COMMAND LIST FILTERBY", "COMMAND LIST FILTERBY x y"] {
        assert_eq!(
            harness.run(line),
            Response::Error("ERR syntax error".into())
        );
    }
}

#[test]
fn unknown_names() {
    let mut harness = Harness::new();
    let nulls = Response::Array(vec![Response::Null; 3]);
    assert_eq!(harness.run("COMMAND INFO x config|x x|set"), nulls);
    assert_eq!(harness.run("COMMAND DOCS x"), Response::Array(Vec::new()));
}

#[test]
fn an_entry() {
    let mut harness = Harness::new();
    harness.run("HELLO 3");
    let simple = |text: &'static str| Response::Simple(text.into());
    let bulk = |text: &str| Response::Bulk(text.as_bytes().to_vec());
    let expected = vec![
        bulk("ping"),
        Response::Int(-1),
        Response::Set(vec![simple("fast")]),
        Response::Int(0),
        Response::Int(0),
        Response::Int(0),
        Response::Set(vec![simple("@fast"), simple("@connection")]),
        Response::Set(vec![
            bulk("request_policy:all_shards"),
            bulk("response_policy:all_succeeded"),
        ]),
        Response::Set(Vec::new()),
        Response::Set(Vec::new()),
    ];
    assert_eq!(
        harness.run("COMMAND INFO PING"),
        Response::Array(vec![Response::Array(expected)])
    );
}

#[test]
fn keys_of_a_line() {
    let mut harness = Harness::new();
    for (line, error) in [
        ("COMMAND GETKEYS x y", "ERR Invalid command specified"),
        (
            "COMMAND GETKEYS ping x",
            "ERR The command has no key arguments",
        ),
        (
            "COMMAND GETKEYS config get x",
            "ERR The command has no key arguments",
        ),
        (
            "COMMAND GETKEYS",
            "ERR wrong number of arguments for 'command|getkeys' command",
        ),
    ] {
        assert_eq!(harness.run(line), Response::Error(error.to_owned()));
    }
    harness.expect(&[(
        "COMMAND GETKEYS XREADGROUP STREAMS a b c 1 STREAMS 2",
        "[\"a\" \"b\" \"c\"]",
    )]);
}

/// What a real server says of the commands that both have, in both protocols.
mod against_redis {
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Command as Process, Stdio};

    use super::*;
    use crate::reply::RespReply;

    struct Server(Child);

    impl Drop for Server {
        fn drop(&mut self) {
            let ended = self.0.kill().and_then(|()| self.0.wait());
            debug_assert!(ended.is_ok());
        }
    }

    /// A real 7.0.15 and a connection to it; nothing where none is installed.
    fn start() -> Option<(Server, TcpStream)> {
        let version = Process::new("redis-server")
            .arg("--version")
            .output()
            .ok()?;
        if !String::from_utf8_lossy(&version.stdout).contains("v=7.0.15 ") {
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .ok()?
            .local_addr()
            .ok()?
            .port();
        let port = port.to_string();
        let mut child = Process::new("redis-server")
            .args([
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--daemonize",
                "no",
            ])
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .ok()?;
        let lines = BufReader::new(child.stdout.take()?).lines();
        let server = Server(child);
        let mut lines = lines.map_while(Result::ok);
        lines.find(|line| line.contains("Ready to accept connections"))?;
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).ok()?;
        Some((server, stream))
    }

    /// One reply as text, an element a line, so that differences can be read; members of sets are sorted.
    fn read(input: &mut impl BufRead) -> String {
        let mut line = String::new();
        input.read_line(&mut line).expect("the server answers");
        let kind = line.chars().next().expect("a reply is not empty");
        let number = line
            .trim()
            .get(1..)
            .and_then(|rest| rest.parse::<i64>().ok());
        match (kind, number) {
            ('$', Some(-1)) => line,
            ('$', Some(length)) => {
                let mut bytes = vec![0; length as usize + 2];
                input
                    .read_exact(&mut bytes)
                    .expect("the whole string comes");
                format!("{}\r\n", String::from_utf8_lossy(&bytes).trim_end())
            }
            ('*' | '%' | '~', Some(count)) => {
                let count = if kind == '%' { count * 2 } else { count };
                let mut parts: Vec<String> = (0..count).map(|_| read(input)).collect();
                // The members of sets, subcommands among them, come in any order.
                if kind == '~' {
                    parts.sort();
                }
                format!("{line}{}", parts.concat())
            }
            _ => line,
        }
    }

    fn ask(stream: &mut TcpStream, words: &[&str]) -> String {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let mut request = Vec::new();
        crate::keyspace::txn::encode_command(&mut request, &words);
        stream.write_all(&request).expect("the server listens");
        read(&mut BufReader::with_capacity(1, stream))
    }

    fn own(resp3: bool, write: impl Fn(&mut RespReply)) -> String {
        let mut reply = RespReply::new(resp3);
        write(&mut reply);
        let bytes = reply.take();
        read(&mut &bytes[..])
    }

    /// Those whose words grew after 7.0: the real server may not know it yet.
    const GREW: &[&str] = &[
        "hscan",
        "xadd",
        "xinfo|consumers",
        "xinfo|stream",
        "xtrim",
        "zrank",
        "zrevrank",
    ];

    /// Commands and subcommands without subcommands of their own, whose order and number differ.
    fn leaves() -> impl Iterator<Item = &'static Command> {
        table()
            .all
            .iter()
            .copied()
            .filter(|command| command.spec.subcommands.is_empty())
            .filter(|command| !GREW.contains(&command.full_name.as_str()))
    }

    #[test]
    fn info_and_docs_are_the_same() {
        let Some((_server, mut stream)) = start() else {
            return;
        };
        let mut different = BTreeMap::new();
        for resp3 in [false, true] {
            ask(&mut stream, &["HELLO", if resp3 { "3" } else { "2" }]);
            for command in leaves() {
                let name = command.full_name.as_str();
                let real = ask(&mut stream, &["COMMAND", "INFO", name]);
                if real.contains("$-1") || real.contains("\r\n_\r\n") {
                    assert!(
                        command.spec.since.starts_with(['7', '8']),
                        "{name} is unknown to a real server"
                    );
                    continue;
                }
                let ours = own(resp3, |reply| {
                    reply.array(1);
                    write_info(reply, command);
                });
                if real != ours {
                    different.insert((name, "INFO", resp3), (real, ours));
                }
                let real = ask(&mut stream, &["COMMAND", "DOCS", name]);
                let ours = own(resp3, |reply| {
                    reply.map(1);
                    docs::write(reply, command);
                });
                if real != ours {
                    different.insert((name, "DOCS", resp3), (real, ours));
                }
            }
        }
        let names: Vec<_> = different.keys().collect();
        assert!(
            different.is_empty(),
            "{names:?}\n{:?}",
            different.first_key_value()
        );
    }
}
