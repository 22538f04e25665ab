//! Room that a gateway has leased of a counter, and lets in from without asking.
//!
//! In Redis a lease is held like what open exchanges hold, so what is spent, held and leased never passes the limit together.
//! A gateway lets in what fits into its lease less what it has let in and not told yet. When it tells, what it tells and
//! what the lease is from then on change in one step.

/// Things that a lease is of: of a budget the first, of a rate limit requests, tokens and exchanges at a time.
pub(super) const KINDS: usize = 3;

/// So many of the largest requests are leased ahead at least.
const REQUESTS_AHEAD: u64 = 16;

/// A gateway leases ahead at most this part of what nobody has spent, holds or has leased.
const PART_MAX: u64 = 8;

/// What is leased of one counter.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lease {
    /// What Redis holds for it, as far as it may be used.
    granted: Amounts,
    /// What open exchanges hold of it.
    open: Amounts,
    /// What was let in and has ended, or counts from the start, and was not told yet.
    untold: Amounts,
    /// What was let in since the last beat, and between the two before.
    recent: Amounts,
    before: Amounts,
    /// The largest request.
    largest: Amounts,
    /// What is leased ahead.
    ahead: Amounts,
    /// How often it was heard what is granted.
    answers: u64,
}

/// An amount of each kind.
pub(super) type Amounts = [u64; KINDS];

/// What is told of a lease, until it is known to have arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    /// What open exchanges hold: so much is held in any case.
    pub(super) least: Amounts,
    /// What is wanted.
    pub(super) wanted: Amounts,
    /// What was told with it.
    told: Amounts,
}

fn each(of: impl Fn(usize) -> u64) -> Amounts {
    std::array::from_fn(of)
}

fn at(amounts: &Amounts, kind: usize) -> u64 {
    amounts.get(kind).copied().unwrap_or(0)
}

fn add(to: &mut Amounts, what: &Amounts) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to = to.saturating_add(*what));
}

fn take(from: &mut Amounts, what: &Amounts) {
    from.iter_mut().zip(what).for_each(|(from, what)| *from = from.saturating_sub(*what));
}

impl Lease {
    /// What is let in from it: false, and nothing, if it does not suffice. `limited` says which kinds count. Of what is not
    /// held while the exchange is open (requests and tokens of a rate limit) `stays` is false: it counts from the start.
    pub(super) fn let_in(&mut self, amounts: &Amounts, limited: [bool; KINDS], stays: [bool; KINDS]) -> bool {
        let fits = (0..KINDS).all(|kind| {
            let used = at(&self.open, kind).saturating_add(at(&self.untold, kind));
            let free = at(&self.granted, kind).saturating_sub(used);
            // Room of nothing is no room.
            !limited.get(kind).copied().unwrap_or(false) || free >= at(amounts, kind).max(1)
        });
        if fits {
            self.insist(amounts, limited, stays);
        }
        fits
    }

    /// Lets in whether it suffices or not: for a limit that only warns.
    pub(super) fn insist(&mut self, amounts: &Amounts, limited: [bool; KINDS], stays: [bool; KINDS]) {
        let counts = |kind: usize, stay: bool| {
            let is_it = stays.get(kind).copied().unwrap_or(false) == stay;
            if is_it && limited.get(kind).copied().unwrap_or(false) { at(amounts, kind) } else { 0 }
        };
        add(&mut self.open, &each(|kind| counts(kind, true)));
        add(&mut self.untold, &each(|kind| counts(kind, false)));
    }

    /// A request of this size was there, wherever it was let in.
    pub(super) fn asked(&mut self, amounts: &Amounts) {
        add(&mut self.recent, amounts);
        self.largest = each(|kind| at(&self.largest, kind).max(at(amounts, kind)));
    }

    /// An exchange that was let in from it has ended: it held `held`, and `came_to` is not told yet.
    pub(crate) fn ended(&mut self, held: &Amounts, came_to: &Amounts) {
        take(&mut self.open, held);
        add(&mut self.untold, came_to);
    }

    /// Holds more of it; false if there is no more.
    pub(super) fn grow(&mut self, more: u64) -> bool {
        let used = at(&self.open, 0).saturating_add(at(&self.untold, 0));
        let fits = at(&self.granted, 0).saturating_sub(used) >= more;
        if fits {
            add(&mut self.open, &[more, 0, 0]);
        }
        fits
    }

    /// Whether there is so little left ahead that more should be leased.
    pub(super) fn is_low(&self) -> bool {
        (0..KINDS).any(|kind| {
            let used = at(&self.open, kind).saturating_add(at(&self.untold, kind));
            at(&self.granted, kind).saturating_sub(used) <= at(&self.ahead, kind) / 2
                && at(&self.recent, kind) > 0
        })
    }

    /// A second has passed. True when something is leased ahead that nobody asks for, or that should be more or less.
    pub(super) fn beat(&mut self) -> bool {
        let is_idle = self.recent == Amounts::default() && self.before == Amounts::default();
        (self.before, self.recent) = (self.recent, Amounts::default());
        if is_idle {
            self.largest = Amounts::default();
        }
        self.ahead != Amounts::default() || self.before != Amounts::default()
    }

    /// What to ask for. `free`: what nobody has spent, holds or has leased, this lease not counted as used.
    pub(super) fn ask(&mut self, free: &Amounts) -> Ask {
        let busy = each(|kind| at(&self.recent, kind).max(at(&self.before, kind)));
        self.ahead = each(|kind| {
            let by_size = at(&self.largest, kind).saturating_mul(REQUESTS_AHEAD);
            let wanted = at(&busy, kind).saturating_mul(2).max(by_size);
            if at(&busy, kind) == 0 { 0 } else { wanted.min(at(free, kind) / PART_MAX) }
        });
        let (least, told) = (self.open, self.untold);
        let wanted = each(|kind| at(&least, kind).saturating_add(at(&self.ahead, kind)));
        // Until it is known what is granted, no more is used than either.
        self.granted =
            each(|kind| at(&self.granted, kind).min(at(&wanted, kind).saturating_add(at(&told, kind))));
        Ask { least, wanted, told }
    }

    /// Redis has taken note, and holds so much from now on.
    pub(super) fn heard(&mut self, ask: &Ask, granted: &Amounts) {
        take(&mut self.untold, &ask.told);
        self.granted = *granted;
        self.answers = self.answers.wrapping_add(1);
    }

    /// How often it was heard what is granted.
    pub(super) fn answers(&self) -> u64 {
        self.answers
    }

    /// Redis holds nothing for it any more, and is told everything anew: what open exchanges hold has to be held again.
    pub(super) fn lost(&mut self) {
        (self.granted, self.untold, self.ahead) = Default::default();
    }

    /// Whether anything is leased.
    pub(crate) fn is_held(&self) -> bool {
        self.granted != Amounts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BUDGET: ([bool; KINDS], [bool; KINDS]) = ([true, false, false], [true, false, false]);

    fn leased(amount: u64) -> Lease {
        let mut lease = Lease::default();
        lease.asked(&[amount, 0, 0]);
        let ask = lease.ask(&[u64::MAX, 0, 0]);
        lease.heard(&ask, &[amount, 0, 0]);
        lease
    }

    #[test]
    fn no_more_is_let_in_than_is_leased() {
        let mut lease = leased(100);
        assert!(lease.let_in(&[60, 0, 0], BUDGET.0, BUDGET.1));
        assert!(!lease.let_in(&[41, 0, 0], BUDGET.0, BUDGET.1));
        assert!(lease.let_in(&[40, 0, 0], BUDGET.0, BUDGET.1));
        assert!(!lease.let_in(&[0, 0, 0], BUDGET.0, BUDGET.1), "room of nothing is no room");
        lease.ended(&[60, 0, 0], &[50, 0, 0]);
        assert!(lease.let_in(&[10, 0, 0], BUDGET.0, BUDGET.1), "what came back");
        assert!(!lease.let_in(&[1, 0, 0], BUDGET.0, BUDGET.1), "what was spent and not told still counts");
        let ask = lease.ask(&[0, 0, 0]);
        assert_eq!((ask.least, ask.wanted), ([50, 0, 0], [50, 0, 0]), "nothing ahead where nothing is free");
    }

    #[test]
    fn an_idle_lease_is_given_back() {
        let mut lease = leased(100);
        assert!(lease.beat(), "it was used just now");
        assert!(lease.beat());
        let ask = lease.ask(&[1000, 0, 0]);
        assert_eq!(ask.wanted, [0, 0, 0]);
        lease.heard(&ask, &[0, 0, 0]);
        assert!(!lease.is_held() && !lease.beat());
    }

    proptest! {
        /// A counter and two gateways that lease of it: what is spent, open and leased never passes the limit, whatever is lost.
        #[test]
        fn leases_never_let_in_more_than_the_limit(
            limit in 0..2000_u64,
            steps in prop::collection::vec((0..2_usize, 0..5_u8, 0..80_u64, any::<bool>()), 1..80),
        ) {
            let mut leases = [Lease::default(); 2];
            // What Redis knows: spent, and held for each.
            let (mut spent, mut held) = (0_u64, [0_u64; 2]);
            let mut open: Vec<(usize, u64)> = Vec::new();
            // Spent, and not told.
            let mut untold = [0_u64; 2];
            for (who, what, amount, arrives) in steps {
                let lease = &mut leases[who];
                match what {
                    0 | 1 => {
                        if lease.let_in(&[amount, 0, 0], BUDGET.0, BUDGET.1) {
                            open.push((who, amount));
                        }
                    }
                    2 => if let Some(place) = open.iter().position(|(of, _)| *of == who) {
                        let (_, held) = open.remove(place);
                        let came_to = amount.min(held);
                        lease.ended(&[held, 0, 0], &[came_to, 0, 0]);
                        untold[who] += came_to;
                    },
                    _ => {
                        let free = limit.saturating_sub(spent + held[1 - who]);
                        let ask = lease.ask(&[free, 0, 0]);
                        // It may arrive, and its answer be lost.
                        spent += std::mem::take(&mut untold[who]);
                        let room = limit.saturating_sub(spent + held[1 - who]);
                        held[who] = ask.wanted[0].min(room).max(ask.least[0]);
                        if arrives {
                            lease.heard(&ask, &[held[who], 0, 0]);
                        } else {
                            // Told again as a whole: the part of a gateway is what it is, so nothing is spent twice.
                            untold[who] = 0;
                        }
                    }
                }
                let all_open: u64 = open.iter().map(|(_, amount)| amount).sum();
                prop_assert!(spent + untold.iter().sum::<u64>() + all_open <= limit);
            }
        }
    }
}
