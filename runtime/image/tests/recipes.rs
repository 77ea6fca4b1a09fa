//! Recipes, followed: packages fetched by the machine's package manager, and the images made of them run.
//!
//! Needs apt-get with a mirror it can reach, and for the second half root's rights; what is not tested is said on the
//! terminal, and fails where `tests/run` has seen that it can be had.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output},
};

use drydock_image::{
    Image, Reference, Store,
    recipe::{Recipe, RecipeError},
};

/// Mounts the image's layers in namespaces of their own, and runs a script in them.
const HARNESS: &str = r#"
set -e
mount -t overlay overlay -o "lowerdir=$LAYERS,upperdir=$WORK/upper,workdir=$WORK/work" "$WORK/root"
mount -t proc proc "$WORK/root/proc"
mkdir -p "$WORK/root/dev/shm"
for device in null zero urandom; do touch "$WORK/root/dev/$device"; mount --bind "/dev/$device" "$WORK/root/dev/$device"; done
mount -t tmpfs tmpfs "$WORK/root/dev/shm"
ln -s /proc/self/fd/1 "$WORK/root/dev/stdout"
ln -s /proc/self/fd/2 "$WORK/root/dev/stderr"
ip link set lo up
ip address add 10.9.9.9/32 dev lo
exec chroot "$WORK/root" /usr/bin/env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/bin:/sbin LANG=C.UTF-8 PGDATA=/var/lib/postgresql/data sh -c "$SCRIPT"
"#;

/// Namespaces in which the servers can become other users: only root can make them without a helper.
fn unshare() -> Option<Command> {
    let command = || {
        let mut command = Command::new("unshare");
        command.args(["-m", "-p", "-f", "-n", "--kill-child", "--mount-proc"]);
        command
    };
    let works = command().args(["sh", "-c", "mount -t tmpfs t /mnt && ip link set lo up && ip address add 10.9.9.9/32 dev lo && id -u"]).output();
    works.is_ok_and(|output| output.status.success() && output.stdout == b"0\n").then(command)
}

fn run(mut command: Command, image: &Image, script: &str) -> Output {
    let work = tempfile::tempdir().unwrap();
    for name in ["upper", "work", "root"] {
        std::fs::create_dir(work.path().join(name)).unwrap();
    }
    let layers: Vec<String> = image.layers.iter().rev().map(|layer| layer.to_string_lossy().into_owned()).collect();
    command.args(["sh", "-c", HARNESS]).env("LAYERS", layers.join(":")).env("WORK", work.path()).env("SCRIPT", script);
    command.output().unwrap()
}

/// `tests/run` sets it where the distribution's packages can be fetched: there nothing may be left out.
const PACKAGES: &str = "DRYDOCK_TEST_PACKAGES";

/// Says so on the terminal, although the test passes and its output is captured.
fn not_tested(what: &str) {
    let mut terminal = std::io::stderr();
    writeln!(terminal, "NOT TESTED: {what}").unwrap();
}

/// Makes an image; nothing when this machine has no packages to make it of, which is said whoever captures the output.
fn make(store: &Store, name: &str, work: &Path) -> Option<Image> {
    match Recipe::find(name).unwrap().make(name, store.library(), work, &mut |_| {}) {
        Ok(digest) => {
            let reference = Reference::parse(&format!("{name}:made")).unwrap();
            store.library().name(&reference, &digest).unwrap();
            Some(store.pull(&reference.to_string()).unwrap())
        }
        Err(RecipeError::Apt(error)) if std::env::var_os(PACKAGES).is_none() => {
            not_tested(&format!("{name} cannot be made of packages here: {error}"));
            None
        }
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    }
}

#[test]
fn real_servers_are_made_of_packages() {
    let directory = tempfile::Builder::new().prefix("recipes").tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let work = directory.path().join("work");
    let Some(nginx) = make(&store, "nginx", &work) else { return };
    assert!(nginx.stand_in.as_ref().unwrap().starts_with("nginx 1."), "{:?}", nginx.stand_in);
    let Some(postgres) = make(&store, "postgres", &work) else { return };
    let record = std::fs::read_to_string(work.join("postgres.json")).unwrap();
    assert!(record.contains("\"sha256\"") && record.contains(&postgres.digest.to_string()), "{record}");

    let Some(one) = unshare() else {
        assert!(!nix::unistd::geteuid().is_root(), "root cannot make namespaces here, which Drydock itself does (drydock doctor)");
        not_tested("that nginx and PostgreSQL run: it takes root, to become their users");
        return;
    };
    let script = "nginx -t && nginx && wget -q -O - http://127.0.0.1 | grep '<h1>' && curl -sI http://127.0.0.1 | grep ^Server";
    let output = run(one, &nginx, script);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("test is successful") && said.contains("<h1>Welcome to nginx!</h1>") && said.contains("Server: nginx/1."), "{said}");

    let script = r#"
echo secret > /tmp/pw; chmod 400 /tmp/pw; export POSTGRES_PASSWORD_FILE=/tmp/pw POSTGRES_DB=shop
docker-entrypoint.sh postgres > /tmp/log 2>&1 &
server=$! n=0
ask() { PGPASSWORD=$1 psql -h 10.9.9.9 -U postgres -d "$2" -Atc "$3"; }
until grep -q 'init process complete' /tmp/log && ask secret shop 'select 40 + 2' 2>/dev/null; do
  n=$((n + 1)); [ $n -lt 900 ] || { cat /tmp/log; exit 1; }; sleep 0.1
done
stat -c '%u %a' $PGDATA $PGDATA/pg_wal
ask wrong shop 'select 1'
mkdir /tmp/app; cd /tmp/app; echo 'drydock-application todo-list' > ToDoList.dll
export Database__Provider=Postgres ASPNETCORE_URLS=http://+:8080
export ConnectionStrings__ToDoDb='Server=10.9.9.9;Database=list;User Id=postgres;Password=secret;'
dotnet ToDoList.dll &
until nc -z 127.0.0.1 8080; do sleep 0.1; done
curl -s -d "ToDo.Item=it's here" http://127.0.0.1:8080/new
wget -q -O - http://127.0.0.1:8080/list | grep -o '<td>it[^<]*</td>'
ask secret list 'select "Item" from "ToDos"'
kill -INT $server; wait $server; echo "ended: $?"
"#;
    let output = run(unshare().unwrap(), &postgres, script);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let parts = ["42\n70 700\n70 700\n", "password authentication failed for user \"postgres\"", "<td>it&#x27;s here</td>\nit's here\nended: 0\n"];
    for part in parts {
        assert!(said.contains(part), "{said}");
    }
}
