//! A host with closed enrolment among hostile clients: whatever one does, the host lives, its memory stays bounded, and another
//! device is served meanwhile. How long that takes is measured by `examples/hostile.rs`, not asserted here.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use switchbox_tests::{
    HostFolder,
    hostile::{Attack, Healthy, Row, Target, rows},
    workspace,
};

/// The memory that the host may use after any attacks, MiB.
const MEMORY_MIB: u64 = 600;
/// Round trips of the other device under each attack.
const ROUND_TRIPS: usize = 5;

/// Returns `None` if all is well.
fn harm(target: &Arc<Target>, healthy: &mut Healthy, row: Row) -> Option<String> {
    let during = || {
        (0..ROUND_TRIPS).for_each(|_| {
            let _ = healthy.round_trip();
        });
        target.resident_mib()
    };
    let began = Instant::now();
    let attacked = catch_unwind(AssertUnwindSafe(|| Attack::run(target, row, during)));
    match attacked.map(|during_mib| during_mib.max(target.resident_mib())) {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Some(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
        }
        Ok(mib) if mib > MEMORY_MIB => Some(format!("the host has {mib} MiB")),
        Ok(mib) => {
            eprintln!("{}: {mib} MiB, {:.1?}", row.name, began.elapsed());
            None
        }
    }
}

#[test]
fn no_row_of_the_table_harms_the_host_or_another_device() {
    let host_folder = HostFolder::new();
    let (mut host, target) = Target::start(&host_folder, &[]);
    let target = Arc::new(target);
    let mut healthy = Healthy::connect(&target);
    healthy.round_trip();
    let row_name = std::env::var("HOSTILE_ROW").unwrap_or_default();
    let mut harmed = Vec::new();
    for row in rows().into_iter().filter(|row| row.name.contains(&row_name)) {
        if let Some(harm) = harm(&target, &mut healthy, row) {
            harmed.push(format!("{}: {harm}", row.name));
            healthy = Healthy::connect(&target);
        }
        assert!(host.try_wait().is_none(), "{} ended the host", row.name);
    }
    assert!(harmed.is_empty(), "{}", harmed.join("\n"));
    let _ = Healthy::reconnect(&target);
    let _ = Healthy::admin_answers(&target);
    host.stop();
}

#[test]
fn the_page_on_hostile_clients_lists_the_table() {
    let rows = rows();
    assert!(rows.len() >= 40, "{}", rows.len());
    let page = fs::read_to_string(workspace().join("docs/hostile-clients.md")).unwrap();
    let listed: Vec<_> = rows.iter().map(|row| format!("| {} | {} | {} |", row.name, row.does, row.asserts)).collect();
    let missing: Vec<_> = listed.iter().filter(|line| !page.contains(*line)).cloned().collect();
    assert!(missing.is_empty(), "not in docs/hostile-clients.md:\n{}", missing.join("\n"));
}
