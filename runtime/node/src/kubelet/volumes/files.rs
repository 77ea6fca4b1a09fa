//! Volumes that are files: ConfigMaps, Secrets, fields of the Pod, tokens, and several of them projected into one.

// upstream: pkg/volume/configmap, secret, downwardapi, projected

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, ServiceAccount, ServiceAccountTokenProjection, Volume,
};
use kube::api::{Api, PostParams};

use super::payload::Payload;
use super::{VolumeSource, Volumes};
use crate::kubelet::environment::{field_value, resource_value};
use crate::kubelet::state::{find_container, name, namespace, spec, uid};

/// A token that was fetched for a file.
#[derive(Debug, Clone)]
pub(super) struct Token {
    text: String,
    renew: Timestamp,
}

/// Where the files of a kind of volume lie.
pub(super) struct Plugin {
    /// Directory below `volumes`.
    pub(super) directory: &'static str,
    /// Never written to a disk.
    pub(super) memory: bool,
}

const CONFIG_MAP: Plugin = Plugin { directory: "kubernetes.io~configmap", memory: false };
const SECRET: Plugin = Plugin { directory: "kubernetes.io~secret", memory: true };
const DOWNWARD: Plugin = Plugin { directory: "kubernetes.io~downward-api", memory: true };
const PROJECTED: Plugin = Plugin { directory: "kubernetes.io~projected", memory: true };

/// What some files are taken from: name, the keys that are wanted, whether it may be missing.
struct Part<'a> {
    name: &'a str,
    items: Option<&'a [KeyToPath]>,
    optional: bool,
}

impl<'a> Part<'a> {
    fn new(name: &'a str, items: Option<&'a Vec<KeyToPath>>, optional: Option<bool>) -> Part<'a> {
        Part { name, items: items.map(Vec::as_slice), optional: optional == Some(true) }
    }
}

/// Collect the files of a volume.
///
/// # Errors
/// What is missing, in upstream's words.
pub(super) async fn collect(
    pod: &Pod,
    volume: &Volume,
    source: &VolumeSource<'_>,
    payload: &mut Payload,
    (old, new): (&Volumes, &mut Volumes),
) -> Result<Plugin, String> {
    if let Some(map) = &volume.config_map {
        payload.mode = map.default_mode;
        add_config_map(pod, &Part::new(&map.name, map.items.as_ref(), map.optional), source, payload).await?;
        return Ok(CONFIG_MAP);
    }
    if let Some(secret) = &volume.secret {
        payload.mode = secret.default_mode;
        let name = secret.secret_name.clone().unwrap_or_default();
        add_secret(pod, &Part::new(&name, secret.items.as_ref(), secret.optional), source, payload).await?;
        return Ok(SECRET);
    }
    if let Some(downward) = &volume.downward_api {
        payload.mode = downward.default_mode;
        add_fields(pod, downward.items.as_deref(), source, payload)?;
        return Ok(DOWNWARD);
    }
    let Some(projected) = &volume.projected else { return Err("no volume plugin matched".to_owned()) };
    payload.mode = projected.default_mode;
    for part in projected.sources.iter().flatten() {
        if let Some(map) = &part.config_map {
            add_config_map(pod, &Part::new(&map.name, map.items.as_ref(), map.optional), source, payload).await?;
        } else if let Some(secret) = &part.secret {
            add_secret(pod, &Part::new(&secret.name, secret.items.as_ref(), secret.optional), source, payload).await?;
        } else if let Some(downward) = &part.downward_api {
            add_fields(pod, downward.items.as_deref(), source, payload)?;
        } else if let Some(wanted) = &part.service_account_token {
            let key = (volume.name.clone(), wanted.path.clone());
            let token = match old.tokens.get(&key).filter(|token| token.renew > Timestamp::now()) {
                Some(token) => token.clone(),
                None => fetch_token(pod, wanted, source).await?,
            };
            payload.file(&wanted.path, token.text.clone().into_bytes(), None);
            new.renew = Some(new.renew.map_or(token.renew, |other| other.min(token.renew)));
            new.tokens.insert(key, token);
        }
    }
    Ok(PROJECTED)
}

async fn add_config_map(pod: &Pod, part: &Part<'_>, source: &VolumeSource<'_>, payload: &mut Payload) -> Result<(), String> {
    let api: Api<ConfigMap> = Api::namespaced(source.client.clone(), namespace(pod));
    let Some(map) = api.get_opt(part.name).await.map_err(|error| error.to_string())? else {
        return if part.optional { Ok(()) } else { Err(format!("configmap \"{}\" not found", part.name)) };
    };
    let text = map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
    let binary = map.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0));
    let missing = |key: &str| format!("configmap references non-existent config key: {key}");
    payload.add(text.chain(binary).collect(), part.items, part.optional, missing)
}

async fn add_secret(pod: &Pod, part: &Part<'_>, source: &VolumeSource<'_>, payload: &mut Payload) -> Result<(), String> {
    let api: Api<Secret> = Api::namespaced(source.client.clone(), namespace(pod));
    let Some(secret) = api.get_opt(part.name).await.map_err(|error| error.to_string())? else {
        return if part.optional { Ok(()) } else { Err(format!("secret \"{}\" not found", part.name)) };
    };
    let data = secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect();
    payload.add(data, part.items, part.optional, |key| format!("references non-existent secret key: {key}"))
}

fn add_fields(pod: &Pod, items: Option<&[DownwardAPIVolumeFile]>, source: &VolumeSource<'_>, payload: &mut Payload) -> Result<(), String> {
    for item in items.unwrap_or_default() {
        let value = if let Some(field) = &item.field_ref {
            field_value(pod, &field.field_path, source.facts)?
        } else if let Some(field) = &item.resource_field_ref {
            let wanted = field.container_name.as_deref().unwrap_or_default();
            let container: Container = find_container(pod, wanted).map(|(_, container)| container).ok_or_else(|| format!("container {wanted} not found"))?;
            resource_value(&container, field, source.facts)?
        } else {
            continue;
        };
        payload.file(&item.path, value.into_bytes(), item.mode);
    }
    Ok(())
}

async fn fetch_token(pod: &Pod, token: &ServiceAccountTokenProjection, source: &VolumeSource<'_>) -> Result<Token, String> {
    let account = spec(pod).service_account_name.as_deref().unwrap_or("default");
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: token.audience.clone().filter(|audience| !audience.is_empty()).map(|audience| vec![audience]),
            expiration_seconds: token.expiration_seconds,
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: Some(name(pod).to_owned()),
                uid: Some(uid(pod).to_owned()),
            }),
        }),
        ..TokenRequest::default()
    };
    let api: Api<ServiceAccount> = Api::namespaced(source.client.clone(), namespace(pod));
    let answer: TokenRequest = api
        .create_subresource("token", account, &PostParams::default(), &request)
        .await
        .map_err(|error| format!("failed to fetch token: {error}"))?;
    let status = answer.status.ok_or("failed to fetch token: the answer has none")?;
    let lifetime = token.expiration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(3600);
    // A token is renewed when a fifth of its life is left.
    Ok(Token { text: status.token.unwrap_or_default(), renew: Timestamp::now() + Duration::from_secs(lifetime) * 4 / 5 })
}
