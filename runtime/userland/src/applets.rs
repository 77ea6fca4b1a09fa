//! The table of commands, and how they read their options.

use crate::{
    archive, awk, clock, compare, dd, digests, dns, editor, environment, expr, files, find, grep, jq, net, pager, process, sed, servers, shell, terminal, text, transfer,
};

/// A command: arguments with the name first, exit status back.
pub(crate) type Applet = fn(&[String]) -> i32;

/// Every command: its directory in an image, its name, its function.
pub(crate) const APPLETS: &[(&str, &str, Applet)] = &[
    ("/usr/bin", "[", environment::test),
    ("/sbin", "apk", environment::apk),
    ("/bin", "ash", shell::main),
    ("/usr/bin", "awk", awk::awk),
    ("/bin", "base64", digests::base64),
    ("/usr/bin", "basename", files::basename),
    ("/bin", "cat", text::cat),
    ("/bin", "chmod", files::chmod),
    ("/bin", "chown", files::chown),
    ("/usr/bin", "clear", pager::clear),
    ("/usr/bin", "cmp", compare::cmp),
    ("/bin", "cp", files::cp),
    ("/usr/bin", "curl", transfer::curl),
    ("/usr/bin", "cut", text::cut),
    ("/bin", "date", clock::date),
    ("/bin", "dd", dd::dd),
    ("/bin", "df", files::df),
    ("/usr/bin", "diff", compare::diff),
    ("/usr/bin", "dig", dns::dig),
    ("/usr/bin", "dirname", files::dirname),
    ("/usr/bin", "dotnet", servers::dotnet::dotnet),
    ("/usr/bin", "du", files::du),
    ("/bin", "echo", environment::echo),
    ("/bin", "egrep", grep::grep),
    ("/usr/bin", "env", environment::env),
    ("/usr/bin", "expr", expr::expr),
    ("/usr/bin", "fallocate", dd::fallocate),
    ("/bin", "false", environment::no),
    ("/bin", "fgrep", grep::grep),
    ("/usr/bin", "find", find::find),
    ("/usr/bin", "free", process::free),
    ("/usr/bin", "getent", net::getent),
    ("/bin", "grep", grep::grep),
    ("/bin", "gunzip", archive::gunzip),
    ("/bin", "gzip", archive::gzip),
    ("/usr/bin", "head", text::head),
    ("/usr/bin", "hello-kiamol", servers::files::hello_kiamol),
    ("/usr/bin", "hexdump", text::hexdump),
    ("/bin", "hostname", environment::hostname),
    ("/usr/bin", "httpd", servers::files::httpd),
    ("/usr/bin", "id", environment::id),
    ("/sbin", "ip", net::ip),
    ("/bin", "kill", process::kill),
    ("/usr/bin", "jq", jq::jq),
    ("/usr/bin", "killall", process::killall),
    ("/sbin", "killall5", process::killall5),
    ("/usr/bin", "less", pager::less),
    ("/bin", "ln", files::ln),
    ("/bin", "ls", files::ls),
    ("/usr/bin", "md5sum", digests::md5sum),
    ("/bin", "mkdir", files::mkdir),
    ("/bin", "mktemp", files::mktemp),
    ("/usr/bin", "mkfifo", files::mkfifo),
    ("/bin", "more", pager::less),
    ("/bin", "mount", files::mount),
    ("/bin", "mv", files::mv),
    ("/usr/bin", "nano", editor::nano),
    ("/usr/bin", "nc", net::nc),
    ("/bin", "netstat", net::netstat),
    ("/usr/sbin", "nginx", servers::nginx::nginx),
    ("/usr/bin", "nl", text::nl),
    ("/usr/bin", "nohup", process::nohup),
    ("/usr/bin", "nproc", environment::nproc),
    ("/usr/bin", "nslookup", dns::nslookup),
    ("/usr/bin", "pgrep", process::pgrep),
    ("/usr/bin", "php", servers::adminer::php),
    ("/bin", "pidof", process::pidof),
    ("/bin", "ping", net::ping),
    ("/usr/bin", "pkill", process::pkill),
    ("/bin", "printenv", environment::printenv),
    ("/usr/bin", "printf", environment::printf),
    ("/bin", "ps", process::ps),
    ("/bin", "pwd", environment::pwd),
    ("/usr/bin", "readlink", files::readlink),
    ("/usr/bin", "realpath", files::realpath),
    ("/usr/bin", "reset", pager::reset),
    ("/usr/bin", "rev", text::rev),
    ("/bin", "rm", files::rm),
    ("/bin", "rmdir", files::rmdir),
    ("/bin", "sed", sed::sed),
    ("/usr/bin", "seq", text::seq),
    ("/usr/bin", "setsid", process::setsid),
    ("/bin", "sh", shell::main),
    ("/usr/bin", "sha1sum", digests::sha1sum),
    ("/usr/bin", "sha256sum", digests::sha256sum),
    ("/usr/bin", "sha512sum", digests::sha512sum),
    ("/bin", "sleep", clock::sleep),
    ("/usr/bin", "sort", text::sort),
    ("/usr/bin", "ss", net::netstat),
    ("/bin", "stat", files::stat),
    ("/bin", "stty", terminal::stty),
    ("/sbin", "su-exec", process::su_exec),
    ("/bin", "sync", environment::yes_status),
    ("/usr/bin", "tac", text::tac),
    ("/usr/bin", "tail", text::tail),
    ("/bin", "tar", archive::tar),
    ("/usr/bin", "tee", text::tee),
    ("/usr/bin", "test", environment::test),
    ("/usr/bin", "time", clock::time),
    ("/usr/bin", "timeout", clock::timeout),
    ("/usr/bin", "top", process::top),
    ("/bin", "touch", files::touch),
    ("/usr/bin", "tput", terminal::tput),
    ("/usr/bin", "tr", text::tr),
    ("/usr/bin", "tree", find::tree),
    ("/bin", "true", environment::yes_status),
    ("/usr/bin", "truncate", dd::truncate),
    ("/usr/bin", "tty", environment::tty),
    ("/bin", "uname", environment::uname),
    ("/usr/bin", "uniq", text::uniq),
    ("/usr/bin", "uptime", process::uptime),
    ("/bin", "vi", editor::vi),
    ("/usr/bin", "watch", clock::watch),
    ("/usr/bin", "wc", text::wc),
    ("/usr/bin", "wget", transfer::wget),
    ("/usr/bin", "which", environment::which),
    ("/usr/bin", "whoami", environment::whoami),
    ("/usr/bin", "whoami-web", servers::whoami::whoami_web),
    ("/usr/bin", "xargs", find::xargs),
    ("/usr/bin", "xxd", text::hexdump),
    ("/usr/bin", "yes", text::yes),
    ("/bin", "zcat", archive::zcat),
];

/// The applet of this name.
pub(crate) fn find(name: &str) -> Option<Applet> {
    APPLETS.iter().find(|(_, known, _)| *known == name).map(|(.., applet)| *applet)
}

/// The paths an image links to the binary, sorted.
pub(crate) fn links() -> Vec<String> {
    let mut all: Vec<String> = APPLETS.iter().map(|(directory, name, _)| format!("{directory}/{name}")).collect();
    all.sort();
    all
}

/// Options and operands of a command line.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    options: Vec<(char, String)>,
    /// What is not an option.
    pub(crate) operands: Vec<String>,
}

impl Arguments {
    /// Reads a command line. `letters` is as for getopt ("n:f": -n takes a value). `long` names map to letters.
    /// An unknown option is complained about and gives `None`.
    pub(crate) fn parse(words: &[String], letters: &str, long: &[(&str, char)]) -> Option<Self> {
        let applet = words.first().map_or("", String::as_str);
        match Self::try_parse(words.get(1..).unwrap_or_default(), letters, long) {
            Ok(arguments) => Some(arguments),
            Err(message) => {
                crate::complain(applet, message);
                None
            }
        }
    }

    fn try_parse(words: &[String], letters: &str, long: &[(&str, char)]) -> Result<Self, String> {
        let takes_value = |letter: char| letters.contains(&format!("{letter}:"));
        let mut parsed = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                parsed.operands.extend(words.cloned());
                break;
            }
            if let Some(name) = word.strip_prefix("--") {
                let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
                let letter = long.iter().find(|(known, _)| *known == name).map(|(_, letter)| *letter);
                let letter = letter.ok_or_else(|| format!("unrecognized option: {name}"))?;
                let value = match value {
                    Some(value) => value.to_owned(),
                    None if takes_value(letter) => words.next().ok_or_else(|| format!("option requires an argument: {name}"))?.clone(),
                    None => String::new(),
                };
                parsed.options.push((letter, value));
                continue;
            }
            let Some(cluster) = word.strip_prefix('-').filter(|cluster| !cluster.is_empty()) else {
                parsed.operands.push(word.clone());
                continue;
            };
            // `head -5` and `tail -5`.
            if cluster.chars().all(|next| next.is_ascii_digit()) && takes_value('n') {
                parsed.options.push(('n', cluster.to_owned()));
                continue;
            }
            let mut rest = cluster.chars();
            while let Some(letter) = rest.next() {
                if letter == ':' || !letters.contains(letter) {
                    return Err(format!("unrecognized option: {letter}"));
                }
                if !takes_value(letter) {
                    parsed.options.push((letter, String::new()));
                    continue;
                }
                let attached: String = rest.by_ref().collect();
                let value = if attached.is_empty() {
                    words.next().ok_or_else(|| format!("option requires an argument: {letter}"))?.clone()
                } else {
                    attached
                };
                parsed.options.push((letter, value));
            }
        }
        Ok(parsed)
    }

    /// True when the option was given.
    pub(crate) fn has(&self, letter: char) -> bool {
        self.options.iter().any(|(known, _)| *known == letter)
    }

    /// The option's last value.
    pub(crate) fn value(&self, letter: char) -> Option<&str> {
        self.options.iter().rev().find(|(known, _)| *known == letter).map(|(_, value)| value.as_str())
    }

    /// All the option's values in order.
    pub(crate) fn values(&self, letter: char) -> Vec<&str> {
        self.options.iter().filter(|(known, _)| *known == letter).map(|(_, value)| value.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_sorted_well_enough_to_read() {
        for (_, name, _) in APPLETS {
            assert_eq!(APPLETS.iter().filter(|(_, other, _)| other == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn options_cluster_take_values_and_end() {
        let words: Vec<String> = ["x", "-ab", "-n3", "-5", "--lines", "7", "file", "--", "-z"].map(str::to_owned).to_vec();
        let arguments = Arguments::parse(&words, "abn:", &[("lines", 'n')]).unwrap();
        assert!(arguments.has('a') && arguments.has('b') && !arguments.has('z'));
        assert_eq!(arguments.values('n'), ["3", "5", "7"]);
        assert_eq!(arguments.operands, ["file", "-z"]);
    }
}
