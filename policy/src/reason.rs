//! Why an exchange ended as it did: one closed list, the same word in metric label, log, record and error body.

use serde::{Deserialize, Serialize};

/// Whose doing an ending is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// Nobody: it went well.
    Nobody,
    /// The caller sent something that cannot be served, or left.
    Caller,
    /// A policy of the organization refused.
    Policy,
    /// The provider or the way to it failed.
    Provider,
    /// The gateway itself failed or was out of room.
    Gateway,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $word:literal, $blame:ident;)+) => {
        /// Why an exchange ended as it did.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $variant,)+
        }

        impl Reason {
            /// Every reason, in order of declaration.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)+];

            /// The stable word used in error bodies, records, metrics and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $word,)+ }
            }

            /// The reason with this word.
            pub fn from_word(word: &str) -> Option<Reason> {
                match word { $($word => Some(Reason::$variant),)+ _ => None }
            }

            /// Whose doing it is.
            pub const fn blame(self) -> Blame {
                match self { $(Reason::$variant => Blame::$blame,)+ }
            }
        }
    };
}

reasons! {
    /// The exchange ran to its end and the provider answered with success.
    Completed = "completed", Nobody;
    /// The provider answered with an error status, passed on unchanged.
    ProviderError = "provider_error", Provider;
    /// The provider answered 429, passed on unchanged.
    ProviderRateLimited = "provider_rate_limited", Provider;
    /// The provider refused *our* credential (401 or 403); the caller sees a 502.
    ProviderCredentialRefused = "provider_credential_refused", Provider;
    /// The provider reported an error inside a stream that had begun with success.
    ProviderErrorEvent = "provider_error_event", Provider;
    /// The provider's name could not be resolved.
    ProviderDns = "provider_dns", Provider;
    /// The provider could not be connected to.
    ProviderConnect = "provider_connect", Provider;
    /// The TLS handshake with the provider failed, or its certificate is not trusted.
    ProviderTls = "provider_tls", Provider;
    /// The egress proxy on the way to the provider could not be reached, or refused.
    EgressProxy = "egress_proxy", Provider;
    /// No response head came within the first-byte time-out.
    ProviderFirstByteTimeout = "provider_first_byte_timeout", Provider;
    /// The provider sent nothing for longer than the idle time-out.
    ProviderIdleTimeout = "provider_idle_timeout", Provider;
    /// The provider closed the connection before the answer was complete.
    ProviderCut = "provider_cut", Provider;
    /// The provider's answer is not valid HTTP.
    ProviderProtocol = "provider_protocol", Provider;
    /// The exchange took longer than the total time-out.
    TotalTimeout = "total_timeout", Provider;

    /// The caller closed the connection before the answer was complete.
    ClientGone = "client_gone", Caller;
    /// The caller stopped reading, or sent its body too slowly.
    ClientTimeout = "client_timeout", Caller;
    /// No virtual key was presented.
    KeyMissing = "key_missing", Caller;
    /// The presented key is not a virtual key of this gateway.
    KeyUnknown = "key_unknown", Caller;
    /// The key was disabled or deleted.
    KeyDisabled = "key_disabled", Caller;
    /// The key has expired.
    KeyExpired = "key_expired", Caller;
    /// Two different virtual keys were presented in one request.
    KeyConflict = "key_conflict", Caller;
    /// No such path.
    PathUnknown = "path_unknown", Caller;
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", Caller;
    /// The path is a WebSocket, and the request does not ask for one.
    UpgradeRequired = "upgrade_required", Caller;
    /// The request head is ambiguous (say Content-Length beside Transfer-Encoding) and is not passed on.
    HeadAmbiguous = "head_ambiguous", Caller;
    /// The body is not the JSON object that the path takes.
    BodyMalformed = "body_malformed", Caller;
    /// The body is larger than the configured limit.
    BodyTooLarge = "body_too_large", Caller;
    /// The body has a content encoding the gateway does not decode.
    BodyEncoding = "body_encoding", Caller;
    /// The request names no model.
    ModelMissing = "model_missing", Caller;
    /// No route serves the named model.
    ModelUnknown = "model_unknown", Caller;
    /// The routed provider does not speak the request's dialect.
    DialectUnsupported = "dialect_unsupported", Caller;

    /// Several providers serve the path and nothing in the request says which one is meant.
    ProviderAmbiguous = "provider_ambiguous", Caller;
    /// The request names a stored object that does not exist, or that nobody made through this gateway.
    ObjectUnknown = "object_not_found", Caller;

    /// The provider is not configured to serve WebSockets.
    WebsocketNotServed = "websocket_not_served", Policy;
    /// The key may not use this model.
    ModelNotAllowed = "model_not_allowed", Policy;
    /// The configuration does not allow this path for the provider.
    PathNotAllowed = "path_not_allowed", Policy;
    /// The request names a stored object of another team or organization; the caller sees `object_not_found`.
    ObjectForeign = "object_of_another_team", Policy;
    /// A rate limit of requests or tokens is reached; try again when it says so.
    RateLimited = "rate_limited", Policy;
    /// As many exchanges are open at a time as a limit allows; try again shortly.
    ConcurrencyLimited = "concurrency_limited", Policy;
    /// The request alone is larger than a whole rate limit or budget.
    RequestOverLimit = "request_over_limit", Policy;
    /// A budget is spent, or what is left of it is less than the request could cost.
    BudgetSpent = "budget_spent", Policy;
    /// Open exchanges hold what is left of a budget; try again shortly.
    BudgetHeld = "budget_held", Policy;
    /// A budget is in money, and no price is known for the model.
    PriceUnknown = "price_unknown", Policy;
    /// A policy denies the exchange by its place: the application, the model, the team, or streams.
    PolicyDenied = "policy_denied", Policy;
    /// A policy blocks what was found in the request or the answer.
    ContentBlocked = "content_blocked", Policy;
    /// A policy that masks or blocks needs the content inspected, and it could not be.
    ContentNotInspected = "content_not_inspected", Policy;

    /// More exchanges are asked for than the gateway can serve in time; try again shortly.
    Overloaded = "overloaded", Gateway;
    /// An operator has disabled or drained every target that could serve the request.
    TargetDisabled = "target_disabled", Gateway;
    /// The conversation is bound to the account of a target that cannot serve it at the moment.
    TargetBound = "target_bound", Gateway;
    /// All room for buffered bodies is taken; try again shortly.
    BuffersFull = "buffers_full", Gateway;
    /// A limit cannot be counted, and is not to be passed uncounted; try again shortly.
    LimitUncounted = "limit_uncounted", Gateway;
    /// Whose a stored object is cannot be told, because the store cannot be read.
    ObjectsUnavailable = "objects_unavailable", Gateway;
    /// A provider's list of objects cannot be narrowed to the caller's.
    ListUnfiltered = "list_unfiltered", Gateway;
    /// Records are required and cannot be kept at the moment.
    AuditUnavailable = "audit_unavailable", Gateway;
    /// The gateway is shutting down.
    ShuttingDown = "shutting_down", Gateway;
    /// The gateway failed in a way it should not have.
    GatewayBug = "gateway_bug", Gateway;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_read_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_word(reason.as_str()), Some(*reason));
            assert_eq!(serde_json::to_string(reason).unwrap(), format!("\"{}\"", reason.as_str()));
        }
        let mut words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
