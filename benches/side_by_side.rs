//! `cargo bench --bench side_by_side`: redis-benchmark against innkeep and against the redis-server on `PATH`, in
//! turn, on the same machine and in the same run. It prints ratios, because absolute figures of a shared machine mean
//! nothing. It knows both servers as processes only.

use std::fs;
use std::io;
use std::process::{Command, ExitCode, Stdio};

use innkeep_test_server::{Launch, Server, find_program};

/// What is measured, by redis-benchmark's own names, and the name of its line in the output.
const TESTS: &[(&str, &str)] = &[
    ("ping_mbulk", "PING_MBULK"),
    ("set", "SET"),
    ("get", "GET"),
    ("incr", "INCR"),
    ("lpush", "LPUSH"),
    ("lpop", "LPOP"),
    ("sadd", "SADD"),
    ("hset", "HSET"),
    ("zadd", "ZADD"),
];

const PIPELINES: &[u32] = &[1, 16];

/// Each figure is the median of so many measurements.
const ROUNDS: usize = 5;

/// Commands a measurement, without and with a pipeline.
const REQUESTS: u32 = 50_000;
const PIPELINED_REQUESTS: u32 = 400_000;

const KEYS: &str = "100000";
const CLIENTS: &str = "50";

/// One measurement: commands a second, and the server's CPU time for each in microseconds (where /proc tells it).
#[derive(Debug, Clone, Copy)]
struct Figure {
    rate: f64,
    cpu: f64,
}

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("this measures for minutes: cargo bench --bench side_by_side");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("side_by_side: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let missing =
        |name: &str| io::Error::new(io::ErrorKind::NotFound, format!("{name} is not on PATH"));
    find_program("redis-benchmark").ok_or_else(|| missing("redis-benchmark"))?;
    let theirs = Launch::redis()
        .ok_or_else(|| missing("redis-server"))?
        .start()?;
    let ours = Launch::under_test(env!("CARGO_BIN_EXE_innkeep")).start()?;
    println!(
        "{} clients, {KEYS} keys, median of {ROUNDS}; reference: {}",
        CLIENTS,
        version()?
    );
    println!(
        "{:<12}{:>9}{:>14}{:>14}{:>8}{:>12}{:>12}{:>8}",
        "", "pipeline", "ours, 1/s", "theirs, 1/s", "ratio", "ours, µs", "theirs, µs", "ratio"
    );
    let mut logarithms = (0.0, 0.0, 0.0);
    for &pipeline in PIPELINES {
        for &(test, line) in TESTS {
            let (ours, theirs) = compare(&ours, &theirs, test, line, pipeline)?;
            let (rate, cpu) = (ours.rate / theirs.rate, ours.cpu / theirs.cpu);
            println!(
                "{test:<12}{pipeline:>9}{:>14.0}{:>14.0}{rate:>8.2}{:>12.2}{:>12.2}{cpu:>8.2}",
                ours.rate, theirs.rate, ours.cpu, theirs.cpu
            );
            logarithms = (
                logarithms.0 + rate.ln(),
                logarithms.1 + cpu.ln(),
                logarithms.2 + 1.0,
            );
        }
    }
    let (rate, cpu) = (
        (logarithms.0 / logarithms.2).exp(),
        (logarithms.1 / logarithms.2).exp(),
    );
    println!("geometric mean: throughput {rate:.2} x, CPU for a command {cpu:.2} x");
    Ok(())
}

fn version() -> io::Result<String> {
    let output = Command::new("redis-server").arg("--version").output()?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" "))
}

/// The medians of both servers, measured in alternation.
fn compare(
    ours: &Server,
    theirs: &Server,
    test: &str,
    line: &str,
    pipeline: u32,
) -> io::Result<(Figure, Figure)> {
    let mut figures = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        figures.0.push(measure(ours, test, line, pipeline)?);
        figures.1.push(measure(theirs, test, line, pipeline)?);
    }
    Ok((median(&figures.0), median(&figures.1)))
}

fn median(figures: &[Figure]) -> Figure {
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Figure {
        rate: middle(figures.iter().map(|figure| figure.rate).collect()),
        cpu: middle(figures.iter().map(|figure| figure.cpu).collect()),
    }
}

fn measure(server: &Server, test: &str, line: &str, pipeline: u32) -> io::Result<Figure> {
    let requests = if pipeline == 1 {
        REQUESTS
    } else {
        PIPELINED_REQUESTS
    };
    let before = cpu_seconds(server);
    let output = Command::new("redis-benchmark")
        .args([
            "-p",
            &server.port().to_string(),
            "-c",
            CLIENTS,
            "-r",
            KEYS,
            "--csv",
        ])
        .args([
            "-n",
            &requests.to_string(),
            "-P",
            &pipeline.to_string(),
            "-t",
            test,
        ])
        .stdin(Stdio::null())
        .output()?;
    let cpu = cpu_seconds(server) - before;
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|row| {
        let mut cells = row.split(',').map(|cell| cell.trim_matches('"'));
        let name = cells.next()?;
        // LPUSH has a line for the pushes that fill the list of another test, too.
        if name == line {
            cells.next()?.parse().ok()
        } else {
            None
        }
    });
    let rate = rate.ok_or_else(|| {
        io::Error::other(format!("redis-benchmark says nothing of {line}: {text}"))
    })?;
    Ok(Figure {
        rate,
        cpu: cpu * 1e6 / f64::from(requests),
    })
}

/// The CPU time that the server has used; nothing where there is no /proc.
fn cpu_seconds(server: &Server) -> f64 {
    /// What the fields of /proc/PID/stat count in, on Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = fs::read_to_string(format!("/proc/{}/stat", server.id())).unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / TICKS_PER_SECOND
}
