//! Which registries are who they say they are: the authorities that are trusted, and what is said when none vouches.

use std::{fmt::Display, fs, net::IpAddr, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use rustls::{CertificateError as Bad, Error, InvalidMessage, pki_types::UnixTime};
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

/// Whose certificates are believed.
#[derive(Debug, Clone, Default)]
pub(crate) enum Trust {
    /// The authorities of this machine, or those `SSL_CERT_FILE` names.
    #[default]
    System,
    /// A node: for each registry those in `DIRECTORY/REGISTRY/*.crt`, as containerd keeps them.
    Directory(PathBuf),
}

impl Trust {
    /// The authorities for a registry. A file that cannot be read vouches for nobody.
    // upstream: containerd, core/remotes/docker/config/hosts.go, loadCertFiles
    pub(crate) fn authorities(&self, registry: &str) -> RootCerts {
        let Self::Directory(directory) = self else { return RootCerts::PlatformVerifier };
        let files = fs::read_dir(directory.join(registry)).into_iter().flatten().flatten().map(|entry| entry.path());
        let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "crt")).filter_map(|path| fs::read(path).ok());
        let certificates = texts.flat_map(|text| parse_pem(&text).filter_map(Result::ok).collect::<Vec<_>>()).filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        });
        RootCerts::Specific(Arc::new(certificates.collect::<Vec<Certificate<'static>>>()))
    }

    /// What a reader can do about a registry nobody vouches for.
    fn remedy(&self, registry: &str) -> String {
        match self {
            Self::System => format!("to trust {registry}, name a file with the certificate of its authority in SSL_CERT_FILE"),
            Self::Directory(directory) => {
                format!("to trust {registry}, put the certificate of its authority into {}/{registry}/ca.crt on the node", directory.display())
            }
        }
    }

    /// Why a TLS connection did not come about, as the programs say it whose words people look for, and what to do.
    // upstream: Go, crypto/x509/verify.go
    pub(crate) fn in_gos_words(&self, error: &Error, registry: &str, host: &str) -> String {
        let (why, remedy) = match error {
            Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => ("certificate signed by unknown authority".to_owned(), self.remedy(registry)),
            Error::InvalidCertificate(Bad::ExpiredContext { time, not_after }) => {
                (format!("certificate has expired or is not yet valid: current time {} is after {}", date(*time), date(*not_after)), renew(registry))
            }
            Error::InvalidCertificate(Bad::NotValidYetContext { time, not_before }) => {
                (format!("certificate has expired or is not yet valid: current time {} is before {}", date(*time), date(*not_before)), renew(registry))
            }
            Error::InvalidCertificate(Bad::Expired | Bad::NotValidYet) => ("certificate has expired or is not yet valid".to_owned(), renew(registry)),
            Error::InvalidCertificate(Bad::NotValidForNameContext { presented, .. }) => (other_name(presented, host), rename(registry)),
            Error::InvalidCertificate(Bad::NotValidForName) => (other_name(&[], host), rename(registry)),
            Error::InvalidCertificate(Bad::Other(other)) if other.to_string().contains("CaUsedAsEndEntity") => {
                ("certificate signed by unknown authority".to_owned(), format!("the certificate of {registry} is that of an authority: give it one that an authority has signed"))
            }
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => return "http: server gave HTTP response to HTTPS client".to_owned(),
            other => return format!("remote error: tls: {other}"),
        };
        format!("tls: failed to verify certificate: x509: {why}; {remedy}")
    }
}

fn renew(registry: &str) -> String {
    format!("{registry} needs a new certificate")
}

fn rename(registry: &str) -> String {
    format!("the certificate of {registry} is for another name: ask for the image by that, or give the registry a certificate for this one")
}

/// A certificate of somebody else; rustls shows its names as `DnsName("a.example")` and `IpAddress(192.0.2.1)`.
fn other_name(presented: &[String], host: &str) -> String {
    let of_kind = |kind: &str| -> Vec<&str> {
        let bare = |name: &'_ String| name.starts_with(kind).then_some(());
        presented.iter().filter(|name| bare(name).is_some()).map(|name| name[kind.len()..].trim_matches(['(', ')', '"'])).collect()
    };
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let names = of_kind(if is_address { "IpAddress" } else { "DnsName" });
    match (names.as_slice(), is_address) {
        ([], true) => format!("cannot validate certificate for {host} because it doesn't contain any IP SANs"),
        ([], false) => format!("certificate is not valid for any names, but wanted to match {host}"),
        (names, _) => format!("certificate is valid for {}, not {host}", names.join(", ")),
    }
}

/// RFC 3339, as Go prints it in UTC.
fn date(time: UnixTime) -> impl Display {
    Timestamp::from_second(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::ServerName;

    use super::*;

    #[test]
    fn certificates_are_refused_in_gos_words() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let named = |presented: &[&str]| Bad::NotValidForNameContext {
            expected: ServerName::try_from("registry.example").unwrap(),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        let rename = "; the certificate of REGISTRY is for another name: ask for the image by that, or give the registry a certificate for this one";
        let cases = [
            (Bad::UnknownIssuer, "registry.example", "certificate signed by unknown authority; to trust REGISTRY, put the certificate of its authority into /certs/REGISTRY/ca.crt on the node".to_owned()),
            (
                Bad::ExpiredContext { time: at(1_800_000_000), not_after: at(1_700_000_000) },
                "registry.example",
                "certificate has expired or is not yet valid: current time 2027-01-15T08:00:00Z is after 2023-11-14T22:13:20Z; REGISTRY needs a new certificate".to_owned(),
            ),
            (
                Bad::NotValidYetContext { time: at(1_700_000_000), not_before: at(1_800_000_000) },
                "registry.example",
                "certificate has expired or is not yet valid: current time 2023-11-14T22:13:20Z is before 2027-01-15T08:00:00Z; REGISTRY needs a new certificate".to_owned(),
            ),
            (named(&["DnsName(\"a.example\")", "DnsName(\"b.example\")"]), "registry.example", format!("certificate is valid for a.example, b.example, not registry.example{rename}")),
            (named(&["IpAddress(192.0.2.1)"]), "registry.example", format!("certificate is not valid for any names, but wanted to match registry.example{rename}")),
            (named(&["DnsName(\"a.example\")"]), "192.0.2.7", format!("cannot validate certificate for 192.0.2.7 because it doesn't contain any IP SANs{rename}")),
            (named(&["IpAddress(192.0.2.1)"]), "192.0.2.7", format!("certificate is valid for 192.0.2.1, not 192.0.2.7{rename}")),
        ];
        for (error, host, wanted) in cases {
            let registry = format!("{host}:5000");
            let said = Trust::Directory("/certs".into()).in_gos_words(&Error::InvalidCertificate(error), &registry, host);
            assert_eq!(said.replace(&registry, "REGISTRY"), format!("tls: failed to verify certificate: x509: {wanted}"));
        }
    }
}
