//! Budgets and rate limits, and how their counters stand.

use super::Context;
use crate::config::limits::stored::is_in_file;
use crate::config::limits::{BudgetRule, RateRule, Unit};
use crate::limits::{Line, LineKind, Rule, window};
use axum::Json;
use axum::extract::State;
use narrows_ledger::{LimitKind, time};
use narrows_meter::Window;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::sync::Arc;

/// Counters of one budget or rate limit in an answer; those that have used most come first.
const COUNTERS_MAX: usize = 1_000;

pub(super) async fn budgets(State(context): State<Arc<Context>>) -> Json<Value> {
    let snapshot = context.gateway.snapshot();
    let lines = context.gateway.limits.lines("budget");
    let in_file = in_file(&context);
    let budgets: Vec<Value> = snapshot
        .rules
        .iter()
        .filter(|rule| matches!(***rule, Rule::Budget(_)))
        .map(|rule| view(&in_file, rule, &lines))
        .collect();
    Json(json!({"budgets": budgets}))
}

pub(super) async fn rate_limits(State(context): State<Arc<Context>>) -> Json<Value> {
    let snapshot = context.gateway.snapshot();
    let lines = context.gateway.limits.lines("rate_limit");
    let in_file = in_file(&context);
    let limits: Vec<Value> = snapshot
        .rules
        .iter()
        .filter(|rule| matches!(***rule, Rule::Rate(_)))
        .map(|rule| view(&in_file, rule, &lines))
        .collect();
    Json(json!({"rate_limits": limits}))
}

/// One of them, as the lists show it.
pub(super) fn one(context: &Context, kind: LimitKind, name: &str) -> Option<Value> {
    let snapshot = context.gateway.snapshot();
    let rule = snapshot.rules.find(kind.as_str(), name)?;
    let lines = context.gateway.limits.lines(kind.as_str());
    Some(view(&in_file(context), rule, &lines))
}

fn view(in_file: &impl Fn(&Rule) -> bool, rule: &Rule, lines: &[Line]) -> Value {
    let mut view = match rule {
        Rule::Budget(budget) => budget_view(budget, &of(lines, rule)),
        Rule::Rate(limit) => rate_view(limit, &of(lines, rule)),
    };
    view["source"] = json!(if in_file(rule) { "file" } else { "store" });
    view
}

/// Tells rules of the configuration's file from those of the store.
fn in_file(context: &Context) -> impl Fn(&Rule) -> bool {
    let running = context.gateway.configuration.running();
    move |rule| {
        running.as_ref().is_none_or(|running| {
            let kind = match rule {
                Rule::Budget(_) => LimitKind::Budget,
                Rule::Rate(_) => LimitKind::RateLimit,
            };
            is_in_file(&running.settings, kind, rule.name())
        })
    }
}

/// The counters of a rule.
fn of<'a>(lines: &'a [Line], rule: &Rule) -> Vec<&'a Line> {
    lines.iter().filter(|line| line.rule.name() == rule.name()).collect()
}

fn scope(line: &Line) -> Value {
    serde_json::from_str(&line.scope).unwrap_or_default()
}

/// The unit of amounts: money is in whole nano-dollars.
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Usd => "nano_usd",
        Unit::Tokens | Unit::Requests => unit.as_str(),
    }
}

fn budget_view(rule: &BudgetRule, lines: &[&Line]) -> Value {
    let BudgetRule { budget, .. } = rule;
    let mut counters: Vec<(u64, Value)> = lines
        .iter()
        .filter_map(|line| match line.kind {
            LineKind::Budget(level) => Some((
                level.settled,
                json!({
                    "scope": scope(line),
                    "spent": level.settled,
                    "reserved": level.reserved,
                    "left": budget.limit.saturating_sub(level.settled),
                    "resets_at": level.resets_us.and_then(time),
                }),
            )),
            LineKind::Rate { .. } => None,
        })
        .collect();
    counters.sort_by_key(|(spent, _)| Reverse(*spent));
    json!({
        "name": &*rule.name,
        "scope": rule.scope.written(),
        "unit": unit(rule.unit),
        "limit": budget.limit,
        "window": window(&budget.window),
        "rolls": matches!(budget.window, Window::Rolling(_)),
        "thresholds": budget.thresholds,
        "at_limit": rule.at_limit.as_str(),
        "on_error": rule.on_error.as_str(),
        "counters_total": counters.len(),
        "counters": counters.into_iter().take(COUNTERS_MAX).map(|(_, view)| view).collect::<Vec<_>>(),
    })
}

fn rate_view(rule: &RateRule, lines: &[&Line]) -> Value {
    let RateRule { limit, .. } = rule;
    let mut counters: Vec<((u64, u64, u64), Value)> = lines
        .iter()
        .filter_map(|line| match line.kind {
            LineKind::Rate { requests, tokens, open } => Some((
                (requests.unwrap_or(0), tokens.unwrap_or(0), open),
                json!({"scope": scope(line), "requests": requests, "tokens": tokens, "concurrent": open}),
            )),
            LineKind::Budget(_) => None,
        })
        .collect();
    counters.sort_by_key(|(used, _)| Reverse(*used));
    json!({
        "name": &*rule.name,
        "scope": rule.scope.written(),
        "every": rule.every.as_str(),
        "requests": limit.requests,
        "tokens": limit.tokens,
        "concurrent": limit.concurrent,
        "at_limit": rule.at_limit.as_str(),
        "on_error": rule.on_error.as_str(),
        "counters_total": counters.len(),
        "counters": counters.into_iter().take(COUNTERS_MAX).map(|(_, view)| view).collect::<Vec<_>>(),
    })
}
