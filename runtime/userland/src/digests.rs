//! md5sum, sha1sum, sha256sum, sha512sum, base64.

use std::{fmt::Write as _, io::Read};

use base64::{Engine as _, alphabet, engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD}};
use sha2::{Digest as _, Sha256};

use crate::{applets::Arguments, complain, sys, text};

pub(crate) fn sha256sum(words: &[String]) -> i32 {
    sums(words, |bytes| Sha256::digest(bytes).to_vec())
}

pub(crate) fn sha512sum(words: &[String]) -> i32 {
    sums(words, |bytes| sha2::Sha512::digest(bytes).to_vec())
}

pub(crate) fn sha1sum(words: &[String]) -> i32 {
    sums(words, sha1)
}

/// The SHA-1 sum.
pub(crate) fn sha1(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

pub(crate) fn md5sum(words: &[String]) -> i32 {
    sums(words, |bytes| md5(bytes).to_vec())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all that is written to it");
        text
    })
}

/// `...sum [-c] [FILE]...`
fn sums(words: &[String], digest: fn(&[u8]) -> Vec<u8>) -> i32 {
    let Some(arguments) = Arguments::parse(words, "cbts", &[("check", 'c')]) else { return 1 };
    if !arguments.has('c') {
        return text::each_input(words, &arguments.operands, |path, mut input| {
            let mut bytes = Vec::new();
            input.read_to_end(&mut bytes)?;
            println!("{}  {path}", hex(&digest(&bytes)));
            Ok(())
        });
    }
    let (lines, mut status) = text::all_lines(words, &arguments.operands);
    for line in lines {
        let Some((wanted, path)) = line.split_once([' ', '\t']) else { continue };
        let path = path.trim_start_matches([' ', '*']);
        let good = std::fs::read(path).is_ok_and(|bytes| hex(&digest(&bytes)) == wanted);
        println!("{path}: {}", if good { "OK" } else { "FAILED" });
        status |= i32::from(!good);
    }
    status
}

/// `base64 [-d] [-w COLUMNS] [FILE]`
pub(crate) fn base64(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "dDw:i", &[("decode", 'd'), ("wrap", 'w')]) else { return 1 };
    let wrap: usize = arguments.value('w').and_then(|number| number.parse().ok()).unwrap_or(76);
    text::each_input(words, &arguments.operands, |_, mut input| {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        if arguments.has('d') || arguments.has('D') {
            bytes.retain(|byte| !byte.is_ascii_whitespace());
            let lenient = GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));
            return match lenient.decode(&bytes) {
                Ok(decoded) => sys::write_all(1, &decoded),
                Err(_) => {
                    complain("base64", "invalid input");
                    Err(std::io::ErrorKind::InvalidData.into())
                }
            };
        }
        let encoded = STANDARD.encode(&bytes);
        if wrap == 0 {
            return sys::write_all(1, encoded.as_bytes());
        }
        for line in encoded.as_bytes().chunks(wrap) {
            sys::write_all(1, line)?;
            sys::write_all(1, b"\n")?;
        }
        Ok(())
    })
}

/// MD5, as RFC 1321 has it: only to compare files.
pub(crate) fn md5(message: &[u8]) -> [u8; 16] {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let mut state: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((message.len() as u64).wrapping_mul(8).to_le_bytes());
    for block in padded.chunks_exact(64) {
        let words: Vec<u32> = block.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..64_usize {
            let (mixed, index) = match step / 16 {
                0 => (b & c | !b & d, step),
                1 => (d & b | !d & c, (5 * step + 1) % 16),
                2 => (b ^ c ^ d, (3 * step + 5) % 16),
                _ => (c ^ (b | !d), 7 * step % 16),
            };
            let constant = (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
            let sum = a.wrapping_add(mixed).wrapping_add(constant).wrapping_add(words[index]);
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(SHIFTS[step / 16][step % 4]));
        }
        for (part, added) in state.iter_mut().zip([a, b, c, d]) {
            *part = part.wrapping_add(added);
        }
    }
    let mut out = [0; 16];
    for (four, part) in out.chunks_exact_mut(4).zip(state) {
        four.copy_from_slice(&part.to_le_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_has_its_known_values() {
        let cases = [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        ];
        for (text, wanted) in cases {
            assert_eq!(hex(&md5(text.as_bytes())), wanted);
        }
    }
}
