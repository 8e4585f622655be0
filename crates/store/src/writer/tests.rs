//! One batch after the other: what shares a commit, when callbacks run, and what a disk that fails leaves.

use std::sync::mpsc::{self, Receiver};

use super::*;
use crate::{Reply, append_queue::WRITTEN_HERE, permits::QueueShare};
use switchbox_model::{Event, EventData};

struct Nothing;

fn writer<M>(
    journal: Journal,
    append_queue: Arc<AppendQueue>,
    machine: M,
    materialiser: SyncSender<MaterialiserRequest>,
) -> Arc<Mutex<Writer<M>>> {
    Arc::new(Mutex::new(Writer {
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
        last_doc_count: 0,
        unsent: None,
        record: Vec::new(),
        failed: None,
        fatal: Box::new(|_| {}),
    }))
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
    append_queue.take(&mut items);
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
    let (calls, applied) = mpsc::sync_channel(8);
    let event = Event { seq: Seq(7), time_ms: 0, device: None, durable: true, data: EventData::Connected };
    let entries = [Entry::Broker(Vec::new()), Entry::of_events(vec![event]), Entry::Barrier];
    let [published, event, barrier] = entries.clone();
    let appended = append_queue.append(Some(published), event, true, None, OnCommit::Nothing);
    assert_eq!(appended, Some((Seq(7), QueuePosition(2))));
    append_queue.submit([(barrier, OnCommit::Nothing)], true, None);
    append_queue.close();
    let journal = Journal::open(folder.path()).unwrap();
    let files = journal.files().clone();
    Writer::run(&writer(journal, append_queue.clone(), Applied(calls), materialiser), &append_queue);
    assert_eq!(append_queue.progress.committed(), QueuePosition(3));
    assert_eq!(applied.iter().collect::<Vec<_>>(), entries);
    let mut written = Vec::new();
    let part = files.first(|place| place.row >= 1).unwrap();
    part.for_each_record(|_, end, body| {
        assert_eq!(end.last_seq, Seq(7));
        written.extend(record::decode(end.row, body)?);
        Ok(true)
    })
    .unwrap();
    assert_eq!(written, entries);
}

/// Notes in which order things happen.
struct Recording(mpsc::SyncSender<&'static str>);

impl Machine for Recording {
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
    let (calls, received) = mpsc::sync_channel(8);
    for _ in 0..2 {
        let calls = calls.clone();
        let done = OnCommit::Call(Box::new(move |_| calls.send("called back").unwrap()));
        append_queue.append(None, Entry::Barrier, true, None, done);
    }
    append_queue.close();
    let journal = Journal::open(folder.path()).unwrap();
    Writer::run(&writer(journal, append_queue.clone(), Recording(calls), materialiser), &append_queue);
    assert_eq!(received.iter().collect::<Vec<_>>(), ["applied", "applied", "called back", "called back", "committed"]);
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
    append_queue.wake(Seq(1), 8);
    Writer::run(&writer(journal, append_queue.clone(), Nothing, materialiser), &append_queue);
    assert!(receiver.recv().unwrap().is_err());
    assert!(settled.try_recv().is_err(), "it was said to be settled");
    assert!(work.recv().is_err(), "documents or a low water were written");
}

/// Makes one document of each entry. An entry `DeadLettersDropped` panics.
struct Documents;

impl Machine for Documents {
    fn apply(&mut self, entry: Entry, docs: &mut Vec<Doc>) -> Reply {
        assert!(!matches!(entry, Entry::DeadLettersDropped { .. }), "told to panic");
        docs.push(Doc::QueueLimit { commands: 1 });
        Reply::Done
    }

    fn committed(&mut self) {}
}

fn submit(append_queue: &AppendQueue, entry: Entry, sync: bool) {
    append_queue.submit([(entry, OnCommit::Nothing)], sync, None);
}

/// A writer without a thread, for submitters that find it idle.
fn idle<M: Machine>(
    machine: M,
    room: usize,
) -> (Arc<Mutex<Writer<M>>>, Arc<AppendQueue>, Receiver<MaterialiserRequest>) {
    let append_queue = Arc::new(AppendQueue::new(1024, 1));
    let (materialiser, work) = mpsc::sync_channel(room);
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    // A new file grows with its first record, which the writer's thread writes.
    let mut record = Vec::new();
    record::begin(&mut record);
    journal.append(&mut record, Seq(0), false).unwrap();
    let writer = writer(journal, append_queue.clone(), machine, materialiser);
    assert!(append_queue.idle_writer.set(Box::new(Arc::downgrade(&writer))).is_ok());
    (writer, append_queue, work)
}

#[test]
fn a_submitter_that_finds_the_writer_idle_writes_what_does_not_wait_for_the_disk() {
    let (_writer, append_queue, _work) = idle(Documents, 8);
    submit(&append_queue, Entry::Barrier, false);
    assert_eq!(append_queue.progress.committed(), QueuePosition(1), "it was left to the writer's thread");
    submit(&append_queue, Entry::Barrier, true);
    submit(&append_queue, Entry::Barrier, false);
    assert_eq!(append_queue.progress.committed(), QueuePosition(1), "a submitter waited for the disk");
    append_queue.take(&mut Vec::new());
    (0..=WRITTEN_HERE).for_each(|_| append_queue.submit_unawaited(Entry::Barrier));
    submit(&append_queue, Entry::Barrier, false);
    assert_eq!(append_queue.progress.committed(), QueuePosition(1), "a submitter did the work of many others");
}

/// Submits an entry whose caller waits for it, on a thread of a runtime. Returns whether it was written by then.
fn submit_awaited(append_queue: &AppendQueue) -> bool {
    let before = append_queue.progress.committed();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let permit = append_queue.permits.reserve(1, QueueShare::Whole).await.unwrap();
        append_queue.submit_awaited(Entry::Barrier, OnCommit::Nothing, permit);
    });
    append_queue.progress.committed() > before
}

#[test]
fn a_caller_that_waits_for_its_entry_writes_it_if_there_is_nothing_else_to_write() {
    let (writer, append_queue, _work) = idle(Documents, 8);
    assert!(submit_awaited(&append_queue), "it was left to the writer's thread");
    append_queue.submit_unawaited(Entry::Barrier);
    assert!(!submit_awaited(&append_queue), "something else is queued, so the writer's thread is about to write");
    append_queue.take(&mut Vec::new());
    append_queue.append(None, Entry::of_events(Vec::new()), true, None, OnCommit::Nothing);
    append_queue.take(&mut Vec::new());
    assert!(!submit_awaited(&append_queue), "events are being offered, whose commit is that of the writer's thread");
    append_queue.take(&mut Vec::new());
    append_queue.wake(Seq(1), 1);
    assert!(!submit_awaited(&append_queue), "a plugin is about to submit an entry for the same commit");
    append_queue.take(&mut Vec::new());
    append_queue.expected_arrived(1);
    let mut busy = writer.lock();
    assert!(!submit_awaited(&append_queue), "it waited for the writer");
    append_queue.take(&mut Vec::new());
    busy.commit_time = WAIT_HERE * 2;
    drop(busy);
    assert!(!submit_awaited(&append_queue), "it waited for a slow disk");
}

#[test]
fn a_submitter_does_not_wait_for_the_writer() {
    let (writer, append_queue, _work) = idle(Documents, 8);
    let busy = writer.lock();
    submit(&append_queue, Entry::Barrier, false);
    assert_eq!(append_queue.progress.committed(), QueuePosition(0));
    drop(busy);
    append_queue.close();
    Writer::run(&writer, &append_queue);
    assert_eq!(append_queue.progress.committed(), QueuePosition(1));
}

#[test]
fn documents_for_which_the_materialiser_has_no_room_reach_it_later_in_their_order() {
    let (writer, append_queue, work) = idle(Documents, 1);
    for _ in 0..4 {
        submit(&append_queue, Entry::Barrier, false);
    }
    assert_eq!(append_queue.progress.committed(), QueuePosition(2), "a submitter waited for the materialiser");
    append_queue.close();
    let rows = std::thread::spawn(move || {
        let row = |request| match request {
            MaterialiserRequest::Docs { row, docs } => (row, docs.len()),
            _ => unreachable!(),
        };
        work.iter().map(row).collect::<Vec<_>>()
    });
    Writer::run(&writer, &append_queue);
    drop(writer);
    assert_eq!(rows.join().unwrap(), [(2, 1), (3, 1), (4, 2)]);
}

#[test]
fn a_panic_while_a_submitter_writes_ends_the_store() {
    let (writer, append_queue, _work) = idle(Documents, 8);
    let (calls, received) = mpsc::sync_channel(1);
    writer.lock().fatal = Box::new(move |error| calls.send(error.to_string()).unwrap());
    submit(&append_queue, Entry::DeadLettersDropped { ids: Vec::new() }, false);
    assert!(received.recv().unwrap().contains("journal-writer"));
    assert_eq!(append_queue.append(None, Entry::Barrier, true, None, OnCommit::Nothing), None, "more is accepted");
}
