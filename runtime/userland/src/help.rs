//! What each command is for, in a line: `help` lists them, `COMMAND --help` shows one.

/// A group's title, and its commands: usage and purpose.
type Group = (&'static str, &'static [(&'static str, &'static str)]);

const GROUPS: &[Group] = &[
    ("Files", &[
        ("ls [-lahRt] [FILE]...", "list files"),
        ("cat [-n] [FILE]...", "show files"),
        ("cp [-rp] FILE... TARGET", "copy"),
        ("mv FILE... TARGET", "move or rename"),
        ("rm [-rf] FILE...", "remove"),
        ("mkdir [-p] DIRECTORY...", "make directories"),
        ("rmdir DIRECTORY...", "remove empty directories"),
        ("touch FILE...", "make files, or make them new"),
        ("ln [-s] TARGET NAME", "give a file another name"),
        ("chmod MODE FILE...", "change who may do what"),
        ("chown OWNER[:GROUP] FILE...", "change whose it is"),
        ("dd [if=FILE] [of=FILE] [bs=SIZE] [count=BLOCKS]", "copy in blocks: dd if=/dev/zero of=big bs=1M count=10"),
        ("truncate -s SIZE FILE...", "make files a size, without room for it"),
        ("fallocate -l SIZE FILE", "make a file a size, with room for it"),
        ("stat [-c FORMAT] FILE...", "all about a file"),
        ("find [PATH] [-name GLOB] [-type f|d] [-user NAME] [-exec COMMAND {} ;]", "look for files"),
        ("tree [-L DEPTH] [DIRECTORY]", "directories as a tree"),
        ("readlink [-f] LINK", "where a link leads"),
        ("realpath FILE...", "the path without links"),
        ("basename PATH [SUFFIX]", "the last part of a path"),
        ("dirname PATH", "all but the last part of a path"),
        ("df [-h]", "room on disks"),
        ("du [-sh] [PATH]...", "room taken by files"),
        ("tar -c|-x|-t [-zvf ARCHIVE] [FILE]...", "pack, unpack, list archives"),
        ("gzip [-dc] [FILE]...", "compress"),
        ("gunzip [FILE]...", "decompress"),
        ("zcat FILE...", "show compressed files"),
        ("mktemp [-d]", "make a temporary file"),
        ("mkfifo", "make a named pipe"),
        ("mount", "show what is mounted"),
        ("cmp ONE TWO", "are two files the same"),
        ("diff [-uq] ONE TWO", "what differs"),
    ]),
    ("Text", &[
        ("nano [+LINE] [FILE]", "edit; the keys are on the screen"),
        ("vi [+LINE] [FILE]", "edit, with vi's keys; Esc :wq Enter saves and leaves"),
        ("less [FILE]...", "read by pages; q leaves"),
        ("more [FILE]...", "the same"),
        ("head [-n LINES] [FILE]...", "the first lines"),
        ("tail [-n LINES] [-f] [FILE]...", "the last lines; -f goes on"),
        ("grep [-ivnrcE] PATTERN [FILE]...", "lines with a pattern"),
        ("egrep PATTERN [FILE]...", "grep -E"),
        ("fgrep TEXT [FILE]...", "grep -F"),
        ("sed [-nEi] SCRIPT [FILE]...", "edit lines as they pass"),
        ("jq [-rcn] PROGRAM [FILE]...", "questions about JSON: jq '.items[].metadata.name'"),
        ("sort [-nrut KEY] [FILE]...", "lines in order"),
        ("uniq [-cd] [FILE]", "without repeated lines"),
        ("awk [-F SEPARATOR] PROGRAM [FILE]...", "columns, counted and rearranged: awk '{print $1}'"),
        ("cut -d DELIMITER -f FIELDS [FILE]...", "columns"),
        ("tr [-ds] FROM [TO]", "replace characters"),
        ("wc [-lwc] [FILE]...", "count lines, words, bytes"),
        ("tee [-a] FILE...", "copy what passes to files"),
        ("nl [FILE]...", "lines with numbers"),
        ("tac [FILE]...", "last line first"),
        ("rev [FILE]...", "lines backwards"),
        ("seq [FIRST] LAST", "numbers"),
        ("xargs [-n COUNT] [-I MARK] COMMAND...", "arguments from lines"),
        ("base64 [-d] [FILE]", "encode, decode"),
        ("md5sum [FILE]...", "checksums"),
        ("sha1sum [FILE]...", "checksums"),
        ("sha256sum [FILE]...", "checksums"),
        ("sha512sum [FILE]...", "checksums"),
        ("hexdump -C [FILE]", "bytes"),
        ("xxd [FILE]", "bytes"),
        ("expr EXPRESSION", "arithmetic and patterns"),
        ("yes [TEXT]", "the same line for ever"),
    ]),
    ("Network", &[
        ("curl [-sSfLkivI] [-X METHOD] [-H HEADER] [-d DATA] [-o FILE] [-w FORMAT] URL", "talk to web servers"),
        ("wget [-q] [-O FILE|-] URL", "fetch from web servers"),
        ("ping [-c COUNT] HOST", "is it there"),
        ("nslookup NAME [SERVER]", "ask DNS"),
        ("dig [@SERVER] NAME [TYPE] [+short]", "ask DNS, in detail"),
        ("nc [-vz] [-w SECONDS] HOST PORT", "a plain connection; -l PORT waits for one"),
        ("ip addr|link|route", "this machine's network"),
        ("netstat [-tulnpa]", "open sockets"),
        ("ss [-tulnpa]", "open sockets"),
        ("hostname [-i]", "this machine's name or address"),
        ("getent hosts NAME", "what a name means here"),
        ("httpd [-f] [-p PORT] [-h DIRECTORY]", "serve files, in the background unless -f says otherwise"),
    ]),
    ("Processes and the system", &[
        ("ps [-ef] [-o COLUMNS]", "list processes"),
        ("top", "the busiest processes; q leaves"),
        ("kill [-SIGNAL] PID...", "end processes"),
        ("killall [-SIGNAL] NAME...", "end processes by name"),
        ("pgrep [-fl] [-u USER] PATTERN", "processes by name"),
        ("pkill [-SIGNAL] [-f] PATTERN", "end processes whose name has a pattern"),
        ("pidof NAME...", "numbers of processes by name"),
        ("killall5 [-SIGNAL]", "end all processes"),
        ("sleep SECONDS", "wait"),
        ("timeout SECONDS COMMAND...", "run, but not too long"),
        ("time COMMAND...", "how long it takes"),
        ("watch [-n SECONDS] COMMAND...", "run again and again; Ctrl-C ends"),
        ("nohup COMMAND...", "go on when the terminal goes away"),
        ("setsid [-c] COMMAND...", "run in a session of its own"),
        ("printenv [NAME]...", "environment variables"),
        ("whoami", "the user's name"),
        ("id", "user and groups"),
        ("uname [-a]", "the kernel"),
        ("uptime", "how long the machine runs"),
        ("free [-m]", "memory"),
        ("nproc", "processors"),
        ("date [+FORMAT]", "time, in UTC"),
        ("which NAME...", "where a program is"),
        ("clear", "an empty screen"),
        ("reset", "repair the terminal"),
        ("tty", "the terminal's name"),
        ("stty [-a|size|sane|raw|[-]echo]", "how the terminal is set"),
        ("tput CAPABILITY [NUMBER]...", "what the terminal can do: cols, bold, setaf 2, sgr0"),
        ("apk add NAME", "does nothing here: tools are built in"),
        ("sync", "nothing to do here"),
    ]),
];

/// A command's usage and purpose.
fn entry(name: &str) -> Option<(&'static str, &'static str)> {
    GROUPS.iter().flat_map(|(_, commands)| *commands).find(|(usage, _)| usage.split(' ').next() == Some(name)).copied()
}

/// The text of `COMMAND --help`; `None` for commands that have to take it as text.
pub(crate) fn of(name: &str) -> Option<String> {
    entry(name).map(|(usage, purpose)| format!("usage: {usage}\n\n  {purpose}\n"))
}

/// All commands by what they are for.
pub(crate) fn overview() -> String {
    let mut out = String::new();
    for (title, commands) in GROUPS {
        let names: Vec<&str> = commands.iter().map(|(usage, _)| usage.split(' ').next().unwrap_or(usage)).collect();
        out.push_str(&group(title, &names));
    }
    out
}

/// A title, and names under it in rows that fit a terminal.
pub(crate) fn group(title: &str, names: &[&str]) -> String {
    let mut out = format!("{title}\n");
    let mut row = String::from(" ");
    for name in names {
        if row.len() + name.len() > 76 {
            out.push_str(&row);
            out.push('\n');
            row = String::from(" ");
        }
        row.push(' ');
        row.push_str(name);
    }
    out + &row + "\n\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_explained_command_exists_and_nearly_every_command_is_explained() {
        let plain = ["[", "ash", "sh", "echo", "printf", "test", "true", "false", "env", "pwd", "hello-kiamol", "whoami-web", "dotnet", "php", "nginx", "su-exec"];
        for (_, name, _) in crate::applets::APPLETS {
            assert_eq!(entry(name).is_some(), !plain.contains(name), "{name}");
        }
        for (usage, _) in GROUPS.iter().flat_map(|(_, commands)| *commands) {
            assert!(crate::applets::find(usage.split(' ').next().unwrap()).is_some(), "{usage}");
        }
    }
}
