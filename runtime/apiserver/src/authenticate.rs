//! Turns credentials into an [`Identity`]: client certificates (CN is the user, O the groups), bearer tokens, service account tokens.
//!
//! Service account tokens are JWTs signed with ES256, as a real API server's are: learners decode them. A token names its namespace,
//! account and, when bound, its Pod; whether that account still exists is asked of the store by the caller.
//! upstream: pkg/serviceaccount/jwt.go, pkg/serviceaccount/claims.go

use std::collections::HashMap;
use std::sync::RwLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::Identity;

/// The issuer and default audience of our tokens.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Why a key or token is not usable.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The signing key could not be read.
    #[error("read the service account signing key: {0}")]
    Key(String),
    /// The token could not be signed.
    #[error("sign a service account token")]
    Sign,
    /// The token is not one of ours, or no longer valid.
    #[error("invalid bearer token")]
    Invalid,
}

/// The key that signs service account tokens.
pub struct TokenKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    id: String,
}

impl TokenKey {
    /// A new key; returns it with its PKCS#8 DER so that the caller can keep it.
    pub fn generate() -> Result<(TokenKey, Vec<u8>), TokenError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|error| TokenError::Key(error.to_string()))?;
        Ok((TokenKey::from_pkcs8(document.as_ref())?, document.as_ref().to_vec()))
    }

    /// Reads a P-256 key in PKCS#8 DER.
    pub fn from_pkcs8(der: &[u8]) -> Result<TokenKey, TokenError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
            .map_err(|error| TokenError::Key(error.to_string()))?;
        let digest = ring::digest::digest(&ring::digest::SHA256, pair.public_key().as_ref());
        Ok(TokenKey { id: URL_SAFE_NO_PAD.encode(digest.as_ref()), pair, random })
    }

    /// Signs `claims` as a JWT.
    pub fn sign(&self, claims: &Value) -> Result<String, TokenError> {
        let header = json!({"alg": "ES256", "kid": self.id});
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.pair.sign(&self.random, message.as_bytes()).map_err(|_unspecified| TokenError::Sign)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }

    /// The claims of a token of ours that has not expired at `now`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Value, TokenError> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Invalid)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_decode| TokenError::Invalid)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref())
            .verify(message.as_bytes(), &signature)
            .map_err(|_unspecified| TokenError::Invalid)?;
        let (_, payload) = message.split_once('.').ok_or(TokenError::Invalid)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_decode| TokenError::Invalid)?;
        let claims: Value = serde_json::from_slice(&payload).map_err(|_parse| TokenError::Invalid)?;
        let expires = claims["exp"].as_i64().ok_or(TokenError::Invalid)?;
        if expires <= now.as_second() {
            return Err(TokenError::Invalid);
        }
        Ok(claims)
    }

    /// The public key as a JSON Web Key Set, for `/openid/v1/jwks`.
    pub fn jwks(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        }]})
    }
}

/// Recognizes callers.
pub struct Authenticator {
    tokens: RwLock<HashMap<String, Identity>>,
    key: TokenKey,
}

/// A recognized bearer token.
#[derive(Debug, Clone)]
pub struct Recognized {
    /// Whose it is.
    pub identity: Identity,
    /// The claims, when it is a service account token; the account (and bound Pod) must still exist with these uids.
    pub claims: Option<Value>,
}

impl Authenticator {
    /// An authenticator whose service account tokens are signed with `key`.
    pub fn new(key: TokenKey) -> Authenticator {
        Authenticator { tokens: RwLock::default(), key }
    }

    /// Lets `token` stand for `identity`.
    pub fn add_token(&self, token: impl Into<String>, identity: Identity) {
        self.tokens.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(token.into(), identity);
    }

    /// The signing key.
    pub fn key(&self) -> &TokenKey {
        &self.key
    }

    /// Who a bearer token stands for.
    pub fn bearer(&self, token: &str, now: Timestamp) -> Result<Recognized, TokenError> {
        let fixed = self.tokens.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(token).cloned();
        if let Some(identity) = fixed {
            return Ok(Recognized { identity, claims: None });
        }
        let claims = self.key.verify(token, now)?;
        let own = &claims["kubernetes.io"];
        let (Some(namespace), Some(name)) = (own["namespace"].as_str(), own["serviceaccount"]["name"].as_str()) else {
            return Err(TokenError::Invalid);
        };
        let uid = own["serviceaccount"]["uid"].as_str().unwrap_or_default();
        Ok(Recognized { identity: Identity::service_account(namespace, name, uid), claims: Some(claims) })
    }

    /// Who a verified client certificate (DER) stands for.
    pub fn certificate(der: &[u8]) -> Option<Identity> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups: Vec<&str> = subject.iter_organization().filter_map(|group| group.as_str().ok()).collect();
        Some(Identity::new(user, &groups))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_valid_until_it_expires() {
        let (key, der) = TokenKey::generate().unwrap();
        let claims = json!({"exp": 1000, "kubernetes.io": {"namespace": "a", "serviceaccount": {"name": "b", "uid": "c"}}});
        let token = key.sign(&claims).unwrap();
        let authenticator = Authenticator::new(TokenKey::from_pkcs8(&der).unwrap());
        let at = |second| Timestamp::from_second(second).unwrap();
        let recognized = authenticator.bearer(&token, at(999)).unwrap();
        assert_eq!(recognized.identity.user, "system:serviceaccount:a:b");
        assert!(authenticator.bearer(&token, at(1000)).is_err());
        assert!(authenticator.bearer(&format!("{token}x"), at(1)).is_err());
    }
}
