//! The sandbox without a host: for replays and tests on a developer's machine and in CI.

use bytes::Bytes;

use switchbox_plugin_runtime::{Component, LoadError, Options, WasmEngine};

/// Instances at the same time. A recording has one for each worker of the plugin.
const INSTANCES: u32 = 512;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] switchbox_plugin_runtime::Error),
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// A sandbox for any number of components.
pub struct Sandbox(WasmEngine);

impl Sandbox {
    /// # Errors
    ///
    /// This machine cannot run components.
    pub fn new() -> Result<Self, Error> {
        Ok(Self(WasmEngine::new(Options { max_instances: INSTANCES, ..Options::default() })?))
    }

    /// Compiles a component with the limits of a host.
    ///
    /// # Errors
    ///
    /// A host would refuse the component.
    pub async fn load(&self, component: Bytes) -> Result<Component, Error> {
        Ok(Component::load(&self.0, component).await?)
    }
}

/// Compiles one component, in a sandbox of its own.
///
/// # Errors
///
/// A host would refuse the component.
pub async fn load(component: Bytes) -> Result<Component, Error> {
    Sandbox::new()?.load(component).await
}
