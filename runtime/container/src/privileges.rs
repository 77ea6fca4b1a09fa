//! What a process may do: ids, groups, capabilities, `no_new_privs`, system call filter.
//!
//! The order is dictated by the kernel. A filter needs CAP_SYS_ADMIN or `no_new_privs`; the bounding set needs CAP_SETPCAP; ids need
//! CAP_SETUID and CAP_SETGID; and all of these go away on the way.

use std::collections::HashSet;
use std::str::FromStr;

use caps::{CapSet, Capability};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::error::{Context, Error, Step};
use crate::report::Reporter;
use crate::seccomp::{self, Filter};
use crate::spec::{Capabilities, ProcessSpec, Seccomp};
use crate::syscalls::{install_filter, prctl};
use crate::users::{IdMap, Identity};

/// Filters compiled by the parent.
#[derive(Default)]
pub(crate) struct Filters {
    policy: Option<Filter>,
    pretend: Option<Filter>,
}

impl Filters {
    pub(crate) fn new(process: &ProcessSpec, ids: &IdMap) -> Result<Filters, Error> {
        let policy = match process.seccomp {
            Seccomp::Default => Some(seccomp::default_filter(&process.capabilities)?),
            Seccomp::Unconfined => None,
        };
        let pretend = if ids.is_single() { Some(seccomp::pretend_ids()?) } else { None };
        Ok(Filters { policy, pretend })
    }

    fn apply(&self) -> Result<(), Error> {
        for filter in self.pretend.iter().chain(&self.policy) {
            install_filter(filter).context(Step::Privileges, || "install the system call filter")?;
        }
        Ok(())
    }
}

/// Give up everything the process was not promised. Nothing that needs rights works afterwards.
pub(crate) fn drop_to(process: &ProcessSpec, identity: &Identity, ids: &IdMap, filters: &Filters, reporter: &Reporter) -> Result<(), Error> {
    let keep = known(&process.capabilities);
    // 1. What no later exec may get back. Needs CAP_SETPCAP.
    for capability in caps::read(None, CapSet::Bounding).map_err(capability_error)?.difference(&keep) {
        caps::drop(None, CapSet::Bounding, *capability).map_err(capability_error)?;
    }
    // 2. The filter, while we still have CAP_SYS_ADMIN; with no_new_privs it can wait to be the very last.
    if !process.no_new_privileges {
        filters.apply()?;
    }
    // 3. Ids. Permitted capabilities must survive the change for step 4.
    prctl(libc::PR_SET_KEEPCAPS, 1).context(Step::Privileges, || "keep capabilities")?;
    become_identity(identity, ids, reporter)?;
    // 4. The sets themselves. Ambient stays empty: an ordinary user has no capabilities after exec, root has the bounding set.
    let clear = |set: CapSet| caps::clear(None, set).map_err(capability_error);
    if caps::runtime::ambient_set_supported().is_ok() {
        clear(CapSet::Ambient)?;
    }
    clear(CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &keep).map_err(capability_error)?;
    caps::set(None, CapSet::Permitted, &keep).map_err(capability_error)?;
    // 5. From here on not even a set-user-id program gives anything.
    if process.no_new_privileges {
        prctl(libc::PR_SET_NO_NEW_PRIVS, 1).context(Step::Privileges, || "set no_new_privs")?;
        filters.apply()?;
    }
    Ok(())
}

fn become_identity(identity: &Identity, ids: &IdMap, reporter: &Reporter) -> Result<(), Error> {
    let groups: Vec<Gid> = identity.groups.iter().filter(|gid| ids.has_gid(**gid)).map(|gid| Gid::from_raw(*gid)).collect();
    if ids.has_groups() {
        setgroups(&groups).context(Step::User, || "set supplementary groups")?;
    }
    if !ids.has_groups() || groups.len() < identity.groups.len() {
        let missing: Vec<String> = identity.groups.iter().filter(|gid| **gid != 0 && !(ids.has_groups() && ids.has_gid(**gid))).map(u32::to_string).collect();
        if !missing.is_empty() {
            reporter.degraded(format!("without the groups {}: they do not exist in this user namespace", missing.join(", ")))?;
        }
    }
    if ids.has_gid(identity.gid) {
        let gid = Gid::from_raw(identity.gid);
        setresgid(gid, gid, gid).context(Step::User, || format!("become group {gid}"))?;
    } else {
        reporter.degraded(format!("group {} does not exist in this user namespace; it runs as group 0", identity.gid))?;
    }
    if ids.has_uid(identity.uid) {
        let uid = Uid::from_raw(identity.uid);
        setresuid(uid, uid, uid).context(Step::User, || format!("become user {uid}"))?;
    } else {
        reporter.degraded(format!("user {} does not exist in this user namespace; it runs as user 0", identity.uid))?;
    }
    Ok(())
}

/// Those capabilities of the set that this kernel knows. Unknown names are skipped as container engines do.
fn known(capabilities: &Capabilities) -> HashSet<Capability> {
    let supported = caps::runtime::thread_all_supported();
    capabilities.names().filter_map(|name| Capability::from_str(name).ok()).filter(|capability| supported.contains(capability)).collect()
}

fn capability_error(error: caps::errors::CapsError) -> Error {
    Error::new(Step::Privileges, format!("set capabilities: {error}"))
}
