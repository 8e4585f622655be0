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
    for turn in 0..times {
        let now = from + 10 * turn * MS;
        (0..count).for_each(|_| cpu_budget.used(piece, now));
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
        let born = Instant::now();
        let cpu_budget = CpuBudget::new(born);
        let began = born + Duration::from_secs(1);
        let class =
            class_after(&cpu_budget, PriorityClass::Foreground, began, 200, (count, Duration::from_micros(piece_us)));
        assert_eq!(class, expected, "{count} × {piece_us} µs in 10 ms");
    }
}

#[test]
fn a_client_that_fills_the_disk_goes_to_the_background() {
    for (bytes, expected) in [(300_000, PriorityClass::Foreground), (340_000, PriorityClass::Background)] {
        let born = Instant::now();
        let cpu_budget = CpuBudget::new(born);
        let began = born + Duration::from_secs(1);
        let mut class = PriorityClass::Foreground;
        for turn in 0..200 {
            let now = began + 10 * turn * MS;
            cpu_budget.writes(bytes, now);
            class = cpu_budget.class(class, now);
        }
        assert_eq!(class, expected, "{bytes} bytes in 10 ms");
    }
}

#[test]
fn a_short_burst_changes_nothing() {
    let born = Instant::now();
    let cpu_budget = CpuBudget::new(born);
    let now = born + Duration::from_secs(1);
    (0..3).for_each(|_| cpu_budget.used(PIECE, now));
    assert_eq!(cpu_budget.class(PriorityClass::Foreground, now), PriorityClass::Foreground);
    cpu_budget.used(PIECE, now);
    assert_eq!(cpu_budget.class(PriorityClass::Foreground, now), PriorityClass::Background);
}

#[test]
fn a_budget_that_is_used_less_returns_to_the_foreground_soon() {
    let born = Instant::now();
    let cpu_budget = CpuBudget::new(born);
    assert_eq!(class_after(&cpu_budget, PriorityClass::Background, born, 1_000, (10, MS)), PriorityClass::Background);
    let ended = born + 10_000 * MS;
    assert_eq!(cpu_budget.class(PriorityClass::Background, ended), PriorityClass::Background);
    assert_eq!(cpu_budget.class(PriorityClass::Background, ended + DEBT), PriorityClass::Foreground);
}

#[test]
fn a_new_budget_begins_in_the_background() {
    let born = Instant::now();
    let cpu_budget = CpuBudget::new(born);
    assert_eq!(cpu_budget.class(PriorityClass::Background, born), PriorityClass::Background);
    assert_eq!(
        cpu_budget.class(PriorityClass::Background, born + PROCESSOR_BURST * PROCESSOR_SHARE),
        PriorityClass::Foreground
    );
}

#[test]
fn what_was_interrupted_counts_little() {
    let born = Instant::now();
    let (interrupted, long) = (CpuBudget::new(born), CpuBudget::new(born));
    let now = born + Duration::from_secs(1);
    interrupted.used(Duration::from_secs(1), now);
    long.used(PIECE, now);
    assert_eq!(interrupted.settled_ns.into_inner(), long.settled_ns.into_inner());
}

#[test]
fn connections_of_one_name_have_one_share() {
    let shares = CpuBudgets::default();
    let first = shares.of("eve");
    assert!(Arc::ptr_eq(&first, &shares.of("eve")));
    assert!(!Arc::ptr_eq(&first, &shares.of("adam")));
    drop(first);
    assert_eq!(shares.of("eve").class(PriorityClass::Background, Instant::now()), PriorityClass::Background);
    assert_eq!(shares.0.lock().len(), 1, "the shares of clients that left are removed");
}

#[tokio::test]
async fn the_work_of_a_future_counts() {
    let cpu_budget = Arc::new(CpuBudget::new(Instant::now()));
    let before = cpu_budget.settled_ns.load(Ordering::Relaxed);
    // Sleeps in place of work: foreground work is measured by the real clock.
    Metered::new(cpu_budget.clone(), PriorityClass::Foreground, async { std::thread::sleep(5 * MS) }).await;
    assert!(cpu_budget.settled_ns.load(Ordering::Relaxed) >= before + ns(PIECE * LONG_WEIGHT * PROCESSOR_SHARE));
}

#[test]
fn in_the_background_a_thread_that_is_interrupted_has_not_worked() {
    let clock = Clock::start(PriorityClass::Background, Instant::now());
    // Sleeps as a thread that is interrupted: that takes real time.
    std::thread::sleep(20 * MS);
    assert!(clock.elapsed(Instant::now()) < 20 * MS);
}
