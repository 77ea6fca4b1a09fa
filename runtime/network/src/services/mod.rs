//! Services: virtual addresses that the kernel of every node translates to an endpoint's address.
//!
//! 1. [`Services::open`] names the node; the first change makes one nftables table in its namespace: hooks, maps from
//!    virtual address and port to a chain, and the chain that masquerades.
//! 2. [`Services::apply`] puts one Service in, or changes it: one transaction of the chains and map elements that differ.
//! 3. [`Services::remove`] takes it out; [`Services::replace_all`] makes the table be exactly what is given.
//!
//! The rules follow upstream's nftables proxy. upstream: pkg/proxy/nftables/proxier.go

mod conntrack;
mod nft;
mod plan;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use self::conntrack::{Leads, leads};
use self::nft::{SetKind, Verdict};
use self::plan::{BASE_CHAINS, BASE_SETS, NODE_IPS, Plan, base_rules, plan};
pub use self::table::{Endpoint, Protocol, Service, ServiceKey, ServicePort, TrafficPolicy};
use crate::cidr::Cidr;
use crate::error::{NetworkError, Step};
use crate::netlink::{Family, Message, Socket};
use crate::netns::Netns;

/// How many messages go into one transaction at most: together they stay far below what a stock kernel takes at once.
const BATCH: usize = 600;

/// The Services of one node, as its kernel has them.
#[derive(Debug)]
pub struct Services {
    socket: Socket,
    node_ips: Vec<Ipv4Addr>,
    range: Cidr,
    ready: bool,
    next_set: u32,
    applied: BTreeMap<ServiceKey, (Service, Plan)>,
}

/// One message of a transaction and what it is for.
struct Change {
    what: String,
    message: Message,
}

impl Services {
    /// Prepare to translate in a node's namespace. `node_ips` are the addresses node ports are served on, `range` is the
    /// range of cluster IPs. The rules of an earlier run stay until the first change, which replaces them at once.
    ///
    /// # Errors
    /// [`NetworkError::NoNat`] when the kernel has no netfilter netlink at all.
    pub fn open(node: &Netns, node_ips: &[Ipv4Addr], range: Cidr) -> Result<Services, NetworkError> {
        let socket = Socket::open(node, Family::Netfilter)
            .map_err(|source| NetworkError::NoNat { what: "no nfnetlink".to_owned(), source })?;
        Ok(Services { socket, node_ips: node_ips.to_vec(), range, ready: false, next_set: 100, applied: BTreeMap::new() })
    }

    /// Make the table be there, empty if this is the first call.
    ///
    /// # Errors
    /// [`NetworkError::NoNat`] when the kernel lacks a feature, named.
    pub fn prepare(&mut self) -> Result<(), NetworkError> {
        if self.ready { Ok(()) } else { self.replace_all(BTreeMap::new()) }
    }

    /// Put a Service in, or change it. Nothing is sent when nothing differs.
    ///
    /// # Errors
    /// What the kernel refused; the Service is then as it was before.
    pub fn apply(&mut self, key: &ServiceKey, service: &Service) -> Result<(), NetworkError> {
        self.prepare()?;
        if self.applied.get(key).is_some_and(|(applied, _)| applied == service) {
            return Ok(());
        }
        let new = self.plan_without_conflicts(key, service);
        let old = self.applied.get(key).map(|(_, plan)| plan.clone()).unwrap_or_default();
        let steps = self.difference(&old, &new);
        self.send(steps)?;
        let mut leads = self.without_leads(key);
        leads.extend(conntrack::leads(service, &self.node_ips));
        self.applied.insert(key.clone(), (service.clone(), new));
        self.forget(&leads);
        Ok(())
    }

    /// Take a Service out. Nothing when it is not in.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn remove(&mut self, key: &ServiceKey) -> Result<(), NetworkError> {
        let Some((_, old)) = self.applied.get(key) else { return Ok(()) };
        let old = old.clone();
        let steps = self.difference(&old, &Plan::default());
        self.send(steps)?;
        let leads = self.without_leads(key);
        self.applied.remove(key);
        self.forget(&leads);
        Ok(())
    }

    /// The places of a Service as they are now, leading nowhere.
    fn without_leads(&self, key: &ServiceKey) -> Leads {
        let applied = self.applied.get(key).map(|(service, _)| leads(service, &self.node_ips)).unwrap_or_default();
        applied.into_keys().map(|place| (place, BTreeSet::new())).collect()
    }

    /// The rules are in place whatever becomes of what the kernel remembers, so a failure is told and no more.
    fn forget(&mut self, leads: &Leads) {
        match conntrack::forget(&mut self.socket, leads) {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "forgot UDP connections to endpoints that are gone"),
            Err(error) => tracing::warn!(%error, "cannot forget UDP connections; clients that go on sending may miss a change of endpoints"),
        }
    }

    /// Make the table be exactly these Services. The first time this replaces whatever an earlier run left, in one
    /// transaction with as many Services as fit in it, so that a restarted proxy leaves no gap.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn replace_all(&mut self, services: BTreeMap<ServiceKey, Service>) -> Result<(), NetworkError> {
        let mut steps = if self.ready { Vec::new() } else { self.base() };
        let gone: Vec<ServiceKey> = self.applied.keys().filter(|key| !services.contains_key(*key)).cloned().collect();
        for key in gone {
            self.remove(&key)?;
        }
        let mut pending = Vec::new();
        let mut leads = Leads::new();
        for (key, service) in services {
            if self.applied.get(&key).is_some_and(|(applied, _)| *applied == service) {
                continue;
            }
            let new = self.plan_without_conflicts(&key, &service);
            let old = self.applied.get(&key).map(|(_, plan)| plan.clone()).unwrap_or_default();
            let more = self.difference(&old, &new);
            if !steps.is_empty() && steps.len() + more.len() > BATCH {
                self.send(std::mem::take(&mut steps))?;
                pending.clear();
            }
            steps.extend(more);
            leads.extend(self.without_leads(&key));
            leads.extend(conntrack::leads(&service, &self.node_ips));
            // Counted as applied at once, so that the next Service sees which keys are taken.
            self.applied.insert(key.clone(), (service, new));
            pending.push(key);
        }
        if steps.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.send(steps) {
            for key in pending {
                self.applied.remove(&key);
            }
            return Err(error);
        }
        self.forget(&leads);
        Ok(())
    }

    /// What is in the table.
    pub fn applied(&self) -> impl Iterator<Item = (&ServiceKey, &Service)> {
        self.applied.iter().map(|(key, (service, _))| (key, service))
    }

    /// Two Services may claim one external address and port: the first keeps it.
    fn plan_without_conflicts(&self, key: &ServiceKey, service: &Service) -> Plan {
        let mut plan = plan(key, service);
        let others = self.applied.iter().filter(|(other, _)| *other != key);
        let taken: BTreeSet<_> = others.flat_map(|(_, (_, plan))| plan.elements.keys()).collect();
        plan.elements.retain(|element, _| {
            let free = !taken.contains(element);
            if !free {
                tracing::warn!(service = %key, map = element.0, "address and port belong to another Service");
            }
            free
        });
        plan
    }

    fn base(&mut self) -> Vec<Change> {
        let mut steps = Vec::new();
        let mut add = |what: &str, message: Message| steps.push(Change { what: what.to_owned(), message });
        // Made, so that deleting cannot fail; deleted with all an earlier run left in it; made anew.
        add("nftables tables", nft::new_table());
        add("nftables tables", nft::delete_table());
        add("nftables tables", nft::new_table());
        for (index, (name, length, kind)) in BASE_SETS.into_iter().enumerate() {
            add("nftables maps", nft::new_set(name, index as u32 + 1, length, kind));
        }
        for (name, hook) in BASE_CHAINS {
            add(hook.map_or("nftables chains", |h| if h.kind == "nat" { "nftables NAT chains" } else { "nftables filter chains" }), nft::new_chain(name, hook));
        }
        for address in &self.node_ips {
            add("nftables sets", nft::new_element(NODE_IPS, &address.octets(), None));
        }
        for (chain, rule) in base_rules(self.range) {
            add(&format!("nftables rules of {chain}"), nft::new_rule(chain, &rule));
        }
        self.next_set = 100;
        steps
    }

    /// The transaction that turns one plan into another. The order matters: nothing may be deleted while it is referred to.
    fn difference(&mut self, old: &Plan, new: &Plan) -> Vec<Change> {
        let mut steps = Vec::new();
        let mut add = |what: String, message: Message| steps.push(Change { what, message });
        for (element, verdict) in &old.elements {
            if new.elements.get(element) != Some(verdict) {
                add(format!("remove an element of {}", element.0), nft::delete_element(element.0, &element.1));
            }
        }
        let fresh_sets = new.sets.iter().filter(|(name, time)| old.sets.get(*name) != Some(time));
        for (name, time) in fresh_sets {
            if !old.sets.contains_key(name) {
                self.next_set += 1;
                add(format!("make set {name}"), nft::new_set(name, self.next_set, 4, SetKind::Expiring(*time)));
            }
        }
        let changed: Vec<(&String, &Vec<nft::Rule>)> = new.chains.iter().filter(|(name, rules)| old.chains.get(*name) != Some(rules)).collect();
        for (name, _) in &changed {
            let message = if old.chains.contains_key(*name) { nft::flush_chain(name) } else { nft::new_chain(name, None) };
            add(format!("prepare chain {name}"), message);
        }
        for (name, rules) in &changed {
            for rule in *rules {
                add(format!("add a rule to {name}"), nft::new_rule(name, rule));
            }
        }
        let gone: Vec<&String> = old.chains.keys().filter(|name| !new.chains.contains_key(*name)).collect();
        for name in &gone {
            add(format!("empty chain {name}"), nft::flush_chain(name));
        }
        for name in &gone {
            add(format!("remove chain {name}"), nft::delete_chain(name));
        }
        for name in old.sets.keys().filter(|name| !new.sets.contains_key(*name)) {
            add(format!("remove set {name}"), nft::delete_set(name));
        }
        for (element, verdict) in &new.elements {
            if old.elements.get(element) != Some(verdict) {
                let verdict: Option<&Verdict> = verdict.as_ref();
                add(format!("add an element to {}", element.0), nft::new_element(element.0, &element.1, verdict));
            }
        }
        steps
    }

    fn send(&mut self, steps: Vec<Change>) -> Result<(), NetworkError> {
        let (names, messages): (Vec<String>, Vec<Message>) = steps.into_iter().map(|step| (step.what, step.message)).unzip();
        let Err(error) = self.socket.batch(messages) else {
            self.ready = true;
            return Ok(());
        };
        let what = error.index.and_then(|index| names.get(index)).cloned().unwrap_or_else(|| "nftables transactions".to_owned());
        let missing = [libc::EOPNOTSUPP, libc::ENOENT, libc::EPROTONOSUPPORT, libc::EAFNOSUPPORT, libc::ENOPROTOOPT];
        match error.source.raw_os_error() {
            Some(code) if !self.ready && missing.contains(&code) => Err(NetworkError::NoNat { what, source: error.source }),
            _ => Err(error.source).step(|| what),
        }
    }
}
