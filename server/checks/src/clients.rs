//! Whom the grader asks: the cluster that is learned on, and the lab beside it.

use crate::watch::Stamps;

/// The cluster that is learned on and the lab that has the workstation and the records: one server, unless the learner brought a cluster.
#[derive(Clone)]
pub struct Clients {
    /// The cluster that is learned on.
    pub subject: kube::Client,
    /// The lab.
    pub lab: kube::Client,
    /// The cluster is not ours: it has no history, and its revisions are not those of the records.
    pub foreign: bool,
    /// When the records of the lab were made, in revisions of the cluster; for as long as Drydock runs, whichever chapter is open.
    pub(crate) stamps: Stamps,
}

impl Clients {
    /// A cluster that is not ours, beside a lab.
    #[must_use]
    pub fn foreign(subject: kube::Client, lab: kube::Client) -> Clients {
        Clients { subject, lab, foreign: true, stamps: Stamps::default() }
    }
}

/// Our own cluster has its lab inside.
impl From<kube::Client> for Clients {
    fn from(client: kube::Client) -> Clients {
        Clients { subject: client.clone(), lab: client, foreign: false, stamps: Stamps::default() }
    }
}
