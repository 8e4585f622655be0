//! A plugin that falls so far behind that its events no longer wait in memory reads them from the journal: it still gets
//! each of them once, and those of one device in order, while devices keep publishing.

use std::collections::HashMap;

use rumqttc::QoS;
use switchbox_tests::{COUNTER, HostFolder, LIMIT, events, until};

const DEVICES: usize = 8;
/// Together more than may wait in memory for one plugin.
const EACH: usize = 1_800;

#[test]
fn a_plugin_far_behind_gets_every_event_once_and_in_order() {
    let host_folder = HostFolder::new();
    let settings = |more: &str| format!("[limits]\ndeadline = \"30s\"\n[settings]\n{more}\n");
    host_folder.plugin("counter.wasm", std::fs::read(COUNTER).unwrap());
    // Every device's first event is tried again and again, so all that comes after it waits.
    host_folder.plugin("counter.toml", settings("retry = true"));
    let host = host_folder.start_in_process();
    for n in 0..DEVICES {
        drop(host.device(&format!("tally-source-{n}")));
    }
    std::thread::scope(|scope| {
        for n in 0..DEVICES {
            let host = &host;
            scope.spawn(move || {
                let mut device = host.device(&format!("source-{n}"));
                let topic = events(&device.id);
                for event in 0..EACH {
                    device.send(&topic, QoS::AtLeastOnce, event.to_string()).expect("the connection has ended");
                }
                device.try_wait(LIMIT, |seen| (seen.acknowledged.len() == EACH).then_some(())).expect("no PUBACKs");
            });
        }
        until("the plugin to fall behind", || {
            host.handles.plugins.list().iter().any(|p| p.lagging && p.queued > 0).then_some(())
        });
        host_folder.plugin("counter.toml", settings(""));
    });
    let journal = until("all events to be handled", || {
        let idle = host.handles.plugins.list().iter().all(|plugin| plugin.queued == 0 && !plugin.lagging);
        idle.then(|| host.journal()).filter(|journal| journal.executions.len() >= DEVICES * EACH)
    });
    host.stop();

    let device_of: HashMap<_, _> = journal.telemetry().map(|(event, _)| (event.seq, event.device)).collect();
    let mut handled: HashMap<_, Vec<_>> = HashMap::new();
    for execution in &journal.executions {
        handled.entry(device_of[&execution.seq]).or_default().push(execution.seq);
    }
    assert_eq!(handled.len(), DEVICES);
    for (device, seqs) in handled {
        assert_eq!(seqs.len(), EACH, "{device:?}");
        assert!(seqs.is_sorted_by(|a, b| a < b), "{device:?}: out of order, or twice");
    }
}
