//! How a provider says that it worked on a request, where that changes the price.
//!
//! Sources, seen 2026-11: platform.openai.com/docs/api-reference/chat/object and /responses/object (`service_tier`: what was
//! used, also where `auto` was asked for); docs.anthropic.com/en/api/service-tiers (`usage.service_tier`: `standard`,
//! `priority`, `batch`; `usage.speed`: `standard`, `fast`); Vertex AI's `UsageMetadata.TrafficType` and the Gemini API's
//! `usageMetadata.serviceTier`.

use narrows_meter::Mode;

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tier {
    /// Nothing yet.
    #[default]
    Unsaid,
    /// The ordinary way.
    Ordinary,
    /// Another one.
    Of(Mode),
}

impl Tier {
    /// What a word means. A word that nobody knows is no ordinary tier, and has no price.
    pub(crate) fn of(word: &str) -> Tier {
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        if ["default", "standard", "on_demand", "traffic_type_unspecified", "unspecified"].into_iter().any(is)
        {
            Tier::Ordinary
        } else if is("auto") || word.is_empty() {
            // What was asked for, before it is known what it came to.
            Tier::Unsaid
        } else if is("batch") {
            Tier::Of(Mode::Batch)
        } else if is("flex") || is("on_demand_flex") {
            Tier::Of(Mode::Flex)
        } else if is("priority") || is("on_demand_priority") {
            Tier::Of(Mode::Priority)
        } else if is("fast") {
            Tier::Of(Mode::Fast)
        } else if is("scale") || is("provisioned_throughput") {
            Tier::Of(Mode::Provisioned)
        } else {
            Tier::Of(Mode::Other)
        }
    }

    /// What a member means that may be missing.
    pub(crate) fn of_word(word: Option<Box<str>>) -> Tier {
        word.map_or(Tier::Unsaid, |word| Tier::of(&word))
    }

    /// Lays a later word over this one.
    pub(crate) fn overlay(&mut self, newer: Tier) {
        if newer != Tier::Unsaid {
            *self = newer;
        }
    }

    /// Both of two things that are said of one answer: whichever is not ordinary.
    pub(crate) fn and(self, other: Tier) -> Tier {
        match (self, other) {
            (Tier::Unsaid | Tier::Ordinary, Tier::Of(_)) | (Tier::Unsaid, _) => other,
            _ => self,
        }
    }

    /// The mode whose price holds; `None` for the ordinary one.
    pub(crate) fn mode(self) -> Option<Mode> {
        match self {
            Tier::Of(mode) => Some(mode),
            Tier::Unsaid | Tier::Ordinary => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_provider_have_a_meaning() {
        for (word, mode) in [
            ("default", None),
            ("standard", None),
            ("ON_DEMAND", None),
            ("auto", None),
            ("batch", Some(Mode::Batch)),
            ("flex", Some(Mode::Flex)),
            ("ON_DEMAND_FLEX", Some(Mode::Flex)),
            ("priority", Some(Mode::Priority)),
            ("ON_DEMAND_PRIORITY", Some(Mode::Priority)),
            ("fast", Some(Mode::Fast)),
            ("scale", Some(Mode::Provisioned)),
            ("PROVISIONED_THROUGHPUT", Some(Mode::Provisioned)),
            ("turbo", Some(Mode::Other)),
        ] {
            assert_eq!(Tier::of(word).mode(), mode, "{word}");
        }
    }

    #[test]
    fn what_was_asked_for_does_not_undo_what_it_came_to() {
        let mut tier = Tier::of("flex");
        tier.overlay(Tier::of("auto"));
        assert_eq!(tier.mode(), Some(Mode::Flex));
        tier.overlay(Tier::of("default"));
        assert_eq!(tier.mode(), None);
        assert_eq!(Tier::of("standard").and(Tier::of("fast")).mode(), Some(Mode::Fast));
        assert_eq!(Tier::of("batch").and(Tier::of("standard")).mode(), Some(Mode::Batch));
    }
}
