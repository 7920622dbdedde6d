// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What operations had for results; the same as ours/script.h.

use std::fs::File;
use std::io::{BufWriter, Write};

use kvbm_logical::SequenceHash;

/// splitmix64, as tools/common/mix.h has it.
pub fn mix64(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

pub struct Journal {
    pub file: Option<BufWriter<File>>,
    pub first: u64,
    pub last: u64,
    pub every: u64,
    pub op: u64,
    pub all: u64,
    digest: u64,
    text: String,
}

impl Journal {
    pub fn new() -> Self {
        Journal {
            file: None,
            first: 1,
            last: 0,
            every: 0,
            op: 0,
            all: 0,
            digest: 0,
            text: String::new(),
        }
    }

    fn prints(&self) -> bool {
        self.op >= self.first && self.op <= self.last
    }

    pub fn begin(&mut self, line: &str) {
        self.digest = 0;
        if self.prints() {
            self.text = format!("{}: {} =>", self.op, line);
        }
    }

    pub fn add(&mut self, value: u64) {
        self.digest = mix64(self.digest ^ value);
        if self.prints() {
            self.text.push_str(&format!(" {value}"));
        }
    }

    pub fn hash(&mut self, hash: SequenceHash) {
        let raw = hash.as_u128();
        self.digest = mix64(self.digest ^ (raw >> 64) as u64);
        self.digest = mix64(self.digest ^ raw as u64);
        if self.prints() {
            self.text.push_str(&format!(" {raw:032x}"));
        }
    }

    /// A word in front of numbers, for people.
    pub fn word(&mut self, word: &str) {
        if self.prints() {
            self.text.push(' ');
            self.text.push_str(word);
        }
    }

    pub fn end(&mut self) -> std::io::Result<()> {
        if self.prints() {
            println!("{}", self.text);
        }
        if let Some(file) = &mut self.file {
            file.write_all(&self.digest.to_le_bytes())?;
        }
        self.all = mix64(self.all ^ self.digest);
        self.op += 1;
        if self.every != 0 && self.op.is_multiple_of(self.every) {
            println!("{} {:016x}", self.op, self.all);
        }
        Ok(())
    }
}
