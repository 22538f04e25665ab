//! Written forms of identifiers, matched at the beginning of a run of letters and digits.
//!
//! A layout is read byte by byte: `9` is a digit, `A` a letter, `X` either; a small letter is that letter in either case;
//! `_` is an optional and `~` a required separator, the same everywhere in the value (blank, dash or dot); everything else
//! stands for itself. A layout may begin with `(`.

use std::ops::Range;

use super::context::Entities;
use super::text::{self, DIGIT, Kinds, LETTER, WORD};
use crate::Tier;

/// Whether a value is valid. It gets the letters and digits of the value, letters as capitals.
pub(super) type Check = fn(&[u8]) -> bool;

/// One way to write an entity.
pub(super) struct Form {
    /// When this way of writing counts: a bare number says less than one with its punctuation.
    pub(super) tier: Tier,
    /// How it is written.
    pub(super) layout: &'static str,
    /// Whether what is written is valid.
    pub(super) check: Check,
}

/// A form that counts by itself.
pub(super) const fn a(layout: &'static str, check: Check) -> Form {
    Form { tier: Tier::A, layout, check }
}

/// A form that counts with context.
pub(super) const fn b(layout: &'static str, check: Check) -> Form {
    Form { tier: Tier::B, layout, check }
}

/// A form that counts only where it is asked for.
pub(super) const fn c(layout: &'static str, check: Check) -> Form {
    Form { tier: Tier::C, layout, check }
}

/// The layout of most cards.
const FOUR_BY_FOUR: &[u8] = b"9999 9999 9999 9999";

/// Bytes of the longest layout.
pub(super) const MAX_LAYOUT: usize = 32;

/// The letters and digits of a value, letters as capitals.
pub(super) struct Compact {
    bytes: [u8; MAX_LAYOUT],
    len: usize,
}

impl Compact {
    fn new() -> Compact {
        Compact { bytes: [0; MAX_LAYOUT], len: 0 }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte.to_ascii_uppercase();
            self.len += 1;
        }
    }

    /// The letters and digits.
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// A form with one layout, ready to be matched.
#[derive(Debug)]
pub(super) struct Layout {
    /// Position of the entity.
    pub(super) rule: u16,
    /// When it counts.
    pub(super) tier: Tier,
    /// Whether the value is valid.
    check: Check,
    /// Whether it is one run without separators.
    whole: bool,
    /// Whether it is digits alone: whatever its bucket holds has its shape.
    plain: bool,
    parenthesis: bool,
    /// Whether there are dots between its groups.
    dotted: bool,
    /// Where it has digits and where letters or digits, and of how many bytes these say something.
    kinds: Kinds,
    used: u32,
    body: Box<[u8]>,
    /// Bytes of the first and last group where the layout has blanks, otherwise 0.
    groups: (usize, usize),
}

impl Layout {
    fn new(rule: u16, form: &Form, written: &str) -> Layout {
        let (parenthesis, body) = match written.strip_prefix('(') {
            Some(body) => (true, body),
            None => (false, written),
        };
        let group = |part: Option<&str>| part.map_or(0, |part| part.trim_matches(['(', ')']).len());
        let groups = if body.contains(' ') && !parenthesis {
            (group(body.split(' ').next()), group(body.split(' ').next_back()))
        } else {
            (0, 0)
        };
        let body: Box<[u8]> = body.as_bytes().into();
        let whole = body.iter().all(u8::is_ascii_alphanumeric);
        let plain = body.iter().all(|class| *class == b'9') && body.len() < LENGTHS - 1;
        let dotted = body.contains(&b'.');
        let used =
            u32::MAX.unbounded_shr(32_u32.saturating_sub(u32::try_from(body.len()).unwrap_or(u32::MAX)));
        let kinds = body.iter().take(32).zip(0u32..).fold(Kinds::default(), |kinds, (&class, at)| Kinds {
            digits: kinds.digits | u32::from(class.is_ascii_digit()) << at,
            words: kinds.words | u32::from(class.is_ascii_alphanumeric()) << at,
        });
        let (tier, check) = (form.tier, form.check);
        Layout { rule, tier, check, whole, plain, parenthesis, dotted, kinds, used, body, groups }
    }

    /// Whether the run of letters and digits at a place, and what follows it, of these kinds, have the layout; `Some(true)` if a letter of a
    /// class (not a fixed one) is small: such values are written with capitals.
    #[inline]
    pub(super) fn shape(&self, text: &[u8], start: usize, kinds: Kinds) -> Option<bool> {
        if self.plain {
            return Some(false);
        }
        if kinds.words & self.used != self.kinds.words
            || kinds.digits & self.kinds.digits != self.kinds.digits
        {
            return None;
        }
        let value = text.get(start..start.checked_add(self.body.len())?)?;
        let mut lower = false;
        for (&byte, &class) in value.iter().zip(&self.body) {
            let kind = text::kind(byte);
            let fits = match class {
                b'9' => kind == DIGIT,
                b'A' => kind & LETTER != 0,
                b'X' => kind & WORD != 0,
                b'a'..=b'z' => byte.eq_ignore_ascii_case(&class),
                other => byte == other,
            };
            if !fits {
                return None;
            }
            lower |= kind == text::LOWER && !class.is_ascii_lowercase();
        }
        (!self.parenthesis || text::before(text, start) == b'(').then_some(lower)
    }

    /// Whether it is one run without separators.
    pub(super) fn is_run(&self) -> bool {
        self.whole
    }

    /// Whether it is groups of four digits with blanks between them.
    pub(super) fn in_fours(&self) -> bool {
        self.groups == (4, 4)
    }

    /// The value with this layout of which the first run of letters and digits begins at a place.
    pub(super) fn range(&self, start: usize) -> Range<usize> {
        start - usize::from(self.parenthesis)..start + self.body.len()
    }

    /// Whether the value in a range is no part of something longer.
    pub(super) fn alone(&self, text: &[u8], range: &Range<usize>) -> bool {
        // A list of numbers with dots between them, `.4300.0020.0011.0002`, goes on to the left whatever stands there.
        if text::before(text, range.start) == b'.' && self.dotted {
            return false;
        }
        let left = text::joined_left(text, range.start, self.groups.0);
        let right = text::joined_right(text, range.end, self.groups.1);
        if !left && !right {
            return true;
        }
        // A year or a code beside a card looks like one more of its groups. More than one are a table.
        let by_blank = (!left || text::before(text, range.start) == b' ')
            && (!right || text::at(text, range.end) == b' ');
        *self.body == *FOUR_BY_FOUR && by_blank && text::groups_beside(text, range, 4) == 1
    }

    /// Whether the value in a range is valid.
    pub(super) fn valid(&self, text: &[u8], range: &Range<usize>) -> bool {
        let value = text.get(range.clone()).unwrap_or_default();
        if self.plain {
            return (self.check)(value);
        }
        let mut compact = Compact::new();
        value.iter().filter(|byte| text::kind(**byte) != 0).for_each(|&byte| compact.push(byte));
        (self.check)(compact.as_slice())
    }
}

/// Lengths of the first run that are told apart; longer ones share the last.
const LENGTHS: usize = 24;
/// What a run is made of: digits, letters, both.
const MIXES: usize = 3;
/// What follows a run: each of `FOLLOWERS`, or anything else.
const FOLLOWS: usize = 8;
const FOLLOWERS: [u8; FOLLOWS - 1] = *b" -./()+";

/// All layouts, by what the first run of letters and digits looks like.
#[derive(Debug)]
pub(super) struct Forms {
    buckets: Box<[Bucket]>,
}

/// Layouts that begin alike.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Layouts that count by themselves, and those of which the run is only a part.
    pub(super) first: Vec<Layout>,
    /// Layouts that are the run itself, and need a word nearby.
    pub(super) whole: Vec<Layout>,
    /// The rules of `whole`.
    pub(super) rules: Entities,
}

impl Forms {
    /// Sorts the forms of entities, each with the position of its entity and whether it counts by itself.
    pub(super) fn new<'f>(forms: impl Iterator<Item = (u16, &'f Form, bool)>) -> Forms {
        let mut buckets: Vec<Bucket> = Vec::new();
        buckets.resize_with(LENGTHS * MIXES * FOLLOWS, Bucket::default);
        for (rule, form, counts) in forms {
            for written in expanded(form.layout) {
                for place in places(&written) {
                    let Some(bucket) = buckets.get_mut(place) else { continue };
                    let layout = Layout::new(rule, form, &written);
                    if counts || !layout.whole {
                        bucket.first.push(layout);
                    } else {
                        bucket.rules.insert(usize::from(rule));
                        bucket.whole.push(layout);
                    }
                }
            }
        }
        Forms { buckets: buckets.into() }
    }

    /// The layouts that may match a run of `len` bytes with the kinds `seen`, followed by `next`.
    #[inline]
    pub(super) fn candidates(&self, len: usize, seen: u8, next: u8) -> Option<&Bucket> {
        self.buckets.get(place(len, mix(seen), follow(next)))
    }
}

/// The layouts of one with optional or chosen separators.
fn expanded(layout: &str) -> Vec<String> {
    let with = |separator: &str| layout.replace(['_', '~'], separator);
    match (layout.contains('_'), layout.contains('~')) {
        (false, false) => vec![layout.to_owned()],
        (true, _) => ["", " ", "-", "."].map(with).into(),
        (false, true) => [" ", "-", "."].map(with).into(),
    }
}

#[inline]
fn place(len: usize, mix: usize, follow: usize) -> usize {
    (len.min(LENGTHS - 1) * MIXES + mix) * FOLLOWS + follow
}

#[inline]
fn mix(seen: u8) -> usize {
    match (seen & DIGIT != 0, seen & LETTER != 0) {
        (true, false) => 0,
        (false, _) => 1,
        (true, true) => 2,
    }
}

#[inline]
fn follow(next: u8) -> usize {
    FOLLOWERS.iter().position(|&byte| byte == next).unwrap_or(FOLLOWS - 1)
}

/// The buckets of a layout.
fn places(layout: &str) -> Vec<usize> {
    let body = layout.trim_start_matches('(').as_bytes();
    let len = body.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let run = body.get(..len).unwrap_or_default();
    let digits = run.contains(&b'9');
    let letters = run.iter().any(|&class| class == b'A' || class.is_ascii_lowercase());
    let free = run.iter().filter(|&&class| class == b'X').count();
    let mut mixes = Vec::new();
    if !letters {
        mixes.push(0);
    }
    if !digits {
        mixes.push(1);
    }
    if (free > 0 || digits && letters) && len > 1 {
        mixes.push(2);
    }
    let follows = match body.get(len) {
        Some(&next) => vec![follow(next)],
        None => (0..FOLLOWS).collect(),
    };
    mixes.iter().flat_map(|&mix| follows.iter().map(move |&follow| place(len, mix, follow))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(_: &[u8]) -> bool {
        true
    }

    fn find(form: &Form, text: &str, start: usize) -> Option<(usize, usize, bool)> {
        let (forms, text) = (Forms::new([(0, form, true)].into_iter()), text.as_bytes());
        let (end, seen) = text::run(text, start);
        forms.candidates(end - start, seen, text::at(text, end))?.first.iter().find_map(|layout| {
            let lower = layout.shape(text, start, text::kinds_from(text, start))?;
            let range = layout.range(start);
            (layout.alone(text, &range) && layout.valid(text, &range)).then_some((
                range.start,
                range.end,
                lower,
            ))
        })
    }

    #[test]
    fn layouts_match_with_their_separators_alone() {
        let form = a("999_99_9999", |value| value == b"123456789");
        for text in ["123456789", "123-45-6789", "123 45 6789", "123.45.6789"] {
            assert_eq!(find(&form, text, 0), Some((0, text.len(), false)), "{text}");
        }
        for text in ["123-45 6789", "1234567890", "12345678", "123-45-67890", "123-456789", "123_45_6789"] {
            assert_eq!(find(&form, text, 0), None, "{text}");
        }
    }

    #[test]
    fn letters_are_read_in_either_case() {
        let form = a("es99999999A", |value| value == b"ES12345678Z");
        assert_eq!(find(&form, "es12345678Z", 0), Some((0, 11, false)));
        assert_eq!(find(&form, "ES12345678z", 0), Some((0, 11, true)));
        assert_eq!(find(&form, "FR12345678Z", 0), None);
    }

    #[test]
    fn a_parenthesis_belongs_to_the_value() {
        let form = a("(999) 999-9999", |value| value == b"4155552671");
        assert_eq!(find(&form, "x (415) 555-2671", 3), Some((2, 16, false)));
        assert_eq!(find(&form, "x 415) 555-2671", 2), None);
    }

    #[test]
    fn classes_that_may_be_either_are_found_either_way() {
        let form = a("XXX99", any);
        for text in ["12345", "1B345", "ABC45"] {
            assert!(find(&form, text, 0).is_some(), "{text}");
        }
        assert!(find(&form, "ABCDE", 0).is_none());
    }
}
