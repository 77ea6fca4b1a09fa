//! From a request to its handler: identify, authorize, route, report.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use drydock_api::registry::{Resource, Subresource};
use drydock_api::status::Status;
use drydock_primitives::ids;
use drydock_store::Writing;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, header};

use crate::audit::{RequestRecord, StreamVerb};
use crate::authorize::{Attributes, Decision};
use crate::body::{self, Body};
use crate::call::{Call, read_body};
use crate::identity::Identity;
use crate::request::RequestInfo;
use crate::{ApiServer, documents, read, remove, respond, reviews, streams, subresources, watch, write};

impl ApiServer {
    /// Answers a request. `identity` is what the transport knows of the caller (a client certificate, or an in-process client's own).
    pub fn handle(&self, request: Request<Body>, identity: Option<Identity>) -> BoxFuture<'static, Response<Body>> {
        let server = self.clone();
        Box::pin(async move { server.handle_owned(request, identity).await })
    }

    async fn handle_owned(&self, request: Request<Body>, identity: Option<Identity>) -> Response<Body> {
        let received = self.config().clock.now();
        let info = RequestInfo::parse(request.method(), request.uri().path(), request.uri().query().unwrap_or_default());
        let mut call = Call {
            server: self.clone(),
            info,
            identity: Identity::anonymous(),
            audit_id: ids::uid(),
            method: request.method().clone(),
            headers: request.headers().clone(),
            query: request.uri().query().unwrap_or_default().to_owned(),
        };
        let identified = self.identify(&call, identity);
        let answer = match identified {
            Ok(identity) => {
                call.identity = identity;
                match AssertUnwindSafe(answer(&call, request)).catch_unwind().await {
                    Ok(answer) => answer,
                    Err(_panic) => Err(Status::internal("the server panicked while answering; its log says where")),
                }
            }
            Err(status) => Err(status),
        };
        let mut response = answer.unwrap_or_else(|status| respond::status(&status));
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&call.audit_id) {
            headers.insert("audit-id", id);
        }
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
        self.report(&call, received, response.status().as_u16());
        if call.method == Method::HEAD {
            response = response.map(|_body| body::empty());
        }
        response
    }

    fn report(&self, call: &Call, received: jiff::Timestamp, code: u16) {
        let info = &call.info;
        let uri = if call.query.is_empty() { info.path.clone() } else { format!("{}?{}", info.path, call.query) };
        tracing::debug!(verb = info.verb, uri, user = call.identity.user, code, "request");
        self.config().audit.request(RequestRecord {
            id: call.audit_id.clone(),
            user: call.identity.user.clone(),
            groups: call.identity.groups.clone(),
            user_agent: call.header("user-agent"),
            kubectl_command: call.header("kubectl-command"),
            kubectl_session: call.header("kubectl-session"),
            verb: info.verb.clone(),
            group: info.group.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            namespace: info.namespace.clone(),
            name: info.name.clone(),
            uri,
            code,
            received,
            answered: self.config().clock.now(),
        });
    }

    /// Who is asking: the transport's identity, a bearer token, or nobody; then `Impersonate-User`.
    fn identify(&self, call: &Call, transport: Option<Identity>) -> Result<Identity, Status> {
        let authorization = call.header(header::AUTHORIZATION.as_str());
        let token = authorization.strip_prefix("Bearer ").or_else(|| authorization.strip_prefix("bearer ")).map(str::trim);
        let identity = match (transport, token.filter(|token| !token.is_empty())) {
            (Some(identity), _) => identity,
            (None, Some(token)) => self.recognize(token)?,
            (None, None) => Identity::anonymous(),
        };
        self.impersonate(call, identity)
    }

    /// Who a bearer token stands for, if its service account and Pod still exist.
    pub(crate) fn recognize(&self, token: &str) -> Result<Identity, Status> {
        let recognized = self.config().authenticator.bearer(token, self.config().clock.now()).map_err(|_invalid| Status::unauthorized())?;
        let Some(claims) = recognized.claims else { return Ok(recognized.identity) };
        let own = &claims["kubernetes.io"];
        let namespace = own["namespace"].as_str();
        for (field, plural) in [("serviceaccount", "serviceaccounts"), ("pod", "pods"), ("secret", "secrets")] {
            let Some(name) = own[field]["name"].as_str() else { continue };
            let object = self.core(plural, namespace, name).ok_or_else(Status::unauthorized)?;
            if object["metadata"]["uid"] != own[field]["uid"] {
                return Err(Status::unauthorized());
            }
        }
        Ok(recognized.identity)
    }

    /// upstream: staging/src/k8s.io/apiserver/pkg/endpoints/filters/impersonation.go
    fn impersonate(&self, call: &Call, real: Identity) -> Result<Identity, Status> {
        let user = call.header("impersonate-user");
        if user.is_empty() {
            let other = call.headers.keys().find(|name| name.as_str().starts_with("impersonate-"));
            return match other {
                None => Ok(real),
                // Silently acting as the real user would be the opposite of what was asked. upstream: filters/impersonation.go
                Some(name) => Err(Status::internal(format!("{name} was sent without impersonating a user: Impersonate-User is missing"))),
            };
        }
        let asked: Vec<String> = call.headers.get_all("impersonate-group").iter().filter_map(|group| group.to_str().ok()).map(str::to_owned).collect();
        let (resource, namespace, name) = match user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
            Some((namespace, name)) => ("serviceaccounts", namespace.to_owned(), name.to_owned()),
            None => ("users", String::new(), user.clone()),
        };
        let users = Attributes { verb: "impersonate".to_owned(), resource: resource.to_owned(), namespace, name, ..Attributes::default() };
        let groups = asked.iter().map(|group| Attributes { verb: "impersonate".to_owned(), resource: "groups".to_owned(), name: group.clone(), ..Attributes::default() });
        for attributes in std::iter::once(users.clone()).chain(groups) {
            if let Decision::Deny(reason) = self.config().authorizer.authorize(&real, &attributes) {
                return Err(forbidden(&real, &attributes, &reason));
            }
        }
        if users.resource == "serviceaccounts" && asked.is_empty() {
            return Ok(Identity::service_account(&users.namespace, &users.name, ""));
        }
        let groups: Vec<&str> = asked.iter().map(String::as_str).collect();
        Ok(Identity::new(user, &groups))
    }
}

fn forbidden(identity: &Identity, attributes: &Attributes, reason: &str) -> Status {
    let Attributes { verb, group, resource, subresource, namespace, name, path } = attributes;
    let user = &identity.user;
    let suffix = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if resource.is_empty() {
        let mut status = Status::forbidden("", "", "", "");
        status.message = format!("forbidden: User \"{user}\" cannot {verb} path \"{path}\"{suffix}");
        return status;
    }
    let full = if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
    let place = if namespace.is_empty() { "at the cluster scope".to_owned() } else { format!("in the namespace \"{namespace}\"") };
    Status::forbidden(group, resource, name, &format!("User \"{user}\" cannot {verb} resource \"{full}\" in API group \"{group}\" {place}{suffix}"))
}

/// The one object a list or watch is about, which its field selector says.
/// upstream: staging/src/k8s.io/apiserver/pkg/endpoints/request/requestinfo.go
fn only_name(info: &RequestInfo) -> String {
    let selector = info.parameter("fieldSelector").filter(|_| matches!(info.verb.as_str(), "list" | "watch" | "deletecollection"));
    let mut terms = selector.unwrap_or_default().split(',');
    let exact = terms.find_map(|term| term.strip_prefix("metadata.name="));
    exact.map(|name| name.trim_start_matches('=').to_owned()).unwrap_or_default()
}

fn authorize(call: &Call) -> Result<(), Status> {
    let info = &call.info;
    let attributes = if info.is_resource {
        Attributes {
            verb: info.verb.clone(),
            group: info.group.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            namespace: info.namespace.clone(),
            name: if info.name.is_empty() { only_name(info) } else { info.name.clone() },
            path: String::new(),
        }
    } else {
        Attributes { verb: info.verb.clone(), path: info.path.clone(), ..Attributes::default() }
    };
    match call.server.config().authorizer.authorize(&call.identity, &attributes) {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(reason) => Err(forbidden(&call.identity, &attributes, &reason)),
    }
}

async fn answer(call: &Call, request: Request<Body>) -> Result<Response<Body>, Status> {
    authorize(call)?;
    let info = &call.info;
    if info.is_resource {
        let mut extensions = call.server.config().extensions.iter();
        if let Some(extension) = extensions.find(|own| own.group() == info.group && own.version() == info.version) {
            let mut request = request;
            request.extensions_mut().insert(call.identity.clone());
            return Ok(extension.call(request, call.identity.clone()).await);
        }
        let registry = call.server.registry();
        let row = registry.get(&info.group, &info.version, &info.resource).ok_or_else(Status::page_not_found)?;
        return resource(call, row, request).await;
    }
    match documents::document(call) {
        Some(_) if !matches!(call.method, Method::GET | Method::HEAD) => Err(Status::method_not_allowed()),
        found => found.unwrap_or_else(|| Err(Status::page_not_found())),
    }
}

async fn resource(call: &Call, row: &Arc<Resource>, request: Request<Body>) -> Result<Response<Body>, Status> {
    let info = &call.info;
    // A namespaced kind is reached through its namespace, except for lists over all of them; a cluster-wide kind never is.
    let own_namespace = info.group.is_empty() && row.plural == "namespaces";
    let misplaced = if row.is_namespaced() {
        info.namespace.is_empty() && !matches!(info.verb.as_str(), "list" | "watch")
    } else {
        !info.namespace.is_empty() && !own_namespace
    };
    if misplaced {
        return if info.namespace.is_empty() && info.name.is_empty() { Err(Status::method_not_allowed()) } else { Err(Status::page_not_found()) };
    }
    if info.subresource.is_empty() {
        return whole(call, row, request).await;
    }
    let subresource = Subresource::parse(&info.subresource).filter(|own| row.has(*own)).ok_or_else(Status::page_not_found)?;
    sub(call, row, subresource, request).await
}

/// The body of a write, and the right to commit: while a restore holds the writes, new ones wait here.
struct Begun {
    body: Bytes,
    _writing: Writing,
}

impl std::ops::Deref for Begun {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.body
    }
}

async fn begin(call: &Call, row: &Resource, request: Request<Body>) -> Result<Begun, Status> {
    // The body first: a client that sends slowly must not keep a restore waiting.
    let body = read_body(request).await?;
    let store = &call.server.config().store;
    if let Some(writing) = store.try_writing() {
        return Ok(Begun { body, _writing: writing });
    }
    let writing = store.writing().await;
    // What a component decided on the state before a restore is not for the state after it: it has to look again.
    match (call.identity.user.starts_with("system:"), call.info.verb.as_str()) {
        (true, "create") => Err(Status::too_many_requests("the cluster was taken back to an earlier state meanwhile; look again", 0)),
        (true, _) => Err(Status::modified(row, &call.info.name)),
        (false, _) => Ok(Begun { body, _writing: writing }),
    }
}

async fn whole(call: &Call, row: &Arc<Resource>, request: Request<Body>) -> Result<Response<Body>, Status> {
    let verb = call.info.verb.as_str();
    if !row.has_verb(verb) {
        return Err(Status::method_not_supported(row, verb));
    }
    match verb {
        "get" => read::get(call, row),
        "list" => read::list(call, row),
        "watch" => watch::watch(call, row),
        "create" => {
            let body = begin(call, row, request).await?;
            match (row.is_stored(), row.plural.as_str()) {
                (true, _) => write::create(call, row, &body)?.respond(call, row),
                (false, "bindings") => subresources::bind(call, &body),
                (false, _) => reviews::review(call, row, &body),
            }
        }
        "update" => write::update(call, row, None, &*begin(call, row, request).await?)?.respond(call, row),
        "patch" => write::patch(call, row, None, &*begin(call, row, request).await?)?.respond(call, row),
        "delete" => remove::delete(call, row, &*begin(call, row, request).await?),
        "deletecollection" => remove::delete_collection(call, row, &*begin(call, row, request).await?),
        _ => Err(Status::method_not_supported(row, verb)),
    }
}

async fn sub(call: &Call, row: &Arc<Resource>, subresource: Subresource, request: Request<Body>) -> Result<Response<Body>, Status> {
    let refused = || Status::method_not_allowed();
    match (subresource, &call.method) {
        (Subresource::Log, &Method::GET) => streams::log::log(call).await,
        (Subresource::Exec, &(Method::GET | Method::POST)) => streams::exec::exec(call, request, StreamVerb::Exec).await,
        (Subresource::Attach, &(Method::GET | Method::POST)) => streams::exec::exec(call, request, StreamVerb::Attach).await,
        (Subresource::PortForward, &(Method::GET | Method::POST)) => streams::portforward::portforward(call, request).await,
        (Subresource::Proxy, _) => streams::proxy::proxy(call, request).await,
        (Subresource::Scale, &(Method::GET | Method::PUT | Method::PATCH)) => subresources::scale(call, row, &*begin(call, row, request).await?),
        (Subresource::Binding, &Method::POST) => subresources::bind(call, &*begin(call, row, request).await?),
        (Subresource::Eviction, &Method::POST) => subresources::evict(call, row, &*begin(call, row, request).await?),
        (Subresource::Token, &Method::POST) => subresources::token(call, row, &read_body(request).await?),
        (Subresource::Status | Subresource::EphemeralContainers, &Method::GET) => read::get(call, row),
        (Subresource::Status | Subresource::EphemeralContainers | Subresource::Finalize, &Method::PUT) => {
            write::update(call, row, Some(subresource), &*begin(call, row, request).await?)?.respond(call, row)
        }
        (Subresource::Status | Subresource::EphemeralContainers, &Method::PATCH) => {
            write::patch(call, row, Some(subresource), &*begin(call, row, request).await?)?.respond(call, row)
        }
        _ => Err(refused()),
    }
}
