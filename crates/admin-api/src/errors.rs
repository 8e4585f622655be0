//! Errors, as Google's APIs answer them; and the answer of a call that has nothing to say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer of a refused call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ErrorResponse {
    pub error: CallError,
}

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallError {
    /// The HTTP status.
    pub code: u16,
    pub message: String,
    pub status: ErrorStatus,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<BadRequest>,
}

/// The kinds of failure, with the names of `google.rpc.Code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorStatus {
    InvalidArgument,
    FailedPrecondition,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    Aborted,
    AlreadyExists,
    ResourceExhausted,
    Unimplemented,
    Internal,
    Unavailable,
    DeadlineExceeded,
}

/// The fields of a request that are invalid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BadRequest {
    /// `type.googleapis.com/google.rpc.BadRequest`.
    #[serde(rename = "@type")]
    pub of_type: String,
    pub field_violations: Vec<FieldViolation>,
}

/// An invalid field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldViolation {
    /// Its path.
    pub field: String,
    pub description: String,
}

impl BadRequest {
    /// One field is invalid.
    #[must_use]
    pub fn of_field(field: String, description: String) -> Self {
        Self {
            of_type: "type.googleapis.com/google.rpc.BadRequest".into(),
            field_violations: vec![FieldViolation { field, description }],
        }
    }
}

/// The answer of a successful call without content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("maxProperties" = 0))]
pub struct Empty {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_is_what_googles_clients_read() {
        let error =
            |details| CallError { code: 400, message: "x".into(), status: ErrorStatus::InvalidArgument, details };
        let plain = ErrorResponse { error: error(vec![]) };
        let shown = json!({"error": {"code": 400, "message": "x", "status": "INVALID_ARGUMENT"}});
        assert_eq!(serde_json::to_value(&plain).unwrap(), shown);
        assert_eq!(serde_json::from_value::<ErrorResponse>(shown).unwrap(), plain);
        let of_field = error(vec![BadRequest::of_field("id".into(), "x".into())]);
        let details = json!([{"@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "id", "description": "x"}]}]);
        assert_eq!(serde_json::to_value(of_field).unwrap()["details"], details);
        assert_eq!(serde_json::to_value(Empty {}).unwrap(), json!({}));
    }
}
