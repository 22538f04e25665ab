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
    "dependabot",
    "github-actions",
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

/// Words that make a local part one of documentation where the domain is reserved for it.
const DOCUMENTED: &[&str] = &["example", "user", "test", "admin", "sample", "demo"];

/// Local parts that are nobody's, whatever the domain.
const NOBODY: &[&str] = &[
    "pass",
    "passwd",
    "password",
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
const LIST_DOMAINS: &[&str] = &[
    "vger.kernel.org",
    "googlegroups.com",
    "freelists.org",
    "groups.io",
    "packages.debian.org",
    "bugs.debian.org",
    "rt.cpan.org",
];

/// How the local parts of mailing lists, and of the addresses that manage them, end and begin.
const LIST_ENDS: &[&str] = &[
    "-announce",
    "-bugs",
    "-commits",
    "-devel",
    "-dev",
    "-discuss",
    "-list",
    "-lists",
    "-patches",
    "-people",
    "-porters",
    "-request",
    "-subscribe",
    "-unsubscribe",
    "-users",
];
const LIST_STARTS: &[&str] = &["bug-", "bugs-"];

/// What ends the domain of a machine's account.
const ACCOUNTS: &[&str] = &[".gserviceaccount.com", ".compute.amazonaws.com", ".compute.internal"];

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
            && is_documented(&local);
        let named = message_id(&local)
            || names_message(text, start)
            || escapes(&local) > 1
            || MACHINES.contains(&local.as_str())
            || NOBODY.contains(&local.as_str())
            || is_list(&local, &domain)
            || in_archive(text, start)
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

/// Whether documentation writes a local part at a domain that is reserved for it.
fn is_documented(local: &str) -> bool {
    local.len() == 1
        || PLACEHOLDERS.contains(&local)
        || DOCUMENTED.iter().any(|word| local.contains(word))
        || local.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether an address is a mailing list's, or one that manages it or takes reports.
fn is_list(local: &str, domain: &str) -> bool {
    domain.split('.').any(|label| LISTS.contains(&label))
        || LIST_DOMAINS.contains(&domain)
        || LIST_ENDS.iter().any(|end| local.ends_with(end))
        || LIST_STARTS.iter().any(|start| local.starts_with(start))
}

/// How many percent escapes a local part has: more than one make it a part of a URL.
fn escapes(local: &str) -> usize {
    let escape =
        |bytes: &&[u8]| matches!(bytes, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    local.as_bytes().windows(3).filter(escape).count()
}

/// Whether a local part is the name of a message, which begins with a time or a hash, is numbers alone, or ends as Gnus
/// ends it.
fn message_id(local: &str) -> bool {
    let digits = local.bytes().filter(u8::is_ascii_digit).count();
    let uuid = local.bytes().take_while(|byte| byte.is_ascii_hexdigit() || *byte == b'-').count();
    local.bytes().take_while(u8::is_ascii_digit).count() >= MESSAGE_DIGITS
        || local.bytes().take_while(u8::is_ascii_hexdigit).count() >= MESSAGE_HASH
        || uuid >= MESSAGE_UUID
        || local.ends_with(".fsf")
        || digits >= MESSAGE_DIGITS && local.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Fields of a message's header that name messages (RFC 5322 section 3.6.4), in lower case.
const MESSAGE_FIELDS: &[&[u8]] = &[b"message-id:", b"in-reply-to:", b"references:", b"content-id:"];

/// Bytes before an address in which a field of a message names it.
const MESSAGE_REACH: usize = 120;

/// Whether what begins at a place stands in a field that names messages.
fn names_message(text: &[u8], start: usize) -> bool {
    if text::before(text, start) != b'<' {
        return false;
    }
    let before = text.get(start.saturating_sub(MESSAGE_REACH)..start).unwrap_or_default();
    let line = memchr::memrchr(b'\n', before).map_or(before, |end| before.get(end + 1..).unwrap_or_default());
    let line = line.trim_ascii_start().to_ascii_lowercase();
    MESSAGE_FIELDS.iter().any(|field| line.starts_with(field))
}

/// Bytes of a UUID that names a message.
const MESSAGE_UUID: usize = 36;

/// Hexadecimal digits of a hash that names a message.
const MESSAGE_HASH: usize = 20;

/// Digits of a time to the second.
const MESSAGE_DIGITS: usize = 14;

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

/// What the word before a place says, up to the last blank, quote or bracket.
fn word_before(text: &[u8], start: usize) -> &[u8] {
    let before = text.get(start.saturating_sub(URL_REACH)..start).unwrap_or_default();
    let word = before
        .iter()
        .rposition(|byte| matches!(byte, b' ' | b'\n' | b'\t' | b'"' | b'\'' | b'<' | b'(' | b','));
    word.map_or(before, |place| before.get(place + 1..).unwrap_or_default())
}

/// Whether what begins at a place is the user information of a URL, `scheme://user:password@host`.
fn in_url(text: &[u8], start: usize) -> bool {
    let before = word_before(text, start);
    let Some(scheme) = before.windows(3).rposition(|bytes| bytes == b"://") else { return false };
    before.get(scheme + 3..).is_some_and(|rest| !rest.iter().any(|byte| matches!(byte, b'/' | b'?' | b'#')))
}

/// Hosts of archives of mailing lists.
const ARCHIVES: &[&[u8]] = &[b"://lists.", b"://lore.", b"mail-archive.com/", b"://marc.info"];

/// Whether what begins at a place is a part of the path of a mailing list's archive.
fn in_archive(text: &[u8], start: usize) -> bool {
    text::before(text, start) == b'/' && {
        let before = word_before(text, start);
        ARCHIVES.iter().any(|host| memchr::memmem::find(before, host).is_some())
    }
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
            "develyn@corp.com",
            "jane-devlin@corp.com",
            "100%25off@corp.com",
            "4155552671@txt.corp.com",
            "j.userman@corp.com",
        ] {
            for text in [
                format!("write to {address}."),
                format!("<{address}>"),
                format!("\"{address}\""),
                format!("'{address}'"),
                format!("mailto:{address}?subject=x"),
                format!("a,{address},b"),
                format!("https://h.com/?e={address}&x=1"),
                format!("https://h.com/users/{address}/orders"),
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
            "hadoop@ec2-52-52-41-150.us-west-2.compute.amazonaws.com",
            "github-actions@github.com",
            "https://lists.iana.org/hyperkitty/list/tz-announce@iana.org/thread/X",
            "https://www.mail-archive.com/asn1@asn1.org/msg00460.html",
            "https://lore.kernel.org/x/e8ce1146-3952-6977-1d0e-a22758e58914@intel.com/",
            "http://a/b:c/d@foo.com/",
            "perl5-porters@perl.org",
            "bug-module-loaded@rt.cpan.org",
            "dpkg@packages.debian.org",
            "15265.9482.641338.555352@python.org",
            "7vtzf77wjp.fsf@gitster.siamese.dyndns.org",
            "In-Reply-To: <abc.jane.x@mail.corp.com>",
            "7F%C2%80%C3%89@corp.net",
            "exampleUser2@example.net",
            "1337@example.org",
            "User:Password@host.com:080",
        ] {
            assert_eq!(found(text), [] as [&str; 0], "{text}");
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
