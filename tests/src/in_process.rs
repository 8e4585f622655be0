//! A host in the process of the test, for tests that use its handles directly.

use std::{net::SocketAddr, path::PathBuf};

use switchbox::app::{Host, HostHandles};
use switchbox_settings::{Key, Settings};
use tokio::runtime::Runtime;

use crate::{Admin, Device, HostFolder, Journal, Session};

/// A host that runs in this process. Dropping it stops it.
pub struct InProcess {
    runtime: Runtime,
    host: Option<Host>,
    pub handles: HostHandles,
    pub mqtt: SocketAddr,
    admin: SocketAddr,
    data: PathBuf,
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("InProcess").field(&self.mqtt).finish()
    }
}

impl HostFolder {
    /// Starts a host in this process.
    #[must_use]
    pub fn start_in_process(&self) -> InProcess {
        InProcess::start(self)
    }
}

impl InProcess {
    fn start(host_folder: &HostFolder) -> Self {
        let runtime = Runtime::new().expect("no runtime");
        let free = || "127.0.0.1:0".to_owned();
        let settings = Settings::with(&[
            (Key::Data, host_folder.data().display().to_string()),
            (Key::PluginsFolder, host_folder.plugins().display().to_string()),
            (Key::MqttListen, free()),
            (Key::AdminListen, free()),
        ]);
        let settings = settings.expect("the settings are wrong");
        let host = runtime.block_on(Host::start(&settings)).expect("the host does not start");
        let (handles, mqtt, admin) = (host.handles.clone(), host.mqtt, host.admin);
        Self { handles, mqtt, admin, data: host_folder.data(), host: Some(host), runtime }
    }

    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(&format!("http://{}", self.admin), &self.data)
    }

    /// Runs a future to its end.
    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The contents of the journal.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.wait_for(Journal::read(&self.handles.store))
    }

    /// A device that is connected.
    #[must_use]
    pub fn device(&self, id: &str) -> Device {
        Device::connect(self.mqtt, Session::new(id))
    }

    fn end(&mut self) -> anyhow::Result<()> {
        self.host.take().map_or(Ok(()), |host| self.runtime.block_on(host.stop()))
    }

    /// # Panics
    ///
    /// Panics if it does not stop without an error.
    pub fn stop(mut self) {
        self.end().expect("the host does not stop well");
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        let ended = self.end();
        assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
    }
}
