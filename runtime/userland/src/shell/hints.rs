//! What the shell says after "not found": a near miss, or where the wanted thing is here.

/// Commands people type by habit, and what to do instead.
const INSTEAD: &[(&[&str], &str)] = &[
    (&["vim", "nvim", "emacs", "pico", "code", "gedit"], "the editors here are `nano` and `vi`"),
    (&["sudo", "su", "doas"], "nobody becomes another user here, and nothing in the lessons needs it; leave the first word out"),
    (&["apt", "apt-get", "yum", "dnf", "brew", "choco", "pacman", "snap"], "nothing can be installed here; `help` lists what there is"),
    (&["bash", "zsh", "fish", "dash", "powershell", "pwsh"], "the shell here is `sh`, and it understands most of what you know"),
    (&["git"], "the book's files are in your home already; `ls` shows them"),
    (&["minikube", "kind", "k3s", "k3d", "vagrant", "microk8s"], "your cluster runs already; try `kubectl get nodes`"),
    (&["podman", "nerdctl", "crictl", "ctr"], "the container command here is `docker`"),
    (&["python", "python3", "perl", "ruby", "node", "java", "go"], "this small system has only a shell; see `help`"),
    (&["ifconfig"], "try `ip addr`"),
    (&["route"], "try `ip route`"),
    (&["explorer", "start", "open", "xdg-open", "firefox", "chrome"], "there is no desktop here; use the browser pane"),
    (&["man", "info"], "`help` lists the commands here, `NAME --help` explains one"),
    (&["htop", "btop"], "try `top`"),
    (&["telnet"], "try `nc HOST PORT`"),
    (&["host"], "try `nslookup NAME`"),
    (&["notepad", "subl", "ed", "edit"], "the editors here are `nano` and `vi`"),
    (&["systemctl", "service"], "no services run here; what runs in the cluster shows in `kubectl get pods -A`"),
    (&["traceroute", "tracepath", "mtr"], "try `ping`"),
    (&["ssh"], "there is nowhere to go from here; a Pod is entered with `kubectl exec -it NAME -- sh`"),
    (&["yq"], "try `kubectl get ... -o json | jq ...`"),
    (&["cls"], "try `clear`"),
    (&["dir"], "try `ls -l`"),
    (&["ipconfig"], "try `ip addr`"),
    (&["kubectk", "kubeclt", "kubctl", "kubetcl", "kubecl", "kuebctl", "kubect", "kuberctl"], "did you mean `kubectl`?"),
];

/// Objects of kubectl that people type as if they were commands.
const VERBS: [&str; 10] = ["apply", "describe", "exec", "expose", "logs", "rollout", "scale", "port-forward", "wait", "create"];

/// A hint for a command that does not exist, out of those that do.
pub(crate) fn hint(name: &str, known: &[String]) -> Option<String> {
    if let Some((_, text)) = INSTEAD.iter().find(|(names, _)| names.contains(&name)) {
        return Some((*text).to_owned());
    }
    let has_kubectl = known.iter().any(|other| other == "kubectl");
    if has_kubectl && VERBS.contains(&name) {
        return Some(format!("did you mean `kubectl {name}`?"));
    }
    let limit = if name.chars().count() < 4 { 1 } else { 2 };
    let near = known.iter().map(|other| (distance(name, other), other)).filter(|(far, _)| *far <= limit).min()?;
    (near.1.len() > 1).then(|| format!("did you mean `{}`?", near.1))
}

/// Edits between two words; two neighbors in the wrong order are one.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for (index, row) in rows.iter_mut().enumerate() {
        row[0] = index;
    }
    rows[0] = (0..=right.len()).collect();
    for down in 1..=left.len() {
        for across in 1..=right.len() {
            let same = left[down - 1] == right[across - 1];
            let mut best = (rows[down - 1][across] + 1).min(rows[down][across - 1] + 1).min(rows[down - 1][across - 1] + usize::from(!same));
            if down > 1 && across > 1 && left[down - 1] == right[across - 2] && left[down - 2] == right[across - 1] {
                best = best.min(rows[down - 2][across - 2] + 1);
            }
            rows[down][across] = best;
        }
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_and_habits_get_a_hint() {
        let known: Vec<String> = ["kubectl", "curl", "ls", "cat", "docker", "["].map(str::to_owned).to_vec();
        let cases = [
            ("kubectll", Some("did you mean `kubectl`?")),
            ("kubeclt", Some("did you mean `kubectl`?")),
            ("crul", Some("did you mean `curl`?")),
            ("sl", Some("did you mean `ls`?")),
            ("apply", Some("did you mean `kubectl apply`?")),
            ("vim", Some("the editors here are `nano` and `vi`")),
            ("xyzzy", None),
            ("a", None),
        ];
        for (name, wanted) in cases {
            assert_eq!(hint(name, &known).as_deref(), wanted, "{name}");
        }
    }
}
