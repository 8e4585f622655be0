//! Which client may publish and subscribe to which ordinary topic. Pure. Topics under `/devices/` are not decided here: each
//! belongs to its device, and the dialect knows which one.

use std::sync::Arc;

use switchbox_model::{
    registry::ServiceSpec,
    topic::{covers, is_shared, overlap},
};

/// The topics on which the host reports what happens to devices. Clients cannot publish there, and only those with permission can
/// subscribe.
pub const WATCH: &str = "registries/";

/// The host's statistics, except [`BRIDGES`].
const STATISTICS: &str = "$SYS/";
/// Where bridges say whether they are connected.
const BRIDGES: &str = "$SYS/broker/connection/";

const OWN: &str = "a device may use its own topics under /devices/ only";
const NOT_GIVEN: &str = "the service account's list does not have this topic";
const RESERVED: &str = "only the host publishes under registries/";
const OF_STATISTICS: &str = "only the host publishes under $SYS/, except $SYS/broker/connection/";
const READING: &str = "only service accounts that were given them may read the statistics under $SYS/";
const WATCHING: &str = "only service accounts that were given it may watch registries/";

/// What a client wants to do with a topic or a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Publish,
    Subscribe,
}

/// The ordinary topics that a client may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// The client may use all topics: enrolment is open, on a loopback address.
    Open,
    /// A device may use its own topics under `/devices/` only.
    Own,
    /// A service account may use the topics of its lists.
    Service(Arc<ServiceSpec>),
}

/// The reason of a refusal, for the client and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Denied(&'static str);

impl Denied {
    /// The text is the same for every topic.
    #[must_use]
    pub fn text(self) -> &'static str {
        self.0
    }
}

/// Whether a client with this access may publish to this topic, or subscribe with this filter (of a shared subscription
/// the part that is matched).
pub fn may(access: &Access, action: Action, topic: &str) -> Result<(), Denied> {
    let watch = topic.starts_with(WATCH);
    if watch && action == Action::Publish {
        return Err(Denied(RESERVED));
    }
    let statistics = topic.starts_with(STATISTICS) && !topic.starts_with(BRIDGES);
    if statistics && action == Action::Publish {
        return Err(Denied(OF_STATISTICS));
    }
    match access {
        Access::Open if watch => Err(Denied(WATCHING)),
        Access::Open if statistics => Err(Denied(READING)),
        Access::Open => Ok(()),
        Access::Own => Err(Denied(OWN)),
        Access::Service(spec) => {
            let list = match action {
                Action::Publish => &spec.publish,
                Action::Subscribe => &spec.subscribe,
            };
            // Watching is given by name, not by a wildcard that is meant for other topics.
            let given = list.iter().any(|given| given.starts_with(WATCH) == watch && covers(given, topic));
            if given { Ok(()) } else { Err(Denied(NOT_GIVEN)) }
        }
    }
}

/// Why an entry of a service account's list can never allow anything. `None` if it can.
#[must_use]
pub fn useless(action: Action, filter: &str) -> Option<&'static str> {
    if is_shared(filter) {
        return Some(
            "write the filter without $share/GROUP/: a shared subscription is allowed by the filter that it shares",
        );
    }
    if filter.starts_with("/devices/") {
        return Some(match action {
            Action::Publish => "topics under /devices/ belong to their devices; send to a device over the admin API",
            Action::Subscribe => {
                "topics under /devices/ belong to their devices; what happens to them is under registries/{r}/devices/{d}/"
            }
        });
    }
    let bridges = || overlap(filter, "$SYS/broker/connection/#");
    match action {
        Action::Publish if filter.starts_with(STATISTICS) && !bridges() => Some(OF_STATISTICS),
        _ if !filter.starts_with(WATCH) => None,
        Action::Publish => Some(RESERVED),
        Action::Subscribe if may_be_watched(filter) => None,
        Action::Subscribe => Some(
            "nothing is published there; there are registries/{r}/devices/{d}/ and events/#, state, config, commands/#, lifecycle",
        ),
    }
}

/// The filter matches a topic that the host shows something under.
fn may_be_watched(filter: &str) -> bool {
    let shown = [
        "registries/+/devices/+/events/#",
        "registries/+/devices/+/state",
        "registries/+/devices/+/config",
        "registries/+/devices/+/commands/#",
        "registries/+/devices/+/lifecycle",
    ];
    shown.iter().any(|shown| overlap(shown, filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_can_never_allow_anything_is_reported_with_the_reason() {
        use Action::{Publish, Subscribe};
        for (action, filter, part) in [
            (Publish, "alerts/#", None),
            (Publish, "#", None),
            (Publish, "+/devices/x", None),
            (Publish, "/devices/lamp-1/commands", Some("belong to their devices; send")),
            (Publish, "/devices/#", Some("belong to their devices")),
            (Publish, "registries/default/devices/x/events", Some("only the host publishes")),
            (Publish, "$share/g/alerts", Some("without $share/GROUP/")),
            (Subscribe, "/devices/+/events/#", Some("is under registries/{r}/devices/{d}/")),
            (Subscribe, "$share/g/alerts/#", Some("without $share/GROUP/")),
            (Publish, "$SYS/broker/uptime", Some("only the host publishes")),
            (Publish, "$SYS/#", None),
            (Publish, "$SYS/broker/connection/hub/state", None),
            (Subscribe, "$SYS/broker/uptime", None),
            (Subscribe, "#", None),
            (Subscribe, "registries/#", None),
            (Subscribe, "registries/default/devices/+/#", None),
            (Subscribe, "registries/default/devices/lamp-1/events/a/b", None),
            (Subscribe, "registries/default/devices/lamp-1/events", None),
            (Subscribe, "registries/+/+/+/state", None),
            (Subscribe, "registries/default/lamp-1/events", Some("nothing is published there")),
            (Subscribe, "registries/default/devices/lamp-1/telemetry", Some("nothing is published there")),
            (Subscribe, "registries/default/devices/lamp-1/state/x", Some("nothing is published there")),
            (Subscribe, "registries/default", Some("nothing is published there")),
        ] {
            let found = useless(action, filter);
            assert_eq!(found.is_some(), part.is_some(), "{action:?} {filter}: {found:?}");
            assert!(part.is_none_or(|part| found.unwrap().contains(part)), "{action:?} {filter}: {found:?}");
        }
    }

    #[test]
    fn what_a_client_may() {
        use Action::{Publish, Subscribe};
        let list = |filters: &[&str]| filters.iter().map(|filter| (*filter).to_owned()).collect();
        let service = |publish: &[&str], subscribe: &[&str]| {
            Access::Service(Arc::new(ServiceSpec {
                publish: list(publish),
                subscribe: list(subscribe),
                ..ServiceSpec::default()
            }))
        };
        let watcher = service(&["alerts/#"], &["registries/default/devices/+/events/#", "alerts/+"]);
        let all = service(&["#"], &["#"]);
        for (access, action, topic, expect) in [
            (&Access::Open, Publish, "a", true),
            (&Access::Open, Subscribe, "#", true),
            (&Access::Open, Publish, "registries/default/devices/x/events", false),
            (&Access::Open, Subscribe, "registries/#", false),
            (&Access::Open, Subscribe, "$SYS/#", false),
            (&Access::Open, Publish, "$SYS/broker/uptime", false),
            (&Access::Open, Subscribe, "$SYS/broker/connection/#", true),
            (&Access::Open, Publish, "$SYS/broker/connection/hub/state", true),
            (&Access::Own, Subscribe, "$SYS/#", false),
            (&service(&["$SYS/#"], &["$SYS/#"]), Subscribe, "$SYS/broker/load/#", true),
            (&service(&["$SYS/#"], &["$SYS/#"]), Publish, "$SYS/broker/uptime", false),
            (&service(&["$SYS/#"], &["$SYS/#"]), Publish, "$SYS/broker/connection/hub/state", true),
            (&all, Subscribe, "$SYS/#", false),
            (&Access::Own, Publish, "a", false),
            (&Access::Own, Subscribe, "#", false),
            (&Access::Own, Subscribe, "registries/default/devices/x/events", false),
            (&watcher, Publish, "alerts/fire", true),
            (&watcher, Publish, "other", false),
            (&watcher, Subscribe, "alerts/+", true),
            (&watcher, Subscribe, "alerts/#", false),
            (&watcher, Subscribe, "#", false),
            (&watcher, Subscribe, "registries/default/devices/+/events/#", true),
            (&watcher, Subscribe, "registries/default/devices/lamp-1/events/a", true),
            (&watcher, Subscribe, "registries/default/devices/lamp-1/state", false),
            (&watcher, Subscribe, "registries/hall/devices/lamp-1/events", false),
            (&all, Publish, "a", true),
            (&all, Publish, "registries/default/devices/x/events", false),
            (&all, Subscribe, "registries/#", false),
            (&all, Subscribe, "#", true),
            (&service(&["registries/#"], &["registries/#"]), Publish, "registries/a", false),
            (&service(&[], &["registries/#"]), Subscribe, "registries/#", true),
        ] {
            assert_eq!(may(access, action, topic).is_ok(), expect, "{access:?} {action:?} {topic}");
        }
    }
}
