//! External guardrails, as pure codecs.
//!
//! A guardrail is a service that somebody else runs and that judges text. Each has a file in [`codec`] with two pure
//! functions: one makes the calls that carry an [`Input`], the other reads an answer into a [`Verdict`]. Sockets,
//! deadlines, breakers and what happens on an error are for whoever does the I/O; it drives an [`Inquiry`] and knows no
//! vendor.
//!
//! What holds for all of them, and is tested for all of them:
//!
//! - **No verdict is an error.** A malformed, empty, over-long or late answer, an unknown word where the verdict depends
//!   on it, a mask that does not fit, or a guardrail that says it did not look at everything: each is a
//!   [`RemoteError`], never a pass.
//! - **Nothing echoed is kept.** Many services send the match back. It is used to find its place at most; findings hold
//!   [`Label`]s, errors hold nothing of an answer, and what is printed for debugging holds no text.
//! - **No credentials here.** A [`Call`] says how a credential is attached ([`Auth`]), not which.
//! - **Every size has a limit.** Over-long text is cut where the contract allows it, else refused.

mod call;
pub mod codec;
mod error;
pub mod fuzzing;
mod input;
mod inquiry;
mod kind;
mod piece;
pub mod signature;
mod verdict;

pub use call::{Answer, Auth, Call, MAX_ANSWER_BYTES, Service};
pub use error::RemoteError;
pub use input::{Facts, Input, Segment, Stage};
pub use inquiry::{Inquiry, MAX_CALLS};
pub use kind::{Kind, Need, SettingsError, Shape};
pub use piece::Unit;
pub use verdict::{Finding, Label, MAX_FINDINGS, MAX_LABEL_BYTES, Place, Replacement, Verdict};

use call::Step;
use kind::Check;

/// Makes the list of guardrails and what is asked of each.
macro_rules! remotes {
    ($($variant:ident => $module:ident,)*) => {
        /// A guardrail with its settings.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Remote {
            $(#[doc = concat!("See [`codec::", stringify!($module), "`].")] $variant(codec::$module::Settings),)*
        }

        /// Every kind of guardrail.
        pub static REMOTES: &[&Kind] = &[$(&codec::$module::KIND,)*];

        impl Remote {
            /// The guardrail of a name, with its settings as a JSON object.
            ///
            /// # Errors
            /// The name is unknown, or a setting is missing, unknown or wrong.
            pub fn configure(name: &str, settings: serde_json::Value) -> Result<Remote, SettingsError> {
                $(if name == codec::$module::KIND.name {
                    let kind = codec::$module::KIND.name;
                    let invalid = |message: String| SettingsError::Invalid { kind, message };
                    let settings: codec::$module::Settings =
                        serde_json::from_value(settings).map_err(|error| invalid(error.to_string()))?;
                    settings.check().map_err(invalid)?;
                    return Ok(Remote::$variant(settings));
                })*
                Err(SettingsError::UnknownKind(name.chars().take(MAX_LABEL_BYTES).collect()))
            }

            /// Which kind it is.
            pub fn kind(&self) -> &'static Kind {
                match self {
                    $(Remote::$variant(_) => &codec::$module::KIND,)*
                }
            }

            /// The vendor's public address for these settings, without a slash at its end; `None` when only the
            /// operator can know it.
            pub fn base(&self) -> Option<String> {
                match self {
                    $(Remote::$variant(settings) => settings.base(),)*
                }
            }

            /// The calls that carry an input.
            fn calls(&self, input: &Input<'_>) -> Result<Vec<Call>, RemoteError> {
                match self {
                    $(Remote::$variant(settings) => codec::$module::calls(settings, input),)*
                }
            }

            /// What an answer means.
            fn read(&self, input: &Input<'_>, call: &Call, answer: &Answer<'_>) -> Result<Step, RemoteError> {
                match self {
                    $(Remote::$variant(settings) => codec::$module::read(settings, input, call, answer),)*
                }
            }
        }
    };
}

remotes! {
    CrowdstrikeAidr => crowdstrike_aidr,
    Presidio => presidio,
    Webhook => webhook,
    PrismaAirs => prisma_airs,
    AzureContentSafety => azure_content_safety,
    BedrockGuardrails => bedrock_guardrails,
    ModelArmor => model_armor,
    Lakera => lakera,
    OpenaiModeration => openai_moderation,
    Patronus => patronus,
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
