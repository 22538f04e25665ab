//! Token counts of text: estimates now, exact vocabularies with FinOps.
