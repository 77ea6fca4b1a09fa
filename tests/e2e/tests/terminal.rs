//! A terminal of the workstation, typed into as a learner does.

use drydock_kit::{Drydock, PATIENCE, eventually};
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Path of the lab API.
pub(crate) const LAB: &str = "/apis/lab.drydock.internal/v1alpha1";

/// What the lab API has below a path.
pub(crate) fn lab(drydock: &Drydock, path: &str) -> Value {
    serde_json::from_str(&drydock.kubectl(&["get", "--raw", &format!("{LAB}/{path}")]).ok()).expect("JSON")
}

/// A terminal of the workstation.
pub(crate) struct Terminal<'a> {
    drydock: &'a Drydock,
    keys: UnboundedSender<Vec<u8>>,
    _runtime: Runtime,
}

impl<'a> Terminal<'a> {
    /// Open one by the lab API, as the page does.
    pub(crate) fn open(drydock: &'a Drydock) -> Terminal<'a> {
        let runtime = Runtime::new().unwrap();
        let (keys, mut typed) = unbounded_channel::<Vec<u8>>();
        let kubeconfig = drydock.state().join("kubeconfig");
        let (mut sink, mut source) = runtime.block_on(async {
            let config = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
            let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
            let request = http::Request::get(format!("{LAB}/workstations/main/exec?tty=true&session=1")).body(Vec::new()).unwrap();
            kube::Client::try_from(config).unwrap().connect(request).await.unwrap().into_stream().split()
        });
        runtime.spawn(async move { while source.next().await.is_some() {} });
        runtime.spawn(async move {
            while let Some(bytes) = typed.recv().await {
                sink.send([&[0], &bytes[..]].concat().into()).await.unwrap();
            }
        });
        Terminal { drydock, keys, _runtime: runtime }
    }

    /// Type a line.
    pub(crate) fn types(&self, line: &str) {
        self.keys.send(format!("{line}\n").into_bytes()).unwrap();
    }

    /// Type a line and wait until its command has ended; its record.
    pub(crate) fn run(&self, line: &str) -> Value {
        let ended = || -> Vec<Value> {
            let commands = lab(self.drydock, "commands")["items"].as_array().unwrap().clone();
            commands.into_iter().filter(|command| command["spec"]["line"] == line && command["status"]["endTime"].is_string()).collect()
        };
        let before = ended().len();
        self.types(line);
        eventually(PATIENCE, || ended().into_iter().nth(before).ok_or_else(|| format!("{line}: not ended")))
    }

    /// The same, for what it printed, when it ends with this code.
    #[track_caller]
    pub(crate) fn says(&self, line: &str, code: i32) -> String {
        let record = self.run(line);
        let said = record["status"]["output"].as_str().unwrap_or_default().to_owned();
        assert_eq!(record["status"]["exitCode"], code, "{line}: {said}");
        said
    }

    /// The same on one line, without the marks that stand for colors where there are none.
    #[track_caller]
    pub(crate) fn reads(&self, line: &str, code: i32) -> String {
        self.says(line, code).replace('`', "").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A file of the home.
    pub(crate) fn file(&self, path: &str) -> Option<String> {
        let ran = self.drydock.kubectl(&["get", "--raw", &format!("{LAB}/workstations/main/files?path=/home/learner/{path}")]);
        ran.status.success().then_some(ran.stdout)
    }
}

/// Whatever a path turns out to be: nothing waits, nothing is read without end, and the learner sees no more than in a terminal.
#[test]
fn only_the_learners_own_regular_files_are_read() {
    let drydock = Drydock::cluster(1);
    let make = "cd ~; printf text > notes; ln -s notes link; mkdir dir; head -c 9000000 /dev/zero > large; : > empty; printf secret > mine; chmod 0 mine";
    drydock.run(&["cluster", "shell", "workstation", "--", "sh", "-c", make]).ok();
    let read = |path: &str| drydock.kubectl(&["get", "--raw", &format!("{LAB}/workstations/main/files?path={path}")]);
    for (path, text) in [("notes", "text"), ("link", "text"), ("empty", "")] {
        assert_eq!(read(&format!("/home/learner/{path}")).ok(), text, "{path}");
    }
    let cases = [
        ("/dev/zero", "/dev/zero is no regular file"),
        ("/home/learner/dir", "/home/learner/dir is no regular file"),
        ("/home/learner/large", "/home/learner/large is larger than 8388608 bytes"),
        ("/home/learner/none", "the workstation has no file /home/learner/none"),
        ("/home/learner/mine", "ermission denied"),
    ];
    // Where there is only one id the learner is root, who may read anything.
    let alone = drydock.run(&["cluster", "shell", "workstation", "--", "id", "-u"]).ok().trim() == "0";
    for (path, why) in cases.into_iter().filter(|(path, _)| !(alone && path.ends_with("/mine"))) {
        let said = read(path).refused();
        assert!(said.contains(why), "{path}: {said}");
    }
}
