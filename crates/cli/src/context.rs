//! The default host of commands: `switchbox serve` writes its address into a file of its user, and the other commands read it. The
//! file contains data folders and addresses, and no secrets.

use std::{
    env,
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::exit::wrong;
use switchbox_admin_api::TOKEN_FILE;
use switchbox_store::private::make_folder;

/// Names the data folder where no option does.
pub(super) const DATA_VARIABLE: &str = "SWITCHBOX_DATA";
/// The default address of the admin API.
const DEFAULT_ADMIN: &str = "http://127.0.0.1:8080";
const DEFAULT_MQTT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1883);
/// The default data folder.
const DEFAULT_DATA: &str = "switchbox-data";
const FILE: &str = "hosts.json";
/// Hosts that are remembered; the oldest are removed.
const REMEMBERED: usize = 16;
/// How long a host of this machine may take to accept a connection.
const CONNECT: Duration = Duration::from_millis(500);

/// A host that was started on this machine by this user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Absolute.
    pub data: PathBuf,
    /// `http://127.0.0.1:8080`
    pub admin: String,
    /// The address for MQTT clients.
    pub mqtt: SocketAddr,
    pub pid: u32,
}

/// The host's options in the arguments or the environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostSelector<'a> {
    pub admin: Option<&'a str>,
    pub data: Option<&'a Path>,
}

/// The host that a command uses. The token is read from `data` unless one was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub admin: String,
    pub data: PathBuf,
}

/// `$XDG_CONFIG_HOME/switchbox` or `~/.config/switchbox`. Returns `None` if the environment names neither.
fn folder() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(config.join("switchbox"))
}

/// Records that a host runs. An error does not stop the host.
pub fn remember(started: Started) -> io::Result<()> {
    folder().map_or(Ok(()), |folder| remember_in(&folder, started))
}

fn remember_in(folder: &Path, started: Started) -> io::Result<()> {
    make_folder(folder)?;
    // Two hosts that start at the same time must not overwrite each other's entry.
    let lock = File::options().create(true).append(true).open(folder.join("hosts.lock"))?;
    lock.lock()?;
    let mut hosts = read(folder);
    hosts.retain(|host| host.data != started.data);
    hosts.push(started);
    let surplus = hosts.len().saturating_sub(REMEMBERED);
    hosts.drain(..surplus);
    let aside = folder.join("hosts.json.new");
    write_private(&aside, &serde_json::to_vec_pretty(&hosts)?)?;
    fs::rename(aside, folder.join(FILE))
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    io::Write::write_all(&mut options.open(path)?, content)
}

/// The oldest first. A file that is missing or cannot be read counts as empty.
fn read(folder: &Path) -> Vec<Started> {
    let text = fs::read(folder.join(FILE)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// The data folder that the environment names. Not read by clap, so that a command with its own `--data` can tell the two apart.
pub(super) fn data_of_environment() -> Option<PathBuf> {
    env::var_os(DATA_VARIABLE).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// Finds the host that a command uses. The error says how to choose between several.
pub fn find(selector: HostSelector<'_>) -> anyhow::Result<Target> {
    let hosts = folder().map(|folder| read(&folder)).unwrap_or_default();
    choose(selector, &hosts, &runs, &std::path::absolute(DEFAULT_DATA)?)
}

/// The MQTT address of the host that a command would use. `data`: the folder in its arguments.
pub fn mqtt(data: Option<&Path>) -> anyhow::Result<SocketAddr> {
    let of_environment = data_of_environment();
    let target = find(HostSelector { admin: None, data: data.or(of_environment.as_deref()) })?;
    let hosts = folder().map(|folder| read(&folder)).unwrap_or_default();
    if let Some(data) = data
        && !hosts.iter().any(|host| same(&host.data, data))
    {
        // Another host's port would be the wrong one, and MQTT may need no token that shows it.
        let data = data.display();
        return Err(wrong(format!(
            "no host with the data folder {data} was started by this user; name its address with --mqtt"
        )));
    }
    Ok(mqtt_of(&target.data, &hosts))
}

fn mqtt_of(data: &Path, hosts: &[Started]) -> SocketAddr {
    hosts.iter().rfind(|host| same(&host.data, data)).map_or(DEFAULT_MQTT, |host| host.mqtt)
}

/// `here`: the default data folder of a host in the current folder.
fn choose(
    selector: HostSelector<'_>,
    hosts: &[Started],
    runs: &dyn Fn(&Started) -> bool,
    here: &Path,
) -> anyhow::Result<Target> {
    let of = |host: &Started| Target { admin: host.admin.clone(), data: host.data.clone() };
    match selector {
        HostSelector { admin: Some(admin), data: Some(data) } => Ok(Target { admin: admin.into(), data: data.into() }),
        HostSelector { admin: None, data: Some(data) } => {
            let known = hosts.iter().rfind(|host| same(&host.data, data));
            let admin = known.map_or_else(|| DEFAULT_ADMIN.into(), |host| host.admin.clone());
            Ok(Target { admin, data: data.into() })
        }
        HostSelector { admin: Some(admin), data: None } => {
            let known = hosts.iter().rfind(|host| host.admin == admin.trim_end_matches('/'));
            let data = known.map_or_else(|| here.to_owned(), |host| host.data.clone());
            Ok(Target { admin: admin.into(), data })
        }
        HostSelector { admin: None, data: None } => {
            let running: Vec<_> = hosts.iter().filter(|host| runs(host)).collect();
            match (running.as_slice(), running.iter().find(|host| same(&host.data, here))) {
                (_, Some(host)) | ([host], None) => Ok(of(host)),
                ([], None) if here.join(TOKEN_FILE).exists() => {
                    Ok(Target { admin: DEFAULT_ADMIN.into(), data: here.into() })
                }
                ([], None) => {
                    let last = hosts.last().map(of);
                    Ok(last.unwrap_or_else(|| Target { admin: DEFAULT_ADMIN.into(), data: here.into() }))
                }
                (several, None) => Err(which(several)),
            }
        }
    }
}

fn which(running: &[&Started]) -> anyhow::Error {
    let line = |host: &&Started| format!("\n  --data {}   ({})", host.data.display(), host.admin);
    let lines: String = running.iter().map(line).collect();
    let count = running.len();
    wrong(format!(
        "{count} hosts run on this machine; say which one is meant, by the flag or in {DATA_VARIABLE}:{lines}"
    ))
}

fn same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    one == other || matches!((whole(one), whole(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether its process exists and its address accepts connections. The second condition is needed because process numbers are used again.
fn runs(host: &Started) -> bool {
    let pid = i32::try_from(host.pid).ok().and_then(rustix::process::Pid::from_raw);
    // EPERM: the process exists, and belongs to another user.
    let there =
        pid.is_some_and(|pid| matches!(rustix::process::test_kill_process(pid), Ok(()) | Err(rustix::io::Errno::PERM)));
    let address = host.admin.split_once("://").and_then(|(_, address)| address.parse::<SocketAddr>().ok());
    there && address.is_some_and(|address| TcpStream::connect_timeout(&address, CONNECT).is_ok())
}

/// The address by which this machine reaches a listener.
pub fn local(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listens.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(data: &str, port: u16, pid: u32) -> Started {
        Started { data: data.into(), admin: format!("http://127.0.0.1:{port}"), mqtt: DEFAULT_MQTT, pid }
    }

    fn target(data: &str, port: u16) -> Target {
        Target { admin: format!("http://127.0.0.1:{port}"), data: data.into() }
    }

    /// In this test, processes with numbers below 100 are running.
    fn chosen(admin: Option<&str>, data: Option<&str>, hosts: &[Started]) -> anyhow::Result<Target> {
        let selector = HostSelector { admin, data: data.map(Path::new) };
        choose(selector, hosts, &|host| host.pid < 100, Path::new("/here/switchbox-data"))
    }

    #[test]
    fn what_is_said_counts_more_than_what_is_remembered() {
        let (a, b, ended) = (host("/a", 1, 10), host("/b", 2, 11), host("/old", 3, 500));
        let here = host("/here/switchbox-data", 4, 12);
        for (rule, admin, data, hosts, expect) in [
            ("nothing is known", None, None, vec![], target("/here/switchbox-data", 8080)),
            ("one runs", None, None, vec![a.clone(), ended.clone()], target("/a", 1)),
            ("none runs: the last one, to say where it was", None, None, vec![ended.clone()], target("/old", 3)),
            (
                "of several the one of this folder",
                None,
                None,
                vec![a.clone(), here, b.clone()],
                target("/here/switchbox-data", 4),
            ),
            ("a data folder is known", None, Some("/b"), vec![b.clone(), a.clone()], target("/b", 2)),
            ("a data folder is not known", None, Some("/c"), vec![a.clone()], target("/c", 8080)),
            (
                "an address is known",
                Some("http://127.0.0.1:1/"),
                None,
                vec![a.clone(), b],
                Target { admin: "http://127.0.0.1:1/".into(), data: "/a".into() },
            ),
            (
                "an address is not known: no other host's token",
                Some("http://192.0.2.1:1"),
                None,
                vec![a.clone()],
                Target { admin: "http://192.0.2.1:1".into(), data: "/here/switchbox-data".into() },
            ),
            (
                "both are said",
                Some("http://192.0.2.1:1"),
                Some("/c"),
                vec![a],
                Target { admin: "http://192.0.2.1:1".into(), data: "/c".into() },
            ),
        ] {
            assert_eq!(chosen(admin, data, &hosts).unwrap(), expect, "{rule}");
        }
    }

    #[test]
    fn a_simulated_device_finds_the_host_of_a_data_folder() {
        let other = Started { mqtt: "127.0.0.1:2883".parse().unwrap(), ..host("/b", 2, 11) };
        let hosts = [other, host("/a", 1, 10)];
        assert_eq!(mqtt_of(Path::new("/b"), &hosts).port(), 2883);
        assert_eq!(mqtt_of(Path::new("/c"), &hosts), DEFAULT_MQTT);
    }

    #[test]
    fn where_several_run_the_caller_is_asked_which_is_meant() {
        let error = chosen(None, None, &[host("/a", 1, 10), host("/b", 2, 11)]).unwrap_err().to_string();
        for part in ["2 hosts run", "SWITCHBOX_DATA", "--data /a   (http://127.0.0.1:1)", "--data /b"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }

    #[test]
    fn hosts_are_remembered_once_each_and_for_their_user_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("switchbox");
        remember_in(&folder, host("/a", 1, 10)).unwrap();
        remember_in(&folder, host("/b", 2, 11)).unwrap();
        remember_in(&folder, host("/a", 3, 12)).unwrap();
        assert_eq!(read(&folder), [host("/b", 2, 11), host("/a", 3, 12)]);
        (0..40).for_each(|n| remember_in(&folder, host(&format!("/{n}"), n, 10)).unwrap());
        assert_eq!(read(&folder).len(), REMEMBERED);
        let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
        assert_eq!((mode(&folder) & 0o777, mode(&folder.join(FILE)) & 0o777), (0o700, 0o600));
        fs::write(folder.join(FILE), "[{").unwrap();
        assert_eq!(read(&folder), [], "what cannot be read counts as nothing");
    }

    #[test]
    fn a_host_that_listens_everywhere_is_reached_on_this_machine() {
        for (listens, expect) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(local(listens.parse().unwrap()).to_string(), expect);
        }
    }
}
