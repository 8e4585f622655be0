//! A mosquitto broker that is bridged to the host as it is by default, in both directions, while either of the two is offline.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use switchbox_tests::{HostFolder, Process, is_available, until};

use super::mosquitto;

pub(super) fn program() -> Option<PathBuf> {
    let known = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"].map(PathBuf::from);
    known.into_iter().find(|path| path.exists())
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A broker that runs. Ends with the test.
pub(super) struct Broker {
    child: Child,
    port: u16,
}

impl Broker {
    /// Everything about the bridge is as mosquitto has it by default, but that it does not wait long before it connects again.
    fn start(program: &Path, host_folder: &HostFolder, port: u16, host: &Process) -> Self {
        let bridge = format!(
            "persistence true\nconnection hub\naddress 127.0.0.1:{}\ntopic # both 1\nrestart_timeout 1\n",
            host.mqtt().port()
        );
        Self::run(program, host_folder, port, &bridge)
    }

    /// `settings`: more lines of its configuration.
    pub(super) fn run(program: &Path, host_folder: &HostFolder, port: u16, settings: &str) -> Self {
        let folder = host_folder.root().join("mosquitto");
        fs::create_dir_all(&folder).unwrap();
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "user root\nlistener {port} 127.0.0.1\nallow_anonymous true\npersistence_location {}/\n{settings}",
            folder.display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        let child = command.arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let broker = Self { child, port };
        until("mosquitto", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        broker
    }

    /// Ends as an operator would end it, so that it writes down what it holds.
    fn stop(mut self) {
        let ended = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(ended.success());
        self.child.wait().unwrap();
    }

    /// mosquitto_pub or mosquitto_sub at this broker.
    pub(super) fn client(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]).args(arguments);
        command
    }

    fn publish(&self, topic: &str, payload: &str) {
        let sent = self.client("mosquitto_pub", &["-q", "1", "-t", topic, "-m", payload]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that receives everything under a name. Ends with the test.
struct Observer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Observer {
    /// The command is mosquitto_sub at one of the brokers, and `ready` publishes there what is only to be seen by it.
    fn start(mut at: Command, name: &str, ready: impl Fn()) -> Self {
        let command = at.args(["-q", "1", "-F", "%r %t %p", "-t", &format!("{name}/#")]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_there = Arc::new(AtomicBool::new(false));
        let observer = thread::spawn({
            let is_there = is_there.clone();
            move || {
                let mut observer = Self { child, lines };
                observer.lines.next().unwrap().unwrap();
                is_there.store(true, Ordering::SeqCst);
                observer
            }
        });
        until("the subscriber", || {
            ready();
            is_there.load(Ordering::SeqCst).then_some(())
        });
        observer.join().unwrap()
    }

    /// The next messages, this many, sorted, without those that were used to detect it.
    fn next(&mut self, count: usize) -> Vec<String> {
        let lines = self.lines.by_ref().map(Result::unwrap).filter(|line| !line.ends_with("ready"));
        let mut lines: Vec<_> = lines.take(count).collect();
        lines.sort();
        lines
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is published at either broker comes once to both.
fn exchange(host: &Process, broker: &Broker, name: &str) {
    let (down, up, end) = (format!("{name}/down"), format!("{name}/up"), format!("{name}/end"));
    let ready = format!("{name}/ready");
    let mut observers = [
        Observer::start(mosquitto_at(host), name, || publish(host, &ready, "ready")),
        Observer::start(broker.client("mosquitto_sub", &[]), name, || broker.publish(&ready, "ready")),
    ];
    publish(host, &down, "d");
    broker.publish(&up, "u");
    for observer in &mut observers {
        assert_eq!(observer.next(2), [format!("0 {down} d"), format!("0 {up} u")]);
    }
    // Had one come back to where it came from, it would be there before this.
    publish(host, &end, "e");
    for observer in &mut observers {
        assert_eq!(observer.next(1), [format!("0 {end} e")]);
    }
}

/// What a client gets under this name that was offline: nothing at first.
fn waited(at: impl Fn() -> Command, name: &str, count: usize) -> String {
    let filter = format!("{name}/#");
    let mut command = at();
    command.args(["-i", "observer", "-c", "-q", "1", "-t", &filter, "-F", "%r %t %p"]);
    match count {
        0 => command.arg("-E"),
        count => command.args(["-W", "60", "-C", &count.to_string()]),
    };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn mosquitto_at(host: &Process) -> Command {
    let mut command = Command::new("mosquitto_sub");
    command.args(["-h", "127.0.0.1", "-p", &host.mqtt().port().to_string()]);
    command
}

/// A host at this address, which its next start has too.
fn start(host_folder: &HostFolder, address: &str) -> Process {
    let (data, plugins) = (host_folder.data(), host_folder.plugins());
    let [data, plugins] = [&data, &plugins].map(|path| path.to_str().unwrap());
    let arguments = ["serve", "--data", data, "--plugins", plugins, "--mqtt", address, "--admin", "127.0.0.1:0"];
    let mut host = Process::run(host_folder, arguments.map(AsRef::as_ref));
    host.wait_ready();
    host
}

/// The state that the bridge publishes to the host, which is its default.
fn is_connected(host: &Process, expect: &str) {
    const STATES: &str = "$SYS/broker/connection/+/state";
    until("the bridge", || {
        let once = mosquitto("mosquitto_sub", host, ["-C", "1", "-W", "1", "-t", STATES]).output().unwrap();
        (String::from_utf8_lossy(&once.stdout).trim() == expect).then_some(())
    });
}

fn publish(host: &Process, topic: &str, payload: &str) {
    super::publish(host, ["-i", "at-host", "-q", "1", "-t", topic, "-m", payload]);
}

#[test]
fn a_mosquitto_bridge_works_as_it_is_in_both_directions_and_over_a_restart_of_either() {
    let program = program();
    if !is_available("mosquitto", program.is_some()) {
        return;
    }
    let program = program.unwrap();
    let host_folder = HostFolder::new();
    let address = format!("127.0.0.1:{}", free_port());
    let host = start(&host_folder, &address);
    let broker = Broker::start(&program, &host_folder, free_port(), &host);
    is_connected(&host, "1");
    exchange(&host, &broker, "first");

    // Retained at the host, retained at the broker.
    super::publish(&host, ["-i", "at-host", "-q", "1", "-r", "-t", "kept", "-m", "still here"]);
    until("the retained message", || {
        let late =
            broker.client("mosquitto_sub", &["-C", "1", "-W", "1", "-F", "%r %p", "-t", "kept"]).output().unwrap();
        (late.stdout == b"1 still here\n").then_some(())
    });

    // While the host is stopped, the broker keeps what is for it.
    let at_host = |host: &Process, count| waited(|| mosquitto_at(host), "waited", count);
    assert_eq!(at_host(&host, 0), "");
    host.stop();
    broker.publish("waited/up", "at the broker");
    let host = start(&host_folder, &address);
    assert_eq!(at_host(&host, 1), "0 waited/up at the broker\n");
    is_connected(&host, "1");
    exchange(&host, &broker, "second");

    // While the broker is stopped, the host keeps what is for it.
    let port = broker.port;
    let at_broker = |broker: &Broker, count| waited(|| broker.client("mosquitto_sub", &[]), "later", count);
    assert_eq!(at_broker(&broker, 0), "");
    broker.stop();
    is_connected(&host, "0");
    publish(&host, "later/down", "at the host");
    let broker = Broker::start(&program, &host_folder, port, &host);
    assert_eq!(at_broker(&broker, 1), "0 later/down at the host\n");
    exchange(&host, &broker, "third");
    drop(broker);
    host.stop();
}
