//! What the server has answered, under the names CoreDNS counts it and in the text Prometheus reads.

// upstream: coredns plugin/metrics/vars/vars.go

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Metrics(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// By protocol and type.
    requests: BTreeMap<(&'static str, String), u64>,
    /// By code.
    responses: BTreeMap<&'static str, u64>,
}

impl Metrics {
    /// A query was answered.
    pub(super) fn count(&self, protocol: &'static str, kind: Option<RecordType>, code: ResponseCode) {
        let kind = match kind {
            Some(kind @ (RecordType::A | RecordType::AAAA | RecordType::CNAME | RecordType::MX | RecordType::NS | RecordType::PTR | RecordType::SOA | RecordType::SRV | RecordType::TXT)) => kind.to_string(),
            _ => "other".to_owned(),
        };
        let code = match code {
            ResponseCode::NoError => "NOERROR",
            ResponseCode::FormErr => "FORMERR",
            ResponseCode::NXDomain => "NXDOMAIN",
            ResponseCode::NotImp => "NOTIMP",
            ResponseCode::Refused => "REFUSED",
            _ => "SERVFAIL",
        };
        // Numbers are good between any two statements.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.requests.entry((protocol, kind)).or_default() += 1;
        *counts.responses.entry(code).or_default() += 1;
    }

    /// All of them as text.
    pub(super) fn text(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::from("# HELP coredns_dns_requests_total Counter of DNS requests made per zone, protocol and family.\n# TYPE coredns_dns_requests_total counter\n");
        for ((protocol, kind), count) in &counts.requests {
            text.push_str(&format!("coredns_dns_requests_total{{family=\"1\",proto=\"{protocol}\",server=\"dns://:53\",type=\"{kind}\",view=\"\",zone=\".\"}} {count}\n"));
        }
        text.push_str("# HELP coredns_dns_responses_total Counter of response status codes.\n# TYPE coredns_dns_responses_total counter\n");
        for (code, count) in &counts.responses {
            text.push_str(&format!("coredns_dns_responses_total{{plugin=\"\",rcode=\"{code}\",server=\"dns://:53\",view=\"\",zone=\".\"}} {count}\n"));
        }
        text
    }

    /// The response to an HTTP request, of which only the first line matters.
    pub(super) fn answer(&self, request: &str) -> String {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let (status, body) = match path.split('?').next() {
            Some("/metrics") => ("200 OK", self.text()),
            _ => ("404 Not Found", "404 page not found\n".to_owned()),
        };
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_and_shown() {
        let metrics = Metrics::default();
        metrics.count("udp", Some(RecordType::A), ResponseCode::NoError);
        metrics.count("udp", Some(RecordType::A), ResponseCode::NXDomain);
        metrics.count("tcp", Some(RecordType::NULL), ResponseCode::NoError);
        let shown = metrics.answer("GET /metrics HTTP/1.1\r\n");
        for line in [
            "coredns_dns_requests_total{family=\"1\",proto=\"udp\",server=\"dns://:53\",type=\"A\",view=\"\",zone=\".\"} 2\n",
            "coredns_dns_requests_total{family=\"1\",proto=\"tcp\",server=\"dns://:53\",type=\"other\",view=\"\",zone=\".\"} 1\n",
            "coredns_dns_responses_total{plugin=\"\",rcode=\"NXDOMAIN\",server=\"dns://:53\",view=\"\",zone=\".\"} 1\n",
        ] {
            assert!(shown.contains(line), "{line}{shown}");
        }
        assert!(metrics.answer("GET / HTTP/1.1\r\n").starts_with("HTTP/1.1 404 Not Found\r\n"));
        assert!(metrics.answer("").starts_with("HTTP/1.1 404 Not Found\r\n"));
    }
}
