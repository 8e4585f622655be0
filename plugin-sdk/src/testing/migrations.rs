//! Migrations of the plugin's state on the fake host: all of their writes are there afterwards, or none.

use super::{Harness, staged::Staged};
use crate::{Host, Migration, component};

impl<P: Migration> Harness<P> {
    /// Brings the state from this older schema to the plugin's own. The error is the one that an operator would see.
    pub fn migrate_up(&mut self, from: u32) -> Result<(), String> {
        self.migrate(|host| component::migrate_up::<P>(from, host))
    }

    /// Brings the state from the plugin's own schema to this older one. A host asks for no schema that the plugin does not go down to.
    pub fn migrate_down(&mut self, to: u32) -> Result<(), String> {
        let schemas = P::schemas().into_wit();
        if to < schemas.oldest_down {
            return Err(format!("the plugin goes down to {} and no further: {}", schemas.oldest_down, schemas.why));
        }
        self.migrate(|host| component::migrate_down::<P>(to, host))
    }

    fn migrate(&mut self, run: impl FnOnce(&Host) -> Result<(), String>) -> Result<(), String> {
        self.host.world().staged = Staged { migrates: true, ..Staged::default() };
        let migrated = run(&Host::fake(self.host.clone()));
        let mut world = self.host.world();
        world.keep_output();
        match migrated {
            Ok(()) => world.commit(),
            Err(_) => world.staged = Staged::default(),
        }
        migrated
    }
}
