//! One batch after the other: what shares a commit, when callbacks run, and what a disk that fails leaves.

use std::sync::mpsc;

use super::*;
use crate::Reply;

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
        materialiser_thread: std::thread::current(),
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
    (1..ENTRIES_MIN).for_each(|_| append_queue.push_unawaited(Entry::Barrier));
    let (published, event) = (Entry::Broker(Vec::new()), Entry::of_events(Vec::new()));
    append_queue.append(Some(published.clone()), event.clone(), true, None, OnCommit::Nothing);
    let mut items = Vec::new();
    assert!(append_queue.take(&mut items));
    assert_eq!(items.len(), ENTRIES_MIN, "they are one item, which is in one batch");
    let mut batch = CommitBatch::default();
    batch.add(items.drain(..));
    let last: Vec<_> = batch.entries.into_iter().skip(ENTRIES_MIN - 1).map(|pending| pending.entry).collect();
    assert_eq!(last, [published, event]);
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
        Item::Entry { first: None, entry: Entry::Barrier, sync: true, on_commit, permit: None },
        Item::Flush { done: settle, low_water: Some(Seq(7)) },
    ]);
    // More is expected than ever comes: a plugin is handling an event.
    append_queue.wake(8);
    writer(journal, append_queue, Nothing, materialiser).run();
    assert!(receiver.recv().unwrap().is_err());
    assert!(settled.try_recv().is_err(), "it was said to be settled");
    assert!(work.recv().is_err(), "documents or a low water were written");
}
