//! Checks the header and the section lengths of a WebAssembly file: which kind it is, and whether it is complete. Does not check the
//! contents of sections. Computes its digest.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Largest component, bytes.
pub const MAX_COMPONENT_BYTES: usize = 64 * 1024 * 1024;

/// What the header says the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Component,
    CoreModule,
}

/// Why the bytes are no complete WebAssembly file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BinaryError {
    #[error("the file is empty")]
    Empty,
    #[error("the file does not begin with \\0asm")]
    NotWasm,
    #[error("the file is of an unknown version of the binary format")]
    UnknownVersion,
    /// The file may still be being written.
    #[error("the file ends in the middle of a section, at byte {at}")]
    Truncated { at: usize },
    #[error("the section at byte {at} has a broken length")]
    BrokenLength { at: usize },
}

impl BinaryError {
    /// Returns true if a file that is still being written may look like this.
    #[must_use]
    pub fn may_be_unfinished(self) -> bool {
        matches!(self, Self::Empty | Self::Truncated { .. })
    }
}

/// Walks the sections: each is an id, a length and as many bytes. The last must end where the file ends.
pub fn inspect(bytes: &[u8]) -> Result<Kind, BinaryError> {
    const MAGIC: &[u8] = b"\0asm";
    if bytes.is_empty() {
        return Err(BinaryError::Empty);
    }
    let head = bytes.get(..8).unwrap_or(bytes);
    if !head.iter().zip(MAGIC).all(|(a, b)| a == b) {
        return Err(BinaryError::NotWasm);
    }
    let kind = match head.get(4..8) {
        None => return Err(BinaryError::Truncated { at: bytes.len() }),
        Some([1, 0, 0, 0]) => Kind::CoreModule,
        Some([0x0d, 0, 1, 0]) => Kind::Component,
        Some(_) => return Err(BinaryError::UnknownVersion),
    };
    let mut at = 8;
    while at < bytes.len() {
        let (length, begin) = length(bytes, at + 1)?;
        at = begin.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(BinaryError::Truncated { at })?;
    }
    Ok(kind)
}

/// An unsigned LEB128 of at most 32 bits, and where it ends.
fn length(bytes: &[u8], from: usize) -> Result<(usize, usize), BinaryError> {
    let mut value = 0_u64;
    for (n, at) in (from..).take(5).enumerate() {
        let byte = *bytes.get(at).ok_or(BinaryError::Truncated { at: from })?;
        value |= u64::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| BinaryError::BrokenLength { at: from })?;
            return Ok((value as usize, at + 1));
        }
    }
    Err(BinaryError::BrokenLength { at: from })
}

/// `sha256:…` of these bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::from("sha256:"), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn the_frame_of_a_file_is_judged_without_compiling_it() {
        let with = |tail: &[u8]| [COMPONENT, tail].concat();
        for (bytes, expect) in [
            (COMPONENT.to_vec(), Ok(Kind::Component)),
            (b"\0asm\x01\0\0\0".to_vec(), Ok(Kind::CoreModule)),
            (with(&[0, 2, 1, 1]), Ok(Kind::Component)),
            (with(&[0, 2, 1, 1, 0, 0]), Ok(Kind::Component)),
            (with(&[0, 2, 1]), Err(BinaryError::Truncated { at: 8 })),
            (with(&[0]), Err(BinaryError::Truncated { at: 9 })),
            (with(&[0, 0x80]), Err(BinaryError::Truncated { at: 9 })),
            (with(&[0, 0x80, 0x80, 0x80, 0x80, 0x80]), Err(BinaryError::BrokenLength { at: 9 })),
            (with(&[0, 0xff, 0xff, 0xff, 0xff, 0x7f]), Err(BinaryError::BrokenLength { at: 9 })),
            (b"\0as".to_vec(), Err(BinaryError::Truncated { at: 3 })),
            (b"\0asm\x0c\0\x01\0".to_vec(), Err(BinaryError::UnknownVersion)),
            (b"hello, world".to_vec(), Err(BinaryError::NotWasm)),
            (vec![], Err(BinaryError::Empty)),
        ] {
            assert_eq!(inspect(&bytes), expect, "{bytes:?}");
        }
    }
}
