//! The attacked host: its setup, and the attackers' credentials.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command, sync::Mutex};

use serde_json::json;
use switchbox_auth::signing::SigningKey;

use super::wire::{Conn, Login};
use crate::{Admin, HostFolder, Process, now, private_key, until};

/// A public key whose private half is unknown.
pub(super) const RSA_PUBLIC: &str = include_str!("rsa.public.pem");

/// What the uploaded files of one device may have, MiB.
pub(super) const FILES_MIB: u64 = 16;

/// The attacked host, and the attackers' own device and account.
#[derive(Debug)]
pub struct Target {
    pub mqtt: SocketAddr,
    pub mqtts: SocketAddr,
    pub ws: SocketAddr,
    /// Host and port of the admin API.
    pub admin: SocketAddr,
    /// The event endpoint, without TLS.
    pub(super) amqp: SocketAddr,
    /// The key of the hub's policy `service`.
    pub(super) hub_key: String,
    /// The hub's service side, and the key of the policy by which a device gets in there.
    pub(super) https: SocketAddr,
    pub(super) device_policy_key: String,
    pub pid: u32,
    pub plugins: PathBuf,
    pub log: PathBuf,
    pub(super) data: PathBuf,
    /// The file of the host's test clock.
    pub(super) clock: PathBuf,
    /// The `switchbox` command for the host, without arguments.
    pub(super) program: Mutex<Command>,
    pub(super) api: Admin,
    pub(super) admin_token: String,
    pub(super) device_key: SigningKey,
    pub(super) device_token: String,
    pub(super) service_token: String,
    pub(super) other_service_token: String,
    pub(super) healthy_token: String,
    pub(super) gateway_token: String,
}

impl Target {
    /// Starts a host that requires credentials on every kind of listener, with a relay for the healthy device, and the attackers'
    /// own device and account.
    ///
    /// # Panics
    ///
    /// Panics if the host does not start.
    #[must_use]
    pub fn start(host_folder: &HostFolder, more: &[&str]) -> (Process, Self) {
        let certs = host_folder.root().join("certs");
        let certs = certs.to_str().expect("an odd temporary folder");
        let cert = ["cert", "server", "localhost", "127.0.0.1", "--folder", certs];
        assert!(Process::run(host_folder, cert.iter().map(AsRef::as_ref)).wait().success(), "no certificate");
        host_folder.plugin("relay.toml", "component = \"builtin:hop-relay\"\n[settings]\nsource = \"healthy\"\n");
        host_folder.plugin(
            "picky.toml",
            "component = \"builtin:switch-wakes-device\"\n[[trigger]]\nevent = \"telemetry\"\ndevice = \"mallory\"\n\
             subfolder = \"rejected\"\n[settings]\ntarget = \"oscar\"\n",
        );
        let (pem, key_pem) = (format!("{certs}/server.pem"), format!("{certs}/server.key.pem"));
        let (free, quota) = ("127.0.0.1:0", format!("{}MiB", FILES_MIB));
        let doors = [
            "--enroll",
            "closed",
            "--mqtt-tls",
            free,
            "--ws",
            free,
            "--azure-amqp",
            free,
            "--azure-https",
            free,
            "--files-device-bytes",
            &quota,
            "--tls-cert",
            &pem,
            "--tls-key",
            &key_pem,
        ];
        let host = host_folder.start_with(&[&doors, more].concat());
        for id in ["healthy", "mallory", "oscar"] {
            let _ = host.cli(host_folder, &["device", "create", id, "--new-key"]);
        }
        let _ = host.cli(host_folder, &["gateway", "make", "oscar", "--auth", "device-auth-token-only"]);
        fs::write(host_folder.root().join("rsa.pem"), RSA_PUBLIC).expect("no place for a key");
        let _ = host.cli(host_folder, &["device", "create", "confused", "--public-key", "rsa.pem"]);
        // The key file has the name of the account.
        let lists = ["--publish", "attack/#", "--subscribe", "attack/#"];
        for account in ["eve", "adam"] {
            let _ = host.cli(host_folder, &[&["service", "create", account, "--new-key"], &lists[..]].concat());
        }
        let target = Self::of(host_folder, &host);
        (host, target)
    }

    fn of(host_folder: &HostFolder, host: &Process) -> Self {
        let (device_key, until) = (private_key(host_folder, "mallory"), now() + 12 * 3_600);
        let sign = |key: &SigningKey, audience: &str| key.token(audience, now(), until).expect("no token");
        let admin_token = fs::read_to_string(host_folder.data().join("admin-token")).expect("no admin token");
        let key = |policy: &str| {
            let hub = host.cli(host_folder, &["hub", "connection-string", "--policy", policy]);
            let key = hub.split(';').find_map(|part| part.strip_prefix("SharedAccessKey="));
            key.expect("no key").trim().to_owned()
        };
        Self {
            amqp: host.azure_amqp(),
            hub_key: key("service"),
            https: host.azure_https(),
            device_policy_key: key("device"),
            mqtt: host.mqtt(),
            mqtts: host.mqtts(),
            ws: host.ws(),
            admin: host.admin().address().parse().expect("an odd address"),
            pid: host.pid(),
            plugins: host_folder.plugins(),
            log: host_folder.log(),
            data: host_folder.data(),
            clock: host_folder.clock(),
            program: Mutex::new(host.command(host_folder, &[])),
            api: host.admin(),
            admin_token: admin_token.trim().to_owned(),
            device_token: sign(&device_key, "local"),
            service_token: sign(&private_key(host_folder, "eve"), "serviceAccounts/eve"),
            other_service_token: sign(&private_key(host_folder, "adam"), "serviceAccounts/adam"),
            healthy_token: sign(&private_key(host_folder, "healthy"), "local"),
            gateway_token: sign(&private_key(host_folder, "oscar"), "local"),
            device_key,
        }
    }

    /// The resident size of the host, MiB.
    #[must_use]
    pub fn resident_mib(&self) -> u64 {
        resident_mib(self.pid)
    }

    /// Resets [`Target::peak_mib`].
    pub(super) fn reset_peak(&self) {
        // If the system forbids this, the peak is that since the host's start, which is stricter.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
    }

    /// The largest resident size of the host since the reset, MiB.
    pub(super) fn peak_mib(&self) -> u64 {
        memory_mib(self.pid, "VmHWM:")
    }

    /// How many events the plugin has had, counting each attempt. Returns `None` if there is no such plugin, or if the token has
    /// no calls left.
    pub(super) fn handled(&self, name: &str) -> Option<u64> {
        let answer = self.api.get(&format!("/v1/plugins/{name}"));
        let outcomes = ["done", "rejected", "failed", "retried", "dead"];
        let count = |outcome: &str| answer.body["counters"][outcome].as_u64().unwrap_or(0);
        (answer.status == 200).then(|| outcomes.into_iter().map(count).sum())
    }

    /// Another device, with its own token.
    #[must_use]
    pub fn new_client(&self, number: u32) -> Login {
        let id = format!("new-client-{number}");
        let pair = rcgen::KeyPair::generate().expect("no key");
        let credential = json!({"publicKey": {"format": "ES256_PEM", "key": pair.public_key_pem()}});
        let devices = Admin::device_path("", "");
        let _ = self.api.post(devices.trim_end_matches('/'), &json!({"id": id, "credentials": [credential]})).ok();
        let key = SigningKey::from_pem(pair.serialize_pem().as_bytes()).expect("no key");
        Login { version: 4, ..Login::with_password(&id, &crate::token(&key)) }
    }

    /// The attackers' own device.
    pub(super) fn mallory(&self) -> Login {
        Login { password: Some(self.device_token.clone()), ..Login::new("mallory") }
    }

    /// The attackers' own gateway.
    pub(super) fn oscar(&self) -> Login {
        Login { password: Some(self.gateway_token.clone()), ..Login::new("oscar") }
    }

    /// A client of the attackers' own account, which may use the topics below `attack/`.
    pub(super) fn eve(&self, id: &str) -> Login {
        let user = "serviceAccounts/eve".to_owned();
        Login { user, password: Some(self.service_token.clone()), ..Login::new(id) }
    }

    /// A client of another account, which may use the same topics.
    pub(super) fn adam(&self, id: &str) -> Login {
        let user = "serviceAccounts/adam".to_owned();
        Login { user, password: Some(self.other_service_token.clone()), ..Login::new(id) }
    }

    /// The plugin's description in the API. Returns `None` if there is none yet, or if the previous row has used up the token's
    /// calls.
    pub(super) fn plugin(&self, name: &str) -> Option<String> {
        let answer = self.api.get(&format!("/v1/plugins/{name}"));
        (![404, 429].contains(&answer.status)).then(|| answer.ok().to_string())
    }

    pub(super) fn connect_accepted(&self, login: &Login) -> Conn {
        until("to be accepted", || self.try_connect(login))
    }

    /// Returns `None` if the host sheds or refuses the connection.
    pub(super) fn try_connect(&self, login: &Login) -> Option<Conn> {
        let mut conn = Conn::open(self.mqtt)?;
        conn.send(&login.packet());
        conn.is_accepted().then_some(conn)
    }

    /// # Panics
    ///
    /// Panics if the client is accepted.
    pub(super) fn refuses(&self, login: &Login, why: &str) {
        let mut conn = Conn::open(self.mqtt).expect("no connection");
        conn.send(&login.packet());
        assert!(!conn.is_accepted(), "accepted {why}");
    }
}

/// The resident size of a process, MiB.
///
/// # Panics
///
/// Panics if there is no such process.
#[must_use]
pub fn resident_mib(pid: u32) -> u64 {
    memory_mib(pid, "VmRSS:")
}

fn memory_mib(pid: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the host is gone");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("the host is ending");
    line.trim().trim_end_matches(" kB").parse::<u64>().map_or(0, |kib| kib / 1024)
}
