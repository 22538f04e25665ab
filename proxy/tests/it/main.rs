//! The gateway from the outside: a whole one in this process, a provider that keeps its own bill, and clients that
//! control every byte.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

mod affinity;
mod agents;
mod bad_input;
mod balancers;
mod budgets;
mod budgets_stored;
mod canary;
mod certificates;
mod connect;
mod content;
mod counting;
mod credentials;
mod custom;
mod desktop;
mod drain;
mod egress;
mod endings;
mod failover;
mod faults;
mod fidelity;
mod guard;
mod guard_beside;
mod guard_sockets;
mod guard_streams;
mod guardrails;
mod headers;
mod health;
mod http1;
mod http2;
mod keys;
mod lifecycle;
mod matrix;
mod metering;
mod objects;
mod pass_through;
mod prices;
mod process;
mod rate_limits;
mod reload;
mod routes;
mod routing;
mod shared;
mod shared_store;
mod sinks;
mod sizes;
mod sockets;
mod streams;
mod sums;
mod unreachable;
mod uploads;
mod upstream_h2;
mod upstream_tls;
