//! Who asks: `auth_basic` with a file of names and passwords, as `htpasswd` writes it.
//!
//! Passwords are `{PLAIN}`, `{SHA}`, `{SSHA}` or `$apr1$`; those of the system's crypt() are not known here, and fit nobody.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{config::Scope, error_log, variables::Exchange};
use crate::{
    digests::{md5, sha1},
    servers::{Reply, Request, error_reply},
};

/// Name and password of a request.
pub(super) fn credentials(request: &Request) -> Option<(String, String)> {
    let (kind, text) = request.header("authorization")?.split_once(' ')?;
    let bytes = STANDARD.decode(text.trim()).ok().filter(|_| kind.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(bytes).ok()?;
    text.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
}

/// The refusal, if this location is not for everybody and this is nobody it is for.
pub(super) fn refused(exchange: &Exchange<'_>, scope: &Scope) -> Option<Reply> {
    let realm = scope.auth_realm.as_ref()?;
    let file = scope.auth_file.as_ref()?;
    let challenge = || error_reply("401 Unauthorized").with("WWW-Authenticate", format!("Basic realm=\"{}\"", exchange.expand(realm)));
    let Some((name, password)) = credentials(exchange.request) else {
        if exchange.request.header("authorization").is_none() {
            error_log("info", exchange, "no user/password was provided for basic authentication");
        }
        return Some(challenge());
    };
    let Ok(lines) = std::fs::read_to_string(file) else {
        error_log("error", exchange, &format!("open() \"{}\" failed (2: No such file or directory)", file.display()));
        return Some(error_reply("403 Forbidden"));
    };
    let known = lines.lines().filter_map(|line| line.split_once(':')).find(|(known, _)| *known == name);
    let Some((_, kept)) = known else {
        error_log("error", exchange, &format!("user \"{name}\" was not found in \"{}\"", file.display()));
        return Some(challenge());
    };
    if fits(&password, kept.split(':').next().unwrap_or(kept)) {
        return None;
    }
    error_log("error", exchange, &format!("user \"{name}\": password mismatch"));
    Some(challenge())
}

/// Whether a password is the one that was kept.
fn fits(password: &str, kept: &str) -> bool {
    if let Some(plain) = kept.strip_prefix("{PLAIN}") {
        return plain == password;
    }
    if let Some(sum) = kept.strip_prefix("{SHA}") {
        return STANDARD.decode(sum).is_ok_and(|sum| sum == sha1(password.as_bytes()));
    }
    if let Some(sum) = kept.strip_prefix("{SSHA}") {
        let Ok(bytes) = STANDARD.decode(sum) else { return false };
        let Some((sum, salt)) = bytes.split_at_checked(20) else { return false };
        return sha1(&[password.as_bytes(), salt].concat()) == sum;
    }
    let salt = kept.strip_prefix("$apr1$").and_then(|rest| rest.split_once('$')).map(|(salt, _)| salt);
    salt.is_some_and(|salt| apr1(password.as_bytes(), salt) == kept)
}

/// Apache's variant of MD5 in a thousand rounds.
fn apr1(password: &[u8], salt: &str) -> String {
    let salt = &salt.as_bytes()[..salt.len().min(8)];
    let inner = md5(&[password, salt, password].concat());
    let mut text = [password, b"$apr1$", salt].concat();
    text.extend(inner.iter().cycle().take(password.len()));
    let mut bits = password.len();
    while bits != 0 {
        text.push(if bits & 1 == 1 { 0 } else { password[0] });
        bits >>= 1;
    }
    let mut sum = md5(&text);
    for round in 0..1000 {
        let mut text = Vec::new();
        let (first, last): (&[u8], &[u8]) = if round % 2 == 1 { (password, &sum) } else { (&sum, password) };
        text.extend_from_slice(first);
        if round % 3 != 0 {
            text.extend_from_slice(salt);
        }
        if round % 7 != 0 {
            text.extend_from_slice(password);
        }
        text.extend_from_slice(last);
        sum = md5(&text);
    }
    let mut out = format!("$apr1${}$", String::from_utf8_lossy(salt));
    for [high, middle, low] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        letters(&mut out, u32::from(sum[high]) << 16 | u32::from(sum[middle]) << 8 | u32::from(sum[low]), 4);
    }
    letters(&mut out, u32::from(sum[11]), 2);
    out
}

fn letters(out: &mut String, mut value: u32, count: usize) {
    const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for _ in 0..count {
        out.push(char::from(LETTERS[(value & 63) as usize]));
        value >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_fit_what_htpasswd_keeps() {
        // Made by htpasswd -nb -s, slappasswd and openssl passwd -apr1 -salt.
        for (kept, password, wanted) in [
            ("{PLAIN}right", "right", true),
            ("{PLAIN}right", "wrong", false),
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "password", true),
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "Password", false),
            ("$apr1$salt$Xxd1irWT9ycqoYxGFn4cb.", "password", true),
            ("$apr1$salt$Xxd1irWT9ycqoYxGFn4cb.", "passw0rd", false),
            ("$6$unknown$to-us", "password", false),
            ("", "", false),
        ] {
            assert_eq!(fits(password, kept), wanted, "{kept} {password}");
        }
    }
}
