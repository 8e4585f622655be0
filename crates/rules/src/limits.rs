//! Every fixed limit of the host, in one table. A limit that is hit is counted under its name, which is in `limits/table.rs`.

use std::time::Duration;

mod field;
mod table;

pub use field::{FieldLimit, TooMuch, fields};
pub use table::{LimitName, host as names, plugin as plugin_names};

/// Largest telemetry payload, and message on an ordinary topic, bytes, unless settings say otherwise.
pub const TELEMETRY_BYTES: usize = 256 * 1024;
/// Largest state document, bytes, unless a setting says otherwise.
pub const STATE_BYTES: usize = 64 * 1024;
/// What the settings for the largest telemetry, state and message may say at most, bytes.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
/// Largest config document, bytes.
pub const CONFIG_BYTES: usize = 64 * 1024;
/// Largest command payload, bytes.
pub const COMMAND_BYTES: usize = 256 * 1024;
/// Properties of a command.
pub const COMMAND_PROPERTIES: usize = 100;
/// Names and values of a command's properties together. Written into a topic, with three signs for some, they stay under the 64 KiB
/// of one.
pub const COMMAND_PROPERTY_BYTES: usize = 16 * 1024;
/// Longest time-to-live of a command, milliseconds: 30 days.
pub const COMMAND_TTL_MAX_MS: u64 = 30 * 24 * 3_600 * 1_000;
/// Commands of one device that were sent and may wait for its acknowledgement.
pub const COMMANDS_IN_FLIGHT: usize = IN_FLIGHT as usize;
/// Commands that may wait for one device, unless a setting says otherwise.
pub const QUEUED_COMMANDS: usize = 1_000;
/// Ended commands that are kept for each device.
pub const COMMANDS_KEPT: usize = 100;
/// Bytes of one device's queued commands that are read into memory at once, beside the first of them.
pub const COMMANDS_READ_BYTES: usize = 1024 * 1024;
/// How deep objects and arrays may be nested in a document that is read as JSON.
pub const DOCUMENT_DEPTH: usize = crate::json::DEPTH;
/// Differences that one twin document names.
pub const TWIN_DIFFERENCES: usize = 1_000;
/// Bytes of the names of members that lead to these differences.
pub const TWIN_DIFFERENCE_BYTES: usize = 256 * 1024;
/// Versions of config and of state kept for each device.
pub const VERSIONS_KEPT: usize = 10;
/// Plugins with a shadow at the same time.
pub const SHADOWS: usize = 4;
/// Events that wait for one shadow.
pub const SHADOW_QUEUE: usize = 1_000;
/// Bytes of the events that wait for one shadow.
pub const SHADOW_QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// Examples of differences that a shadow's report has.
pub const SHADOW_EXAMPLES: usize = 20;
/// Events of one plugin whose effects may wait for an operator's approval.
pub const APPROVALS: usize = 100;
/// Longest reason for a rejection, bytes.
pub const APPROVAL_REASON_BYTES: usize = 1_024;
/// How long effects wait for an operator's approval.
pub const APPROVAL_TIME: Duration = Duration::from_secs(24 * 3_600);
/// Effects of one event that are shown for its approval.
pub const APPROVAL_EFFECTS: usize = 100;
/// Versions of a plugin that are kept.
pub const PLUGIN_VERSIONS: usize = 10;
/// Bytes of the components of one plugin's versions that are kept.
pub const PLUGIN_VERSION_BYTES: u64 = 256 * 1024 * 1024;
/// Largest method request or response payload, bytes.
pub const METHOD_BYTES: usize = 256 * 1024;
/// Method time-out unless the caller says another, milliseconds.
pub const METHOD_TIMEOUT_MS: u64 = 10_000;
/// Longest method time-out, milliseconds.
pub const METHOD_TIMEOUT_MAX_MS: u64 = 300_000;
/// Method calls waiting for one device's answer.
pub const METHODS_IN_FLIGHT: usize = 1_024;
/// Concurrent method calls over HTTP.
pub const PROXY_CALLS: usize = 1_024;
/// Largest head of a method endpoint's answer, bytes.
pub const ENDPOINT_HEAD_BYTES: usize = 32 * 1024;
/// Longest URL of a method endpoint, bytes.
pub const ENDPOINT_URL_BYTES: usize = 2_048;
/// Bytes of what happens to devices that wait to be published for watchers.
pub const WATCH_QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of plugins' messages that are committed and not yet given to their subscribers; past it, plugins wait.
pub const OUTGOING_BYTES: usize = 16 * 1024 * 1024;
/// Longest topic that a plugin publishes to, and in a field of the admin API, bytes.
pub const TOPIC_BYTES: usize = 1_024;
/// Longest reference to a device from a plugin, bytes: room for its full resource name.
pub const DEVICE_NAME_BYTES: usize = CLIENT_ID_BYTES;
/// Longest glob or topic filter of a plugin's, bytes.
pub const PATTERN_BYTES: usize = CLIENT_ID_BYTES;
/// Longest sub-folder of a command, or of telemetry over HTTP, bytes.
pub const SUBFOLDER_BYTES: usize = 256;
/// Longest cron expression together with its time zone, bytes.
pub const SCHEDULE_BYTES: usize = 512;
/// Calls of the host that a plugin makes for one event, unless its settings say otherwise.
pub const HOST_CALLS: u32 = 1_000;
/// Calls of the host for one migration of a plugin's state.
pub const MIGRATION_CALLS: u32 = 100_000;
/// Guest time for one migration of a plugin's state.
pub const MIGRATION_TIME: Duration = Duration::from_secs(10);
/// How long a migration waits until the plugin handles no event.
pub const MIGRATION_WAIT: Duration = Duration::from_secs(60);
/// Effects of one event, writes of the plugin's own state included, unless its settings say otherwise.
pub const EFFECTS_PER_EVENT: u32 = 64;
/// Lines that a plugin writes for one event, unless its settings say otherwise.
pub const LOG_LINES: u32 = 256;
/// Bytes of these lines, unless its settings say otherwise.
pub const OUTPUT_BYTES: u64 = 64 * 1024;
/// What a plugin's settings may allow at most: lines, calls of the host, effects of one event.
pub const COUNT_PER_EVENT_MAX: u32 = 1_000_000;
/// Entries of one list that a plugin asks for.
pub const LIST_ENTRIES: usize = 1_000;
/// Bytes of one list of devices that a plugin gets.
pub const LIST_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of all arguments of one host call of a plugin, and of what its own functions return.
pub const GUEST_CALL_BYTES: usize = 16 * 1024 * 1024;
/// Bytes kept of a text from a plugin: a log line, the reason for a rejection, the texts of its description.
pub const GUEST_TEXT_BYTES: usize = 4 * 1024;
/// Functions of a component, in all modules within it. The largest language runtimes have some 40,000.
pub const COMPONENT_FUNCTIONS: usize = 100_000;
/// Code of one function, bytes.
pub const COMPONENT_FUNCTION_BYTES: usize = 1024 * 1024;
/// Modules and components within a component, itself included.
pub const COMPONENT_MODULES: usize = 200;
/// Core modules that a component instantiates. A component of Rust has three or four, one of Python 38.
pub const COMPONENT_INSTANCES: u32 = 64;
/// How deep components may stand within each other.
pub const COMPONENT_DEPTH: usize = 16;
/// Types, imports, exports, tables, globals, segments, instances and the like of a component, in all.
pub const COMPONENT_ITEMS: usize = 200_000;
/// Compiled code of one component, bytes.
pub const COMPILED_CODE_BYTES: usize = 512 * 1024 * 1024;
/// Address space of the process that compiles a component, bytes.
pub const COMPILE_MEMORY_BYTES: u64 = 3 * 1024 * 1024 * 1024;
/// Processor time that compiling one component may take. It has a low priority, so it may take twice as long by the clock.
pub const COMPILE_TIME: Duration = Duration::from_secs(300);
/// Files of compiled code that are kept.
pub const COMPILED_FILES: usize = 256;
/// Bytes of files of compiled code that are kept.
pub const COMPILED_BYTES: u64 = 1024 * 1024 * 1024;
/// Components that are kept of rules in JavaScript.
pub const SCRIPTS_KEPT: usize = 64;
/// A rule in JavaScript, bytes.
pub const SCRIPT_BYTES: u64 = 1024 * 1024;
/// Triggers of a plugin.
pub const TRIGGERS: usize = 256;
/// Patterns of a plugin's grants.
pub const GRANTS: usize = 1_024;
/// Bytes of all globs and topic filters of a plugin's triggers, and of its grants.
pub const PATTERNS_BYTES: usize = 32 * 1024;
/// A plugin's settings as JSON, bytes.
pub const SETTINGS_BYTES: usize = 256 * 1024;
/// What a component says of its settings: all texts of the schema, and 64 for each field and each choice, bytes.
pub const SETTINGS_SCHEMA_BYTES: usize = 32 * 1024;
/// Dead letters of one plugin; past it, its oldest go.
pub const DEAD_LETTERS: usize = 1_000;
/// Clients of the admin API that follow the events at a time.
pub const FOLLOWERS: usize = 32;
/// Clients of the admin API that follow the events with one token.
pub const FOLLOWERS_PER_TOKEN: usize = FOLLOWERS / 2;
/// Method calls of operators that are remembered; those of plugins are remembered with their execution.
pub const CALLS_KEPT: usize = 10_000;
/// A plugin's key-value state: bytes of keys and values together.
pub const KV_BYTES: usize = 1024 * 1024;
/// A plugin's key-value state: longest key, bytes.
pub const KV_KEY_BYTES: usize = 256;
/// Timers of one plugin.
pub const TIMERS: usize = 10_000;
/// Longest name of a timer, bytes.
pub const TIMER_NAME_BYTES: usize = 256;
/// Largest payload of a timer, bytes.
pub const TIMER_PAYLOAD_BYTES: usize = 4 * 1024;
/// Minimum interval of a timer, and minimum time until it is due, milliseconds.
pub const TIMER_MIN_INTERVAL_MS: u64 = 100;
/// Longest id of a device, registry, plugin or service account, bytes.
pub const ID_BYTES: usize = 255;
/// Longest name of a method, bytes.
pub const METHOD_NAME_BYTES: usize = 128;
/// Longest name of a token of the admin API, bytes.
pub const ADMIN_TOKEN_NAME_BYTES: usize = 64;
/// A device's metadata: bytes of keys and values together.
pub const METADATA_BYTES: usize = 256 * 1024;
/// Devices that enrolled by themselves and were never used; beyond that, an unknown client is not registered.
pub const ENROLLED_NEVER_USED: usize = 10_000;
/// MQTT connections at a time that are not authenticated yet: TLS, WebSocket or CONNECT is in progress.
pub const UNAUTHENTICATED: usize = 2_000;
/// New connections of one address in a second, after a burst of as many as it may have. This machine's own addresses are exempt.
pub const CONNECTS_PER_SECOND_PER_ADDRESS: f64 = 50.0;
/// Addresses whose connects are counted apart.
pub const ADDRESSES: usize = 10_000;
/// Connections to the admin API at a time.
pub const ADMIN_CONNECTIONS: usize = 1_000;
/// Connections to the admin API at a time of one address. This machine's own addresses are exempt.
pub const ADMIN_CONNECTIONS_PER_ADDRESS: usize = 200;
/// New connections to the admin API in a second. The burst is twice as many.
pub const ADMIN_CONNECTS_PER_SECOND: u32 = 500;
/// Connections to the admin API at a time that have sent no token yet.
pub const ADMIN_UNAUTHENTICATED: usize = 256;
/// AMQP connections to hubs at a time that have sent no valid token yet.
pub const HUB_AMQP_UNAUTHENTICATED: usize = 100;
/// Sessions of one AMQP connection, and links of one session.
pub const HUB_AMQP_SESSIONS: u16 = 64;
pub const HUB_AMQP_LINKS: usize = 32;
/// Largest AMQP frame, bytes.
pub const HUB_AMQP_FRAME_BYTES: u32 = 16 * 1024;
/// Largest AMQP message that a client sends, bytes.
pub const HUB_AMQP_REQUEST_BYTES: usize = 256 * 1024;
/// Bytes of incomplete messages of one AMQP connection.
pub const HUB_AMQP_PARTIAL_BYTES: usize = 512 * 1024;
/// The same before the client has sent a valid token: a token is shorter.
pub const HUB_AMQP_UNAUTHENTICATED_BYTES: usize = 16 * 1024;
/// Bytes of the journal that the links of one AMQP connection hold at a time, about: pages whose events are not all handed over to be sent.
pub const HUB_AMQP_READ_BYTES: usize = 256 * 1024;
/// Bytes of one AMQP connection's events that are handed over and not written, and one event of each page more.
pub const HUB_AMQP_UNWRITTEN_BYTES: usize = 256 * 1024;
/// Reads of the journal for all AMQP connections at a time; others wait.
pub const HUB_AMQP_READS: usize = 4;
/// Deliveries that one AMQP `disposition` may settle.
pub const HUB_AMQP_SETTLED: u32 = 4_096;
/// The shortest idle time-out that an AMQP client may ask for, ms; the host sends two frames in that time.
pub const HUB_AMQP_IDLE_MS: u32 = 1_000;
/// Connections to the service side of hubs at a time that have sent no valid token yet.
pub const HUB_API_UNAUTHENTICATED: usize = 100;
/// Calls with one policy of one hub in a second.
pub const HUB_API_CALLS_PER_SECOND: f64 = 1_000.0;
/// The burst of calls with one policy of one hub.
pub const HUB_API_CALL_BURST: f64 = 2_000.0;
/// Largest body of a call of the service side, bytes.
pub const HUB_API_BODY_BYTES: usize = 1024 * 1024;
/// Devices that one call of the service side changes.
pub const HUB_BULK: usize = 100;
/// How often a change that is computed from what there is is computed again, because another call came between.
pub const CHANGE_ATTEMPTS: usize = 64;
/// Enrolments of a registry.
pub const ENROLLMENTS: usize = 1_000;
/// What an enrolment gives to a device, bytes: its payload, its metadata.
pub const ENROLLMENT_BYTES: usize = 8 * 1024;
/// Messages that a device sends to a hub in one call.
pub const HUB_MESSAGES: usize = 500;
/// Files that one device uploads at a time.
pub const UPLOADS_PER_DEVICE: usize = 10;
/// Files that all devices upload at a time.
pub const UPLOADS: usize = 10_000;
/// Queries and lists of devices that are made for programs of hubs at a time; others wait.
pub const HUB_QUERIES: usize = 4;
/// One page of what a query finds, bytes of JSON. One row that is larger comes alone.
pub const HUB_PAGE_BYTES: usize = 1024 * 1024;
/// Headers of one call.
pub const ADMIN_HEADERS: usize = 100;
/// Bytes of one call's URL and headers together.
pub const ADMIN_HEAD_BYTES: usize = 64 * 1024;
/// Bytes of the path in a call's URL: room for the full name of a device, percent-encoded, and what follows it.
pub const ADMIN_PATH_BYTES: usize = 4 * 1024;
/// Bytes of one query parameter, unless it is a list of ids or a field of the body.
pub const ADMIN_PARAMETER_BYTES: usize = 4 * 1024;
/// After 30 s, a body must have come at this many bytes a second.
pub const ADMIN_BODY_BYTES_PER_SECOND: usize = 16 * 1024;
/// Bytes of a body that its call has not read. The rest of a longer one is not read, and its connection ends.
pub const HTTP_UNREAD_BYTES: usize = 4 * 1024 * 1024;
/// One page of a list, bytes of JSON, and about as many of what is read for it. One item that is larger comes alone.
pub const ADMIN_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Payloads in the chain of one explanation, bytes, and in its effects; one that is larger is the last.
pub const EXPLANATION_BYTES: usize = 1024 * 1024;
/// Answers to reading calls that are made, or are larger than [`ADMIN_SMALL_ANSWER_BYTES`] and wait for their callers, at a time.
pub const ADMIN_ANSWERS: usize = 16;
/// Such answers of one token.
pub const ADMIN_ANSWERS_PER_TOKEN: usize = ADMIN_ANSWERS / 2;
/// An answer up to this size, bytes, may wait for its caller without counting.
pub const ADMIN_SMALL_ANSWER_BYTES: usize = 64 * 1024;
/// Tokens of the admin API, beside the host's own.
pub const ADMIN_TOKENS: usize = 100;
/// Calls of one token at once, and of one address that needs none.
pub const ADMIN_CALL_BURST: f64 = 5_000.0;
/// Calls of one token, and of one address that needs none, in a second after the burst.
pub const ADMIN_CALLS_PER_SECOND: f64 = 1_000.0;
/// Calls without a right token that one address makes at once.
pub const ADMIN_UNAUTHENTICATED_BURST: f64 = 100.0;
/// Calls without a right token that one address makes in a second after the burst.
pub const ADMIN_UNAUTHENTICATED_PER_SECOND: f64 = 10.0;
/// Callers of the admin API whose rates are kept apart.
pub const ADMIN_CALLERS: usize = 10_000;
/// One file of the audit log, bytes.
pub const AUDIT_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Files of the audit log that are kept.
pub const AUDIT_FILES: usize = 4;
/// Bytes of a call's parameters in one line of the audit log.
pub const AUDIT_PARAMETERS_BYTES: usize = 2 * 1024;
/// One line of the audit log, bytes, at the most: what is reserved on the disk before a call is carried out.
pub const AUDIT_LINE_BYTES: u64 = 16 * 1024;
/// Devices bound to one gateway.
pub const DEVICES_OF_GATEWAY: usize = 10_000;
/// Gateways that one device is bound to.
pub const GATEWAYS_OF_DEVICE: usize = 100;
/// Devices that one gateway speaks for at a time, and devices that it has subscriptions for.
pub const ATTACHED_DEVICES: usize = 1_000;
/// Largest payload of an attach or detach message, bytes.
pub const CONTROL_BYTES: usize = 16 * 1024;
/// How long a device that was taken over from another connection stays before a gateway may take it again.
pub const TAKEOVER_PAUSE: Duration = Duration::from_secs(10);
/// Plugins that are recorded at the same time.
pub const RECORDINGS: usize = 16;
/// The file of a recording of a plugin, bytes.
pub const RECORDING_BYTES: u64 = 256 * 1024 * 1024;
/// Executions that wait until they are written to a recording, bytes.
pub const RECORDING_QUEUE_BYTES: u64 = 16 * 1024 * 1024;
/// Secrets of settings and of starts of instances that a recording remembers, bytes.
pub const RECORDING_SECRET_BYTES: usize = 256 * 1024;
/// Longest time that a recording may be asked for.
pub const RECORDING_TIME: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Patterns of masked keys that a recording may have beside the host's own.
pub const RECORDING_MASKS: usize = 100;
/// Certificates of authorities that a registry has.
pub const REGISTRY_AUTHORITIES: usize = 10;
/// `eventNotificationConfigs` that a registry has.
pub const EVENT_TOPICS: usize = 10;
/// What is kept of the words for what last went wrong with a device, bytes.
pub const DEVICE_ERROR_BYTES: usize = 512;
/// Public keys and certificates of one device.
pub const CREDENTIALS: usize = 10;
/// One public key or certificate, bytes of PEM.
pub const CREDENTIAL_BYTES: usize = 16 * 1024;
/// One symmetric key, bytes.
pub const SYMMETRIC_KEY_BYTES: usize = 64;
/// The shortest that may be given, bytes.
pub const MIN_SYMMETRIC_KEY_BYTES: usize = 16;
/// Names of access keys that a registry has.
pub const ACCESS_KEYS: usize = 20;
/// Service accounts.
pub const SERVICES: usize = 1_000;
/// Topic filters in each list of a service account.
pub const SERVICE_FILTERS: usize = 100;
/// Longest password, bytes.
pub const PASSWORD_BYTES: usize = 256;
/// Concurrent password checks: each takes 19 MiB and some tens of milliseconds.
pub const PASSWORD_CHECKS: usize = 2;
/// Password checks of one address, in progress or waiting.
pub const PASSWORD_CHECKS_PER_ADDRESS: usize = 8;
/// Password checks that may wait; as many more for clients that were accepted from the same address before.
pub const PASSWORD_CHECKS_WAITING: usize = 64;
/// Addresses, and pairs of address and client, whose failed attempts are remembered.
pub const FAILURES_KEPT: usize = 10_000;
/// Longest life of a token, seconds.
pub const TOKEN_LIFE_SECS: u64 = 24 * 3_600;
/// By how much a device's clock may be wrong, seconds.
pub const TOKEN_SKEW_SECS: u64 = 600;
/// Messages that may wait in one client's session.
pub const SESSION_QUEUE: usize = 1_000;
/// Bytes of messages that may wait in one client's session.
pub const SESSION_QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// QoS 1 and 2 messages to a client that may wait for its acknowledgement, unless its receive maximum is smaller.
pub const IN_FLIGHT: u16 = 32;
/// Largest packet before and with CONNECT, bytes.
pub const CONNECT_PACKET_BYTES: usize = 8 * 1024;
/// What a packet may have beside its payload, bytes: topic and properties.
pub const PACKET_OVERHEAD_BYTES: usize = 64 * 1024;
/// The request that a WebSocket begins with, bytes, about.
pub const UPGRADE_BYTES: usize = 16 * 1024;
/// Lines of its header.
pub const UPGRADE_HEADERS: usize = 100;
/// Longest time that a setting gives a client for TLS, WebSocket and CONNECT, or for the rest of a packet, seconds.
pub const MAX_DEADLINE_SECS: u64 = 600;
/// QoS 1 and 2 messages of a client that may wait for acknowledgement (the receive maximum that the host announces).
pub const RECEIVE_MAXIMUM: u16 = 1_024;
/// Bytes of one client's events that may be on their way to the journal before the host stops reading from it: events of other
/// clients queue behind them.
pub const UNWRITTEN_BYTES: usize = 256 * 1024;
/// Topic aliases that a client may set.
pub const TOPIC_ALIASES: u16 = 32;
/// Topic aliases that the host sets for one client, if the client permits that many.
pub const TOPIC_ALIASES_OUT: u16 = 64;
/// Longest keep-alive, seconds. An MQTT 5 client that asks for more, or for none, gets this one.
pub const KEEP_ALIVE_SECS: u16 = 3_600;
/// Levels of a topic or a filter.
pub const TOPIC_LEVELS: usize = 128;
/// Subscriptions of one client.
pub const SUBSCRIPTIONS: usize = 1_000;
/// Bytes of one client's filters together, each of their levels counting as [`FILTER_LEVEL_BYTES`] more.
pub const SUBSCRIPTION_BYTES: usize = 256 * 1024;
/// What a level of a filter counts for beside its text, bytes: it takes memory however short it is.
pub const FILTER_LEVEL_BYTES: usize = 24;
/// Sessions that are kept for offline clients, in addition to the limit of connections.
pub const SESSIONS_KEPT: usize = 10_000;
/// Sessions that are kept for one account, of connected and offline clients.
pub const SESSIONS_KEPT_OF_ONE: usize = 2_500;
/// Bytes of messages that may wait in the sessions of all offline clients without credentials. All other clients have a third of it in
/// addition, and each account may use that third.
pub const SESSIONS_QUEUE_BYTES: usize = 256 * 1024 * 1024;
/// Estimated memory of the subscriptions of all offline clients, bytes, without [`SUBSCRIPTIONS_EASY_BYTES`] of each. It is shared like
/// [`SESSIONS_QUEUE_BYTES`].
pub const SESSIONS_SUBSCRIPTION_BYTES: usize = 128 * 1024 * 1024;
/// Memory of subscriptions with which a session is kept whatever others leave behind, bytes, about.
pub const SUBSCRIPTIONS_EASY_BYTES: usize = 8 * 1024;
/// Spans of traces that wait for the collector; more are dropped.
pub const TRACE_SPANS: usize = 8_192;
/// Events, effects of operators and method calls whose trace another program or a call of the API began, that are remembered for
/// their later effects; the oldest are forgotten.
pub const TRACE_CONTEXTS: usize = 16_384;
/// Longest time that a session is kept for an offline client, seconds.
pub const SESSION_EXPIRY_SECS: u32 = 7 * 24 * 3_600;
/// Retained messages of all clients that need no credentials; all others have a third of it besides, as has one account.
pub const RETAINED: usize = 10_000;
/// Bytes of retained messages, shared in the same way.
pub const RETAINED_BYTES: usize = 64 * 1024 * 1024;
/// Longest client id, bytes: room for the full resource name of a device.
pub const CLIENT_ID_BYTES: usize = 1_100;
/// A client that uses more than this fraction (one divided by the value) of one core is served after the others. Long pieces of
/// work count more.
pub const PROCESSOR_SHARE: u32 = 2;
/// How long a client may use the processor at once before that.
pub const PROCESSOR_BURST: Duration = Duration::from_millis(10);
