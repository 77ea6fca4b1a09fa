//! Bundled images, run: the programs of an image on its own root file system, in namespaces of their own.
//!
//! Needs what Drydock itself needs, user namespaces with overlayfs, and the `unshare` and `mount` commands. What is written
//! goes onto a tmpfs, since the directory for temporary files may lie on an overlay itself.

use std::{
    process::{Command, Output},
};

use drydock_image::{Image, Store};

/// Mounts the image's layers, gives the machine a name and an address, starts `$SERVER` and runs `$SCRIPT` beside it.
const HARNESS: &str = r#"
set -e
mount -t tmpfs work "$WORK"
mkdir "$WORK/upper" "$WORK/work" "$WORK/root"
mount -t overlay overlay -o "lowerdir=$LAYERS,upperdir=$WORK/upper,workdir=$WORK/work" "$WORK/root"
mount -t proc proc "$WORK/root/proc"
hostname pod-1
printf '127.0.0.1 localhost\n10.244.1.7 pod-1\n' > "$WORK/root/etc/hosts"
ip link set lo up 2>/dev/null || ifconfig lo up
chroot "$WORK/root" /usr/bin/env -i PATH=/usr/bin:/bin:/sbin $SERVER > "$WORK/log" 2>&1 &
chroot "$WORK/root" /usr/bin/env -i PATH=/usr/bin:/bin:/sbin sh -c 'until nc -z localhost 80; do sleep 0.05; done'
: > "$WORK/log"
chroot "$WORK/root" /usr/bin/env -i PATH=/usr/bin:/bin:/sbin sh -c "$SCRIPT"
kill -TERM $!
wait $! || exit 9
cat "$WORK/log"
"#;

fn run(image: &Image, server: &str, script: &str) -> Output {
    let work = tempfile::tempdir().unwrap();
    let layers: Vec<String> = image.layers.iter().rev().map(|layer| layer.to_string_lossy().into_owned()).collect();
    Command::new("unshare")
        .args(["-r", "-m", "-p", "-f", "-n", "-u", "--kill-child", "sh", "-c", HARNESS])
        // Where chroot and mount are; an ordinary user may not have it.
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LAYERS", layers.join(":"))
        .env("WORK", work.path())
        .env("SERVER", server)
        .env("SCRIPT", script)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn images_do_in_a_container_what_the_chapter_asks() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let hello = store.pull("kiamol/ch02-hello-kiamol").unwrap();
    let server = hello.config.config().as_ref().unwrap().cmd().as_ref().unwrap().join(" ");

    let output = run(&hello, &server, "hostname; hostname -i; wget -O - http://localhost 2>/dev/null | head -n 4");
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    assert!(shown.starts_with("pod-1\n10.244.1.7\n<!DOCTYPE html>\n"), "{shown}");
    let line = shown.lines().last().unwrap();
    assert!(line.starts_with("127.0.0.1 - - [") && line.ends_with("] \"GET / HTTP/1.1\" 200 353 \"-\" \"Wget\" \"-\""), "{line}");

    // kubectl cp, both ways.
    let cp = "cd /; tar cf - usr/share/nginx/html/index.html | tar xf - -C /tmp; cmp /tmp/usr/share/nginx/html/index.html /usr/share/nginx/html/index.html && echo same; tar cf - /etc/hosts > /dev/null";
    let output = run(&hello, &server, cp);
    assert!(text(&output.stdout).starts_with("same\n"), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("removing leading '/' from member names"));

    let whoami = store.pull("kiamol/ch02-whoami").unwrap();
    let server = whoami.config.config().as_ref().unwrap().entrypoint().as_ref().unwrap().join(" ");
    let output = run(&whoami, &server, "curl -s http://localhost; echo; curl -sI localhost | head -n 1; ping -c 1 localhost | tail -n 2 | head -n 1");
    let shown = text(&output.stdout);
    assert!(shown.starts_with("\"I'm pod-1 running on Linux "), "{shown}{}", text(&output.stderr));
    assert!(shown.contains("HTTP/1.1 200 OK") && shown.contains("1 packets received, 0% packet loss"), "{shown}");
}
