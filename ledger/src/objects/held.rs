//! The bindings in memory: bounded, and the latest used stay.

use super::Object;
use std::collections::HashMap;
use std::sync::Arc;

/// Ids in one of the two generations. Together they take some 40 MB at most.
pub(super) const GENERATION_IDS: usize = 65_536;

/// Objects by id. Two generations: what is used comes into the young one; when that is full it becomes the old one,
/// and what was old is forgotten. So nothing is ordered and an id costs one or two looks.
#[derive(Default)]
pub(super) struct Held {
    young: HashMap<Box<str>, Vec<Arc<Object>>>,
    old: HashMap<Box<str>, Vec<Arc<Object>>>,
}

impl Held {
    /// Takes a new binding. False when the id is bound to another owner.
    pub(super) fn insert(&mut self, object: &Arc<Object>, now_us: i64) -> bool {
        let places = self.promote(&object.id);
        match places.iter_mut().find(|place| place.provider == object.provider) {
            Some(place) if place.lives(now_us) && place.owner != object.owner => return false,
            Some(place) => *place = Arc::clone(object),
            None => places.push(Arc::clone(object)),
        }
        true
    }

    /// Takes what the store says, unless something newer is known.
    pub(super) fn learn(&mut self, object: &Arc<Object>) {
        let places = self.promote(&object.id);
        if !places.iter().any(|place| place.provider == object.provider) {
            places.push(Arc::clone(object));
        }
    }

    pub(super) fn get(&mut self, id: &str, provider: Option<&str>, now_us: i64) -> Option<Arc<Object>> {
        if !self.young.contains_key(id) {
            self.old.get(id)?;
            self.promote(id);
        }
        let mut places = self.young.get(id)?.iter().filter(|place| place.lives(now_us));
        places.find(|place| provider.is_none_or(|name| *place.provider == *name)).cloned()
    }

    /// Marks an object as gone, so that the store's word, which is older until the writer has written, does not bring it
    /// back.
    pub(super) fn bury(&mut self, gone: &Arc<Object>) {
        let places = self.promote(&gone.id);
        places.retain(|place| place.provider != gone.provider);
        places.push(Arc::clone(gone));
    }

    pub(super) fn remove(&mut self, provider: &str, id: &str) {
        let places = self.promote(id);
        places.retain(|place| *place.provider != *provider);
        if places.is_empty() {
            self.young.remove(id);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// The places of an id, in the young generation.
    fn promote(&mut self, id: &str) -> &mut Vec<Arc<Object>> {
        if self.young.len() >= GENERATION_IDS && !self.young.contains_key(id) {
            let young = std::mem::take(&mut self.young);
            let forgotten = std::mem::replace(&mut self.old, young);
            // An id that is about to be used again is not forgotten.
            if let Some(places) = forgotten.get(id) {
                self.young.insert(id.into(), places.clone());
            }
        }
        let older = self.old.remove(id);
        let places = self.young.entry(id.into()).or_default();
        if let Some(older) = older {
            places.extend(older);
        }
        places
    }
}
