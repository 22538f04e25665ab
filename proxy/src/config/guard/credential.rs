//! What signs in at a guardrail, in the form that its kind needs.

use narrows_guard::Provenance;
use narrows_guard::remote::{Auth, Facts, Input, Inquiry, Remote, Segment, Stage, signature};

/// How a guardrail's calls sign in; `None` for one that takes no credential. Asked of the calls themselves, so that no
/// second list of kinds can be wrong.
pub(crate) fn auth(remote: &Remote) -> Option<Auth> {
    let segments = [Segment { path: "text", provenance: Provenance::User, text: "text" }];
    let input = Input { stage: Stage::Input, segments: &segments, facts: Facts::default() };
    let (_, calls) = Inquiry::begin(remote, input).ok()?;
    calls.into_iter().map(|call| call.auth).find(|auth| *auth != Auth::None)
}

/// A credential, taken apart. Borrowed: nothing of it is kept a second time.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential<'a> {
    /// The value of a header, or a bearer token.
    Token(&'a str),
    /// An access key of AWS.
    AccessKey { id: &'a str, secret: &'a str, session_token: Option<&'a str> },
    /// The key of a webhook's signature.
    Signing(Vec<u8>),
}

impl<'a> Credential<'a> {
    /// Reads what is written for a guardrail that signs in so.
    ///
    /// # Errors
    /// What is wrong with it, without a word of it.
    pub(crate) fn new(auth: &Auth, text: &'a str) -> Result<Credential<'a>, &'static str> {
        match auth {
            Auth::None | Auth::Bearer | Auth::Header(_) => {
                let plain = !text.is_empty() && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
                if plain { Ok(Credential::Token(text)) } else { Err("no header can carry the credential") }
            }
            Auth::SigV4 { .. } => {
                let mut parts = text.splitn(3, ':');
                let (id, secret) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                let session_token = parts.next();
                let header = |text: &str| text.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
                let whole = !id.is_empty() && !secret.is_empty() && session_token != Some("");
                if whole && header(text) {
                    Ok(Credential::AccessKey { id, secret, session_token })
                } else {
                    Err("the credential is no access key, `ID:SECRET` or `ID:SECRET:TOKEN`")
                }
            }
            Auth::Signature => {
                let key = signature::key(text).map_err(|_quotes| "what follows `whsec_` is not base64")?;
                if key.is_empty() { Err("the signing secret is empty") } else { Ok(Credential::Signing(key)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_guard::remote::REMOTES;
    use serde_json::json;

    #[test]
    fn every_kind_says_how_it_signs_in() {
        for kind in REMOTES {
            let settings = match kind.name {
                "bedrock_guardrails" => json!({"guardrail_id": "g", "region": "us-east-1"}),
                "model_armor" => json!({"project": "p", "location": "europe-west4", "template": "t"}),
                "patronus" => json!({"evaluators": ["pii"]}),
                "prisma_airs" => json!({"profile": "p"}),
                _ => json!({}),
            };
            let remote = Remote::configure(kind.name, settings).unwrap();
            assert_eq!(auth(&remote).is_none(), kind.name == "presidio", "{}", kind.name);
        }
        let unsigned = Remote::configure("webhook", json!({"signed": false})).unwrap();
        assert_eq!(auth(&unsigned), None);
    }

    #[test]
    fn credentials_are_taken_apart() {
        let aws = Auth::SigV4 { service: "bedrock", region: "us-east-1".to_owned() };
        let key = |session_token| Credential::AccessKey { id: "AKIA", secret: "a/b+c", session_token };
        assert!(Credential::new(&aws, "AKIA:a/b+c") == Ok(key(None)));
        assert!(Credential::new(&aws, "AKIA:a/b+c:t:u=") == Ok(key(Some("t:u="))));
        for bad in ["", "AKIA", "AKIA:", ":s", "AKIA:s:", "AKIA:s s"] {
            assert!(Credential::new(&aws, bad).is_err(), "{bad}");
        }
        for bad in ["", "a b", "a\r\nb: c", "ü"] {
            assert!(Credential::new(&Auth::Bearer, bad).is_err(), "{bad}");
            assert!(Credential::new(&Auth::Header("x"), bad).is_err(), "{bad}");
        }
        assert!(Credential::new(&Auth::Signature, "whsec_a2V5") == Ok(Credential::Signing(b"key".to_vec())));
        assert!(Credential::new(&Auth::Signature, "whsec_*").is_err());
        assert!(Credential::new(&Auth::Signature, "").is_err());
    }
}
