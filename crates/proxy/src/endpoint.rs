//! Endpoints' URLs.

use hyper::Uri;

/// An endpoint's URL, taken apart.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) uri: Uri,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) https: bool,
}

/// Says what is wrong with an endpoint's URL.
pub fn check_url(url: &str) -> Result<(), String> {
    Endpoint::parse(url).map(drop)
}

impl Endpoint {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("the URL {:?} {what}", url.chars().take(200).collect::<String>());
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("is not a URL: {error}")))?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("must not hold a user name or password"));
        }
        let (host, port) = (authority.host().to_owned(), authority.port_u16());
        if host.is_empty() || (port.is_none() && authority.as_str().len() > host.len()) {
            return Err(wrong("has no host, or no number for a port"));
        }
        let port = port.unwrap_or(if https { 443 } else { 80 });
        Ok(Self { uri, host, port, https })
    }

    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}
