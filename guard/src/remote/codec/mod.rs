//! One file for each guardrail: its settings, its calls, its verdicts.

pub mod azure_content_safety;
pub mod bedrock_guardrails;
pub mod crowdstrike_aidr;
pub mod lakera;
pub mod model_armor;
pub mod openai_moderation;
pub mod patronus;
pub mod presidio;
pub mod prisma_airs;
pub mod webhook;
