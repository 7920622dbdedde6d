// SPDX-License-Identifier: GPL-2.0 OR MIT
//! kvbm-peer: kvbm-logical's side of the comparison; see tools/bench/Makefile.

mod bench;
mod decode;
mod groups;
mod journal;
mod manager;
mod run;
mod script;

use std::env;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::ExitCode;

use journal::Journal;
use script::Script;

const USAGE: &str = "usage: kvbm-peer bench [--no-tracker] | kvbm-peer [--journal FILE] [--print FIRST:LAST] [--every N] SCRIPT";

fn parse_range(text: &str) -> Result<(u64, u64), String> {
    let (first, last) = text.split_once(':').ok_or(USAGE)?;
    let first = first.parse().map_err(|_| USAGE)?;
    Ok((first, last.parse().map_err(|_| USAGE)?))
}

fn run_script(arguments: &mut dyn Iterator<Item = String>) -> Result<(), String> {
    let mut journal = Journal::new();
    let mut path = None;

    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--journal" => {
                let name = value()?;
                let file = File::create(&name).map_err(|error| format!("{name}: {error}"))?;
                journal.file = Some(BufWriter::new(file));
            }
            "--print" => (journal.first, journal.last) = parse_range(&value()?)?,
            "--every" => journal.every = value()?.parse().map_err(|_| USAGE)?,
            _ => path = Some(argument),
        }
    }
    run::run(&mut Script::open(&path.ok_or(USAGE)?)?, &mut journal)?;
    if let Some(mut file) = journal.file.take() {
        file.flush().map_err(|error| error.to_string())?;
    }
    println!("{} operations, digest {:016x}", journal.op, journal.all);
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1).peekable();
    let result = if arguments.peek().is_some_and(|word| word == "bench") {
        bench::run(!arguments.any(|word| word == "--no-tracker"))
    } else {
        run_script(&mut arguments)
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kvbm-peer: {error}");
            ExitCode::FAILURE
        }
    }
}
