//! Passwords that people choose, and logins.

use super::base64::decode;
use super::placeholder;
use super::randomness::{is_number, is_wordlike, opaque, opaque_strict};

/// Words that documentation and tests use as a password or user, in lower case and without digits at the end.
const COMMON: &[&str] = &[
    "",
    "abc",
    "access",
    "admin",
    "administrator",
    "adminpass",
    "adminpassword",
    "aladdin",
    "alice",
    "another",
    "api",
    "apikey",
    "app",
    "appuser",
    "auth",
    "bar",
    "baz",
    "bob",
    "bytes",
    "client",
    "credential",
    "credentials",
    "creds",
    "database",
    "db",
    "dbpass",
    "dbpassword",
    "dbpwd",
    "dbuser",
    "default",
    "demo",
    "dev",
    "docker",
    "empty",
    "false",
    "foo",
    "guest",
    "hello",
    "hidden",
    "host",
    "hunter",
    "key",
    "localhost",
    "login",
    "me",
    "mongo",
    "mongodb",
    "my",
    "mypass",
    "mypassphrase",
    "mypassword",
    "mypwd",
    "mysecretpassword",
    "mysql",
    "name",
    "newpass",
    "newpassword",
    "nil",
    "no",
    "none",
    "null",
    "oldpassword",
    "op",
    "opensesame",
    "pa",
    "pas",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "passwort",
    "pg",
    "postgres",
    "postgresql",
    "proxy",
    "proxypass",
    "pswd",
    "pw",
    "pwd",
    "rabbitmq",
    "redis",
    "redispassword",
    "root",
    "rootpass",
    "rootpassword",
    "sa",
    "secre",
    "secret",
    "secretpass",
    "secretpassword",
    "sekret",
    "sesame",
    "some",
    "somepass",
    "somepassword",
    "string",
    "strongpassword",
    "test",
    "tester",
    "testing",
    "testpass",
    "testpassword",
    "text",
    "the",
    "token",
    "true",
    "user",
    "userid",
    "username",
    "userpass",
    "userpassword",
    "value",
    "verysecret",
    "wrong",
    "wrongpassword",
    "yes",
];

/// A value without case, signs and digits at its end: `P@ssw0rd-123` becomes `password`.
fn plain(value: &[u8]) -> String {
    let trimmed = value.iter().rposition(|byte| !byte.is_ascii_digit() && !byte.is_ascii_punctuation());
    let value = &value[..trimmed.map_or(0, |last| last + 1)];
    value
        .iter()
        .filter_map(|byte| match byte.to_ascii_lowercase() {
            b'@' => Some('a'),
            b'0' => Some('o'),
            b'1' => Some('i'),
            b'3' => Some('e'),
            b'5' | b'$' => Some('s'),
            letter @ b'a'..=b'z' => Some(char::from(letter)),
            _ => None,
        })
        .collect()
}

/// A reference to a value that is kept elsewhere, or code that fetches it.
fn is_reference(value: &[u8]) -> bool {
    let starts = value.first().is_some_and(|byte| matches!(byte, b'$' | b'%' | b'{' | b'<' | b'*' | b'.'));
    let calls = value.ends_with(b")") && value.contains(&b'(') || value.ends_with(b"()");
    let path = memchr::memmem::find(value, b"::").is_some() || memchr::memmem::find(value, b"->").is_some();
    starts || calls || path || value.ends_with(b"}") || value.ends_with(b"%") || value.ends_with(b"...")
}

/// Whether documentation would write this instead of a password; it may have percent escapes.
fn is_common(value: &[u8]) -> bool {
    let is_listed = |value: &[u8]| COMMON.binary_search(&plain(value).as_str()).is_ok();
    is_reference(value)
        || placeholder::is_placeholder(value)
        || is_listed(value)
        || is_listed(&unescaped(value))
}

/// A host and a port, `www.host.org:8080`.
fn is_host(value: &[u8]) -> bool {
    let Some((host, port)) = memchr::memchr(b':', value).map(|at| (&value[..at], &value[at + 1..])) else {
        return false;
    };
    let label = |label: &[u8]| {
        !label.is_empty() && label.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'-')
    };
    !port.is_empty()
        && port.iter().all(u8::is_ascii_digit)
        && host.contains(&b'.')
        && host.split(|byte| *byte == b'.').all(label)
}

struct Kinds {
    digit: bool,
    lower: bool,
    upper: bool,
    sign: bool,
}

fn kinds(value: &[u8]) -> Kinds {
    Kinds {
        digit: value.iter().any(u8::is_ascii_digit),
        lower: value.iter().any(u8::is_ascii_lowercase),
        upper: value.iter().any(u8::is_ascii_uppercase),
        // Separators of names do not count.
        sign: value
            .iter()
            .any(|byte| byte.is_ascii_punctuation() && !matches!(byte, b'_' | b'-' | b'.' | b'/')),
    }
}

/// A password in a place made for one (a login file, a connection string): anything but a common word or a plain name.
pub(super) fn password(value: &[u8]) -> bool {
    let kinds = kinds(value);
    value.len() >= 4
        && !is_common(value)
        && (kinds.digit
            || kinds.sign
            || kinds.lower && kinds.upper && !is_wordlike(value)
            || value.len() >= 16 && !is_wordlike(value))
}

/// A password in a connection string.
pub(super) fn database_password(value: &[u8]) -> bool {
    value.len() <= 300 && password(value)
}

/// A password after nothing but a word for one: three kinds of characters and eight bytes, or a random string.
pub(super) fn strict_password(value: &[u8]) -> bool {
    let is_user = memchr::memmem::find(&value.to_ascii_lowercase(), b"user").is_some();
    if value.len() < 8
        || is_common(value)
        || placeholder::is_test_word(value)
        || is_user
        || is_number(value)
        || is_host(value)
    {
        return false;
    }
    let Kinds { digit, lower, upper, sign } = kinds(value);
    let count = usize::from(digit) + usize::from(lower) + usize::from(upper) + usize::from(sign);
    digit && count >= 3 && (!is_wordlike(value) || sign) || opaque_strict(value)
}

/// A value with one sign for each percent escape.
fn unescaped(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        let escape =
            *first == b'%' && matches!(tail, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
        out.push(if escape { b'+' } else { *first });
        rest = if escape { &tail[2..] } else { tail };
    }
    out
}

/// A password in the user part of any URL.
pub(super) fn url_password(value: &[u8]) -> bool {
    let value = &unescaped(value)[..];
    strict_password(value) || opaque(value) && value.len() >= 16 && !is_common(value)
}

/// `user:password` as tools take it.
pub(super) fn userinfo(value: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', value) else { return false };
    let (user, secret) = (&value[..colon], &value[colon + 1..]);
    if secret.is_empty() {
        return opaque_strict(user);
    }
    !is_reference(user) && (password(secret) || opaque(user) && !is_common(secret))
}

/// Base64 of `user:password`, printable throughout.
pub(super) fn base64_userinfo(value: &[u8]) -> bool {
    decode(value).is_some_and(|login| {
        std::str::from_utf8(&login).is_ok_and(|text| !text.chars().any(char::is_control))
            && memchr::memchr(b':', &login).is_some_and(|colon| {
                let (user, secret) = (&login[..colon], &login[colon + 1..]);
                if secret.is_empty() {
                    opaque_strict(user)
                } else {
                    !is_common(secret) && !placeholder::is_placeholder(user)
                }
            })
    })
}

/// Base64 of a printable text that is a password or token, as in a Kubernetes Secret.
pub(super) fn base64_text_secret(value: &[u8]) -> bool {
    decode(value).is_some_and(|inner| {
        let inner = inner.trim_ascii_end();
        std::str::from_utf8(inner).is_ok_and(|text| !text.contains('\0'))
            && (password(inner) || inner.starts_with(b"-----BEGIN"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_words_are_sorted() {
        assert!(
            COMMON.windows(2).all(|pair| pair[0] < pair[1]),
            "{:?}",
            COMMON.windows(2).find(|pair| pair[0] >= pair[1])
        );
    }

    #[test]
    fn documentation_writes_no_passwords() {
        for value in [
            "password",
            "P@ssw0rd123",
            "secret",
            "changeme",
            "${DB_PASS}",
            "%s",
            "<password>",
            "root",
            "postgres",
            "getPassword()",
            "pass",
            "pass%5B%7F",
        ] {
            assert!(!password(value.as_bytes()), "{value}");
            assert!(!strict_password(value.as_bytes()), "{value}");
        }
        for value in ["kT9$wq-Zr2!x", "Vb7sXnR4yKdH"] {
            assert!(password(value.as_bytes()), "{value}");
            assert!(strict_password(value.as_bytes()), "{value}");
        }
        for value in ["www.host.org:8080", "User+1:a+b", "www.python.org:080"] {
            assert!(!strict_password(value.as_bytes()), "{value}");
        }
        for value in ["www.h9St.org:8080", "kT9.wq-Zr2:8080", "wq.zr.kd9:80a", "kT9%24wq-Zr2"] {
            assert!(strict_password(value.as_bytes()), "{value}");
        }
        assert!(password(b"b3rgamot"));
        assert!(!strict_password(b"bergamot"));
    }

    #[test]
    fn logins_decode() {
        assert!(!base64_userinfo(b"dXNlcjpwYXNzd29yZA=="));
        assert!(!base64_userinfo(b"bm9jb2xvbg=="));
        // app:kT9$wq-Zr2!x
        assert!(base64_userinfo(b"YXBwOmtUOSR3cS1acjIheA=="));
    }
}
