//! Cuts folded text into words.
//!
//! Scripts with blanks between words give one token a word; Chinese, Japanese, Korean, Thai and their like give one token
//! a character, so that one matcher serves all of them.

/// Number of a word in the vocabulary. What no phrase mentions is [`UNKNOWN`].
pub(super) type Word = u32;

/// A word that no phrase mentions.
pub(super) const UNKNOWN: Word = 0;
/// Not a word: a sentence or paragraph ends here. Gaps of phrases do not reach over it.
pub(super) const STOP: Word = 1;

/// Longest word that a vocabulary can hold, in bytes. Longer ones are unknown.
pub(super) const WORD_BYTES: usize = 48;

/// One word in its place, in bytes of the folded text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Words that phrases mention, numbered from 2.
#[derive(Debug, Clone, Default)]
pub(super) struct Vocabulary {
    /// Open addressing; the length is a power of two and at most half full.
    slots: Vec<(u64, Word)>,
    words: Vec<Box<str>>,
}

impl Vocabulary {
    /// The word's number; a new one where it has none yet.
    pub(super) fn add(&mut self, word: &str) -> Word {
        let hash = hash(word.as_bytes());
        if let Some(known) = self.find(hash, word.as_bytes()) {
            return known;
        }
        let number = Word::try_from(self.words.len() + 2).unwrap_or(UNKNOWN);
        self.words.push(word.into());
        if self.words.len() * 2 > self.slots.len() {
            self.grow();
        } else {
            self.place(hash, number);
        }
        number
    }

    /// The word's number, or [`UNKNOWN`].
    fn number(&self, hash: u64, word: &[u8]) -> Word {
        self.find(hash, word).unwrap_or(UNKNOWN)
    }

    fn find(&self, hash: u64, word: &[u8]) -> Option<Word> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.slot(hash);
        loop {
            let &(there, number) = self.slots.get(at)?;
            if number == UNKNOWN {
                return None;
            }
            if there == hash && self.text(number).is_some_and(|text| text.as_bytes() == word) {
                return Some(number);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn text(&self, number: Word) -> Option<&str> {
        self.words.get(usize::try_from(number).ok()?.checked_sub(2)?).map(|word| &**word)
    }

    fn slot(&self, hash: u64) -> usize {
        usize::try_from(hash >> 20).unwrap_or_default() & (self.slots.len() - 1)
    }

    fn place(&mut self, hash: u64, number: Word) {
        let mut at = self.slot(hash);
        while self.slots.get(at).is_some_and(|&(_, taken)| taken != UNKNOWN) {
            at = (at + 1) & (self.slots.len() - 1);
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = (hash, number);
        }
    }

    fn grow(&mut self) {
        self.slots = vec![(0, UNKNOWN); (self.words.len() * 4).next_power_of_two()];
        for index in 0..self.words.len() {
            let Some(word) = self.words.get(index) else { continue };
            let hash = hash(word.as_bytes());
            self.place(hash, Word::try_from(index + 2).unwrap_or(UNKNOWN));
        }
    }
}

/// FNV-1a. The vocabulary is fixed, so nobody can fill it with collisions.
fn hash(word: &[u8]) -> u64 {
    word.iter().fold(OFFSET, |hash, &byte| step(hash, byte))
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

/// Cuts a piece of folded text that begins at `base` into tokens and appends them.
pub(super) fn tokenize(vocabulary: &Vocabulary, text: &str, base: usize, out: &mut Vec<Token>) {
    let mut cutter =
        Cutter { vocabulary, base, out, word: Vec::with_capacity(WORD_BYTES), start: 0, long: false };
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii() {
            cutter.ascii(byte, at, bytes.get(at + 1).copied());
            at += 1;
        } else if let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
            cutter.wide(c, at);
            at += c.len_utf8();
        } else {
            break;
        }
    }
    cutter.finish(at);
}

struct Cutter<'a> {
    vocabulary: &'a Vocabulary,
    base: usize,
    out: &'a mut Vec<Token>,
    /// The word under way, without its apostrophes.
    word: Vec<u8>,
    start: usize,
    long: bool,
}

impl Cutter<'_> {
    fn ascii(&mut self, byte: u8, at: usize, next: Option<u8>) {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' => self.push(&[byte], at),
            b'\'' if self.under_way() => {}
            b'!' | b'?' => self.stop(at),
            b'.' if next.is_none_or(|next| next.is_ascii_whitespace()) => self.stop(at),
            b'\n' if next == Some(b'\n') => self.stop(at),
            _ => self.finish(at),
        }
    }

    fn wide(&mut self, c: char, at: usize) {
        if c == '。' {
            self.stop(at);
        } else if one_token_a_character(c) {
            self.finish(at);
            self.push(c.encode_utf8(&mut [0; 4]).as_bytes(), at);
            self.finish(at + c.len_utf8());
        } else if c.is_alphanumeric() || mark(c) {
            self.push(c.encode_utf8(&mut [0; 4]).as_bytes(), at);
        } else {
            self.finish(at);
        }
    }

    fn under_way(&self) -> bool {
        self.long || !self.word.is_empty()
    }

    fn push(&mut self, bytes: &[u8], at: usize) {
        if !self.under_way() {
            self.start = at;
        }
        if self.word.len() + bytes.len() > WORD_BYTES {
            self.long = true;
        } else {
            self.word.extend_from_slice(bytes);
        }
    }

    fn finish(&mut self, end: usize) {
        if !self.under_way() {
            return;
        }
        let word = if self.long { UNKNOWN } else { self.vocabulary.number(hash(&self.word), &self.word) };
        self.out.push(Token { word, start: self.base + self.start, end: self.base + end });
        self.word.clear();
        self.long = false;
    }

    fn stop(&mut self, at: usize) {
        self.finish(at);
        if self.out.last().is_none_or(|last| last.word != STOP) {
            self.out.push(Token { word: STOP, start: self.base + at, end: self.base + at });
        }
    }
}

/// Scripts written without blanks between words, and Hangul, whose particles are glued to words.
fn one_token_a_character(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{3040}'..='\u{30FF}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{20000}'..='\u{2A6DF}')
}

/// Vowel signs and the like of Indic scripts, which are parts of words without being letters.
fn mark(c: char) -> bool {
    matches!(c, '\u{0591}'..='\u{05C7}' | '\u{0900}'..='\u{0DFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let mut out = Vec::new();
        tokenize(&Vocabulary::default(), text, 0, &mut out);
        out.iter().map(|token| if token.word == STOP { "#" } else { &text[token.start..token.end] }).collect()
    }

    #[test]
    fn words_sentences_and_characters() {
        assert_eq!(
            words("don't ignore_this, v1.2 now.\nnext"),
            ["don't", "ignore_this", "v1", "2", "now", "#", "next"]
        );
        assert_eq!(words("a!!! b\n\n\nc"), ["a", "#", "b", "#", "c"]);
        assert_eq!(words("忽略rules。好"), ["忽", "略", "rules", "#", "好"]);
        assert_eq!(words("निर्देशों को"), ["निर्देशों", "को"]);
        assert_eq!(words(""), [""; 0]);
    }

    #[test]
    fn a_word_is_known_up_to_its_limit_and_unknown_one_byte_past_it() {
        let mut vocabulary = Vocabulary::default();
        let longest = "x".repeat(WORD_BYTES);
        let number = vocabulary.add(&longest);
        vocabulary.add(&"x".repeat(WORD_BYTES + 1));
        let mut out = Vec::new();
        tokenize(&vocabulary, &format!("{longest} x{longest} {longest}"), 0, &mut out);
        let found: Vec<_> = out.iter().map(|token| token.word).collect();
        assert_eq!(found, [number, UNKNOWN, number]);
    }

    #[test]
    fn many_words_keep_their_numbers() {
        let mut vocabulary = Vocabulary::default();
        let numbers: Vec<_> = (0..5000).map(|n| vocabulary.add(&format!("w{n}"))).collect();
        for (n, number) in numbers.iter().enumerate() {
            assert_eq!(vocabulary.add(&format!("w{n}")), *number);
        }
        assert_eq!(numbers[0], 2);
    }
}
