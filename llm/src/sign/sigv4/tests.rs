//! AWS's Signature Version 4 test suite (aws-sig-v4-test-suite), and the API guide's example.

use super::*;
use proptest::prelude::*;

const CREDENTIALS: Credentials<'_> = Credentials {
    access_key_id: "AKIDEXAMPLE",
    secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    session_token: None,
};
const SCOPE: Scope<'_> = Scope { region: "us-east-1", service: "service" };
/// 2015-08-30T12:36:00Z.
const AT: u64 = 1_440_938_160;
/// What RFC 3986 calls unreserved.
const PLAIN: &str = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The names of the signed headers, and the signature.
fn signed(
    credentials: &Credentials<'_>,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (String, String) {
    let headers: Vec<_> = [("Host", "example.amazonaws.com")].iter().chain(headers).copied().collect();
    let request = Request { method, target, headers: &headers, body: body.as_bytes() };
    let added = sign(credentials, &SCOPE, AT, &request);
    assert_eq!(added[0], (DATE, "20150830T123600Z".to_owned()));
    let value = &added.last().unwrap().1;
    let start =
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=";
    let rest = value.strip_prefix(start).unwrap();
    let (names, signature) = rest.split_once(", Signature=").unwrap();
    (names.to_owned(), signature.to_owned())
}

fn signature(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> String {
    signed(&CREDENTIALS, method, target, headers, body).1
}

#[test]
fn paths_and_queries_of_the_suite() {
    let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let plain = format!("/{PLAIN}");
    let plain_query = format!("/?{PLAIN}={PLAIN}");
    for (name, target, expected) in [
        ("get-vanilla", "/", vanilla),
        ("get-slash", "//", vanilla),
        ("get-relative", "/example/..", vanilla),
        ("get-relative-relative", "/example1/example2/../..", vanilla),
        ("get-slash-dot-slash", "/./", vanilla),
        (
            "get-vanilla-empty-query-key",
            "/?Param1=value1",
            "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
        ),
        (
            "get-vanilla-query-order-key-case",
            "/?Param2=value2&Param1=value1",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "get-vanilla-query-order-value",
            "/?Param1=value2&Param1=value1",
            "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
        ),
        (
            "get-vanilla-query-unreserved",
            &plain_query,
            "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
        ),
        (
            "get-vanilla-utf8-query",
            "/?ሴ=bar",
            "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
        ),
        ("get-unreserved", &plain, "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
        ("get-utf8", "/ሴ", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        ("get-space", "/example space/", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
    ] {
        assert_eq!(signature("GET", target, &[], ""), expected, "{name}");
    }
    // The wire's form of a query signs the same as the text it stands for.
    assert_eq!(signature("GET", "/?%E1%88%B4=bar", &[], ""), signature("GET", "/?ሴ=bar", &[], ""));
}

#[test]
fn headers_of_the_suite() {
    let one = |value: &'static str| [("My-Header1", value)];
    for (name, headers, expected) in [
        (
            "get-header-key-duplicate",
            &[("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")][..],
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        ),
        (
            "get-header-value-order",
            &[
                ("My-Header1", "value4"),
                ("My-Header1", "value1"),
                ("My-Header1", "value3"),
                ("My-Header1", "value2"),
            ],
            "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
        ),
        (
            "get-header-value-trim",
            &[("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")],
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
    ] {
        assert_eq!(signature("GET", "/", headers, ""), expected, "{name}");
    }
    for (name, value, expected) in [
        (
            "post-header-key-sort",
            "value1",
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        ),
        (
            "post-header-value-case",
            "VALUE1",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
    ] {
        assert_eq!(signature("POST", "/", &one(value), ""), expected, "{name}");
    }
}

#[test]
fn bodies_of_the_suite() {
    let form = "application/x-www-form-urlencoded";
    let utf8 = "application/x-www-form-urlencoded; charset=utf8";
    let post = |target: &str, kind: Option<&str>, body: &str| {
        let headers: Vec<_> = kind.map(|kind| ("Content-Type", kind)).into_iter().collect();
        signature("POST", target, &headers, body)
    };
    assert_eq!(post("/", None, ""), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
    assert_eq!(
        post("/?Param1=value1", None, ""),
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"
    );
    assert_eq!(
        post("/", Some(form), "Param1=value1"),
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
    );
    assert_eq!(
        post("/", Some(utf8), "Param1=value1"),
        "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"
    );
}

#[test]
fn a_temporary_token_is_signed_and_sent() {
    let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYR\
                 qTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU\
                 9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYv\
                 KTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
    let credentials = Credentials { session_token: Some(token), ..CREDENTIALS };
    let (names, signature) = signed(&credentials, "POST", "/", &[], "");
    assert_eq!(names, "host;x-amz-date;x-amz-security-token");
    // post-sts-header-before of the suite.
    assert_eq!(signature, "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead");
}

#[test]
fn the_guides_example_for_iam() {
    let headers =
        [("content-type", "application/x-www-form-urlencoded; charset=utf-8"), ("host", "iam.amazonaws.com")];
    let target = "/?Action=ListUsers&Version=2010-05-08";
    let request = Request { method: "GET", target, headers: &headers, body: b"" };
    let added = sign(&CREDENTIALS, &Scope { region: "us-east-1", service: "iam" }, AT, &request);
    let expected = "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    assert!(added.last().unwrap().1.ends_with(expected), "{added:?}");
}

#[test]
fn an_escaped_path_is_escaped_once_more() {
    assert_eq!(canonical_path("/model/a%3Ab/invoke"), "/model/a%253Ab/invoke");
    assert_eq!(canonical_path(""), "/");
    assert_eq!(canonical_path("/../../a/./b/.."), "/a/");
}

#[test]
fn what_proxies_change_is_not_signed() {
    let headers = [
        ("Content-Length", "3"),
        ("User-Agent", "x"),
        ("Connection", "close"),
        ("Authorization", "Bearer x"),
    ];
    assert_eq!(signature("GET", "/", &headers, ""), signature("GET", "/", &[], ""));
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (seconds, expected) in [
        (0, "19700101T000000Z"),
        (951_782_399, "20000228T235959Z"),
        (951_782_400, "20000229T000000Z"),
        (951_868_800, "20000301T000000Z"),
        (AT, "20150830T123600Z"),
        (1_798_761_599, "20261231T235959Z"),
        (4_107_542_400, "21000301T000000Z"),
    ] {
        assert_eq!(basic_time(seconds), expected);
    }
}

#[test]
fn secrets_are_not_printed() {
    let credentials = Credentials { session_token: Some("canary-token"), ..CREDENTIALS };
    let request = Request { method: "GET", target: "/", headers: &[("x", "canary")], body: b"canary" };
    let printed = format!("{credentials:?}{request:?}");
    assert!(!printed.contains("wJalr") && !printed.contains("canary"), "{printed}");
}

proptest! {
    #[test]
    fn dates_are_those_that_headers_are_read_by(day in 0_u64..2_000_000) {
        let (year, month, date) = civil(day);
        let signed = |figure: u64| i64::try_from(figure).unwrap();
        prop_assert_eq!(crate::instant::days(signed(year), signed(month), signed(date)), Some(signed(day)));
    }

    #[test]
    fn any_request_is_signed_and_any_change_shows(
        target in "/[ -~é]{0,20}", value in "[ -~]{0,20}", body in any::<Vec<u8>>(), at in 0..u64::from(u32::MAX),
    ) {
        let headers = [("host", "h"), ("x", value.as_str())];
        let request = Request { method: "POST", target: &target, headers: &headers, body: &body };
        let signature = |request: &Request<'_>| sign(&CREDENTIALS, &SCOPE, at, request).pop().unwrap().1;
        let longer = [body.as_slice(), b"x"].concat();
        prop_assert_ne!(signature(&request), signature(&Request { body: &longer, ..request }));
        prop_assert_ne!(signature(&request), signature(&Request { method: "PUT", ..request }));
        prop_assert_eq!(signature(&request), signature(&request));
    }
}
