//! stty and tput: what a terminal is set to, and what it can do.

use std::io::Write as _;

use nix::sys::termios::{ControlFlags, InputFlags, LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};

use crate::{complain, sys};

/// `stty [-a | size | sane | raw | [-]echo | [-]icanon | [-]isig]...`
pub(crate) fn stty(words: &[String]) -> i32 {
    let terminal = sys::borrow(0);
    let mut state = match tcgetattr(terminal) {
        Ok(state) => state,
        Err(error) => {
            complain("stty", format!("standard input: {}", error.desc()));
            return 1;
        }
    };
    let (columns, rows) = sys::window_size(0);
    if words.len() < 2 || words[1] == "-a" {
        println!("speed 38400 baud; rows {rows}; columns {columns};");
        println!("{}", flags(&state));
        return 0;
    }
    for word in &words[1..] {
        if word == "size" {
            println!("{rows} {columns}");
        } else if !set(&mut state, word) {
            complain("stty", format!("invalid argument '{word}'"));
            return 1;
        }
    }
    match tcsetattr(terminal, SetArg::TCSADRAIN, &state) {
        Ok(()) => 0,
        Err(error) => {
            complain("stty", format!("standard input: {}", error.desc()));
            1
        }
    }
}

/// The flags that can be set one by one.
const FLAGS: [(&str, LocalFlags); 4] =
    [("echo", LocalFlags::ECHO), ("icanon", LocalFlags::ICANON), ("isig", LocalFlags::ISIG), ("iexten", LocalFlags::IEXTEN)];

fn flags(state: &Termios) -> String {
    FLAGS.map(|(name, flag)| format!("{}{name}", if state.local_flags.contains(flag) { "" } else { "-" })).join(" ")
}

fn set(state: &mut Termios, word: &str) -> bool {
    match word {
        "raw" | "-cooked" => nix::sys::termios::cfmakeraw(state),
        "sane" | "cooked" | "-raw" => {
            state.input_flags.insert(InputFlags::BRKINT | InputFlags::ICRNL | InputFlags::IXON);
            state.output_flags.insert(OutputFlags::OPOST | OutputFlags::ONLCR);
            state.control_flags.insert(ControlFlags::CREAD);
            state.local_flags.insert(LocalFlags::ECHO | LocalFlags::ECHOE | LocalFlags::ECHOK | LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::IEXTEN);
            state.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
            state.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        }
        _ => {
            let (on, name) = word.strip_prefix('-').map_or((true, word), |name| (false, name));
            let Some((_, flag)) = FLAGS.iter().find(|(known, _)| *known == name) else { return false };
            state.local_flags.set(*flag, on);
        }
    }
    true
}

/// `tput CAPABILITY [NUMBER]...`: the few that scripts ask for, as every terminal of today has them.
pub(crate) fn tput(words: &[String]) -> i32 {
    let Some(name) = words.get(1) else {
        complain("tput", "usage: tput CAPABILITY [NUMBER]...");
        return 2;
    };
    let number = |index: usize| words.get(index).and_then(|word| word.parse::<u32>().ok()).unwrap_or(0);
    let text = match name.as_str() {
        "cols" | "lines" => {
            let (columns, rows) = [1, 2, 0].into_iter().find(|fd| sys::is_terminal(*fd)).map_or((80, 24), sys::window_size);
            println!("{}", if name == "cols" { columns } else { rows });
            return 0;
        }
        "colors" => "8\n".to_owned(),
        "clear" => "\x1b[H\x1b[2J\x1b[3J".to_owned(),
        "reset" | "init" => "\x1bc".to_owned(),
        "sgr0" => "\x1b[0m".to_owned(),
        "bold" => "\x1b[1m".to_owned(),
        "dim" => "\x1b[2m".to_owned(),
        "smul" => "\x1b[4m".to_owned(),
        "rmul" => "\x1b[24m".to_owned(),
        "rev" | "smso" => "\x1b[7m".to_owned(),
        "rmso" => "\x1b[27m".to_owned(),
        "el" => "\x1b[K".to_owned(),
        "ed" => "\x1b[J".to_owned(),
        "home" => "\x1b[H".to_owned(),
        "civis" => "\x1b[?25l".to_owned(),
        "cnorm" => "\x1b[?25h".to_owned(),
        "smcup" => "\x1b[?1049h".to_owned(),
        "rmcup" => "\x1b[?1049l".to_owned(),
        "setaf" => format!("\x1b[3{}m", number(2) % 8),
        "setab" => format!("\x1b[4{}m", number(2) % 8),
        "cup" => format!("\x1b[{};{}H", number(2) + 1, number(3) + 1),
        other => {
            complain("tput", format!("unknown terminfo capability '{other}'"));
            return 4;
        }
    };
    let mut out = std::io::stdout();
    i32::from(out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_an_answer_or_a_complaint() {
        for (name, wanted) in [("bold", 0), ("cols", 0), ("nonsense", 4)] {
            assert_eq!(tput(&["tput".to_owned(), name.to_owned()]), wanted, "{name}");
        }
        assert_eq!(tput(&["tput".to_owned()]), 2);
    }
}
