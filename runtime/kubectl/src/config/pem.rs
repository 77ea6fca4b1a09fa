//! PEM as stock kubectl reads it, and what it says of certificates and keys it cannot use.
// upstream: encoding/pem, crypto/tls X509KeyPair, client-go/transport/transport.go createErrorParsingCAData

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::InconsistentKeys;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

/// The types of the blocks of a text, in its order, and whether something that is no block follows the last one.
fn blocks(text: &[u8]) -> (Vec<String>, bool) {
    let text = String::from_utf8_lossy(text);
    let (mut found, mut rest) = (Vec::new(), text.as_ref());
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let Some((kind, body)) = after.split_once("-----") else { break };
        let end = format!("-----END {kind}-----");
        let Some((inside, after)) = body.split_once(end.as_str()) else {
            rest = body;
            continue;
        };
        let inside: String = inside.lines().filter(|line| !line.contains(':')).flat_map(str::chars).filter(|letter| !letter.is_whitespace()).collect();
        if STANDARD.decode(inside).is_ok() {
            found.push(kind.to_owned());
        }
        rest = after;
    }
    (found, !rest.trim_matches(['\n', '\r']).is_empty())
}

/// Whether certificates of authorities are in it.
pub(super) fn authority(text: &[u8]) -> Result<(), String> {
    let (found, more) = blocks(text);
    if text.is_empty() || found.iter().any(|kind| kind == "CERTIFICATE") {
        return Ok(());
    }
    let why = if found.is_empty() || more { "unable to parse bytes as PEM block" } else { "no valid certificate authority data seen" };
    Err(format!("unable to load root certificates: {why}"))
}

/// Whether a certificate and a key are in them.
pub(super) fn pair(certificate: &[u8], key: &[u8]) -> Result<(), String> {
    let (found, _) = blocks(certificate);
    match found.as_slice() {
        all if all.iter().any(|kind| kind == "CERTIFICATE") => {}
        [] => return Err("tls: failed to find any PEM data in certificate input".to_owned()),
        [one] if one.ends_with("PRIVATE KEY") => {
            return Err("tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched".to_owned());
        }
        all => return Err(format!("tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{}]", all.join(" "))),
    }
    let (found, _) = blocks(key);
    match found.as_slice() {
        all if all.iter().any(|kind| kind == "PRIVATE KEY" || kind.ends_with(" PRIVATE KEY")) => Ok(()),
        [] => Err("tls: failed to find any PEM data in key input".to_owned()),
        [one] if one == "CERTIFICATE" => Err("tls: found a certificate rather than a key in the PEM for the private key".to_owned()),
        all => Err(format!("tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [{}]", all.join(" "))),
    }
}

/// Whether a key is that of a certificate; what cannot be read is not judged.
// upstream: crypto/tls X509KeyPair
pub(super) fn belong(certificate: &[u8], key: &[u8]) -> Result<(), String> {
    let (Ok(certificate), Ok(key)) = (CertificateDer::from_pem_slice(certificate), PrivateKeyDer::from_pem_slice(key)) else { return Ok(()) };
    match CertifiedKey::from_der(vec![certificate.clone()], key.clone_key(), &rustls::crypto::ring::default_provider()) {
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) if one_type(&certificate, &key) => Err("tls: private key does not match public key".to_owned()),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err("tls: private key type does not match public key type".to_owned()),
        _ => Ok(()),
    }
}

/// Whether a certificate and a key are of one type, such as RSA; so it is taken where that cannot be read.
fn one_type(certificate: &CertificateDer<'_>, key: &PrivateKeyDer<'_>) -> bool {
    let parsed = ParsedCertificate::try_from(certificate).ok().map(|parsed| parsed.subject_public_key_info());
    let own = rustls::crypto::ring::sign::any_supported_type(key).ok().and_then(|key| key.public_key().map(|public| public.into_owned()));
    match (parsed, own) {
        (Some(parsed), Some(own)) => algorithm(&parsed) == algorithm(&own),
        _ => true,
    }
}

/// The identifier of the algorithm of a public key, as DER: the first part of its first part.
fn algorithm(public: &[u8]) -> Option<&[u8]> {
    let inside = |der: &[u8]| der.get(1).map(|length| 2 + if *length < 0x80 { 0 } else { usize::from(length & 0x7f) });
    let first = public.get(inside(public)?..)?;
    let identifier = first.get(inside(first)?..)?;
    identifier.get(..2 + usize::from(*identifier.get(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----\naGVs\nbG8=\n-----END CERTIFICATE-----\n";
    const KEY: &[u8] = b"-----BEGIN EC PRIVATE KEY-----\naGVsbG8=\n-----END EC PRIVATE KEY-----\n";

    #[test]
    fn what_is_missing_is_told_as_go_tells_it() {
        assert_eq!(pair(CERTIFICATE, KEY), Ok(()));
        assert_eq!(authority(CERTIFICATE), Ok(()));
        let cases = [
            (pair(b"hello", KEY), "tls: failed to find any PEM data in certificate input"),
            (pair(KEY, KEY), "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"),
            (pair(CERTIFICATE, b"hello"), "tls: failed to find any PEM data in key input"),
            (pair(CERTIFICATE, CERTIFICATE), "tls: found a certificate rather than a key in the PEM for the private key"),
            (authority(KEY), "unable to load root certificates: no valid certificate authority data seen"),
            (authority(b"hello"), "unable to load root certificates: unable to parse bytes as PEM block"),
        ];
        for (said, wanted) in cases {
            assert_eq!(said, Err(wanted.to_owned()));
        }
    }
}
