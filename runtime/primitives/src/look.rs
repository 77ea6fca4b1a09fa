//! What there is at a path, asked of a shell: one command that never waits and never prints without end, and what its output says.
//!
//! Whoever reads a file that belongs to a learner runs this as somebody who may, in the place where the file is: a workstation, a node,
//! a container. A FIFO, a device or a socket is told and not opened.

/// Tells kind, mode, owner, group and size; where the path links to; then the text of a file or the names in a directory.
const SCRIPT: &str = r#"p=$1
if [ -d "$p" ]; then k=directory; elif [ -f "$p" ]; then k=file; elif [ -e "$p" ] || [ -L "$p" ]; then k=other; else echo none; exit 0; fi
if [ -e "$p" ]; then s=$(stat -L -c '%a %u %g %s' "$p"); else s='0 0 0 0'; fi
echo "$k $s"
readlink "$p" 2>/dev/null || echo
if [ $k = directory ]; then ls -A "$p"; elif [ $k = file ]; then head -c "$2" "$p"; fi"#;

/// The command: it prints at most so many bytes of a file.
pub fn command(path: &str, most: usize) -> Vec<String> {
    ["sh", "-c", SCRIPT, "sh", path, &most.to_string()].map(str::to_owned).into()
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A device, a FIFO, a socket, or a link to nothing.
    Other,
}

impl Kind {
    /// As the command prints it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Directory => "directory",
            Kind::Other => "other",
        }
    }
}

/// What the command printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look<'a> {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, octal, as `stat` prints them.
    pub mode: &'a str,
    /// Its owner.
    pub uid: u64,
    /// Its group.
    pub gid: u64,
    /// Bytes in it.
    pub size: u64,
    /// Where it links to; empty when it is no link.
    pub link: &'a str,
    /// The beginning of a file, or the names in a directory, one a line.
    pub contents: &'a [u8],
}

/// Read the output; `None` when there is nothing at the path.
pub fn parse(output: &[u8]) -> Option<Look<'_>> {
    let (first, rest) = line(output);
    let (link, contents) = line(rest);
    let words: Vec<&str> = first.split_whitespace().collect();
    let [kind, mode, uid, gid, size] = words[..] else { return None };
    let kind = [Kind::File, Kind::Directory, Kind::Other].into_iter().find(|known| known.name() == kind)?;
    let number = |text: &str| text.parse().unwrap_or(0);
    Some(Look { kind, mode, uid: number(uid), gid: number(gid), size: number(size), link, contents })
}

fn line(text: &[u8]) -> (&str, &[u8]) {
    let end = text.iter().position(|byte| *byte == b'\n');
    let (line, rest) = end.map_or((text, &text[text.len()..]), |end| (&text[..end], &text[end + 1..]));
    (std::str::from_utf8(line).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read() {
        let file = parse(b"file 400 0 70 3\n..data/a\n\xffbc").unwrap();
        assert_eq!((file.kind, file.mode, file.gid, file.size, file.link, file.contents), (Kind::File, "400", 70, 3, "..data/a", &b"\xffbc"[..]));
        let directory = parse(b"directory 755 0 0 40\n\na\nb\n").unwrap();
        assert_eq!((directory.kind, directory.link, directory.contents), (Kind::Directory, "", &b"a\nb\n"[..]));
        assert_eq!(parse(b"other 666 0 0 0\n\n").map(|look| look.kind), Some(Kind::Other));
        for nothing in [&b"none\n"[..], b"", b"file\n"] {
            assert_eq!(parse(nothing), None);
        }
    }
}
