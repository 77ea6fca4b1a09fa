//! What `kubectl completion SHELL` prints.
//!
//! The scripts ask `kubectl __complete` for words and do with them what its last line says, a colon and the sum of: 1 it went wrong,
//! 2 no space behind a word, 4 no files where nothing is offered, 8 files with the endings that are offered, 16 directories, inside of the
//! one that is offered, 32 the order is meant. What is offered may be called anything, so no word of it is ever expanded:
//! `compgen -W` would run what stands in `$(...)`.
// upstream: spf13/cobra/site/content/completions/_index.md

pub(super) const BASH: &str = r#"# bash completion for kubectl
# What the shell will make of a word that is quoted as a whole, begins with a tilde or is one variable. Anything else would have to be run.
__kubectl_plain() {
    local word=$1 flag= single="^'([^']*)'\$" double='^"([^"$`\]*)"$' variable='^"?\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?"?$'
    [[ $word == -*=* ]] && flag=${word%%=*}= word=${word#*=}
    if [[ $word =~ $single || $word =~ $double ]]; then
        word=${BASH_REMATCH[1]}
    elif [[ $word =~ $variable && -n ${!BASH_REMATCH[1]} ]]; then
        word=${!BASH_REMATCH[1]}
    elif [[ $word == '~' || $word == '~/'* ]]; then
        word=$HOME${word#'~'}
    fi
    plain+=("$flag$word")
}
__kubectl_words() {
    local line=$COMP_LINE word= flag= typed before index ending directive=0
    local -a words=() plain=() offered=() files=()
    COMPREPLY=()
    # bash cuts the line at = and : too: what stands together is one word again.
    for (( index = 0; index <= COMP_CWORD; index++ )); do
        if (( index == 0 )) || [[ $line == [[:space:]]* ]]; then
            words+=("${COMP_WORDS[index]}")
        else
            words[${#words[@]}-1]+=${COMP_WORDS[index]}
        fi
        line=${line#"${line%%[![:space:]]*}"}
        line=${line#"${COMP_WORDS[index]}"}
    done
    word=${words[${#words[@]}-1]}
    [[ $word == -*=* ]] && flag=${word%%=*}=
    typed=${word#"$flag"}
    # What bash leaves as it stands.
    before=${word%"${COMP_WORDS[COMP_CWORD]}"}
    [[ ${COMP_WORDS[COMP_CWORD]} == [=:] ]] && before=$word
    for (( index = 1; index < ${#words[@]} - 1; index++ )); do
        __kubectl_plain "${words[index]}"
    done
    mapfile -t offered < <(kubectl __completeNoDesc "${plain[@]}" "$word" </dev/null 2>/dev/null)
    (( ${#offered[@]} )) || return 0
    word=${offered[${#offered[@]}-1]}
    if [[ $word =~ ^:[0-9]+$ ]]; then
        directive=$(( 10#${word#:} ))
        unset 'offered[${#offered[@]}-1]'
    fi
    (( directive & 5 )) && compopt +o default
    (( directive & 1 )) && return 0
    (( directive & 2 )) && compopt -o nospace
    (( directive & 32 )) && compopt -o nosort 2>/dev/null
    if (( directive & 24 )); then
        compopt -o filenames
        if (( directive & 16 )); then
            mapfile -t files < <(cd -- "${offered[0]:-.}" 2>/dev/null && compgen -d -- "$typed")
        else
            mapfile -t files < <(compgen -d -- "$typed")
            for ending in "${offered[@]}"; do
                mapfile -t -O "${#files[@]}" files < <(compgen -f -X "!*.$ending" -- "$typed")
            done
        fi
        for word in "${files[@]}"; do
            word=$flag$word
            COMPREPLY+=("${word#"$before"}")
        done
        return 0
    fi
    for word in "${offered[@]}"; do
        [[ -z $word || $word != "$typed"* ]] && continue
        word=$flag$word
        printf -v word %q "${word#"$before"}"
        COMPREPLY+=("$word")
    done
    # What goes on behind a slash.
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace
    return 0
}
# The name that the documentation gives to aliases.
__start_kubectl() {
    __kubectl_words "$@"
}
complete -o default -F __start_kubectl kubectl
"#;

pub(super) const ZSH: &str = r#"#compdef kubectl
compdef _kubectl kubectl
_kubectl() {
    setopt localoptions extendedglob
    local -a offered options plain
    local directive=0 word flag
    # What the shell will make of a word without running anything.
    for word in "${(@)words[2,CURRENT-1]}"; do
        flag=
        [[ $word == -*=* ]] && flag=${word%%=*}= word=${word#*=}
        [[ $word == '"$'[A-Za-z0-9_]##'"' ]] && word=${word[2,-2]}
        case $word in
            '~'|'~/'*) word=$HOME${word#\~} ;;
            '$'[A-Za-z_]*) [[ ${word#\$} == [A-Za-z0-9_]## && -n ${(P)${word#\$}} ]] && word=${(P)${word#\$}} ;;
            *) word=${(Q)word} ;;
        esac
        plain+=("$flag$word")
    done
    offered=("${(@f)$(kubectl __completeNoDesc "${(@)plain}" "${words[CURRENT]}" </dev/null 2>/dev/null)}")
    if [[ ${offered[-1]} == :<-> ]]; then
        directive=${offered[-1]#:}
        offered[-1]=()
    fi
    offered=("${(@)offered:#}")
    (( directive & 1 )) && return 1
    [[ ${words[CURRENT]} == -*=* ]] && compset -P 1 '*='
    if (( directive & 16 )); then
        if (( ${#offered} )); then
            _files -W "${offered[1]:a}" -/
        else
            _files -/
        fi
        return
    fi
    if (( directive & 8 )); then
        offered=("${(@b)offered}")
        _files -g "*.(${(j:|:)offered})(-.)"
        return
    fi
    (( directive & 2 )) && options+=(-S '')
    (( directive & 32 )) && options+=(-V kubectl)
    compadd "${options[@]}" -a offered && return
    (( directive & 4 )) || _files
}
# As a file of $fpath, this is the body of the function the first time.
if [[ $funcstack[1] == _kubectl ]]; then
    _kubectl "$@"
fi
"#;

/// fish puts no space behind a slash or a colon, which is what ends a word here that goes on.
pub(super) const FISH: &str = r#"# fish completion for kubectl
function __kubectl_says
    test (math "floor($argv[1] / $argv[2]) % 2") -eq 1
end
# The paths that begin like this, folders with a slash; a tilde stays one.
function __kubectl_paths
    set -l begun $argv[1]
    string match -qr '^~(/|$)' -- $begun
    and set begun $HOME(string sub -s 2 -- $begun)
    for path in $begun*
        test -d $path
        and set path $path/
        test "$begun" != "$argv[1]"
        and set path '~'(string sub -s (math (string length -- $HOME) + 1) -- $path)
        echo $path
    end
end
function __kubectl_words
    set -l token (commandline -ct)
    set -l flag (string match -r -- '^-[^=]*=' "$token"; or echo)
    set -l begun (string replace -r -- '^-[^=]*=' '' "$token")
    set -l plain
    for word in (commandline -opc)[2..-1]
        set -l name (string match -r -- '^\$(\w+)$' $word)[2]
        if set -q name[1]
            and set -q $name
            set word $$name
        end
        set -a plain (string replace -r -- '^(-[^=]*=)?~(?=/|$)' "\$1$HOME" $word)
    end
    set -l offered (kubectl __complete $plain "$token" </dev/null 2>/dev/null)
    set -l directive 0
    if string match -qr '^:[0-9]+$' -- "$offered[-1]"
        set directive (string sub -s 2 -- $offered[-1])
        set -e offered[-1]
    end
    __kubectl_says $directive 1
    and return
    if __kubectl_says $directive 16
        set -l inside ''
        set -q offered[1]
        and set inside $offered[1]/
        for folder in (__kubectl_paths $inside$begun | string match '*/')
            echo $flag(string sub -s (math (string length -- "$inside") + 1) -- $folder)
        end
    else if __kubectl_says $directive 8
        for file in (__kubectl_paths $begun)
            for ending in '*/' '*.'$offered
                string match -q -- $ending $file
                and echo $flag$file
                and break
            end
        end
    else if set -q offered[1]
        if __kubectl_says $directive 32
            printf '%s\n' $flag$offered
        else
            printf '%s\n' $flag$offered | sort
        end
    else if not __kubectl_says $directive 4
        for file in (__kubectl_paths $begun)
            echo $flag$file
        end
    end
end
complete -c kubectl -f -k -a '(__kubectl_words)'
"#;

#[cfg(test)]
mod tests {
    use super::*;

    /// What bash makes of `offered` behind `words`, the last of which is being typed, in the line `line`: calls of `compopt`, then words.
    /// In front is what kubectl was asked, from `?` on.
    fn completed_line(folder: &std::path::Path, words: &[&str], line: &str, offered: &str) -> (String, String) {
        let script = format!(
            "kubectl() {{ (IFS='|'; echo \"?${{*:2}}\") >&9; printf %s \"$OFFERED\"; }}\ncompopt() {{ echo \"$*\"; }}\n{BASH}\nCOMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMP_LINE=$LINE; __start_kubectl 9>&1\nfor word in \"${{COMPREPLY[@]}}\"; do echo \"<$word>\"; done"
        );
        let mut bash = std::process::Command::new("bash");
        bash.args(["--norc", "-c", &script, "bash"]).args(words).current_dir(folder).env("OFFERED", offered).env("LINE", line);
        let output = bash.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{offered:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        let (asked, mut said): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('?'));
        said.sort_unstable();
        (asked.concat(), said.join(" "))
    }

    /// The same for `kubectl --context TYPED`.
    fn completed(folder: &std::path::Path, offered: &str, typed: &str) -> String {
        completed_line(folder, &["kubectl", "--context", typed], &format!("kubectl --context {typed}"), offered).1
    }

    #[test]
    fn bash_joins_what_it_has_cut_at_equals_signs_and_colons() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), "").unwrap();
        let cases: [(&[&str], &str, &str, &str, &str); 9] = [
            (&["get", "--output", "=", "js"], "get --output=js", "json\nyaml\n:4\n", "?get|--output=js", "+o default <json>"),
            (&["get", "--output", "="], "get  --output=", "json\nyaml\n:4\n", "?get|--output=", "+o default <json> <yaml>"),
            (&["get", "--output=js"], "get --output=js", "json\n:4\n", "?get|--output=js", "+o default <--output=json>"),
            (&["apply", "--filename", "=", "a"], "apply --filename=a", "yaml\n:8\n", "?apply|--filename=a", "-o filenames <a.yaml>"),
            (&["get", "-l", "app", "=", "we"], "get -l app=we", "app=web\n:0\n", "?get|-l|app=we", "<web>"),
            (&["cp", "web", ":"], "cp web:", "web:/tmp\n:2\n", "?cp|web:", "-o nospace </tmp>"),
            (&["cp", "web", ":", "/t"], "cp web:/t", "web:/tmp\n:2\n", "?cp|web:/t", "-o nospace </tmp>"),
            (&["label", "pod", "web", "a", "=", "b", ""], "label pod web a=b ", "c\n:0\n", "?label|pod|web|a=b|", "<c>"),
            (&["get", "-n", "=", "kube"], "get -n=kube", "kube-system\n:4\n", "?get|-n=kube", "+o default <kube-system>"),
        ];
        for (words, line, offered, asked, said) in cases {
            let words: Vec<&str> = ["kubectl"].into_iter().chain(words.iter().copied()).collect();
            let line = format!("kubectl {line}");
            assert_eq!(completed_line(folder.path(), &words, &line, offered), (asked.to_owned(), said.to_owned()), "{line}");
        }
    }

    #[test]
    fn bash_asks_with_what_the_words_before_mean() {
        let folder = tempfile::tempdir().unwrap();
        let home = std::env::var("HOME").unwrap_or_default();
        let trap = folder.path().join("trap");
        let run = format!("$(touch {})", trap.display());
        let cases = [
            ("~/config", format!("{home}/config")),
            ("--kubeconfig=~/config", format!("--kubeconfig={home}/config")),
            ("'a b'", "a b".to_owned()),
            ("\"a b\"", "a b".to_owned()),
            ("$LINE", "kubectl -n $LINE ".to_owned()),
            ("\"${LINE}\"", "kubectl -n \"${LINE}\" ".to_owned()),
            // What is not set, or would have to be run, stays as it is.
            ("$NOWHERE", "$NOWHERE".to_owned()),
            ("a~/b", "a~/b".to_owned()),
            (run.as_str(), run.clone()),
            (&format!("\"{run}\""), format!("\"{run}\"")),
        ];
        for (word, asked) in cases {
            let (said, _) = completed_line(folder.path(), &["kubectl", "-n", word, ""], &format!("kubectl -n {word} "), ":4\n");
            assert_eq!(said, format!("?-n|{asked}|"), "{word}");
        }
        assert!(!trap.exists(), "a word was run");
    }

    #[test]
    fn bash_does_what_the_directive_says() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.yaml", "a.txt", "a b.json"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir_all(folder.path().join("app/inner")).unwrap();
        let cases = [
            // Words; files where there are none, for `-o default` stays.
            ("one\ntwo\n:0\n", "", "<one> <two>"),
            ("one\ntwo\n:0\n", "o", "<one>"),
            (":0\n", "", ""),
            ("", "", ""),
            // It went wrong: nothing, no files either.
            ("one\n:1\n", "", "+o default"),
            ("one\n:2\n", "", "-o nospace <one>"),
            ("one\n:4\n", "", "+o default <one>"),
            ("one\n:6\n", "", "+o default -o nospace <one>"),
            ("pods/\n:4\n", "", "+o default -o nospace <pods/>"),
            ("json\nyaml\n:8\n", "", "-o filenames <a b.json> <a.yaml> <app>"),
            ("json\nyaml\n:8\n", "a.", "-o filenames <a.yaml>"),
            (":16\n", "", "-o filenames <app>"),
            ("app\n:16\n", "in", "-o filenames <inner>"),
            ("nowhere\n:16\n", "", "-o filenames"),
            ("two\none\n:36\n", "", "+o default -o nosort <one> <two>"),
        ];
        for (offered, typed, expected) in cases {
            assert_eq!(completed(folder.path(), offered, typed), expected, "{offered:?} {typed:?}");
        }
    }

    /// What the shell prints of the script, with `offered` by a kubectl and `line` in its environment; nothing where it is not installed.
    fn spoken(shell: &str, script: &str, folder: &std::path::Path, line: &str, offered: &str) -> Option<String> {
        let plain = if shell == "fish" { "--no-config" } else { "-f" };
        let mut command = std::process::Command::new(shell);
        command.args([plain, "-c", script]).current_dir(folder).env("HOME", folder).env("OFFERED", offered).env("LINE", line);
        let Ok(output) = command.output() else {
            println!("{shell} is not installed: what is printed for it is not tested");
            return None;
        };
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shell} {line:?} {offered:?}");
        Some(String::from_utf8_lossy(&output.stdout).lines().collect::<Vec<_>>().join(" "))
    }

    /// A folder with files and folders in it.
    fn filled() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("d/inner")).unwrap();
        std::fs::write(folder.path().join("d/a.yaml"), "").unwrap();
        std::fs::write(folder.path().join("d/a.txt"), "").unwrap();
        folder
    }

    #[test]
    fn fish_does_what_the_directive_says() {
        let folder = filled();
        let script = format!("function kubectl; printf %s \"$OFFERED\"; end\n{FISH}\ncomplete -C \"$LINE\"");
        let cases = [
            ("-n k", "kube\n:4\n", "kube"),
            ("-f d/", "yaml\n:8\n", "d/a.yaml d/inner/"),
            ("-f ~/d/", "yaml\n:8\n", "~/d/a.yaml ~/d/inner/"),
            ("--filename=~/d/", "yaml\n:8\n", "--filename=~/d/a.yaml --filename=~/d/inner/"),
            ("--cache-dir ", ":16\n", "d/"),
            ("--cache-dir ~/d/", ":16\n", "~/d/inner/"),
            ("--cache-dir in", "d\n:16\n", "inner/"),
            ("-f d/a", ":0\n", "d/a.txt d/a.yaml"),
            ("-f ~/d/i", ":0\n", "~/d/inner/"),
            ("-f d/", ":4\n", ""),
        ];
        for (line, offered, wanted) in cases {
            let Some(said) = spoken("fish", &script, folder.path(), &format!("kubectl apply {line}"), offered) else { return };
            assert_eq!(said, wanted, "{line} {offered:?}");
        }
    }

    #[test]
    fn zsh_does_what_the_directive_says_also_the_first_time() {
        let folder = filled();
        std::fs::write(folder.path().join("_kubectl"), ZSH).unwrap();
        // What zsh has while it completes, as far as it is used.
        let told = "compdef() { : }; compset() { : }; _files() { print -r -- files $* }; compadd() { print -r -- add $* : $offered }; kubectl() { print -rn -- $OFFERED }; words=(${(z)LINE} ''); CURRENT=$#words";
        let cases = [
            ("kube\n:4\n", "add -a offered : kube".to_owned()),
            ("kube:\n:6\n", "add -S -a offered : kube:".to_owned()),
            ("yaml\njson\n:8\n", "files -g *.(yaml|json)(-.)".to_owned()),
            (":16\n", "files -/".to_owned()),
            ("d\n:16\n", format!("files -W {} -/", folder.path().join("d").display())),
            ("d\n:1\n", String::new()),
        ];
        for (offered, wanted) in cases {
            let sourced = format!("{told}\nsource ./_kubectl; _kubectl");
            let found = format!("{told}\nfpath=($PWD); autoload -Uz _kubectl; _kubectl");
            for script in [sourced, found] {
                let Some(said) = spoken("zsh", &script, folder.path(), "kubectl get", offered) else { return };
                assert_eq!(said, wanted, "{offered:?}");
            }
        }
    }

    #[test]
    fn bash_runs_nothing_of_what_it_is_offered() {
        let folder = tempfile::tempdir().unwrap();
        let trap = folder.path().join("trap");
        // Names of a kubeconfig, as `__completeNoDesc` prints them.
        let names = format!("$(touch {0})\n`touch {0}`\n<(touch {0})\na[$(touch {0})]\na b\na;c\n$HOME\n*\nplain\n", trap.display());
        let named = format!("<\\$\\(touch\\ {}\\)>", trap.display());
        for (typed, count, first) in [("", 9, named.as_str()), ("$", 2, named.as_str()), ("a ", 1, "<a\\ b>"), ("pl", 1, "<plain>"), ("z", 0, "")] {
            let words = completed(folder.path(), &format!("{names}:0\n"), typed);
            assert_eq!(words.matches('<').count() - words.matches("<\\<").count(), count, "{typed:?} {words}");
            assert!(words.contains(first), "{typed:?} {words}");
        }
        for directive in [1, 2, 4, 8, 16, 32, 63] {
            completed(folder.path(), &format!("{names}:{directive}\n"), "");
        }
        completed(folder.path(), &format!("{names}:a[$(touch {})]\n", trap.display()), "");
        assert!(!trap.exists(), "a name was run");
    }
}
