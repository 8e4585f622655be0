//! Adjusts the expiry of stored messages after the wall clock was set: no message has more time left than its whole lifetime.

use rusqlite::{Transaction, params};

use super::{
    Error,
    columns::{for_each_row, from_blob, to_blob},
};
use switchbox_model::broker::StoredMessage;

/// `select` gives keys and messages, `update` takes a key and its message. Reads every message: they contain their expiry.
pub(super) fn clamp(tx: &Transaction<'_>, now_ms: u64, select: &str, update: &str) -> Result<(), Error> {
    let mut clamped = Vec::new();
    for_each_row(tx, select, |r| {
        let mut message: StoredMessage = from_blob(&r.get::<_, Vec<u8>>(1)?)?;
        if let Some(expiry) = message.expiry.clamped(now_ms) {
            message.expiry = expiry;
            clamped.push((r.get::<_, u64>(0)?, message));
        }
        Ok(())
    })?;
    let mut write = tx.prepare_cached(update)?;
    for (num, message) in clamped {
        write.execute(params![num, to_blob(&message)?])?;
    }
    Ok(())
}
