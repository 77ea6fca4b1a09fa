//! `test` and `[`: questions with a status for an answer.

use std::{fs, os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _}};

/// The status of `test WORD...`: 0 true, 1 false, 2 a bad question with its message.
pub(crate) fn test(words: &[String]) -> Result<bool, String> {
    if words.is_empty() {
        return Ok(false);
    }
    let mut reader = Reader { words, at: 0 };
    let answer = reader.either()?;
    match reader.words.get(reader.at) {
        None => Ok(answer),
        Some(word) => Err(format!("{word}: unexpected operator")),
    }
}

struct Reader<'a> {
    words: &'a [String],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<&str> {
        self.words.get(self.at + ahead).map(String::as_str)
    }

    fn either(&mut self) -> Result<bool, String> {
        let mut answer = self.both()?;
        while self.peek(0) == Some("-o") {
            self.at += 1;
            answer |= self.both()?;
        }
        Ok(answer)
    }

    fn both(&mut self) -> Result<bool, String> {
        let mut answer = self.not()?;
        while self.peek(0) == Some("-a") {
            self.at += 1;
            answer &= self.not()?;
        }
        Ok(answer)
    }

    fn not(&mut self) -> Result<bool, String> {
        if self.peek(0) == Some("!") && self.peek(1).is_some() && !self.peek(1).is_some_and(is_binary) {
            self.at += 1;
            return Ok(!self.not()?);
        }
        if self.peek(0) == Some("(") && !self.peek(1).is_some_and(is_binary) {
            self.at += 1;
            let answer = self.either()?;
            if self.peek(0) != Some(")") {
                return Err("closing paren expected".to_owned());
            }
            self.at += 1;
            return Ok(answer);
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<bool, String> {
        let first = self.peek(0).ok_or("argument expected")?.to_owned();
        if let Some(operator) = self.peek(1).filter(|word| is_binary(word)).map(str::to_owned)
            && let Some(second) = self.peek(2).map(str::to_owned)
        {
            self.at += 3;
            return compare(&first, &operator, &second);
        }
        let unary = first.len() == 2 && first.starts_with('-') && "bcdefghknprstuwxzLOGS".contains(&first[1..]);
        if unary && let Some(operand) = self.peek(1).map(str::to_owned) {
            self.at += 2;
            return Ok(question(&first, &operand));
        }
        self.at += 1;
        Ok(!first.is_empty())
    }
}

fn is_binary(word: &str) -> bool {
    matches!(
        word,
        "=" | "==" | "!=" | "<" | ">" | "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge" | "-nt" | "-ot" | "-ef"
    )
}

fn compare(first: &str, operator: &str, second: &str) -> Result<bool, String> {
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| format!("{text}: bad number"));
    let time = |path: &str| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    Ok(match operator {
        "=" | "==" => first == second,
        "!=" => first != second,
        "<" => first < second,
        ">" => first > second,
        "-eq" => number(first)? == number(second)?,
        "-ne" => number(first)? != number(second)?,
        "-lt" => number(first)? < number(second)?,
        "-le" => number(first)? <= number(second)?,
        "-gt" => number(first)? > number(second)?,
        "-ge" => number(first)? >= number(second)?,
        "-nt" => time(first) > time(second),
        "-ot" => time(first) < time(second),
        _ => match (fs::metadata(first), fs::metadata(second)) {
            (Ok(first), Ok(second)) => first.dev() == second.dev() && first.ino() == second.ino(),
            _ => false,
        },
    })
}

fn question(operator: &str, operand: &str) -> bool {
    use nix::unistd::{AccessFlags, access};
    match operator {
        "-n" => return !operand.is_empty(),
        "-z" => return operand.is_empty(),
        "-t" => return operand.parse().is_ok_and(crate::sys::is_terminal),
        "-r" => return access(operand, AccessFlags::R_OK).is_ok(),
        "-w" => return access(operand, AccessFlags::W_OK).is_ok(),
        "-x" => return access(operand, AccessFlags::X_OK).is_ok(),
        "-h" | "-L" => return fs::symlink_metadata(operand).is_ok_and(|meta| meta.is_symlink()),
        _ => {}
    }
    let Ok(meta) = fs::metadata(operand) else { return false };
    match operator {
        "-e" => true,
        "-f" => meta.is_file(),
        "-d" => meta.is_dir(),
        "-s" => meta.len() > 0,
        "-b" => meta.file_type().is_block_device(),
        "-c" => meta.file_type().is_char_device(),
        "-p" => meta.file_type().is_fifo(),
        "-S" => meta.file_type().is_socket(),
        "-u" => meta.permissions().mode() & 0o4000 != 0,
        "-g" => meta.permissions().mode() & 0o2000 != 0,
        "-k" => meta.permissions().mode() & 0o1000 != 0,
        "-O" => meta.uid() == nix::unistd::geteuid().as_raw(),
        "-G" => meta.gid() == nix::unistd::getegid().as_raw(),
        _ => false,
    }
}
