//! What a plugin sent, for the assertions of a test.

/// A command that the plugin sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentCommand {
    pub id: String,
    pub subfolder: String,
    pub payload: Vec<u8>,
    pub properties: Vec<(String, String)>,
    pub ttl_ms: u64,
}

/// A message that the plugin published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
}
