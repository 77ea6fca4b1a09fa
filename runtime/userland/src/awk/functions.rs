//! The functions of awk, and getline.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write as _},
    process::Command,
};

use super::{
    Awk, Flow, Frame, Valued, close,
    syntax::{Expr, Function},
    value::{self, Value},
};
use crate::sys;

impl Awk<'_> {
    pub(super) fn getline(&mut self, target: Option<&Expr>, file: Option<&Expr>) -> Valued {
        let line = match file {
            None => self.next_record()?,
            Some(file) => {
                let path = self.eval(file)?.text();
                if !self.readers.contains_key(&path) {
                    let Ok(opened) = File::open(if path == "-" { "/dev/stdin" } else { &path }) else { return Ok(Value::Number(-1.0)) };
                    self.readers.insert(path.clone(), BufReader::new(opened));
                }
                let Some(reader) = self.readers.get_mut(&path) else { return Ok(Value::Number(-1.0)) };
                read_record(reader, "\n").map_err(|error| Flow::Error(sys::reason(&error)))?
            }
        };
        let Some(line) = line else { return Ok(Value::Number(0.0)) };
        match target {
            Some(target) => self.assign(target, Value::Input(line))?,
            None => self.set_record(line),
        }
        Ok(Value::Number(1.0))
    }

    pub(super) fn call(&mut self, name: &str, arguments: &[Expr]) -> Valued {
        let program = self.program;
        if let Some(function) = program.functions.get(name) {
            return self.call_function(function, arguments);
        }
        if matches!(name, "split" | "sub" | "gsub" | "match" | "length") {
            return self.text_call(name, arguments);
        }
        let mut given = Vec::new();
        for argument in arguments {
            given.push(self.eval(argument)?);
        }
        let text = |index: usize| given.get(index).map(Value::text).unwrap_or_default();
        let number = |index: usize| given.get(index).map_or(0.0, Value::number);
        Ok(match name {
            "substr" => {
                let chars: Vec<char> = text(0).chars().collect();
                let start = number(1).round();
                let end = if given.len() > 2 { start + number(2).round() } else { f64::INFINITY };
                let picked = chars.iter().enumerate().filter(|(index, _)| (*index as f64 + 1.0) >= start && (*index as f64 + 1.0) < end);
                Value::Text(picked.map(|(_, next)| *next).collect())
            }
            "index" => {
                let whole = text(0);
                Value::Number(whole.find(&text(1)).map_or(0.0, |at| whole[..at].chars().count() as f64 + 1.0))
            }
            "sprintf" => Value::Text(given.split_first().map_or_else(String::new, |(format, rest)| value::formatted(&format.text(), rest))),
            "tolower" => Value::Text(text(0).to_lowercase()),
            "toupper" => Value::Text(text(0).to_uppercase()),
            "int" => Value::Number(number(0).trunc()),
            "sqrt" => Value::Number(number(0).sqrt()),
            "exp" => Value::Number(number(0).exp()),
            "log" => Value::Number(number(0).ln()),
            "sin" => Value::Number(number(0).sin()),
            "cos" => Value::Number(number(0).cos()),
            "atan2" => Value::Number(number(0).atan2(number(1))),
            "srand" => {
                self.random = (number(0) as u64).wrapping_mul(2_654_435_769) | 1;
                Value::Number(0.0)
            }
            "rand" => {
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                Value::Number((self.random >> 11) as f64 / (1_u64 << 53) as f64)
            }
            "systime" => Value::Number(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |passed| passed.as_secs() as f64)),
            "strftime" => Value::Text(crate::clock::format_time(&text(0), number(1) as i64)),
            "system" => {
                sys::best_effort(self.out.flush());
                let status = Command::new("sh").args(["-c", &text(0)]).status();
                Value::Number(status.ok().and_then(|status| status.code()).map_or(-1.0, f64::from))
            }
            "fflush" => {
                sys::best_effort(self.out.flush());
                Value::Number(0.0)
            }
            "close" => {
                self.readers.remove(&text(0));
                Value::Number(self.sinks.remove(&text(0)).map_or(-1.0, |sink| f64::from(close(sink))))
            }
            other => return Err(Flow::Error(format!("{other}: no such function"))),
        })
    }

    /// Functions with an array, a pattern or a variable among their arguments.
    fn text_call(&mut self, name: &str, arguments: &[Expr]) -> Valued {
        match (name, arguments) {
            ("length", []) => Ok(Value::Number(self.record.chars().count() as f64)),
            ("length", [Expr::Variable(array)]) if self.arrays.contains_key(&self.array_name(array)) => Ok(Value::Number(self.array(array).len() as f64)),
            ("length", [text, ..]) => Ok(Value::Number(self.eval(text)?.text().chars().count() as f64)),
            ("split", [text, Expr::Variable(array), rest @ ..]) => {
                let text = self.eval(text)?.text();
                let separator = match rest.first() {
                    Some(Expr::Regex(pattern)) => pattern.clone(),
                    Some(other) => self.eval(other)?.text(),
                    None => self.global("FS").text(),
                };
                let parts: Vec<String> = match separator.as_str() {
                    _ if text.is_empty() => Vec::new(),
                    " " => text.split_whitespace().map(str::to_owned).collect(),
                    "" => text.chars().map(String::from).collect(),
                    single if single.chars().count() == 1 => text.split(single).map(str::to_owned).collect(),
                    pattern => self.regex(pattern)?.split(&text).map(str::to_owned).collect(),
                };
                let count = parts.len();
                let numbered = parts.into_iter().enumerate().map(|(index, part)| ((index + 1).to_string(), Value::Input(part)));
                *self.array(array) = numbered.collect();
                Ok(Value::Number(count as f64))
            }
            ("match", [text, pattern]) => {
                let text = self.eval(text)?.text();
                let regex = self.pattern(pattern)?;
                let found = regex.find(&text).map(|hit| (text[..hit.start()].chars().count() + 1, hit.as_str().chars().count()));
                let (start, length) = found.map_or((0.0, -1.0), |(start, length)| (start as f64, length as f64));
                self.write("RSTART", Value::Number(start));
                self.write("RLENGTH", Value::Number(length));
                Ok(Value::Number(start))
            }
            ("sub" | "gsub", [pattern, with, rest @ ..]) => {
                let regex = self.pattern(pattern)?;
                let with = self.eval(with)?.text();
                let record = Expr::Field(Box::new(Expr::Number(0.0)));
                let target = rest.first().unwrap_or(&record);
                let text = self.eval(target)?.text();
                let limit = if name == "sub" { 1 } else { usize::MAX };
                let (mut out, mut end, mut count) = (String::new(), 0, 0);
                for hit in regex.find_iter(&text).take(limit) {
                    out.push_str(&text[end..hit.start()]);
                    out.push_str(&with.replace("\\&", "\u{0}").replace('&', hit.as_str()).replace('\u{0}', "&"));
                    end = hit.end();
                    count += 1;
                }
                out.push_str(&text[end..]);
                if count > 0 {
                    self.assign(target, Value::Text(out))?;
                }
                Ok(Value::Number(f64::from(count)))
            }
            _ => Err(Flow::Error(format!("{name}: wrong arguments"))),
        }
    }

    fn call_function(&mut self, function: &Function, arguments: &[Expr]) -> Valued {
        if self.frames.len() > 300 {
            return Err(Flow::Error("functions call each other too often".to_owned()));
        }
        let mut frame = Frame::default();
        for (index, parameter) in function.parameters.iter().enumerate() {
            let value = match arguments.get(index) {
                Some(Expr::Variable(name)) => {
                    frame.arrays.insert(parameter.clone(), self.array_name(name));
                    self.read(name)
                }
                Some(argument) => self.eval(argument)?,
                None => Value::Unset,
            };
            frame.values.insert(parameter.clone(), value);
        }
        self.frames.push(frame);
        let outcome = self.block(&function.body);
        let depth = format!("{}\u{0}", self.frames.len());
        self.arrays.retain(|name, _| !name.starts_with(&depth));
        self.frames.pop();
        match outcome {
            Ok(()) => Ok(Value::Unset),
            Err(Flow::Return(value)) => Ok(value),
            Err(other) => Err(other),
        }
    }
}

/// A record without its separator; `None` at the end. An empty separator means paragraphs.
pub(super) fn read_record(reader: &mut dyn BufRead, separator: &str) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if !separator.is_empty() {
        let end = separator.as_bytes()[0];
        if reader.read_until(end, &mut bytes)? == 0 {
            return Ok(None);
        }
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
        return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
    }
    loop {
        let before = bytes.len();
        let count = reader.read_until(b'\n', &mut bytes)?;
        let blank = count == 0 || bytes[before..] == *b"\n";
        if blank && before > 0 {
            bytes.truncate(before);
            return Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned()));
        }
        if count == 0 {
            return Ok(None);
        }
        if blank {
            bytes.clear();
        }
    }
}
