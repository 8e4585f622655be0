//! A config from its entry to its document, over a restart: written as an entry, made into a document after the acknowledgement, and
//! made again from the journal where that had not happened.

use std::sync::Arc;

use bytes::Bytes;

use crate::{ConfigReply, ConfigVersion, Doc, Machine, Options, Reply, open, schema};
use switchbox_model::{Cause, DeviceNum, Effect, Entry, Settlement};

const LAMP: DeviceNum = DeviceNum(7);

/// What the engine makes of configs and their acknowledgements, and no more.
#[derive(Default)]
struct Configs {
    version: u64,
}

impl Machine for Configs {
    fn apply(&mut self, entry: Entry, docs: &mut Vec<Doc>) -> Reply {
        match entry {
            Entry::Operator { time_ms, cause, effects } => {
                let mut replies = Vec::new();
                for effect in effects {
                    let Effect::Config { device, payload, .. } = effect else { continue };
                    self.version += 1;
                    let version = self.version;
                    replies.push(ConfigReply { version, unchanged: false });
                    let cause = cause.clone();
                    let config = ConfigVersion { device, version, time_ms, payload, cause, acknowledged_ms: None };
                    docs.push(Doc::Config(Arc::new(config)));
                }
                Reply::Configs(replies)
            }
            Entry::Settled(settlements) => {
                for settlement in settlements {
                    if let Settlement::ConfigAcknowledged { device, version, time_ms } = settlement {
                        docs.push(Doc::ConfigAcknowledged { device, version, time_ms });
                    }
                }
                Reply::Done
            }
            _ => Reply::Done,
        }
    }

    fn committed(&mut self) {}
}

fn cause() -> Cause {
    Cause::Api { caller: "operator".into() }
}

fn config(number: u64) -> Entry {
    let payload = Bytes::from(format!("config {number}"));
    Entry::Operator {
        time_ms: number,
        cause: cause(),
        effects: vec![Effect::Config { device: LAMP, payload, expected: None }],
    }
}

/// As [`config`] is to stand among the documents.
fn document(number: u64, acknowledged_ms: Option<u64>) -> ConfigVersion {
    let payload = Bytes::from(format!("config {number}"));
    ConfigVersion { device: LAMP, version: number, time_ms: number, payload, cause: cause(), acknowledged_ms }
}

#[tokio::test]
async fn a_config_is_a_document_after_a_restart_whether_or_not_it_was_one_before() {
    let data = tempfile::tempdir().unwrap();
    let mut opened = open(Options::new(data.path())).unwrap();
    assert!(opened.loaded.configs.is_empty());
    opened.replay(&mut Configs::default()).unwrap();
    let handle = opened.handle();
    let service = opened.start(Configs::default(), |_| {}).unwrap();
    for number in 1..=2 {
        let reply = handle.call(config(number)).await.unwrap();
        assert_eq!(reply, Reply::Configs(vec![ConfigReply { version: number, unchanged: false }]));
    }
    let acknowledged = Settlement::ConfigAcknowledged { device: LAMP, version: 1, time_ms: 99 };
    handle.call(Entry::Settled(vec![acknowledged])).await.unwrap();
    let expected = [document(2, None), document(1, Some(99))];
    assert_eq!(handle.configs(LAMP, 9).await.unwrap(), expected, "as documents, newest first");
    service.stop();

    // As a crash leaves it that came before the documents: they are made from the journal.
    let state = schema::open_writer(data.path()).unwrap();
    state.execute_batch("DELETE FROM config; UPDATE meta SET value = 0 WHERE key = 'applied'").unwrap();
    drop(state);
    for documents_are_there in [false, true] {
        let mut opened = open(Options::new(data.path())).unwrap();
        assert_eq!(opened.loaded.configs.is_empty(), !documents_are_there);
        opened.replay(&mut Configs::default()).unwrap();
        assert_eq!(opened.loaded.configs, [document(2, None)], "the newest of each device");
        let handle = opened.handle();
        let service = opened.start(Configs { version: 2 }, |_| {}).unwrap();
        assert_eq!(handle.configs(LAMP, 9).await.unwrap(), expected);
        service.stop();
    }
}
