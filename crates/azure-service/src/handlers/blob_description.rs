//! What a device says of a file that it uploads: its content type and its metadata. They are kept with the event of the upload.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use crate::storage::StorageError;

const CONTENT_TYPE: &str = "x-ms-blob-content-type";
const METADATA: &str = "x-ms-meta-";
/// Names and values of the content type and the metadata, bytes, as in Azure.
const MAX_BYTES: usize = 8 * 1024;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct BlobDescription {
    content_type: Option<String>,
    metadata: BTreeMap<String, String>,
}

impl BlobDescription {
    /// Reads the headers of the call that completes the file. `has_body`: the body is the file, so its content type is the file's.
    pub(super) fn read(headers: &HeaderMap, has_body: bool) -> Result<Self, StorageError> {
        let content_type = headers.get(CONTENT_TYPE);
        let content_type = content_type.or_else(|| headers.get(header::CONTENT_TYPE).filter(|_| has_body));
        let mut description = Self::default();
        let mut bytes = 0;
        let mut text = |name: &str, value: &header::HeaderValue| {
            bytes += name.len() + value.len();
            if bytes > MAX_BYTES {
                let text = format!("content type and metadata have more than {MAX_BYTES} bytes");
                return Err(StorageError::new(StatusCode::BAD_REQUEST, "MetadataTooLarge", text));
            }
            let text = std::str::from_utf8(value.as_bytes());
            text.map(str::to_owned).map_err(|_| StorageError::header(name, "it is not UTF-8"))
        };
        description.content_type = content_type.map(|value| text(CONTENT_TYPE, value)).transpose()?;
        for (name, value) in headers {
            if let Some(of_file) = name.as_str().strip_prefix(METADATA) {
                description.metadata.insert(of_file.to_owned(), text(name.as_str(), value)?);
            }
        }
        Ok(description)
    }

    /// The payload of the event of the upload.
    pub(super) fn event(&self, file: &str, bytes: u64) -> Value {
        let mut event = json!({ "file": file, "bytes": bytes });
        if let Some(fields) = event.as_object_mut() {
            fields.extend(self.content_type.as_deref().map(|kind| ("contentType".to_owned(), kind.into())));
            if !self.metadata.is_empty() {
                fields.insert("metadata".to_owned(), json!(self.metadata));
            }
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_event_says_of_the_file_what_its_device_said() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/octet-stream"));
        let read =
            |headers: &HeaderMap, has_body| BlobDescription::read(headers, has_body).map(|read| read.event("a", 1));
        let of = |event: Result<Value, StorageError>| event.ok().unwrap();
        assert_eq!(of(read(&headers, false)), json!({"file": "a", "bytes": 1}));
        let octets = json!({"file": "a", "bytes": 1, "contentType": "application/octet-stream"});
        assert_eq!(of(read(&headers, true)), octets);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv"));
        headers.insert("x-ms-meta-room", HeaderValue::from_bytes("häll".as_bytes()).unwrap());
        let all = json!({"file": "a", "bytes": 1, "contentType": "text/csv", "metadata": {"room": "häll"}});
        assert_eq!([of(read(&headers, false)), of(read(&headers, true))], [all.clone(), all]);
        headers.insert("x-ms-meta-large", HeaderValue::from_str(&"x".repeat(MAX_BYTES)).unwrap());
        assert!(read(&headers, true).is_err());
    }
}
