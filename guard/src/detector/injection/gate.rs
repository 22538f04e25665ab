//! Where it is worth looking: rare words that every attack we know uses at least one of.
//!
//! One pass of the literal matcher over the folded text. Words that ordinary text uses too have to stand near another
//! one. What the gate passes costs a look at its surroundings, so a word is chosen for being rare, not for being wicked.

use std::ops::Range;

use memchr::memmem;

use crate::anchor::{Literal, Matcher};
use crate::fold::fold;

/// How far from the beginning of a gate word its company may stand, in bytes of the folded text.
pub(super) const NEAR_BYTES: usize = 96;

/// A literal and, when it is common, the words one of which has to stand near it.
struct Word {
    literal: &'static str,
    company: &'static [&'static str],
}

const fn alone(literal: &'static str) -> Word {
    Word { literal, company: &[] }
}

const fn with(literal: &'static str, company: &'static [&'static str]) -> Word {
    Word { literal, company }
}

const ORDERS: &[&str] = &[
    "instru",
    "prompt",
    "rules",
    "directi",
    "guideli",
    "guidance",
    "command",
    "orders",
    "policies",
    "policy",
    "context",
    "i said",
    "you know",
    "told",
    "programming",
    "training",
    "restriction",
    "limits",
    "consigne",
    "regel",
    "istruz",
    "indicaci",
    "comand",
    "orden",
    "ordine",
    "input",
    "conversation",
    "messages",
    "everything",
    "above",
    "anweis",
    "before",
    "moral",
    "ethic",
    "legal",
    "safety",
    "befehl",
    "vorgaben",
    "directri",
    "diretriz",
    "polecen",
    "regras",
    "reglas",
    "regles",
    "regole",
    "tout",
    "todo",
    "tudo",
    "tutto",
    "alles",
    "zasad",
    "pokyn",
    "prikaz",
    "vorher",
    "tidigare",
];
const PROMPT: &[&str] = &[
    "system prompt",
    "instructions",
    "initial prompt",
    "system message",
    "above",
    "your prompt",
    "secret",
    "password",
    "passphrase",
    "passcode",
    "your rules",
    "guidelines",
    "original prompt",
    "hidden prompt",
    "developer message",
    "verbatim",
    "keyword",
];
const LAWLESS: &[&str] = &[
    "no ", "without", "any ", "free", "never", "not ", "regard", "bypass", "remove", "n't", "ignor", "limit",
    "unethic", "immoral", "amoral", "unrestr", "disable",
];
const WICKED: &[&str] = &[
    "ethic",
    "illegal",
    "moral",
    "offensive",
    "harmful",
    "warning",
    "disclaimer",
    "restrict",
    "censor",
    "filter",
    " dan",
    "limit",
    "rules",
    "chatgpt",
    "sorry",
    "character",
    "apolog",
    "as an ai",
    "any request",
    "question",
];
const CARRY: &[&str] =
    &["follow", "execut", "obey", "instruct", "respond", "answer", "comply", "perform", "run ", "decod"];
const AI: &[&str] =
    &[" ai", "assistant", "language model", "gpt", "chatbot", "llm", "agent", "claude", "response", "answer"];

const LATIN: &[Word] = &[
    with("ignor", ORDERS),
    with("disregard", ORDERS),
    with("forget", ORDERS),
    with("bypass", ORDERS),
    with("verrid", &["your", "previous", "prior", "all instruc", "you must", "safety"]),
    alone("no attention to"),
    alone("jailbr"),
    alone("ng now"),
    with("n character", &["stay", "remain", "keep", "break", "always"]),
    with("k character", &["break", "stay"]),
    with("ethical", LAWLESS),
    with("moral", LAWLESS),
    alone("uncensor"),
    alone("unfilter"),
    with("unrestrict", AI),
    with("r mode", &["developer"]),
    alone("atgpt"),
    with("m now on", &["you", "respond", "act", "will", "answer"]),
    alone("em prompt"),
    with("refus", WICKED),
    with("iction", WICKED),
    with("pretend", &["you", "ai", "chatgpt", "can do", "character"]),
    with("re now", &["you are now"]),
    with("re going to", &["you are going to"]),
    with(
        "illegal",
        &["unethical", "moral", "no matter", "even if", "ethic", "request", "question", "harmful", "you "],
    ),
    with(
        "e user",
        &[
            "tell the",
            "inform the",
            "mention",
            "convince",
            "persuade",
            "notify",
            "knowledge",
            "alert the",
            "trick",
        ],
    ),
    with("se64", CARRY),
    with("decode", CARRY),
    alone("rot13"),
    with("reveal", PROMPT),
    with("repeat", PROMPT),
    with("ur instruc", &["your instruc"]),
    with("al instruc", &["initial", "original", "internal", "confidential", "special"]),
    with("al prompt", &["initial", "original", "internal"]),
    with("hidden", &["prompt", "instruc"]),
    with(
        "secret",
        &["prompt", "instruc", "reveal", "tell me", "password is", "what is", "what's", "give me", "key is"],
    ),
    with("rbatim", &["prompt", "instruc", "above", "conversation", "begin", "start"]),
    with("s above", &["repeat", "output", "print", "start", "begin", "verbatim", "copy", "write"]),
    with("penai", &["policy", "policies", "guideline", "rules", "restrict", "filter"]),
    alone("id_rsa"),
    with("this tool", &["must", "other tool", "otherwise", "always", "supersede", "overrid"]),
    with("rsation", &["![", "http", "url", "begin", "above", "verbatim", "repeat"]),
    with("stay ", &["in character", " dan", "a dan", "in role"]),
    with(
        "espond ",
        &[
            "without",
            "only with",
            "no matter",
            " dan",
            "two ways",
            "i can't",
            "chatgpt",
            "exactly",
            "instead",
        ],
    ),
    with(
        " ai ",
        &[
            "must",
            "if you are",
            "no ",
            "without",
            "you are",
            "with",
            "attention",
            "note",
            "important message",
        ],
    ),
    with(
        "ssistant",
        &[
            "must",
            "attention",
            "note to",
            "if you are",
            "ignor",
            "instruct",
            "no restrict",
            "no limit",
            "important message",
        ],
    ),
    with("hypothetical", WICKED),
    with("ng instruc", &["starting instr"]),
    with("em messag", &["your", "reveal", "repeat", "print", "initial"]),
    with("em instruc", &["your", "reveal", "repeat", "print", "initial"]),
    with("em config", &["your", "initial"]),
    with("you told", &["what were you"]),
    with("you were given", &["repeat", "print", "output", "show", "reveal", "list", "tell", "write"]),
    alone("inst]"),
    alone("<<sys"),
    alone("start_of_turn"),
    alone("vtaber"),
    alone("snoitcurtsni"),
    with("blie", &["consigne", "instruc", "tout", "regle"]),
    with("olvid", ORDERS),
    with("dimentic", ORDERS),
    with("squec", ORDERS),
    with("esconsider", ORDERS),
    with("negeer", ORDERS),
    with("vergiss", ORDERS),
    with("zapom", ORDERS),
    alone("ystemprompt"),
    alone("mpt syst"),
    with("mpt d", &["prompt de sis", "prompt del sis", "prompt do sis", "prompt di sis"]),
    with("abaikan", &["instru", "perintah", "aturan"]),
];

/// Roots of override phrases and of words for prompts in texts that are not ASCII. Folded before use.
const OTHERS: &[&str] = &[
    "игнорир",
    "забудь",
    "инструкц",
    "промпт",
    "цензур",
    "этически",
    "ограничени",
    "ігнору",
    "с этого момента",
    "忽略",
    "無視",
    "无视",
    "忘记",
    "忘記",
    "忘掉",
    "指令",
    "提示",
    "系统",
    "系統",
    "没有任何",
    "不受",
    "从现在",
    "從現在",
    "模式",
    "指示",
    "プロンプト",
    "倫理",
    "道徳",
    "制限",
    "命令",
    "무시",
    "프롬프트",
    "지시",
    "지침",
    "명령",
    "윤리",
    "제한",
    "잊",
    "지금부터",
    "talimat",
    "es inicial",
    "ons initial",
    "ni inizial",
    "bo qua",
    "abaikan",
    "oncek",
    "yoksay",
    "αγνοησ",
    "ξεχασ",
    "تجاهل",
    "تعليمات",
    "دستور",
    "निर्देश",
    "अनदेखा",
    "आदेश",
    "התעלם",
    "הוראות",
    "ละเว้น",
    "เพิกเฉย",
    "คำสั่ง",
    "instruktion",
    "tidigare",
    "predchoz",
    "instructiun",
];

/// A byte sequence that opens something to look at closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// `<|`, as control tokens have it.
    Bar,
    /// `![`, a picture in Markdown.
    Picture,
}

/// Finds the places that are worth a look.
pub(super) struct Gate {
    words: Matcher,
    /// The company of each Latin word.
    company: Vec<Vec<memmem::Finder<'static>>>,
    bar: memmem::Finder<'static>,
    picture: memmem::Finder<'static>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    pub(super) fn new() -> Gate {
        let literals = LATIN.iter().map(|word| word.literal).chain(OTHERS.iter().copied());
        Gate {
            words: Matcher::new(literals.map(|literal| Literal::caseless(&fold(literal)).into()).collect()),
            company: LATIN
                .iter()
                .map(|word| word.company.iter().map(memmem::Finder::new).collect())
                .collect(),
            bar: memmem::Finder::new("<|"),
            picture: memmem::Finder::new("!["),
        }
    }

    /// Places of gate words that have the company they need, in order, in bytes of the folded text.
    pub(super) fn places(&self, text: &str) -> Vec<usize> {
        let mut places = Vec::new();
        self.words.find(text.as_bytes(), |number, start| {
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            if self.company.get(number).is_none_or(|company| accompanied(company, text, start)) {
                places.push(start);
            }
        });
        places.sort_unstable();
        places
    }

    /// Every place where something opens, in order within its kind.
    pub(super) fn openings(&self, text: &str, mut found: impl FnMut(Opening, usize)) {
        self.bar.find_iter(text.as_bytes()).for_each(|at| found(Opening::Bar, at));
        self.picture.find_iter(text.as_bytes()).for_each(|at| found(Opening::Picture, at));
    }
}

/// Whether a gate word that begins at a place stands alone by right or has company.
fn accompanied(company: &[memmem::Finder<'_>], text: &str, start: usize) -> bool {
    let around = floor(text, start.saturating_sub(NEAR_BYTES))..floor(text, start + NEAR_BYTES);
    let around = text.get(around).unwrap_or_default().as_bytes();
    company.is_empty() || company.iter().any(|other| other.find(around).is_some())
}

/// So many bytes around each place, merged where they meet; ends are character boundaries.
pub(super) fn windows(
    text: &str,
    places: impl IntoIterator<Item = usize>,
    bytes: usize,
) -> Vec<Range<usize>> {
    let mut windows: Vec<Range<usize>> = Vec::new();
    for place in places {
        let start = floor(text, place.saturating_sub(bytes));
        let end = floor(text, place + bytes);
        match windows.last_mut() {
            Some(last) if last.end >= start => last.end = end.max(last.end),
            _ => windows.push(start..end),
        }
    }
    windows
}

/// The character boundary at or before a place.
pub(super) fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_as_they_stand_in_folded_text_and_long_enough() {
        for word in LATIN {
            assert_eq!(fold(word.literal), word.literal);
        }
        assert!(
            LATIN.iter().map(|word| word.literal).chain(OTHERS.iter().copied()).all(|word| word.len() >= 3)
        );
    }

    #[test]
    fn company_has_to_stand_near_and_not_one_byte_farther() {
        let gate = Gate::new();
        let text = |gap: usize| format!("forget{}prompt", " ".repeat(gap - "forget".len()));
        assert_eq!(gate.places(&text(NEAR_BYTES - "prompt".len())), [0]);
        assert_eq!(gate.places(&text(NEAR_BYTES - "prompt".len() + 1)), [0; 0]);
    }

    #[test]
    fn windows_merge_and_stay_within_the_text() {
        let text = "é".repeat(50);
        assert_eq!(windows(&text, [5, 13, 60, 98], 4), [0..16, 56..64, 94..100]);
        assert_eq!(windows(&text, [], 4), [0..0; 0]);
    }

    #[test]
    fn nothing_to_see() {
        assert_eq!(Gate::new().places("nothing to see here, move along"), [0; 0]);
    }
}
