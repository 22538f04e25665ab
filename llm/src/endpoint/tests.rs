use super::*;
use proptest::prelude::*;

fn ok<'a>(method: &str, path: &'a str) -> Endpoint<'a> {
    recognize(method, path).unwrap_or_else(|fault| panic!("{method} {path}: {fault:?}"))
}

/// A concrete path of a route.
fn example(route: &Route) -> String {
    route.path.replace("{version}", "v1beta").replace("{model}", "some-model")
}

#[test]
fn every_route_is_served_with_and_without_a_prefix() {
    for route in ROUTES {
        let path = example(route);
        let plain = ok(route.method, &path);
        assert_eq!((plain.operation, plain.dialect, plain.prefix), (route.operation, route.dialect, None));
        assert_eq!(plain.stream, route.stream);
        for prefix in ["openai", "acme", "my-provider.2"] {
            let prefixed = format!("/{prefix}{}", if path == "/" { "" } else { &path });
            let found = ok(route.method, &prefixed);
            assert_eq!(found.prefix, Some(prefix));
            assert_eq!((found.operation, found.dialect), (route.operation, route.dialect), "{prefixed}");
            assert_eq!(found.model, plain.model);
        }
    }
}

#[test]
fn the_paths_that_sdks_build_from_a_prefixed_base_url_are_served() {
    assert_eq!(ok("POST", "/openai/chat/completions").dialect, Dialect::OpenaiChat);
    assert_eq!(ok("POST", "/openai/v1/chat/completions").prefix, Some("openai"));
    assert_eq!(ok("GET", "/openai/models").operation, Operation::ListModels);
    assert_eq!(ok("GET", "/openai/models/gpt-4o").model.as_deref(), Some("gpt-4o"));
    assert_eq!(ok("POST", "/groq/responses").dialect, Dialect::OpenaiResponses);
    assert_eq!(ok("POST", "/anthropic/v1/messages").dialect, Dialect::AnthropicMessages);
    let genai = ok("POST", "/genai/v1beta/models/gemini-2.5-pro:streamGenerateContent");
    assert_eq!((genai.prefix, genai.provider()), (Some("genai"), Some("gemini")));
    assert_eq!((genai.stream, genai.model.as_deref()), (Some(true), Some("gemini-2.5-pro")));
    assert!(recognize("POST", "/anthropic/messages").is_err(), "only OpenAI's SDKs leave out the version");
    assert!(recognize("POST", "/chat/completions").is_err(), "a route's word is no provider");
}

#[test]
fn model_lists_take_the_shape_of_their_prefix() {
    assert_eq!(ok("GET", "/v1/models").dialect.family(), Family::Openai);
    assert_eq!(ok("GET", "/anthropic/v1/models").dialect.family(), Family::Anthropic);
    assert_eq!(ok("GET", "/gemini/v1beta/models").dialect.family(), Family::Gemini);
    assert_eq!(ok("GET", "/gemini/v1/models").dialect.family(), Family::Gemini);
    assert_eq!(ok("GET", "/v1beta/models").dialect.family(), Family::Gemini);
    assert_eq!(ok("HEAD", "/anthropic").dialect.family(), Family::Anthropic);
}

#[test]
fn models_with_slashes_colons_and_escapes_are_read() {
    for (path, model) in [
        ("/v1/models/meta-llama/Llama-3.3-70B", "meta-llama/Llama-3.3-70B"),
        ("/v1/models/meta-llama%2FLlama", "meta-llama/Llama"),
        ("/v1/models/ft:gpt-4o:org::id", "ft:gpt-4o:org::id"),
        ("/v1/models/claude@20250101", "claude@20250101"),
        ("/v1/models/a%20b%C3%A9", "a bé"),
        ("/v1beta/models/models/gemini-x", "gemini-x"),
        ("/v1beta/models/models%2Fgemini-x", "gemini-x"),
        ("/ollama/models/llama3:8b", "llama3:8b"),
    ] {
        assert_eq!(ok("GET", path).model.as_deref(), Some(model), "{path}");
    }
    let gemini = |path| ok("POST", path).model.map(Cow::into_owned);
    assert_eq!(gemini("/v1alpha/models/a:b:countTokens").as_deref(), Some("a:b"));
    assert_eq!(gemini("/v1/tunedModels/mine:generateContent").as_deref(), Some("tunedModels/mine"));
    assert_eq!(
        gemini("/v1beta/models/tunedModels/mine:generateContent").as_deref(),
        Some("tunedModels/mine")
    );
    let plain = "/v1/models/gpt-4o";
    assert!(matches!(ok("GET", plain).model, Some(Cow::Borrowed("gpt-4o"))));
}

#[test]
fn paths_that_could_mean_something_else_upstream_are_refused() {
    for path in [
        "",
        "v1/models",
        "//",
        "//v1/models",
        "/v1//models",
        "/v1/models//",
        "/v1/models/../messages",
        "/v1/./models",
        "/v1/models/a%2F..%2Fb",
        "/v1/models/%2e%2e",
        "/v1/models/a%2F%2Fb",
        "/v1/models/a%00b",
        "/v1/models/a%0Ab",
        "/v1/models/a%zz",
        "/v1/models/a%2",
        "/v1/models/%ff",
        "/v1/models/a\\b",
        "/v1/mo\u{1}dels",
    ] {
        assert!(matches!(recognize("GET", path), Err(PathFault::Malformed { .. })), "{path:?}");
    }
    let long = |length: usize| format!("/v1/models/{}", "m".repeat(length - "/v1/models/".len()));
    assert!(recognize("GET", &long(MAX_PATH_BYTES)).is_ok());
    assert_eq!(recognize("GET", &long(MAX_PATH_BYTES + 1)).unwrap_err().status(), 400);
}

#[test]
fn one_trailing_slash_is_tolerated() {
    assert_eq!(ok("POST", "/v1/chat/completions/").dialect, Dialect::OpenaiChat);
    assert_eq!(ok("GET", "/openai/").operation, Operation::Probe);
}

#[test]
fn a_wrong_method_names_the_right_one() {
    for (method, path, allow, family) in [
        ("GET", "/v1/chat/completions", "POST", Family::Openai),
        ("DELETE", "/v1/models", "GET", Family::Openai),
        ("PUT", "/anthropic/v1/messages", "POST", Family::Anthropic),
        ("POST", "/", "GET, HEAD", Family::Openai),
        ("GET", "/gemini/v1beta/models/g:generateContent", "POST", Family::Gemini),
        ("POST", "/v1beta/models/g", "GET", Family::Gemini),
    ] {
        match recognize(method, path) {
            Err(fault @ PathFault::Method { .. }) => {
                assert_eq!(fault, PathFault::Method { family, allow }, "{path}");
                assert_eq!(fault.status(), 405);
            }
            // A model may be called `g:generateContent`; describing it is then not found by the router.
            Ok(endpoint) => assert_eq!((method, endpoint.operation), ("GET", Operation::GetModel)),
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn unknown_paths_are_answered_in_the_likely_family() {
    for (path, family) in [
        ("/v1/audio/speech", Family::Openai),
        ("/openai/v1/files", Family::Openai),
        ("/anthropic/v1/files", Family::Anthropic),
        ("/v1/messages/batches", Family::Anthropic),
        ("/v1beta/files", Family::Gemini),
        ("/genai/v1beta/files", Family::Gemini),
        ("/x/y/models/a:streamGenerateContent", Family::Gemini),
        ("/v1/chat%2Fcompletions", Family::Openai),
        ("/a/b/chat/completions", Family::Openai),
        ("/favicon.ico/x", Family::Openai),
    ] {
        assert_eq!(recognize("POST", path), Err(PathFault::Unknown { family }), "{path}");
    }
}

#[test]
fn no_reserved_prefix_hides_a_route() {
    for route in ROUTES.iter().filter(|route| route.path != "/") {
        let path = example(route);
        let (first, _) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        assert!(RESERVED_PREFIXES.contains(&first), "{first} begins a route");
        if let Some(unversioned) = path.strip_prefix("/v1/") {
            let first = unversioned.split('/').next().unwrap();
            assert!(RESERVED_PREFIXES.contains(&first), "{first} begins a route without its version");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_path_panics_and_no_model_escapes(
        method in prop::sample::select(vec!["GET", "POST", "HEAD", "PUT"]),
        pieces in prop::collection::vec(prop::sample::select(vec![
            "/", "v1", "v1beta", "models", "messages", "%2F", "%2e", "..", ".", ":generateContent", "openai", "%", "é",
            "a", "chat", "completions", "tunedModels",
        ]), 0..12),
    ) {
        let path = pieces.concat();
        if let Ok(endpoint) = recognize(method, &path) && let Some(model) = endpoint.model {
            prop_assert!(!model.is_empty() && !model.chars().any(char::is_control));
            prop_assert!(model.split('/').all(|segment| !segment.is_empty() && segment != ".." && segment != "."));
        }
    }
}
