//! Which registries are who they say they are: the authorities that are trusted, and what is said when none vouches.

use std::{
    fmt::Display,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError as Bad, Error, InvalidMessage, pki_types::UnixTime};
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use crate::{
    hosts::{self, Host, HostsError},
    registry::host_and_port,
};

/// Whose certificates are believed.
#[derive(Debug, Clone, Default)]
pub(crate) enum Trust {
    /// The authorities of this machine, or those `SSL_CERT_FILE` names.
    #[default]
    System,
    /// A node: the same, and for each registry those in `DIRECTORY/REGISTRY/*.crt`, as containerd keeps them.
    Directory(PathBuf),
}

impl Trust {
    /// Who answers for a registry, in the order they are asked.
    // upstream: containerd, core/remotes/docker/config/hosts.go, ConfigureHosts, loadHostDir, loadCertFiles
    pub(crate) fn hosts(&self, registry: &str) -> Result<Vec<Host>, HostsError> {
        let itself = Host::itself(registry);
        let Self::Directory(directory) = self else { return Ok(vec![itself]) };
        let folder = folder(directory, registry);
        if let Some(hosts) = hosts::read(&folder, &itself)? {
            return Ok(hosts);
        }
        let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let authorities = files.filter(|path| path.extension().is_some_and(|extension| extension == "crt")).collect();
        Ok(vec![Host { authorities, ..itself }])
    }

    /// The authorities that may vouch for a host. A file that cannot be read vouches for nobody.
    pub(crate) fn authorities(&self, host: &Host) -> RootCerts {
        if matches!(self, Self::System) {
            return RootCerts::PlatformVerifier;
        }
        let texts = host.authorities.iter().filter_map(|path| fs::read(path).ok());
        let own = texts.flat_map(|text| parse_pem(&text).filter_map(Result::ok).collect::<Vec<_>>()).filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        });
        let known = rustls_native_certs::load_native_certs().certs;
        let known = known.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
        RootCerts::Specific(Arc::new(known.chain(own).collect::<Vec<Certificate<'static>>>()))
    }

    /// What a reader can do about a registry nobody vouches for.
    fn remedy(&self, registry: &str) -> String {
        match self {
            Self::System => format!("to trust {registry}, name a file with the certificate of its authority in SSL_CERT_FILE"),
            Self::Directory(directory) => {
                // What there is for all registries would not be looked at any more; what there is for this one is.
                let found = folder(directory, registry);
                let file = found.join(hosts::FILE);
                if fs::metadata(&file).is_ok_and(|file| file.len() > 0) {
                    return format!("to trust it, name a file with the certificate of its authority as ca of it in {} on the node", file.display());
                }
                let folder = Some(found).filter(|folder| !folder.ends_with(DEFAULT)).unwrap_or_else(|| directory.join(registry));
                format!("to trust {registry}, put the certificate of its authority into {}/ca.crt on the node", folder.display())
            }
        }
    }

    /// Why a TLS connection to `registry`, one of the hosts of `namespace`, did not come about, as the programs say it whose
    /// words people look for, and what to do.
    // upstream: Go, crypto/x509/verify.go
    pub(crate) fn in_gos_words(&self, error: &Error, namespace: &str, registry: &str) -> String {
        let (host, _) = host_and_port(registry);
        let (why, remedy) = match error {
            Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => ("certificate signed by unknown authority".to_owned(), self.remedy(namespace)),
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
            Error::AlertReceived(alert) => return format!("remote error: tls: {}", alerted(*alert)),
            other => return format!("tls: failed to verify certificate: {other}"),
        };
        format!("tls: failed to verify certificate: x509: {why}; {remedy}")
    }
}

/// Where containerd looks for a registry it has no directory of.
const DEFAULT: &str = "_default";

/// A registry's directory: the first there is.
// upstream: containerd, core/remotes/docker/config/hosts.go, hostPaths; config_unix.go, hostDirectory
fn folder(directory: &Path, registry: &str) -> PathBuf {
    let portable = registry.rsplit_once(':').map(|(host, port)| directory.join(format!("{host}_{port}_")));
    let exact = directory.join(registry);
    let mut all = portable.into_iter().chain([exact.clone(), directory.join(DEFAULT)]);
    all.find(|folder| folder.exists()).unwrap_or(exact)
}

/// What the other side says against a connection.
// upstream: Go, crypto/tls/alert.go
fn alerted(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => "unknown certificate authority".to_owned(),
        AlertDescription::BadRecordMac => "bad record MAC".to_owned(),
        AlertDescription::ProtocolVersion => "protocol version not supported".to_owned(),
        AlertDescription::InsufficientSecurity => "insufficient security level".to_owned(),
        AlertDescription::DecodeError => "error decoding message".to_owned(),
        AlertDescription::DecryptError => "error decrypting message".to_owned(),
        AlertDescription::CertificateUnknown => "unknown certificate".to_owned(),
        AlertDescription::CertificateUnobtainable => "certificate unobtainable".to_owned(),
        AlertDescription::CertificateExpired => "expired certificate".to_owned(),
        AlertDescription::CertificateRevoked => "revoked certificate".to_owned(),
        other => {
            let words = format!("{other:?}").chars().flat_map(|letter| letter.is_uppercase().then_some(' ').into_iter().chain(letter.to_lowercase())).collect::<String>();
            words.trim().to_owned()
        }
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
    use std::{process::Command, time::Duration};

    use rustls::pki_types::ServerName;

    use super::*;

    /// The variable that makes the first test below say whom it trusts: its environment is that of its process.
    const CERTIFICATES: &str = "DRYDOCK_TEST_CERTIFICATES";

    #[test]
    fn who_is_trusted() {
        let Ok(directory) = std::env::var(CERTIFICATES) else { return };
        for registry in ["one.example:5000", "two.example:5000", "three.example", "[::1]:5000"] {
            let trust = Trust::Directory(directory.clone().into());
            let RootCerts::Specific(all) = trust.authorities(&trust.hosts(registry).unwrap()[0]) else { panic!("those of the computer") };
            let der: Vec<Vec<u8>> = all.iter().map(|certificate| certificate.der().to_vec()).collect();
            let names = fs::read_dir(format!("{directory}/known")).unwrap().flatten().map(|entry| entry.path());
            let mut names: Vec<_> = names.filter(|path| der.contains(&fs::read(path).unwrap())).map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
            names.sort();
            println!("{registry} {} {}", der.len(), names.join(" "));
        }
    }

    #[test]
    fn a_node_trusts_whom_its_computer_trusts_and_the_first_directory_of_a_registry() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join("known")).unwrap();
        for (name, file) in [
            ("system", "authorities.pem"),
            ("portable", "one.example_5000_/ca.crt"),
            ("shadowed", "one.example:5000/ca.crt"),
            ("exact", "two.example:5000/any.crt"),
            ("ignored", "two.example:5000/client.cert"),
            ("default", "_default/ca.crt"),
        ] {
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), certificate.pem()).unwrap();
            fs::write(root.join("known").join(name), certificate.der()).unwrap();
        }
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "trust::tests::who_is_trusted", "--nocapture"]).env_remove("SSL_CERT_DIR");
        let output = child.env("SSL_CERT_FILE", root.join("authorities.pem")).env(CERTIFICATES, root).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let said: Vec<&str> = said.lines().filter(|line| line.contains(" 2 ")).collect();
        assert_eq!(
            said,
            ["one.example:5000 2 portable system", "two.example:5000 2 exact system", "three.example 2 default system", "[::1]:5000 2 default system"],
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        for (registry, wanted) in [("one.example:5000", "one.example_5000_"), ("two.example:5000", "two.example:5000"), ("three.example", "three.example")] {
            let remedy = Trust::Directory(root.to_owned()).remedy(registry);
            assert!(remedy.contains(&format!("/{wanted}/ca.crt ")), "{remedy}");
        }
    }

    #[test]
    fn only_the_other_side_makes_a_remote_error() {
        for (error, wanted) in [
            (Error::AlertReceived(AlertDescription::HandshakeFailure), "remote error: tls: handshake failure"),
            (Error::AlertReceived(AlertDescription::UnknownCA), "remote error: tls: unknown certificate authority"),
            (Error::InvalidCertificate(Bad::Revoked), "tls: failed to verify certificate: invalid peer certificate: Revoked"),
            (Error::General("no authorities".to_owned()), "tls: failed to verify certificate: unexpected error: no authorities"),
        ] {
            assert_eq!(Trust::System.in_gos_words(&error, "registry.example", "registry.example"), wanted);
        }
    }

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
            let said = Trust::Directory("/certs".into()).in_gos_words(&Error::InvalidCertificate(error), &registry, &registry);
            assert_eq!(said.replace(&registry, "REGISTRY"), format!("tls: failed to verify certificate: x509: {wanted}"));
        }
    }
}
