//! Edits of a body by splicing: everything that is not edited stays byte for byte, and nothing is copied.

use super::head::BodyHead;
use super::text;
use bytes::{Buf, Bytes};
use std::io::IoSlice;
use std::ops::Range;
use thiserror::Error;

/// One replacement in a body. An empty range inserts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The bytes that go away.
    pub range: Range<usize>,
    /// The bytes that take their place.
    pub replacement: Bytes,
}

/// Why edits cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EditFault {
    /// A range is reversed or reaches behind the body's end.
    #[error("an edit reaches outside the body")]
    OutOfBounds,
    /// Two edits touch the same bytes.
    #[error("two edits overlap")]
    Overlap,
}

/// A body as a list of slices, to be written one after the other (vectored).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segments {
    parts: Vec<Bytes>,
    len: usize,
}

impl Segments {
    fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.len += part.len();
            self.parts.push(part);
        }
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slices, none of them empty, in order.
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// The slices, none of them empty, in order.
    pub fn into_parts(self) -> Vec<Bytes> {
        self.parts
    }

    /// The slices for a vectored write.
    pub fn io_slices(&self) -> impl Iterator<Item = IoSlice<'_>> {
        self.parts.iter().map(|part| IoSlice::new(part))
    }

    /// All bytes in one piece; copies unless there is only one slice.
    pub fn into_bytes(mut self) -> Bytes {
        if self.parts.len() <= 1 {
            return self.parts.pop().unwrap_or_default();
        }
        let mut whole = Vec::with_capacity(self.len);
        for part in &self.parts {
            whole.extend_from_slice(part.chunk());
        }
        whole.into()
    }
}

impl From<Bytes> for Segments {
    fn from(body: Bytes) -> Segments {
        let mut segments = Segments::default();
        segments.push(body);
        segments
    }
}

/// Applies `edits`, in any order, to `body`. Edits at the same place keep their order.
///
/// # Errors
/// Ranges outside of the body and ranges that overlap.
pub fn apply(body: &Bytes, mut edits: Vec<Edit>) -> Result<Segments, EditFault> {
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let mut segments = Segments { parts: Vec::with_capacity(2 * edits.len() + 1), len: 0 };
    let mut at = 0;
    for Edit { range, replacement } in edits {
        if range.start > range.end || range.end > body.len() {
            return Err(EditFault::OutOfBounds);
        }
        if range.start < at {
            return Err(EditFault::Overlap);
        }
        segments.push(body.slice(at..range.start));
        segments.push(replacement);
        at = range.end;
    }
    segments.push(body.slice(at..));
    Ok(segments)
}

/// The edit that makes the body ask for `model`, or `None` if it names no model or this one.
pub fn replace_model(head: &BodyHead<'_>, model: &str) -> Option<Edit> {
    let present = head.model.as_ref()?;
    if present.value == model {
        return None;
    }
    Some(Edit { range: present.range.clone(), replacement: text::string(model).into() })
}

/// The edit that makes the body ask for `model` whether or not it names one; `None` if it names this one.
pub fn set_model(head: &BodyHead<'_>, model: &str) -> Option<Edit> {
    if head.model.is_some() {
        return replace_model(head, model);
    }
    let mut member = b"\"model\":".to_vec();
    text::push_string(&mut member, model);
    if !head.empty {
        member.push(b',');
    }
    Some(Edit { range: head.open..head.open, replacement: member.into() })
}

/// The edit that makes the provider report usage in a stream of chat or text completions
/// (`stream_options.include_usage`), or `None` if the body already asks for it.
///
/// Only for bodies with `"stream": true`: providers refuse `stream_options` without it.
pub fn request_usage(head: &BodyHead<'_>) -> Option<Edit> {
    let insert = |at: usize, text: &'static str| Edit {
        range: at..at,
        replacement: Bytes::from_static(text.as_bytes()),
    };
    let Some(options) = &head.stream_options else {
        let text = if head.empty {
            r#""stream_options":{"include_usage":true}"#
        } else {
            r#""stream_options":{"include_usage":true},"#
        };
        return Some(insert(head.open, text));
    };
    match &options.include_usage {
        Some(flag) if flag.value == Some(true) => None,
        Some(flag) => Some(Edit { range: flag.range.clone(), replacement: Bytes::from_static(b"true") }),
        None if !options.object => Some(Edit {
            range: options.range.clone(),
            replacement: Bytes::from_static(br#"{"include_usage":true}"#),
        }),
        None if options.empty => Some(insert(options.open, r#""include_usage":true"#)),
        None => Some(insert(options.open, r#""include_usage":true,"#)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::head::head;
    use super::*;

    fn edited(body: &str, edits: impl Fn(&BodyHead<'_>) -> Vec<Edit>) -> String {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let edits = edits(&head(&body).unwrap());
        let segments = apply(&body, edits).unwrap();
        let sum: usize = segments.parts().iter().map(Bytes::len).sum();
        assert_eq!(segments.len(), sum);
        String::from_utf8(segments.into_bytes().to_vec()).unwrap()
    }

    #[test]
    fn usage_is_asked_for_in_every_spelling_of_the_options() {
        let cases = [
            (r#"{ "model":"m"}"#, r#"{"stream_options":{"include_usage":true}, "model":"m"}"#),
            (r"{}", r#"{"stream_options":{"include_usage":true}}"#),
            (r#"{"stream_options":null}"#, r#"{"stream_options":{"include_usage":true}}"#),
            (r#"{"stream_options":{ }}"#, r#"{"stream_options":{"include_usage":true }}"#),
            (r#"{"stream_options":{"x":[1]}}"#, r#"{"stream_options":{"include_usage":true,"x":[1]}}"#),
            (r#"{"stream_options":{"include_usage":false}}"#, r#"{"stream_options":{"include_usage":true}}"#),
            (
                r#"{"stream_options":{"include_usage": null }}"#,
                r#"{"stream_options":{"include_usage": true }}"#,
            ),
            (r#"{"stream_options":{"include_usage":true}}"#, r#"{"stream_options":{"include_usage":true}}"#),
        ];
        for (before, after) in cases {
            let got = edited(before, |head| request_usage(head).into_iter().collect());
            assert_eq!(got, after);
            let body = got.as_bytes();
            assert_eq!(head(body).unwrap().include_usage(), Some(true));
        }
    }

    #[test]
    fn the_model_is_replaced_and_nothing_else() {
        let got = edited(r#"{"a":1.50,  "model" : "x\u0041", "z":"\u00e9"}"#, |head| {
            replace_model(head, "q\"uo\\te").into_iter().collect()
        });
        assert_eq!(got, r#"{"a":1.50,  "model" : "q\"uo\\te", "z":"\u00e9"}"#);
    }

    #[test]
    fn a_model_that_is_already_right_is_left_alone() {
        let body = br#"{"model":"gp\u0074"}"#;
        assert_eq!(replace_model(&head(body).unwrap(), "gpt"), None);
        assert_eq!(replace_model(&head(b"{}").unwrap(), "gpt"), None);
    }

    #[test]
    fn several_edits_apply_in_any_order() {
        let got = edited(r#"{"stream":true,"model":"a"}"#, |head| {
            replace_model(head, "b").into_iter().chain(request_usage(head)).collect()
        });
        assert_eq!(got, r#"{"stream_options":{"include_usage":true},"stream":true,"model":"b"}"#);
    }

    #[test]
    fn unedited_bytes_are_shared_and_not_copied() {
        let body = Bytes::from(vec![b'x'; 1000]);
        let segments =
            apply(&body, vec![Edit { range: 10..20, replacement: Bytes::from_static(b"y") }]).unwrap();
        assert_eq!(segments.len(), 991);
        assert_eq!(segments.parts()[0].as_ptr(), body.as_ptr());
        assert_eq!(segments.parts()[2].as_ptr(), body[20..].as_ptr());
        assert_eq!(segments.io_slices().map(|slice| slice.len()).sum::<usize>(), 991);
    }

    #[test]
    fn wrong_edits_are_refused() {
        let body = Bytes::from_static(b"0123456789");
        let edit = |range| Edit { range, replacement: Bytes::new() };
        assert_eq!(apply(&body, vec![edit(5..11)]), Err(EditFault::OutOfBounds));
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
        let reversed = edit(5..4);
        assert_eq!(apply(&body, vec![reversed]), Err(EditFault::OutOfBounds));
        assert_eq!(apply(&body, vec![edit(0..5), edit(4..6)]), Err(EditFault::Overlap));
        let touching = apply(&body, vec![edit(5..10), edit(0..5)]).unwrap();
        assert!(touching.is_empty());
    }
}
