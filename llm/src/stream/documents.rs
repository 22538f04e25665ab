//! A body that is JSON and not events: one object, a list of objects (Gemini without `alt=sse`) or objects one per line.

use memchr::{memchr2, memchr3};

/// Cuts a body into its outermost objects, however it is split; what stands between them is skipped.
#[derive(Debug)]
pub struct Documents {
    /// Bytes of the object that is open, if any.
    carry: Vec<u8>,
    /// Open braces.
    depth: usize,
    in_string: bool,
    /// The last byte was a backslash inside a string.
    escaped: bool,
    limit: usize,
    overflowed: bool,
}

impl Documents {
    /// Objects longer than `limit` bytes end the inspection.
    pub fn new(limit: usize) -> Self {
        Documents { carry: Vec::new(), depth: 0, in_string: false, escaped: false, limit, overflowed: false }
    }

    /// Whether an object exceeded the limit, after which none is offered.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Bytes held.
    #[cfg(test)]
    pub(crate) fn pending(&self) -> &[u8] {
        &self.carry
    }

    /// Takes the next chunk and offers every object it completes.
    pub fn push(&mut self, chunk: &[u8], sink: &mut impl FnMut(&[u8])) {
        if self.overflowed {
            return;
        }
        // Where the open object's part of this chunk starts.
        let mut start = 0;
        let mut at = 0;
        while let Some(rest) = chunk.get(at..)
            && !rest.is_empty()
        {
            if self.escaped {
                self.escaped = false;
                at += 1;
                continue;
            }
            let next =
                if self.in_string { memchr2(b'"', b'\\', rest) } else { memchr3(b'"', b'{', b'}', rest) };
            let Some(next) = next else { break };
            at += next + 1;
            match rest.get(next) {
                Some(b'\\') => self.escaped = true,
                Some(b'"') => self.in_string = !self.in_string && self.depth > 0,
                Some(b'{') => {
                    if self.depth == 0 {
                        start = at - 1;
                    }
                    self.depth += 1;
                }
                _ if self.depth == 1 => {
                    self.depth = 0;
                    let tail = chunk.get(start..at).unwrap_or_default();
                    if !self.fits(tail.len()) {
                        return;
                    }
                    if self.carry.is_empty() {
                        sink(tail);
                    } else {
                        self.carry.extend_from_slice(tail);
                        sink(&self.carry);
                        self.carry.clear();
                    }
                }
                _ => self.depth = self.depth.saturating_sub(1),
            }
        }
        if self.depth > 0 {
            let tail = chunk.get(start..).unwrap_or_default();
            if self.fits(tail.len()) {
                self.carry.extend_from_slice(tail);
            }
        }
    }

    fn fits(&mut self, more: usize) -> bool {
        let fits = self.carry.len() + more <= self.limit;
        if !fits {
            self.overflowed = true;
            self.carry = Vec::new();
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(body: &str, size: usize, limit: usize) -> (Vec<String>, bool) {
        let mut documents = Documents::new(limit);
        let mut seen = Vec::new();
        for chunk in body.as_bytes().chunks(size) {
            documents.push(chunk, &mut |json| seen.push(String::from_utf8(json.to_vec()).unwrap()));
            assert!(documents.pending().len() <= limit);
        }
        (seen, documents.overflowed())
    }

    #[test]
    fn objects_are_found_in_lists_and_lines_at_any_split() {
        for size in 1..40 {
            let (seen, _) =
                cut("[{\"a\":{\"b\":\"}\\\"{\"}}\n,\r\n{}, {\"c\\\\\":1}]\n{\"d\":2}{\"open\":", size, 99);
            assert_eq!(seen, ["{\"a\":{\"b\":\"}\\\"{\"}}", "{}", "{\"c\\\\\":1}", "{\"d\":2}"]);
        }
    }

    #[test]
    fn the_limit_holds_at_the_limit_and_one_past_it() {
        for size in 1..20 {
            assert_eq!(
                cut("{\"a\":1}{\"bcd\":1}", size, 9),
                (vec!["{\"a\":1}".into(), "{\"bcd\":1}".into()], false)
            );
            assert_eq!(cut("{\"a\":1}{\"bcde\":1}", size, 9), (vec!["{\"a\":1}".into()], true));
        }
    }
}
