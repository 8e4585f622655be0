//! What answers the host's calls: the imports of the component, or in native tests the fake.

#[cfg(target_family = "wasm")]
pub(crate) use crate::imports::Backend;
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::FakeHost as Backend;
