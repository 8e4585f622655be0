//! Searches the memory of a running program.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
};

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 1024 * 1024;

/// The memory mappings, as the system names them, that contain these bytes.
pub(crate) fn places(pid: u32, pattern: &[u8]) -> io::Result<Vec<String>> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let written = maps.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|mode| mode.starts_with("rw")));
    let mut found = Vec::new();
    for mapping in written {
        let range = mapping.split_whitespace().next().and_then(|range| range.split_once('-'));
        let Some((from, to)) = range else { continue };
        let address = |text| u64::from_str_radix(text, 16).map_err(io::Error::other);
        if has(&memory, address(from)?, address(to)?, pattern) {
            found.push(mapping.to_owned());
        }
    }
    Ok(found)
}

/// Returns false for memory that cannot be read, for example a mapping that was removed meanwhile.
fn has(memory: &File, from: u64, to: u64, pattern: &[u8]) -> bool {
    let nothing = vec![0; PIECE_BYTES];
    let mut piece = vec![0; PIECE_BYTES];
    // Pieces overlap, so that no match between two is missed.
    let mut at = from;
    while at < to {
        let Ok(read) = memory.read_at(&mut piece, at) else { return false };
        let bytes = &piece[..read];
        // Most of the mapped memory was never used.
        if bytes != &nothing[..read] && find(bytes, pattern) {
            return true;
        }
        let step = if read == PIECE_BYTES { read - pattern.len() } else { read.max(1) };
        at += step as u64;
    }
    false
}

fn find(mut bytes: &[u8], pattern: &[u8]) -> bool {
    let Some((first, _)) = pattern.split_first() else { return false };
    // Searching for one byte is fast even without optimisation; so is comparing.
    while let Some(at) = bytes.iter().position(|byte| byte == first) {
        bytes = &bytes[at..];
        if bytes.starts_with(pattern) {
            return true;
        }
        bytes = &bytes[1..];
    }
    false
}
