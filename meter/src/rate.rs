//! Rate limits: requests and tokens in a window of time, and exchanges at a time.
//!
//! A [`RateLimit`] is the rule, [`Rate`] its counter. Windows slide (see [`Sliding`]): in *every* stretch of the window's
//! length at most the limit is admitted, wherever it begins; what is used up comes back at most a sixtieth of the length
//! later than it could. Tokens are admitted by estimate and corrected afterwards, so they pass their limit by what
//! estimates missed, and by nothing else.
//!
//! Time is microseconds since any moment, and an argument.

use crate::window::Sliding;

/// Limits of one kind of exchange. What is `None` is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Most requests in a window.
    pub requests: Option<u64>,
    /// Most tokens in a window, prompt and answer together.
    pub tokens: Option<u64>,
    /// Most exchanges at a time.
    pub concurrent: Option<u64>,
    /// The window's length in microseconds, more than 0.
    pub length_us: i64,
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Requests in a window.
    Requests,
    /// Tokens in a window.
    Tokens,
    /// Exchanges at a time.
    Concurrent,
}

impl Measure {
    /// The word used in configuration and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Measure::Requests => "requests",
            Measure::Tokens => "tokens",
            Measure::Concurrent => "concurrent",
        }
    }
}

/// When a request that is refused could be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// After so many microseconds, if nothing else is admitted until then.
    After(i64),
    /// When an exchange ends.
    WhenOneEnds,
    /// Never: it is larger than the whole limit.
    Never,
}

/// Why a request is not admitted: the limit that holds it back longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// What it is too much of.
    pub measure: Measure,
    /// When it could be.
    pub retry: Retry,
}

/// An exchange that was admitted. Settling consumes it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is not settled counts as open for ever"]
pub struct Ticket {
    at_us: i64,
    tokens: u64,
}

impl Ticket {
    /// The tokens that were admitted.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }
}

/// How a limit stands, for those who ask before they are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The limit.
    pub limit: u64,
    /// What of it is left.
    pub left: u64,
    /// Microseconds until all of it is left, if nothing else is admitted.
    pub resets_in_us: i64,
}

/// What was admitted in the time just past, and what is open.
#[derive(Debug, Clone)]
pub struct Rate {
    length_us: i64,
    requests: Option<Sliding>,
    tokens: Option<Sliding>,
    open: u64,
}

impl Rate {
    /// Nothing admitted.
    pub fn new(limit: &RateLimit) -> Rate {
        let window = |limited: Option<u64>| limited.map(|_| Sliding::new(limit.length_us));
        Rate {
            length_us: limit.length_us,
            requests: window(limit.requests),
            tokens: window(limit.tokens),
            open: 0,
        }
    }

    /// Takes over a limit that measures something else, or in another window; what stays the same goes on.
    pub fn adapt(&mut self, limit: &RateLimit) {
        let fresh = Rate::new(limit);
        if self.length_us != limit.length_us {
            *self = Rate { open: self.open, ..fresh };
            return;
        }
        self.requests = fresh.requests.map(|empty| self.requests.take().unwrap_or(empty));
        self.tokens = fresh.tokens.map(|empty| self.tokens.take().unwrap_or(empty));
    }

    /// Admits a request of about `tokens` tokens.
    ///
    /// # Errors
    /// When it would pass a limit. Nothing is counted then.
    pub fn admit(&mut self, limit: &RateLimit, now_us: i64, tokens: u64) -> Result<Ticket, Denied> {
        let mut denied: Option<Denied> = None;
        let mut deny = |measure, retry| {
            let longer = denied.is_none_or(|before| rank(retry) > rank(before.retry));
            if longer {
                denied = Some(Denied { measure, retry });
            }
        };
        if limit.concurrent.is_some_and(|most| self.open >= most) {
            let never = limit.concurrent == Some(0);
            deny(Measure::Concurrent, if never { Retry::Never } else { Retry::WhenOneEnds });
        }
        let parts = [
            (Measure::Requests, &mut self.requests, limit.requests, 1),
            (Measure::Tokens, &mut self.tokens, limit.tokens, tokens),
        ];
        for (measure, window, most, amount) in parts {
            let (Some(window), Some(most)) = (window, most) else { continue };
            if amount > most {
                deny(measure, Retry::Never);
            } else {
                let free_us = window.falls_to(now_us, most - amount);
                if free_us > now_us {
                    deny(measure, Retry::After(free_us - now_us));
                }
            }
        }
        match denied {
            Some(denied) => Err(denied),
            None => Ok(self.insist(now_us, tokens)),
        }
    }

    /// Counts a request whether there is room or not: for a limit that only warns.
    pub fn insist(&mut self, now_us: i64, tokens: u64) -> Ticket {
        if let Some(window) = &mut self.requests {
            window.add(now_us, 1);
        }
        if let Some(window) = &mut self.tokens {
            window.add(now_us, tokens);
        }
        self.open = self.open.saturating_add(1);
        Ticket { at_us: now_us, tokens }
    }

    /// The exchange has ended, and used so many tokens.
    pub fn settle(&mut self, now_us: i64, ticket: Ticket, tokens: u64) {
        self.open = self.open.saturating_sub(1);
        let Ticket { at_us, tokens: estimate } = ticket;
        let Some(window) = &mut self.tokens else { return };
        if tokens < estimate {
            window.take_back(now_us, at_us, estimate - tokens);
        } else {
            window.add_at(now_us, at_us, tokens - estimate);
        }
    }

    /// The exchange is not going to take place after all: as if it had never been asked for.
    pub fn cancel(&mut self, now_us: i64, ticket: Ticket) {
        if let Some(window) = &mut self.requests {
            window.take_back(now_us, ticket.at_us, 1);
        }
        self.settle(now_us, ticket, 0);
    }

    /// How requests or tokens stand; `None` for what is not limited, and for exchanges at a time.
    pub fn room(&mut self, limit: &RateLimit, now_us: i64, measure: Measure) -> Option<Room> {
        let (window, most) = match measure {
            Measure::Requests => (self.requests.as_mut()?, limit.requests?),
            Measure::Tokens => (self.tokens.as_mut()?, limit.tokens?),
            Measure::Concurrent => return None,
        };
        let used = window.sum(now_us);
        let resets_in_us = window.empties(now_us).saturating_sub(now_us);
        Some(Room { limit: most, left: most.saturating_sub(used), resets_in_us })
    }

    /// What was admitted, by the number of the step of the window: requests or tokens; nothing for what is not limited.
    pub fn steps(&mut self, now_us: i64, measure: Measure) -> Vec<(i64, u64)> {
        let window = match measure {
            Measure::Requests => self.requests.as_mut(),
            Measure::Tokens => self.tokens.as_mut(),
            Measure::Concurrent => None,
        };
        window.map(|window| window.steps(now_us).collect()).unwrap_or_default()
    }

    /// Exchanges that are open.
    pub fn open(&self) -> u64 {
        self.open
    }

    /// Whether nothing counts any more, so that nothing is lost when the counter goes.
    pub fn is_idle(&mut self, now_us: i64) -> bool {
        let empty =
            |window: &mut Option<Sliding>| window.as_mut().is_none_or(|window| window.sum(now_us) == 0);
        self.open == 0 && empty(&mut self.requests) && empty(&mut self.tokens)
    }
}

/// What makes wait longer.
fn rank(retry: Retry) -> (u8, i64) {
    match retry {
        Retry::WhenOneEnds => (0, 0),
        Retry::After(us) => (1, us),
        Retry::Never => (2, 0),
    }
}

#[cfg(test)]
mod tests;
