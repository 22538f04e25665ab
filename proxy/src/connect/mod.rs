//! Client programs: what they speak, how they are pointed at a gateway, and how far that reaches.
//!
//! One list, [`CLIENTS`], from which `narrows connect`, the guides in `docs/clients/` and the tests with real clients
//! take what they say.

mod catalog;
pub(crate) mod edit;
mod fill;
#[cfg(test)]
mod guide;
mod home;
mod plan;
pub(crate) mod probe;
mod sections;

pub(crate) use catalog::CLIENTS;
pub(crate) use fill::{KEY_PLACEHOLDER, Values};
pub(crate) use home::Home;
pub(crate) use plan::{BACKUP, Done, Plans};
pub(crate) use sections::{exports, sections};

use edit::Format;
use narrows_llm::Dialect;

/// A client program.
#[derive(Debug)]
pub(crate) struct Client {
    /// The word for it on the command line, and the name of its guide.
    pub(crate) name: &'static str,
    /// Its own name.
    pub(crate) title: &'static str,
    /// What kind of program it is.
    pub(crate) kind: Kind,
    /// The dialects in which it calls the gateway.
    pub(crate) speaks: &'static [Dialect],
    /// The words that records have for it (`narrows_llm::client`); none if its requests do not tell.
    pub(crate) recorded_as: &'static [&'static str],
    /// How much of its model traffic can be sent through the gateway.
    pub(crate) routable: Routable,
    /// What holds the setting in place on managed machines; `None` if nothing does.
    pub(crate) enforceable: Option<&'static str>,
    /// Limits that one has to know before one relies on it.
    pub(crate) limits: &'static [&'static str],
    /// How it is known that this works.
    pub(crate) verified: Verified,
    /// The model in its settings, if none is asked for.
    pub(crate) model: &'static str,
    /// How it is set up.
    pub(crate) setup: Setup,
}

/// What kind of program a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A library, a framework, or a tool for programmers: it does what the program around it says.
    Library,
    /// A program that a person sets up for their own work: a coding agent, an editor, a desktop application.
    Personal,
}

/// How much of a client's model traffic can be sent through the gateway by its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Routable {
    /// All of it.
    Yes,
    /// Some of it; the limits say which part is not.
    Partial,
}

impl Kind {
    /// The word for programs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Library => "library",
            Kind::Personal => "personal",
        }
    }
}

impl Routable {
    /// The word in tables.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Routable::Yes => "yes",
            Routable::Partial => "partial",
        }
    }
}

/// How it is known that a client works.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verified {
    /// The program itself was run against a gateway, by this file of `scripts/clients`.
    Run(&'static [&'static str]),
    /// Requests as its documentation describes them were replayed, not recorded from the program.
    Fixture(&'static str),
    /// Only its documentation was read.
    Documentation,
}

/// When the clients' documentation was last read.
const SEEN: &str = "2026-11-25";

impl Verified {
    /// For people; names in backquotes.
    pub(crate) fn told(self) -> String {
        let script = |name: &&str| match name.strip_prefix("../") {
            Some(name) => format!("`scripts/{name}`"),
            None => format!("`scripts/clients/{name}`"),
        };
        match self {
            Verified::Run(names) => {
                format!("run by {}", names.iter().map(script).collect::<Vec<_>>().join(", "))
            }
            Verified::Fixture(test) => format!("requests as documented, replayed by `proxy/tests/it/{test}`"),
            Verified::Documentation => format!("its documentation only, read {SEEN}"),
        }
    }
}

/// How a client is set up. Texts may hold `{url}` (without `/v1`), `{key}` and `{model}`.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Variables of the environment.
    pub(crate) variables: &'static [(&'static str, &'static str)],
    /// The command that starts it, behind the variables.
    pub(crate) start: &'static str,
    /// Settings files of the user that it reads.
    pub(crate) files: &'static [File],
    /// What a person has to do in its windows.
    pub(crate) steps: &'static [&'static str],
    /// Code, or files that are not written for the user.
    pub(crate) samples: &'static [Sample],
}

/// Nothing of everything.
pub(crate) const NOTHING: Setup = Setup { variables: &[], start: "", files: &[], steps: &[], samples: &[] };

/// A text to copy.
#[derive(Debug)]
pub(crate) struct Sample {
    /// What it is, or where it goes.
    pub(crate) title: &'static str,
    /// The word for a fenced block.
    pub(crate) language: &'static str,
    /// The text.
    pub(crate) text: &'static str,
}

/// A settings file in the user's home.
#[derive(Debug)]
pub(crate) struct File {
    /// A variable that names the folder instead of `folder`, with what has to be added to it.
    pub(crate) variable: Option<(&'static str, &'static str)>,
    /// The folder, below the home directory.
    pub(crate) folder: &'static str,
    /// Names it may have; the first that exists is changed, else the first is made.
    pub(crate) names: &'static [&'static str],
    /// Its syntax.
    pub(crate) format: Format,
    /// Whether the client ignores a file with comments in it.
    pub(crate) strict: bool,
    /// What is put into it.
    pub(crate) settings: &'static [Setting],
    /// A text value, and how it begins once this client is connected.
    pub(crate) mark: (&'static [&'static str], &'static str),
}

/// One value in a settings file.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Where it stands; steps may hold `{model}`. What stands below a step `narrows` belongs to us.
    pub(crate) path: &'static [&'static str],
    /// What it is.
    pub(crate) value: Value,
    /// Whether it is only set if a model was asked for.
    pub(crate) if_model: bool,
}

/// A value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    /// A text.
    Text(&'static str),
    /// A line among others in a text: its beginning, by which it is found again, and its rest.
    Line(&'static str, &'static str),
}

/// The step of a path below which everything belongs to us.
pub(crate) const OURS: &str = "narrows";

impl Client {
    /// Whether `narrows connect --write` can set it up.
    pub(crate) fn is_writable(&self) -> bool {
        !self.setup.files.is_empty()
    }
}

/// The client of that name.
pub(crate) fn find(name: &str) -> Option<&'static Client> {
    CLIENTS.iter().copied().find(|client| client.name == name)
}

#[cfg(test)]
mod tests;
