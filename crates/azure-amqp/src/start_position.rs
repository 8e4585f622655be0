//! The start position of a reader: an offset, a sequence number or a time in the selector, resolved to a place in the journal. An
//! event's number is its sequence number and its offset in every partition, so positions stay valid after a restart.

use crate::{
    journal_reads::JournalReads,
    selector::{Comparison, Term},
};
use switchbox_model::Seq;
use switchbox_store as store;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartPosition {
    Earliest,
    Latest,
    /// This event, or the first one after it.
    At(Seq),
    /// The first event at or after this time; milliseconds since the Unix epoch.
    Since(u64),
}

/// Splits off the comparisons that give the start position. The remaining comparisons select events.
pub(crate) fn split(terms: Vec<Term>) -> Result<(StartPosition, Vec<Term>), String> {
    let (mut start, mut rest) = (StartPosition::Earliest, Vec::new());
    for term in terms {
        let after = match term.comparison {
            Comparison::Greater => 1,
            Comparison::GreaterOrEqual => 0,
            _ => {
                rest.push(term);
                continue;
            }
        };
        let wrong = || format!("{} is not a position: {:?}", term.annotation, term.value);
        let number = || term.value.trim().parse::<i64>().map_err(|_| wrong());
        start = match (term.annotation.as_str(), term.value.as_str()) {
            ("x-opt-offset", "@latest") => StartPosition::Latest,
            ("x-opt-offset" | "x-opt-sequence-number", _) => match u64::try_from(number()?) {
                Ok(seq) => StartPosition::At(Seq(seq.saturating_add(after))),
                Err(_) => StartPosition::Earliest,
            },
            ("x-opt-enqueued-time" | "x-opt-enqueuedtimeutc", _) => {
                StartPosition::Since(u64::try_from(number()?).unwrap_or(0).saturating_add(after))
            }
            _ => {
                rest.push(term);
                continue;
            }
        };
    }
    Ok((start, rest))
}

impl StartPosition {
    /// The first event to read, and the journal row from which to look for it.
    pub(crate) async fn find(self, journal: &JournalReads) -> Result<(Seq, i64), store::Error> {
        let end = |(row, seq): (i64, Seq)| (Seq(seq.0 + 1), row + 1);
        match self {
            Self::Earliest => Ok((Seq(0), 0)),
            Self::Latest => Ok(end(journal.end())),
            Self::At(seq) => Ok(match journal.row_of(seq).await? {
                Some(row) => (seq, row),
                None => {
                    let (next, row) = end(journal.end());
                    (seq.max(next), row)
                }
            }),
            Self::Since(time_ms) => since(journal, time_ms).await,
        }
    }
}

/// Binary search by time. Events are in the order of their times unless the wall clock was set back; in that case the result is one
/// of the possible positions.
async fn since(journal: &JournalReads, time_ms: u64) -> Result<(Seq, i64), store::Error> {
    let (last_row, last) = journal.end();
    let (mut low, mut high) = (0, last.0 + 1);
    let mut row = 0;
    while low < high {
        let middle = low + (high - low) / 2;
        match first_event_from(journal, Seq(middle)).await? {
            Some((found_row, seq, at_ms)) if at_ms < time_ms => (low, row) = (seq.0.max(middle) + 1, found_row),
            _ => high = middle,
        }
    }
    Ok((Seq(low), if low > last.0 { last_row + 1 } else { row }))
}

/// The first event with this number or a higher one: its row, its number and its time.
async fn first_event_from(journal: &JournalReads, seq: Seq) -> Result<Option<(i64, Seq, u64)>, store::Error> {
    let Some(mut row) = journal.row_of(seq).await? else { return Ok(None) };
    loop {
        let page = journal.page(row, 1).await?;
        if page.rows.is_empty() {
            return Ok(None);
        }
        let events = page.rows.iter().flat_map(|row| row.entries.iter().map(move |entry| (row.row, entry)));
        let mut events = events.flat_map(|(row, entry)| entry.events().iter().map(move |event| (row, event)));
        if let Some((row, event)) = events.find(|(_, event)| event.seq >= seq) {
            return Ok(Some((row, event.seq, event.time_ms)));
        }
        row = page.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::parse;

    #[test]
    fn positions_are_those_of_event_hubs_sdks() {
        for (selector, start, left) in [
            ("", StartPosition::Earliest, 0),
            ("amqp.annotation.x-opt-offset > '-1'", StartPosition::Earliest, 0),
            ("amqp.annotation.x-opt-offset > '@latest'", StartPosition::Latest, 0),
            ("amqp.annotation.x-opt-offset > '41'", StartPosition::At(Seq(42)), 0),
            ("amqp.annotation.x-opt-sequence-number >= '42'", StartPosition::At(Seq(42)), 0),
            ("amqp.annotation.x-opt-enqueued-time > '1000'", StartPosition::Since(1_001), 0),
            (
                "amqp.annotation.x-opt-offset > '41' AND amqp.annotation.iothub-connection-device-id = 'a'",
                StartPosition::At(Seq(42)),
                1,
            ),
        ] {
            let (found, rest) = split(parse(selector).unwrap()).unwrap();
            assert_eq!((found, rest.len()), (start, left), "{selector}");
        }
        assert!(split(parse("amqp.annotation.x-opt-offset > 'soon'").unwrap()).is_err());
    }
}
