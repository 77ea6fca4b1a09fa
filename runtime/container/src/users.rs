//! Who a process runs as: the container's own `/etc/passwd` and `/etc/group`, and which ids exist in this user namespace.
//!
//! The files belong to the container, so they are read with suspicion: regular files only, bounded, malformed lines skipped.

use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Error, Step};
use crate::spec::UserSpec;

/// More than any honest account file.
const MAX_FILE: u64 = 4 << 20;

/// Numbers to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// The ids of this user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    uids: Vec<(u32, u32)>,
    gids: Vec<(u32, u32)>,
    setgroups: bool,
}

impl IdMap {
    /// The map of the calling process.
    pub fn current() -> IdMap {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        IdMap { uids: ranges(&read("uid_map")), gids: ranges(&read("gid_map")), setgroups: read("setgroups").trim() != "deny" }
    }

    /// Whether the user id exists.
    pub fn has_uid(&self, uid: u32) -> bool {
        contains(&self.uids, uid)
    }

    /// Whether the group id exists.
    pub fn has_gid(&self, gid: u32) -> bool {
        contains(&self.gids, gid)
    }

    /// Whether supplementary groups may be set.
    pub fn has_groups(&self) -> bool {
        self.setgroups
    }

    /// Whether id 0 is the only one.
    pub fn is_single(&self) -> bool {
        let only_root = |ranges: &[(u32, u32)]| ranges.iter().map(|(_, count)| u64::from(*count)).sum::<u64>() <= 1;
        only_root(&self.uids) || only_root(&self.gids)
    }
}

fn ranges(map: &str) -> Vec<(u32, u32)> {
    map.lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse::<u32>);
            let (first, _, count) = (numbers.next()?.ok()?, numbers.next()?, numbers.next()?.ok()?);
            Some((first, count))
        })
        .collect()
}

fn contains(ranges: &[(u32, u32)], id: u32) -> bool {
    ranges.iter().any(|(first, count)| id >= *first && id - first < *count)
}

/// Look the user up in the current root.
// upstream: moby/sys/user, GetExecUser; containerd pkg/oci/spec_opts.go, WithUser and WithAdditionalGIDs
pub(crate) fn resolve(user: &UserSpec) -> Result<Identity, Error> {
    let passwd = account_file(Path::new("/etc/passwd"));
    let group = account_file(Path::new("/etc/group"));
    resolve_in(user, &passwd, &group)
}

fn resolve_in(user: &UserSpec, passwd: &str, group: &str) -> Result<Identity, Error> {
    let (name, group_name) = match user.name.split_once(':') {
        Some((name, group)) => (name, group),
        None => (user.name.as_str(), ""),
    };
    let accounts = || passwd.lines().filter_map(Account::parse);
    let account = match (user.uid, name) {
        (Some(uid), _) => accounts().find(|account| account.uid == uid).unwrap_or(Account::unnamed(uid)),
        (None, "") => accounts().find(|account| account.uid == 0).unwrap_or(Account::unnamed(0)),
        (None, name) => match (accounts().find(|account| account.name == name), name.parse::<u32>()) {
            (Some(account), _) => account,
            (None, Ok(uid)) => accounts().find(|account| account.uid == uid).unwrap_or(Account::unnamed(uid)),
            (None, Err(_)) => {
                return Err(Error::new(Step::User, format!("unable to find user {name}: no matching entries in passwd file")));
            }
        },
    };
    let groups = || group.lines().filter_map(Group::parse);
    // The image's `:group` belongs to the image's user; another user given by number does not inherit it.
    let gid = match (user.gid, group_name) {
        (Some(gid), _) => gid,
        (None, name) if !name.is_empty() && user.uid.is_none() => {
            match (groups().find(|group| group.name == name), name.parse::<u32>()) {
                (Some(group), _) => group.gid,
                (None, Ok(gid)) => gid,
                (None, Err(_)) => {
                    return Err(Error::new(Step::User, format!("unable to find group {name}: no matching entries in group file")));
                }
            }
        }
        (None, _) => account.gid,
    };
    let mut all: Vec<u32> = user.groups.clone();
    all.extend(groups().filter(|group| !account.name.is_empty() && group.members.split(',').any(|m| m == account.name)).map(|g| g.gid));
    all.push(gid);
    all.sort_unstable();
    all.dedup();
    Ok(Identity { uid: account.uid, gid, groups: all, home: account.home.to_owned() })
}

/// The contents, or nothing when there is no such regular file.
fn account_file(path: &Path) -> String {
    let mut text = String::new();
    // Not blocking: a container may have put a pipe here.
    let opened = fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    match opened {
        Ok(file) if file.metadata().is_ok_and(|metadata| metadata.is_file()) => match file.take(MAX_FILE).read_to_string(&mut text) {
            Ok(_) => text,
            Err(_) => String::new(),
        },
        Ok(_) | Err(_) => text,
    }
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Account<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Account { name, uid, gid, home: fields.nth(1).filter(|home| !home.is_empty()).unwrap_or("/") })
    }

    fn unnamed(uid: u32) -> Self {
        Account { name: "", uid, gid: 0, home: "/" }
    }
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let (name, _password, gid) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
        Some(Group { name, gid, members: fields.next().unwrap_or("") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnot a line\nnginx:x:101:102::/var/cache/nginx:/sbin/nologin\n";
    const GROUP: &str = "root:x:0:\nnginx:x:102:\nwww:x:33:nginx,other\nlog:x:4:other\n";

    #[test]
    fn users_are_found_as_container_engines_find_them() {
        let named = |name: &str| UserSpec { name: name.into(), ..UserSpec::default() };
        let cases = [
            (named(""), (0, 0, vec![0], "/root")),
            (named("nginx"), (101, 102, vec![33, 102], "/var/cache/nginx")),
            (named("101"), (101, 102, vec![33, 102], "/var/cache/nginx")),
            (named("nginx:www"), (101, 33, vec![33], "/var/cache/nginx")),
            (named("5000"), (5000, 0, vec![0], "/")),
            (named("5000:6000"), (5000, 6000, vec![6000], "/")),
            (UserSpec { uid: Some(1000), ..named("nginx:www") }, (1000, 0, vec![0], "/")),
            (UserSpec { uid: Some(101), gid: Some(7), groups: vec![2000], ..named("") }, (101, 7, vec![7, 33, 2000], "/var/cache/nginx")),
        ];
        for (user, (uid, gid, groups, home)) in cases {
            let identity = resolve_in(&user, PASSWD, GROUP).unwrap();
            assert_eq!(identity, Identity { uid, gid, groups, home: home.into() }, "{user:?}");
        }
        let error = resolve_in(&named("nobody"), PASSWD, GROUP).unwrap_err();
        assert_eq!(error.message, "unable to find user nobody: no matching entries in passwd file");
        let error = resolve_in(&named("nginx:nogroup"), PASSWD, GROUP).unwrap_err();
        assert_eq!(error.message, "unable to find group nogroup: no matching entries in group file");
    }

    #[test]
    fn maps_know_their_ids() {
        let map = IdMap { uids: ranges("0 1000 1\n"), gids: ranges("0 100000 65536\n"), setgroups: true };
        assert!(map.has_uid(0) && !map.has_uid(1) && map.has_gid(65535) && !map.has_gid(65536) && map.is_single());
    }
}
