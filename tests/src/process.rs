//! The real program as a process: started on free ports, killed or stopped, and observed.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use serde::Deserialize;

use crate::{Admin, Device, HostFolder, Session, until};

/// The log level that the tests need.
const LOG: &str = "info,switchbox::app=debug";
/// Characters of the log that a failed test prints.
const SHOWN: usize = 6_000;

/// The path of the program. Cargo puts it beside the folder of its tests, and has built it before they run. Measurements name
/// another, optimised one.
///
/// # Panics
///
/// Panics if this test has no path.
#[must_use]
pub fn program() -> PathBuf {
    if let Some(named) = env::var_os("SWITCHBOX_PROGRAM") {
        return named.into();
    }
    let test = env::current_exe().expect("the test has no path");
    let built = test.ancestors().nth(2).expect("the test is not in a target folder");
    built.join(format!("switchbox-under-test{}", env::consts::EXE_SUFFIX))
}

#[derive(Debug, Deserialize)]
struct Ready {
    ready: bool,
    mqtt: SocketAddr,
    mqtts: Option<SocketAddr>,
    ws: Option<SocketAddr>,
    wss: Option<SocketAddr>,
    admin_tls: Option<String>,
    admin: String,
    azure_amqp: Option<SocketAddr>,
    azure_https: Option<String>,
}

/// A program that was started and may be ready. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    ready: Option<Ready>,
    output: PathBuf,
    log: PathBuf,
    /// Where the log of this start begins.
    log_from: usize,
    data: PathBuf,
    ended: Option<ExitStatus>,
}

impl HostFolder {
    /// Starts the program and waits until it is ready.
    #[must_use]
    pub fn start(&self) -> Process {
        Process::start(self, &[])
    }

    /// Starts the program with additional arguments and waits until it is ready.
    #[must_use]
    pub fn start_with(&self, more: &[&str]) -> Process {
        Process::start(self, more)
    }
}

impl Process {
    /// `switchbox serve` on free ports.
    fn start(host_folder: &HostFolder, more: &[&str]) -> Self {
        let mut process = Self::spawn_with(host_folder, more);
        process.wait_ready();
        process
    }

    /// Starts `switchbox serve` on free ports, without waiting until it is ready.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be started.
    #[must_use]
    pub fn spawn(host_folder: &HostFolder) -> Self {
        Self::spawn_with(host_folder, &[])
    }

    /// Starts `switchbox serve` on free ports with additional arguments.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be started.
    #[must_use]
    pub fn spawn_with(host_folder: &HostFolder, more: &[&str]) -> Self {
        let (data, plugins) = (host_folder.data(), host_folder.plugins());
        let free = OsStr::new("127.0.0.1:0");
        let arguments = ["serve".as_ref(), "--data".as_ref(), data.as_os_str(), "--plugins".as_ref()];
        let ports = [plugins.as_os_str(), "--mqtt".as_ref(), free, "--admin".as_ref(), free];
        Self::run(host_folder, arguments.into_iter().chain(ports).chain(more.iter().map(OsStr::new)))
    }

    /// Starts the host by another program, whose last arguments are the host's program and arguments.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be started.
    #[must_use]
    pub fn spawn_under(host_folder: &HostFolder, wrapper: &[&str], more: &[&str]) -> Self {
        let (program, data, plugins) = (program(), host_folder.data(), host_folder.plugins());
        let free = OsStr::new("127.0.0.1:0");
        let arguments =
            [program.as_os_str(), "serve".as_ref(), "--data".as_ref(), data.as_os_str(), "--plugins".as_ref()];
        let ports = [plugins.as_os_str(), "--mqtt".as_ref(), free, "--admin".as_ref(), free];
        let all = wrapper.iter().map(OsStr::new).chain(arguments).chain(ports).chain(more.iter().map(OsStr::new));
        let mut all = all.collect::<Vec<_>>().into_iter();
        let first = all.next().unwrap_or_default();
        Self::run_program(host_folder, first, all)
    }

    /// Runs the program with these arguments.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be started.
    pub fn run<'a>(host_folder: &HostFolder, arguments: impl IntoIterator<Item = &'a OsStr>) -> Self {
        Self::run_program(host_folder, program().as_os_str(), arguments)
    }

    fn run_program<'a>(
        host_folder: &HostFolder,
        program: &OsStr,
        arguments: impl IntoIterator<Item = &'a OsStr>,
    ) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let output = host_folder.root().join(format!("output-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let log = host_folder.log();
        let file = File::options().create(true).append(true).open(&log).expect("no log");
        let log_from = usize::try_from(file.metadata().expect("no log").len()).expect("too long a log");
        let child = Command::new(program)
            .args(arguments)
            .env("RUST_LOG", env::var("RUST_LOG").unwrap_or_else(|_| LOG.into()))
            // The host records its address there, not in the files of the user that runs the tests.
            .env("XDG_CONFIG_HOME", host_folder.root().join("config"))
            .env("SWITCHBOX_TEST_CLOCK", host_folder.clock())
            .stdin(Stdio::null())
            .stdout(File::create(&output).expect("no output"))
            .stderr(file)
            .spawn()
            .expect("the program does not start");
        Self { child, ready: None, output, log, log_from, data: host_folder.data(), ended: None }
    }

    /// Waits for the ready line.
    ///
    /// # Panics
    ///
    /// Panics if the program ends instead.
    pub fn wait_ready(&mut self) {
        let ready = until("the ready line", || {
            if let Some(status) = self.try_wait() {
                panic!("the program ended with {status} before it was ready:\n{}", self.log());
            }
            let output = self.output();
            let (line, _) = output.split_once('\n')?;
            Some(serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?} is not a ready line: {e}")))
        });
        assert!(matches!(ready, Ready { ready: true, .. }), "{ready:?}");
        self.ready = Some(ready);
    }

    fn ready(&self) -> &Ready {
        self.ready.as_ref().expect("the program is not ready")
    }

    /// The MQTT listener.
    #[must_use]
    pub fn mqtt(&self) -> SocketAddr {
        self.ready().mqtt
    }

    /// The MQTT listener with TLS.
    ///
    /// # Panics
    ///
    /// Panics if there is none.
    #[must_use]
    pub fn mqtts(&self) -> SocketAddr {
        self.ready().mqtts.expect("no TLS")
    }

    /// The event endpoint without TLS.
    ///
    /// # Panics
    ///
    /// Panics if there is none.
    #[must_use]
    pub fn azure_amqp(&self) -> SocketAddr {
        self.ready().azure_amqp.expect("no event endpoint")
    }

    /// The service side of hubs.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn azure_https(&self) -> SocketAddr {
        let url = self.ready().azure_https.as_deref().expect("no service side of hubs");
        url.trim_start_matches("https://").parse().expect("an odd address")
    }

    /// The WebSocket listener.
    ///
    /// # Panics
    ///
    /// Panics if there is none.
    #[must_use]
    pub fn ws(&self) -> SocketAddr {
        self.ready().ws.expect("no WebSocket")
    }

    /// The WebSocket listener with TLS.
    ///
    /// # Panics
    ///
    /// Panics if there is none.
    #[must_use]
    pub fn wss(&self) -> SocketAddr {
        self.ready().wss.expect("no WebSocket with TLS")
    }

    /// The URL of the admin API with TLS.
    ///
    /// # Panics
    ///
    /// Panics if there is none.
    #[must_use]
    pub fn admin_tls(&self) -> &str {
        self.ready().admin_tls.as_deref().expect("no TLS")
    }

    /// Runs `switchbox` with these arguments against this host, in the host's folder. Returns its output.
    ///
    /// # Panics
    ///
    /// Panics if it fails.
    #[must_use]
    pub fn cli(&self, host_folder: &HostFolder, arguments: &[&str]) -> String {
        let output = self.command(host_folder, arguments).output().expect("the program does not start");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("no text").trim_end().to_owned()
    }

    /// The command of [`Self::cli`], not started yet.
    #[must_use]
    pub fn command(&self, host_folder: &HostFolder, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(host_folder.root()).stdin(Stdio::null());
        command.env("SWITCHBOX_ADMIN", &self.ready().admin).env("SWITCHBOX_DATA", &self.data);
        command.env("XDG_CONFIG_HOME", host_folder.root().join("config"));
        command
    }

    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(&self.ready().admin, &self.data)
    }

    /// A device that is connected.
    #[must_use]
    pub fn device(&self, id: &str) -> Device {
        Device::connect(self.mqtt(), Session::new(id))
    }

    /// The places of this text in the program's memory. Returns `None` if the memory cannot be read here.
    ///
    /// # Panics
    ///
    /// Panics if the program has ended.
    #[must_use]
    pub fn memory_with(&self, text: &str) -> Option<Vec<String>> {
        crate::memory::places(self.pid(), text.as_bytes()).ok()
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Standard output so far.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        let all = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(all.get(self.log_from..).unwrap_or_default()).into_owned()
    }

    /// Waits for a line of the log that contains all of these; returns it.
    pub fn logged(&self, parts: &[&str]) -> String {
        until(&format!("a line of the log with {parts:?}"), || {
            self.log().lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
        })
    }

    /// Its exit status, if it has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the program is lost");
        }
        self.ended
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        until("the program to end", || self.try_wait())
    }

    /// Sends SIGKILL.
    pub fn kill(mut self) {
        self.end();
    }

    /// Sends SIGTERM, and waits until it has ended with success.
    ///
    /// # Panics
    ///
    /// Panics if it does not.
    pub fn stop(mut self) {
        self.terminate();
        let status = self.wait();
        assert!(status.success(), "the program ended with {status}:\n{}", tail(&self.log()));
    }

    /// Sends SIGTERM.
    ///
    /// # Panics
    ///
    /// Panics if there is no shell to send it.
    pub fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.pid());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("no shell").success(), "{kill}");
    }

    fn end(&mut self) {
        if self.try_wait().is_none() {
            self.child.kill().expect("the program cannot be killed");
            self.ended = Some(self.child.wait().expect("the program is lost"));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        let log = self.log();
        if std::thread::panicking() {
            eprintln!("--- the end of the log of {}:\n{}", self.pid(), tail(&log));
        } else {
            // The panic of a guest follows the host's own line about it.
            let own = |line: &str| line.starts_with("thread '") && line.contains("panicked at");
            let panicked =
                log.lines().position(own).map(|at| log.lines().skip(at).take(3).collect::<Vec<_>>().join("\n"));
            assert!(panicked.is_none(), "the host panicked:\n{}\n{}", panicked.unwrap_or_default(), tail(&log));
        }
    }
}

fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(SHOWN);
    text.get(text.ceil_char_boundary(from)..).unwrap_or_default()
}
