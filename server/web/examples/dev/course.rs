//! An invented chapter with one of everything a chapter can hold.

use std::sync::Arc;

use drydock_web::course::{Block, Chapter, ChapterOutline, CourseSource, Outline, Section, SectionKind, SectionOutline, Solution};

/// The only course there is here.
pub(crate) struct Invented {
    outline: Arc<Outline>,
    chapters: Vec<Arc<Chapter>>,
}

fn prose(html: &str) -> Block {
    Block::Prose { html: html.into() }
}

fn command(id: &str, text: &str) -> Block {
    Block::Command { id: id.into(), session: "main".into(), text: text.into(), typed: false, inside: None, exit: Some(0) }
}

fn output(text: &str) -> Block {
    Block::Output { text: text.into() }
}

fn check(id: &str, say: &str, hints: &[&str]) -> Block {
    Block::Check { id: id.into(), say: say.into(), optional: false, hints: hints.iter().map(|hint| (*hint).to_owned()).collect() }
}

fn section(id: &str, title: &str, level: u8, kind: SectionKind, minutes: Option<u32>, blocks: Vec<Block>) -> Section {
    Section { id: id.into(), title: title.into(), level, kind, minutes, blocks, ..Section::default() }
}

fn first_pod() -> Section {
    section(
        "run-a-pod",
        "Run your first Pod",
        3,
        SectionKind::Exercise,
        Some(3),
        vec![
            prose("<p>Ask for one Pod by name. You name the image, the node fetches it, and nothing restarts it if it ends.</p>"),
            command("run-hello", "kubectl run hello-kiamol --image=kiamol/ch02-hello-kiamol --restart=Never"),
            output("pod/hello-kiamol created"),
            check("pod-runs", "Pod `hello-kiamol` is running and ready", &["Which names does the cluster know? Ask it for its Pods.", "The name comes right after `kubectl run`.", "`kubectl run hello-kiamol --image=kiamol/ch02-hello-kiamol --restart=Never`"]),
            prose("<p>Then look at it from the outside, and step in. The prompt changes: from here on you type into the container, not into your laptop.</p>"),
            command("look", "# every Pod of this namespace\nkubectl get pods\nkubectl get nodes"),
            Block::Command { id: "step-in".into(), session: "main".into(), text: "kubectl exec -it hello-kiamol -- sh".into(), typed: true, inside: None, exit: Some(0) },
            check("looked-inside", "You opened a shell inside the container", &["`exec` takes a Pod and, after `--`, a command."]),
            Block::Press { id: "step-out".into(), session: "main".into(), name: "Ctrl+D".into(), byte: 4 },
        ],
    )
}

fn replaced() -> Section {
    section(
        "kill-it",
        "Take the container away",
        3,
        SectionKind::Exercise,
        Some(4),
        vec![
            prose("<p>A Pod is a promise, and the kubelet keeps it. Delete the container behind the Pod's back and watch what comes.</p>"),
            Block::Ask { id: "predict-replace".into(), say: "What will `kubectl get pods` show a second later?".into(), options: vec!["No Pod at all".into(), "A new container in the same Pod".into(), "A second Pod beside the first".into()], prediction: true },
            command("remove", "kubectl delete pod hello-kiamol"),
            command("twice", "kubectl get nodes\nkubectl teach me\nkubectl get pods"),
            Block::Command { id: "expected".into(), session: "main".into(), text: "kubectl teach me\nkubectl get pods".into(), typed: false, inside: None, exit: Some(1) },
            check("replaced", "The container was removed and something took its place", &["Look at the column RESTARTS."]),
            Block::Ask { id: "which-ip".into(), say: "Which address does the page listen on when you forward a port?".into(), options: vec![], prediction: false },
        ],
    )
}

fn deployment() -> Section {
    section(
        "deployment",
        "Let a Deployment do it",
        3,
        SectionKind::Exercise,
        Some(5),
        vec![
            prose("<p>The file says what should exist. Read it top to bottom once; you will write dozens of these.</p>"),
            Block::Code {
                language: "yaml".into(),
                path: Some("ch02/deployment.yaml".into()),
                text: crate::shell::DEPLOYMENT.into(),
            },
            command("deploy", "kubectl create deployment hello-kiamol-2 \\\n  --image=kiamol/ch02-hello-kiamol"),
            check("deployment", "Deployment `hello-kiamol-2` has one ready Pod", &["Name the Deployment exactly `hello-kiamol-2`."]),
            command("forward", "kubectl port-forward deploy/hello-kiamol-2 8080:80"),
            check("forwarded", "Your laptop's port 8080 reaches the Pod", &["The command keeps running; that is how it forwards."]),
        ],
    )
}

fn lab() -> Section {
    let mut lab = section(
        "lab",
        "Lab: put whoami behind a Deployment",
        2,
        SectionKind::Lab,
        Some(15),
        vec![
            prose("<p>Your turn, without commands to click. Run the <code>whoami</code> web page under a Deployment, label its Pods <code>app=whoami</code>, and reach it from your laptop on a port of your choice. Your files go to <code>~/lunches/ch02-lab</code>.</p>"),
            check("lab-deployment", "A Deployment owns a ready Pod labelled `app=whoami`", &["What does a Deployment use to find its Pods?"]),
            check("lab-forward", "A port of your laptop answers with the Pod's name", &["`port-forward` takes `deploy/NAME` too."]),
        ],
    );
    lab.debrief = Some("<p>You asked for a state and three controllers made it true: the Deployment asked for a ReplicaSet, the ReplicaSet for a Pod, the scheduler for a node. <strong>Nobody was told what to do.</strong></p>".into());
    lab.solutions = vec![
        Solution { title: "With a file".into(), text: "kubectl apply -f solution/whoami.yaml\nkubectl port-forward deploy/whoami 8080:80".into() },
        Solution { title: "With two commands".into(), text: "kubectl create deployment whoami --image=kiamol/ch02-whoami\nkubectl port-forward deploy/whoami 8080:80".into() },
    ];
    lab
}

fn chapter() -> Chapter {
    let intro = section(
        "intro",
        "",
        2,
        SectionKind::Text,
        None,
        vec![prose(
            "<p>Kubernetes never runs a container because you said so. It runs one because something you wrote down is not true yet. This chapter is about the two things you write down first: the <strong>Pod</strong>, which is one place for containers to live together, and the <strong>Deployment</strong>, which keeps Pods alive.</p>\
             <p>Everything here is real: the terminal beside this text belongs to a laptop on the cluster's network, and <code>kubectl</code> in it talks to a cluster that was started for you. Lines like the ones below turn green by themselves when the cluster agrees with them.</p>",
        )],
    );
    let how = section(
        "how-containers-run",
        "How a container comes to run",
        2,
        SectionKind::Text,
        None,
        vec![prose(
            "<p>You give the API server an object. It checks the object, writes it down and answers; at that moment nothing runs. Then others notice: the scheduler gives the Pod a node, the kubelet of that node fetches the image and starts the container.</p>\
             <blockquote class=\"note\"><p>A Pod has one address, shared by all its containers. They reach each other on <code>localhost</code>.</p></blockquote>\
             <table><thead><tr><th>Who</th><th>Watches</th><th>Does</th></tr></thead><tbody><tr><td>Scheduler</td><td>Pods without a node</td><td>Writes a node's name into the Pod</td></tr><tr><td>Kubelet</td><td>Pods of its node</td><td>Starts and stops containers</td></tr></tbody></table>",
        )],
    );
    let why = section(
        "why-deployments",
        "Why a Pod is not enough",
        2,
        SectionKind::Text,
        None,
        vec![prose("<p>Delete a Pod and it is gone. A <em>Deployment</em> notices that one is missing and asks for another. You stop caring which Pod answers, and that is the point.</p><ul><li>It owns a <strong>ReplicaSet</strong>, which counts.</li><li>The ReplicaSet owns the <strong>Pods</strong>, found by label.</li></ul>")],
    );
    let drill = section(
        "drill",
        "Drill: somebody took it away",
        2,
        SectionKind::Exercise,
        None,
        vec![prose("<p>For those who want more.</p>"), Block::Check { id: "drilled".into(), say: "A Pod was deleted, **and** another came".into(), optional: true, hints: vec![] }],
    );
    let deployment = Section { book: Some("2.4".into()), ..deployment() };
    let sections = vec![intro, how, first_pod(), replaced(), why, deployment, drill, lab()];
    Chapter { id: "ch02".into(), number: "2".into(), title: "Running containers with Pods and Deployments".into(), summary: Some("Run containers through Pods, and let Deployments keep them running.".into()), directory: Some("~/ch02".into()), sections }
}

/// A second chapter, to turn to.
fn services() -> Chapter {
    let greet = section(
        "greet",
        "Say hello to a Service",
        2,
        SectionKind::Exercise,
        Some(2),
        vec![prose("<p>A Service has a name of its own. Open <code>http://localhost:8080</code> once it is forwarded.</p>"), command("greet", "kubectl get pods"), check("greeted", "You have said hello", &[])],
    );
    Chapter { id: "ch03".into(), number: "3".into(), title: "Connecting Pods with Services".into(), sections: vec![greet], ..Chapter::default() }
}

impl Default for Invented {
    fn default() -> Invented {
        let read = [chapter(), services()].map(Arc::new);
        let ids = |section: &Section, wanted: bool| -> Vec<String> {
            section.blocks.iter().filter_map(|block| if let Block::Check { id, optional, .. } = block { (*optional == wanted).then(|| id.clone()) } else { None }).collect()
        };
        let outline_of = |section: &Section| SectionOutline {
            id: section.id.clone(),
            title: section.title.clone(),
            kind: section.kind,
            level: section.level,
            minutes: section.minutes,
            book: section.book.clone(),
            checks: ids(section, false),
            drill: if ids(section, false).is_empty() { ids(section, true) } else { Vec::new() },
        };
        let titles = ["Before you begin", "", "Connecting Pods with Services", "Configuration: ConfigMaps and Secrets", "Volumes, mounts and claims", "Scaling with controllers"];
        let chapters = titles.iter().enumerate().map(|(index, title)| {
            let id = format!("ch{:02}", index + 1);
            match read.iter().find(|chapter| chapter.id == id) {
                Some(chapter) => ChapterOutline {
                    id,
                    number: chapter.number.clone(),
                    title: chapter.title.clone(),
                    summary: chapter.summary.clone(),
                    available: true,
                    sections: chapter.sections.iter().filter(|s| !s.title.is_empty()).map(outline_of).collect(),
                },
                None => ChapterOutline { id, number: (index + 1).to_string(), title: (*title).into(), ..ChapterOutline::default() },
            }
        });
        let outline = Outline { id: "lunches".into(), title: "Month of Lunches".into(), book: Some("Learn Something in a Month of Lunches, by Somebody".into()), chapters: chapters.collect() };
        Invented { outline: Arc::new(outline), chapters: read.to_vec() }
    }
}

impl CourseSource for Invented {
    fn outline(&self) -> Arc<Outline> {
        self.outline.clone()
    }

    fn chapter(&self, id: &str) -> Option<Result<Arc<Chapter>, String>> {
        if id == "broken" {
            return Some(Err("chapters/lunches/broken/lesson.md:14: unknown key `expekt`; a check has id, say, expect, hints".into()));
        }
        self.chapters.iter().find(|chapter| chapter.id == id).cloned().map(Ok)
    }
}
