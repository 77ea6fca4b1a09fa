//! Standard output of commands that are over soon. The reader of a pipe may have seen enough (`drydock image ls | head`): that is no error
//! and no panic, it ends the command as SIGPIPE ends others.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// What a shell says of a process that SIGPIPE ended.
const ENDED_BY_SIGPIPE: i32 = 141;

/// Write a line to standard output.
macro_rules! outln {
    ($($text:tt)*) => { $crate::out::write(format_args!("{}\n", format_args!($($text)*))) };
}
pub(crate) use outln;

/// Write to standard output, or end this process when that cannot be done.
pub(crate) fn write(text: Arguments<'_>) {
    let mut output = std::io::stdout().lock();
    match output.write_fmt(text).and_then(|()| output.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(ENDED_BY_SIGPIPE),
        Err(error) => {
            eprintln!("drydock: cannot write to standard output: {error}");
            std::process::exit(1);
        }
    }
}

/// Write the line that says that something is there from now on. It is there whether or not somebody reads that.
pub(crate) fn announce(text: Arguments<'_>) {
    let mut output = std::io::stdout().lock();
    if let Err(error) = writeln!(output, "{text}").and_then(|()| output.flush()) {
        tracing::debug!("standard output: {error}");
    }
}
