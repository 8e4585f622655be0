//! The types of the HTTP admin API, for the server, the command line and other programs that call it. The requests and answers are
//! plain data: `/openapi.json` is made from them, and nothing here depends on the server.
//!
//! Parsing them is lenient, so that a program can use a host of another version. The server is stricter: it refuses unknown
//! fields.

mod bridge;
mod candidates;
mod commands;
mod credentials;
mod devices;
mod documents;
mod enrollments;
mod enums;
mod errors;
mod explain;
mod files;
mod gateways;
mod history;
mod host;
mod hub;
mod lists;
mod plugins;
mod property;
mod registries;
mod scalars;
pub mod schema;
mod scope;
mod services;
mod status;
mod streams;
mod topics;
mod twin;

pub use bridge::{DeviceStateData, PublishEventRequest, SetStateRequest};
pub use candidates::{
    Approval, CanaryPluginRequest, ListApprovalsResponse, PluginCanary, PluginShadow, RejectRequest, ShadowExample,
    ShadowPluginRequest,
};
pub use commands::{
    Command, InvokeMethodRequest, InvokeMethodResponse, PurgeCommandsResponse, SendCommandToDeviceRequest,
    SendCommandToDeviceResponse,
};
pub use credentials::{
    DeviceCredential, PublicKeyCertificate, PublicKeyCredential, RegistryCredential, SetPasswordRequest,
};
pub use devices::{Device, MethodEndpoint, Status};
pub use documents::{
    Cause, DeviceConfig, DeviceState, Fate, ListDeviceConfigVersionsResponse, ModifyCloudToDeviceConfigRequest,
};
pub use enrollments::{Enrollment, RegisterDeviceResponse};
pub use enums::{
    CertificateFormat, GatewayAuthMethod, GatewayType, HttpState, LogLevel, MqttState, PublicKeyFormat, UnknownName,
};
pub use errors::{BadRequest, CallError, Empty, ErrorResponse, ErrorStatus, FieldViolation};
pub use explain::{Branch, CallAnswer, Explanation, Gone, HeldBack, MethodCall, Step, WaitsForApproval};
pub use files::DeviceFile;
pub use gateways::{BindDeviceToGatewayRequest, GatewayConfig};
pub use history::{
    Cron, DeadLetter, Effect, Event, Execution, Outcome, PurgeDeadLettersResponse, RedriveDeadLettersRequest,
    RedriveDeadLettersResponse, Timer,
};
pub use host::{AuditLine, CreateTokenRequest, ListTokensResponse, Listeners, Token};
pub use hub::{HubConnectionStringRequest, HubConnectionStringResponse, HubKey, SymmetricKeys};
pub use lists::{
    ListAuditResponse, ListCommandsResponse, ListDeadLettersResponse, ListDeviceRegistriesResponse,
    ListDeviceStatesResponse, ListDevicesResponse, ListEnrollmentsResponse, ListEventsResponse, ListExecutionsResponse,
    ListFilesResponse, ListMethodCallsResponse, ListServiceAccountsResponse, ListTopicMessagesResponse,
};
pub use plugins::{
    Builtin, GrantRequest, GrantResponse, ListBuiltinsResponse, ListPluginVersionsResponse, ListPluginsResponse,
    Plugin, PluginCounters, PluginFile, PluginGuard, PluginMatches, PluginPatch, PluginRecording, PluginRolledBack,
    PluginTimers, PluginVersion, RecordPluginRequest, RollbackRequest, SettingsField, SettingsKind, TryMethodAnswer,
    TryPluginRequest, TryPluginResponse, VersionInForce, VersionRolledBack,
};
pub use property::Property;
pub use registries::{
    DeviceRegistry, EventNotificationConfig, HttpConfig, MqttConfig, PruneDevicesRequest, PruneDevicesResponse,
    StateNotificationConfig,
};
pub use scalars::{Base64, Document, Int64, Span, Time};
pub use scope::Scope;
pub use services::ServiceAccount;
pub use status::{HostCaller, HostDevices, HostLatencies, HostSeries, HostStatus, Latency};
pub use streams::{JournalItem, Missed, Sampled, StreamItem, TopicItem};
pub use topics::TopicMessage;
pub use twin::{Difference, Twin};

/// The file in the data folder that has the host's own token.
pub const TOKEN_FILE: &str = "admin-token";
