//! Addresses that a work names its authors by, told from those of customers: in headings of changelogs, lines of copyright,
//! lists of thanks and comments of source code.

use super::email::EMAIL;
use super::entity::{Entity, Proof};
use crate::Tier;

pub(super) const ATTRIBUTION: Entity = Entity {
    id: "email-attribution",
    entity: "EMAIL",
    tier: Tier::C,
    about: "E-mail address of an author, maintainer or signer, as licences, packages and commits name them",
    proof: Proof::Shape,
    forms: &[],
    context: EMAIL.context,
};

/// Bytes before an address in which a word makes it the attribution of a work.
pub(super) const ATTRIBUTION_REACH: usize = 400;

/// Such words.
const ATTRIBUTIONS: &[&[u8]] = &[
    b"author",
    b"copyright",
    b"maintain",
    b"contribut",
    b"signed-off-by",
    b"reviewed-by",
    b"acked-by",
    b"reported-by",
    b"tested-by",
    b"written by",
    b"thanks to ",
    b"(c) ",
    b"\xC2\xA9 ",
];

/// Whether the address that begins at a place is the attribution of a work.
pub(super) fn attributed(text: &[u8], start: usize) -> bool {
    let before =
        text.get(start.saturating_sub(ATTRIBUTION_REACH)..start).unwrap_or_default().to_ascii_lowercase();
    ATTRIBUTIONS.iter().any(|word| memchr::memmem::find(&before, word).is_some()) || signs_change(text, start)
}

/// Longest line before an address that may head an entry of a changelog, in bytes.
const HEADING_MAX: usize = 120;

/// Whether the address that begins at a place stands where a work names who made it: a name and the address in brackets,
/// in the heading or trailer of a changelog's entry, behind the years of a copyright, in a list of names below such a
/// line, or in a comment of source code.
fn signs_change(text: &[u8], start: usize) -> bool {
    let before = text.get(start.saturating_sub(HEADING_MAX)..start).unwrap_or_default();
    let Some(line) = memchr::memrchr(b'\n', before).and_then(|end| before.get(end + 1..)) else {
        return false;
    };
    let line_start = start - line.len();
    let Some((bracket, line)) = line.split_last().filter(|(last, _)| matches!(last, b'<' | b'(')) else {
        return false;
    };
    let angle = *bracket == b'<';
    heading(line).is_some_and(|name| is_name(name, angle))
        || comment(line).is_some_and(|name| is_name(name, false) && credits(name))
        || indented(line).is_some_and(|name| is_name(name, false)) && angle && continues(text, line_start)
}

/// What follows the date of a changelog's entry (GNU: `2021-08-10  Jane Roe  <…>`, or `Wed Oct  6 13:28:59 1999  Jane Roe
/// <…>`), its trailer's dashes (Debian: ` -- Jane Roe <…>`), its group (` [ Jane Roe <…> ]`), or the years of a copyright
/// (`   1994, 1996-1998 Jane Roe (…)`).
fn heading(line: &[u8]) -> Option<&[u8]> {
    if let Some(name) = line.strip_prefix(b" -- ").or_else(|| line.strip_prefix(b"  [ ")) {
        return Some(name);
    }
    let digits = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_digit);
    if let [y @ .., b'-', m1, m2, b'-', d1, d2] = line.get(..10)?
        && digits(y)
        && digits(&[*m1, *m2, *d1, *d2])
    {
        return line.get(10..);
    }
    let (day, rest) = line.split_at_checked(4)?;
    if DAYS.contains(&day) && rest.get(..4).is_some_and(|month| MONTHS.contains(&month)) {
        return rest.get(4..);
    }
    let years = line.trim_ascii_start();
    let len =
        years.iter().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b'-' | b' ')).count();
    let century = years.starts_with(b"19") || years.starts_with(b"20");
    (century && line.first() == Some(&b' ') && len > 4).then(|| years.get(len..)).flatten()
}

const DAYS: &[&[u8]] = &[b"Mon ", b"Tue ", b"Wed ", b"Thu ", b"Fri ", b"Sat ", b"Sun "];
const MONTHS: &[&[u8]] = &[
    b"Jan ", b"Feb ", b"Mar ", b"Apr ", b"May ", b"Jun ", b"Jul ", b"Aug ", b"Sep ", b"Oct ", b"Nov ",
    b"Dec ",
];

/// How a line of comment begins in source code and manual pages.
const COMMENTS: &[&[u8]] = &[b"#", b"//", b".\\\"", b"\" ", b";;", b"rem ", b"dnl "];

/// What a comment says, without its marks.
fn comment(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii_start();
    let mark = COMMENTS.iter().find(|mark| line.starts_with(mark))?;
    // Two of them and more are a heading of Markdown.
    let rest = line.get(mark.len()..)?;
    (!rest.starts_with(b"#")).then(|| rest.trim_ascii_start())
}

/// Columns by which a list below a line of attribution is indented at least; a tab counts as that many.
const INDENT: usize = 8;

/// What a line says that is indented as such a list is.
fn indented(line: &[u8]) -> Option<&[u8]> {
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let (indent, name) = line.split_at_checked(blanks)?;
    (blanks >= INDENT || indent.contains(&b'\t')).then_some(name)
}

/// Whether the line before the one that begins at a place ends with an address in brackets too.
fn continues(text: &[u8], line_start: usize) -> bool {
    let before = text.get(line_start.saturating_sub(HEADING_MAX)..line_start).unwrap_or_default();
    let Some(before) = before.strip_suffix(b"\n") else { return false };
    let line = memchr::memrchr(b'\n', before).map_or(before, |end| before.get(end + 1..).unwrap_or_default());
    let Some(at) = memchr::memrchr(b'@', line) else { return false };
    line.ends_with(b">") && line.get(..at).is_some_and(|local| local.contains(&b'<'))
}

/// Whether what stands before an address is a name, and maybe the time of a changelog's entry before it.
fn is_name(name: &[u8], timed: bool) -> bool {
    let fits = |byte: &u8| {
        byte.is_ascii_alphabetic()
            || !byte.is_ascii()
            || matches!(byte, b' ' | b'\t' | b'.' | b'\'' | b'-')
            || timed && (byte.is_ascii_digit() || matches!(byte, b':' | b'(' | b')' | b'+'))
    };
    name.iter().all(fits) && name.iter().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
}

/// Whether a comment names someone: by a name of two words and more and nothing else, or behind the word `by`.
fn credits(comment: &[u8]) -> bool {
    let mut words = comment.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let named =
        |word: &[u8]| word.first().is_some_and(|first| first.is_ascii_uppercase() || !first.is_ascii());
    words.clone().any(|word| word.eq_ignore_ascii_case(b"by"))
        || words.clone().count() > 1 && words.all(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_signs_an_entry_of_a_changelog_is_an_attribution() {
        let signs = |text: &str| signs_change(text.as_bytes(), text.find("j@").unwrap());
        for text in [
            "  * More.\n\n -- Jan Mojžíš <j@corp.com>  Sat, 18 Jul 2026",
            "\n2021-08-10  Jane Roe  <j@corp.com>\n",
            "\n2015-11-10  23:25  Jane Q. Roe-Doe  <j@corp.com>\n",
            "\nWed Oct  6 13:28:59 PDT 1999  Jane Roe  <j@corp.com>\n",
            "x.\n\n  [ Jane Roe <j@corp.com> ]\n",
            "\n           1994,1996-1998 Jane Roe (j@corp.com)\n",
            "\n   2010 Jane Roe <j@corp.com>\n",
            "\n   Max Doe <m@corp.com>\n\t    Jane Roe  <j@corp.com>\n",
            "\n# Jane Q. Roe <j@corp.com> moved it",
            "\n// Inspired by Jane Roe (j@corp.com)",
            "\n.\\\" Modified by Jane Roe (j@corp.com)",
        ] {
            assert!(signs(text), "{text}");
        }
        for text in [
            "\nFrom: Jane Roe <j@corp.com>",
            "\n2021-08-10  Jane Roe  j@corp.com",
            "\n2021-08-10 login=7; Jane <j@corp.com>",
            "\n2021-08-1x  Jane Roe  <j@corp.com>",
            "\n2021-08-10 <j@corp.com>",
            "\n -- <j@corp.com>",
            "2021-08-10  Jane Roe  <j@corp.com>",
            "\nWed, 6 Oct 1999 from Jane Roe <j@corp.com>",
            "\nWed Oct invoice=7 Jane <j@corp.com>",
            "\n[ Jane Roe <j@corp.com> ]",
            "\n2010 Jane Roe <j@corp.com>",
            "\n   210 Jane Roe <j@corp.com>",
            "\nTo: Max Doe <m@corp.com>,\n\t    Jane Roe  <j@corp.com>\n",
            "\n\t    Jane Roe  <j@corp.com>\n",
            "\n    Max Doe <m@corp.com>\n    Jane Roe <j@corp.com>\n",
            "\n# Jane <j@corp.com>",
            "\n## Jane Roe <j@corp.com>",
            "\n# id=7, Jane Roe <j@corp.com>",
            "\n# customer Jane Roe <j@corp.com>",
            "\n- Jane Roe <j@corp.com>",
            "\n* Jane Roe (j@corp.com)",
            &format!("\n -- {} <j@corp.com>", "Jane ".repeat(30)),
        ] {
            assert!(!signs(text), "{text}");
        }
    }
}
