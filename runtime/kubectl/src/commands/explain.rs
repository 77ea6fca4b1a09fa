//! `kubectl explain`: the server's OpenAPI document as text.
// upstream: kubectl/pkg/cmd/explain/explain.go, explain/explain.go, explain/v2/templates/plaintext.tmpl

use clap::{ArgMatches, Command};
use serde_json::Value;

use crate::discovery::Mapping;
use crate::explain::{Asked, classic, explain};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{Flags, switch, text};
use crate::rest::Call;

/// Its flags.
pub fn command() -> Command {
    Command::new("explain").override_usage("kubectl explain TYPE [--recursive=FALSE|TRUE] [--api-version=api-version-group] [-o|--output=plaintext|plaintext-openapiv2] [options]").args([
        text("api-version", "", "Use given api-version (group/version) of the resource."),
        text("output", "plaintext", "Format in which to render the schema. Valid values are: (plaintext, plaintext-openapiv2).").short('o'),
        switch("recursive", "When true, print the name of all the fields recursively. Otherwise, print the available fields with their description."),
    ])
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let words = matches.arguments();
    let word = match words.as_slice() {
        [] => return Err(Failure::new("You must specify the type of resource to explain. Use \"kubectl api-resources\" for a complete list of supported resources.\n")),
        [word] => word,
        _ => return Err(Failure::new("We accept only this format: explain RESOURCE\n")),
    };
    let output = matches.text("output");
    let (mut mapping, path) = find(factory, word, matches.text("api-version").is_empty()).await?;
    if !matches!(output.as_str(), "plaintext" | "plaintext-openapiv2") {
        return Err(Failure::new(format!("unrecognized format: {output}")));
    }
    let version = matches.text("api-version");
    if !version.is_empty() {
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        mapping.group = group.to_owned();
        mapping.version = version.to_owned();
    }
    let document = document(factory, &mapping).await?;
    let asked = Asked { group: &mapping.group, version: &mapping.version, resource: &mapping.resource, path: &path, recursive: matches.on("recursive") };
    if output == "plaintext-openapiv2" {
        return factory.streams.print(classic::explain(&document, &asked).map_err(Failure::new)?);
    }
    let (text, failure) = explain(&document, &asked);
    factory.streams.print(text)?;
    match failure {
        Some(failure) => Err(Failure::new(failure)),
        None => Ok(()),
    }
}

/// The kind and the path below it; where that may be, `deployments.apps.spec` names the group, too.
async fn find(factory: &Factory, word: &str, grouped: bool) -> Result<(Mapping, Vec<String>), Failure> {
    let word = word.strip_suffix('.').unwrap_or(word);
    if word.starts_with('.') || word.contains('[') {
        return Err(Failure::new("invalid jsonpath syntax, first node must be field node"));
    }
    let mut fields = word.split('.').map(str::to_owned);
    let resource = fields.next().unwrap_or_default();
    let unknown = |failure: Failure| match failure {
        Failure::Message(text) => Failure::Plain(text, 1),
        other => other,
    };
    factory.rest().await?;
    let plain = factory.find(&resource).await.map_err(unknown)?;
    if grouped {
        let named = factory.mapper().await?.mappings.iter().filter(|own| own.resource == plain.resource && !own.group.is_empty());
        let found = named.filter_map(|own| Some((own, word.strip_prefix(&own.group_resource())?))).find(|(_, rest)| rest.is_empty() || rest.starts_with('.'));
        if let Some((mapping, rest)) = found {
            return Ok((mapping.clone(), rest.split('.').filter(|field| !field.is_empty()).map(str::to_owned).collect()));
        }
    }
    Ok((plain, fields.filter(|field| !field.is_empty()).collect()))
}

/// The document of a group and version.
async fn document(factory: &Factory, mapping: &Mapping) -> Result<Value, Failure> {
    let name = if mapping.group.is_empty() { format!("api/{}", mapping.version) } else { format!("apis/{}/{}", mapping.group, mapping.version) };
    let index = factory.call(Call::get("/openapi/v3").query("timeout", factory.discovery_timeout())).await?;
    let Some(path) = index["paths"][&name]["serverRelativeURL"].as_str() else {
        return Err(Failure::new(format!("couldn't find resource for \"{}/{}, Resource={}\"", mapping.group, mapping.version, mapping.resource)));
    };
    factory.call(Call::get(path).query("timeout", factory.discovery_timeout())).await
}
