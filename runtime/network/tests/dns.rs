//! Queries and what CoreDNS would say to them, one line each.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use drydock_network::dns::{Authority, EndpointRecord, PortRecord, Records, ServiceRecord, answer};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

fn records() -> Records {
    let port = |name: &str, port| PortRecord { name: name.to_owned(), protocol: "tcp".to_owned(), port };
    let endpoint = |host: Option<&str>, last| EndpointRecord {
        hostname: host.map(str::to_owned),
        address: Ipv4Addr::new(10, 244, 1, last),
        ports: vec![port("sql", 5432)],
    };
    let web = ServiceRecord::ClusterIp { address: Ipv4Addr::new(10, 96, 0, 80), ports: vec![port("http", 80), port("", 81)] };
    let db = ServiceRecord::Headless { endpoints: vec![endpoint(Some("db-0"), 5), endpoint(None, 6)] };
    let named = |name: &str| ("default".to_owned(), name.to_owned());
    let external = |target: &str| ServiceRecord::ExternalName { target: target.to_owned() };
    Records {
        serial: 7,
        namespaces: ["default", "empty"].map(str::to_owned).into(),
        services: BTreeMap::from([
            (named("web"), web),
            (named("db"), db),
            (named("lonely"), ServiceRecord::Headless { endpoints: vec![] }),
            (named("shop"), external("shop.example")),
            (named("far"), external("raw.example")),
            (named("alias"), external("web.default.svc.cluster.local")),
            (named("loop"), external("loop.default.svc.cluster.local")),
        ]),
        hosts: BTreeMap::from([("shop.example".to_owned(), vec![Ipv4Addr::new(172, 30, 0, 2)])]),
        aliases: BTreeMap::from([("raw.example".to_owned(), "shop.example".to_owned())]),
    }
}

/// `RCODE[ aa] | answers | authorities | additionals`.
fn ask(name: &str, kind: RecordType) -> String {
    let mut query = Message::new(4, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    let authority = Authority { domain: "cluster.local".to_owned(), address: Ipv4Addr::new(10, 96, 0, 10) };
    let response = answer(&query, &records(), &authority);
    let again = Message::from_vec(&response.to_vec().unwrap()).unwrap();
    assert_eq!(again.answers, response.answers);
    let show = |records: &[Record]| {
        let one = |r: &Record| match &r.data {
            RData::A(a) => format!("{} A {}", r.name, a.0),
            RData::CNAME(n) => format!("{} CNAME {}", r.name, n.0),
            RData::PTR(n) => format!("PTR {}", n.0),
            RData::NS(n) => format!("NS {}", n.0),
            RData::SRV(s) => format!("SRV {} {}", s.port, s.target),
            RData::SOA(s) => format!("SOA {} {}", r.name, s.serial),
            other => other.to_string(),
        };
        records.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let code = match response.metadata.response_code {
        ResponseCode::NoError => "ok",
        ResponseCode::NXDomain => "nxdomain",
        ResponseCode::ServFail => "servfail",
        _ => "other",
    };
    let aa = if response.metadata.authoritative { " aa" } else { "" };
    format!("{code}{aa} | {} | {} | {}", show(&response.answers), show(&response.authorities), show(&response.additionals))
}

#[test]
fn names_and_what_they_stand_for() {
    use RecordType::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
    let soa = "SOA cluster.local. 7";
    let nothing = format!("nxdomain aa |  | {soa} | ");
    let empty = format!("ok aa |  | {soa} | ");
    let db0 = "db-0.db.default.svc.cluster.local.";
    let db1 = "10-244-1-6.db.default.svc.cluster.local.";
    let cases: &[(&str, RecordType, String)] = &[
        ("web.default.svc.cluster.local.", A, "ok aa | web.default.svc.cluster.local. A 10.96.0.80 |  | ".into()),
        ("WEB.default.SVC.cluster.local.", A, "ok aa | WEB.default.SVC.cluster.local. A 10.96.0.80 |  | ".into()),
        ("web.default.svc.cluster.local.", AAAA, empty.clone()),
        ("_http._tcp.web.default.svc.cluster.local.", SRV, "ok aa | SRV 80 web.default.svc.cluster.local. |  | web.default.svc.cluster.local. A 10.96.0.80".into()),
        ("_http._udp.web.default.svc.cluster.local.", SRV, nothing.clone()),
        ("raw.example.", A, "ok | raw.example. CNAME shop.example., shop.example. A 172.30.0.2 |  | ".into()),
        ("raw.example.", AAAA, "ok | raw.example. CNAME shop.example. |  | ".into()),
        (
            "far.default.svc.cluster.local.",
            A,
            "ok aa | far.default.svc.cluster.local. CNAME raw.example., raw.example. CNAME shop.example., shop.example. A 172.30.0.2 |  | ".into(),
        ),
        ("x.web.default.svc.cluster.local.", A, nothing.clone()),
        ("db.default.svc.cluster.local.", A, "ok aa | db.default.svc.cluster.local. A 10.244.1.5, db.default.svc.cluster.local. A 10.244.1.6 |  | ".into()),
        (db0, A, format!("ok aa | {db0} A 10.244.1.5 |  | ")),
        (db1, A, format!("ok aa | {db1} A 10.244.1.6 |  | ")),
        ("_sql._tcp.db.default.svc.cluster.local.", SRV, format!("ok aa | SRV 5432 {db0}, SRV 5432 {db1} |  | {db0} A 10.244.1.5, {db1} A 10.244.1.6")),
        ("lonely.default.svc.cluster.local.", A, nothing.clone()),
        ("shop.default.svc.cluster.local.", A, "ok aa | shop.default.svc.cluster.local. CNAME shop.example., shop.example. A 172.30.0.2 |  | ".into()),
        ("shop.default.svc.cluster.local.", CNAME, "ok aa | shop.default.svc.cluster.local. CNAME shop.example. |  | ".into()),
        ("alias.default.svc.cluster.local.", A, "ok aa | alias.default.svc.cluster.local. CNAME web.default.svc.cluster.local., web.default.svc.cluster.local. A 10.96.0.80 |  | ".into()),
        ("missing.default.svc.cluster.local.", A, nothing.clone()),
        ("default.svc.cluster.local.", A, empty.clone()),
        ("empty.svc.cluster.local.", A, empty.clone()),
        ("nowhere.svc.cluster.local.", A, nothing.clone()),
        ("web.default.cluster.local.", A, nothing.clone()),
        ("svc.cluster.local.", A, empty.clone()),
        ("cluster.local.", A, empty.clone()),
        ("cluster.local.", SOA, "ok aa | SOA cluster.local. 7 |  | ".into()),
        ("cluster.local.", NS, "ok aa | NS ns.dns.cluster.local. |  | ns.dns.cluster.local. A 10.96.0.10".into()),
        ("notcluster.local.", A, "nxdomain |  |  | ".into()),
        ("ns.dns.cluster.local.", A, "ok aa | ns.dns.cluster.local. A 10.96.0.10 |  | ".into()),
        ("dns-version.cluster.local.", TXT, "ok aa | 1.1.0 |  | ".into()),
        ("10-244-1-5.default.pod.cluster.local.", A, "ok aa | 10-244-1-5.default.pod.cluster.local. A 10.244.1.5 |  | ".into()),
        ("10-244-1-5.nowhere.pod.cluster.local.", A, nothing.clone()),
        ("web-1.default.pod.cluster.local.", A, nothing.clone()),
        ("80.0.96.10.in-addr.arpa.", PTR, "ok | PTR web.default.svc.cluster.local. |  | ".into()),
        ("5.1.244.10.in-addr.arpa.", PTR, format!("ok | PTR {db0} |  | ")),
        ("9.1.244.10.in-addr.arpa.", PTR, "nxdomain |  |  | ".into()),
        ("shop.example.", A, "ok | shop.example. A 172.30.0.2 |  | ".into()),
        ("shop.example.", AAAA, "ok |  |  | ".into()),
        ("shop.example.default.svc.cluster.local.", A, nothing.clone()),
        ("kubernetes.io.", A, "nxdomain |  |  | ".into()),
        (".", A, "nxdomain |  |  | ".into()),
    ];
    for (name, kind, expected) in cases {
        assert_eq!(&ask(name, *kind), expected, "{name} {kind}");
    }
    assert!(ask("loop.default.svc.cluster.local.", A).starts_with("servfail"));
}

#[test]
fn no_query_makes_it_panic() {
    let authority = Authority { domain: "cluster.local".to_owned(), address: Ipv4Addr::new(10, 96, 0, 10) };
    let records = records();
    let valid = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\x07default\x03svc\x07cluster\x05local\0\0\x01\0\x01";
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..20_000 {
        let mut bytes = valid.to_vec();
        for _ in 0..3 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = (seed >> 8) as usize % bytes.len();
            bytes[at] = seed as u8;
        }
        if let Ok(query) = Message::from_vec(&bytes) {
            let response = answer(&query, &records, &authority);
            assert_eq!(response.metadata.id, query.metadata.id);
        }
    }
}
