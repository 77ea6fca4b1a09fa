//! Filters: text in, text out.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _},
    os::unix::fs::MetadataExt as _,
    time::Duration,
};

use crate::{applets::Arguments, complain, shell::pattern, sys};

/// A file to read; `-` is standard input.
pub(crate) fn open(path: &str) -> io::Result<Box<dyn Read>> {
    if path == "-" { Ok(Box::new(io::stdin())) } else { Ok(Box::new(File::open(path)?)) }
}

/// Opens each operand (standard input without any) and runs `action`; complains and goes on.
pub(crate) fn each_input(words: &[String], operands: &[String], mut action: impl FnMut(&str, Box<dyn Read>) -> io::Result<()>) -> i32 {
    let stdin = ["-".to_owned()];
    let operands = if operands.is_empty() { &stdin } else { operands };
    let mut status = 0;
    for path in operands {
        let outcome = match File::open(path) {
            _ if path == "-" => open("-"),
            Ok(file) if file.metadata().is_ok_and(|meta| meta.is_dir()) => Err(io::Error::from_raw_os_error(libc::EISDIR)),
            Ok(file) => Ok(Box::new(file) as Box<dyn Read>),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome.and_then(|input| action(path, input)) {
            if error.kind() == io::ErrorKind::BrokenPipe {
                return 1;
            }
            complain(&words[0], format!("{path}: {}", sys::reason(&error)));
            status = 1;
        }
    }
    status
}

/// All lines of all operands.
pub(crate) fn all_lines(words: &[String], operands: &[String]) -> (Vec<String>, i32) {
    let mut lines = Vec::new();
    let status = each_input(words, operands, |_, input| {
        for line in BufReader::new(input).split(b'\n') {
            lines.push(String::from_utf8_lossy(&line?).into_owned());
        }
        Ok(())
    });
    (lines, status)
}

pub(crate) fn cat(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "nbuAevst", &[]) else { return 1 };
    if !(arguments.has('n') || arguments.has('b') || arguments.has('A') || arguments.has('e')) {
        return each_input(words, &arguments.operands, |_, mut input| {
            let mut buffer = vec![0; 65_536];
            loop {
                match input.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) => sys::write_all(1, &buffer[..count])?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        });
    }
    let mut number = 0;
    each_input(words, &arguments.operands, |_, input| {
        for line in BufReader::new(input).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            let line = if arguments.has('A') { line.replace('\t', "^I") } else { line };
            let end = if arguments.has('A') || arguments.has('e') { "$" } else { "" };
            if arguments.has('n') || (arguments.has('b') && !line.is_empty()) {
                number += 1;
                println!("{number:6}\t{line}{end}");
            } else if arguments.has('b') && words[0] == "nl" {
                println!("       ");
            } else {
                println!("{line}{end}");
            }
        }
        Ok(())
    })
}

pub(crate) fn nl(words: &[String]) -> i32 {
    let mut copy = words.to_vec();
    copy.insert(1, "-b".to_owned());
    cat(&copy)
}

pub(crate) fn tac(words: &[String]) -> i32 {
    let (lines, status) = all_lines(words, &words[1..]);
    for line in lines.iter().rev() {
        println!("{line}");
    }
    status
}

/// A count with an optional unit.
fn count(text: &str) -> Option<u64> {
    let (number, scale) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1024),
        None => match text.strip_suffix(['m', 'M']) {
            Some(number) => (number, 1024 * 1024),
            None => (text, 1),
        },
    };
    Some(number.parse::<u64>().ok()? * scale)
}

fn title(arguments: &Arguments, path: &str, first: &mut bool) {
    if arguments.operands.len() > 1 && !arguments.has('q') || arguments.has('v') {
        let name = if path == "-" { "standard input" } else { path };
        println!("{}==> {name} <==", if *first { "" } else { "\n" });
        *first = false;
    }
}

/// `head [-n LINES] [-c BYTES] [FILE]...`
pub(crate) fn head(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "n:c:qv", &[("lines", 'n'), ("bytes", 'c')]) else { return 1 };
    let text = arguments.value('n').unwrap_or("10");
    let Some(wanted) = count(text.trim_start_matches('-')) else {
        complain("head", format!("invalid number '{text}'"));
        return 1;
    };
    let mut first = true;
    each_input(words, &arguments.operands, |path, input| {
        title(&arguments, path, &mut first);
        let mut out = BufWriter::new(io::stdout());
        if let Some(bytes) = arguments.value('c').and_then(count) {
            io::copy(&mut input.take(bytes), &mut out)?;
            return out.flush();
        }
        let mut reader = BufReader::new(input);
        if text.starts_with('-') {
            let lines: Vec<Vec<u8>> = reader.split(b'\n').collect::<Result<_, _>>()?;
            let keep = lines.len().saturating_sub(usize::try_from(wanted).unwrap_or(usize::MAX));
            for line in &lines[..keep] {
                out.write_all(line)?;
                out.write_all(b"\n")?;
            }
            return out.flush();
        }
        let mut line = Vec::new();
        for _ in 0..wanted {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            out.write_all(&line)?;
        }
        out.flush()
    })
}

/// `tail [-n [+]LINES] [-c BYTES] [-f|-F] [FILE]...`
pub(crate) fn tail(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "n:c:fFqvs:", &[("lines", 'n'), ("bytes", 'c'), ("follow", 'f')]) else { return 1 };
    let text = arguments.value('n').unwrap_or("10").trim_start_matches('-').to_owned();
    let Some(wanted) = count(text.trim_start_matches('+')).and_then(|number| usize::try_from(number).ok()) else {
        complain("tail", format!("invalid number '{text}'"));
        return 1;
    };
    let mut first = true;
    let status = each_input(words, &arguments.operands, |path, mut input| {
        title(&arguments, path, &mut first);
        let mut out = BufWriter::new(io::stdout());
        if let Some(bytes) = arguments.value('c') {
            let mut all = Vec::new();
            input.read_to_end(&mut all)?;
            let number = count(bytes.trim_start_matches(['+', '-'])).and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
            let start = if bytes.starts_with('+') { number.saturating_sub(1).min(all.len()) } else { all.len().saturating_sub(number) };
            out.write_all(&all[start..])?;
            return out.flush();
        }
        let mut kept: VecDeque<Vec<u8>> = VecDeque::new();
        let mut reader = BufReader::new(input);
        let mut line_number = 0;
        loop {
            let mut line = Vec::new();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            line_number += 1;
            if text.starts_with('+') {
                if line_number >= wanted {
                    out.write_all(&line)?;
                }
                continue;
            }
            kept.push_back(line);
            if kept.len() > wanted {
                kept.pop_front();
            }
        }
        for line in kept {
            out.write_all(&line)?;
        }
        out.flush()
    });
    if (arguments.has('f') || arguments.has('F')) && !arguments.operands.is_empty() {
        follow(&arguments);
    }
    status
}

/// Goes on showing what is added to the files, for ever.
fn follow(arguments: &Arguments) {
    let length = |path: &String| std::fs::metadata(path).map_or((0, 0), |meta| (meta.ino(), meta.len()));
    let mut known: Vec<(u64, u64)> = arguments.operands.iter().map(length).collect();
    let mut last = arguments.operands.len() - 1;
    loop {
        std::thread::sleep(Duration::from_millis(200));
        for (index, path) in arguments.operands.iter().enumerate() {
            let (inode, size) = length(path);
            let start = if inode != known[index].0 || size < known[index].1 { 0 } else { known[index].1 };
            if size == start && inode == known[index].0 {
                continue;
            }
            if index != last && arguments.operands.len() > 1 {
                println!("\n==> {path} <==");
                last = index;
            }
            if let Ok(mut file) = File::open(path) {
                let mut bytes = Vec::new();
                let outcome = io::Seek::seek(&mut file, io::SeekFrom::Start(start)).and_then(|_| file.read_to_end(&mut bytes));
                if outcome.is_ok() && sys::write_all(1, &bytes).is_err() {
                    return;
                }
                known[index] = (inode, start + bytes.len() as u64);
            }
        }
    }
}

/// `wc [-lwcm] [FILE]...`
pub(crate) fn wc(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "lwcmL", &[]) else { return 1 };
    let all = !(arguments.has('l') || arguments.has('w') || arguments.has('c') || arguments.has('m'));
    let row = |counts: [usize; 4], name: &str| {
        let mut cells = Vec::new();
        for (letter, value) in ['l', 'w', 'c', 'm'].into_iter().zip(counts) {
            if arguments.has(letter) || (all && letter != 'm') {
                cells.push(value.to_string());
            }
        }
        if cells.len() > 1 || arguments.operands.len() > 1 {
            cells = cells.iter().map(|cell| format!("{cell:>9}")).collect();
        }
        println!("{}{}", cells.join(" "), if name == "-" { String::new() } else { format!(" {name}") });
    };
    let mut total = [0; 4];
    let status = each_input(words, &arguments.operands, |path, mut input| {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let counts = [bytes.iter().filter(|byte| **byte == b'\n').count(), text.split_whitespace().count(), bytes.len(), text.chars().count()];
        for (sum, value) in total.iter_mut().zip(counts) {
            *sum += value;
        }
        row(counts, path);
        Ok(())
    });
    if arguments.operands.len() > 1 {
        row(total, "total");
    }
    status
}

/// The key of a line for `sort -k FIRST[,LAST] [-t SEPARATOR]`.
fn key<'a>(line: &'a str, spec: Option<&str>, separator: Option<char>) -> &'a str {
    let Some(spec) = spec else { return line };
    let (first, last) = spec.split_once(',').map_or((spec, None), |(first, last)| (first, Some(last)));
    let number = |text: &str| text.trim_end_matches(|next: char| !next.is_ascii_digit()).split('.').next().and_then(|text| text.parse::<usize>().ok()).unwrap_or(1);
    let mut bounds = Vec::new();
    match separator {
        Some(separator) => {
            let mut start = 0;
            for (index, _) in line.match_indices(separator) {
                bounds.push((start, index));
                start = index + separator.len_utf8();
            }
            bounds.push((start, line.len()));
        }
        None => {
            let mut at = 0;
            for word in line.split_whitespace() {
                let start = at + line[at..].find(word).unwrap_or(0);
                at = start + word.len();
                bounds.push((start, at));
            }
        }
    }
    let Some((start, _)) = bounds.get(number(first).saturating_sub(1)) else { return "" };
    let end = last.and_then(|last| bounds.get(number(last).saturating_sub(1))).map_or(line.len(), |(_, end)| *end);
    line.get(*start..end.max(*start)).unwrap_or("")
}

fn leading_number(text: &str) -> f64 {
    let text = text.trim_start();
    let end = text.char_indices().take_while(|(index, next)| next.is_ascii_digit() || *next == '.' || (*index == 0 && *next == '-')).map(|(index, next)| index + next.len_utf8()).last();
    text[..end.unwrap_or(0)].parse().unwrap_or(0.0)
}

fn size_number(text: &str) -> f64 {
    let scale = match text.trim().chars().last() {
        Some('K' | 'k') => 1024.0,
        Some('M') => 1024.0 * 1024.0,
        Some('G') => 1024.0 * 1024.0 * 1024.0,
        _ => 1.0,
    };
    leading_number(text) * scale
}

/// `sort [-nrufhV] [-k KEY] [-t SEPARATOR] [-o FILE] [FILE]...`
pub(crate) fn sort(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "nrufhbVsdk:t:o:c", &[("reverse", 'r'), ("unique", 'u'), ("key", 'k')]) else { return 1 };
    let (mut lines, status) = all_lines(words, &arguments.operands);
    let spec = arguments.value('k').map(str::to_owned);
    let letters = spec.clone().unwrap_or_default();
    let separator = arguments.value('t').and_then(|text| text.chars().next());
    let has = |letter: char| arguments.has(letter) || letters.contains(letter);
    let compare = |left: &String, right: &String| {
        let (left_key, right_key) = (key(left, spec.as_deref(), separator), key(right, spec.as_deref(), separator));
        if has('n') {
            leading_number(left_key).total_cmp(&leading_number(right_key))
        } else if has('h') {
            size_number(left_key).total_cmp(&size_number(right_key))
        } else if has('f') {
            left_key.to_lowercase().cmp(&right_key.to_lowercase())
        } else {
            left_key.cmp(right_key)
        }
    };
    lines.sort_by(|left, right| {
        let order = compare(left, right);
        let order = if order.is_eq() && !arguments.has('s') && !arguments.has('u') { left.cmp(right) } else { order };
        if has('r') { order.reverse() } else { order }
    });
    if arguments.has('u') {
        lines.dedup_by(|left, right| compare(left, right).is_eq());
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let outcome = match arguments.value('o') {
        Some(path) => std::fs::write(path, text),
        None => sys::write_all(1, text.as_bytes()),
    };
    if let Err(error) = outcome {
        complain("sort", sys::reason(&error));
        return 1;
    }
    status
}

/// `uniq [-cdui] [FILE]`
pub(crate) fn uniq(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "cdui", &[("count", 'c')]) else { return 1 };
    let (lines, status) = all_lines(words, arguments.operands.get(..1).unwrap_or_default());
    let fold = |line: &String| if arguments.has('i') { line.to_lowercase() } else { line.clone() };
    for group in lines.chunk_by(|left, right| fold(left) == fold(right)) {
        if (arguments.has('d') && group.len() < 2) || (arguments.has('u') && group.len() > 1) {
            continue;
        }
        if arguments.has('c') { println!("{:7} {}", group.len(), group[0]) } else { println!("{}", group[0]) }
    }
    status
}

/// Ranges like `1,3-5,7-`.
fn ranges(text: &str) -> Option<Vec<(usize, usize)>> {
    text.split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first = if first.is_empty() { 1 } else { first.parse().ok()? };
            let last = if last.is_empty() { usize::MAX } else { last.parse().ok()? };
            Some((first, last))
        })
        .collect()
}

/// `cut -d X -f LIST | -c LIST [FILE]...`
pub(crate) fn cut(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "d:f:c:b:s", &[("delimiter", 'd'), ("fields", 'f')]) else { return 1 };
    let list = arguments.value('f').or(arguments.value('c')).or(arguments.value('b')).and_then(ranges);
    let Some(list) = list else {
        complain("cut", "expected a list of bytes, characters, or fields");
        return 1;
    };
    let chosen = |index: usize| list.iter().any(|(first, last)| (*first..=*last).contains(&(index + 1)));
    let delimiter = arguments.value('d').unwrap_or("\t").to_owned();
    let (lines, status) = all_lines(words, &arguments.operands);
    for line in lines {
        if !arguments.has('f') {
            println!("{}", line.chars().enumerate().filter(|(index, _)| chosen(*index)).map(|(_, next)| next).collect::<String>());
        } else if line.contains(&delimiter) {
            let fields: Vec<&str> = line.split(&delimiter).enumerate().filter(|(index, _)| chosen(*index)).map(|(_, field)| field).collect();
            println!("{}", fields.join(&delimiter));
        } else if !arguments.has('s') {
            println!("{line}");
        }
    }
    status
}

/// The characters of a set like `a-z\n[:space:]`.
fn set(text: &str) -> Vec<char> {
    let mut text = text.to_owned();
    let mut all = Vec::new();
    for class in ["alpha", "digit", "alnum", "space", "upper", "lower", "punct", "xdigit"] {
        let name = format!("[:{class}:]");
        if text.contains(&name) {
            text = text.replace(&name, "");
            all.extend((1..128_u8).map(char::from).filter(|next| pattern::named(class, *next)));
        }
    }
    let (bytes, _) = crate::shell::printf::escapes(&text);
    let chars: Vec<char> = String::from_utf8_lossy(&bytes).chars().collect();
    let mut index = 0;
    while index < chars.len() {
        if chars.get(index + 1) == Some(&'-') && index + 2 < chars.len() {
            all.extend(chars[index]..=chars[index + 2]);
            index += 3;
        } else {
            all.push(chars[index]);
            index += 1;
        }
    }
    all
}

/// `tr [-cds] SET1 [SET2]`
pub(crate) fn tr(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "cCds", &[("delete", 'd'), ("squeeze-repeats", 's')]) else { return 1 };
    let Some(first) = arguments.operands.first().map(|text| set(text)) else {
        complain("tr", "missing operand");
        return 1;
    };
    let second = arguments.operands.get(1).map(|text| set(text)).unwrap_or_default();
    let complement = arguments.has('c') || arguments.has('C');
    let mut bytes = Vec::new();
    if io::stdin().read_to_end(&mut bytes).is_err() {
        return 1;
    }
    let mut out = String::new();
    let mut last = None;
    for next in String::from_utf8_lossy(&bytes).chars() {
        let place = first.iter().position(|known| *known == next);
        let inside = place.is_some() != complement;
        if inside && arguments.has('d') {
            continue;
        }
        let new = match (inside, place) {
            (true, Some(place)) if !second.is_empty() => second.get(place).or(second.last()).copied().unwrap_or(next),
            (true, None) if !second.is_empty() => second.last().copied().unwrap_or(next),
            _ => next,
        };
        let squeezed = arguments.has('s') && last == Some(new) && (if second.is_empty() { inside } else { second.contains(&new) });
        if !squeezed {
            out.push(new);
        }
        last = Some(new);
    }
    i32::from(sys::write_all(1, out.as_bytes()).is_err())
}

/// `tee [-a] FILE...`
pub(crate) fn tee(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "ai", &[("append", 'a')]) else { return 1 };
    let mut status = 0;
    let mut files = Vec::new();
    for path in &arguments.operands {
        let opened = std::fs::OpenOptions::new().create(true).write(true).append(arguments.has('a')).truncate(!arguments.has('a')).open(path);
        match opened {
            Ok(file) => files.push(file),
            Err(error) => {
                complain("tee", format!("{path}: {}", sys::reason(&error)));
                status = 1;
            }
        }
    }
    let mut buffer = [0; 8192];
    loop {
        match io::stdin().read(&mut buffer) {
            Ok(0) | Err(_) => return status,
            Ok(count) => {
                if sys::write_all(1, &buffer[..count]).is_err() {
                    return 1;
                }
                for file in &mut files {
                    if file.write_all(&buffer[..count]).is_err() {
                        status = 1;
                    }
                }
            }
        }
    }
}

/// `seq [-s SEPARATOR] [-w] [FIRST [STEP]] LAST`
pub(crate) fn seq(words: &[String]) -> i32 {
    let mut rest = &words[1..];
    let mut separator = "\n".to_owned();
    let mut padded = false;
    while let Some((first, tail)) = rest.split_first() {
        match first.as_str() {
            "-s" => {
                separator = tail.first().cloned().unwrap_or_default();
                rest = tail.get(1..).unwrap_or_default();
            }
            "-w" => {
                padded = true;
                rest = tail;
            }
            _ => break,
        }
    }
    let numbers: Option<Vec<f64>> = rest.iter().map(|text| text.parse().ok()).collect();
    let (first, step, last) = match numbers.as_deref() {
        Some([last]) => (1.0, 1.0, *last),
        Some([first, last]) => (*first, 1.0, *last),
        Some([first, step, last]) if *step != 0.0 => (*first, *step, *last),
        _ => {
            complain("seq", "usage: seq [FIRST [STEP]] LAST");
            return 1;
        }
    };
    let decimals = rest.iter().map(|text| text.split_once('.').map_or(0, |(_, decimals)| decimals.len())).max().unwrap_or(0);
    let width = if padded { rest.iter().map(String::len).max().unwrap_or(0) } else { 0 };
    let mut out = BufWriter::new(io::stdout());
    let mut index = 0.0;
    loop {
        let value = first + step * index;
        if (step > 0.0 && value > last + 1e-9) || (step < 0.0 && value < last - 1e-9) {
            break;
        }
        let lead = if index > 0.0 { separator.as_str() } else { "" };
        if write!(out, "{lead}{value:0width$.decimals$}").is_err() {
            return 1;
        }
        index += 1.0;
    }
    i32::from(index > 0.0 && writeln!(out).is_err())
}

pub(crate) fn yes(words: &[String]) -> i32 {
    let line = if words.len() > 1 { words[1..].join(" ") } else { "y".to_owned() };
    let block = format!("{line}\n").repeat(256);
    while sys::write_all(1, block.as_bytes()).is_ok() {}
    1
}

/// `rev [FILE]...`
pub(crate) fn rev(words: &[String]) -> i32 {
    let (lines, status) = all_lines(words, &words[1..]);
    for line in lines {
        println!("{}", line.chars().rev().collect::<String>());
    }
    status
}

/// `hexdump -C [FILE]...`, `xxd [FILE]...`
pub(crate) fn hexdump(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "Cvn:", &[]) else { return 1 };
    let limit = arguments.value('n').and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
    each_input(words, &arguments.operands, |_, input| {
        let mut bytes = Vec::new();
        input.take(limit).read_to_end(&mut bytes)?;
        let mut out = String::new();
        for (index, row) in bytes.chunks(16).enumerate() {
            let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
            let left = hex[..hex.len().min(8)].join(" ");
            let right = hex.get(8..).unwrap_or_default().join(" ");
            let shown: String = row.iter().map(|byte| if (32..127).contains(byte) { char::from(*byte) } else { '.' }).collect();
            out.push_str(&format!("{:08x}  {left:<23}  {right:<23}  |{shown}|\n", index * 16));
        }
        out.push_str(&format!("{:08x}\n", bytes.len()));
        sys::write_all(1, out.as_bytes())
    })
}
