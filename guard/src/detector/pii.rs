//! Personal data: identifiers of people, their accounts and their devices.
//!
//! One fast pass over the text finds `anchors`; only what stands there is read closely, by `form`s that a table
//! chooses or by a parser of the entity's own. What has the right form must pass the entity's validator (check digits
//! wherever they exist). Numbers that say little by themselves count only with a word of context nearby.
//!
//! Whether a value is found depends on the bytes near it alone: those within [`LOOK_BEHIND`] before its start and
//! [`LOOK_AHEAD`] after its end. The time is linear in the length of the text.

mod africa;
mod anchors;
mod asia;
mod attribution;
mod bank;
mod card;
mod checksum;
mod commonwealth;
mod context;
mod crypto;
mod email;
mod entity;
mod eu;
mod fold;
mod form;
mod iban;
mod kingdom;
mod latin_america;
mod network;
mod phone;
mod scan;
mod settings;
mod surroundings;
mod text;
mod us;
mod vehicle;

use entity::Entity;
pub use settings::{Mode, Settings};

use crate::{Class, Detector, Hit, Provenance, Rule, RuleIndex, Tier};

/// Bytes of the longest value that any rule finds: an e-mail address, times three where every letter is full-width.
pub const MAX_VALUE_BYTES: usize = 3 * email::MAX_ADDRESS;

/// Bytes before a value that decide whether it is one: words of context, the scheme of a URL, what it is a part of, and
/// values that contain it.
pub const LOOK_BEHIND: usize =
    3 * (email::MAX_ADDRESS + attribution::ATTRIBUTION_REACH + context::BEFORE + text::MAX_TOKEN);

/// Bytes after a value that decide whether it is one: words of context, what it is a part of, and values that contain it.
pub const LOOK_AHEAD: usize = 3 * (email::MAX_ADDRESS + context::AFTER + text::MAX_TOKEN);

/// Whether a byte may stand inside a value: a value at the end of a text may go on if all of its last bytes are such.
/// A value ends no later than the first other byte.
pub fn may_continue(byte: u8) -> bool {
    text::kind(byte) != 0 || byte >= 0x80 || b" .-_+%'@:/()".contains(&byte)
}

/// Counts up with every change of what is found.
const REVISION: u32 = 3;

/// The entities that parsers of their own find, in this order, before all others.
const PARSED: [&Entity; 12] = [
    &iban::IBAN,
    &email::EMAIL,
    &phone::PHONE,
    &network::IP,
    &network::PRIVATE_IP,
    &network::SPECIAL_IP,
    &network::MAC,
    &crypto::BITCOIN,
    &crypto::ETHEREUM,
    &crypto::OTHER,
    &crypto::ETHEREUM_UNCHECKED,
    &attribution::ATTRIBUTION,
];

/// All entities, in the order of the rules.
fn catalog() -> impl Iterator<Item = &'static Entity> {
    let families = [
        card::ENTITIES,
        bank::ENTITIES,
        us::ENTITIES,
        kingdom::ENTITIES,
        commonwealth::ENTITIES,
        latin_america::ENTITIES,
        asia::ENTITIES,
        africa::ENTITIES,
        vehicle::ENTITIES,
    ];
    PARSED.into_iter().chain(families.into_iter().chain(eu::FAMILIES).flatten())
}

/// When matches of one rule are reported, by the tier of the form.
#[derive(Debug, Clone, Copy)]
struct Modes([Mode; 3]);

impl Modes {
    fn of(self, tier: Tier) -> Mode {
        let [a, b, c] = self.0;
        match tier {
            Tier::A => a,
            Tier::B => b,
            Tier::C => c,
        }
    }
}

/// Finds personal data in texts. Building one takes a few milliseconds; scanning needs no state of it.
#[derive(Debug)]
pub struct Pii {
    modes: Vec<Modes>,
    proofs: Vec<entity::Proof>,
    forms: form::Forms,
    words: context::Words,
    countries: iban::Countries,
    domains: email::Domains,
    plans: phone::Plans,
}

impl Pii {
    /// A detector of what the settings ask for. Ids that no rule has are ignored; see [`rules`](Self::rules).
    pub fn new(settings: Settings) -> Pii {
        let modes =
            |entity: &Entity| Modes([Tier::A, Tier::B, Tier::C].map(|tier| settings.mode(entity.id, tier)));
        let modes: Vec<Modes> = catalog().map(modes).collect();
        let forms = catalog().zip(0u16..).zip(&modes).flat_map(|((entity, rule), modes)| {
            let wanted = entity.forms.iter().filter(|form| modes.of(form.tier) != Mode::Off);
            wanted.map(move |form| (rule, form, modes.of(form.tier) == Mode::Always))
        });
        let forms = form::Forms::new(forms);
        Pii {
            modes,
            proofs: catalog().map(|entity| entity.proof).collect(),
            forms,
            words: context::Words::new(catalog().map(|entity| entity.context)),
            countries: iban::Countries::new(),
            domains: email::Domains::new(),
            plans: phone::Plans::new(),
        }
    }
}

impl Detector for Pii {
    /// What is looked for, also where it is switched off: the order never depends on settings.
    fn rules(&self) -> Vec<Rule> {
        let rule = |entity: &Entity| Rule {
            id: entity.id.into(),
            entity: entity.entity.into(),
            class: Class::Pii,
            tier: entity.tier,
            description: entity.about.into(),
        };
        catalog().map(rule).collect()
    }

    /// Adds what is found in a text, in order of its place. A hit's rule is its position in [`rules`](Self::rules) plus
    /// `base`. Personal data is the same whoever wrote it. Hits are at most one for each rule and place, so their number
    /// is bounded by the length of the text.
    fn scan(&self, text: &str, _provenance: Provenance, base: u32, out: &mut Vec<Hit>) {
        let hit = |found: scan::Found, start, end| Hit {
            rule: RuleIndex(base + u32::from(found.rule)),
            range: start..end,
            score: found.score,
        };
        match fold::folded(text) {
            None => out.extend(
                scan::scan(self, text.as_bytes()).into_iter().map(|found| hit(found, found.start, found.end)),
            ),
            Some(folded) => out.extend(scan::scan(self, folded.text()).into_iter().map(|found| {
                let range = folded.origin(found.start, found.end);
                hit(found, range.start, range.end)
            })),
        }
    }

    fn revision(&self) -> Vec<u8> {
        let modes = self.modes.iter().flat_map(|modes| modes.0).map(|mode| mode as u8);
        REVISION.to_le_bytes().into_iter().chain(modes).collect()
    }
}

#[cfg(test)]
mod tests;
