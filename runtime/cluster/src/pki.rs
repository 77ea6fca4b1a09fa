//! The cluster's certificate authority and the credentials it hands out.
//!
//! 1. The CA is made once per state directory and survives restarts and resets, so kubeconfigs stay valid.
//! 2. Everything else (server, kubelets, learner, page) is issued anew at each boot and costs a millisecond.
//!
//! Keys never leave the cluster's directory except inside a kubeconfig.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

/// Why a credential could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file of the authority cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate library refused.
    #[error("certificate for {name}: {source}")]
    Certificate {
        /// Subject.
        name: String,
        /// Why.
        source: rcgen::Error,
    },
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Certificate, PEM.
    pub certificate: String,
    /// Private key, PEM (PKCS 8).
    pub key: String,
}

/// What a certificate says.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// Common name: the Kubernetes user.
    pub user: String,
    /// Organizations: the Kubernetes groups.
    pub groups: Vec<String>,
    /// DNS names of a server.
    pub names: Vec<String>,
    /// Addresses of a server.
    pub addresses: Vec<IpAddr>,
}

/// The cluster's certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// Open the authority in `directory`, making it when it is not there.
    ///
    /// # Errors
    /// When its files cannot be read or written, or are not what we wrote.
    pub fn open(directory: &Path) -> Result<Authority, PkiError> {
        fs::create_dir_all(directory).map_err(|source| PkiError::File { path: directory.to_owned(), source })?;
        let (key_path, certificate_path) = (directory.join("ca.key"), directory.join("ca.crt"));
        let params = ca_params();
        let named = |source| PkiError::Certificate { name: "drydock-ca".to_owned(), source };
        if let (Ok(key), Ok(certificate)) = (fs::read_to_string(&key_path), fs::read_to_string(&certificate_path)) {
            let key = KeyPair::from_pem(&key).map_err(named)?;
            return Ok(Authority { issuer: Issuer::new(params, key), certificate });
        }
        let key = KeyPair::generate().map_err(named)?;
        let certificate = params.self_signed(&key).map_err(named)?.pem();
        write_private(&key_path, &key.serialize_pem())?;
        write_private(&certificate_path, &certificate)?;
        Ok(Authority { issuer: Issuer::new(params, key), certificate })
    }

    /// The authority's own certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Issue a certificate good for servers and clients.
    ///
    /// # Errors
    /// When the subject cannot be encoded.
    pub fn issue(&self, subject: &Subject) -> Result<Credential, PkiError> {
        let named = |source| PkiError::Certificate { name: subject.user.clone(), source };
        let mut params = CertificateParams::new(subject.names.clone()).map_err(named)?;
        params.subject_alt_names.extend(subject.addresses.iter().copied().map(SanType::IpAddress));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, subject.user.as_str());
        for group in &subject.groups {
            params.distinguished_name.push(DnType::OrganizationName, group.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(named)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(named)?;
        Ok(Credential { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "drydock-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

/// Write a file only its owner can read, atomically.
///
/// # Errors
/// When the file system refuses.
pub fn write_private(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), PkiError> {
    use std::io::Write;
    let named = |source| PkiError::File { path: path.to_owned(), source };
    let temporary = path.with_extension("tmp");
    let mut file = fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&temporary).map_err(named)?;
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(named)?;
    file.write_all(contents.as_ref()).and_then(|()| file.sync_all()).map_err(named)?;
    fs::rename(&temporary, path).map_err(named)
}

/// A kubeconfig for one user of the cluster at `server` (a URL).
pub fn kubeconfig(server: &str, authority: &Authority, user: &str, credential: &Credential) -> String {
    use k8s_openapi::ByteString;
    let encode = |pem: &str| match serde_json::to_value(ByteString(pem.as_bytes().to_vec())) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    };
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: drydock\n  cluster:\n    server: {server}\n    certificate-authority-data: {ca}\n\
         users:\n- name: {user}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n\
         contexts:\n- name: drydock\n  context:\n    cluster: drydock\n    user: {user}\n    namespace: default\ncurrent-context: drydock\n",
        ca = encode(authority.certificate()),
        certificate = encode(&credential.certificate),
        key = encode(&credential.key),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_survives_a_reopen_and_still_signs() {
        let directory = tempfile::tempdir().unwrap();
        let first = Authority::open(directory.path()).unwrap();
        let second = Authority::open(directory.path()).unwrap();
        assert_eq!(first.certificate(), second.certificate());
        let subject = Subject { user: "learner".into(), groups: vec!["system:masters".into()], ..Subject::default() };
        for name in ["ca.key", "ca.crt"] {
            let mode = fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let credential = second.issue(&subject).unwrap();
        assert!(credential.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        let config = kubeconfig("https://127.0.0.1:6443", &second, "learner", &credential);
        assert!(config.contains("server: https://127.0.0.1:6443") && config.contains("client-key-data: LS0"));
    }
}
