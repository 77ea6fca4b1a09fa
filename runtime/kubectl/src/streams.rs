//! Standard input, output and error of a command, so that a test can be all three.

use std::cell::RefCell;
use std::io::{BufWriter, IsTerminal, Read, Write};

use crate::failure::Failure;

/// What a command reads and writes.
pub struct Streams {
    input: RefCell<Box<dyn Read>>,
    out: RefCell<Box<dyn Write>>,
    err: RefCell<Box<dyn Write>>,
    /// Whether standard input is a terminal.
    pub input_is_terminal: bool,
    /// Whether standard output is a terminal.
    pub out_is_terminal: bool,
    /// Whether standard error is a terminal.
    pub err_is_terminal: bool,
}

impl Streams {
    /// Those of the process.
    pub fn process() -> Self {
        Self {
            input: RefCell::new(Box::new(std::io::stdin())),
            out: RefCell::new(Box::new(BufWriter::with_capacity(1 << 16, std::io::stdout()))),
            err: RefCell::new(Box::new(std::io::stderr())),
            input_is_terminal: std::io::stdin().is_terminal(),
            out_is_terminal: std::io::stdout().is_terminal(),
            err_is_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Those of a test.
    pub fn new(input: Box<dyn Read>, out: Box<dyn Write>, err: Box<dyn Write>) -> Self {
        Self {
            input: RefCell::new(input),
            out: RefCell::new(out),
            err: RefCell::new(err),
            input_is_terminal: false,
            out_is_terminal: false,
            err_is_terminal: false,
        }
    }

    /// Write to standard output; kept back until [`Streams::flush`], a message on standard error, or the end.
    pub fn print(&self, text: impl AsRef<[u8]>) -> Result<(), Failure> {
        Ok(self.out.borrow_mut().write_all(text.as_ref())?)
    }

    /// Write a line to standard output.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        let mut out = self.out.borrow_mut();
        out.write_all(text.as_bytes())?;
        Ok(out.write_all(b"\n")?)
    }

    /// Write a line to standard error, after what was printed before it. That nobody can be told is no failure of the command.
    pub fn warn(&self, text: &str) {
        let written = self.flush().and_then(|()| {
            let mut err = self.err.borrow_mut();
            err.write_all(text.as_bytes())?;
            err.write_all(b"\n")?;
            Ok(err.flush()?)
        });
        drop(written);
    }

    /// Show what was printed so far.
    pub fn flush(&self) -> Result<(), Failure> {
        Ok(self.out.borrow_mut().flush()?)
    }

    /// All of standard input.
    pub fn read_all(&self) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        self.input.borrow_mut().read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The next word of standard input; nothing at its end.
    pub fn word(&self) -> Result<Option<String>, Failure> {
        let (mut word, mut letter) = (Vec::new(), [0]);
        while self.read(&mut letter)? > 0 {
            match letter[0] {
                space if !space.is_ascii_whitespace() => word.push(space),
                _ if word.is_empty() => {}
                _ => break,
            }
        }
        Ok((!word.is_empty()).then(|| String::from_utf8_lossy(&word).into_owned()))
    }

    /// Some bytes of standard input; none at its end.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Failure> {
        Ok(self.input.borrow_mut().read(buffer)?)
    }
}
