//! The host's kubectl, which the workstation borrows when it is asked to.
//!
//! The workstation has no libraries of the host's, so only a program that needs none runs there: the official builds do not, some
//! distributions' packages do, and wrapper scripts never work.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Why there is no kubectl.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// None on PATH.
    #[error("kubectl is not on PATH")]
    NotInstalled,
    /// Those on PATH are scripts, or need libraries.
    #[error("{} needs libraries or an interpreter of this computer, so it does not run in the cluster", .0.display())]
    NotStatic(PathBuf),
}

/// The first kubectl on PATH that runs anywhere.
///
/// # Errors
/// When there is none, or only some that need more than themselves.
pub fn find() -> Result<PathBuf, Missing> {
    let mut needy = None;
    for path in super::find_programs("kubectl") {
        if is_static(&path).unwrap_or(false) {
            return Ok(path);
        }
        needy.get_or_insert(path);
    }
    Err(needy.map_or(Missing::NotInstalled, Missing::NotStatic))
}

/// Whether a file is a 64-bit little-endian ELF program that asks for no interpreter (`PT_INTERP`), which is what loads libraries.
fn is_static(path: &Path) -> io::Result<bool> {
    const INTERPRETER: u32 = 3;
    let mut file = File::open(path)?;
    let mut header = [0; 64];
    file.read_exact(&mut header)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(false);
    }
    let half = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let mut offset = [0; 8];
    offset.copy_from_slice(&header[32..40]);
    let (offset, size, count) = (u64::from_le_bytes(offset), half(54), half(56));
    for index in 0..count {
        let mut kind = [0; 4];
        file.read_exact_at(&mut kind, offset.saturating_add(index * size))?;
        if u32::from_le_bytes(kind) == INTERPRETER {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_programs_with_libraries_do_not_run_anywhere() {
        let directory = tempfile::tempdir().unwrap();
        let elf = |kind: u32| {
            let mut bytes = [b"\x7fELF\x02\x01".as_slice(), &[0; 58], &kind.to_le_bytes(), &[0; 52]].concat();
            bytes[32] = 64;
            bytes[54] = 56;
            bytes[56] = 1;
            bytes
        };
        for (bytes, wanted) in [(elf(1), true), (elf(3), false), ([b"#!/bin/sh\n".as_slice(), &[b' '; 60]].concat(), false)] {
            let path = directory.path().join("kubectl");
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(is_static(&path).unwrap(), wanted);
        }
    }
}
