//! `cargo xtask proof guest`: the release binary on Debian's own kernel with control groups version 2 only, in an emulator.
//!
//! 1. The kernel package comes through apt and is unpacked, not installed.
//! 2. A RAM disk holds the modules needed, `init.sh` and `inside.sh`; the machine's own files are shared with the guest, read-only.
//! 3. `inside.sh` starts clusters as root and as ordinary users, says one line a claim, and a last one this module reads.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Programs needed, and the Debian package each comes with.
const NEEDED: [(&str, &str); 6] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("depmod", "kmod"),
    ("cpio", "cpio"),
    ("dpkg-deb", "dpkg"),
    ("apt-get", "apt"),
];
/// What a cluster and the shared files ask of the kernel; what these depend on comes along.
const MODULES: &str = "virtio_pci 9pnet_virtio 9p overlay nf_tables nft_chain_nat nft_nat nft_masq nft_ct nft_reject_inet nft_redir nft_numgen \
                       nft_hash nf_conntrack_netlink veth bridge tun dummy nft_fib_inet nft_limit nft_log";
/// Seconds until the guest is given up. An emulated processor is some thirty times slower than a real one.
const PATIENCE: &str = "1500";

/// Boot the guest with `binary` and report what it says.
///
/// # Errors
/// When something needed is missing, the guest does not come up, or a claim fails.
pub(crate) fn prove(binary: &Path) -> Result<()> {
    let binary = binary.canonicalize().with_context(|| format!("{}: build it first: cargo build --release", binary.display()))?;
    for (program, package) in NEEDED {
        if !Command::new("which").arg(program).stdout(Stdio::null()).status()?.success() {
            bail!("{program} is missing: apt-get install {package}");
        }
    }
    let directory = std::env::temp_dir().join(format!("drydock-guest-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let outcome = prepare(&directory, &binary).and_then(|kernel| boot(&directory, &kernel));
    fs::remove_dir_all(&directory)?;
    outcome
}

/// Unpack the kernel, pack the RAM disk. Answers with the kernel's path.
fn prepare(directory: &Path, binary: &Path) -> Result<PathBuf> {
    shell(directory, "apt-get download -q \"$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/{print $2}')\" && dpkg-deb -x linux-image*.deb kernel")?;
    let release = only(&directory.join("kernel/lib/modules"))?;
    let disk = directory.join("disk");
    for folder in ["bin", "proc", "sys", "dev", "host", "scratch", "root", "modules"] {
        fs::create_dir_all(disk.join(folder))?;
    }
    shell(directory, "cp \"$(command -v busybox)\" disk/bin/busybox")?;
    fs::copy(binary, disk.join("binary"))?;
    fs::write(disk.join("inside.sh"), include_str!("inside.sh"))?;
    fs::write(disk.join("init"), include_str!("init.sh"))?;
    let modules = format!(
        "depmod -b kernel {release} && for module in {MODULES}; do modprobe -d kernel -S {release} --show-depends $module; done | awk '/^insmod/ && !seen[$2]++ {{print $2}}' > order \
         && xargs -a order cp -t disk/modules && sed 's#.*/##' order > disk/modules/order && chmod 755 disk/init"
    );
    shell(directory, &modules)?;
    shell(directory, "(cd disk && find . | cpio -o -H newc --quiet) | gzip -1 > disk.cpio.gz")?;
    Ok(directory.join(format!("kernel/boot/vmlinuz-{release}")))
}

fn boot(directory: &Path, kernel: &Path) -> Result<()> {
    let mut emulator = Command::new("timeout");
    emulator.args([PATIENCE, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "3072", "-no-reboot"]);
    emulator.args(["-display", "none", "-vga", "none", "-net", "none", "-serial", "stdio"]);
    emulator.args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"]).arg("-kernel").arg(kernel).arg("-initrd").arg(directory.join("disk.cpio.gz"));
    emulator.args(["-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap", "-device", "virtio-9p-pci,fsdev=host,mount_tag=host"]);
    let mut emulator = emulator.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let console = emulator.stdout.take().context("the console is piped")?;
    let mut passed = false;
    for line in BufReader::new(console).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        passed |= line == "guest: passed";
        println!("{line}");
    }
    emulator.wait()?;
    if !passed {
        bail!("the guest did not pass");
    }
    Ok(())
}

/// The name of the only entry of a directory.
fn only(directory: &Path) -> Result<String> {
    let entry = fs::read_dir(directory)?.next().with_context(|| format!("{} is empty", directory.display()))??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

fn shell(directory: &Path, line: &str) -> Result<()> {
    let status = Command::new("bash").args(["-euo", "pipefail", "-c", line]).current_dir(directory).status()?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}
