//! Who we are to the server and how we know it: files read, programs asked, people asked, all checked before the first request.
//!
//! A server that is not spoken to by TLS is told nothing of us.
// upstream: client-go/tools/clientcmd/client_config.go getUserIdentificationPartialConfig, client-go/transport/transport.go TLSConfigFor

use serde_json::{Value, json};

use super::{Chosen, encoded, pem, plugin};
use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::remote::terminal::Raw;

/// The fields of a user that say who it is.
const IDENTITY: [&str; 10] =
    ["client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile", "username", "password", "auth-provider", "exec"];

/// Cluster and user with contents in place of files and programs. What is wrong and is told only when a request is made comes back.
pub(crate) async fn ready(factory: &Factory, chosen: &mut Chosen) -> Result<Option<String>, Failure> {
    if !chosen.cluster["server"].as_str().is_some_and(|server| server.starts_with("https://")) {
        if let Some(user) = chosen.user.as_object_mut() {
            user.retain(|name, _| !IDENTITY.contains(&name.as_str()));
        }
        return Ok(None);
    }
    token_file(&mut chosen.user)?;
    if !["username", "client-certificate", "client-certificate-data", "token", "auth-provider", "exec"].iter().any(|field| is_said(&chosen.user[*field])) {
        ask(factory, &mut chosen.user)?;
    }
    provider(&chosen.user)?;
    authority(&mut chosen.cluster)?;
    if let Some(why) = certificate(factory, &mut chosen.user)? {
        return Ok(Some(why));
    }
    let exec = chosen.user["exec"].take();
    if !exec.is_object() || ["username", "client-certificate-data", "token"].iter().any(|field| is_said(&chosen.user[*field])) {
        return Ok(None);
    }
    let version = exec["apiVersion"].as_str().unwrap_or_default();
    if !plugin::known(version) {
        return Err(Failure::new(format!("exec plugin: invalid apiVersion {version:?}")));
    }
    factory.streams.flush()?;
    match plugin::run(&factory.env, &exec, &chosen.cluster, factory.streams.input_is_terminal).await {
        Ok(fields) => {
            for (name, value) in fields.as_object().into_iter().flatten() {
                chosen.user[name] = value.clone();
            }
            Ok(None)
        }
        Err(why) => Ok(Some(format!("getting credentials: {why}"))),
    }
}

fn is_said(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

fn token_file(user: &mut Value) -> Result<(), Failure> {
    let path = user["tokenFile"].take();
    let Some(path) = path.as_str().filter(|path| !path.is_empty()) else { return Ok(()) };
    if !is_said(&user["token"]) {
        let token = std::fs::read_to_string(path).map_err(|error| Failure::new(format!("open {path}: {}", go_io(&error))))?;
        user["token"] = json!(token.trim());
    }
    Ok(())
}

/// Nobody is named: people are asked.
// upstream: client-go/tools/clientcmd/auth_loaders.go
fn ask(factory: &Factory, user: &mut Value) -> Result<(), Failure> {
    factory.streams.print("Please enter Username: ")?;
    factory.streams.flush()?;
    let name = factory.streams.word()?.ok_or_else(|| Failure::new("EOF"))?;
    factory.streams.print("Please enter Password: ")?;
    factory.streams.flush()?;
    if !factory.streams.input_is_terminal {
        return Err(Failure::new("error reading input for Password"));
    }
    let quiet = Raw::quiet()?;
    let password = factory.streams.word()?.unwrap_or_default();
    drop(quiet);
    user["password"] = json!(password);
    user["username"] = json!(name);
    Ok(())
}

fn provider(user: &Value) -> Result<(), Failure> {
    let removed = |name: &str, instead: &str, more: &str| format!("The {name} auth plugin has been removed.\nPlease use the {instead} kubectl/client-go credential plugin instead.\nSee {more} for further details");
    match user["auth-provider"]["name"].as_str() {
        None | Some("oidc") => Ok(()),
        Some("gcp") => Err(Failure::new(removed("gcp", "\"gke-gcloud-auth-plugin\"", "https://cloud.google.com/blog/products/containers-kubernetes/kubectl-auth-changes-in-gke"))),
        Some("azure") => Err(Failure::new(removed(
            "azure",
            "https://github.com/Azure/kubelogin",
            "https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins",
        ))),
        Some(other) => Err(Failure::new(format!("no Auth Provider found for name {other:?}"))),
    }
}

/// The content of a field, or of the file that another one names. That both are base64 was checked when the kubeconfig was read.
fn content(entry: &mut Value, field: &str) -> Result<Vec<u8>, Failure> {
    let path = entry[field].take();
    let data = format!("{field}-data");
    if let Some(text) = entry[&data].as_str().filter(|text| !text.is_empty()) {
        return Ok(super::decoded(text));
    }
    let Some(path) = path.as_str().filter(|path| !path.is_empty()) else { return Ok(Vec::new()) };
    let bytes = std::fs::read(path).map_err(|error| Failure::new(format!("open {path}: {}", go_io(&error))))?;
    if !bytes.is_empty() {
        entry[&data] = encoded(&bytes);
    }
    Ok(bytes)
}

fn authority(cluster: &mut Value) -> Result<(), Failure> {
    let named = is_said(&cluster["certificate-authority"]) || is_said(&cluster["certificate-authority-data"]);
    if named && cluster["insecure-skip-tls-verify"] == true {
        return Err(Failure::new("specifying a root certificates file with the insecure flag is not allowed"));
    }
    let bytes = content(cluster, "certificate-authority")?;
    pem::authority(&bytes).map_err(Failure::new)
}

/// Two files are read again for each connection, so what is wrong with them is told there.
fn certificate(factory: &Factory, user: &mut Value) -> Result<Option<String>, Failure> {
    if !is_said(&user["client-certificate"]) && !is_said(&user["client-certificate-data"]) {
        for field in ["client-key", "client-key-data"] {
            user[field] = Value::Null;
        }
        return Ok(None);
    }
    let files = !is_said(&user["client-certificate-data"]) && !is_said(&user["client-key-data"]);
    let (chain, key) = (content(user, "client-certificate")?, content(user, "client-key")?);
    match pem::pair(&chain, &key).and_then(|()| pem::belong(&chain, &key)) {
        Ok(()) => Ok(None),
        Err(why) if files => {
            crate::write::klog(factory, 'E', "cert_rotation.go:171", &format!("\"Unhandled Error\" err=\"key failed with : {why}\""));
            Ok(Some(why))
        }
        Err(why) => Err(Failure::new(why)),
    }
}
