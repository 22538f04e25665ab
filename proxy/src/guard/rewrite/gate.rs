//! What policies say to a stream that waits: a window of each text, arguments of tools as a whole.

use super::queue::{BLOCKS_MAX, Queue};
use crate::guard::search::{Otherwise, Sight};
use crate::guard::stream::{ARGUMENTS_BYTES_MAX, Seen, speaker};
use crate::guard::{Guard, Label};
use narrows_guard::body::{Found, Splice};
use narrows_guard::json::Spot;
use narrows_guard::placeholder::{Key, Minter};
use narrows_guard::window::{Told, Window};
use narrows_guard::{Provenance, Scratch};
use narrows_llm::deltas::{Block, Ended, Kind};
use narrows_policy::{Coverage, Evidence, Gap, Scope, Stage};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Most findings of one gated stream. Policies are asked at each; a stream with more counts as not inspected.
const FOUND_MAX: usize = 1_000;

/// Asks policies about a stream before it goes out.
pub(crate) struct Gate {
    guard: Arc<Guard>,
    scope: Scope,
    organization: Box<str>,
    key: Key,
    minter: Minter,
    texts: BTreeMap<Block, Waiting>,
    scratch: Scratch,
    sight: Sight,
    prints: Vec<u64>,
    /// Fingerprints of what was masked: where it is repeated it is masked again.
    masked: HashSet<u64>,
    refuses: bool,
    /// Where what was refused begins, in each text.
    refused: BTreeMap<Block, usize>,
}

/// A text of which something waits.
enum Waiting {
    /// A window of it.
    Words(Window),
    /// All of it from a place on: JSON is read when it is whole.
    Whole { from: usize, text: String },
    /// Nothing any more: there is too much.
    Past,
}

/// Something that was found, and where it would be masked.
struct New {
    found: Found,
    value: String,
    place: Place,
}

enum Place {
    Text(Block, Range<usize>),
    /// In the data of the event that came last.
    Event(Range<usize>),
}

impl Gate {
    pub(crate) fn new(guard: &Arc<Guard>, scope: Scope, organization: &str) -> Gate {
        let key = guard.keys.of(organization);
        Gate {
            guard: Arc::clone(guard),
            scope,
            organization: organization.into(),
            minter: Minter::new(key.clone()),
            key,
            texts: BTreeMap::new(),
            scratch: Scratch::default(),
            sight: Sight { found: Vec::new(), scanned: 0, coverage: Coverage::Full },
            prints: Vec::new(),
            masked: HashSet::new(),
            refuses: false,
            refused: BTreeMap::new(),
        }
    }

    /// Whether the stream must not go on.
    pub(super) fn refuses(&self) -> bool {
        self.refuses
    }

    /// What was seen.
    pub(super) fn seen(self) -> Seen {
        // Guardrails are not asked about what has to go on at once.
        Seen { sight: self.sight, prints: self.prints, texts: Err(Gap::Off) }
    }

    /// The next piece of a text; its event waits in the queue.
    pub(super) fn push(&mut self, block: Block, text: &str, queue: &mut Queue) {
        let window = self.guard.stream_window;
        if self.texts.len() >= BLOCKS_MAX && !self.texts.contains_key(&block) {
            return self.gap(Gap::DepthCap);
        }
        let waiting = self.texts.entry(block).or_insert_with(|| match block.kind {
            Kind::Arguments => Waiting::Whole { from: 0, text: String::new() },
            Kind::Text | Kind::Reasoning | Kind::Input | Kind::ToolResult => {
                Waiting::Words(Window::new(provenance(block), window))
            }
        });
        self.sight.scanned += text.len();
        match waiting {
            Waiting::Words(window) => {
                let mut news = Vec::new();
                let mut take = |told: Told<'_>| news.push(New::of(block, &told));
                window.push(&self.guard.engine, text, &mut self.scratch, &mut take);
                self.judge(news, queue);
            }
            Waiting::Whole { text: held, .. } if held.len() + text.len() <= ARGUMENTS_BYTES_MAX => {
                held.push_str(text)
            }
            Waiting::Whole { .. } => {
                *waiting = Waiting::Past;
                self.gap(Gap::TooLarge);
            }
            Waiting::Past => {}
        }
    }

    /// Texts have ended: what waits of them is decided.
    pub(super) fn ended(&mut self, ended: Ended, queue: &mut Queue) {
        let mut news = Vec::new();
        let mut gap = None;
        for (block, waiting) in self.texts.iter_mut().filter(|(block, _)| ended.includes(block)) {
            match waiting {
                Waiting::Words(window) => {
                    let mut take = |told: Told<'_>| news.push(New::of(*block, &told));
                    window.end(&self.guard.engine, &mut self.scratch, &mut take);
                }
                Waiting::Whole { from, text } if !text.is_empty() => {
                    let otherwise = Otherwise::Text(provenance(*block));
                    let sight = self.guard.search_here(&self.organization, text.as_bytes(), otherwise);
                    gap = gap.or(sight.coverage.gap());
                    news.extend(
                        sight.found.into_iter().map(|found| New::in_arguments(*block, *from, text, found)),
                    );
                    *from += text.len();
                    text.clear();
                }
                Waiting::Whole { .. } | Waiting::Past => {}
            }
        }
        if let Some(gap) = gap {
            self.gap(gap);
        }
        self.judge(news, queue);
    }

    /// What the event that came last says outside of the pieces of texts, at `taken`.
    pub(super) fn rest(&mut self, data: &str, taken: &[Range<usize>], queue: &mut Queue) {
        let sight = self.guard.search_here(&self.organization, data.as_bytes(), Otherwise::Unreadable);
        if let Some(gap) = sight.coverage.gap() {
            self.gap(gap);
        }
        let apart = |range: &Range<usize>| {
            taken.iter().all(|taken| range.end <= taken.start || taken.end <= range.start)
        };
        let mut news = Vec::new();
        for found in sight.found.into_iter().filter(|found| apart(&found.raw)) {
            let value = found.value(data).into_owned();
            let Some(label) = self.guard.label(found.rule) else { continue };
            let print = self.key.fingerprint(&label.entity, &value);
            if self.masked.contains(&print) && found.is_maskable() {
                let with = self.minter.mint(label.class, &label.entity, &value);
                queue.mask_last(Splice { range: found.raw, with: with.into() });
            } else if !self.prints.contains(&print) {
                let place = Place::Event(found.raw.clone());
                news.push(New { found, value, place });
            }
        }
        self.judge(news, queue);
    }

    /// Something could not be looked at.
    pub(super) fn gap(&mut self, gap: Gap) {
        self.sight.coverage = self.sight.coverage.and(Coverage::Partial(gap));
        let decision = self.guard.policies.decide(
            &self.scope,
            Stage::Stream,
            &Evidence::local(&self.evidence(), self.sight.coverage),
        );
        self.refuses |= decision.refuses();
    }

    /// Waits no longer for anything: what could not be decided counts as not looked at.
    pub(super) fn give_up(&mut self) {
        for waiting in self.texts.values_mut() {
            *waiting = Waiting::Past;
        }
        self.gap(Gap::TooLarge);
    }

    /// Up to where a text is decided.
    pub(super) fn certain(&self, block: &Block) -> usize {
        let decided = match self.texts.get(block) {
            Some(Waiting::Words(window)) => window.decided(),
            Some(Waiting::Whole { from, .. }) => *from,
            Some(Waiting::Past) | None => usize::MAX,
        };
        self.refused.get(block).map_or(decided, |refused| decided.min(*refused))
    }

    fn evidence(&self) -> Vec<narrows_policy::Seen> {
        let seen = |found: &Found| narrows_policy::Seen {
            rule: found.rule,
            score: found.score,
            maskable: found.is_maskable(),
        };
        self.sight.found.iter().map(seen).collect()
    }

    /// Asks policies about what was found, and changes it as they say.
    fn judge(&mut self, news: Vec<New>, queue: &mut Queue) {
        if news.is_empty() || self.refuses {
            return;
        }
        let first = self.sight.found.len();
        let mut places = Vec::with_capacity(news.len());
        for New { found, value, place } in news {
            let Some(label) = self.guard.label(found.rule) else { continue };
            if self.sight.found.len() >= FOUND_MAX {
                self.gap(Gap::FindingsCap);
                break;
            }
            self.prints.push(self.key.fingerprint(&label.entity, &value));
            self.sight.found.push(found);
            places.push((place, value));
        }
        let evidence = self.evidence();
        let evidence = Evidence::local(&evidence, self.sight.coverage);
        let decision = self.guard.policies.decide(&self.scope, Stage::Stream, &evidence);
        if decision.refuses() {
            self.refuses = true;
            for (place, _) in &places {
                if let Place::Text(block, range) = place {
                    let at = self.refused.entry(*block).or_insert(range.start);
                    *at = range.start.min(*at);
                }
            }
        }
        for mask in &decision.masks {
            // What came before has gone as it was decided then.
            let Some((place, value)) = mask.finding.checked_sub(first).and_then(|at| places.get(at)) else {
                continue;
            };
            let (Some(found), Some(print)) =
                (self.sight.found.get(mask.finding), self.prints.get(mask.finding))
            else {
                continue;
            };
            let Some(Label { class, entity, .. }) = self.guard.label(found.rule) else { continue };
            let with = self.minter.mint(*class, entity, value);
            self.masked.insert(*print);
            match place {
                Place::Text(block, range) => queue.mask(block, range, &with),
                Place::Event(range) => {
                    queue.mask_last(Splice { range: range.clone(), with: with.into() });
                }
            }
        }
    }
}

impl New {
    fn of(block: Block, told: &Told<'_>) -> New {
        // What has left in part cannot be masked, and what is signed must not be: as with the name of a member.
        let spot = if told.whole && !block.is_signed() { Spot::Value } else { Spot::Name };
        let found = Found {
            rule: told.hit.rule,
            score: told.hit.score,
            raw: told.hit.range.clone(),
            levels: 0,
            spot,
            provenance: provenance(block),
            path: block.to_string().into(),
        };
        New { place: Place::Text(block, found.raw.clone()), found, value: told.value.to_owned() }
    }

    /// `text` begins at `from` of the block's.
    fn in_arguments(block: Block, from: usize, text: &str, mut found: Found) -> New {
        let value = found.value(text).into_owned();
        let inner = std::mem::take(&mut found.path);
        found.path = if inner.is_empty() { block.to_string() } else { format!("{block}/{inner}") }.into();
        found.provenance = provenance(block);
        let range = found.raw.start + from..found.raw.end + from;
        New { place: Place::Text(block, range), found, value }
    }
}

fn provenance(block: Block) -> Provenance {
    match block.kind {
        Kind::Text | Kind::Reasoning => speaker(block),
        Kind::Arguments | Kind::Input => Provenance::ToolInput,
        Kind::ToolResult => Provenance::ToolResult,
    }
}
