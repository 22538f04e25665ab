//! The words every detector speaks: a rule describes what is looked for, a hit says where it stands.

use std::ops::Range;

/// The family a rule belongs to. Policies switch families on and off and masks restore by family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Credentials: whoever holds one can act with it. Never restored by default.
    Secret,
    /// Data about a person or an account of a person.
    Pii,
    /// Text that tries to take the model over.
    Injection,
    /// What an operator named: keywords, dictionaries, regular expressions.
    Custom,
}

impl Class {
    /// The stable word used in configuration, records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Secret => "secret",
            Class::Pii => "pii",
            Class::Injection => "injection",
            Class::Custom => "custom",
        }
    }
}

/// How sure a rule is of itself on ordinary text, hence when it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// On by default: a checksum or an unmistakable shape.
    A,
    /// Counts with a word of context nearby, or where a policy asks for it.
    B,
    /// Only where a policy asks for it.
    C,
}

/// Who wrote a piece of text. The same words weigh more in a tool's result than in what a person typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Provenance {
    /// The operator's or application's instructions.
    System,
    /// A person, or what speaks for one.
    #[default]
    User,
    /// The model, in an earlier turn or in the answer.
    Assistant,
    /// Arguments that the model gives to a tool.
    ToolInput,
    /// What a tool brought back.
    ToolResult,
    /// An attached document.
    Document,
    /// A tool's description or schema.
    ToolDefinition,
}

/// Position of a rule in the list of the engine that found something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleIndex(pub u32);

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Stable name, lower case with dashes (`github-pat`); unique within its class.
    pub id: Box<str>,
    /// What the value is, upper case with underscores (`GITHUB_TOKEN`, `EMAIL`); the word in placeholders. Several rules
    /// may find one entity.
    pub entity: Box<str>,
    /// Its family.
    pub class: Class,
    /// When it is on.
    pub tier: Tier,
    /// One line for people: what it finds and how it is checked.
    pub description: Box<str>,
}

/// Where something was found, in bytes of the text that was searched. Both ends are character boundaries, and the range
/// covers the whole value and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Which rule found it.
    pub rule: RuleIndex,
    /// The value.
    pub range: Range<usize>,
    /// How sure it is, 0 to 100.
    pub score: u8,
}
