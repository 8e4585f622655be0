//! Why a token is refused. It is logged only; the client does not learn it.

use std::fmt;

use switchbox_model::limits::TOKEN_LIFE_SECS;

/// What a token consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Header,
    Claims,
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Signature => "signature",
        })
    }
}

/// Why a token is refused. It is logged only; the client does not learn it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    #[error("the token has {0} parts between dots, not 3; was it cut off?")]
    Parts(usize),
    #[error("the token's {0} is not base64: {1}")]
    Base64(Part, String),
    #[error("the token's {0} is not the JSON of a token: {1}")]
    Json(Part, String),
    #[error("the token is not text")]
    NoText,
    #[error("the token's header asks for extensions (crit), which are not supported")]
    Critical,
    #[error("the token's algorithm {0:?} is not supported, only RS256 and ES256")]
    Algorithm(String),
    #[error("the algorithm of a registration's token is {0:?}, not HS256")]
    RegistrationAlgorithm(String),
    #[error("no key that is registered and valid fits the token's algorithm {0}")]
    NoKey(&'static str),
    #[error("the token's signature was not made by any of the keys")]
    Signature,
    #[error("the token's signature has {0} bytes; one of ES256 has 64, or up to 72 in ASN.1 DER")]
    SignatureSize(usize),
    #[error("the token is for {found:?}, not for {expected:?}")]
    Audience { found: String, expected: String },
    #[error("the token has no {0}")]
    Missing(&'static str),
    #[error("the token's {claim} is {value}: {problem}")]
    Time { claim: &'static str, value: String, problem: &'static str },
    #[error("the token expired {0} s ago")]
    Expired(u64),
    #[error("the token is valid only in {0} s; is the device's clock right?")]
    NotYet(u64),
    #[error("the token is good for {0} s, more than {TOKEN_LIFE_SECS}")]
    TooLong(u64),
}
