//! Why something happened.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{
    commands::Command,
    documents::{Cause, DeviceConfig},
    history::{DeadLetter, Event, Execution, Timer},
    scalars::{Base64, Int64, Time},
};

/// The causes of an effect, or the effects of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    pub id: String,
    /// The explanation as text.
    pub text: String,
    pub chain: Vec<Step>,
    pub branches: Vec<Branch>,
    /// Remarks, for example that a version of a plugin was rolled back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Whether there is more than is shown.
    pub cut: bool,
}

/// A step, and its effects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Branch {
    #[serde(flatten)]
    pub step: Step,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Branch>,
}

/// Each step has the name of its kind, and the format that it has elsewhere in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Step {
    Event(Box<Event>),
    /// A call of this API.
    Operator {
        /// The token's name.
        #[serde(rename = "who")]
        caller: String,
    },
    Execution(Box<Execution>),
    HeldBack(HeldBack),
    WaitsForApproval(WaitsForApproval),
    Config(Box<DeviceConfig>),
    Command(Box<Command>),
    MethodCall(Box<MethodCall>),
    /// A write to a plugin's own state.
    State {
        key: String,
        revision: Int64,
        deleted: bool,
    },
    Timer(Box<Timer>),
    Publish {
        topic: String,
        binary_data: Base64,
    },
    DeadLetter(Box<DeadLetter>),
    /// Whether the call was refused.
    Refused(bool),
    /// Whether earlier steps are not shown.
    Earlier(bool),
    Gone(Gone),
}

/// A limit held effects back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HeldBack {
    pub ms: u64,
    pub why: String,
}

/// A plugin handled the event, and its effects wait for an operator's approval.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WaitsForApproval {
    /// The id of the approval, such as `4711.relay`.
    pub id: String,
    pub since: Time,
    /// The limit, and by how much the effects exceed it.
    pub why: String,
    pub effect_count: usize,
}

/// Something that is no longer kept.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Gone {
    /// `execution`, `config` or `command`; absent for an event.
    pub kind: Option<String>,
    pub event: Option<Int64>,
    pub plugin: Option<String>,
    pub id: Option<String>,
    pub device: Option<String>,
}

/// A method that was called.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MethodCall {
    pub id: String,
    pub device: String,
    pub method: String,
    /// The beginning of the payload.
    pub payload: Base64,
    pub time: Time,
    pub took_ms: u64,
    pub cause: Cause,
    pub answer: Option<CallAnswer>,
    /// Why there was no answer.
    pub error: Option<String>,
    /// The device of the event that brought it about, in a list with `withDevice`.
    pub event_device: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CallAnswer {
    pub status: u16,
    /// The beginning of the payload.
    pub payload: Base64,
}
