//! The measured servers as child processes: the host itself and mosquitto. They are ended by their process id when they are
//! dropped.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

use super::admin::Admin;

/// The first start may have to compile the built-in plugins.
const HOST_STARTS: Duration = Duration::from_secs(120);
const MOSQUITTO_STARTS: Duration = Duration::from_secs(5);

/// The settings file of the measured plugin: the built-in with its defaults.
pub(super) const PLUGIN: &str = "component = \"builtin:hop-relay\"\n";

/// Loses nothing, writes nothing to the disk, sends at once.
pub(super) const MOSQUITTO_SETTINGS: &str = "\
allow_anonymous true
persistence false
log_dest none
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 0
max_queued_bytes 0
";

/// Creates the folder of a host with the hop relay, for [`Server::host`].
pub(super) fn folder(parent: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = parent.join(name);
    std::fs::create_dir_all(folder.join("plugins"))?;
    std::fs::write(folder.join("plugins/hop.toml"), PLUGIN)?;
    Ok(folder)
}

/// A running server.
pub(super) struct Server {
    child: Child,
    pub(super) pid: u32,
    pub(super) mqtt: SocketAddr,
    /// The host's admin API. `None` for mosquitto.
    pub(super) admin: Option<Admin>,
    /// Kept open, so that the host never writes into a closed pipe.
    _output: Option<BufReader<ChildStdout>>,
}

/// The fields of the host's ready line that are used here.
#[derive(Debug, Deserialize)]
struct Ready {
    ready: bool,
    mqtt: SocketAddr,
    admin: String,
}

impl Server {
    /// Starts `switchbox serve` on free ports with `folder/data` and `folder/plugins`; the latter has to be there. A `program` of
    /// `None` is this one. `options` are added to those of `serve`.
    pub(super) async fn host(folder: &Path, program: Option<&Path>, options: &[String]) -> anyhow::Result<Self> {
        let log = folder.join("host.log");
        let program = match program {
            Some(program) => program.to_owned(),
            None => std::env::current_exe().context("cannot find this program's own file")?,
        };
        let mut child = Command::new(program)
            .env("XDG_CONFIG_HOME", folder)
            .args(["serve", "--mqtt", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
            .arg(folder.join("data"))
            .arg("--plugins")
            .arg(folder.join("plugins"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the host")?;
        let pid = child.id().context("the host ended at once")?;
        let mut output = BufReader::new(child.stdout.take().context("the host has no standard output")?);
        let ready = timeout(HOST_STARTS, ready_line(&mut output)).await;
        match ready.context("the host is not ready in time").and_then(|ready| ready) {
            Ok(ready) => Ok(Self {
                child,
                pid,
                mqtt: ready.mqtt,
                admin: Some(Admin::new(&ready.admin, &folder.join("data"))),
                _output: Some(output),
            }),
            Err(error) => Err(error.context(format!("the host says:\n{}", tail(&log)))),
        }
    }

    /// Starts mosquitto on a free loopback port.
    pub(super) async fn mosquitto(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let settings = folder.join("mosquitto.conf");
        std::fs::write(&settings, format!("listener {port} 127.0.0.1\n{MOSQUITTO_SETTINGS}"))?;
        let mut child = Command::new(program)
            .arg("-c")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let pid = child.id().context("mosquitto ended at once")?;
        let mqtt = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let begun = Instant::now();
        while TcpStream::connect(mqtt).await.is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("mosquitto ended with {status}");
            }
            if begun.elapsed() > MOSQUITTO_STARTS {
                bail!("mosquitto does not listen on {mqtt}");
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { child, pid, mqtt, admin: None, _output: None })
    }

    /// Ends it and waits until it has ended.
    pub(super) async fn end(mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill().await;
    }
}

async fn ready_line(output: &mut BufReader<ChildStdout>) -> anyhow::Result<Ready> {
    let mut line = String::new();
    if output.read_line(&mut line).await? == 0 {
        bail!("it ended before it was ready");
    }
    let ready: Ready = serde_json::from_str(&line).with_context(|| format!("its ready line is {line:?}"))?;
    if !ready.ready {
        bail!("its ready line is {line:?}");
    }
    Ok(ready)
}

/// The last lines of a log, for an error message.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
}

/// The path and the version of mosquitto, if it is installed.
pub(super) async fn find_mosquitto(given: Option<&Path>) -> Option<(PathBuf, String)> {
    let usual = ["mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto"];
    let candidates = match given {
        Some(path) => vec![path],
        None => usual.iter().map(Path::new).collect(),
    };
    for program in candidates {
        // It prints its help, with the version in the first line, and exits with a code other than 0.
        let Ok(output) = Command::new(program).arg("-h").kill_on_drop(true).output().await else { continue };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        return Some((program.to_owned(), text.lines().next().unwrap_or("mosquitto").to_owned()));
    }
    None
}
