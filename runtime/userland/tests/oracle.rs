//! The same scripts here and in BusyBox, where this machine has one.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const BINARY: &str = env!("CARGO_BIN_EXE_drydock-userland");

/// Scripts whose output and status are to be the same.
const SCRIPTS: &[&str] = &[
    // Words.
    r#"a='1 2'; set -- $a "$a" '$a'; echo $#; printf '[%s]' "$@""#,
    r#"x=abcabc; echo ${x#a} ${x%c} ${x##*b} ${x%%b*} ${#x} ${x:2} ${x:1:2}"#,
    r#"unset u; echo "${u-d}" "${u:-d}" "${u+s}" ${u:=v} $u"#,
    r#"echo "$(printf 'a\n\n')"x `echo \`echo n\`` $(echo "a  b") "$(echo "a  b")""#,
    r#"echo $((1+2*3)) $((10/3)) $((10%3)) $((1<2)) $((~0)) $((0x10)) $((010)) $((1?2:3))"#,
    r#"echo a\ b 'c'"d"e \$x "\$x \\ \`""#,
    r#"touch f1 f2 g1; echo f* [fg]1 f? [!f]* nope*"#,
    r#"IFS=,; x=a,b,,c; for i in $x; do echo "[$i]"; done"#,
    r#"set -- a b c; shift; echo $1 $# "$*" "$@"; IFS=-; echo "$*""#,
    r#"f() { echo $# "$1"; }; f "$@"; f ""; f $nothing; f "$nothing""#,
    r#"x='*'; echo "$x"; y=$x; touch one; echo $y"#,
    "echo \"a\nb\"",
    r#"echo 'it'\''s' "say \"hi\"""#,
    r#"echo ~/x | sed "s,$HOME,H,"; echo a~ "~""#,
    // Control.
    r#"for x in 1 2 3; do case $x in 1) echo one;; [23]) echo more;; esac; done"#,
    r#"i=3; while [ $i -gt 0 ]; do i=$((i-1)); [ $i = 1 ] && continue; echo $i; done"#,
    r#"until [ -e made ]; do touch made; echo making; done; echo $?"#,
    r#"f() { if [ "$1" -le 1 ]; then echo 1; else echo $(($1 * $(f $(($1 - 1))))); fi; }; f 5"#,
    r#"false || { echo a; false; } && echo b; echo $?"#,
    r#"(cd /; pwd); { x=5; }; echo $x; (x=6); echo $x"#,
    r#"! false && echo yes; if ! true; then echo no; fi; echo $?"#,
    r#"for i in; do echo never; done; echo $?"#,
    "while read -r a b; do echo \"$b/$a\"; done <<E\n1 2 3\n4\nE",
    r#"case "a b" in "a b") echo exact;; esac; case '*' in \*) echo star;; esac"#,
    r#"set -e; f() { false; echo not; }; f || echo caught; f; echo never"#,
    r#"set -e; x=$(false); echo never"#,
    r#"trap 'echo bye $?' EXIT; exit 3"#,
    r#"f() { return 4; }; f; echo $?; eval 'x=1; echo $x'"#,
    r#"exec 3>&1; echo a >&3; exec 3>&-; echo b 2>/dev/null >&3; echo $?"#,
    r#"x=1 y=2; x=3 env | grep '^[xy]='; echo $x; export y; env | grep ^y="#,
    r#"echo a | { read x; echo $x; }; echo a | while read y; do echo $y; done"#,
    "cat <<E1 - <<E2\none\nE1\ntwo\nE2",
    "cat <<\"E\"\n$x `y` \\z\nE",
    "x=v; cat <<E\n$x \\$x $(echo s) \"q\" \\\njoined\nE",
    r#"ls nope 2>&1 >/dev/null | wc -l; ls nope >/dev/null 2>&1; echo $?"#,
    r#"nosuch 2>/dev/null; echo $?; ./none 2>/dev/null; echo $?; echo x > noexec; ./noexec 2>/dev/null; echo $?"#,
    r#"sh -c 'echo $0 $1 $#' name a b; echo 'echo $1' > s; sh s arg"#,
    r#"[ a = a -a b != c ] && [ ! -f x -o -d / ] && test -n x && echo ok; [ 1 -lt 2 ] && [ -z "" ] && echo ok"#,
    r#"echo -e 'a\tb\\n' ; echo -n x; echo -n; echo -en 'y\n'"#,
    r#"printf '%s %5d|%-5s|%03d|%x|%o|%c|%%|%b\n' s 42 l 7 255 8 xyz 'a\tb'"#,
    r#"printf '%s,' a b c; printf '\n%d\n' 0x1f"#,
    r#"x=5; readonly x; (x=6) 2>/dev/null; echo $? $x"#,
    r#"sleep 0 & wait $!; echo $?; (exit 7) & wait $!; echo $?"#,
    r#"sh -c 'kill -TERM $$'; echo $?"#,
    r#"cd /tmp && cd .. && pwd; cd /usr/bin/../lib && pwd; cd - >/dev/null; pwd"#,
    r#"f() { local a=1; b=2; g; echo $a; }; g() { a=3; }; f; echo "[$a]" $b"#,
    "echo one; # comment\necho two#not; echo '#'",
    "echo a &&\n echo b ||\n echo c\necho d | \n cat",
    // awk.
    r#"printf 'a b c\nd e f\n' | awk '{print $2}'; printf 'a:b\n' | awk -F: '{print $2, $1}'; printf 'x\ny\n' | awk 'END{print NR}'"#,
    r#"printf 'p 3\nq 4\np 5\n' | awk '{s[$1]+=$2} END{for(k in s) print k, s[k]}' | sort; printf '1\n2\n3\n' | awk '{t+=$1} END{print t/NR}'"#,
    r#"printf 'a 1\nb 2\nc 3\n' | awk '$2>1'; printf 'foo\nbar\n' | awk '/^b/'; printf 'a\nb\nc\nd\n' | awk '/b/,/c/'; printf 'a\nb\n' | awk 'NR==2{print "second:" $0}'"#,
    r#"awk 'BEGIN{printf "%-5s|%5d|%05.1f|%x|%c|%s\n", "ab", 42, 3.14159, 255, "xyz", 1e6; print 1/3, 10, 1e20, 0.1+0.2, "3"+4, "3x"+1}'"#,
    r#"echo 'hello world' | awk '{gsub(/o/,"0"); print; print length($1), toupper($2), substr($0,2,3), index($0,"w")}'; echo a,b,c | awk '{n=split($0,p,","); print n, p[1], p[3]}'"#,
    r#"awk 'BEGIN{for(i=0;i<5;i++){if(i==3)break; if(i==1)continue; print i}; while(j<2)print "j" j++; do k++; while(k<3); print k; x["a"]; print ("a" in x), ("b" in x); delete x["a"]; print length(x)}'"#,
    r#"awk 'function f(n){return n<2?1:n*f(n-1)} BEGIN{print f(5), 7%3, !0, 1==1.0, ("a"<"b"), (10<9), ("10"<"9")}'"#,
    r#"printf 'a b c\n' | awk '{$2="X"; print; print NF; $5="e"; print; NF=2; print}' OFS=-; printf 'k=v\n' | awk -F= -v p=pre '{print p $2}'"#,
    r#"printf '1 a\n2 b\n' | awk '{print $1 > "o1"; print $2 | "cat"} END{close("cat"); close("o1"); while((getline l < "o1")>0) n++; print n}'; cat o1; echo x | awk '{exit 3}'; echo $?"#,
    r#"printf 'ab12cd\n' | awk '{if(match($0,/[0-9]+/)) print RSTART, RLENGTH, substr($0,RSTART,RLENGTH); print $0 ~ /cd$/, $0 !~ "x"}'; printf 'a|b\n' | awk -F'|' '{print $2}'; printf 'a1b22c\n' | awk -F'[0-9]+' '{print $3}'"#,
    // Tools.
    r#"seq 5; seq 2 4; seq 1 2 6; seq 3 -1 1; seq -w 8 10"#,
    r#"printf '3\n1\n2\n10\n' | sort; printf '3\n1\n2\n10\n' | sort -n; printf 'b\na\nb\n' | sort -ru"#,
    r#"printf 'x 2\ny 1\nz 3\n' | sort -k2; printf 'a:3\nb:1\n' | sort -t: -k2 -n"#,
    r#"printf 'a\na\nb\n' | uniq; printf 'a\na\nb\n' | uniq -c; printf 'a\na\nb\n' | uniq -d"#,
    r#"printf 'a:b:c\nd\n' | cut -d: -f2; printf 'abcdef\n' | cut -c2-4; printf 'a:b:c\n' | cut -d: -f2-"#,
    r#"echo hello | tr a-z A-Z; echo aabb | tr -s a; echo a1b2 | tr -d 0-9; echo abc | tr -c 'a\n' x"#,
    r#"printf '1\n2\n3\n4\n' | head -n 2; printf '1\n2\n3\n4\n' | tail -n 2; printf '1\n2\n3\n' | tail -n +2; printf abc | head -c 2"#,
    r#"printf 'a b\nc\n' > f; wc f; wc -l < f; wc -c < f; wc -w f"#,
    r#"echo abc | tee t1 t2; cat t1 t2; echo more | tee -a t1; cat t1"#,
    r#"mkdir -p a/b/c; touch a/b/f; cp -r a d; mv d e; ls e/b; rm -r e; ls; rmdir a/b/c; ls a/b"#,
    r#"mkdir a; mkdir a 2>/dev/null; echo $?; rm nope 2>/dev/null; echo $?; rm -f nope; echo $?"#,
    r#"echo x > a; ln -s a l; readlink l; cat l; ln a h; echo y > a; cat h; ls -1"#,
    r#"echo x > a; chmod 640 a; ls -l a | cut -c1-10; chmod u+x,g-r a; ls -l a | cut -c1-10; stat -c %a a"#,
    r#"basename /a/b.c .c; basename a/; dirname /a/b; dirname a; dirname /"#,
    r#"echo test | md5sum; echo test | sha256sum; echo test | base64; echo dGVzdAo= | base64 -d"#,
    r#"mkdir d; echo 1 > d/f; tar cf t.tar d; tar tf t.tar; rm -r d; tar xf t.tar; cat d/f; tar czf t.gz d; tar tzf t.gz"#,
    r#"echo zip | gzip | gunzip; echo 1 > g; gzip g; ls; zcat g.gz; gunzip g.gz; cat g"#,
    r#"printf 'a b c\nd e f\n' | grep -n e; printf 'a\nb\n' | grep -v a; echo abc | grep -o 'b.'; printf 'aB\n' | grep -ci ab"#,
    r#"printf 'x=1\ny=2\n' | grep -E '^(x|z)='; echo 'a.b' | grep -F .; printf 'a\n' | grep z; echo $?"#,
    r#"printf 'one\ntwo\nthree\n' | sed -n 2p; printf 'one\ntwo\n' | sed '/one/d'; echo aXb | sed 's/X/-&-/'; echo abab | sed 's/b/c/2'"#,
    r#"printf 'a\nb\nc\n' | sed '2,$s/^/> /'; printf 'a b\n' | sed -E 's/(a) (b)/\2 \1/'; printf 'a\nb\n' | sed '$a end'"#,
    r#"mkdir -p p/q; touch p/a.y p/q/b.y p/c; find p -name '*.y' | sort; find p -type d | sort; find p -maxdepth 1 -type f | sort"#,
    r#"printf 'a b\nc\n' | xargs; printf 'a\nb\n' | xargs -n1 echo x; printf 'a\n' | xargs -I% echo 1%2"#,
    r#"dd if=/dev/zero of=z bs=1k count=3 2>e; wc -c < z; head -n 2 e; dd if=z bs=1k skip=2 2>/dev/null | wc -c; dd if=z bs=100 of=p 2>&1 | head -n 2"#,
    r#"printf 0123456789 > a; printf XY | dd of=a bs=1 seek=3 conv=notrunc 2>/dev/null; cat a; echo; printf XY | dd of=a bs=1 seek=3 status=none; cat a; echo; dd if=a bs=4 conv=sync status=none | wc -c"#,
    r#"printf abcdef | dd ibs=4 obs=3 2>&1 >o | head -n 2; cat o; echo; printf ab | dd conv=swab status=none; (printf 12; sleep 0.2; printf 34) | dd bs=4 count=1 iflag=fullblock status=none; echo"#,
    r#"dd if=nope 2>&1; echo $?; dd bs=1 count=3 if=/dev/zero of=/nope/x 2>&1; echo $?; dd if=/dev/zero bs=1k count=1 status=noxfer 2>&1 >/dev/null; dd if=/dev/zero of=/dev/full bs=1k count=2 2>&1 | head -n 3"#,
    r#"truncate -s 1k t; wc -c < t; truncate -s 5 t; wc -c < t; fallocate -l 2k t2; wc -c < t2"#,
    r#"sleep 5 & kill -0 $!; echo $?; kill $!; wait $! 2>/dev/null; kill -0 $! 2>/dev/null; echo $?"#,
    r#"touch a b; chmod 600 a; chmod 755 b; find . -user $(id -u) -type f | sort; find . -perm 600; find . -perm -100 -type f; find . \( -name a -o -name b \) -type f | sort; find . ! -user 12345 -name b; touch -d '2001-01-01 10:00' a; touch -r a c; find . -newer a -type f; touch -d @1000000000 b; stat -c %Y b; find . -newer a -type f"#,
    r#"pidof no-such-program; echo $?; echo abc | sha1sum; echo abc | sha512sum"#,
    r#"expr 1 + 2; expr 5 \* 2; expr abc : 'a\(.*\)'; expr 1 = 2; echo $?"#,
    r#"env -i A=1 /bin/sh -c 'echo $A $HOME'; env -u HOME sh -c 'echo [$HOME]'"#,
    r#"date -u -d @0 '+%Y-%m-%d %H:%M:%S %a %b %j'; date -d @86400 +%s"#,
    r#"echo a b c | (read x y; echo "$y $x"); echo 'a\b' | { read x; echo $x; }; echo 'a\b' | { read -r x; echo $x; }"#,
    r#"yes | head -n 3; yes no | head -n 1; true; echo $?; false; echo $?"#,
    r#"test -e /; echo $?; test 1 -eq 01; echo $?; test; echo $?; test x; echo $?"#,
    r#"timeout 0.1 sleep 5 2>/dev/null; echo $(( $? == 0 )); timeout 5 true; echo $?"#,
    "printf 'a\\n\\nb\\n' | nl; printf '1\\n2\\n' | tac; printf 'abc\\n' | rev",
    r#"printf 'a\nb\n' > 1; printf 'a\nc\n' > 2; diff -u 1 2 | tail -n +3; cmp 1 2; cmp -s 1 1; echo $?"#,
    r#"id -u | grep -q '^[0-9]'; echo $?; uname; uname -s; pwd | grep -q /; echo $?; which sh | grep -c sh"#,
];

struct Runner {
    shell: PathBuf,
    path: String,
}

impl Runner {
    fn ours(directory: &Path) -> Self {
        let bin = directory.join("ours");
        std::fs::create_dir(&bin).unwrap();
        let links = Command::new(BINARY).arg("--links").output().unwrap();
        for path in String::from_utf8(links.stdout).unwrap().lines() {
            symlink(BINARY, bin.join(path.rsplit('/').next().unwrap())).unwrap();
        }
        Self { shell: bin.join("sh"), path: bin.to_string_lossy().into_owned() }
    }

    /// Links to BusyBox's applets; `None` without BusyBox.
    fn busybox(directory: &Path) -> Option<Self> {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists())?;
        let bin = directory.join("busybox");
        std::fs::create_dir(&bin).unwrap();
        let list = Command::new(busybox).arg("--list").output().unwrap();
        for name in String::from_utf8(list.stdout).unwrap().lines() {
            symlink(busybox, bin.join(name)).unwrap();
        }
        Some(Self { shell: bin.join("sh"), path: bin.to_string_lossy().into_owned() })
    }

    fn run(&self, script: &str) -> (String, Option<i32>) {
        let work = tempfile::tempdir().unwrap();
        let output = Command::new(&self.shell)
            .args(["-c", script])
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", "/home/someone")
            .env("TZ", "UTC")
            .current_dir(work.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    }
}

#[test]
fn scripts_do_what_busybox_does() {
    let directory = tempfile::tempdir().unwrap();
    let ours = Runner::ours(directory.path());
    let busybox = Runner::busybox(directory.path()).expect("a BusyBox to compare with (Debian: apt-get install busybox)");
    let mut different = Vec::new();
    for script in SCRIPTS {
        let (wanted, got) = (busybox.run(script), ours.run(script));
        if wanted != got {
            different.push(format!("script: {script}\nbusybox: {wanted:?}\nours:    {got:?}\n"));
        }
    }
    assert!(different.is_empty(), "{} of {} scripts differ\n{}", different.len(), SCRIPTS.len(), different.join("\n"));
}
