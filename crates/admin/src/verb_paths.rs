//! Google's verbs (`POST …/devices/lamp-1:sendCommandToDevice`) are not path segments, so before routing the last colon of a POST
//! becomes one: `…/devices/lamp-1/:sendCommandToDevice`. A device's id may contain colons.

use axum::{
    extract::Request,
    http::{Method, Uri},
};

/// Makes a verb a segment of its own.
pub(super) fn split_verb(mut request: Request) -> Request {
    if request.method() == Method::POST
        && let Some(uri) = with_separate_verb(request.uri())
    {
        *request.uri_mut() = uri;
    }
    request
}

fn with_separate_verb(uri: &Uri) -> Option<Uri> {
    let (head, verb) = uri.path().rsplit_once(':')?;
    if verb.is_empty() || !verb.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    format!("{head}/:{verb}{query}").parse().ok()
}

/// The path as the caller wrote it.
pub(super) fn shown(uri: &Uri) -> String {
    uri.path().replacen("/:", ":", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_what_follows_the_last_colon_of_the_last_segment() {
        for (path, expected) in [
            ("/v1/x/devices/a:sendCommandToDevice?p=1", Some("/v1/x/devices/a/:sendCommandToDevice?p=1")),
            ("/v1/x/devices/odd:name:invokeMethod", Some("/v1/x/devices/odd:name/:invokeMethod")),
            ("/v1/x/devices/a", None),
            ("/v1/projects/example.com:home/locations/l/registries", None),
            ("/v1/x/devices/a:", None),
            ("/v1/x/devices/a:7", None),
        ] {
            let separated = with_separate_verb(&path.parse().unwrap());
            assert_eq!(separated.as_ref().map(ToString::to_string).as_deref(), expected, "{path}");
            if let Some(separated) = separated {
                assert_eq!(Some(shown(&separated).as_str()), path.split('?').next());
            }
        }
    }
}
