//! The editor: which program it is, and what it leaves of a text.
// upstream: kubectl/pkg/cmd/util/editor/editor.go

use std::path::{Path, PathBuf};
use std::process::Command as Process;

use crate::environment::Environment;
use crate::failure::Failure;

/// A program with its words; the file's path is one more, or joins the last one when a shell reads it.
#[derive(Debug, PartialEq, Eq)]
struct Editor {
    words: Vec<String>,
    shell: bool,
}

impl Editor {
    /// `KUBE_EDITOR`, `EDITOR` or vi. Quotes are left to a shell.
    fn find(env: &Environment) -> Self {
        let line = env.get("KUBE_EDITOR").or(env.get("EDITOR")).unwrap_or("vi");
        if line.contains(' ') && line.contains(['"', '\'', '\\']) {
            let shell = env.get("SHELL").unwrap_or("/bin/bash");
            return Self { words: [shell, "-c", line].map(str::to_owned).to_vec(), shell: true };
        }
        Self { words: line.split(' ').map(str::to_owned).collect(), shell: false }
    }

    fn open(&self, path: &Path) -> Result<(), Failure> {
        let shown = path.display().to_string();
        let mut words = self.words.clone();
        match words.last_mut().filter(|_| self.shell) {
            Some(last) => last.push_str(&format!(" {shown:?}")),
            None => words.push(shown),
        }
        let line = self.words.join(" ");
        let failed = |_| Failure::new(format!("unable to launch the editor {line:?}"));
        let status = Process::new(&words[0]).args(&words[1..]).status().map_err(failed)?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("there was a problem with the editor {line:?}"))) }
    }
}

/// What a person makes of a text, and the file it is kept in.
pub(super) fn edit(env: &Environment, text: &str, suffix: &str) -> Result<(String, PathBuf), Failure> {
    let file = tempfile::Builder::new().prefix("kubectl-edit-").suffix(suffix).tempfile()?;
    std::fs::write(file.path(), text)?;
    let path = file.into_temp_path().keep().map_err(|error| Failure::new(error.to_string()))?;
    Editor::find(env).open(&path)?;
    Ok((String::from_utf8_lossy(&std::fs::read(&path)?).into_owned(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_left_to_a_shell() {
        let cases = [
            (vec![], vec!["vi"], false),
            (vec![("EDITOR", "nano")], vec!["nano"], false),
            (vec![("EDITOR", "nano"), ("KUBE_EDITOR", "code --wait")], vec!["code", "--wait"], false),
            (vec![("KUBE_EDITOR", "sed -i 's/a/b/'"), ("SHELL", "/bin/zsh")], vec!["/bin/zsh", "-c", "sed -i 's/a/b/'"], true),
        ];
        for (variables, words, shell) in cases {
            let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let env = Environment { variables, directory: PathBuf::new() };
            assert_eq!(Editor::find(&env), Editor { words: words.into_iter().map(str::to_owned).collect(), shell });
        }
    }
}
