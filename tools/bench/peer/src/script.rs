// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Reading a script (../script/ops.h).

use std::fs::File;
use std::io::{BufRead, BufReader};

use kvbm_logical::SequenceHash;

pub struct Script {
    lines: Box<dyn BufRead>,
    pub policy: String,
    pub reject: bool,
    pub hashes: Vec<SequenceHash>,
    pub parents: Vec<Option<usize>>,
    pub line: String,
    pub numbers: Vec<usize>,
}

fn next_line(lines: &mut dyn BufRead, line: &mut String) -> Result<bool, String> {
    line.clear();
    let length = lines.read_line(line).map_err(|error| error.to_string())?;
    while line.ends_with('\n') {
        line.pop();
    }
    Ok(length > 0)
}

fn field(lines: &mut dyn BufRead, name: &str) -> Result<String, String> {
    let mut line = String::new();
    next_line(lines, &mut line)?;
    match line.split_once(' ') {
        Some((first, rest)) if first == name => Ok(rest.to_string()),
        _ => Err(format!("script: no {name}")),
    }
}

impl Script {
    pub fn open(path: &str) -> Result<Self, String> {
        let mut lines: Box<dyn BufRead> = if path == "-" {
            Box::new(BufReader::new(std::io::stdin()))
        } else {
            let file = File::open(path).map_err(|error| format!("{path}: {error}"))?;
            Box::new(BufReader::new(file))
        };
        let mut line = String::new();

        next_line(&mut lines, &mut line)?;
        if line != "kvbm-script 1" {
            return Err("not a script".to_string());
        }
        let policy = field(&mut lines, "policy")?;
        let reject = field(&mut lines, "duplicates")? == "reject";
        let count: usize = field(&mut lines, "nodes")?
            .parse()
            .map_err(|_| "script: nodes")?;
        let mut script = Script {
            lines,
            policy,
            reject,
            hashes: Vec::with_capacity(count),
            parents: Vec::with_capacity(count),
            line,
            numbers: Vec::new(),
        };
        script.read_nodes(count)?;
        field(&mut script.lines, "ops")?;
        Ok(script)
    }

    fn read_nodes(&mut self, count: usize) -> Result<(), String> {
        let mut current: Vec<u64> = Vec::with_capacity(count);
        let mut position: Vec<u64> = Vec::with_capacity(count);

        for _ in 0..count {
            next_line(&mut self.lines, &mut self.line)?;
            let mut words = self.line.split(' ');
            let hash = words
                .next()
                .and_then(|word| u64::from_str_radix(word, 16).ok());
            let parent = words.next().and_then(|word| word.parse::<i64>().ok());
            let (Some(hash), Some(parent)) = (hash, parent) else {
                return Err(format!("script: node {}", self.line));
            };
            let parent = usize::try_from(parent).ok();
            let at = parent.map_or(0, |parent| position[parent] + 1);
            self.hashes.push(SequenceHash::new(
                hash,
                parent.map(|parent| current[parent]),
                at,
            ));
            self.parents.push(parent);
            current.push(hash);
            position.push(at);
        }
        Ok(())
    }

    /// The next operation: its letter.
    pub fn next(&mut self) -> Result<Option<char>, String> {
        if !next_line(&mut self.lines, &mut self.line)? {
            return Ok(None);
        }
        let mut words = self.line.split_ascii_whitespace();
        let letter = words.next().and_then(|word| word.chars().next());
        self.numbers.clear();
        for word in words {
            let number = word.parse().map_err(|_| format!("script: {}", self.line))?;
            self.numbers.push(number);
        }
        Ok(letter)
    }
}
