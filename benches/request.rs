//! What it takes to parse one command out of a pipeline, and to encode a reply: `cargo bench --bench request`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use innkeep::reply::{Reply, RespReply};
use innkeep::request::{Parsed, Parser};

const COMMANDS: usize = 64;

fn pipeline(command: &str) -> Vec<u8> {
    let words: Vec<&str> = command.split(' ').collect();
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    bytes.repeat(COMMANDS).into_bytes()
}

fn parse_pipelines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(COMMANDS as u64));
    for command in [
        "PING",
        "GET key:000000000001",
        "SET key:000000000001 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        let bytes = pipeline(command);
        let mut parser = Parser::new();
        let mut args = Vec::new();
        let name = command.split(' ').next().unwrap_or(command);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                args.clear();
                let mut at = 0;
                while let Ok(Parsed::Complete { consumed }) =
                    parser.parse(black_box(&bytes[at..]), &mut args)
                {
                    at += consumed;
                }
                assert_eq!(at, bytes.len());
            });
        });
    }
    group.finish();
}

fn encode_replies(criterion: &mut Criterion) {
    let mut reply = RespReply::new(false);
    criterion.bench_function("encode/bulk of 32 bytes", |bencher| {
        bencher.iter(|| {
            reply.clear();
            reply.bulk(black_box(b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
            black_box(reply.len())
        });
    });
    criterion.bench_function("encode/double", |bencher| {
        bencher.iter(|| {
            reply.clear();
            reply.double(black_box(0.1));
            black_box(reply.len())
        });
    });
}

criterion_group!(benches, parse_pipelines, encode_replies);
criterion_main!(benches);
