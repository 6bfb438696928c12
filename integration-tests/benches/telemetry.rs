//! Cost of telemetry: messages a second through a node with the fake engine, with metrics and traces at their defaults,
//! with all messages traced, and without any, in turn.
//!
//! The collector is a stub socket, so that a real one does not compete for cores.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
};

use anyhow::{Context, Result, ensure};
use babelmesh_integration_tests::{MachineLock, executables, repository};
use serde_json::Value;

const ROUNDS: usize = 7;
const MESSAGES: &str = "300000";

fn main() -> Result<()> {
    let _turn = MachineLock::wait();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!(
        "telemetry.traces.endpoint=http://{}",
        listener.local_addr()?
    );
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || thank(stream));
        }
    });
    let traced = [
        "http.listen=127.0.0.1:0",
        endpoint.as_str(),
        "telemetry.traces.protocol=http",
    ];
    let all: Vec<_> = traced
        .iter()
        .copied()
        .chain(["telemetry.traces.sampling_ratio=1"])
        .collect();
    // The first run of all pays for what is not in memory yet.
    messages_per_second(&[])?;
    let mut shares = Vec::new();
    for _ in 0..ROUNDS {
        let (off, on) = (messages_per_second(&[])?, messages_per_second(&traced)?);
        let everything = messages_per_second(&all)?;
        shares.push(on / off);
        println!(
            "off {off:.0}/s, on {on:.0}/s ({:.1} %), every message traced {everything:.0}/s ({:.1} %)",
            100.0 * on / off,
            100.0 * everything / off
        );
    }
    shares.sort_by(f64::total_cmp);
    println!(
        "median of on against off: {:.1} %",
        100.0 * shares[ROUNDS / 2]
    );
    Ok(())
}

fn messages_per_second(sets: &[&str]) -> Result<f64> {
    let mut command = Command::new(executables::babelmesh());
    command
        .current_dir(repository())
        .args(["load", "--with-node", "--json", "--to", "fr"])
        .args(["--in-flight", "8000", "--messages", MESSAGES])
        .args(["--set", "engine.kind=fake"]);
    for set in sets {
        command.args(["--set", set]);
    }
    let output = command.output().context("starting babelmesh")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(report["lost"] == 0 && report["duplicates"] == 0, "{report}");
    report["answersPerSecond"]
        .as_f64()
        .context("the report has no rate")
}

/// Takes whatever is posted.
fn thank(stream: TcpStream) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim().to_ascii_lowercase().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().ok()?,
                Some(_) => {}
                None if line.trim().is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let thanks =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        writer.write_all(thanks).ok()?;
    }
}
