//! What clients of Azure's blob storage write: the address of one upload with its signature, operations, lists of blocks. Whose key it is,
//! and whether its time has run out, others decide.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;

use crate::url_encoding::{decode, encode};

/// The container of all blobs. No hub and no ID scope has such a name.
pub const CONTAINER: &str = "_files";
/// The version of the storage service that is spoken, unless the client says another.
pub const VERSION: &str = "2021-08-06";
/// To write one blob.
const PERMISSIONS: &str = "w";
/// Longest id of a block, bytes before base64.
const BLOCK_ID_BYTES: usize = 64;

fn signed(path: &str, id: &str, expires: &str, permissions: &str) -> Vec<u8> {
    format!("{permissions}\n{expires}\n/{CONTAINER}/{path}\n{id}").into_bytes()
}

/// What follows the path of a blob in its address: it allows to write this one blob, until then. `id` names the upload.
#[must_use]
pub fn sas_token(key: &[u8], path: &str, id: &str, expires: &str) -> String {
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed(path, id, expires, PERMISSIONS));
    let (signature, signed_expires) = (STANDARD.encode(signature), encode(expires).to_string());
    format!("?sv={VERSION}&sr=b&si={id}&sig={}&se={signed_expires}&sp={PERMISSIONS}", encode(&signature))
}

/// What the query of a call of the storage service says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlobCall {
    /// Names the upload.
    pub id: String,
    expires: String,
    permissions: String,
    signature: Vec<u8>,
    /// Which operation on the blob; none for the blob itself.
    pub operation: Option<String>,
    block: Option<String>,
}

/// Why a query or a list of blocks cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadStorageCall {
    #[error("the query parameter {0} cannot be read")]
    Parameter(String),
    #[error("the query parameter {0} occurs twice")]
    Twice(String),
    #[error("the query parameter blockid must be base64 of 1 to {BLOCK_ID_BYTES} bytes")]
    BlockId,
    #[error("the body must be a <BlockList> of <Latest> or <Uncommitted> with block ids in base64: {0}")]
    BlockList(&'static str),
}

impl BlobCall {
    /// Parameters of other names are left alone.
    pub fn parse(query: &str) -> Result<Self, BadStorageCall> {
        let (mut read, mut seen) = (Self::default(), Vec::new());
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            if !["si", "se", "sp", "sig", "comp", "blockid"].contains(&name) {
                continue;
            }
            if seen.contains(&name) {
                return Err(BadStorageCall::Twice(name.to_owned()));
            }
            seen.push(name);
            let invalid = || BadStorageCall::Parameter(name.to_owned());
            let value = decode(value).ok_or_else(invalid)?.into_owned();
            match name {
                "si" => read.id = value,
                "se" => read.expires = value,
                "sp" => read.permissions = value,
                "sig" => read.signature = STANDARD.decode(value).map_err(|_| invalid())?,
                "comp" => read.operation = Some(value),
                _ => read.block = Some(value),
            }
        }
        Ok(read)
    }

    /// Whether this key signed it for this blob. Takes the same time for every wrong signature.
    #[must_use]
    pub fn is_signed(&self, key: &[u8], path: &str) -> bool {
        let text = signed(path, &self.id, &self.expires, &self.permissions);
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), &text, &self.signature).is_ok()
    }

    #[must_use]
    pub fn may_write(&self) -> bool {
        self.permissions.contains('w')
    }

    pub fn block_id(&self) -> Result<Vec<u8>, BadStorageCall> {
        block_id(self.block.as_deref().unwrap_or_default()).ok_or(BadStorageCall::BlockId)
    }
}

fn block_id(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|id| (1..=BLOCK_ID_BYTES).contains(&id.len()))
}

/// Reads the ids of the blocks that a blob is made of, in their order.
pub fn block_list(xml: &str) -> Result<Vec<Vec<u8>>, BadStorageCall> {
    let wrong = BadStorageCall::BlockList;
    let rest = xml.trim_start_matches('\u{feff}').trim_start();
    let rest = match rest.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>").ok_or(wrong("its first line does not end"))?.1.trim_start(),
        None => rest,
    };
    if let Some(rest) = rest.strip_prefix("<BlockList/>").or_else(|| rest.strip_prefix("<BlockList />")) {
        return if rest.trim().is_empty() { Ok(Vec::new()) } else { Err(wrong("something follows it")) };
    }
    let mut rest = rest.strip_prefix("<BlockList>").ok_or(wrong("it does not begin with <BlockList>"))?.trim_start();
    let mut ids = Vec::new();
    loop {
        if let Some(end) = rest.strip_prefix("</BlockList>") {
            return if end.trim().is_empty() { Ok(ids) } else { Err(wrong("something follows </BlockList>")) };
        }
        let (name, inner) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')).ok_or(wrong("no element"))?;
        if name == "Committed" {
            return Err(wrong("committed blocks are not kept"));
        }
        if !["Latest", "Uncommitted"].contains(&name) {
            return Err(wrong("an element of another name"));
        }
        let (id, behind) = inner.split_once("</").ok_or(wrong("an element does not end"))?;
        let behind = behind.strip_prefix(name).and_then(|rest| rest.strip_prefix('>'));
        rest = behind.ok_or(wrong("an element ends with another name"))?.trim_start();
        ids.push(block_id(id.trim()).ok_or(wrong("an id is no base64 of 1 to 64 bytes"))?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_for_one_blob_and_one_upload() {
        let token = sas_token(b"key", "lamp-1/a b", "0f", "2026-11-29T12:00:00.000Z");
        let query = BlobCall::parse(&format!("{}&comp=block&blockid=YWI%3D", &token[1..])).unwrap();
        assert!(query.is_signed(b"key", "lamp-1/a b") && query.may_write());
        assert_eq!((query.id.as_str(), query.operation.as_deref()), ("0f", Some("block")));
        assert_eq!(query.block_id(), Ok(b"ab".to_vec()));
        assert!(!query.is_signed(b"other", "lamp-1/a b") && !query.is_signed(b"key", "lamp-1/b"));
        for changed in [
            BlobCall { id: "10".into(), ..query.clone() },
            BlobCall { expires: "2027-11-29T12:00:00.000Z".into(), ..query.clone() },
            BlobCall { permissions: "rw".into(), ..query.clone() },
            BlobCall { signature: Vec::new(), ..query.clone() },
        ] {
            assert!(!changed.is_signed(b"key", "lamp-1/a b"), "{changed:?}");
        }
    }

    #[test]
    fn a_wrong_query_is_refused() {
        for (query, error) in [
            ("sig=%3f", BadStorageCall::Parameter("sig".into())),
            ("si=%ff", BadStorageCall::Parameter("si".into())),
            ("sp=w&sp=r", BadStorageCall::Twice("sp".into())),
        ] {
            assert_eq!(BlobCall::parse(query), Err(error), "{query}");
        }
        for block in ["", "blockid=", "blockid=?", &format!("blockid={}", STANDARD.encode([0; 65]))] {
            assert_eq!(BlobCall::parse(block).unwrap().block_id(), Err(BadStorageCall::BlockId), "{block}");
        }
    }

    #[test]
    fn a_list_of_blocks_is_read_or_refused() {
        let two = Ok(vec![b"a".to_vec(), b"b".to_vec()]);
        let inner = "<Latest>YQ==</Latest><Uncommitted>Yg==</Uncommitted>";
        assert_eq!(block_list(&format!("<?xml version='1.0'?>\n<BlockList>{inner}</BlockList>\n")), two);
        assert_eq!(block_list("\u{feff}<BlockList>\n <Latest> YQ== </Latest>\n</BlockList>"), Ok(vec![b"a".to_vec()]));
        assert_eq!(block_list("<BlockList />"), Ok(vec![]));
        for wrong in [
            "",
            "<BlockList>",
            "<?xml",
            "<BlockList><Latest>YQ==</BlockList>",
            "<BlockList><Latest>YQ==</Uncommitted></BlockList>",
            "<BlockList><Latest>?</Latest></BlockList>",
            "<BlockList><Latest></Latest></BlockList>",
            "<BlockList><Committed>YQ==</Committed></BlockList>",
            "<BlockList></BlockList><BlockList/>",
            "<!DOCTYPE x><BlockList></BlockList>",
        ] {
            assert!(block_list(wrong).is_err(), "{wrong}");
        }
    }
}
