//! Tests of moving to the background and back.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// Uses the processor for this many pieces in every 10 ms, and returns the class after this many periods.
fn class_after(
    cpu_budget: &CpuBudget,
    mut class: PriorityClass,
    from: Instant,
    times: u32,
    (count, piece): (u32, Duration),
) -> PriorityClass {
    for period in 0..times {
        let now = from + 10 * period * MS;
        (0..count).for_each(|_| cpu_budget.add_work(piece, now));
        class = cpu_budget.class(class, now);
    }
    class
}

#[test]
fn a_client_over_its_cpu_budget_goes_to_the_background() {
    for (count, piece_us, expected) in [
        (0, 0, PriorityClass::Foreground),
        (100, 40, PriorityClass::Foreground),
        (150, 40, PriorityClass::Background),
        (10, 160, PriorityClass::Foreground),
        (10, 200, PriorityClass::Background),
        (1, 1_000, PriorityClass::Foreground),
        (2, 1_000, PriorityClass::Background),
    ] {
        let created_at = Instant::now();
        let cpu_budget = CpuBudget::new(created_at);
        let began = created_at + Duration::from_secs(1);
        let class =
            class_after(&cpu_budget, PriorityClass::Foreground, began, 200, (count, Duration::from_micros(piece_us)));
        assert_eq!(class, expected, "{count} × {piece_us} µs in 10 ms");
    }
}

#[test]
fn a_client_that_fills_the_disk_goes_to_the_background() {
    for (bytes, expected) in [(300_000, PriorityClass::Foreground), (340_000, PriorityClass::Background)] {
        let created_at = Instant::now();
        let cpu_budget = CpuBudget::new(created_at);
        let began = created_at + Duration::from_secs(1);
        let mut class = PriorityClass::Foreground;
        for period in 0..200 {
            let now = began + 10 * period * MS;
            cpu_budget.add_written(bytes, now);
            class = cpu_budget.class(class, now);
        }
        assert_eq!(class, expected, "{bytes} bytes in 10 ms");
    }
}

#[test]
fn a_short_burst_changes_nothing() {
    let created_at = Instant::now();
    let cpu_budget = CpuBudget::new(created_at);
    let now = created_at + Duration::from_secs(1);
    (0..3).for_each(|_| cpu_budget.add_work(MAX_PIECE, now));
    assert_eq!(cpu_budget.class(PriorityClass::Foreground, now), PriorityClass::Foreground);
    cpu_budget.add_work(MAX_PIECE, now);
    assert_eq!(cpu_budget.class(PriorityClass::Foreground, now), PriorityClass::Background);
}

#[test]
fn a_budget_that_is_used_less_returns_to_the_foreground_soon() {
    let created_at = Instant::now();
    let cpu_budget = CpuBudget::new(created_at);
    assert_eq!(
        class_after(&cpu_budget, PriorityClass::Background, created_at, 1_000, (10, MS)),
        PriorityClass::Background
    );
    let ended = created_at + 10_000 * MS;
    assert_eq!(cpu_budget.class(PriorityClass::Background, ended), PriorityClass::Background);
    assert_eq!(cpu_budget.class(PriorityClass::Background, ended + MAX_DEBT), PriorityClass::Foreground);
}

#[test]
fn a_new_budget_begins_in_the_background() {
    let created_at = Instant::now();
    let cpu_budget = CpuBudget::new(created_at);
    assert_eq!(cpu_budget.class(PriorityClass::Background, created_at), PriorityClass::Background);
    assert_eq!(
        cpu_budget.class(PriorityClass::Background, created_at + PROCESSOR_BURST * PROCESSOR_SHARE),
        PriorityClass::Foreground
    );
}

#[test]
fn what_was_interrupted_counts_little() {
    let created_at = Instant::now();
    let (interrupted, long) = (CpuBudget::new(created_at), CpuBudget::new(created_at));
    let now = created_at + Duration::from_secs(1);
    interrupted.add_work(Duration::from_secs(1), now);
    long.add_work(MAX_PIECE, now);
    assert_eq!(interrupted.settled_ns.into_inner(), long.settled_ns.into_inner());
}

#[test]
fn connections_of_one_name_have_one_budget() {
    let budgets = CpuBudgets::default();
    let first = budgets.get_or_create("eve");
    assert!(Arc::ptr_eq(&first, &budgets.get_or_create("eve")));
    assert!(!Arc::ptr_eq(&first, &budgets.get_or_create("adam")));
    drop(first);
    assert_eq!(
        budgets.get_or_create("eve").class(PriorityClass::Background, Instant::now()),
        PriorityClass::Background
    );
    assert_eq!(budgets.0.lock().len(), 1, "the budgets of clients that left are removed");
}

#[tokio::test]
async fn the_work_of_a_future_counts() {
    let cpu_budget = Arc::new(CpuBudget::new(Instant::now()));
    let before = cpu_budget.settled_ns.load(Ordering::Relaxed);
    // Sleeps in place of work: foreground work is measured by the real clock.
    Metered::new(cpu_budget.clone(), PriorityClass::Foreground, async { std::thread::sleep(5 * MS) }).await;
    assert!(cpu_budget.settled_ns.load(Ordering::Relaxed) >= before + ns(MAX_PIECE * LONG_WEIGHT * PROCESSOR_SHARE));
}

#[test]
fn in_the_background_a_thread_that_is_interrupted_has_not_worked() {
    let clock = Clock::start(PriorityClass::Background, Instant::now());
    // Sleeps as a thread that is interrupted: that takes real time.
    std::thread::sleep(20 * MS);
    assert!(clock.elapsed(Instant::now()) < 20 * MS);
}
