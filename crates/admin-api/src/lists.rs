//! Pages of lists. The type of their items is a parameter: a server that writes each item as it finds it has them as JSON, and
//! answers with the same type that the document is made from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{
    commands::Command,
    devices::Device,
    documents::DeviceState,
    enrollments::Enrollment,
    explain::MethodCall,
    files::DeviceFile,
    history::{DeadLetter, Event, Execution},
    host::AuditLine,
    registries::DeviceRegistry,
    scalars::Time,
    services::ServiceAccount,
    topics::TopicMessage,
};

/// `Default` is written out, because a derived one would be for items with a default only. The fields after the items are
/// optional.
macro_rules! lists {
    ($($list:ident<$item:ident> {
        $(#[$of_items:meta])*
        $items:ident,
        $($(#[$about:meta])* $more:ident: $kind:ident,)*
    })*) => {$(
        #[skip_serializing_none]
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $list<T = $item> {
            $(#[$of_items])*
            pub $items: Vec<T>,
            $($(#[$about])* pub $more: Option<$kind>,)*
        }

        impl<T> Default for $list<T> {
            fn default() -> Self {
                Self { $items: Vec::new(), $($more: None,)* }
            }
        }
    )*};
}

lists! {
    ListAuditResponse<AuditLine> {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        lines,
        next_page_token: String,
    }
    ListCommandsResponse<Command> {
        commands,
        next_page_token: String,
    }
    ListDeadLettersResponse<DeadLetter> {
        dead_letters,
        next_page_token: String,
    }
    ListDeviceRegistriesResponse<DeviceRegistry> {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        device_registries,
        next_page_token: String,
    }
    ListDeviceStatesResponse<DeviceState> {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        device_states,
    }
    ListDevicesResponse<Device> {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        devices,
        next_page_token: String,
    }
    ListEnrollmentsResponse<Enrollment> {
        enrollments,
        next_page_token: String,
    }
    ListEventsResponse<Event> {
        events,
        next_page_token: String,
        /// The page has all that match and are newer than this. It may have few, or none: the next page continues there.
        searched_to: Time,
    }
    ListExecutionsResponse<Execution> {
        executions,
        next_page_token: String,
        /// The page has all that match and are newer than this. It may have few, or none: the next page continues there.
        searched_to: Time,
    }
    ListFilesResponse<DeviceFile> {
        files,
        next_page_token: String,
    }
    ListMethodCallsResponse<MethodCall> {
        method_calls,
        next_page_token: String,
        /// The page has all that match and are newer than this. It may have few, or none: the next page continues there.
        searched_to: Time,
    }
    ListServiceAccountsResponse<ServiceAccount> {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        service_accounts,
        next_page_token: String,
    }
    ListTopicMessagesResponse<TopicMessage> {
        messages,
        next_page_token: String,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::RawValue};

    use super::*;

    #[test]
    fn items_that_are_json_already_stand_in_a_list_as_typed_ones_do() {
        let messages = vec![TopicMessage::default()];
        let written = messages.iter().map(|message| serde_json::value::to_raw_value(message).unwrap()).collect();
        let next_page_token = Some("2".to_owned());
        let typed = ListTopicMessagesResponse { messages, next_page_token: next_page_token.clone() };
        let written: ListTopicMessagesResponse<Box<RawValue>> =
            ListTopicMessagesResponse { messages: written, next_page_token };
        assert_eq!(serde_json::to_string(&written).unwrap(), serde_json::to_string(&typed).unwrap());
    }

    #[test]
    fn an_empty_list_of_google_has_no_field() {
        let written = |list: serde_json::Result<serde_json::Value>| list.unwrap();
        assert_eq!(written(serde_json::to_value(ListDevicesResponse::<Device>::default())), json!({}));
        assert_eq!(written(serde_json::to_value(ListEventsResponse::<Event>::default())), json!({"events": []}));
        let read: ListDevicesResponse = serde_json::from_value(json!({})).unwrap();
        assert_eq!(read, ListDevicesResponse::default());
    }
}
