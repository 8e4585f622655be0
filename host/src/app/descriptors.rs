//! File descriptors: how many the process may have, and how many connections that allows. The store needs some at any moment, so
//! connections never get all of them.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use switchbox_model::limits;
use switchbox_settings::Settings;

/// For everything but connections and the journal: listeners, `state.db`, runtimes, files that are read now and then, calls over HTTP.
const RESERVED: u64 = 128;
/// A file of the journal, and the descriptors that each takes.
const JOURNAL_FILE_BYTES: u64 = 16 * 1024 * 1024;
const PER_JOURNAL_FILE: u64 = 2;
/// Files of the journal beyond those that are kept for looking back.
const JOURNAL_FILES: u64 = 8;
/// Fewer connections than this are of no use.
const LEAST: u64 = 64;

/// Connections at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connections {
    pub(super) mqtt: usize,
    pub(super) admin: usize,
}

/// Raises the limit as far as the process may, which children and `select` have no part in. Returns `None` if there is none.
pub(super) fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "the limit of open files was not raised");
        }
    }
    getrlimit(Resource::Nofile).current
}

/// How many connections are possible with this many descriptors.
pub(super) fn connections(settings: &Settings, descriptors: Option<u64>) -> anyhow::Result<Connections> {
    let requested = Connections { mqtt: settings.max_connections, admin: limits::ADMIN_CONNECTIONS };
    let Some(descriptors) = descriptors else { return Ok(requested) };
    let of_journal =
        (settings.journal_keep_bytes / JOURNAL_FILE_BYTES + JOURNAL_FILES).saturating_mul(PER_JOURNAL_FILE);
    let left = descriptors.saturating_sub(RESERVED).saturating_sub(of_journal);
    if left < LEAST {
        bail!(
            "the process may have {descriptors} files open (ulimit -n), and needs {} for a journal of {} bytes: raise the limit \
             (LimitNOFILE= in systemd), or lower journal.keep-bytes",
            RESERVED.saturating_add(of_journal).saturating_add(LEAST),
            settings.journal_keep_bytes
        );
    }
    let of_hubs = [
        settings.azure_https.map(|_| settings.azure_max_https_connections),
        settings.azure_amqps.or(settings.azure_amqp).map(|_| settings.azure_max_amqp_connections),
    ];
    let of_hubs: usize = of_hubs.into_iter().flatten().sum();
    let left = usize::try_from(left.saturating_sub(of_hubs as u64).max(LEAST)).unwrap_or(usize::MAX);
    let admin = requested.admin.min((left / 8).max(16));
    let given = Connections { mqtt: requested.mqtt.min(left - admin), admin };
    if given != requested {
        // No warning: most machines give fewer descriptors than the default asks for, and a house has fewer devices.
        tracing::info!(
            descriptors,
            mqtt = given.mqtt,
            admin = given.admin,
            "fewer connections than mqtt.max-connections are accepted, because the process may not open more files (ulimit -n)"
        );
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_settings::Key;

    #[test]
    fn connections_leave_descriptors_to_the_store() {
        let settings = Settings::with(&[]).unwrap();
        let requested = Connections { mqtt: 20_000, admin: 1_000 };
        assert_eq!(connections(&settings, None).unwrap(), requested);
        assert_eq!(connections(&settings, Some(1 << 20)).unwrap(), requested);
        let few = connections(&settings, Some(1_024)).unwrap();
        assert!((600..900).contains(&(few.mqtt + few.admin)) && few.admin > 64, "{few:?}");
        assert!(connections(&settings, Some(200)).unwrap_err().to_string().contains("ulimit -n"));
        let large = Settings::with(&[(Key::JournalKeepBytes, (20_u64 << 30).to_string())]).unwrap();
        assert!(connections(&large, Some(1_024)).unwrap_err().to_string().contains("journal.keep-bytes"));
    }
}
