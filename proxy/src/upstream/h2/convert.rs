//! Heads, between the form of HTTP/1.1 and that of HTTP/2.

use crate::upstream::Fault;
use crate::upstream::head::{HEAD_FIELDS_MAX, Head, Meaning, put_field};
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, Version, header};
use std::mem::MaybeUninit;

/// Fields of a request: as many as a client may send, and ours.
const REQUEST_FIELDS_MAX: usize = HEAD_FIELDS_MAX + 64;

/// The head of a request, as the exchange wrote it for HTTP/1.1, as HTTP/2 has it (RFC 9113 §8.3.1). Names and values
/// are not copied.
pub(super) fn request(head: &Bytes, tls: bool) -> Result<Request<()>, Fault> {
    let odd = Fault::Unsayable;
    let mut fields = [const { MaybeUninit::uninit() }; REQUEST_FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut fields) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(odd("it has too many header fields")),
        Ok(httparse::Status::Partial) | Err(_) => return Err(odd("its head is none")),
    }
    let mut request = Request::new(());
    *request.version_mut() = Version::HTTP_2;
    *request.method_mut() = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes())
        .map_err(|_invalid| odd("its method is none"))?;
    let mut authority = None;
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_invalid| odd("the name of a field is none"))?;
        if name == header::HOST {
            authority = Some(head.slice_ref(field.value));
            continue;
        }
        if name == header::CONNECTION {
            continue;
        }
        let mut value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_invalid| odd("the value of a field is none"))?;
        // Credentials are not put into the table of the header compression (RFC 7541 §7.1.3).
        value.set_sensitive(is_credential(&name));
        request.headers_mut().append(name, value);
    }
    let path = head.slice_ref(parsed.path.unwrap_or_default().as_bytes());
    let uri = Uri::builder().scheme(if tls { "https" } else { "http" });
    let uri = uri.authority(authority.as_deref().unwrap_or_default()).path_and_query(&path[..]);
    *request.uri_mut() = uri.build().map_err(|_invalid| odd("its path is none"))?;
    Ok(request)
}

fn is_credential(name: &HeaderName) -> bool {
    matches!(name.as_str(), "authorization" | "x-api-key" | "x-goog-api-key" | "api-key" | "cookie")
}

/// The head of an answer, and the length of its body if it is told.
pub(super) fn response<T>(response: &Response<T>) -> Result<(Head, Option<u64>), Fault> {
    let mut meaning = Meaning::new(true);
    let mut kept = BytesMut::new();
    for (name, value) in response.headers() {
        if meaning.take(name.as_str(), value.as_bytes())? {
            put_field(&mut kept, name.as_str(), value.as_bytes());
        }
    }
    let length = meaning.length();
    Ok((meaning.into_head(response.status(), None, kept.freeze())?, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_keeps_its_fields_and_gets_pseudo_fields() {
        let head = Bytes::from_static(
            b"POST /v1/x?a=b HTTP/1.1\r\nhost: api.test:8443\r\nA: 1\r\na: 2\r\nauthorization: Bearer s\r\ncontent-length: 5\r\n\r\n",
        );
        let request = request(&head, true).unwrap();
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.uri().to_string(), "https://api.test:8443/v1/x?a=b");
        assert_eq!(request.headers().get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(request.headers()["content-length"], "5");
        assert!(request.headers()["authorization"].is_sensitive() && !request.headers().contains_key("host"));
    }

    #[test]
    fn the_number_of_fields_has_a_limit_that_is_not_the_providers_fault() {
        let head = |count| {
            let fields: String = (0..count).map(|number| format!("x-{number}: 1\r\n")).collect();
            Bytes::from(format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))
        };
        let fits = request(&head(REQUEST_FIELDS_MAX - 1), true).unwrap();
        assert_eq!(fits.headers().len(), REQUEST_FIELDS_MAX - 1);
        let fault = request(&head(REQUEST_FIELDS_MAX), true).unwrap_err();
        assert!(matches!(fault, Fault::Unsayable(_)) && fault.to_string().contains("too many"), "{fault}");
    }

    #[test]
    fn an_answer_is_read_as_over_http_1() {
        let made = Response::builder()
            .status(200)
            .header("content-type", "text/event-stream")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("x-request-id", "req_1")
            .header("content-length", "5");
        let (head, length) = response(&made.body(()).unwrap()).unwrap();
        assert_eq!((length, head.request_id.as_deref(), head.status.as_u16()), (Some(5), Some("req_1"), 200));
        let lines = String::from_utf8(head.fields.to_vec()).unwrap();
        assert!(
            lines.contains("set-cookie: a=1\r\nset-cookie: b=2\r\n") && !lines.contains("content-length")
        );
    }
}
