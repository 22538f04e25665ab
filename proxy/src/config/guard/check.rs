//! What is checked of guardrails and policies as a whole.

use super::super::document::Document;
use super::super::path::Path;
use super::super::problem::did_you_mean;
use super::super::resolve::{Check, Way};
use super::super::url::BaseUrl;
use super::credential::{Credential, auth};
use super::detection::{Detection, finds_something};
use super::policy::{ActionWord, Policies, PolicyDocument};
use super::{External, Guardrail};
use narrows_guard::remote::{Auth, Remote, SettingsError};
use narrows_policy::{Catalogue, PolicySet, Problem, Rule};
use std::sync::Arc;

/// Longest name of a guardrail, in bytes.
const NAME_BYTES_MAX: usize = 64;

impl Check<'_, '_> {
    /// The external guardrails of the document, those without problems.
    pub(in super::super) fn guardrails(
        &mut self,
        document: &Document,
        egress: Option<&Way>,
    ) -> Vec<External> {
        let guardrails = document.guardrails.iter();
        guardrails.filter_map(|(name, guardrail)| self.guardrail(name, guardrail, egress)).collect()
    }

    fn guardrail(&mut self, name: &str, guardrail: &Guardrail, egress: Option<&Way>) -> Option<External> {
        let path = Path::of(&["guardrails", name]);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) {
            let suggestion = "lower-case letters, digits, `-` and `_`, at most 64 characters";
            self.problem(&path, "not a name for a guardrail", suggestion);
        }
        let remote = match Remote::configure(guardrail.kind.name, guardrail.settings.clone()) {
            Ok(remote) => remote,
            Err(SettingsError::Invalid { message, .. } | SettingsError::UnknownKind(message)) => {
                let known: Vec<&str> = guardrail.kind.needs.iter().map(|need| need.name).collect();
                let suggestion = match known.is_empty() {
                    true => format!("the kind {} has no settings", guardrail.kind.name),
                    false => format!("its settings: {}", known.join(", ")),
                };
                self.problem(&path.key("settings"), message, suggestion);
                return None;
            }
        };
        let public = remote.base().and_then(|base| BaseUrl::parse(&base).ok());
        let Some(url) = guardrail.url.clone().or(public) else {
            if !self.given(&path.key("url")) {
                let message =
                    format!("the kind {} has no public address for these settings", guardrail.kind.name);
                self.problem(&path, message, "add `url: https://…`");
            }
            return None;
        };
        self.encrypted(&path.key("url"), &url, guardrail.private_network);
        if let Some(anonymizer) = &guardrail.anonymizer_url {
            self.anonymizer(&path.key("anonymizer_url"), &remote, anonymizer, guardrail.private_network);
        }
        self.signing(&path, &remote, guardrail);
        let ca_digest = guardrail.ca_file.as_ref().and_then(|file| self.bundle(&path, file));
        // What is in a private network is not beyond the proxy.
        let way = egress.filter(|way| !guardrail.private_network && !way.spares(Some(&url)));
        Some(External {
            name: Arc::from(name),
            remote,
            anonymizer_url: guardrail.anonymizer_url.clone(),
            url,
            credential: guardrail.credential.clone(),
            ca_file: guardrail.ca_file.clone(),
            ca_digest,
            egress: way.map(|way| way.egress.clone()),
            timeout: guardrail.timeout,
            remember: guardrail.remember,
            on_error: guardrail.on_error,
            priority: u32::try_from(guardrail.priority).unwrap_or(u32::MAX),
            private_network: guardrail.private_network,
        })
    }

    fn anonymizer(&mut self, path: &Path, remote: &Remote, url: &BaseUrl, private_network: bool) {
        if !matches!(remote, Remote::Presidio(_)) {
            let message = format!("the kind {} has no anonymizer", remote.kind().name);
            self.problem(path, message, "remove it");
        }
        self.encrypted(path, url, private_network);
    }

    /// Whether the credential is one that the kind can sign in with.
    fn signing(&mut self, path: &Path, remote: &Remote, guardrail: &Guardrail) {
        let Some(auth) = auth(remote) else { return };
        let Some(credential) = &guardrail.credential else {
            // Without a signature anybody could ask in our name, and without a key nothing can be signed.
            if matches!(auth, Auth::Signature | Auth::SigV4 { .. }) && !self.given(&path.key("credential")) {
                let suggestion = "add `credential: ${VARIABLE}` or `file:/path`";
                self.problem(
                    path,
                    "what is sent is signed, and there is nothing to sign it with",
                    suggestion,
                );
            }
            return;
        };
        if let Err(fault) = Credential::new(&auth, credential.reveal()) {
            self.problem(&path.key("credential"), fault, "see docs/external-guardrails.md");
        }
    }

    /// Texts and credentials go in the clear only where an operator says that the network is private.
    fn encrypted(&mut self, path: &Path, url: &BaseUrl, private_network: bool) {
        if !url.is_tls() && !private_network {
            let message = "texts and credentials would go over the network unencrypted";
            self.problem(path, message, "use https, or write `private_network: true` if it is one");
        }
    }

    /// The policies of the document and the default ones, against the detectors and guardrails that there are; and those
    /// detectors, as far as policies look at them.
    pub(in super::super) fn policies(&mut self, document: &Document) -> (Policies, Detection) {
        let mut written = Vec::new();
        for (at, policy) in document.policies.iter().enumerate() {
            let (rule, mixed) = policy.rule();
            for condition in mixed {
                let path = Path::of(&["policies"]).index(at).key("when").index(condition);
                if self.has_problem_in(&path) {
                    continue;
                }
                let message = "neither about findings nor about a guardrail, or about both";
                let suggestion =
                    "give `class`, `entity`, `rule` or `tier`; or `guardrail`, with `category` if wanted";
                self.problem(&path, message, suggestion);
            }
            if policy.then.action != ActionWord::Allow && !policy.then.exempts.is_empty() {
                let path = Path::of(&["policies"]).index(at).key("then").key("exempts");
                self.problem(&path, "only `allow` exempts", "write `action: allow`, or remove it");
            }
            written.push(rule);
        }
        let own = written.len();
        let parts = self.parts(&document.guard, &written);
        if document.guard.default_policies {
            let found = |rule: &Rule| finds_something(rule, &parts.rules);
            written.extend(PolicyDocument::defaults().into_iter().filter(found));
        }
        let guardrails: Vec<narrows_policy::Guardrail> = document
            .guardrails
            .iter()
            .map(|(name, guardrail)| narrows_policy::Guardrail {
                name: name.clone(),
                priority: u32::try_from(guardrail.priority).unwrap_or(u32::MAX),
                on_error: guardrail.on_error,
            })
            .collect();
        let catalogue = Catalogue { detectors: &parts.rules, guardrails: &guardrails };
        let set = match PolicySet::compile(written, &catalogue) {
            Ok(set) => set,
            Err(problems) => {
                problems.iter().for_each(|problem| self.refused(problem, own, &catalogue));
                PolicySet::empty()
            }
        };
        let detection = self.detection(parts, &set);
        (Policies(Arc::new(set)), detection)
    }

    /// Whether something in the value at `path` was found wrong already.
    pub(super) fn has_problem_in(&self, path: &Path) -> bool {
        let outer = path.to_string();
        let mut problems = self.reader.problems.iter();
        problems.any(|problem| problem.path.strip_prefix(&outer).is_some_and(|rest| rest.starts_with('.')))
    }

    /// Reports a problem of a rule where it stands.
    fn refused(&mut self, problem: &Problem, own: usize, catalogue: &Catalogue<'_>) {
        let policies = Path::of(&["policies"]);
        let Some(rule) = problem.rule else {
            return self.problem(&policies, problem.message.clone(), "write fewer of them");
        };
        if rule >= own {
            // Nothing is wrong with a default policy but what is written beside it.
            let suggestion = "names that begin with `default-` are those of the default policies: choose another, or \
                              write `guard: {default_policies: false}`";
            return self.problem(&policies, problem.message.clone(), suggestion);
        }
        let mut path = policies.index(rule);
        for key in problem.key.split('.') {
            path = path.key(key);
            if let (true, Some(condition)) = (key == "when", problem.condition) {
                path = path.index(condition);
            }
        }
        let named = problem.message.split('`').nth(1).unwrap_or_default();
        let words = |of: &dyn Fn(&narrows_guard::Rule) -> &str| {
            let known: Vec<&str> = catalogue.detectors.iter().map(of).collect();
            nearest_of(named, &known)
        };
        let suggestion = match problem.key {
            "when.entity" => words(&|rule| &rule.entity),
            "when.rule" => words(&|rule| &rule.id),
            "when.guardrail" => {
                let known: Vec<&str> = catalogue.guardrails.iter().map(|one| one.name.as_str()).collect();
                nearest_of(named, &known)
            }
            _ => "see docs/configuration.md, `policies[]`".to_owned(),
        };
        self.problem(&path, problem.message.clone(), suggestion);
    }
}

/// What was meant by a name: the nearest of those there are, or all of them if they are few.
fn nearest_of(named: &str, known: &[&str]) -> String {
    /// Most names that are listed.
    const LISTED_MAX: usize = 12;
    let mut known = known.to_vec();
    known.sort_unstable();
    known.dedup();
    match super::super::problem::nearest(named, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "there are none".to_owned(),
        None if known.len() <= LISTED_MAX => did_you_mean(named, &known),
        None => "`narrows check` lists what is in force".to_owned(),
    }
}
