//! Control tokens of chat templates.
//!
//! Facts from the published templates: ChatML (`<|im_start|>`), Llama 2 (`[INST]`, `<<SYS>>`), Llama 3
//! (`<|start_header_id|>`, `<|eot_id|>`), Gemma (`<start_of_turn>`), Phi and Zephyr (`<|system|>`), GPT-OSS
//! (`<|channel|>`), and the turn words of Anthropic's text completions.

/// Longest name between `<|` and `|>`, in bytes.
pub(super) const NAME_BYTES: usize = 24;

/// Weight of a token where it can open or close a turn.
pub(super) const BARE: i32 = 45;
/// Weight of a token in quotation marks or code, as people who write about templates have it.
pub(super) const QUOTED: i32 = 10;
/// Weight more when the name of a role or an order follows.
pub(super) const ROLE: i32 = 30;

const NAMES: &[&str] = &[
    "im_start",
    "im_end",
    "im_sep",
    "system",
    "user",
    "assistant",
    "end",
    "endoftext",
    "begin_of_text",
    "end_of_text",
    "start_header_id",
    "end_header_id",
    "eot_id",
    "eom_id",
    "start",
    "message",
    "channel",
    "return",
    "call",
    "python_tag",
    "endofprompt",
    "start_of_role",
    "end_of_role",
    "tool_call",
    "header_start",
    "header_end",
    "eot",
    "user_end",
    "assistant_end",
    "system_end",
    "developer",
    "tool",
    "start_of_turn_token",
    "end_of_turn_token",
    "system_token",
    "user_token",
    "chatbot_token",
    "begin_of_sentence",
    "end_of_sentence",
];
const ROLES: &[&str] = &["system", "assistant", "user", "developer", "tool"];

/// A control token in the folded text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) end: usize,
    pub(super) quoted: bool,
    /// Whether a role stands in the token or behind it.
    pub(super) role: bool,
}

/// The control token that opens with `<|` at a place.
pub(super) fn at(text: &str, start: usize) -> Option<Control> {
    let rest = text.as_bytes().get(start + 2..)?;
    let reach = rest.get(..rest.len().min(NAME_BYTES + 2))?;
    let length = memchr::memmem::find(reach, b"|>")?;
    let name = std::str::from_utf8(reach.get(..length)?).ok()?;
    if !NAMES.contains(&name) {
        return None;
    }
    let end = start + 2 + length + 2;
    let after = text.get(end..)?.trim_start_matches([' ', '\n', '\r']);
    let role = ROLES.contains(&name) || ROLES.iter().any(|role| after.starts_with(role));
    Some(Control { end, quoted: quoted(text, start, end), role })
}

fn quoted(text: &str, start: usize, end: usize) -> bool {
    let mark = |byte: Option<&u8>| {
        byte.is_some_and(|byte| matches!(byte, b'"' | b'\'' | b'`' | b'(' | b',' | b'\\'))
    };
    let bytes = text.as_bytes();
    mark(start.checked_sub(1).and_then(|before| bytes.get(before))) || mark(bytes.get(end))
}

/// Tokens that the gate words name whole.
pub(super) const WHOLE: &[&str] =
    &["[inst]", "[/inst]", "<<sys>>", "<</sys>>", "<start_of_turn>", "<end_of_turn>", "[system_prompt]"];

/// Whether a whole token stands in quotation marks.
pub(super) fn whole(text: &str, start: usize, end: usize) -> Control {
    Control { end, quoted: quoted(text, start, end), role: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_only_and_quotes_are_seen() {
        let bare = at("x <|im_start|>system\nYou are", 2).unwrap();
        assert_eq!(bare, Control { end: 14, quoted: false, role: true });
        assert!(at("`<|im_start|>`", 1).unwrap().quoted);
        assert!(!at("<|eot_id|>", 0).unwrap().role);
        assert_eq!(at("a <|> b |> c", 2), None);
        assert_eq!(at("<|whatever|>", 0), None);
        assert_eq!(at("<|", 0), None);
    }

    #[test]
    fn names_fit_the_limit() {
        assert!(NAMES.iter().all(|name| name.len() <= NAME_BYTES));
    }
}
