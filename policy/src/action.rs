//! What a rule may do.

use serde::{Deserialize, Serialize};

/// What happens when a rule matches, weakest first; when several match, the strictest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Write it down, change nothing.
    Log,
    /// Rewrite the matching ranges.
    Mask,
    /// Refuse.
    Block,
}

impl Action {
    /// Every action, weakest first.
    pub const ALL: [Action; 3] = [Action::Log, Action::Mask, Action::Block];

    /// The stable word used in configuration, records, metrics and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Log => "log",
            Action::Mask => "mask",
            Action::Block => "block",
        }
    }

    /// The action with this word.
    pub fn from_word(word: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_grow_stricter_and_words_read_back() {
        assert!(Action::ALL.is_sorted());
        for action in Action::ALL {
            assert_eq!(Action::from_word(action.as_str()), Some(action));
            assert_eq!(serde_json::to_string(&action).unwrap(), format!("\"{}\"", action.as_str()));
        }
        assert_eq!(Action::from_word("allow"), None);
    }
}
