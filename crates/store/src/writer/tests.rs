//! One batch after the other: what shares a commit, when callbacks run, and what a disk that fails leaves.

use std::sync::mpsc;

use super::*;
use crate::Reply;
use switchbox_model::{Event, EventData};

struct Nothing;

fn writer<M>(
    journal: Journal,
    append_queue: Arc<AppendQueue>,
    machine: M,
    materialiser: SyncSender<MaterialiserRequest>,
) -> Writer<M> {
    Writer {
        journal,
        end: JournalPosition::default(),
        append_queue,
        position: QueuePosition::default(),
        machine,
        materialiser,
        commit_time: Duration::ZERO,
        disk_time: Duration::ZERO,
        commit_histogram: Histogram::default(),
        docs_before: 0,
        failed: None,
        fatal: Box::new(|_| {}),
    }
}

impl Machine for Nothing {
    fn apply(&mut self, _: Entry, _: &mut Vec<Doc>) -> Reply {
        Reply::Done
    }

    fn committed(&mut self) {}
}

#[test]
fn what_goes_before_an_entry_is_in_the_same_commit_however_many_entries_wait() {
    let append_queue = AppendQueue::new(1024, 1);
    (1..ENTRIES_MIN).for_each(|_| append_queue.submit_unawaited(Entry::Barrier));
    let (published, event) = (Entry::Broker(Vec::new()), Entry::of_events(Vec::new()));
    append_queue.append(Some(published.clone()), event.clone(), true, None, OnCommit::Nothing);
    let mut items = Vec::new();
    assert!(append_queue.take(&mut items));
    assert_eq!(items.len(), ENTRIES_MIN, "they are one item, which is in one batch");
    let mut batch = CommitBatch::default();
    batch.add(items.drain(..));
    let last = batch.entries.pop().unwrap();
    assert_eq!((last.first, last.entry), (Some(Box::new(published)), event));
}

/// Notes what is applied.
struct Applied(mpsc::SyncSender<Entry>);

impl Machine for Applied {
    fn apply(&mut self, entry: Entry, _: &mut Vec<Doc>) -> Reply {
        self.0.send(entry).unwrap();
        Reply::Done
    }

    fn committed(&mut self) {}
}

#[test]
fn what_goes_before_an_entry_is_written_and_applied_before_it_and_has_its_own_position() {
    let append_queue = Arc::new(AppendQueue::new(1024, 7));
    let (materialiser, _work) = mpsc::sync_channel(8);
    let folder = tempfile::tempdir().unwrap();
    let (note, applied) = mpsc::sync_channel(8);
    let event = Event { seq: Seq(7), time_ms: 0, device: None, durable: true, data: EventData::Connected };
    let entries = [Entry::Broker(Vec::new()), Entry::of_events(vec![event]), Entry::Barrier];
    let [published, event, barrier] = entries.clone();
    let appended = append_queue.append(Some(published), event, true, None, OnCommit::Nothing);
    assert_eq!(appended, Some((Seq(7), QueuePosition(2))));
    append_queue.submit([(barrier, OnCommit::Nothing)], true, None);
    append_queue.close();
    let journal = Journal::open(folder.path()).unwrap();
    let files = journal.files().clone();
    writer(journal, append_queue.clone(), Applied(note), materialiser).run();
    assert_eq!(append_queue.progress.committed(), QueuePosition(3));
    assert_eq!(applied.iter().collect::<Vec<_>>(), entries);
    let mut written = Vec::new();
    let part = files.first(|place| place.row >= 1).unwrap();
    part.each(|_, end, body| {
        assert_eq!(end.last_seq, Seq(7));
        written.extend(record::decode(end.row, body)?);
        Ok(true)
    })
    .unwrap();
    assert_eq!(written, entries);
}

/// Notes in which order things happen.
struct Noting(mpsc::SyncSender<&'static str>);

impl Machine for Noting {
    fn apply(&mut self, _: Entry, _: &mut Vec<Doc>) -> Reply {
        self.0.send("applied").unwrap();
        Reply::Done
    }

    fn committed(&mut self) {
        self.0.send("committed").unwrap();
    }
}

#[test]
fn callbacks_run_after_all_of_a_commit_is_applied() {
    let append_queue = Arc::new(AppendQueue::new(1024, 1));
    let (materialiser, _work) = mpsc::sync_channel(8);
    let folder = tempfile::tempdir().unwrap();
    let (note, noted) = mpsc::sync_channel(8);
    for _ in 0..2 {
        let note = note.clone();
        let done = OnCommit::Call(Box::new(move |_| note.send("called back").unwrap()));
        append_queue.append(None, Entry::Barrier, true, None, done);
    }
    append_queue.close();
    writer(Journal::open(folder.path()).unwrap(), append_queue, Noting(note), materialiser).run();
    assert_eq!(noted.iter().collect::<Vec<_>>(), ["applied", "applied", "called back", "called back", "committed"]);
}

#[test]
fn after_a_write_that_failed_nothing_is_acknowledged_or_settled() {
    let append_queue = Arc::new(AppendQueue::new(1024, 1));
    let (materialiser, work) = mpsc::sync_channel(8);
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.break_disk();
    let (sender, receiver) = mpsc::sync_channel(1);
    let (settle, mut settled) = tokio::sync::oneshot::channel();
    let on_commit = OnCommit::Call(Box::new(move |result| sender.send(result).unwrap()));
    append_queue.push([
        Item::Entry(QueuedEntry { first: None, entry: Entry::Barrier, sync: true, on_commit, permit: None }),
        Item::Flush { done: settle, low_water: Some(Seq(7)) },
    ]);
    // More is expected than ever comes: a plugin is handling an event.
    append_queue.wake(8);
    writer(journal, append_queue, Nothing, materialiser).run();
    assert!(receiver.recv().unwrap().is_err());
    assert!(settled.try_recv().is_err(), "it was said to be settled");
    assert!(work.recv().is_err(), "documents or a low water were written");
}
