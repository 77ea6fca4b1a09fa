//! Files of a seat, for the page and the grader: read and written by processes that run as whoever sits there.
//!
//! * Reading never opens what is no regular file, is bounded in bytes and in time, and sees what the learner may see.
//! * Writing never leaves half a file: the new text is complete beside the old one before it takes its place.

use std::io;
use std::time::Duration;

use drydock_container::stdio::Stdio;
use drydock_node::init::protocol::Scope;
use drydock_primitives::look::{self, Kind};
use tokio::time::timeout;

use super::pty::Stream;
use super::{As, Process, Seat};

/// The largest file that is read or written.
pub(crate) const MAX_FILE: usize = 8 << 20;
/// How long reading or writing may take: a file system of the learner's own need not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes standard input, of `$2` bytes, to `$1`. A link stays one, and a file keeps its mode.
const WRITE: &str = r#"p=$(readlink -f "$1") || p=$1
if [ -e "$p" ]; then
  [ -f "$p" ] || { echo "$1 is no regular file" >&2; exit 1; }
  [ -w "$p" ] || { echo "$1: Permission denied" >&2; exit 1; }
fi
mkdir -p "$(dirname "$p")" || exit 1
n=$p.new$$
trap 'rm -f "$n"' EXIT
cat > "$n" || exit 1
[ "$(wc -c < "$n")" -eq "$2" ] || { echo "$1 was not written to its end" >&2; exit 1; }
if [ -e "$p" ]; then chmod "$(stat -c %a "$p")" "$n" || exit 1; fi
mv -f "$n" "$p""#;

/// Why a file is not read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// Opening it could wait for ever, or never end.
    #[error("{0} is no regular file")]
    NotRegular(String),
    /// It is too large.
    #[error("{0} is larger than {MAX_FILE} bytes")]
    TooLarge(String),
    /// It does not come to an end.
    #[error("{0} did not answer within {PATIENCE:?}")]
    TooSlow(String),
    /// What the program said that did it.
    #[error("{0}")]
    Refused(String),
    /// No program could be run.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Seat {
    /// Contents and permission bits of a file; `None` when there is no such file.
    ///
    /// # Errors
    /// When it is no regular file, is too large or may not be read.
    pub(crate) async fn read_file(&self, path: &str) -> Result<Option<(Vec<u8>, String)>, FileError> {
        let (code, output, errors) = self.run_at(path, look::command(path, MAX_FILE + 1), b"").await?;
        let Some(seen) = look::parse(&output) else {
            return if code == 0 { Ok(None) } else { Err(refused(&errors)) };
        };
        match seen.kind {
            Kind::Directory | Kind::Other => Err(FileError::NotRegular(path.to_owned())),
            Kind::File if code != 0 => Err(refused(&errors)),
            Kind::File if seen.contents.len() > MAX_FILE => Err(FileError::TooLarge(path.to_owned())),
            Kind::File => Ok(Some((seen.contents.to_vec(), seen.mode.to_owned()))),
        }
    }

    /// Write a file, making its directories.
    ///
    /// # Errors
    /// When it cannot be written; it is as before then.
    pub(crate) async fn write_file(&self, path: &str, contents: &[u8]) -> Result<(), FileError> {
        let command = ["sh", "-c", WRITE, "sh", path, &contents.len().to_string()].map(str::to_owned);
        let written = self.run_at(path, command.into(), contents).await;
        self.inner.diary.files.take();
        match written? {
            (0, _, _) => Ok(()),
            (_, _, errors) => Err(refused(&errors)),
        }
    }

    /// Run a process to its end with this input; returns its exit code, output and errors.
    pub(crate) async fn run(&self, who: As, args: &[&str], input: &[u8]) -> io::Result<(i32, Vec<u8>, Vec<u8>)> {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        attend(self.open(who, args, "/", None, Vec::new()).await.map_err(io::Error::other)?, input).await
    }

    /// The same as the learner, who does not wait for ever for what is at a path.
    async fn run_at(&self, path: &str, command: Vec<String>, input: &[u8]) -> Result<(i32, Vec<u8>, Vec<u8>), FileError> {
        let process = self.open(As::Learner, command, "/", None, Vec::new()).await.map_err(io::Error::other)?;
        let id = process.id.clone();
        if let Ok(ended) = timeout(PATIENCE, attend(process, input)).await {
            return Ok(ended?);
        }
        if let Err(failure) = self.inner.init.signal(&id, libc::SIGKILL, Scope::Process).await {
            tracing::debug!(%failure, id, "end what took too long");
        }
        Err(FileError::TooSlow(path.to_owned()))
    }
}

async fn attend(process: Process, input: &[u8]) -> io::Result<(i32, Vec<u8>, Vec<u8>)> {
    let Stdio::Pipes { stdin: Some(stdin), stdout, stderr } = process.stdio else {
        return Err(io::Error::other("node-init gave a terminal instead of pipes"));
    };
    let (stdin, stdout, stderr) = (Stream::new(stdin)?, Stream::new(stdout)?, Stream::new(stderr)?);
    let feed = async move {
        match stdin.write_all(input).await {
            // A process that does not read to the end is its own affair.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    };
    let ((), stdout, stderr) = tokio::try_join!(feed, stdout.read_to_end(), stderr.read_to_end())?;
    let exit = process.exit.await.map_err(|_| io::Error::other("the workstation ended"))?;
    Ok((exit.code, stdout, stderr))
}

fn refused(errors: &[u8]) -> FileError {
    FileError::Refused(String::from_utf8_lossy(errors).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;

    /// Write it as a seat does, where no file may be larger than `blocks` of 512 bytes: to a program, a full disk looks the same.
    fn write(path: &Path, contents: &[u8], says: usize, blocks: &str) -> bool {
        let script = format!("ulimit -f {blocks}; exec sh -c \"$0\" sh \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, WRITE]).arg(path).arg(says.to_string()).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(contents).unwrap_or_default();
        child.wait().unwrap().success()
    }

    #[test]
    fn a_file_is_whole_before_and_after() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("notes.yaml");
        fs::write(&file, "the old text").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let link = directory.path().join("link");
        symlink("notes.yaml", &link).unwrap();
        let large = vec![b'x'; 64 * 1024];

        assert!(!write(&file, &large, large.len(), "8"), "there is no room");
        assert_eq!(fs::read(&file).unwrap(), b"the old text");
        assert!(!write(&file, b"half", 8, "unlimited"), "the rest did not come");
        assert_eq!(fs::read(&file).unwrap(), b"the old text");
        assert!(!write(directory.path(), b"text", 4, "unlimited"), "a directory");

        assert!(write(&link, b"new", 3, "unlimited"));
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(link.is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(write(&directory.path().join("a/b/new"), b"", 0, "unlimited"));

        let mut names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a", "link", "notes.yaml"], "nothing stays beside it");
    }
}
