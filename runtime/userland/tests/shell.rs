//! The shell through its binary: scripts in, output and status out.

use std::{
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

const BINARY: &str = env!("CARGO_BIN_EXE_drydock-userland");

/// A directory with a link for every command, as an image has them.
fn links(directory: &Path) {
    let output = Command::new(BINARY).arg("--links").output().unwrap();
    for path in String::from_utf8(output.stdout).unwrap().lines() {
        symlink(BINARY, directory.join(path.rsplit('/').next().unwrap())).unwrap();
    }
}

struct System {
    directory: tempfile::TempDir,
}

impl System {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("bin")).unwrap();
        std::fs::create_dir(directory.path().join("work")).unwrap();
        links(&directory.path().join("bin"));
        Self { directory }
    }

    /// Runs a script; gives its output and status.
    fn run(&self, script: &str) -> (String, i32) {
        let bin = self.directory.path().join("bin");
        let output = Command::new(bin.join("sh"))
            .args(["-c", script])
            .env_clear()
            .env("PATH", &bin)
            .env("HOME", "/home/me")
            .current_dir(self.directory.path().join("work"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap_or(-1))
    }

    fn check(&self, cases: &[(&str, &str, i32)]) {
        for (script, wanted, status) in cases {
            let (output, code) = self.run(script);
            assert_eq!((output.as_str(), code), (*wanted, *status), "script: {script}");
        }
    }
}

#[test]
fn words_expand_as_posix_says() {
    System::new().check(&[
        ("echo a  'b  c' \"d  e\"", "a b  c d  e\n", 0),
        ("x='a b'; echo $x \"$x\" '$x' \\$x", "a b a b $x $x\n", 0),
        ("x='a  b'; printf '<%s>' $x; echo", "<a><b>\n", 0),
        ("x='a  b'; printf '<%s>' \"$x\"; echo", "<a  b>\n", 0),
        ("echo ${x:-none} ${x-none} ${x:=set} $x", "none none set set\n", 0),
        ("x=; echo \"${x:-empty}\" \"${x-set}\" \"${x:+no}\"", "empty  \n", 0),
        ("p=/a/b/c.tar.gz; echo ${p##*/} ${p#*/} ${p%.*} ${p%%.*}", "c.tar.gz a/b/c.tar.gz /a/b/c.tar /a/b/c\n", 0),
        ("x=hello; echo ${#x} ${x:1:3} ${x/l/L} ${x//l/L}", "5 ell heLlo heLLo\n", 0),
        ("echo $(echo $(echo deep)) `echo back`", "deep back\n", 0),
        ("echo $((2 + 3 * 4)) $(( (1<<4) | 1 )) $((7/2)) $((7%2)) $((5>3 && 2<1))", "14 17 3 1 0\n", 0),
        ("i=1; echo $((i++)) $i $((i+=5)) $i", "1 2 7 7\n", 0),
        ("set -- a 'b c' d; printf '<%s>' \"$@\"; echo; printf '<%s>' $*; echo; echo $# $2", "<a><b c><d>\n<a><b><c><d>\n3 b c\n", 0),
        ("set --; printf '<%s>' \"$@\"; echo", "<>\n", 0),
        ("echo ~ ~/x \"~\"", "/home/me /home/me/x ~\n", 0),
        ("touch b.txt a.txt .h; echo *.txt *.none '*.txt' [a]*", "a.txt b.txt *.none *.txt a.txt\n", 0),
        ("echo {a,b}{1,2} x{1..3}", "a1 a2 b1 b2 x1 x2 x3\n", 0),
        ("x=$(printf 'a\\n\\n'); echo \"[$x]\"", "[a]\n", 0),
        ("IFS=:; x=a:b::c; printf '<%s>' $x; echo", "<a><b><><c>\n", 0),
        ("echo \"a\\\"b \\$x \\z\"", "a\"b $x \\z\n", 0),
    ]);
}

#[test]
fn control_flow_works() {
    System::new().check(&[
        ("if true; then echo yes; else echo no; fi", "yes\n", 0),
        ("if false; then echo 1; elif true; then echo 2; fi", "2\n", 0),
        ("for i in 1 2 3; do echo -n $i; done; echo", "123\n", 0),
        ("for i in 1 2 3; do [ $i = 2 ] && continue; echo $i; done", "1\n3\n", 0),
        ("i=0; while [ $i -lt 3 ]; do i=$((i+1)); done; echo $i", "3\n", 0),
        ("until true; do echo no; done; echo $?", "0\n", 0),
        ("while true; do while true; do break 2; done; echo never; done; echo out", "out\n", 0),
        ("case abc in a*) echo one;; *) echo two;; esac", "one\n", 0),
        ("case x in a|x) echo hit;; esac", "hit\n", 0),
        ("f() { echo \"$1-$#\"; return 3; }; f a b; echo $?", "a-2\n3\n", 0),
        ("f() { local x=in; echo $x; }; x=out; f; echo $x", "in\nout\n", 0),
        ("true && echo a || echo b; false && echo a || echo b", "a\nb\n", 0),
        ("! true; echo $?", "1\n", 0),
        ("(exit 4); echo $?; { echo g; }", "4\ng\n", 0),
        ("x=1; (x=2); echo $x", "1\n", 0),
        ("set -e; false; echo never", "", 1),
        ("set -e; false || true; if false; then :; fi; echo on", "on\n", 0),
        ("set -u; echo ${nope}", "", 2),
        ("exit 7", "", 7),
        ("nosuchcommand", "", 127),
        ("eval 'echo x; echo y'", "x\ny\n", 0),
        ("trap 'echo bye' EXIT; echo hi", "hi\nbye\n", 0),
        ("trap 'echo got' USR1; kill -USR1 $$; echo after", "got\nafter\n", 0),
        ("sleep 0.05 & wait $!; echo $?", "0\n", 0),
        ("(exit 5) & wait $!; echo $?", "5\n", 0),
        ("# comment\necho a # more\n", "a\n", 0),
        ("echo a \\\n b", "a b\n", 0),
        ("alias hi='echo hello'\nhi you", "hello you\n", 0),
        ("x=5 sh -c 'echo $x'; echo \"[$x]\"", "5\n[]\n", 0),
    ]);
}

#[test]
fn redirections_and_pipes_connect() {
    System::new().check(&[
        ("echo a > f; echo b >> f; cat f; cat < f | wc -l", "a\nb\n2\n", 0),
        ("echo err >&2 2>/dev/null | cat; { echo out; echo err >&2; } 2>&1 | sort", "err\nout\n", 0),
        ("ls /nosuch 2>/dev/null; echo $?", "1\n", 0),
        ("cat <<EOF\n$((1+1)) $HOME\nEOF", "2 /home/me\n", 0),
        ("cat <<'EOF'\n$HOME\nEOF\necho next", "$HOME\nnext\n", 0),
        ("cat <<-EOF\n\tin\n\tEOF\n", "in\n", 0),
        ("cat <<A; cat <<B\n1\nA\n2\nB", "1\n2\n", 0),
        ("cat <<< word", "word\n", 0),
        ("echo one two | while read a b; do echo $b $a; done", "two one\n", 0),
        ("printf 'a b\\nc d\\n' | { read x; read y z; echo $x-$z; }", "a b-d\n", 0),
        ("false | true; echo $?; set -o pipefail; false | true; echo $?", "0\n1\n", 0),
        ("yes | head -n 2", "y\ny\n", 0),
        ("exec 3> f; echo x >&3; exec 3>&-; cat f", "x\n", 0),
        ("echo hi &> f; cat f", "hi\n", 0),
        ("f() { cat; }; echo through | f", "through\n", 0),
        ("if true; then echo a; fi > f; cat f", "a\n", 0),
        ("echo a > /nosuch/f; echo $?", "1\n", 0),
    ]);
}

#[test]
fn a_trap_lets_wait_end_early() {
    let system = System::new();
    let started = std::time::Instant::now();
    let (output, status) = system.run("trap 'echo term; exit 0' TERM; (kill -TERM $$) & sleep 60 >/dev/null 2>&1 & wait; wait");
    assert_eq!((output.as_str(), status), ("term\n", 0));
    assert!(started.elapsed().as_secs() < 30);
}

#[test]
fn tools_do_what_scripts_expect() {
    System::new().check(&[
        ("printf '%s-%d\\n' a 1 b 2", "a-1\nb-2\n", 0),
        ("printf '%5s|%-5s|%05d|%.2f|%x\\n' a b 42 3.14159 255", "    a|b    |00042|3.14|ff\n", 0),
        ("[ -d . ] && [ ! -f . ] && [ a != b ] && [ 2 -gt 1 -a -n x ] && echo ok", "ok\n", 0),
        ("seq 3 | tail -n 1; seq 5 | head -n 2 | tr '\\n' ' '; echo", "3\n1 2 \n", 0),
        ("printf 'b\\na\\nb\\n' | sort | uniq -c | sort -rn", "      2 b\n      1 a\n", 0),
        ("echo a:b:c | cut -d: -f1,3", "a:c\n", 0),
        ("echo hello | tr a-y b-z", "ifmmp\n", 0),
        ("mkdir -p d/e; echo x > d/e/f; cp -r d g; cat g/e/f; mv g h; ls h; rm -rf h; ls", "x\ne\nd\n", 0),
        ("basename /a/b.txt .txt; dirname /a/b.txt", "b\n/a\n", 0),
        ("echo hi > a; ln -s a b; readlink b; cat b", "a\nhi\n", 0),
        ("echo secret | base64; echo c2VjcmV0Cg== | base64 -d", "c2VjcmV0Cg==\nsecret\n", 0),
        ("printf abc | sha256sum", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  -\n", 0),
        ("mkdir t; echo 1 > t/one; tar cf - t | (mkdir u; cd u; tar xf -; cat t/one)", "1\n", 0),
        ("echo 1 > z; tar -czf z.tgz z; rm z; tar -tf z.tgz; tar xzf z.tgz; cat z", "z\n1\n", 0),
        ("date -d @0 +%F", "1970-01-01\n", 0),
        ("env -i A=1 printenv A; printenv NOPE", "1\n", 1),
        ("printf 'a1\nb2\nA3\n' | grep -in a; printf 'x\n' | grep -q y; echo $?", "1:a1\n3:A3\n1\n", 0),
        ("printf '\\n** no\nName: x\n' | grep '^[^*]'", "Name: x\n", 0),
        ("printf 'a.b\naxb\n' | grep -F a.b; printf 'ab\n' | grep -oE '[ab]'", "a.b\na\nb\n", 0),
        ("printf '1\n2\n3\n4\n' | grep -A1 2; printf '1\n2\n' | grep -c .", "2\n3\n2\n", 0),
        ("printf 'a b\n' | sed 's/\\(a\\) \\(b\\)/\\2 \\1/; s/^/> /'", "> b a\n", 0),
        ("echo x > s; sed -i 's/x/y/' s; cat s", "y\n", 0),
        ("mkdir -p q/w; touch q/w/a.yaml q/b.txt; find q -name '*.yaml'; find q -type d | wc -l", "q/w/a.yaml\n2\n", 0),
        ("printf 'a b\nc\n' | xargs -n 1 echo -; printf '1\n2\n' | xargs -I{} echo {}!", "- a\n- b\n- c\n1!\n2!\n", 0),
        ("find q -name '*.txt' -exec echo got {} \\;; find q -name '*.txt' -delete; ls q", "got q/b.txt\nw\n", 0),
        ("expr 2 + 3; echo abc | rev", "5\ncba\n", 0),
        ("printf 'a\nb\n' > l; printf 'a\nc\n' > r; diff -u l r | tail -n 3; cmp -s l r; echo $?", " a\n-b\n+c\n1\n", 0),
        ("echo hi | less; printf AB | hexdump -C | head -n 1", "hi\n00000000  41 42                                             |AB|\n", 0),
        ("sleep 7 & until pgrep -P $$ sleep > /dev/null; do :; done; pgrep -P $$ -l sleep | cut -d' ' -f2; pkill -P $$ sleep; wait; pgrep -P $$ sleep; echo $?", "sleep\n1\n", 0),
        ("touch -d @18446744073709551615 f 2>/dev/null; echo $?; touch -d '2024-01-01 99:00' f 2>/dev/null; echo $?", "1\n1\n", 0),
        ("printf 0123456789 | dd bs=4 count=5 iflag=count_bytes status=none", "01234", 0),
        ("apk add --no-cache curl > /dev/null && echo installed", "installed\n", 0),
    ]);
}
