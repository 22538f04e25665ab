//! Identifiers of European countries.

mod balkans;
mod baltic;
mod benelux;
mod central;
mod france;
mod germany;
mod iberia;
mod italy;
mod nordic;
mod poland;
mod vat;

use super::entity::Entity;

/// The families, in the order of their rules.
pub(super) const FAMILIES: [&[Entity]; 11] = [
    germany::ENTITIES,
    france::ENTITIES,
    iberia::ENTITIES,
    italy::ENTITIES,
    benelux::ENTITIES,
    poland::ENTITIES,
    central::ENTITIES,
    nordic::ENTITIES,
    baltic::ENTITIES,
    balkans::ENTITIES,
    vat::ENTITIES,
];
