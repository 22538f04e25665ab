//! Tokens whose first part is Base64 of a JSON object.

use super::base64::decode;

/// Deepest nesting of a header that is read.
const MAX_DEPTH: usize = 16;

/// A compact JOSE token: the header must decode to a JSON object with the member `alg` (RFC 7515, section 4.1.1).
pub(super) fn jwt(value: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b'.', value) else { return false };
    decode(&value[..end])
        .is_some_and(|header| is_json_object(&header) && memchr::memmem::find(&header, b"\"alg\"").is_some())
}

/// Base64 of a compact JOSE token.
pub(super) fn base64_jwt(value: &[u8]) -> bool {
    decode(value).is_some_and(|inner| jwt(&inner))
}

/// Base64 of a JSON object.
pub(super) fn base64_json(value: &[u8]) -> bool {
    decode(value).is_some_and(|inner| is_json_object(&inner))
}

/// Whether all of `text` is one JSON object (RFC 8259) that is nested no deeper than [`MAX_DEPTH`].
fn is_json_object(text: &[u8]) -> bool {
    let mut reader = Reader { text, at: 0 };
    reader.skip_blanks();
    if reader.peek() != Some(b'{') || std::str::from_utf8(text).is_err() || !reader.value(0) {
        return false;
    }
    reader.skip_blanks();
    reader.at == text.len()
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> bool {
        if depth > MAX_DEPTH {
            return false;
        }
        match self.peek() {
            Some(b'{') => self.list(depth, b'}', true),
            Some(b'[') => self.list(depth, b']', false),
            Some(b'"') => self.string(),
            _ => self.word(),
        }
    }

    fn list(&mut self, depth: usize, close: u8, named: bool) -> bool {
        self.at += 1;
        self.skip_blanks();
        if self.eat(close) {
            return true;
        }
        loop {
            self.skip_blanks();
            if named {
                if !self.string() {
                    return false;
                }
                self.skip_blanks();
                if !self.eat(b':') {
                    return false;
                }
                self.skip_blanks();
            }
            if !self.value(depth + 1) {
                return false;
            }
            self.skip_blanks();
            if self.eat(close) {
                return true;
            }
            if !self.eat(b',') {
                return false;
            }
        }
    }

    fn string(&mut self) -> bool {
        if !self.eat(b'"') {
            return false;
        }
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return true,
                b'\\' => self.at += 1,
                0..0x20 => return false,
                _ => {}
            }
        }
        false
    }

    /// `true`, `false`, `null` or a number; numbers are read loosely.
    fn word(&mut self) -> bool {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            b"true" | b"false" | b"null" => true,
            [first, ..] => first.is_ascii_digit() || *first == b'-',
            [] => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told() {
        for good in
            ["{}", "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", " {\"a\":[1,-2.5e3,true,null,{\"b\":\"\\\"\"}]} "]
        {
            assert!(is_json_object(good.as_bytes()), "{good}");
        }
        for bad in ["", "[]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":x}", "{} x", "{\"a\":\"\n\"}"]
        {
            assert!(!is_json_object(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_json_object(nested(MAX_DEPTH - 1).as_bytes()));
        assert!(!is_json_object(nested(MAX_DEPTH + 1).as_bytes()));
    }

    #[test]
    fn a_header_needs_alg() {
        // {"alg":"HS256"} and {"typ":"JWT"}.
        assert!(jwt(b"eyJhbGciOiJIUzI1NiJ9.e30.c2ln"));
        assert!(!jwt(b"eyJ0eXAiOiJKV1QifQ.e30.c2ln"));
        assert!(!jwt(b"eyJhbGciOiJIUzI1NiJ9"));
    }
}
