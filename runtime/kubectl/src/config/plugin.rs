//! Credentials from another program: `exec` of a kubeconfig's user.
// upstream: client-go/plugin/pkg/client/auth/exec/exec.go

use std::io::ErrorKind;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::pem;
use crate::environment::Environment;
use crate::failure::go_io;

/// What is said, beside that it is missing, of a program that is missing.
const NOT_INSTALLED: &str = "\n\nIt looks like you are trying to use a client-go credential plugin that is not installed.\n\nTo learn more about this feature, consult the documentation available at:\n      https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins";

/// Whether there is such a version of the protocol.
pub(super) fn known(version: &str) -> bool {
    matches!(version, "client.authentication.k8s.io/v1" | "client.authentication.k8s.io/v1beta1")
}

/// What a program says on its standard output. It ends when nobody waits for it any more.
pub(crate) async fn output(command: Command) -> std::io::Result<Output> {
    tokio::process::Command::from(command).stdout(Stdio::piped()).kill_on_drop(true).spawn()?.wait_with_output().await
}

/// The fields of a user that the program stands for.
pub(super) async fn run(env: &Environment, exec: &Value, cluster: &Value, terminal: bool) -> Result<Value, String> {
    let text = |field: &str| exec[field].as_str().unwrap_or_default();
    let interactive = match text("interactiveMode") {
        "Always" if !terminal => return Err("exec plugin cannot support interactive mode: standard input is not a terminal".to_owned()),
        "Never" => false,
        _ => terminal,
    };
    let program = text("command");
    let mut command = Command::new(program);
    command.args(exec["args"].as_array().into_iter().flatten().filter_map(Value::as_str));
    command.env_clear().envs(&env.variables).current_dir(&env.directory);
    for variable in exec["env"].as_array().into_iter().flatten() {
        command.env(variable["name"].as_str().unwrap_or_default(), variable["value"].as_str().unwrap_or_default());
    }
    let about = if exec["provideClusterInfo"] == true { Some(cluster) } else { None };
    command.env("KUBERNETES_EXEC_INFO", information(text("apiVersion"), about, interactive));
    command.stdin(if interactive { Stdio::inherit() } else { Stdio::null() }).stderr(Stdio::inherit());
    // One that asks people has the terminal to itself: an interrupt is for it, too, and it may have something to put back.
    let done = if interactive { command.stdout(Stdio::piped()).output() } else { output(command).await };
    let done = done.map_err(|error| match error.kind() {
        ErrorKind::NotFound if !program.contains('/') => {
            let hint = Some(text("installHint")).filter(|hint| !hint.is_empty()).map(|hint| format!("\n\n{hint}")).unwrap_or_default();
            format!("exec: executable {program} not found{NOT_INSTALLED}{hint}")
        }
        _ => format!("exec: fork/exec {program}: {}", go_io(&error)),
    })?;
    if !done.status.success() {
        return Err(format!("exec: executable {program} failed with exit code {}", done.status.code().unwrap_or(-1)));
    }
    answer(&done.stdout, text("apiVersion"))
}

/// What the program is told.
fn information(version: &str, cluster: Option<&Value>, interactive: bool) -> String {
    let cluster = cluster.map(|cluster| {
        const ORDER: [&str; 6] = ["server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url", "disable-compression"];
        let mut fields: Vec<String> = Vec::new();
        for name in ORDER {
            if !matches!(&cluster[name], Value::Null | Value::Bool(false)) && cluster[name] != "" {
                fields.push(format!("{:?}:{}", name, cluster[name]));
            }
        }
        let own = cluster["extensions"].as_array().into_iter().flatten().find(|extension| extension["name"] == "client.authentication.k8s.io/exec");
        fields.push(format!("\"config\":{}", own.map_or(&Value::Null, |own| &own["extension"])));
        format!("\"cluster\":{{{}}},", fields.join(","))
    });
    format!("{{\"kind\":\"ExecCredential\",\"apiVersion\":{:?},\"spec\":{{{}\"interactive\":{interactive}}}}}", version, cluster.unwrap_or_default())
}

/// What the program answered, as fields of a user.
fn answer(output: &[u8], wanted: &str) -> Result<Value, String> {
    let text = String::from_utf8_lossy(output);
    let failed = |why: &str| format!("decoding stdout: couldn't get version/kind; json parse error: {why}");
    let value = match serde_json::from_str::<Value>(&text) {
        Ok(value) => value,
        Err(_) if text.trim_start().starts_with('{') => return Err(failed("unexpected end of JSON input")),
        Err(_) => crate::builder::read_yaml(&text).map_err(|error| failed(&error))?,
    };
    if !value.is_object() && !value.is_null() {
        let found = crate::builder::json_type(&value);
        return Err(failed(&format!("json: cannot unmarshal {found} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}")));
    }
    let version = value["apiVersion"].as_str().filter(|version| !version.is_empty()).unwrap_or("client.authentication.k8s.io/__internal");
    if version != wanted {
        return Err(format!("exec plugin is configured to use API version {wanted}, plugin returned version {version}"));
    }
    let status = &value["status"];
    if !status.is_object() {
        return Err("exec plugin didn't return a status field".to_owned());
    }
    let said = |field: &str| status[field].as_str().unwrap_or_default();
    let (token, certificate, key) = (said("token"), said("clientCertificateData"), said("clientKeyData"));
    if token.is_empty() && certificate.is_empty() && key.is_empty() {
        return Err("exec plugin didn't return a token or cert/key pair".to_owned());
    }
    if certificate.is_empty() != key.is_empty() {
        return Err("exec plugin returned only certificate or key, not both".to_owned());
    }
    let mut user = json!({});
    if !certificate.is_empty() {
        pem::pair(certificate.as_bytes(), key.as_bytes()).map_err(|why| format!("failed parsing client key/certificate: {why}"))?;
        user["client-certificate-data"] = super::encoded(certificate.as_bytes());
        user["client-key-data"] = super::encoded(key.as_bytes());
    }
    if !token.is_empty() {
        user["token"] = json!(token);
    }
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_as_stock_judges_them() {
        let v1 = "client.authentication.k8s.io/v1";
        let cases = [
            ("", "exec plugin is configured to use API version client.authentication.k8s.io/v1, plugin returned version client.authentication.k8s.io/__internal"),
            ("{", "decoding stdout: couldn't get version/kind; json parse error: unexpected end of JSON input"),
            (r#"{"apiVersion":"client.authentication.k8s.io/v1"}"#, "exec plugin didn't return a status field"),
            (r#"{"apiVersion":"client.authentication.k8s.io/v1","status":{}}"#, "exec plugin didn't return a token or cert/key pair"),
            (r#"{"apiVersion":"client.authentication.k8s.io/v1","status":{"clientKeyData":"x"}}"#, "exec plugin returned only certificate or key, not both"),
        ];
        for (output, wanted) in cases {
            assert_eq!(answer(output.as_bytes(), v1), Err(wanted.to_owned()));
        }
        assert_eq!(answer(br#"{"apiVersion":"client.authentication.k8s.io/v1","status":{"token":"t"}}"#, v1), Ok(json!({"token": "t"})));
    }

    #[test]
    fn the_program_is_told_of_the_cluster_when_it_wants_that() {
        let cluster = json!({"server": "https://a", "certificate-authority-data": "Zm9v"});
        let told = information("v", Some(&cluster), false);
        assert_eq!(told, r#"{"kind":"ExecCredential","apiVersion":"v","spec":{"cluster":{"server":"https://a","certificate-authority-data":"Zm9v","config":null},"interactive":false}}"#);
        assert_eq!(information("v", None, true), r#"{"kind":"ExecCredential","apiVersion":"v","spec":{"interactive":true}}"#);
    }
}
