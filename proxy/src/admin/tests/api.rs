use super::super::api::BODY_BYTES_MAX;
use super::super::endpoints::ENDPOINTS;
use super::super::openapi;
use super::{House, PATIENCE, ask, exchange, request};
use narrows_ledger::{NewAdminToken, Role, TOKEN_LEN};
use serde_json::Value;
use std::net::TcpStream;
use std::sync::Arc;

#[test]
fn nobody_gets_in_without_the_token() {
    let house = House::new();
    let key =
        house.ask("POST", "/admin/v1/keys", r#"{"name": "x"}"#).json()["key"].as_str().unwrap().to_owned();
    let mut mistyped = house.token.clone().into_bytes();
    let last = mistyped.get_mut(TOKEN_LEN - 1).unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    let mistyped = String::from_utf8(mistyped).unwrap();
    let right = &house.token;
    for headers in [
        String::new(),
        "authorization: Bearer \r\n".into(),
        format!("authorization: Bearer {mistyped}\r\n"),
        format!("authorization: Bearer {key}\r\n"),
        format!("authorization: Basic {right}\r\n"),
        format!("authorization: {right}\r\n"),
        format!("authorization: Bearer {right}\r\nauthorization: Bearer {right}\r\n"),
        format!("x-api-key: {right}\r\n"),
    ] {
        for path in ["/admin/v1/keys", "/admin/v1/status", "/no/such/path", "/"] {
            let answer = ask(house.admin, "GET", path, &headers, "");
            assert_eq!(answer.refusal(401).0, "unauthorized", "{headers}");
            assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
            assert!(!answer.body.contains(right.as_str()));
        }
    }
    let lower = format!("Authorization: bearer  {right}\r\n");
    assert_eq!(ask(house.admin, "GET", "/admin/v1/keys", &lower, "").status, 200);
}

#[test]
fn paths_and_methods_that_are_not_there_are_refused_in_json() {
    let house = House::new();
    assert_eq!(house.get("/admin/v1/kyes").refusal(404).0, "not_found");
    let answer = house.ask("PUT", "/admin/v1/keys", "{}");
    assert_eq!(answer.refusal(405).0, "method_not_allowed");
    let allow = answer.head.lines().find(|line| line.starts_with("allow:")).unwrap();
    assert!(allow.contains("get") && allow.contains("post"), "{allow}");
}

#[test]
fn a_body_has_a_limit() {
    let house = House::new();
    let body = |bytes: usize| format!("{{\"name\": \"x\"{}}}", " ".repeat(bytes - "{\"name\": \"x\"}".len()));
    assert_eq!(house.ask("POST", "/admin/v1/keys", &body(BODY_BYTES_MAX)).status, 201);
    let (code, message) = house.ask("POST", "/admin/v1/keys", &body(BODY_BYTES_MAX + 1)).refusal(413);
    assert_eq!(code, "body_too_large");
    assert!(message.contains(&BODY_BYTES_MAX.to_string()), "{message}");
}

#[test]
fn the_status_page_holds_no_secret() {
    let house = House::new();
    let status = house.get("/admin/v1/status");
    assert!(!status.body.contains("secret-credential") && !status.body.contains(&house.token));
    let status = status.ok();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["snapshot"], format!("{:016x}", house.gateway.snapshot().hash));
    assert_eq!(status["listeners"]["admin"], house.admin.to_string());
    assert_eq!(status["providers"][0]["name"], "main");
    assert_eq!(status["providers"][0]["connections"]["opened"], 0);
    assert_eq!(status["store"]["failing"], false);
}

#[test]
fn the_description_names_every_path_and_method() {
    let house = House::new();
    let document = house.get("/admin/v1/openapi.json").ok();
    let wanted: Value = serde_json::from_str(openapi::DOCUMENT).unwrap();
    assert_eq!(document, wanted);
    let paths = document["paths"].as_object().unwrap();
    for endpoint in ENDPOINTS {
        assert!(
            paths.get(endpoint.path).is_some_and(|item| item.get(endpoint.method).is_some()),
            "describe {} {} in openapi.json",
            endpoint.method,
            endpoint.path
        );
    }
    for (path, item) in paths {
        for method in ["get", "post", "delete", "put", "patch"] {
            let probed = path.replace("{id}", "00000000-0000-7000-8000-000000000000");
            let status = house.ask(&method.to_ascii_uppercase(), &probed, "{\"no\": 1}").status;
            assert_eq!(status != 405, item.get(method).is_some(), "{method} {path}: {status}");
        }
    }
}

#[test]
fn no_endpoint_takes_a_parameter_that_it_does_not_know() {
    let house = House::new();
    let new =
        NewAdminToken { name: "all".into(), organization: None, role: Role::Content, expires_at_us: None };
    let reads = house.gateway.ledger.create_admin_token(&new, "test").unwrap().token;
    for endpoint in ENDPOINTS {
        let token = if endpoint.needs.role == Role::Content { reads.expose() } else { &house.token };
        let path = endpoint.path.replace("{id}", "x").replace("{name}", "x");
        let asked = format!("{path}?nonsense=1");
        let answer = house.ask_as(token, &endpoint.method.to_ascii_uppercase(), &asked, "{}");
        let (code, message) = answer.refusal(400);
        let names_it = message.contains("`nonsense`") || endpoint.needs.query;
        assert!(code == "invalid_parameter" && names_it, "{} {asked}: {message}", endpoint.method);
    }
}

#[test]
fn it_speaks_tls() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["admin".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let house = House::with_tls(Some(Arc::new(server)));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // One that connects and says nothing holds nobody up.
    let _silent = TcpStream::connect(house.admin).unwrap();
    let tcp = TcpStream::connect(house.admin).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let session = rustls::ClientConnection::new(Arc::new(client), "admin".try_into().unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(session, tcp);
    let headers = format!("authorization: Bearer {}\r\n", house.token);
    assert_eq!(exchange(&mut stream, &request("GET", "/admin/v1/keys", &headers, "")).status, 200);
}
