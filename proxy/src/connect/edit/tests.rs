use super::*;
use proptest::prelude::*;
use serde_json::{Map, Value as Json};

fn set(format: Format, text: &str, path: &[&str], raw: &str) -> String {
    format.set(text, path, raw).unwrap()
}

#[test]
fn a_new_json_file_is_written_as_people_do() {
    let text = set(Format::Json, "", &["env", "A"], "\"1\"");
    let text = set(Format::Json, &text, &["env", "B"], "\"2\"");
    assert_eq!(text, "{\n  \"env\": {\n    \"A\": \"1\",\n    \"B\": \"2\"\n  }\n}\n");
}

#[test]
fn comments_order_and_style_of_json_stay() {
    let text = "// mine\n{\n    \"z\": 1.0, // one\n    \"env\": {\n        \"KEEP\": \"x\" /* y */\n        // end\n    },\n    \"a\": [1, 2,],\n}\n";
    let new = set(Format::Json, text, &["env", "A"], "\"1\"");
    let expected = "// mine\n{\n    \"z\": 1.0, // one\n    \"env\": {\n        \"KEEP\": \"x\", /* y */\n        // end\n        \"A\": \"1\"\n    },\n    \"a\": [1, 2,],\n}\n";
    assert_eq!(new, expected);
    assert_eq!(
        set(Format::Json, text, &["b", "c"], "true").lines().rev().take(5).collect::<Vec<_>>(),
        ["}", "    },", "        \"c\": true", "    \"b\": {", "    \"a\": [1, 2,],"],
        "a trailing comma is the file's style"
    );
}

#[test]
fn one_line_stays_one_line() {
    assert_eq!(set(Format::Json, "{\"a\": 1}", &["b", "c"], "2"), "{\"a\": 1, \"b\": {\"c\": 2}}");
    assert_eq!(set(Format::Json, "{\"a\": 1} // x", &["a"], "2"), "{\"a\": 2} // x");
    let commented = set(Format::Json, "{ \"a\": 1 // x\n}", &["b"], "2");
    assert_eq!(commented, "{ \"a\": 1, \"b\": 2 // x\n}");
    let closed = set(Format::Json, "{\n  \"a\": 1}", &["b"], "2");
    assert_eq!(closed, "{\n  \"a\": 1,\n  \"b\": 2\n}");
}

#[test]
fn what_is_taken_away_leaves_no_hole() {
    let text = "{\n  \"a\": 1, // one\n  \"b\": 2,\n  // three\n  \"c\": 3\n}\n";
    assert_eq!(
        Format::Json.remove(text, &["b"]).unwrap(),
        "{\n  \"a\": 1, // one\n  // three\n  \"c\": 3\n}\n"
    );
    assert_eq!(
        Format::Json.remove(text, &["c"]).unwrap(),
        "{\n  \"a\": 1, // one\n  \"b\": 2\n  // three\n}\n"
    );
    assert_eq!(Format::Json.remove("{ // x\n \"a\": 1 }", &["a"]).unwrap(), "{ // x\n }");
    assert_eq!(Format::Json.remove("{\"a\": 1, \"a\": 2, \"b\": 3}", &["a"]).unwrap(), "{ \"b\": 3}");
    assert_eq!(Format::Json.remove(text, &["d", "e"]).unwrap(), text);
}

#[test]
fn what_is_not_json_is_refused_with_its_line() {
    for (text, line) in
        [("{\n\"a\": }", 2), ("{\"a\" 1}", 1), ("{\"a\": 1 \"b\": 2}", 1), ("{}\n\n{}", 3), ("[1 2]", 1)]
    {
        match Format::Json.set(text, &["x"], "1") {
            Err(EditError::Malformed { line: found, .. }) => assert_eq!(found, line, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(
        Format::Json.set("{\"env\": 3}", &["env", "A"], "1"),
        Err(EditError::NotATable("env".to_owned()))
    );
    let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
    assert!(Format::Json.set(&format!("{{\"a\": {deep}}}"), &["b"], "1").is_err());
    let fits = format!("{}{}", "[".repeat(63), "]".repeat(63));
    assert!(Format::Json.set(&format!("{{\"a\": {fits}}}"), &["b"], "1").is_ok());
}

#[test]
fn toml_keeps_its_comments_and_order() {
    let text = "# mine\nmodel = \"o3\" # best\n\n[tui]\nnotifications = true # yes\n";
    let new = set(Format::Toml, text, &["model_provider"], "\"narrows\"");
    let new = set(Format::Toml, &new, &["model_providers", "narrows", "name"], "\"Narrows\"");
    let new = set(Format::Toml, &new, &["model"], "\"gpt-5\"");
    assert_eq!(
        new,
        "# mine\nmodel = \"gpt-5\" # best\nmodel_provider = \"narrows\"\n\n[tui]\nnotifications = true # yes\n\n\
         [model_providers.narrows]\nname = \"Narrows\"\n"
    );
    assert_eq!(Format::Toml.get(&new, &["model"]).unwrap().as_deref(), Some("\"gpt-5\""));
    let less = Format::Toml.remove(&new, &["model_providers", "narrows"]).unwrap();
    assert!(!less.contains("Narrows") && less.contains("# yes"), "{less}");
    assert_eq!(Format::Toml.set("a = 1\n", &["a", "b"], "1"), Err(EditError::NotATable("a".to_owned())));
    assert!(matches!(
        Format::Toml.set("a = 1\nb = =\n", &["c"], "1"),
        Err(EditError::Malformed { line: 2, .. })
    ));
}

#[test]
fn lines_of_variables_are_replaced_and_added() {
    let text = "# mine\nA=1\nexport B='two words'\nC=3";
    assert_eq!(Format::Env.get(text, &["B"]).unwrap().as_deref(), Some("'two words'"));
    assert_eq!(set(Format::Env, text, &["B"], "2"), "# mine\nA=1\nexport B=2\nC=3");
    assert_eq!(set(Format::Env, text, &["D"], "4"), "# mine\nA=1\nexport B='two words'\nC=3\nD=4\n");
    assert_eq!(Format::Env.remove(text, &["A"]).unwrap(), "# mine\nexport B='two words'\nC=3");
    for value in ["plain", "two words", "it's", "a\"b", "#x", ""] {
        assert_eq!(Format::Env.unquote(&Format::Env.quote(value)).as_deref(), Some(value));
    }
}

/// Any JSON value.
fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        "[ -~é東🙂\\\\\"/*]{0,8}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            object(inner).prop_map(Json::from),
        ]
    })
}

fn object(inner: impl Strategy<Value = Json>) -> impl Strategy<Value = Map<String, Json>> {
    prop::collection::btree_map("[a-e/\"é]{1,2}", inner, 0..4).prop_map(|map| map.into_iter().collect())
}

proptest! {
    /// Whatever the file, the value stands where it was put, all else is as it was, and taking it away gives the
    /// file's meaning back.
    #[test]
    fn what_is_put_into_json_is_there_and_all_else_stays(
        before in object(json()), pretty in any::<bool>(), path in prop::collection::vec("[a-e]", 1..4), value in json(),
    ) {
        let root = Json::from(before);
        let text = if pretty { serde_json::to_string_pretty(&root).unwrap() } else { root.to_string() };
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let raw = value.to_string();
        let Ok(after) = Format::Json.set(&text, &path, &raw) else {
            // Only where something else stands in the way.
            let pointers = (1..path.len()).map(|depth| format!("/{}", path[..depth].join("/")));
            let mut on_the_way = pointers.filter_map(|pointer| root.pointer(&pointer));
            prop_assert!(on_the_way.any(|found| !found.is_object()));
            return Ok(());
        };
        let pointer = format!("/{}", path.join("/"));
        let read: Json = serde_json::from_str(&after).unwrap();
        prop_assert_eq!(read.pointer(&pointer), Some(&value));
        prop_assert_eq!(Format::Json.get(&after, &path).unwrap(), Some(raw));
        if root.pointer(&pointer).is_none() {
            // The first level that was new goes again.
            let new = (1..=path.len()).find(|depth| root.pointer(&format!("/{}", path[..*depth].join("/"))).is_none());
            let less = Format::Json.remove(&after, &path[..new.unwrap()]).unwrap();
            prop_assert_eq!(serde_json::from_str::<Json>(&less).unwrap(), root);
        } else {
            let back = Format::Json.set(&after, &path, &root.pointer(&pointer).unwrap().to_string()).unwrap();
            prop_assert_eq!(serde_json::from_str::<Json>(&back).unwrap(), root);
        }
    }

    /// Nothing that is read makes the reader panic.
    #[test]
    fn any_text_is_read_or_refused(text in "[ \\n\"{}\\[\\]:,/*\\\\a1é]{0,24}") {
        drop(Format::Json.set(&text, &["a"], "1"));
        drop(Format::Json.remove(&text, &["a"]));
        drop(Format::Toml.set(&text, &["a"], "1"));
        drop(Format::Env.set(&text, &["a"], "1"));
    }
}
