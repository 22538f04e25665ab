//! Families of signals: one rule each.

use crate::finding::{Class, Provenance, Rule, Tier};

/// What a signal is a sign of. The position is the rule's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Family {
    Override,
    Extraction,
    Persona,
    Bypass,
    AgentDirective,
    Exfiltration,
    ToolPoisoning,
    Encoded,
    Template,
    Link,
    Tags,
    ZeroWidth,
    Bidi,
    Selectors,
    /// Words that speak for an innocent text. Not a rule.
    Context,
}

/// What a family means to people and to scores.
pub(super) struct Meaning {
    /// Stands at the position of its number; the tests hold that.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests compare it with the position"))]
    family: Family,
    id: &'static str,
    entity: &'static str,
    description: &'static str,
    /// Most that all its signals together may add, so that a text full of one kind of weak words does not pass.
    pub(super) cap: i32,
}

/// Families in the order of their rules.
pub(super) const FAMILIES: [Meaning; 14] = [
    meaning(
        Family::Override,
        "instruction-override",
        "PROMPT_INJECTION",
        100,
        "Tells the model to drop its instructions or to take new ones; phrases with gaps in some thirty languages.",
    ),
    meaning(
        Family::Extraction,
        "system-prompt-extraction",
        "PROMPT_EXTRACTION",
        90,
        "Asks for the system prompt, hidden instructions or a secret the model was told.",
    ),
    meaning(
        Family::Persona,
        "jailbreak-persona",
        "JAILBREAK",
        100,
        "Role-play kits: named personas, special modes, characters without limits. Whole words only.",
    ),
    meaning(
        Family::Bypass,
        "safety-bypass",
        "JAILBREAK",
        90,
        "Forbids refusals, warnings or ethics, or asks for unfiltered answers.",
    ),
    meaning(
        Family::AgentDirective,
        "agent-directive",
        "PROMPT_INJECTION",
        100,
        "Text that addresses the model or an agent from inside a document or a tool's result.",
    ),
    meaning(
        Family::Exfiltration,
        "exfiltration-request",
        "DATA_EXFILTRATION",
        90,
        "Asks to send conversations, files or credentials somewhere.",
    ),
    meaning(
        Family::ToolPoisoning,
        "tool-poisoning",
        "TOOL_POISONING",
        100,
        "Instructions to the model in the description of a tool.",
    ),
    meaning(
        Family::Encoded,
        "encoded-payload",
        "PROMPT_INJECTION",
        100,
        "An encoded text (base64, hex, percent, escapes; two levels) next to a request to decode and follow it.",
    ),
    meaning(
        Family::Template,
        "chat-template-token",
        "PROMPT_INJECTION",
        100,
        "Control tokens of chat templates in text, where they can open a turn of another role.",
    ),
    meaning(
        Family::Link,
        "exfiltration-url",
        "DATA_EXFILTRATION",
        100,
        "A picture or link whose address carries data out when it is rendered.",
    ),
    meaning(
        Family::Tags,
        "hidden-tag-characters",
        "HIDDEN_TEXT",
        100,
        "Text in invisible characters of the Unicode tag block, other than flags.",
    ),
    meaning(
        Family::ZeroWidth,
        "hidden-zero-width",
        "HIDDEN_TEXT",
        100,
        "Long runs of zero-width characters, or such characters that cut Latin words to pieces.",
    ),
    meaning(
        Family::Bidi,
        "bidi-override",
        "HIDDEN_TEXT",
        100,
        "Direction overrides that make text read differently from what it is.",
    ),
    meaning(
        Family::Selectors,
        "variation-selector-payload",
        "HIDDEN_TEXT",
        100,
        "Bytes hidden in runs of variation selectors.",
    ),
];

const fn meaning(
    family: Family,
    id: &'static str,
    entity: &'static str,
    cap: i32,
    description: &'static str,
) -> Meaning {
    Meaning { family, id, entity, description, cap }
}

impl Meaning {
    pub(super) fn rule(&self) -> Rule {
        Rule {
            id: self.id.into(),
            entity: self.entity.into(),
            class: Class::Injection,
            tier: Tier::A,
            description: self.description.into(),
        }
    }
}

impl Family {
    /// The rule's number, or the number of families for [`Family::Context`].
    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// Percent of a signal's weight that counts, by who wrote the text. Instructions have their place in what operators
    /// write, less in what people type, and none in what a tool brings back.
    pub(super) fn percent(self, provenance: Provenance) -> i32 {
        use Family::{AgentDirective, Context, Exfiltration, Link, Template, ToolPoisoning};
        match (provenance, self) {
            (_, Context) => 100,
            (Provenance::System, _) => 50,
            (Provenance::Assistant, Link | Exfiltration) => 130,
            (Provenance::Assistant, _) => 60,
            (Provenance::ToolInput, _) => 70,
            (Provenance::User, _) => 100,
            (Provenance::ToolDefinition, ToolPoisoning | AgentDirective | Exfiltration) => 150,
            (
                Provenance::ToolResult | Provenance::Document,
                AgentDirective | ToolPoisoning | Exfiltration,
            ) => 150,
            (Provenance::ToolResult | Provenance::Document, Template) => 120,
            (Provenance::ToolDefinition | Provenance::ToolResult | Provenance::Document, _) => 125,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_stand_at_their_numbers() {
        for (number, meaning) in FAMILIES.iter().enumerate() {
            assert_eq!(meaning.family.index(), number);
        }
        assert_eq!(Family::Context.index(), FAMILIES.len());
    }
}
