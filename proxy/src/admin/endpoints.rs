//! Every path of the administration API, with what a token must be for it. The router is made from this list and from
//! nothing else; `tests/organizations.rs` asks each entry with the tokens of two organizations.

use super::api::{BODY_BYTES_MAX, BULK_BYTES_MAX};
use super::directory::{self, Organizations, Projects, ServiceAccounts, Teams, Users};
use super::stored_limits::{Budgets, RateLimits};
use super::{
    Context, alerts, audit, bulk, config, content, coverage, exchanges, keys, limits, openapi, prices,
    reports, status, stored_limits, targets, tokens,
};
use axum::routing::{self, MethodRouter};
use narrows_ledger::Role;
use std::sync::Arc;

/// What a token must be for an endpoint, and a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Needs {
    /// What it must be allowed to do.
    pub(super) role: Role,
    /// Whether it must be one of every organization, because the answer or the change is about the whole gateway.
    pub(super) whole: bool,
    /// Whether it takes query parameters, and refuses those it does not know. Where it takes none all are refused for it.
    pub(super) query: bool,
    /// Most bytes of a request's body.
    pub(super) body_max: usize,
}

/// Looks, within the token's organization.
const LOOK: Needs = Needs { role: Role::Read, whole: false, query: false, body_max: BODY_BYTES_MAX };
/// The same, narrowed by parameters.
const ASK: Needs = Needs { query: true, ..LOOK };
/// Changes, within the token's organization.
const CHANGE: Needs = Needs { role: Role::Write, whole: false, query: false, body_max: BODY_BYTES_MAX };
/// Changes many things at once, within the token's organization.
const CHANGE_MANY: Needs = Needs { body_max: BULK_BYTES_MAX, ..CHANGE };
/// Looks at the gateway as a whole.
const LOOK_AT_ALL: Needs = Needs { role: Role::Read, whole: true, query: false, body_max: BODY_BYTES_MAX };
/// The same, narrowed by parameters.
const ASK_OF_ALL: Needs = Needs { query: true, ..LOOK_AT_ALL };
/// Changes the gateway as a whole.
const CHANGE_ALL: Needs = Needs { role: Role::Write, whole: true, query: false, body_max: BODY_BYTES_MAX };

/// Looks at prompts and answers, or decides what becomes of them, within the token's organization.
const CONTENT: Needs = Needs { role: Role::Content, whole: false, query: false, body_max: BODY_BYTES_MAX };
/// The same, with parameters.
const CONTENT_ASKED: Needs = Needs { query: true, ..CONTENT };

/// A method of a path.
pub(super) struct Endpoint {
    /// In lower case, as in the OpenAPI description.
    pub(super) method: &'static str,
    /// The whole path, with `{id}` for what varies.
    pub(super) path: &'static str,
    pub(super) needs: Needs,
    pub(super) route: fn() -> MethodRouter<Arc<Context>>,
}

macro_rules! endpoints {
    ($($method:ident $path:literal $needs:ident $handler:path,)+) => {
        &[$(Endpoint {
            method: stringify!($method),
            path: concat!("/admin/v1", $path),
            needs: $needs,
            route: || routing::$method($handler),
        },)+]
    };
}

/// The list.
pub(super) const ENDPOINTS: &[Endpoint] = endpoints! {
    get "/keys" ASK keys::list,
    post "/keys" CHANGE keys::create,
    post "/keys/bulk" CHANGE_MANY bulk::create,
    post "/keys/bulk/disable" CHANGE_MANY bulk::disable,
    get "/keys/{id}" LOOK keys::show,
    delete "/keys/{id}" CHANGE keys::delete,
    post "/keys/{id}/disable" CHANGE keys::disable,
    post "/keys/{id}/enable" CHANGE keys::enable,
    post "/keys/{id}/rotate" CHANGE keys::rotate,
    get "/tokens" LOOK tokens::list,
    post "/tokens" CHANGE tokens::create,
    get "/tokens/{id}" LOOK tokens::show,
    delete "/tokens/{id}" CHANGE tokens::revoke,
    get "/organizations" ASK directory::list::<Organizations>,
    post "/organizations" CHANGE_ALL directory::create::<Organizations>,
    get "/organizations/{id}" LOOK directory::show::<Organizations>,
    patch "/organizations/{id}" CHANGE_ALL directory::change::<Organizations>,
    delete "/organizations/{id}" CHANGE_ALL directory::delete::<Organizations>,
    get "/users" ASK directory::list::<Users>,
    post "/users" CHANGE directory::create::<Users>,
    get "/users/{id}" LOOK directory::show::<Users>,
    patch "/users/{id}" CHANGE directory::change::<Users>,
    delete "/users/{id}" CHANGE directory::delete::<Users>,
    get "/service-accounts" ASK directory::list::<ServiceAccounts>,
    post "/service-accounts" CHANGE directory::create::<ServiceAccounts>,
    get "/service-accounts/{id}" LOOK directory::show::<ServiceAccounts>,
    patch "/service-accounts/{id}" CHANGE directory::change::<ServiceAccounts>,
    delete "/service-accounts/{id}" CHANGE directory::delete::<ServiceAccounts>,
    get "/teams" ASK directory::list::<Teams>,
    post "/teams" CHANGE directory::create::<Teams>,
    get "/teams/{id}" LOOK directory::show::<Teams>,
    patch "/teams/{id}" CHANGE directory::change::<Teams>,
    delete "/teams/{id}" CHANGE directory::delete::<Teams>,
    get "/projects" ASK directory::list::<Projects>,
    post "/projects" CHANGE directory::create::<Projects>,
    get "/projects/{id}" LOOK directory::show::<Projects>,
    patch "/projects/{id}" CHANGE directory::change::<Projects>,
    delete "/projects/{id}" CHANGE directory::delete::<Projects>,
    get "/usage" ASK reports::usage,
    get "/records" ASK reports::records,
    get "/records/{id}" LOOK reports::record,
    get "/records/{id}/content" CONTENT_ASKED content::show,
    get "/content" CONTENT_ASKED content::search,
    get "/content/export" CONTENT_ASKED content::export,
    post "/content/erasures" CONTENT content::erase,
    get "/content/holds" CONTENT_ASKED content::holds,
    post "/content/holds" CONTENT content::hold,
    get "/content/holds/{id}" CONTENT content::show_hold,
    post "/content/holds/{id}/release" CONTENT content::release,
    get "/coverage" ASK coverage::show,
    get "/exchanges" ASK exchanges::list,
    get "/alerts" ASK alerts::list,
    post "/alerts/ack" CHANGE alerts::acknowledge_many,
    get "/alerts/{id}" LOOK alerts::show,
    post "/alerts/{id}/ack" CHANGE alerts::acknowledge,
    get "/decisions" ASK alerts::decisions,
    get "/audit" ASK audit::list,
    get "/config" LOOK_AT_ALL config::show,
    post "/config/reload" CHANGE_ALL config::reload,
    get "/budgets" LOOK_AT_ALL limits::budgets,
    get "/budgets/{name}" LOOK_AT_ALL stored_limits::show::<Budgets>,
    put "/budgets/{name}" CHANGE_ALL stored_limits::put::<Budgets>,
    delete "/budgets/{name}" CHANGE_ALL stored_limits::delete::<Budgets>,
    get "/limits" LOOK_AT_ALL limits::rate_limits,
    get "/limits/{name}" LOOK_AT_ALL stored_limits::show::<RateLimits>,
    put "/limits/{name}" CHANGE_ALL stored_limits::put::<RateLimits>,
    delete "/limits/{name}" CHANGE_ALL stored_limits::delete::<RateLimits>,
    get "/prices" ASK_OF_ALL prices::prices,
    get "/targets" LOOK_AT_ALL targets::list,
    get "/targets/{id}" LOOK_AT_ALL targets::show,
    post "/targets/{id}/drain" CHANGE_ALL targets::drain,
    post "/targets/{id}/disable" CHANGE_ALL targets::disable,
    post "/targets/{id}/enable" CHANGE_ALL targets::enable,
    get "/status" LOOK status::status,
    get "/openapi.json" LOOK openapi::document,
};
