//! A reader of pages: runs their commands as printed, one after the other.

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use switchbox_tests::{HostFolder, until, until_within};

use super::{
    lists::{LOOKS, PRINTS},
    target,
};

/// Addresses that do not exist on a machine with loopback addresses only, and their replacements.
const INSTEAD: &[(&str, &str)] = &[("0.0.0.0:8883", "127.0.0.1:0"), ("switchbox.example", "localhost")];
/// Replaced by the port that the host got.
const TLS_PORT: &str = "-p 8883 ";
const ADMIN_ADDRESS: &str = "127.0.0.1:8080";

const LIMIT: Duration = Duration::from_secs(240);

/// A reader of the pages: a home folder, two terminals, and the programs in them.
pub(super) struct Reader {
    host_folder: HostFolder,
    /// Where the first terminal is.
    folder: PathBuf,
    host: Option<Child>,
    ready: Value,
    /// What was started with `&`.
    beside: Vec<Child>,
    /// Variables of the shell.
    variables: BTreeMap<String, String>,
    runs: usize,
}

impl Reader {
    pub(super) fn new() -> Self {
        let host_folder = HostFolder::new();
        let home = host_folder.root().join("home");
        fs::create_dir_all(home.join("bin")).unwrap();
        fs::create_dir_all(home.join(".config")).unwrap();
        symlink(switchbox_tests::program(), home.join("bin/switchbox")).unwrap();
        Self {
            folder: home,
            host_folder,
            host: None,
            ready: Value::Null,
            beside: Vec::new(),
            variables: BTreeMap::new(),
            runs: 0,
        }
    }

    fn home(&self) -> PathBuf {
        self.host_folder.root().join("home")
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
            .envs(&self.variables)
            .stdin(Stdio::null());
        shell
    }

    pub(super) fn follow(&mut self, on_page: &str) {
        let line = INSTEAD.iter().fold(on_page.to_owned(), |line, (printed, here)| line.replace(printed, here));
        let line = line.replace(TLS_PORT, &format!("-p {} ", self.port("mqtts")));
        let line = line.replace(ADMIN_ADDRESS, &format!("127.0.0.1:{}", self.port("admin")));
        if let Some(name) = variable(&line) {
            let (worked, value, errors) = self.once(&format!("{line}; printf %s \"${name}\""));
            assert!(worked, "{line}: {errors}");
            self.variables.insert(name.to_owned(), value);
        } else if let Some(folder) = line.strip_prefix("cd ") {
            self.folder = self.folder.join(folder);
        } else if line.starts_with("switchbox serve") {
            self.serve(&line);
        } else if let Some(line) = line.strip_suffix('&') {
            self.start(line);
        } else {
            self.run(on_page, &line);
        }
        if line.starts_with("switchbox plugin new") {
            // So that what the SDK needs is not built anew each time.
            fs::create_dir_all(target()).unwrap();
            symlink(target(), self.folder.join("night-light/target")).unwrap();
        }
    }

    fn port(&self, listener: &str) -> String {
        let address = self.ready[listener].as_str().unwrap_or_default();
        address.rsplit(':').next().unwrap_or_default().to_owned()
    }

    /// In the second terminal; what ran there is stopped first.
    fn serve(&mut self, line: &str) {
        self.stop();
        let output = self.host_folder.root().join("ready");
        let log = fs::File::options().create(true).append(true).open(self.host_folder.log()).unwrap();
        let mut shell = self.shell(&format!("exec {line}"));
        let mut host = shell.stdout(fs::File::create(&output).unwrap()).stderr(log).spawn().unwrap();
        self.ready = until("the ready line", || {
            let ended = host.try_wait().unwrap();
            assert!(ended.is_none(), "{line}: {}", fs::read_to_string(self.host_folder.log()).unwrap());
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

    /// Starts a program in the second terminal and waits until it is ready.
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

    fn run(&mut self, on_page: &str, line: &str) {
        // The longest says most of the command.
        let known =
            PRINTS.iter().filter(|(command, _)| on_page.starts_with(command)).max_by_key(|(command, _)| command.len());
        let expect = known.map_or("", |(_, printed)| printed);
        let looks = LOOKS.iter().any(|command| on_page.starts_with(command));
        let mut last = String::new();
        until(&format!("{line} to work"), || {
            let (worked, printed, errors) = self.once(line);
            last = format!("{line}\n{printed}{errors}");
            let done = worked && printed.contains(expect);
            assert!(done || looks, "{last}\nwithout {expect:?}");
            done.then_some(())
        });
    }

    pub(super) fn once(&mut self, line: &str) -> (bool, String, String) {
        self.runs += 1;
        let file = |kind: &str| self.host_folder.root().join(format!("{kind}-{}", self.runs));
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

    pub(super) fn stop(&mut self) {
        self.beside.drain(..).for_each(|mut child| kill(&mut child));
        if let Some(mut host) = self.host.take() {
            let terminated = Command::new("kill").args(["-TERM", &host.id().to_string()]).status().unwrap();
            assert!(terminated.success());
            let status = until("the host to end", || host.try_wait().unwrap());
            assert!(status.success(), "{}", fs::read_to_string(self.host_folder.log()).unwrap());
        }
    }
}

fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.beside.iter_mut().chain(&mut self.host).for_each(kill);
    }
}

/// The variable that a line sets.
fn variable(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('=')?;
    name.bytes().all(|b| b.is_ascii_uppercase()).then_some(name)
}
