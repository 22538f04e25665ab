use crate::config::path::Path;
use crate::config::tree::*;

fn tree(text: &str) -> Node {
    let (node, problems) = parse("f", text);
    assert_eq!(problems, []);
    node.unwrap()
}

fn refused(text: &str) -> String {
    let (node, problems) = parse("f", text);
    assert!(node.is_none(), "a tree came of {:.60}", text);
    problems[0].message.clone()
}

#[test]
fn positions_are_of_keys_and_scalars() {
    let root = tree("version: 1\nlisten:\n  gateway:\n    - address: here\n");
    let at = |keys: &[&str]| {
        let position = root.position(&Path::of(keys));
        (position.line, position.column)
    };
    assert_eq!(at(&["version"]), (1, 10));
    assert_eq!(at(&["listen"]), (2, 1));
    assert_eq!(at(&["listen", "absent"]), (2, 1));
    let address = Path::of(&["listen", "gateway"]).index(0).key("address");
    assert_eq!(root.position(&address), Position { line: 4, column: 16 });
    assert_eq!(address.to_string(), "listen.gateway[0].address");
    assert_eq!(Path::of(&["models", "gpt-4.1"]).to_string(), "models.\"gpt-4.1\"");
}

#[test]
fn nesting_has_a_limit() {
    tree(&"[".repeat(DEPTH_MAX).chars().chain("]".repeat(DEPTH_MAX).chars()).collect::<String>());
    let deep: String = "[".repeat(DEPTH_MAX + 1) + &"]".repeat(DEPTH_MAX + 1);
    assert!(refused(&deep).contains("32 levels"));
    let by_alias = format!("a: &a {}{}\nb: [[*a]]\n", "[".repeat(DEPTH_MAX - 2), "]".repeat(DEPTH_MAX - 2));
    assert!(refused(&by_alias).contains("32 levels"));
}

#[test]
fn aliases_cannot_multiply_without_bound() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let before = format!("*a{}", level - 1);
        let nine = [before.as_str(); 9].join(", ");
        text += &format!("a{level}: &a{level} [{nine}]\n");
    }
    assert!(refused(&text).contains("20000 values"));
}

#[test]
fn values_have_a_limit() {
    let list = |items: usize| format!("[{}]", vec!["x"; items].join(","));
    tree(&list(NODES_MAX - 1));
    assert!(refused(&list(NODES_MAX)).contains("20000 values"));
}

#[test]
fn a_file_has_a_limit() {
    tree(&" ".repeat(FILE_BYTES_MAX));
    assert!(refused(&" ".repeat(FILE_BYTES_MAX + 1)).contains("1 MiB"));
}

#[test]
fn an_alias_stands_for_its_value_and_cannot_hold_itself() {
    let root = tree("a: &x {b: c}\nd: *x\n");
    assert_eq!(root.get("d").unwrap().keys(), ["b"]);
    assert!(!refused("a: &x [*x]").is_empty());
}

#[test]
fn odd_documents_are_refused() {
    assert!(refused("a: [").contains("not valid YAML"));
    assert!(refused("a: b\n---\nc: d\n").contains("second YAML document"));
    assert!(refused("? [a]\n: b\n").contains("not a word"));
    assert!(refused("a: !secret b").contains("tag"));
    assert_eq!(tree("# nothing\n").keys(), Vec::<&str>::new());
}

#[test]
fn a_repeated_key_is_a_problem_on_its_own_line() {
    let (node, problems) = parse("f", "a: 1\nb: 2\na: 3\n");
    assert!(node.is_some());
    assert_eq!((problems[0].line, problems[0].column), (3, 1));
    assert!(problems[0].suggestion.contains("line 1"));
}
