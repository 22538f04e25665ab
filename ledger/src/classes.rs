//! Sums of exchanges by what governs them: traffic class, surface, and the capabilities that applied.

use crate::record::Record;
use narrows_policy::{CapabilitySet, Surface, TrafficClass};
use std::collections::HashMap;

/// Microseconds in a day.
pub(crate) const DAY_US: i64 = 86_400_000_000;
/// Most different sums between two writes; beyond it exchanges are counted for no organization. Classes, surfaces and sets
/// of capabilities are few: it is days and organizations that are many.
pub(crate) const CLASS_KEYS: usize = 16_384;

/// What sums are kept by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClassKey {
    pub(crate) day: i64,
    pub(crate) organization: Box<str>,
    pub(crate) class: TrafficClass,
    pub(crate) surface: Surface,
    pub(crate) capabilities: CapabilitySet,
}

/// Sums that were not stored yet.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    sums: HashMap<ClassKey, u64>,
    /// What the last exchange was counted as: the next one is mostly the same.
    last: Option<(ClassKey, u64)>,
}

impl Classes {
    pub(crate) fn add(&mut self, record: &Record) {
        let day = record.started_at_us.div_euclid(DAY_US);
        if let Some((key, count)) = &mut self.last
            && key.day == day
            && key.class == record.class
            && key.surface == record.surface
            && key.capabilities == record.capabilities
            && *key.organization == *record.caller.organization
        {
            *count = count.saturating_add(1);
            return;
        }
        self.settle();
        let key = ClassKey {
            day,
            organization: record.caller.organization.as_str().into(),
            class: record.class,
            surface: record.surface,
            capabilities: record.capabilities,
        };
        self.last = Some((key, 1));
    }

    fn settle(&mut self) {
        let Some((mut key, count)) = self.last.take() else { return };
        if self.sums.len() >= CLASS_KEYS && !self.sums.contains_key(&key) {
            key.organization = "".into();
        }
        let sum = self.sums.entry(key).or_default();
        *sum = sum.saturating_add(count);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sums.is_empty() && self.last.is_none()
    }

    pub(crate) fn clear(&mut self) {
        self.sums.clear();
        self.last = None;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ClassKey, u64)> {
        let last = self.last.iter().map(|(key, count)| (key, *count));
        self.sums.iter().map(|(key, count)| (key, *count)).chain(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use narrows_policy::Caller;
    use std::sync::Arc;

    #[test]
    fn exchanges_are_counted_by_what_governs_them() {
        let mut classes = Classes::default();
        assert!(classes.is_empty());
        for number in 0..5 {
            let mut record = sample::record(number);
            if number % 2 == 1 {
                record.class = TrafficClass::OwnApplication;
            }
            classes.add(&record);
            classes.add(&record);
        }
        let of = |class| classes.iter().filter(|(key, _)| key.class == class).map(|(_, count)| count).sum();
        let counts: [u64; 2] = [of(TrafficClass::OwnApplication), of(TrafficClass::ManagedClient)];
        assert_eq!(counts, [4, 6]);
        classes.clear();
        assert!(classes.is_empty());
    }

    #[test]
    fn beyond_the_limit_organizations_are_not_told_apart() {
        let mut classes = Classes::default();
        let mut record = sample::record(1);
        for number in 0..=CLASS_KEYS + 1 {
            let organization = format!("organization-{number}");
            record.caller = Arc::new(Caller { organization, ..Caller::default() });
            classes.add(&record);
        }
        classes.settle();
        assert_eq!(classes.sums.len(), CLASS_KEYS + 1);
        let nobody = classes.iter().find(|(key, _)| key.organization.is_empty()).unwrap();
        assert_eq!(nobody.1, 2);
    }
}
