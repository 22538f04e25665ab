//! E-mail addresses. Source: RFC 5321 section 4.1.2 and RFC 6531, as they are written in practice (no quoted local parts);
//! top-level domains of the root zone.

use std::collections::HashSet;
use std::ops::Range;

use super::entity::{Entity, Proof};
use super::text;
use crate::Tier;

/// Bytes of the longest local part (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL: usize = 64;
/// Bytes of the longest domain (RFC 5321 section 4.5.3.1.2).
const MAX_DOMAIN: usize = 255;
/// Bytes of the longest address.
pub(super) const MAX_ADDRESS: usize = MAX_LOCAL + 1 + MAX_DOMAIN;
/// Bytes of the longest label of a domain.
const MAX_LABEL: usize = 63;
/// Bytes before an address in which `://` makes it the user information of a URL.
pub(super) const URL_REACH: usize = 128;

pub(super) const EMAIL: Entity = Entity {
    id: "email",
    entity: "EMAIL",
    tier: Tier::A,
    about: "E-mail address with a domain of the root zone; not those of machines, documentation and URLs",
    proof: Proof::Shape,
    forms: &[],
    context: &[
        "e-mail",
        "email",
        "mail",
        "mailto",
        "contact",
        "correo",
        "courriel",
        "邮箱",
        "メール",
        "이메일",
    ],
};

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
    b"(c) ",
    b"\xC2\xA9 ",
];

/// Local parts that are not about a person: how machines and code write.
const MACHINES: &[&str] = &[
    "git",
    "hg",
    "svn",
    "noreply",
    "no-reply",
    "no_reply",
    "donotreply",
    "do-not-reply",
    "mailer-daemon",
    "nobody",
    "root",
    "this",
    "super",
    "return",
    "break",
    "continue",
];

/// Local parts that documentation puts before a domain reserved for it.
const PLACEHOLDERS: &[&str] = &[
    "a",
    "b",
    "c",
    "abc",
    "account",
    "admin",
    "administrator",
    "alias",
    "alice",
    "author",
    "bar",
    "baz",
    "bob",
    "contact",
    "dev",
    "email",
    "example",
    "foo",
    "from",
    "hello",
    "help",
    "hi",
    "hostmaster",
    "info",
    "johndoe",
    "mail",
    "me",
    "member",
    "my",
    "myemail",
    "myuser",
    "name",
    "office",
    "owner",
    "person",
    "postmaster",
    "recipient",
    "sales",
    "security",
    "sender",
    "service",
    "someone",
    "somebody",
    "support",
    "team",
    "test",
    "tester",
    "to",
    "user",
    "user1",
    "user2",
    "username",
    "webmaster",
    "x",
    "xyz",
    "you",
    "your",
    "your-email",
    "your.email",
    "youremail",
    "yourname",
    "your-name",
    "your_email",
];

/// Local parts that are nobody's, whatever the domain.
const NOBODY: &[&str] = &[
    "user",
    "username",
    "test-user",
    "testuser",
    "foo",
    "bar",
    "foobar",
    "someone",
    "somebody",
    "your-email",
    "your.email",
    "your_email",
    "youremail",
    "your-name",
    "your.name",
    "yourname",
];

/// Labels and domains of mailing lists: an address there is a list's, and no person's.
const LISTS: &[&str] = &["lists", "list", "listserv", "mailman"];
const LIST_DOMAINS: &[&str] = &["vger.kernel.org", "googlegroups.com", "freelists.org", "groups.io"];

/// What ends the domain of a machine's account.
const ACCOUNTS: &[&str] = &[".gserviceaccount.com"];

/// Names of domains that are reserved for documentation (RFC 2606) or used so.
const DOCUMENTATION: &[&str] = &[
    "example",
    "foo",
    "bar",
    "baz",
    "domain",
    "host",
    "hostname",
    "test",
    "mydomain",
    "yourdomain",
    "mycompany",
    "yourcompany",
    "somewhere",
    "acme",
    "company",
    "website",
    "email",
];

/// Domains of algorithm names (RFC 4251 section 6) and of addresses that platforms make.
const NAMES: &[&str] = &["openssh.com", "libssh.org", "lysator.liu.se", "users.noreply.github.com"];

/// The top-level domains.
#[derive(Debug)]
pub(super) struct Domains(HashSet<&'static str>);

impl Domains {
    pub(super) fn new() -> Domains {
        let lines = include_str!("data/tlds.txt").lines().filter(|line| !line.starts_with('#'));
        Domains(lines.flat_map(str::split_ascii_whitespace).collect())
    }

    fn is_top_level(&self, label: &[u8]) -> bool {
        let Ok(label) = std::str::from_utf8(label) else { return false };
        self.0.contains(label.to_ascii_lowercase().as_str())
    }

    /// The address around an `@`.
    pub(super) fn find(&self, text: &[u8], at: usize) -> Option<Range<usize>> {
        let start = local(text, at)?;
        let end = self.domain(text, at + 1)?;
        let local = std::str::from_utf8(text.get(start..at)?).ok()?.to_lowercase();
        let domain = std::str::from_utf8(text.get(at + 1..end)?).ok()?.to_lowercase();
        let documented = domain.rsplit('.').skip(1).take(2).any(|label| DOCUMENTATION.contains(&label))
            && PLACEHOLDERS.contains(&local.as_str());
        let named = message_id(&local)
            || MACHINES.contains(&local.as_str())
            || NOBODY.contains(&local.as_str())
            || domain.split('.').any(|label| LISTS.contains(&label))
            || LIST_DOMAINS.contains(&domain.as_str())
            || ACCOUNTS.iter().any(|account| domain.ends_with(account))
            || NAMES.iter().any(|name| domain == *name);
        let called = text::at(text, end) == b'(' || text::at(text, end) == b'@';
        let path = text::at(text, end) == b':' && matches!(text::at(text, end + 1), b'/' | b'~');
        (!named && !documented && !called && !path && !in_url(text, start)).then_some(start..end)
    }

    /// The end of the longest domain from a place on that ends with a top-level domain.
    fn domain(&self, text: &[u8], start: usize) -> Option<usize> {
        let (mut place, mut found, mut labels) = (start, None, 0);
        while place - start <= MAX_DOMAIN {
            let end = label(text, place)?;
            let bytes = text.get(place..end)?;
            labels += 1;
            if labels > 1 && self.is_top_level(bytes) {
                found = Some(end);
            }
            if text::at(text, end) != b'.' || !in_label(text, end + 1) {
                break;
            }
            place = end + 1;
        }
        found.filter(|end| end - start <= MAX_DOMAIN)
    }
}

/// Whether a local part is the name of a message, which begins with a time or a hash.
fn message_id(local: &str) -> bool {
    local.bytes().take_while(u8::is_ascii_digit).count() >= MESSAGE_DIGITS
        || local.bytes().take_while(u8::is_ascii_hexdigit).count() >= MESSAGE_HASH
}

/// Hexadecimal digits of a hash that names a message.
const MESSAGE_HASH: usize = 20;

/// Digits of a time to the second.
const MESSAGE_DIGITS: usize = 14;

/// Whether the address that begins at a place is the attribution of a work.
pub(super) fn attributed(text: &[u8], start: usize) -> bool {
    let before =
        text.get(start.saturating_sub(ATTRIBUTION_REACH)..start).unwrap_or_default().to_ascii_lowercase();
    ATTRIBUTIONS.iter().any(|word| memchr::memmem::find(&before, word).is_some()) || signs_change(text, start)
}

/// Longest line before an address that may head an entry of a changelog, in bytes.
const HEADING_MAX: usize = 120;

/// Whether the address that begins at a place stands in the heading or trailer of a changelog's entry: a name and the
/// address in angle brackets, behind a date (GNU: `2021-08-10  Jane Roe  <…>`) or two dashes (Debian: ` -- Jane Roe <…>`).
fn signs_change(text: &[u8], start: usize) -> bool {
    let before = text.get(start.saturating_sub(HEADING_MAX)..start).unwrap_or_default();
    let Some(line) = memchr::memrchr(b'\n', before).and_then(|end| before.get(end + 1..)) else {
        return false;
    };
    let Some(line) = line.strip_suffix(b"<") else { return false };
    let name = match line.strip_prefix(b" -- ") {
        Some(name) => name,
        None => match line.get(..10) {
            Some([y @ .., b'-', m1, m2, b'-', d1, d2])
                if [m1, m2, d1, d2].into_iter().chain(y).all(u8::is_ascii_digit) =>
            {
                line.get(10..).unwrap_or_default()
            }
            _ => return false,
        },
    };
    // A time may stand between the two.
    let is_named = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || !byte.is_ascii()
            || matches!(byte, b' ' | b'\t' | b'.' | b'\'' | b'-' | b':' | b'(' | b')')
    };
    name.iter().all(is_named) && name.iter().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
}

/// Whether a byte may stand in a domain's label: letters, digits, and bytes of letters beyond ASCII.
fn in_label(text: &[u8], place: usize) -> bool {
    text::kind(text::at(text, place)) != 0 || letter_at(text, place)
}

/// The end of the label that begins at a place; hyphens stand inside it alone.
fn label(text: &[u8], start: usize) -> Option<usize> {
    let mut end = start;
    while end - start <= MAX_LABEL {
        let hyphen = text::at(text, end) == b'-' && end > start && hyphen_inside(text, end);
        if !in_label(text, end) && !hyphen {
            break;
        }
        end += 1;
    }
    (end > start && end - start <= MAX_LABEL && text::at(text, end) != b'_').then_some(end)
}

/// Whether the hyphens at a place are followed by more of the label.
fn hyphen_inside(text: &[u8], place: usize) -> bool {
    let next = text::at(text, place + 1);
    in_label(text, place + 1) || (next == b'-' && in_label(text, place + 2))
}

/// Whether a byte belongs to a letter of an alphabet with capitals (Latin, Greek, Cyrillic: U+00C0 to U+052F).
/// Writing systems that put no blank before an address are left out.
fn letter_at(text: &[u8], place: usize) -> bool {
    match text::at(text, place) {
        0xC3..=0xD4 => text::at(text, place + 1) & 0xC0 == 0x80,
        0x80..=0xBF => (0xC3..=0xD4).contains(&text::before(text, place)),
        _ => false,
    }
}

/// The beginning of the local part that ends before an `@`.
fn local(text: &[u8], at: usize) -> Option<usize> {
    let mut start = at;
    while at - start <= MAX_LOCAL {
        let byte = text::before(text, start);
        let fits = text::kind(byte) != 0
            || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
            || start.checked_sub(1).is_some_and(|place| letter_at(text, place));
        if !fits {
            break;
        }
        start -= 1;
    }
    if at - start > MAX_LOCAL || matches!(text::before(text, start), b'@' | b'$') {
        return None;
    }
    // A quote, dash or dot before the address is not a part of it.
    while start < at && matches!(text::at(text, start), b'.' | b'%' | b'+' | b'-' | b'\'') {
        start += 1;
    }
    // Nor is the letter of an escape: `\nuser@…` as source code writes it, `\u003cuser@…` as JSON in JSON does.
    if text::before(text, start) == b'\\' {
        let escape = match text::at(text, start) {
            b'n' | b'r' | b't' => 1,
            b'u' => 5,
            _ => 0,
        };
        start = (start + escape).min(at);
    }
    let value = text.get(start..at)?;
    let dots = value.last() == Some(&b'.') || value.windows(2).any(|pair| pair == b"..");
    (!value.is_empty() && !dots).then_some(start)
}

/// Whether what begins at a place is the user information of a URL, `scheme://user:password@host`.
fn in_url(text: &[u8], start: usize) -> bool {
    let from = start.saturating_sub(URL_REACH);
    let Some(before) = text.get(from..start) else { return false };
    let word = before
        .iter()
        .rposition(|byte| matches!(byte, b' ' | b'\n' | b'\t' | b'"' | b'\'' | b'<' | b'(' | b','));
    let before = word.map_or(before, |place| before.get(place + 1..).unwrap_or_default());
    let Some(scheme) = before.windows(3).rposition(|bytes| bytes == b"://") else { return false };
    before.get(scheme + 3..).is_some_and(|rest| !rest.iter().any(|byte| matches!(byte, b'/' | b'?' | b'#')))
}

#[cfg(test)]
mod tests {
    use super::*;

    static DOMAINS: std::sync::LazyLock<Domains> = std::sync::LazyLock::new(Domains::new);

    fn found(text: &str) -> Vec<&str> {
        let domains = &*DOMAINS;
        let ats = text.bytes().enumerate().filter(|(_, byte)| *byte == b'@');
        ats.filter_map(|(at, _)| domains.find(text.as_bytes(), at).map(|range| &text[range])).collect()
    }

    #[test]
    fn addresses_are_found_whole() {
        for address in [
            "jane.roe@corp.example.co.uk",
            "o'brien+tag@mail-server.de",
            "x_1%y@sub.domain.museum",
            "müller@bücher.de",
            "иван@почта.com",
            "ivan@xn--bcher-kva.xn--p1ai",
            "A@B.CO",
            "jane.roe@example.com",
        ] {
            for text in [
                format!("write to {address}."),
                format!("<{address}>"),
                format!("\"{address}\""),
                format!("'{address}'"),
                format!("mailto:{address}?subject=x"),
                format!("a,{address},b"),
                format!("https://h.com/?e={address}&x=1"),
                format!("({address})"),
                format!("邮箱{address}。"),
                address.to_owned(),
                format!("\\n{address}\\n"),
                format!("{address}:secret"),
                format!("{address}.The end"),
            ] {
                assert_eq!(found(&text), [address], "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_address_of_a_person_is_left() {
        for text in [
            "git@github.com:org/repo.git",
            "https://user@host.com/x",
            "postgres://app:pass@db.host.com/x",
            "pkg@1.2.3",
            "icon@2x.png",
            "@app.route('/')",
            "a@b",
            "user@localhost",
            "user@host.invalid",
            "user@example.com",
            "no-reply@corp.com",
            "this@Activity.name",
            "chacha20-poly1305@openssh.com",
            "@user@mastodon.social",
            "a..b@corp.com",
            ".@corp.com",
            "x@.com",
            "x@-a.com",
            "x@a_b.com",
            "deploy@host.com:/srv",
            "foo@bar.name()",
            "lodash@npm:4.17.21",
            "a@b..com",
            "actions/checkout@v4.1",
            "20200505095915.11275-7-x@redhat.com",
            "5ce86123a7b9dad925ac583d88d2f921040e859b.git.x@hygon.cn",
            "debian-devel@lists.debian.org",
            "netdev@vger.kernel.org",
            "foo@gmail.com",
            "deploy@project-1.iam.gserviceaccount.com",
        ] {
            assert_eq!(found(text), [] as [&str; 0], "{text}");
        }
    }

    #[test]
    fn who_signs_an_entry_of_a_changelog_is_an_attribution() {
        let signs = |text: &str| signs_change(text.as_bytes(), text.find("j@").unwrap());
        for text in [
            "  * More.\n\n -- Jan Mojžíš <j@corp.com>  Sat, 18 Jul 2026",
            "\n2021-08-10  Jane Roe  <j@corp.com>\n",
            "\n2015-11-10  23:25  Jane Q. Roe-Doe  <j@corp.com>\n",
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
            &format!("\n -- {} <j@corp.com>", "Jane ".repeat(30)),
        ] {
            assert!(!signs(text), "{text}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let local = |len: usize| found(&format!("{}@corp.com", "x".repeat(len))).len();
        assert_eq!((local(MAX_LOCAL), local(MAX_LOCAL + 1)), (1, 0));
        let label = |len: usize| found(&format!("x@{}.com", "y".repeat(len))).len();
        assert_eq!((label(MAX_LABEL), label(MAX_LABEL + 1)), (1, 0));
        let domain = |labels: usize, last: usize| {
            found(&format!("x@{}{}.com", "abcdefg.".repeat(labels), "z".repeat(last))).len()
        };
        assert_eq!((domain(31, 3), domain(31, 4)), (1, 0));
    }
}
