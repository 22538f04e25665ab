use super::*;
use crate::finding::Provenance::User;
use crate::rules::RuleSet;

fn engine(toml: &str) -> Engine {
    Engine::builder().secrets(RuleSet::gitleaks(toml).unwrap()).build().unwrap()
}

fn found(engine: &Engine, text: &str) -> Vec<(String, String)> {
    let mut hits = Vec::new();
    engine.scan(text, User, &mut Scratch::default(), &mut hits);
    hits.iter()
        .map(|hit| (engine.rule(hit.rule).unwrap().id.to_string(), text[hit.range.clone()].to_owned()))
        .collect()
}

const RULES: &str = r#"
title = "test"

[[rules]]
id = "github-pat"
description = "A token"
regex = '''\bghp_[0-9a-zA-Z]{36}\b'''
entropy = 3
keywords = ["ghp_"]

[[rules]]
id = "ada-key"
description = "A key"
regex = '''(?i)[\w.-]{0,50}?(?:adafruit)(?:[ \t\w.-]{0,20})[\s'"]{0,3}(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)[\x60'"\s=]{0,5}([a-z0-9_-]{32})(?:[\x60'"\s;]|\\[nr]|$)'''
keywords = ["adafruit"]

[[rules]]
id = "hex-forty"
description = "Forty digits where the vendor is named"
regex = '''\b([a-f0-9]{40})\b'''
keywords = ["sourcegraph"]

[[rules]]
id = "private-key"
description = "PEM"
regex = '''(?i)-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----[\s\S-]{64,}?KEY(?: BLOCK)?-----'''
keywords = ["-----begin"]

[[rules]]
id = "pair"
description = "A secret beside its identifier"
regex = '''\bsek-[a-z0-9]{12}\b'''
keywords = ["sek-"]
[[rules.required]]
id = "pair-id"
withinLines = 1

[[rules]]
id = "pair-id"
description = "The identifier"
regex = '''\bid-[0-9]{4}\b'''
skipReport = true

[[rules]]
id = "files"
path = '''\.p12$'''

[[rules]]
id = "excused"
description = "With exceptions"
regex = '''tok_([a-z0-9]{8,})'''
keywords = ["tok_"]
[[rules.allowlists]]
condition = "AND"
regexTarget = "line"
regexes = ['''example''']
stopwords = ["sample"]
[[rules.allowlists]]
regexTarget = "match"
regexes = ['''^tok_0+$''']

[[allowlists]]
stopwords = ["donotreport"]
"#;

const PAT: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

#[test]
fn prefix_identifier_and_keyword_rules_find_their_secrets() {
    let engine = engine(RULES);
    let text = format!("export A={PAT}\nmy_ADAFRUIT_key = \"0123456789abcdef0123456789abcdef\"\n");
    assert_eq!(
        found(&engine, &text),
        [
            ("github-pat".to_owned(), PAT.to_owned()),
            ("ada-key".to_owned(), "0123456789abcdef0123456789abcdef".to_owned())
        ]
    );
    assert!(found(&engine, &format!("x{PAT}")).is_empty(), "no boundary before");
    assert!(found(&engine, &format!("{PAT}x")).is_empty(), "no boundary behind");
    assert!(found(&engine, &format!("ghp_{}", "a".repeat(36))).is_empty(), "entropy");
    let hex = "0123456789abcdef0123456789abcdef01234567";
    assert!(found(&engine, hex).is_empty(), "no keyword");
    assert_eq!(
        found(&engine, &format!("{hex} from Sourcegraph")),
        [("hex-forty".to_owned(), hex.to_owned())]
    );
}

#[test]
fn a_private_key_is_found_whole() {
    let engine = engine(RULES);
    let body: String = (0..100).map(|line| format!("{line:064}\n")).collect();
    let key = format!("-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----");
    assert_eq!(found(&engine, &format!("a {key} b")), [("private-key".to_owned(), key.clone())]);
    let far = format!("{}{key}", " ".repeat(SLICE_BYTES - 100));
    assert_eq!(found(&engine, &far), [("private-key".to_owned(), key)]);
}

#[test]
fn a_required_rule_must_stand_near() {
    let engine = engine(RULES);
    let secret = ("pair".to_owned(), "sek-abcdef012345".to_owned());
    assert_eq!(found(&engine, "id-1234\nsek-abcdef012345"), [secret]);
    assert!(found(&engine, "id-1234\n\nsek-abcdef012345").is_empty());
    assert!(found(&engine, "sek-abcdef012345").is_empty());
}

#[test]
fn allowlists_excuse_what_they_say_and_nothing_else() {
    let engine = engine(RULES);
    let hit = |secret: &str| vec![("excused".to_owned(), secret.to_owned())];
    assert_eq!(found(&engine, "tok_abcdefgh1"), hit("abcdefgh1"));
    assert_eq!(found(&engine, "tok_sample123"), hit("sample123"), "the line does not hold the word");
    assert!(found(&engine, "an example: tok_sample123").is_empty());
    assert_eq!(found(&engine, "an example:\ntok_sample123"), hit("sample123"), "another line");
    assert!(found(&engine, "tok_00000000").is_empty());
    assert!(found(&engine, "tok_DoNotReport1".to_ascii_lowercase().as_str()).is_empty());
}

#[test]
fn what_has_no_meaning_here_is_noted() {
    let set = RuleSet::gitleaks(RULES).unwrap();
    assert!(set.notes.iter().any(|note| &*note.rule == "files" && note.text.contains("path")));
    assert!(engine(RULES).notes().iter().any(|note| &*note.rule == "hex-forty"));
}

#[test]
fn a_bad_rule_is_refused_with_name_and_cause() {
    for (toml, cause) in [
        ("[[rules]]\nid = 'a'\nregex = '('", "rule `a`"),
        ("[[rules]]\nregex = 'x'", "no `id`"),
        ("[[rules]]\nid = 'a'", "neither `regex` nor `path`"),
        ("[[rules]]\nid = 'a'\nregex = 'x'\nsecretGroup = 1", "1, and the expression has 0 groups"),
        ("[[rules]]\nid = 'a'\nregex = 'x'\ncheck = 'nix'", "no check `nix`"),
        ("[[rules]]\nid = 'a'\nregex = 'x'\n[[rules.required]]\nid = 'b'", "requires `b`"),
        ("[[rules]]\nid = 'a'\nregex = 'x'\n[[rules]]\nid = 'a'\nregex = 'y'", "used twice"),
        ("[[rules]]\nid = 'a'\nregex = 'x'\n[[rules.allowlists]]\nregexTarget = 'file'", "regexTarget"),
        ("rules = 3", "no list of tables"),
        ("[[rules", "no TOML"),
    ] {
        let error = RuleSet::gitleaks(toml).unwrap_err().to_string();
        assert!(error.contains(cause), "{error}");
    }
}

#[test]
fn a_flood_of_literals_is_searched_once_and_still_found() {
    let engine = engine("[[rules]]\nid = 'a'\nregex = 'key-[a-z-]{20,}=[0-9]'\nkeywords = ['key-']");
    let text = format!("{} key-{}=7", "key-".repeat(20_000), "x".repeat(30));
    assert_eq!(found(&engine, &text), [("a".to_owned(), format!("key-{}=7", "x".repeat(30)))]);
}

#[test]
fn hits_are_capped_and_the_cap_is_told() {
    let engine = engine("[[rules]]\nid = 'a'\nregex = 'zzz[0-9]'\nkeywords = ['zzz']");
    for (count, capped) in [(MAX_HITS, false), (MAX_HITS + 1, true)] {
        let mut hits = Vec::new();
        let scanned = engine.scan(&"zzz1 ".repeat(count), User, &mut Scratch::default(), &mut hits);
        assert_eq!((hits.len(), scanned.capped), (MAX_HITS, capped));
    }
}

#[test]
fn hits_stand_at_their_places_in_every_slice() {
    let engine = engine(RULES);
    for before in [0, SLICE_BYTES - 41, SLICE_BYTES - 20, SLICE_BYTES - 1, SLICE_BYTES, 2 * SLICE_BYTES + 7] {
        let text = format!("{} {PAT} é", "é ".repeat(before / 3));
        assert_eq!(found(&engine, &text), [("github-pat".to_owned(), PAT.to_owned())], "{before}");
    }
}

#[test]
fn the_version_follows_all_that_decides() {
    let version = |toml: &str| engine(toml).version();
    assert_eq!(version(RULES), version(RULES));
    assert_ne!(version(RULES), version(&RULES.replace("{36}", "{35}")));
    let quiet = Engine::builder().secrets(RuleSet::gitleaks(RULES).unwrap()).only(|rule| &*rule.id != "pair");
    assert_ne!(version(RULES), quiet.build().unwrap().version());
}

#[test]
fn a_rule_that_does_not_count_is_not_reported() {
    let quiet =
        Engine::builder().secrets(RuleSet::gitleaks(RULES).unwrap()).only(|rule| &*rule.id != "github-pat");
    assert!(found(&quiet.build().unwrap(), PAT).is_empty());
}

#[test]
fn a_later_set_replaces_rules_of_its_names() {
    let later = RuleSet::gitleaks("[[rules]]\nid = 'github-pat'\nregex = 'xyz[0-9]'").unwrap();
    let engine = Engine::builder().secrets(RuleSet::gitleaks(RULES).unwrap()).secrets(later).build().unwrap();
    assert_eq!(found(&engine, &format!("{PAT} xyz1")), [("github-pat".to_owned(), "xyz1".to_owned())]);
}

#[test]
fn every_built_in_rule_can_be_compiled_and_is_found_by_literals() {
    let set = crate::detector::secret::built_in().unwrap();
    for pattern in &set.patterns {
        assert!(
            pattern.regex.compiled().is_ok(),
            "{}: {:?}",
            pattern.rule.id,
            pattern.regex.compiled().err()
        );
    }
    let engine = Engine::builder().secrets(set).build().unwrap();
    let slow: Vec<_> = engine.notes().iter().filter(|note| note.text.contains("no keyword helps")).collect();
    assert!(slow.is_empty(), "{slow:?}");
}
