//! Checks a whole store that no host uses, and reports its content and its faults. It changes nothing.

use std::path::Path;

use super::{Error, backup::refuse_partial, decide, lock::Lock, schema};
use switchbox_journal::{FOLDER, inspect, segment::Segment};

/// The result of a check.
#[derive(Debug)]
pub struct Checked {
    /// The content of each file.
    pub lines: Vec<String>,
    /// The problems; empty if a host can start on the store.
    pub problems: Vec<String>,
}

/// Whether the folder contains at least a part of a store.
#[must_use]
pub fn is_data_folder(path: &Path) -> bool {
    path.join(FOLDER).is_dir() || schema::path(path).exists()
}

/// Checks the whole store in the folder, which no host may be using. Changes nothing.
pub fn check(data: &Path) -> Result<Checked, Error> {
    let _lock = Lock::take(data)?;
    refuse_partial(data)?;
    let mut checked = Checked { lines: Vec::new(), problems: Vec::new() };
    let inspection = inspect::inspect(&data.join(FOLDER))?;
    checked.lines.extend(inspection.segments.iter().map(describe));
    if let Some(path) = &inspection.unbegun {
        checked.lines.push(format!("{}: just begun, without a row", path.display()));
    }
    if let Some(torn) = &inspection.torn {
        checked.lines.push(format!(
            "{}: {} bytes from byte {} on are of a write that never ended; the next start cuts them off and keeps them aside",
            torn.path.display(),
            torn.bytes,
            torn.offset
        ));
    }
    for (path, run) in inspection.damage.iter().flat_map(|damage| &damage.after) {
        let rows = format!("rows {} to {}", run.first_row, run.last_row);
        checked.lines.push(format!(
            "{}: {rows} are whole after the damage, bytes {} to {}",
            path.display(),
            run.from,
            run.until
        ));
    }
    match schema::integrity(data) {
        Ok(None) => checked.lines.push(format!("{}: there is none yet", schema::path(data).display())),
        Ok(Some(problems)) if problems.is_empty() => {
            checked.lines.push(format!("{}: whole", schema::path(data).display()))
        }
        Ok(Some(problems)) => {
            let name = schema::path(data).display().to_string();
            checked.problems.extend(problems.into_iter().map(|problem| format!("{name}: {problem}")));
        }
        // It is not damaged: the version that wrote it reads it.
        Err(error @ Error::OtherVersion { .. }) => return Err(error),
        Err(error) => checked.problems.push(error.to_string()),
    }
    if let Err(error) = decide::decide(data) {
        checked.problems.push(error.to_string());
    }
    Ok(checked)
}

fn describe(segment: &Segment) -> String {
    let (start, end) = (segment.start(), segment.end());
    let path = segment.path().display();
    if start.row == end.row {
        return format!("{path}: without a row");
    }
    format!(
        "{path}: rows {} to {}, events {} to {}, {} bytes",
        start.row + 1,
        end.row,
        start.last_seq.0 + 1,
        end.last_seq,
        segment.used()
    )
}
