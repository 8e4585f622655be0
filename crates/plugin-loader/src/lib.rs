//! Brings the plugins of the watched folder into force, each change in its turn, and keeps their versions, the windows of their guards and
//! their canaries for a restart. Does not run plugins itself: `dispatch` does.

mod folder;
mod loader;
mod texts;
mod windows;

pub use folder::{Service, start};
pub use loader::{AuthorOf, Loader, record_rolled_back};
pub use texts::{grant, trigger};
pub use windows::{canary_ended, run as store_changed_windows, store as store_windows};
