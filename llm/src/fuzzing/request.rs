//! Fuzz targets of the request's side.

use crate::endpoint;
use crate::request::{self, BodyCause, apply};
use bytes::Bytes;
use serde::de::IgnoredAny;

/// The body without what stands inside the outermost object's arrays and objects, found byte by byte: what
/// [`request::head()`] promises to check by the whole grammar. `None` if there is something in these arrays and
/// objects that it promises to refuse.
pub(crate) fn outline(body: &[u8]) -> Option<Vec<u8>> {
    let (mut open, mut in_string, mut escaped) = (Vec::new(), false, false);
    let mut outline = Vec::new();
    for byte in body {
        let nested = open.len() > 1;
        match byte {
            _ if escaped => escaped = false,
            0..0x20 if in_string && nested => return None,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => open.push(*byte),
            b'}' | b']' if open.pop() != Some(if *byte == b'}' { b'{' } else { b'[' }) => return None,
            b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' => {}
            0..0x20 | b'\\' | 0x80.. if nested => return None,
            _ => {}
        }
        if !nested || open.len() == 1 {
            outline.push(*byte);
        }
    }
    (open.is_empty() && !in_string).then_some(outline)
}

/// Reads any bytes as a request's body, and judges them as serde_json does: what that accepts is accepted, and of
/// what is accepted at least the outline is valid. What is accepted is edited, and the edits must be the only
/// difference.
///
/// # Panics
/// When a promise of [`request::head()`] or [`request::apply`] does not hold.
pub fn json_head(body: &[u8]) {
    let head = match request::head(body) {
        Ok(head) => head,
        Err(fault) => {
            let ours = matches!(
                fault.cause,
                BodyCause::Duplicate(_)
                    | BodyCause::WrongType { .. }
                    | BodyCause::ModelNotText
                    | BodyCause::ModelTooLong
                    | BodyCause::TooDeep
            );
            assert!(ours || !is_object(body), "refused what is valid: {fault}");
            assert!(fault.at <= body.len(), "a fault lies within the body");
            return;
        }
    };
    assert!(std::str::from_utf8(body).is_ok(), "accepted what is not UTF-8");
    assert!(outline(body).is_some_and(|outline| is_object(&outline)), "accepted what is not valid");
    assert!(head.text_bytes + head.media_bytes <= body.len() as u64, "no byte is counted twice");
    let edits: Vec<_> = request::replace_model(&head, "other \"model\"")
        .into_iter()
        .chain(request::request_usage(&head))
        .collect();
    let grown: usize = edits.iter().map(|edit| edit.replacement.len()).sum();
    let gone: usize = edits.iter().map(|edit| edit.range.len()).sum();
    let Ok(edited) = apply(&Bytes::copy_from_slice(body), edits) else {
        unreachable!("edits of one head never overlap")
    };
    assert_eq!(edited.len(), body.len() + grown - gone, "nothing but the edits changed");
    let edited = edited.into_bytes();
    let Ok(again) = request::head(&edited) else { unreachable!("an edited body is as valid as before") };
    assert_eq!(again.include_usage(), Some(true));
    assert_eq!(again.model(), head.model().map(|_| "other \"model\""));
    assert_eq!(again.streams(), head.streams());
}

/// Whether serde_json takes the bytes for an object.
pub(crate) fn is_object(body: &[u8]) -> bool {
    let object = body.iter().find(|byte| !b" \n\r\t".contains(byte)) == Some(&b'{');
    object && std::str::from_utf8(body).is_ok() && serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

/// Reads any bytes as `method path`, split at the first blank.
///
/// # Panics
/// When a recognized model could change the meaning of an upstream path.
pub fn path(line: &[u8]) {
    let Ok(line) = std::str::from_utf8(line) else { return };
    let (method, path) = line.split_once(' ').unwrap_or(("GET", line));
    let Ok(endpoint) = endpoint::recognize(method, path) else { return };
    if let Some(model) = endpoint.model {
        assert!(!model.chars().any(char::is_control), "no control characters");
        let plain = |segment: &str| !segment.is_empty() && segment != "." && segment != "..";
        assert!(model.split('/').all(plain), "no empty or dot segments");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn telling_bodies_keep_every_promise() {
        for body in [
            "",
            "{}",
            " { } ",
            r#"{"model":"a"}"#,
            r#"{"stream_options":{},"model":"\u0061"}"#,
            r#"{"stream_options":{"include_usage":null},"stream":true}"#,
            r#"{"stream_options":null}"#,
            r#"{"model":"a","model":"b"}"#,
            "{\"x\":\"\u{1}\"}",
            r#"{"x":"\ud800"}"#,
        ] {
            json_head(body.as_bytes());
        }
        json_head(b"{\"x\":\"\xff\"}");
        path(b"POST /v1beta/models/a%2Fb:generateContent");
        path(b"GET /v1/models/%2e%2e");
        path(b"\xff");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_bytes_keep_every_promise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            json_head(&bytes);
            path(&bytes);
        }

        #[test]
        fn json_like_bytes_keep_every_promise(text in r#"[ {}\[\]":,\\a-z0-9"]{0,120}"#) {
            json_head(text.as_bytes());
            json_head(format!("{{\"model\":\"m\",{text}}}").as_bytes());
        }
    }
}
