//! The name of every limit, in one table. Docs/security.md has a line for each of the host's, docs/plugins.md for each of the
//! plugins'; `tests/it/tidy/limits.rs` holds the pages to this file.

use std::fmt;

/// What counts a limit, logs it or puts it into an error takes this type, so a limit without a line in the table cannot be hit.
/// Only this file makes one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitName(&'static str);

impl LimitName {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl LimitName {
    /// The limit of this name, of the host's or of the plugins'.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        [host::ALL, plugin::ALL].into_iter().flatten().map(|(limit, _)| *limit).find(|limit| limit.0 == name)
    }

    /// The limit that an error text names: `limit "…"`.
    #[must_use]
    pub fn named_in(text: &str) -> Option<Self> {
        let (_, after) = text.split_once("limit \"")?;
        Self::find(after.split_once('"')?.0)
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl PartialEq<&str> for LimitName {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

macro_rules! table {
    ($(#[$about:meta])* $module:ident { $($name:ident = $text:literal,)* }) => {
        $(#[$about])*
        pub mod $module {
            use super::LimitName;

            $(pub const $name: LimitName = LimitName($text);)*

            /// Each with the name of its constant.
            pub const ALL: &[(LimitName, &str)] = &[$(($name, stringify!($name))),*];
        }
    };
}

table! {
    /// The host's own: the label of `switchbox_limit_hits_total`.
    host {
        ACCEPT = "accept",
        ACCESS_KEYS = "access_keys",
        ADMIN_ACCEPT = "admin_accept",
        ADMIN_ANSWERS = "admin_answers",
        ADMIN_BODY = "admin_body",
        ADMIN_BODY_TIME = "admin_body_time",
        ADMIN_CONNECTIONS = "admin_connections",
        ADMIN_CONNECTIONS_PER_ADDRESS = "admin_connections_per_address",
        ADMIN_CONNECTS_PER_SECOND = "admin_connects_per_second",
        ADMIN_CONNECTS_PER_SECOND_PER_ADDRESS = "admin_connects_per_second_per_address",
        ADMIN_HANDSHAKE_TIME = "admin_handshake_time",
        ADMIN_HEAD_BYTES = "admin_head_bytes",
        ADMIN_HEAD_TIME = "admin_head_time",
        ADMIN_PAGE_BYTES = "admin_page_bytes",
        ADMIN_PAGE_ITEMS = "admin_page_items",
        ADMIN_PARAMETER_BYTES = "admin_parameter_bytes",
        ADMIN_PATH_BYTES = "admin_path_bytes",
        ADMIN_RATE = "admin_rate",
        ADMIN_UNAUTHENTICATED_CONNECTIONS = "admin_unauthenticated_connections",
        ADMIN_TOKENS = "admin_tokens",
        ADMIN_TOKEN_NAME_BYTES = "admin_token_name_bytes",
        ADMIN_UNREAD_BYTES = "admin_unread_bytes",
        ADMIN_UNREAD_TIME = "admin_unread_time",
        ADMIN_WRITE_TIME = "admin_write_time",
        APPROVAL_REASON_BYTES = "approval_reason_bytes",
        ATTACHED_DEVICES = "attached_devices",
        CHANGE_ATTEMPTS = "change_attempts",
        COMMAND_BYTES = "command_bytes",
        COMMAND_PROPERTIES = "command_properties",
        COMMAND_TTL = "command_ttl",
        CONFIG_BYTES = "config_bytes",
        CONNECTIONS = "connections",
        CONNECTIONS_PER_ADDRESS = "connections_per_address",
        CONNECTS_PER_SECOND = "connects_per_second",
        CONNECTS_PER_SECOND_PER_ADDRESS = "connects_per_second_per_address",
        CONNECT_DEADLINE = "connect_deadline",
        CONNECT_PACKET_BYTES = "connect_packet_bytes",
        CONTROL_BYTES = "control_bytes",
        CREDENTIALS = "credentials",
        CREDENTIAL_BYTES = "credential_bytes",
        DEAD_LETTERS = "dead_letters",
        DEVICES_OF_GATEWAY = "devices_of_gateway",
        ENDPOINT_HEAD_BYTES = "endpoint_head_bytes",
        ENDPOINT_URL_BYTES = "endpoint_url_bytes",
        ENROLLED_NEVER_USED = "enrolled_never_used",
        ENROLLMENTS = "enrollments",
        ENROLLMENT_BYTES = "enrollment_bytes",
        EVENT_TOPICS = "event_topics",
        EVENT_TOPIC_BYTES = "event_topic_bytes",
        EXPLANATION = "explanation",
        FILES_DEVICE_BYTES = "files_device_bytes",
        FILES_TOTAL_BYTES = "files_total_bytes",
        FOLLOWERS = "followers",
        FOLLOWERS_PER_TOKEN = "followers_per_token",
        GATEWAYS_OF_DEVICE = "gateways_of_device",
        HUB_AMQP_ACCEPT = "hub_amqp_accept",
        HUB_AMQP_CONNECTIONS = "hub_amqp_connections",
        HUB_AMQP_CONNECTIONS_PER_ADDRESS = "hub_amqp_connections_per_address",
        HUB_AMQP_CONNECTS_PER_SECOND = "hub_amqp_connects_per_second",
        HUB_AMQP_CONNECTS_PER_SECOND_PER_ADDRESS = "hub_amqp_connects_per_second_per_address",
        HUB_AMQP_FRAMES = "hub_amqp_frames",
        HUB_AMQP_LINKS = "hub_amqp_links",
        HUB_AMQP_OPEN_TIME = "hub_amqp_open_time",
        HUB_AMQP_PROOF_TIME = "hub_amqp_proof_time",
        HUB_AMQP_UNAUTHENTICATED_CONNECTIONS = "hub_amqp_unauthenticated_connections",
        HUB_API_ACCEPT = "hub_api_accept",
        HUB_API_BODY = "hub_api_body",
        HUB_API_BODY_TIME = "hub_api_body_time",
        HUB_API_CONNECTIONS = "hub_api_connections",
        HUB_API_CONNECTIONS_PER_ADDRESS = "hub_api_connections_per_address",
        HUB_API_CONNECTS_PER_SECOND = "hub_api_connects_per_second",
        HUB_API_CONNECTS_PER_SECOND_PER_ADDRESS = "hub_api_connects_per_second_per_address",
        HUB_API_HANDSHAKE_TIME = "hub_api_handshake_time",
        HUB_API_HEAD_BYTES = "hub_api_head_bytes",
        HUB_API_HEAD_TIME = "hub_api_head_time",
        HUB_API_RATE = "hub_api_rate",
        HUB_API_UNAUTHENTICATED_CONNECTIONS = "hub_api_unauthenticated_connections",
        HUB_API_UNREAD_BYTES = "hub_api_unread_bytes",
        HUB_API_UNREAD_TIME = "hub_api_unread_time",
        HUB_API_WRITE_TIME = "hub_api_write_time",
        HUB_BULK = "hub_bulk",
        HUB_MESSAGES = "hub_messages",
        HUB_PAGE_BYTES = "hub_page_bytes",
        HUB_QUERY = "hub_query",
        ID_BYTES = "id_bytes",
        IN_FLIGHT_WINDOW = "in_flight_window",
        JOURNAL_QUEUE_QOS0 = "journal_queue_qos0",
        MESSAGE_BYTES = "message_bytes",
        METADATA_BYTES = "metadata_bytes",
        METHOD_BYTES = "method_bytes",
        METHOD_NAME_BYTES = "method_name_bytes",
        METHOD_TIMEOUT = "method_timeout",
        PACKET_BYTES = "packet_bytes",
        PACKET_DEADLINE = "packet_deadline",
        PASSWORD_BYTES = "password_bytes",
        PASSWORD_CHECKS = "password_checks",
        PASSWORD_CHECKS_PER_ADDRESS = "password_checks_per_address",
        PROCESSOR_SHARE = "processor_share",
        PROXY_CALLS = "proxy_calls",
        PUBLISHER_WAIT = "publisher_wait",
        QUEUED_COMMANDS = "queued_commands",
        RECORDINGS = "recordings",
        RECORDING_BYTES = "recording_bytes",
        RECORDING_MASKS = "recording_masks",
        RECORDING_QUEUE_BYTES = "recording_queue_bytes",
        RECORDING_SECRET_BYTES = "recording_secret_bytes",
        RECORDING_TIME = "recording_time",
        REGISTRY_AUTHORITIES = "registry_authorities",
        RETAINED_BYTES = "retained_bytes",
        RETAINED_BYTES_OF_ONE = "retained_bytes_of_one",
        RETAINED_MESSAGES = "retained_messages",
        RETAINED_MESSAGES_OF_ONE = "retained_messages_of_one",
        SERVICES = "services",
        SERVICE_FILTERS = "service_filters",
        SERVICE_FILTER_BYTES = "service_filter_bytes",
        SESSIONS_KEPT = "sessions_kept",
        SESSIONS_KEPT_OF_ONE = "sessions_kept_of_one",
        SESSIONS_QUEUE_BYTES = "sessions_queue_bytes",
        SESSIONS_QUEUE_BYTES_OF_ONE = "sessions_queue_bytes_of_one",
        SESSIONS_SUBSCRIPTION_BYTES = "sessions_subscription_bytes",
        SESSIONS_SUBSCRIPTION_BYTES_OF_ONE = "sessions_subscription_bytes_of_one",
        SESSION_QUEUE = "session_queue",
        SHADOWS = "shadows",
        SHADOW_QUEUE = "shadow_queue",
        STATE_BYTES = "state_bytes",
        TRACE_CONTEXTS = "trace_contexts",
        TRACE_SPANS = "trace_spans",
        UNAUTHENTICATED_CONNECTIONS = "unauthenticated_connections",
        SUBFOLDER_BYTES = "subfolder_bytes",
        SUBSCRIPTIONS = "subscriptions",
        SUBSCRIPTION_BYTES = "subscription_bytes",
        SYMMETRIC_KEY_BYTES = "symmetric_key_bytes",
        TAKEOVER_PAUSE = "takeover_pause",
        TELEMETRY_BYTES = "telemetry_bytes",
        TWIN_DIFFERENCES = "twin_differences",
        UPGRADE_BYTES = "upgrade_bytes",
        UPLOADS = "uploads",
        UPLOADS_PER_DEVICE = "uploads_per_device",
        WATCH_QUEUE_BYTES = "watch_queue_bytes",
        WRITE_DEADLINE = "write_deadline",
        WRONG_PASSWORDS_OF_ADDRESS = "wrong_passwords_of_address",
        WRONG_PASSWORDS_OF_CLIENT = "wrong_passwords_of_client",
    }
}

table! {
    /// Limits of one plugin: the label of `switchbox_plugin_limit_hits_total`, and the name in executions and error texts. If a
    /// limit is a setting, its key under `[limits]` is the same.
    plugin {
        APPROVALS = "approvals",
        APPROVAL_TIME = "approval-time",
        CALL_BYTES = "call-bytes",
        COMMAND_BYTES = "command-bytes",
        COMMAND_PROPERTIES = "command-properties",
        COMPILE_MEMORY = "compile-memory",
        COMPILE_TIME = "compile-time",
        COMPILED_CODE_BYTES = "compiled-code-bytes",
        COMPONENT_BYTES = "component-bytes",
        COMPONENT_DEPTH = "component-depth",
        COMPONENT_FUNCTION_BYTES = "component-function-bytes",
        COMPONENT_FUNCTIONS = "component-functions",
        COMPONENT_INSTANCES = "component-instances",
        COMPONENT_ITEMS = "component-items",
        COMPONENT_MODULES = "component-modules",
        CONFIG_BYTES = "config-bytes",
        DEADLINE = "deadline",
        DELAYED_BYTES = "delayed-bytes",
        DEVICE_NAME_BYTES = "device-name-bytes",
        EFFECTS_PER_EVENT = "effects-per-event",
        EFFECTS_PER_SECOND = "effects-per-second",
        GRANTS = "grants",
        HANDLES = "handles",
        HOST_CALL_TIME = "host-call-time",
        HOST_CALLS = "host-calls",
        INSTANCES = "instances",
        KV_BYTES = "kv-bytes",
        KV_KEY_BYTES = "kv-key-bytes",
        LIST_BYTES = "list-bytes",
        LIST_ENTRIES = "list-entries",
        LOG_LINES = "log-lines",
        MAX_NEW_TARGETS_PER_MINUTE = "max-new-targets-per-minute",
        MAX_TARGETS_PER_EVENT = "max-targets-per-event",
        MEMORY = "memory",
        MESSAGE_BYTES = "message-bytes",
        METHOD_BYTES = "method-bytes",
        METHOD_NAME_BYTES = "method-name-bytes",
        MIGRATION_CALLS = "migration-calls",
        MIGRATION_TIME = "migration-time",
        MIGRATION_WAIT = "migration-wait",
        OUTGOING_BYTES = "outgoing-bytes",
        OUTPUT = "output",
        PATTERN_BYTES = "pattern-bytes",
        PATTERNS_BYTES = "patterns-bytes",
        QUEUED_COMMANDS = "queued-commands",
        RANDOM_BYTES = "random-bytes",
        RATE_PER_TARGET = "rate-per-target",
        SCHEDULE_BYTES = "schedule-bytes",
        SCRIPT_BYTES = "script-bytes",
        SETTINGS_BYTES = "settings-bytes",
        SETTINGS_FILE_BYTES = "settings-file-bytes",
        SETTINGS_SCHEMA_BYTES = "settings-schema-bytes",
        START_DEADLINE = "start-deadline",
        STACK = "stack",
        SUBFOLDER_BYTES = "subfolder-bytes",
        TABLES = "tables",
        TEXT_BYTES = "text-bytes",
        TIMER_NAME_BYTES = "timer-name-bytes",
        TIMER_PAYLOAD_BYTES = "timer-payload-bytes",
        TIMERS = "timers",
        TOPIC_BYTES = "topic-bytes",
        TRIGGERS = "triggers",
    }
}
