//! Who called, through which door, and what governance applied.

use serde::{Deserialize, Serialize};

/// How a caller was identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerKind {
    /// A virtual key.
    #[default]
    VirtualKey,
    /// A route that allows anonymous use, attributed to a named caller.
    Anonymous,
}

/// The chain of who is behind an exchange. Everything stored carries the organization from day one.
///
/// Authorization uses only what was proved (`organization`, `key_id` and the owner written on the key);
/// metadata is attribution and never authorizes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Caller {
    /// How the caller was identified.
    pub kind: CallerKind,
    /// The organization that owns the key; no counter, cache or record is shared across organizations.
    pub organization: String,
    /// Team, if the key names one.
    pub team: Option<String>,
    /// User, if the key belongs to a person.
    pub user: Option<String>,
    /// Service account, if the key belongs to a program.
    pub service_account: Option<String>,
    /// Project, if the key names one.
    pub project: Option<String>,
    /// Public id of the virtual key; never its secret.
    pub key_id: Option<String>,
    /// Free metadata written on the key, in the order it was given.
    pub metadata: Vec<(String, String)>,
}

/// The door an exchange came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// Direct integration: the client points its base URL here.
    Gateway,
    /// Intercepted endpoint traffic (PAC, mutual TLS).
    Endpoint,
    /// Chained from a secure web gateway.
    Swg,
    /// Rerouted by an agent on the machine.
    Reroute,
    /// The Model Context Protocol gateway.
    Mcp,
    /// The administration API.
    Admin,
}

impl Surface {
    /// Every surface, in order of declaration.
    pub const ALL: [Surface; 6] =
        [Surface::Gateway, Surface::Endpoint, Surface::Swg, Surface::Reroute, Surface::Mcp, Surface::Admin];

    /// The stable word used in records, metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Surface::Gateway => "gateway",
            Surface::Endpoint => "endpoint",
            Surface::Swg => "swg",
            Surface::Reroute => "reroute",
            Surface::Mcp => "mcp",
            Surface::Admin => "admin",
        }
    }
}

/// The traffic class of an exchange, after the categories of AI traffic an organization has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TrafficClass {
    /// Applications the organization builds itself.
    #[serde(rename = "1")]
    OwnApplication,
    /// Coding agents and plug-in clients whose settings are enforced centrally.
    #[serde(rename = "2a")]
    ManagedClient,
    /// Coding agents and plug-in clients configured by their users.
    #[serde(rename = "2b")]
    UserClient,
    /// Applications without an endpoint setting, reached by interception.
    #[serde(rename = "3")]
    Intercepted,
    /// AI embedded in other vendors' services: not reachable.
    #[serde(rename = "4")]
    Embedded,
    /// Tool calls over the Model Context Protocol.
    #[serde(rename = "mcp")]
    Mcp,
}

impl TrafficClass {
    /// Every class, in order of declaration.
    pub const ALL: [TrafficClass; 6] = [
        TrafficClass::OwnApplication,
        TrafficClass::ManagedClient,
        TrafficClass::UserClient,
        TrafficClass::Intercepted,
        TrafficClass::Embedded,
        TrafficClass::Mcp,
    ];

    /// The class with this word.
    pub fn from_word(word: &str) -> Option<TrafficClass> {
        TrafficClass::ALL.into_iter().find(|class| class.as_str() == word)
    }

    /// The stable word used in records, metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            TrafficClass::OwnApplication => "1",
            TrafficClass::ManagedClient => "2a",
            TrafficClass::UserClient => "2b",
            TrafficClass::Intercepted => "3",
            TrafficClass::Embedded => "4",
            TrafficClass::Mcp => "mcp",
        }
    }
}

/// One of the four things governance can do with an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Tokens and cost were measured.
    Cost,
    /// Content passed detectors or guardrails.
    Guardrails,
    /// Access was decided.
    Access,
    /// A record was written.
    Audit,
}

impl Capability {
    /// Every capability, in the order of the bits of a [`CapabilitySet`].
    pub const ALL: [Capability; 4] =
        [Capability::Cost, Capability::Guardrails, Capability::Access, Capability::Audit];

    /// The stable word used in records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Capability::Cost => "cost",
            Capability::Guardrails => "guardrails",
            Capability::Access => "access",
            Capability::Audit => "audit",
        }
    }
}

/// Which capabilities applied to an exchange, as bits in the order of [`Capability::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CapabilitySet(u8);

impl CapabilitySet {
    /// The empty set.
    pub const NONE: CapabilitySet = CapabilitySet(0);

    /// This set with `capability` in it.
    #[must_use]
    pub const fn with(self, capability: Capability) -> CapabilitySet {
        CapabilitySet(self.0 | 1 << capability as u8)
    }

    /// Whether `capability` is in the set.
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// The bits, for storage.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set with these bits; unknown bits are dropped.
    pub const fn from_bits(bits: u8) -> CapabilitySet {
        CapabilitySet(bits & 0b1111)
    }

    /// The members, in the order of [`Capability::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |capability| self.contains(*capability))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_exactly_what_was_put_in() {
        let set = CapabilitySet::NONE.with(Capability::Cost).with(Capability::Audit);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Capability::Cost, Capability::Audit]);
        assert_eq!(CapabilitySet::from_bits(set.bits()), set);
        assert!(!set.contains(Capability::Access));
    }
}
