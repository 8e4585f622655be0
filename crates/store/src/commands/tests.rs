//! Tests of commands as rows: read in order and by due time, ended once, and deleted.

use super::*;
use crate::schema::open_writer;
use switchbox_model::Cause;

const LAMP: DeviceNum = DeviceNum(1);

fn doc(num: u64, expires_ms: Option<u64>) -> CommandDoc {
    CommandDoc {
        device: LAMP,
        num,
        id: format!("c{num}"),
        subfolder: String::new(),
        payload: Bytes::from(vec![0; 400 * 1024]),
        properties: Vec::new(),
        ttl_ms: 0,
        expires_ms,
        status_at_deadline: None,
        status: CommandStatus::Queued,
        created_ms: 1,
        sent_ms: None,
        settled_ms: None,
        cause: Cause::Api { caller: "test".into() },
    }
}

/// Writes in one transaction.
fn change(db: &mut Connection, write: impl FnOnce(&Transaction<'_>) -> Result<(), Error>) {
    let tx = db.transaction().unwrap();
    write(&tx).unwrap();
    tx.commit().unwrap();
}

fn db(folder: &tempfile::TempDir) -> Connection {
    open_writer(folder.path()).unwrap()
}

#[test]
fn the_first_final_status_is_the_only_one_and_every_time_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = db(&folder);
    change(&mut db, |tx| {
        write(tx, &doc(1, Some(99)))?;
        write_sent(tx, LAMP, 1, 5)?;
        write_sent(tx, LAMP, 1, 6)?;
        write_settled(tx, LAMP, 1, CommandStatus::Acknowledged, 7)?;
        write_settled(tx, LAMP, 1, CommandStatus::Expired, 8)?;
        write_sent(tx, LAMP, 1, 9)
    });
    let found = find(&db, Some(LAMP), "c1").unwrap().unwrap();
    assert_eq!(found.status, CommandStatus::Acknowledged);
    assert_eq!((found.created_ms, found.sent_ms, found.settled_ms), (1, Some(5), Some(7)));
}

#[test]
fn a_queue_is_read_in_order_and_no_more_of_it_than_fits() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = db(&folder);
    change(&mut db, |tx| (1..=9).try_for_each(|num| write(tx, &doc(num, Some(99)))));
    change(&mut db, |tx| write_settled(tx, LAMP, 2, CommandStatus::Purged, 8));
    let nums = |page: &CommandPage| page.commands.iter().map(|c| c.num).collect::<Vec<_>>();
    let page = queued(&db, LAMP, 0, 2).unwrap();
    assert_eq!((nums(&page), page.last), (vec![1, 3], false), "so many");
    let page = queued(&db, LAMP, 3, 100).unwrap();
    assert_eq!((nums(&page), page.last), (vec![4, 5, 6], false), "so many bytes");
    let page = queued(&db, LAMP, 8, 100).unwrap();
    assert_eq!((nums(&page), page.last, page.in_doubt), (vec![9], true, 0), "the end");
}

#[test]
fn what_is_due_is_found_and_what_is_only_for_now_when_its_host_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = db(&folder);
    change(&mut db, |tx| {
        [(1, Some(50)), (2, Some(20)), (3, None), (4, Some(30))]
            .into_iter()
            .try_for_each(|(num, expires)| write(tx, &doc(num, expires)))
    });
    let nums = |due: Vec<DueCommand>| due.into_iter().map(|c| c.num).collect::<Vec<_>>();
    assert_eq!(next_due(&db).unwrap(), Some(20));
    assert_eq!(nums(due(&db, 30, false, 9).unwrap()), [2, 4]);
    let mut left = nums(due(&db, 30, true, 9).unwrap());
    left.sort_unstable();
    assert_eq!(left, [2, 3, 4]);
    change(&mut db, |tx| write_settled(tx, LAMP, 2, CommandStatus::Expired, 30));
    assert_eq!(next_due(&db).unwrap(), Some(30));
}

#[test]
fn what_has_ended_is_kept_for_a_while_and_what_is_open_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = db(&folder);
    let kept = u64::try_from(COMMANDS_KEPT).unwrap();
    let small = |num| CommandDoc { payload: Bytes::new(), ..doc(num, Some(99)) };
    change(&mut db, |tx| {
        (1..=kept + 5).try_for_each(|num| write(tx, &small(num)))?;
        (2..=kept + 5).try_for_each(|num| write_settled(tx, LAMP, num, CommandStatus::Purged, 8))?;
        forget_old(tx, LAMP)
    });
    let filter = CommandFilter { before: None, status: None, limit: 1_000 };
    let found: Vec<_> = list(&db, LAMP, &filter).unwrap().into_iter().map(|c| c.num).collect();
    assert_eq!(found.len(), COMMANDS_KEPT + 1);
    assert_eq!((found.first(), found.last()), (Some(&(kept + 5)), Some(&1)));
    let mut loaded = Loaded::default();
    load(&db, &mut loaded).unwrap();
    let open = loaded.commands.get(&LAMP).unwrap();
    assert_eq!((open.len(), open.last()), (1, kept + 5), "the next one gets a new number");
}
