//! The commands of README.md, run as they are printed and in their order: in a home of their own, on free loopback ports. What
//! cannot be run so is in the two lists below, with what stands for it.

use std::{
    env, fs,
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use switchbox_tests::{Place, there, until, until_within, workspace};

/// What is not run, and what stands for it.
const NOT_RUN: &[(&str, &str)] = &[
    (
        "cargo run --release -- demo",
        "the_demo_shows_both_scenarios_and_ends_by_itself runs the same without a release build",
    ),
    ("cargo run --release -- demo --scene garage-door", "the_demo_plays_the_examples_and_says_why_what_happened"),
    (
        "cargo test",
        "of the repository: this test is part of it; of the new plugin: `cli::plugin_new::tests` in the host's unit tests",
    ),
    ("cargo install --path host", "a link to the program of these tests, in a folder of PATH"),
];

/// What is not there on a machine that only has loopback addresses, and what stands for it.
const INSTEAD: &[(&str, &str)] = &[("0.0.0.0:8883", "127.0.0.1:0"), ("switchbox.example", "localhost")];
/// Of the port in `mosquitto_pub -p 8883` the one that the host got.
const TLS_PORT: &str = "-p 8883 ";

/// What some of the commands print. A command that only looks is repeated until it does.
const PRINTS: &[(&str, &str)] = &[
    ("switchbox plugin new", "cargo wasm"),
    ("switchbox plugin list", "night_light  running"),
    ("switchbox device twin patch", r#""level":40"#),
    ("switchbox device command send", "taken: command "),
    ("switchbox device method", "200 50"),
    ("switchbox device create door-1", "-i projects/local/locations/local/registries/default/devices/door-1"),
    ("switchbox device credential add", "door-1 has 2 credential(s)"),
    ("switchbox device get door-1", "credential 2"),
    ("switchbox gateway bind", "lamp-1 is bound to hub"),
    ("switchbox audit", "token"),
];
const LOOKS: &[&str] = &["switchbox plugin list"];

const LIMIT: Duration = Duration::from_secs(240);

/// Somebody who follows the README: a home, two terminals, and what runs in them.
struct Newcomer {
    place: Place,
    /// Where the first terminal is.
    folder: PathBuf,
    host: Option<Child>,
    ready: Value,
    /// What was started with `&`.
    beside: Vec<Child>,
    runs: usize,
}

impl Newcomer {
    fn new() -> Self {
        let place = Place::new();
        let home = place.root().join("home");
        fs::create_dir_all(home.join("bin")).unwrap();
        fs::create_dir_all(home.join(".config")).unwrap();
        symlink(switchbox_tests::program(), home.join("bin/switchbox")).unwrap();
        Self { folder: home, place, host: None, ready: Value::Null, beside: Vec::new(), runs: 0 }
    }

    fn home(&self) -> PathBuf {
        self.place.root().join("home")
    }

    /// `sh -c line`, with nothing of this test's own surroundings that the README does not speak of.
    fn shell(&self, line: &str) -> Command {
        let home = env::var("HOME").unwrap_or_default();
        let tools = |name: &str, folder: &str| env::var(name).unwrap_or_else(|_| format!("{home}/{folder}"));
        let mut shell = Command::new("sh");
        for (name, _) in env::vars() {
            if ["CARGO", "SWITCHBOX", "XDG_", "RUST"].iter().any(|prefix| name.starts_with(prefix)) {
                shell.env_remove(name);
            }
        }
        shell
            .args(["-c", line])
            .current_dir(&self.folder)
            .env("HOME", self.home())
            .env("PATH", format!("{}/bin:{}", self.home().display(), env::var("PATH").unwrap()))
            .env("CARGO_HOME", tools("CARGO_HOME", ".cargo"))
            .env("RUSTUP_HOME", tools("RUSTUP_HOME", ".rustup"))
            .env("SWITCHBOX_MQTT_LISTEN", "127.0.0.1:0")
            .env("SWITCHBOX_ADMIN_LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null());
        shell
    }

    fn follow(&mut self, line: &str) {
        let line = INSTEAD.iter().fold(line.to_owned(), |line, (printed, here)| line.replace(printed, here));
        let line = line.replace(TLS_PORT, &format!("-p {} ", self.port("mqtts")));
        if let Some(folder) = line.strip_prefix("cd ") {
            self.folder = self.folder.join(folder);
        } else if line.starts_with("switchbox serve") {
            self.serve(&line);
        } else if let Some(line) = line.strip_suffix('&') {
            self.start(line);
        } else {
            self.run(&line);
        }
        if line.starts_with("switchbox plugin new") {
            // So that what the SDK needs is not built anew each time.
            fs::create_dir_all(super::target()).unwrap();
            symlink(super::target(), self.folder.join("night-light/target")).unwrap();
        }
    }

    fn port(&self, listener: &str) -> String {
        let address = self.ready[listener].as_str().unwrap_or_default();
        address.rsplit(':').next().unwrap_or_default().to_owned()
    }

    /// In the second terminal; what ran there is stopped first.
    fn serve(&mut self, line: &str) {
        self.stop();
        let output = self.place.root().join("ready");
        let log = fs::File::options().create(true).append(true).open(self.place.log()).unwrap();
        let mut shell = self.shell(&format!("exec {line}"));
        let mut host = shell.stdout(fs::File::create(&output).unwrap()).stderr(log).spawn().unwrap();
        self.ready = until("the ready line", || {
            let ended = host.try_wait().unwrap();
            assert!(ended.is_none(), "{line}: {}", fs::read_to_string(self.place.log()).unwrap());
            let printed = fs::read_to_string(&output).unwrap();
            printed.split_once('\n').map(|(ready, _)| serde_json::from_str(ready).unwrap())
        });
        self.host = Some(host);
        // mosquitto's clients read their defaults there.
        for client in ["mosquitto_pub", "mosquitto_sub"] {
            let defaults = format!("-h 127.0.0.1\n-p {}\n", self.port("mqtt"));
            fs::write(self.home().join(".config").join(client), defaults).unwrap();
        }
    }

    /// Goes on beside; a person would see that it is there before the next command.
    fn start(&mut self, line: &str) {
        let mut shell = self.shell(&format!("exec {line}"));
        self.beside.push(shell.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().unwrap());
        let mut words = line.split_whitespace().skip_while(|word| !["-i", "--id"].contains(word));
        let device = words.nth(1).unwrap_or_else(|| panic!("{line} names no device"));
        until(&format!("{device} to be connected"), || {
            let shown = self.shell(&format!("switchbox device get {device}")).output().unwrap();
            let shown = String::from_utf8(shown.stdout).unwrap();
            shown.lines().any(|line| line.split_whitespace().eq(["connected", "true"])).then_some(())
        });
    }

    fn run(&mut self, line: &str) {
        let expect = PRINTS.iter().find(|(command, _)| line.starts_with(command)).map_or("", |(_, printed)| printed);
        let looks = LOOKS.iter().any(|command| line.starts_with(command));
        let mut last = String::new();
        until(&format!("{line} to work"), || {
            let (worked, printed, errors) = self.once(line);
            last = format!("{line}\n{printed}{errors}");
            let done = worked && printed.contains(expect);
            assert!(done || looks, "{last}\nwithout {expect:?}");
            done.then_some(())
        });
    }

    fn once(&mut self, line: &str) -> (bool, String, String) {
        self.runs += 1;
        let file = |kind: &str| self.place.root().join(format!("{kind}-{}", self.runs));
        let (output, errors) = (file("output"), file("errors"));
        let mut shell = self.shell(line);
        shell.stdout(fs::File::create(&output).unwrap()).stderr(fs::File::create(&errors).unwrap());
        let mut child = shell.process_group(0).spawn().unwrap();
        let ended = until_within(LIMIT, || child.try_wait().unwrap());
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        if ended.is_none() {
            kill(&mut child);
        }
        (ended.is_some_and(|status| status.success()), read(&output), read(&errors))
    }

    fn stop(&mut self) {
        self.beside.drain(..).for_each(|mut child| kill(&mut child));
        if let Some(mut host) = self.host.take() {
            let terminated = Command::new("kill").args(["-TERM", &host.id().to_string()]).status().unwrap();
            assert!(terminated.success());
            let status = until("the host to end", || host.try_wait().unwrap());
            assert!(status.success(), "{}", fs::read_to_string(self.place.log()).unwrap());
        }
    }
}

fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.beside.iter_mut().chain(&mut self.host).for_each(kill);
    }
}

/// The commands of the blocks that are marked as shell, without their comments; lines that go on are one.
fn commands(readme: &str) -> Vec<String> {
    let blocks = readme.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let text = blocks.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let commands = text.lines().map(|line| line.split(" # ").next().unwrap_or_default().trim().to_owned());
    commands.filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_commands_of_the_readme_work_as_printed_in_their_order() {
    let installed = |program: &str| Command::new(program).arg("--help").output().is_ok();
    if !there("mosquitto_pub", installed("mosquitto_pub")) || !there("openssl", installed("openssl")) {
        return;
    }
    let commands = commands(&fs::read_to_string(workspace().join("README.md")).unwrap());
    for (command, _) in NOT_RUN {
        assert!(commands.iter().any(|line| line == command), "{command} is not in the README any more");
    }
    for (command, _) in PRINTS {
        assert!(commands.iter().any(|line| line.starts_with(command)), "{command} is not in the README any more");
    }
    let mut newcomer = Newcomer::new();
    for line in commands.iter().filter(|line| !NOT_RUN.iter().any(|(not, _)| line == not)) {
        newcomer.follow(line);
    }
    let (worked, events, _) = newcomer.once("switchbox events --kind telemetry");
    assert!(
        worked && events.contains("lamp-3 telemetry hello"),
        "what lamp-3 sent with TLS and a token came: {events}"
    );
    newcomer.stop();
}
