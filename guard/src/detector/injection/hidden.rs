//! Text that a model reads and a person does not see.

use std::ops::Range;

use super::family::Family;

/// Fewest zero-width characters in one run that carry something: one byte in bits.
pub(super) const ZERO_WIDTH_RUN: usize = 8;
/// Fewest single zero-width characters between Latin letters, within one text, that show intent.
pub(super) const CUT_WORDS: usize = 4;
/// Fewest variation selectors in one run that carry something. A character never needs two.
pub(super) const SELECTOR_RUN: usize = 4;
/// Fewest tag characters in a run that is not a flag.
pub(super) const TAG_RUN: usize = 2;
/// Longest piece of text reported after a direction override, in bytes.
pub(super) const BIDI_BYTES: usize = 256;

/// Tag characters of a flag: up to six letters and the end mark (UTS 51, emoji tag sequences).
const FLAG_TAGS: usize = 7;
const BLACK_FLAG: char = '\u{1F3F4}';
const TAG_END: char = '\u{E007F}';

/// Kinds of characters that make runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tag,
    ZeroWidth,
    Selector,
}

/// A hidden channel in the raw text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hidden {
    pub(super) family: Family,
    pub(super) range: Range<usize>,
    /// What the tags say, in ASCII.
    pub(super) says: String,
}

/// Finds hidden channels. One pass; call it only where folding saw invisible characters.
pub(super) fn find(text: &str) -> Vec<Hidden> {
    let (out, cuts) = (Vec::new(), Vec::new());
    let mut finder = Finder { text, out, run: None, before: None, cuts, overridden: 0, quiet: None };
    for (at, c) in text.char_indices() {
        finder.next(at, c);
    }
    finder.close(text.len(), None);
    finder.cut_words();
    finder.out.sort_by_key(|hidden| hidden.range.start);
    finder.out
}

struct Run {
    kind: Kind,
    start: usize,
    count: usize,
    before: Option<char>,
    last: char,
}

struct Finder<'t> {
    text: &'t str,
    out: Vec<Hidden>,
    run: Option<Run>,
    before: Option<char>,
    cuts: Vec<Range<usize>>,
    /// How far the last direction override reaches that was noted.
    overridden: usize,
    /// How far the last one was followed in which no letter stood, and whether it ends there.
    quiet: Option<(usize, bool)>,
}

fn kind(c: char) -> Option<Kind> {
    match c {
        '\u{E0001}' | '\u{E0020}'..='\u{E007F}' => Some(Kind::Tag),
        '\u{200B}'..='\u{200D}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}' | '\u{180E}' => Some(Kind::ZeroWidth),
        '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => Some(Kind::Selector),
        _ => None,
    }
}

impl Finder<'_> {
    fn next(&mut self, at: usize, c: char) {
        let kind = kind(c);
        match (&mut self.run, kind) {
            (Some(run), Some(kind)) if run.kind == kind => {
                run.count += 1;
                run.last = c;
            }
            (_, Some(kind)) => {
                self.close(at, Some(c));
                self.run = Some(Run { kind, start: at, count: 1, before: self.before, last: c });
            }
            (_, None) => {
                self.close(at, Some(c));
                if matches!(c, '\u{202D}' | '\u{202E}') {
                    self.overridden(at);
                }
                self.before = Some(c);
            }
        }
    }

    fn close(&mut self, end: usize, next: Option<char>) {
        let Some(run) = self.run.take() else { return };
        let range = run.start..end;
        let hidden = |family| Hidden { family, range: range.clone(), says: String::new() };
        match run.kind {
            Kind::Tag => {
                let flag = run.before == Some(BLACK_FLAG) && run.last == TAG_END && run.count <= FLAG_TAGS;
                if run.count >= TAG_RUN && !flag {
                    let says = self
                        .text
                        .get(range.clone())
                        .unwrap_or_default()
                        .chars()
                        .filter_map(visible)
                        .collect();
                    self.out.push(Hidden { says, ..hidden(Family::Tags) });
                }
            }
            Kind::Selector if run.count >= SELECTOR_RUN => self.out.push(hidden(Family::Selectors)),
            Kind::ZeroWidth if run.count >= ZERO_WIDTH_RUN => self.out.push(hidden(Family::ZeroWidth)),
            Kind::ZeroWidth => {
                let latin = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphabetic());
                if latin(run.before) && latin(next) {
                    self.cuts.push(range);
                }
            }
            Kind::Selector => {}
        }
    }

    /// A direction override reaches to its end mark or the end of the line. One within the reach of another says nothing new;
    /// and no character is looked at twice, for they may stand by thousands.
    fn overridden(&mut self, at: usize) {
        let known = self.quiet.filter(|(to, _)| at < *to);
        if at < self.overridden || known.is_some_and(|(_, ends)| ends) {
            return;
        }
        let from = known.map_or(at, |(to, _)| to);
        let (mut end, mut letters, mut ends) = (from, false, false);
        for (offset, c) in self.text.get(from..).unwrap_or_default().char_indices() {
            let place = from + offset;
            if place == at {
                end = place + c.len_utf8();
                continue;
            }
            ends = c == '\n';
            if ends || place - at >= BIDI_BYTES {
                break;
            }
            end = place + c.len_utf8();
            letters |= c.is_alphanumeric();
            if c == '\u{202C}' {
                ends = true;
                break;
            }
        }
        if letters {
            self.overridden = end;
            self.out.push(Hidden { family: Family::Bidi, range: at..end, says: String::new() });
        } else {
            self.quiet = Some((end, ends));
        }
    }

    fn cut_words(&mut self) {
        if self.cuts.len() < CUT_WORDS {
            return;
        }
        for range in std::mem::take(&mut self.cuts) {
            self.out.push(Hidden { family: Family::ZeroWidth, range, says: String::new() });
        }
    }
}

/// The ASCII character that a tag character stands for.
fn visible(tag: char) -> Option<char> {
    let code = u32::from(tag).checked_sub(0xE0000)?;
    u8::try_from(code).ok().filter(|byte| (0x20..0x7F).contains(byte)).map(char::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families(text: &str) -> Vec<Family> {
        find(text).iter().map(|hidden| hidden.family).collect()
    }

    fn tags(text: &str) -> String {
        text.bytes().map(|byte| char::from_u32(0xE0000 + u32::from(byte)).unwrap()).collect()
    }

    #[test]
    fn tag_characters_are_read_and_flags_are_left_alone() {
        let text = format!("hello{} world", tags("ignore this"));
        let hidden = find(&text);
        assert_eq!(hidden.len(), 1);
        assert_eq!(hidden[0].says, "ignore this");
        assert_eq!(hidden[0].range, 5..5 + 11 * 4);
        let scotland = format!("🏴{}\u{E007F} flag", tags("gbsct"));
        assert_eq!(families(&scotland), []);
        assert_eq!(families(&format!("🏴{}\u{E007F}", tags("gbsctxx"))), [Family::Tags]);
        assert_eq!(families(&tags("a")), []);
    }

    #[test]
    fn zero_width_runs_count_from_their_limit_on() {
        let run = |n: usize| format!("a{}b", "\u{200B}\u{200C}".chars().cycle().take(n).collect::<String>());
        assert_eq!(families(&run(ZERO_WIDTH_RUN)), [Family::ZeroWidth]);
        assert_eq!(families(&run(ZERO_WIDTH_RUN - 1)), []);
    }

    #[test]
    fn words_cut_to_pieces_count_from_their_limit_on() {
        assert_eq!(families("i\u{200B}g\u{200B}n\u{200D}o\u{2060}re").len(), CUT_WORDS);
        assert_eq!(families("i\u{200B}g\u{200B}n\u{200D}ore"), []);
    }

    #[test]
    fn joiners_of_emoji_and_indic_and_persian_text_are_ordinary() {
        assert_eq!(
            families("👨\u{200D}👩\u{200D}👧\u{200D}👦 👩🏽\u{200D}💻 🏳\u{FE0F}\u{200D}🌈 ❤\u{FE0F}\u{200D}🔥"),
            []
        );
        assert_eq!(
            families(
                "ක්\u{200D}ෂ ක්\u{200D}රී ශ්\u{200D}රී न्\u{200D}या می\u{200C}خواهم می\u{200C}روم می\u{200C}شود نمی\u{200C}دانم"
            ),
            []
        );
        assert_eq!(families("\u{FEFF}begins with a mark"), []);
    }

    #[test]
    fn selectors_and_overrides() {
        let run =
            |n: u32| format!("😀{}", (0..n).filter_map(|i| char::from_u32(0xE0100 + i)).collect::<String>());
        assert_eq!(families(&run(4)), [Family::Selectors]);
        assert_eq!(families(&run(3)), []);
        let text = "access \u{202E}txet\u{202C} done";
        assert_eq!(find(text)[0].range, 7..text.find(" done").unwrap());
        assert_eq!(families("שלום \u{202B}abc\u{202C} \u{2067}x\u{2069}"), []);
        assert_eq!(families("\u{202E}\nnext"), []);
    }

    #[test]
    fn overrides_by_thousands_are_followed_once() {
        // A run of them, in lines and not, with letters behind it or without.
        let run = "\u{202E}".repeat(50_000);
        assert_eq!(families(&run), []);
        let spoken = find(&format!("{run}word {run}"));
        let [found] = &spoken[..] else { panic!("{spoken:?}") };
        assert!(found.range.contains(&run.len()), "{found:?}");
        assert!(found.range.len() <= BIDI_BYTES + 4, "{found:?}");
        assert_eq!(families("\u{202E}\u{202C}\u{202E}\n\u{202E}word"), [Family::Bidi]);
        assert_eq!(families("\u{202E}one\u{202C} two \u{202E}three"), [Family::Bidi, Family::Bidi]);
        assert_eq!(families("\u{202E}\u{202E}\u{202C}word"), []);
    }
}
