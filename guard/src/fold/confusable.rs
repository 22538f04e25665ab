//! Letters that look like Latin ones.
//!
//! Facts from Unicode Technical Standard 39 (`confusables.txt`), reduced to letters that pass for one lower-case Latin
//! letter in running text. Capitals are listed where their small form looks different; otherwise lowering comes first.
//! The mapping is the same for both cases of a letter, so that words of the other script still fold to one form.

/// One row: the Latin text and the letters that pass for it.
const ROWS: &[(&str, &str)] = &[
    ("a", "аαɑᴀ\u{AB7A}"),
    ("b", "вβƀƃɓʙ\u{AB7C}"),
    ("c", "сϲƈᴄ\u{AB9F}"),
    ("d", "ԁɗɖđᴅ\u{AB70}"),
    ("e", "еεҽɛᴇ\u{AB7C}"),
    ("f", "ƒꜰϝ"),
    ("g", "ɡɠցɢ\u{AB80}"),
    ("h", "нһհħɦʜ\u{AB8B}"),
    ("i", "іιıɩɨɪ"),
    ("j", "јϳյȷᴊ\u{AB7B}"),
    ("k", "кκƙᴋ\u{ABA6}"),
    ("l", "ӏłƚɫʟ\u{AB9E}"),
    ("m", "мϻɱᴍ\u{AB87}"),
    ("n", "ηոƞɲŋɴ"),
    ("o", "оοօøɵᴏ"),
    ("p", "рρƥᴘ\u{ABA2}"),
    ("q", "ԛզʠ"),
    ("r", "ɾɽʀ\u{AB71}"),
    ("s", "ѕʂꜱ\u{ABAA}"),
    ("t", "тτŧƭʈᴛ\u{AB72}"),
    ("u", "υսᴜʉ"),
    ("v", "νѵʋᴠ\u{ABA9}"),
    ("w", "ωԝա ᴡ\u{AB83}"),
    ("x", "хχ"),
    ("y", "уγүƴʏ"),
    ("z", "ζƶȥʐᴢ\u{ABA3}"),
    ("ss", "ß"),
    ("ae", "æ"),
    ("oe", "œ"),
    ("'", "‘’‛ʼ′`´"),
    ("\"", "“”„‟″"),
    ("-", "‐‑‒–—―−"),
    ("<", "‹〈⟨"),
    (">", "›〉⟩"),
    ("|", "∣❘ǀ"),
    ("/", "⁄∕"),
    (":", "∶"),
    ("!", "ǃ"),
    ("\n", "\u{2028}\u{2029}"),
];

/// First and last of the negative circled and negative squared capitals, which have no decomposition.
const BOXED: [(u32, u32); 2] = [(0x1F150, 0x1F169), (0x1F170, 0x1F189)];

const ALPHABET: [&str; 26] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u",
    "v", "w", "x", "y", "z",
];

/// The Latin text that a letter passes for.
pub(super) fn look_alike(c: char) -> Option<&'static str> {
    static TABLE: std::sync::LazyLock<Vec<(char, &'static str)>> = std::sync::LazyLock::new(table);
    if c.is_ascii() {
        return None;
    }
    let code = u32::from(c);
    for (first, last) in BOXED {
        if (first..=last).contains(&code) {
            return ALPHABET.get(usize::try_from(code - first).ok()?).copied();
        }
    }
    let index = TABLE.binary_search_by_key(&c, |&(letter, _)| letter).ok()?;
    TABLE.get(index).map(|&(_, latin)| latin)
}

fn table() -> Vec<(char, &'static str)> {
    let mut table: Vec<_> = ROWS
        .iter()
        .flat_map(|&(latin, letters)| letters.chars().filter(|c| !c.is_ascii()).map(move |c| (c, latin)))
        .collect();
    table.sort_unstable();
    table.dedup_by_key(|&mut (letter, _)| letter);
    table
}
