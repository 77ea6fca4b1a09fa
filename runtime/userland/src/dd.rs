//! dd and truncate: bytes copied in blocks, and files made a size.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::fd::AsFd as _,
    time::Instant,
};

use nix::sys::signal::Signal;

use crate::{applets::Arguments, complain, sys};

/// What dd's operands ask for.
#[derive(Debug, PartialEq, Eq)]
struct Job {
    input: Option<String>,
    output: Option<String>,
    /// Sizes of the blocks that are read and written.
    read_size: usize,
    write_size: usize,
    /// Blocks to copy; all when there is no number.
    count: Option<u64>,
    /// Bytes to read, where the count is one of bytes.
    most: Option<u64>,
    /// Bytes to leave out at the start of the input and of the output.
    skip: u64,
    seek: u64,
    keep_rest: bool,
    go_on: bool,
    pad: bool,
    swap: bool,
    sync: bool,
    fill: bool,
    append: bool,
    /// Lines of the account at the end: none, without the last, all.
    account: Account,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Account {
    None,
    Records,
    All,
}

/// Why an operand is not taken.
#[derive(Debug, PartialEq, Eq)]
struct Refused(String);

impl Job {
    fn parse(words: &[String]) -> Result<Self, Refused> {
        let mut job = Self {
            input: None, output: None, read_size: 512, write_size: 512, count: None, most: None, skip: 0, seek: 0, keep_rest: false, go_on: false,
            pad: false, swap: false, sync: false, fill: false, append: false, account: Account::All,
        };
        let (mut skip, mut seek, mut skip_bytes, mut seek_bytes, mut count_bytes) = (0, 0, false, false, false);
        let mut both = None;
        for word in words.iter().filter(|word| *word != "--") {
            let (name, value) = word.split_once('=').ok_or_else(|| Refused(format!("unrecognized operand '{word}'")))?;
            let list = value.split(',');
            let refused = |flag: &str| Refused(format!("invalid argument '{flag}' to '{name}'"));
            match name {
                "if" => job.input = Some(value.to_owned()),
                "of" => job.output = Some(value.to_owned()),
                "bs" => both = Some(block(value)?),
                "ibs" => job.read_size = block(value)?,
                "obs" => job.write_size = block(value)?,
                "count" => job.count = Some(number(value)?),
                "skip" | "iseek" => skip = number(value)?,
                "seek" | "oseek" => seek = number(value)?,
                "status" => {
                    job.account = match value {
                        "none" => Account::None,
                        "noxfer" => Account::Records,
                        "progress" => Account::All,
                        _ => return Err(refused(value)),
                    };
                }
                "conv" => {
                    for flag in list {
                        match flag {
                            "notrunc" => job.keep_rest = true,
                            "noerror" => job.go_on = true,
                            "sync" => job.pad = true,
                            "swab" => job.swap = true,
                            "fsync" | "fdatasync" => job.sync = true,
                            _ => return Err(refused(flag)),
                        }
                    }
                }
                "iflag" => {
                    for flag in list {
                        match flag {
                            "fullblock" => job.fill = true,
                            "skip_bytes" => skip_bytes = true,
                            "count_bytes" => count_bytes = true,
                            "direct" => {}
                            _ => return Err(refused(flag)),
                        }
                    }
                }
                "oflag" => {
                    for flag in list {
                        match flag {
                            "seek_bytes" => seek_bytes = true,
                            "append" => job.append = true,
                            "sync" | "dsync" => job.sync = true,
                            "direct" => {}
                            _ => return Err(refused(flag)),
                        }
                    }
                }
                _ => return Err(Refused(format!("unrecognized operand '{word}'"))),
            }
        }
        if let Some(size) = both {
            (job.read_size, job.write_size) = (size, size);
        }
        let bytes = |blocks: u64, size: usize, plain: bool| if plain { blocks } else { blocks.saturating_mul(size as u64) };
        job.skip = bytes(skip, job.read_size, skip_bytes);
        job.seek = bytes(seek, job.write_size, seek_bytes);
        if count_bytes {
            job.most = job.count.take();
        }
        Ok(job)
    }
}

/// The size of a block, which is at least one byte and fits in memory.
fn block(text: &str) -> Result<usize, Refused> {
    let size = number(text)?;
    let refused = || Refused(format!("number {text} is not in 1..{} range", i32::MAX));
    usize::try_from(size).ok().filter(|size| (1..=i32::MAX as usize).contains(size)).ok_or_else(refused)
}

/// `512`, `4k`, `1M`, `2x512`: numbers as dd takes them.
fn number(text: &str) -> Result<u64, Refused> {
    let refused = || Refused(format!("invalid number '{text}'"));
    let factors = text.split('x').map(|factor| {
        let end = factor.find(|next: char| !next.is_ascii_digit()).unwrap_or(factor.len());
        let (digits, suffix) = factor.split_at(end);
        let unit: u64 = match suffix {
            "" | "c" => 1,
            "w" => 2,
            "b" => 512,
            "k" | "K" | "KiB" => 1 << 10,
            "kB" | "KB" | "kD" => 1_000,
            "M" | "MiB" => 1 << 20,
            "MB" | "MD" => 1_000_000,
            "G" | "GiB" => 1 << 30,
            "GB" | "GD" => 1_000_000_000,
            "T" | "TiB" => 1 << 40,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(unit)
    });
    factors.reduce(|left, right| left?.checked_mul(right?)).flatten().ok_or_else(refused)
}

/// Blocks and bytes that went through.
#[derive(Debug, Default)]
struct Copied {
    read_whole: u64,
    read_part: u64,
    wrote_whole: u64,
    wrote_part: u64,
    bytes: u64,
}

impl Copied {
    /// The account in BusyBox's words.
    fn tell(&self, account: Account, begun: Instant) {
        if account == Account::None {
            return;
        }
        let mut text = format!("{}+{} records in\n{}+{} records out\n", self.read_whole, self.read_part, self.wrote_whole, self.wrote_part);
        if account == Account::All {
            let seconds = begun.elapsed().as_secs_f64().max(0.000_001);
            let rate = (self.bytes as f64 / seconds) as u64;
            text.push_str(&format!("{} bytes ({}B) copied, {seconds:.6} seconds, {}B/s\n", self.bytes, size_text(self.bytes), size_text(rate)));
        }
        drop(sys::write_all(2, text.as_bytes()));
    }
}

/// A size with one place behind the point, and its unit.
fn size_text(bytes: u64) -> String {
    if bytes < 1024 {
        return bytes.to_string();
    }
    let (mut whole, mut rest, mut unit) = (bytes, 0, 0);
    while whole >= 1024 && unit < 6 {
        rest = (whole % 1024 * 10 + 512) / 1024;
        whole /= 1024;
        unit += 1;
    }
    if rest >= 10 {
        (whole, rest) = (whole + 1, 0);
    }
    format!("{whole}.{rest}{}", &" KMGTPE"[unit..=unit])
}

/// `dd [if=FILE] [of=FILE] [bs=N] [count=N] [skip=N] [seek=N] [conv=...] [iflag=...] [oflag=...] [status=...]`
pub(crate) fn dd(words: &[String]) -> i32 {
    let job = match Job::parse(&words[1..]) {
        Ok(job) => job,
        Err(Refused(message)) => {
            complain("dd", message);
            return 1;
        }
    };
    let (input, output) = match open(&job) {
        Ok(files) => files,
        Err(message) => {
            complain("dd", message);
            return 1;
        }
    };
    sys::on_signal(Signal::SIGUSR1, sys::Disposition::Note);
    let (begun, mut copied) = (Instant::now(), Copied::default());
    let mut outcome = copy(&job, input, &output, &mut copied, begun);
    if outcome.is_ok() && job.sync {
        outcome = output.sync_all().map_err(|error| format!("fsync failed: {}", sys::reason(&error)));
    }
    let status = match outcome {
        Ok(()) => 0,
        Err(message) => {
            complain("dd", message);
            1
        }
    };
    copied.tell(job.account, begun);
    status
}

fn open(job: &Job) -> Result<(File, File), String> {
    let standard = |fd: i32| sys::borrow(fd).try_clone_to_owned().map(File::from);
    let cannot = |path: &str, error: &io::Error| format!("can't open '{path}': {}", sys::reason(error));
    let mut input = match &job.input {
        Some(path) => File::open(path).map_err(|error| cannot(path, &error))?,
        None => standard(0).map_err(|error| cannot("standard input", &error))?,
    };
    let mut output = match &job.output {
        Some(path) => {
            // What is before the place to begin stays, so the file is cut there and not at its start.
            let cut = !job.keep_rest && !job.append && job.seek == 0;
            let file = OpenOptions::new().write(true).append(job.append).create(true).truncate(cut).open(path).map_err(|error| cannot(path, &error))?;
            if !job.keep_rest && !job.append && job.seek > 0 && file.metadata().is_ok_and(|meta| meta.is_file()) {
                file.set_len(job.seek).map_err(|error| format!("{path}: {}", sys::reason(&error)))?;
            }
            file
        }
        None => standard(1).map_err(|error| cannot("standard output", &error))?,
    };
    if job.skip > 0 && input.seek(SeekFrom::Start(job.skip)).is_err() {
        let passed = io::copy(&mut (&mut input).take(job.skip), &mut io::sink());
        passed.map_err(|error| format!("{}: {}", job.input.as_deref().unwrap_or("standard input"), sys::reason(&error)))?;
    }
    if job.seek > 0 && !job.append {
        let name = job.output.as_deref().unwrap_or("standard output");
        output.seek(SeekFrom::Start(job.seek)).map_err(|error| format!("{name}: {}", sys::reason(&error)))?;
    }
    Ok((input, output))
}

/// Copies block by block; what was copied before a failure is counted.
fn copy(job: &Job, mut input: File, output: &File, copied: &mut Copied, begun: Instant) -> Result<(), String> {
    let in_name = job.input.as_deref().unwrap_or("standard input");
    let mut buffer = vec![0; job.read_size];
    // What was read and does not fill a block of the output yet.
    let mut waiting = Vec::new();
    let direct = job.read_size == job.write_size;
    let mut left = job.most.unwrap_or(u64::MAX);
    while job.count.is_none_or(|count| copied.read_whole + copied.read_part < count) {
        if sys::take_signal(Signal::SIGUSR1) {
            copied.tell(job.account, begun);
        }
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let mut length = match read_block(&mut input, &mut buffer[..wanted], job.fill) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) => {
                let said = format!("{in_name}: {}", sys::reason(&error));
                // What cannot be read is stepped over; where that is impossible, it would be met for ever.
                if !job.go_on || input.seek(SeekFrom::Current(job.read_size as i64)).is_err() {
                    return Err(said);
                }
                complain("dd", said);
                if !job.pad {
                    continue;
                }
                0
            }
        };
        left -= length as u64;
        if length == buffer.len() {
            copied.read_whole += 1;
        } else {
            copied.read_part += 1;
            if job.pad {
                buffer[length..].fill(0);
                length = buffer.len();
            }
        }
        if job.swap {
            buffer[..length].chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
        }
        if direct {
            write_block(job, output, &buffer[..length], copied)?;
            continue;
        }
        waiting.extend_from_slice(&buffer[..length]);
        let whole = waiting.len() / job.write_size * job.write_size;
        for block in waiting[..whole].chunks(job.write_size) {
            write_block(job, output, block, copied)?;
        }
        waiting.drain(..whole);
    }
    if waiting.is_empty() { Ok(()) } else { write_block(job, output, &waiting, copied) }
}

/// One read, or as many as fill the block.
fn read_block(input: &mut File, buffer: &mut [u8], fill: bool) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match input.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            // A request for an account; it is given before the next block.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        if !fill {
            break;
        }
    }
    Ok(length)
}

fn write_block(job: &Job, mut output: &File, block: &[u8], copied: &mut Copied) -> Result<(), String> {
    let mut rest = block;
    while !rest.is_empty() {
        match output.write(rest) {
            Ok(count) => {
                copied.bytes += count as u64;
                rest = &rest[count..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                copied.wrote_part += u64::from(rest.len() < block.len());
                return Err(format!("error writing '{}': {}", job.output.as_deref().unwrap_or("standard output"), sys::reason(&error)));
            }
        }
    }
    if block.len() == job.write_size { copied.wrote_whole += 1 } else { copied.wrote_part += 1 }
    Ok(())
}

/// `truncate [-c] -s [+|-]SIZE FILE...`
pub(crate) fn truncate(words: &[String]) -> i32 {
    sized(words, "cs:", 's', |file, size| {
        let now = file.metadata()?.len();
        let (sign, digits) = size.split_at(usize::from(size.starts_with(['+', '-'])));
        let size = number(digits).map_err(|Refused(message)| io::Error::other(message))?;
        file.set_len(match sign {
            "+" => now.saturating_add(size),
            "-" => now.saturating_sub(size),
            _ => size,
        })
    })
}

/// `fallocate -l SIZE FILE`: room that is taken at once.
pub(crate) fn fallocate(words: &[String]) -> i32 {
    sized(words, "l:o:", 'l', |file, size| {
        let size = number(size).map_err(|Refused(message)| io::Error::other(message))?;
        let size = i64::try_from(size).map_err(io::Error::other)?;
        nix::fcntl::posix_fallocate(file.as_fd(), 0, size).map_err(io::Error::from)
    })
}

fn sized(words: &[String], letters: &str, letter: char, set: impl Fn(&File, &str) -> io::Result<()>) -> i32 {
    let Some(arguments) = Arguments::parse(words, letters, &[("size", 's'), ("length", 'l'), ("no-create", 'c')]) else { return 1 };
    let applet = crate::base(&words[0]);
    let Some(size) = arguments.value(letter).filter(|_| !arguments.operands.is_empty()) else {
        complain(applet, format!("usage: {applet} -{letter} SIZE FILE"));
        return 1;
    };
    let mut status = 0;
    for path in &arguments.operands {
        let opened = OpenOptions::new().write(true).create(!arguments.has('c')).truncate(false).open(path);
        if let Err(error) = opened.and_then(|file| set(&file, size)) {
            complain(applet, format!("{path}: {}", sys::reason(&error)));
            status = 1;
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_become_a_job_or_are_refused() {
        let parse = |line: &str| Job::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let job = parse("if=/dev/zero of=f bs=4k count=2 skip=1 seek=3 conv=notrunc,fsync iflag=fullblock status=none").unwrap();
        assert_eq!((job.read_size, job.write_size, job.count, job.skip, job.seek), (4096, 4096, Some(2), 4096, 3 * 4096));
        assert!(job.keep_rest && job.sync && job.fill && !job.pad && job.account == Account::None);
        let job = parse("count=5 iflag=count_bytes").unwrap();
        assert_eq!((job.count, job.most), (None, Some(5)));
        let job = parse("ibs=512 obs=1M skip=5 iflag=skip_bytes").unwrap();
        assert_eq!((job.read_size, job.write_size, job.skip), (512, 1 << 20, 5));
        for (line, wanted) in [
            ("bs=0", "number 0 is not in 1..2147483647 range"),
            ("bs=many", "invalid number 'many'"),
            ("count=1q", "invalid number '1q'"),
            ("conv=upside", "invalid argument 'upside' to 'conv'"),
            ("what", "unrecognized operand 'what'"),
        ] {
            assert_eq!(parse(line), Err(Refused(wanted.to_owned())), "{line}");
        }
    }

    #[test]
    fn sizes_have_one_place_behind_the_point() {
        for (bytes, wanted) in [(5, "5"), (1023, "1023"), (1024, "1.0K"), (1536, "1.5K"), (268_435_456, "256.0M"), (1_048_575, "1024.0K"), (3 << 30, "3.0G")] {
            assert_eq!(size_text(bytes), wanted, "{bytes}");
        }
    }

    #[test]
    fn numbers_have_units_and_products() {
        for (text, wanted) in [("7", 7), ("2b", 1024), ("3w", 6), ("1kB", 1000), ("2x512", 1024), ("1M", 1 << 20), ("1GB", 1_000_000_000)] {
            assert_eq!(number(text), Ok(wanted), "{text}");
        }
    }
}
