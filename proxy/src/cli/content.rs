//! `narrows content`: kept prompts and answers, where the store and its master key are.

use super::args::{ContentArguments, ContentCommand, ContentFilterArguments, HoldArguments, Whose};
use super::table::{self, ABSENT};
use super::{Console, Outcome, store, time};
use crate::admin;
use crate::config::StoreSettings;
use crate::content::export::{self, Asked};
use crate::content::view;
use crate::credentials::master_key;
use crate::credentials::seal::MasterKey;
use anyhow::{Context, Result, anyhow, bail};
use narrows_ledger::{AuditEntry, ContentFilter, ErasureSubject, Hold, KeyWrap, Ledger, NewHold};
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;
use std::sync::Arc;

/// Runs the command that was given.
pub(crate) fn content(arguments: &ContentArguments, console: &mut Console<'_>) -> Result<Outcome> {
    if let ContentCommand::Verify { file, public_key } = &arguments.command {
        return verify(console, file, public_key.as_deref());
    }
    if store::remote(&arguments.store)?.is_some() {
        bail!(
            "content is read where the store and its master key are, or over the administration API: leave out --admin"
        );
    }
    let settings = store::locate(&arguments.store)?;
    let ledger = store::open(&settings, false)?;
    let place = Place { settings: &settings, ledger: &ledger, json: arguments.store.json };
    match &arguments.command {
        ContentCommand::Verify { .. } => {}
        ContentCommand::Show { id, reason } => place.show(console, id, reason)?,
        ContentCommand::Search { contains, filter, after, reason } => {
            place.search(console, contains, filter, after.as_deref(), reason)?;
        }
        ContentCommand::Export { filter, to_file, reason } => {
            place.export(console, filter, to_file, reason)?
        }
        ContentCommand::Erase { whose, organization, reason } => {
            place.erase(console, whose, organization.as_deref(), reason)?;
        }
        ContentCommand::Hold { filter, reason } => place.hold(console, filter, reason)?,
        ContentCommand::Holds { released } => place.holds(console, *released)?,
        ContentCommand::Release { id, reason } => {
            let hold = ledger.release_content(id, reason, store::ACTOR)?;
            writeln!(console.out, "Hold {} is released; what is over goes within a minute.", hold.id)?;
        }
    }
    Ok(Outcome::Fine)
}

struct Place<'a> {
    settings: &'a StoreSettings,
    ledger: &'a Ledger,
    json: bool,
}

impl Place<'_> {
    /// Has the ledger open content from here on.
    fn unlock(&self) -> Result<Arc<MasterKey>> {
        let master = master_key(self.settings.master_key.as_ref()).map_err(|cause| anyhow!(cause))?;
        let master = Arc::new(master);
        self.ledger.wrap_content(Arc::clone(&master) as Arc<dyn KeyWrap>);
        Ok(master)
    }

    /// Writes into the trail what is about to be shown, for each organization that it is about.
    fn audit(
        &self,
        action: &str,
        target: &str,
        detail: &str,
        entries: Vec<(Option<String>, usize)>,
    ) -> Result<()> {
        for (organization, rows) in entries {
            self.ledger.audit(&AuditEntry {
                actor: store::ACTOR,
                action,
                target,
                organization: organization.as_deref(),
                detail: Some(detail.to_owned()),
                rows: Some(rows as u64),
            })?;
        }
        Ok(())
    }

    fn show(&self, console: &mut Console<'_>, id: &str, reason: &str) -> Result<()> {
        self.unlock()?;
        let found = self.ledger.content(record_id(id)?)?;
        let organization = found.as_ref().map(|content| content.organization.clone());
        let entries = vec![(organization, usize::from(found.is_some()))];
        self.audit("content_read", id, &checked(reason)?, entries)?;
        let Some(found) = found else { bail!("no content was kept of {id}") };
        if self.json {
            writeln!(console.out, "{}", view::content(&found))?;
            return Ok(());
        }
        for (name, side) in [("REQUEST", &found.request), ("ANSWER", &found.answer)] {
            writeln!(console.out, "{name} ({}, {} bytes)", side.state.as_str(), side.whole_bytes)?;
            if let Some(bytes) = &side.bytes {
                writeln!(console.out, "{}", String::from_utf8_lossy(bytes))?;
            }
        }
        Ok(())
    }

    fn search(
        &self,
        console: &mut Console<'_>,
        contains: &str,
        filter: &ContentFilterArguments,
        after: Option<&str>,
        reason: &str,
    ) -> Result<()> {
        self.unlock()?;
        let before = after.map(record_id).transpose()?;
        let (filter, reason) = (read(filter)?, checked(reason)?);
        let mut found = view::search(self.ledger, &filter, contains, before)?;
        let more = [("contains", contains), ("cursor", after.unwrap_or_default())];
        let entries = view::entries(filter.organization.clone(), std::mem::take(&mut found.by_organization));
        self.audit("content_searched", "content", &told(&reason, &more, &filter), entries)?;
        if self.json {
            writeln!(console.out, "{}", found.json())?;
            return Ok(());
        }
        for row in &found.found {
            let text = |name: &str| row[name].as_str().unwrap_or(ABSENT);
            let hit = &row["hits"][0];
            let excerpt = hit["excerpt"].as_str().unwrap_or_default().replace(char::is_control, " ");
            let side = hit["side"].as_str().unwrap_or_default();
            writeln!(console.out, "{}  {}  {side}: {excerpt}", text("record"), text("user"))?;
        }
        let records = found.scanned.records;
        match found.scanned.next {
            None => writeln!(console.out, "{} found in all {records} exchanges.", found.found.len())?,
            Some(next) => writeln!(
                console.out,
                "{} found in the newest {records} exchanges; there are more: --after {}",
                found.found.len(),
                view::id_text(next)
            )?,
        }
        warn(console, found.scanned.unopened, &found.unopened.unwrap_or_default())
    }

    fn export(
        &self,
        console: &mut Console<'_>,
        filter: &ContentFilterArguments,
        to_file: &Path,
        reason: &str,
    ) -> Result<()> {
        let master = self.unlock()?;
        let (filter, reason) = (read(filter)?, checked(reason)?);
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(to_file).with_context(|| format!("cannot make {}", to_file.display()))?;
        let (mut before, mut lines, mut parts, mut unopened) = (None, 0, 0, 0);
        loop {
            let now_us = jiff::Timestamp::now().as_microsecond();
            let asked = Asked { filter: &filter, before, reason: &reason, actor: store::ACTOR, now_us };
            let part = export::part(self.ledger, &master, &asked)?;
            let entries = view::entries(filter.organization.clone(), part.by_organization);
            self.audit("content_exported", "content", &told(&reason, &[], &filter), entries)?;
            file.write_all(&part.text).with_context(|| format!("cannot write {}", to_file.display()))?;
            lines += part.lines;
            unopened += part.unopened;
            parts += 1;
            before = part.next;
            if before.is_none() {
                break;
            }
        }
        file.sync_all()?;
        let key = export::public_key(&master)?;
        writeln!(
            console.out,
            "{lines} exchanges in {parts} part{} written to {}.\nSigned with {key}.",
            if parts == 1 { "" } else { "s" },
            to_file.display()
        )?;
        warn(console, unopened, "each line says why")
    }

    fn erase(
        &self,
        console: &mut Console<'_>,
        whose: &Whose,
        organization: Option<&str>,
        reason: &str,
    ) -> Result<()> {
        let subject = match whose {
            Whose { user: Some(user), .. } => ErasureSubject::User(user.clone()),
            Whose { service_account: Some(account), .. } => ErasureSubject::ServiceAccount(account.clone()),
            Whose { record: Some(id), .. } => ErasureSubject::Record(record_id(id)?),
            Whose { .. } => bail!("name one of --user, --service-account and --record"),
        };
        let record = match &subject {
            ErasureSubject::Record(id) => Some(*id),
            ErasureSubject::User(_) | ErasureSubject::ServiceAccount(_) => None,
        };
        let organization = self.organization(organization, record)?;
        let erased = self.ledger.erase_content(&organization, &subject, &checked(reason)?, store::ACTOR)?;
        if self.json {
            writeln!(console.out, "{}", serde_json::to_string(&erased)?)?;
            return Ok(());
        }
        let (kind, name) = subject.describe();
        writeln!(
            console.out,
            "The content of {} exchanges of the {} {name} in the organization {organization} is erased, and {} keys are \
             destroyed.",
            erased.records,
            kind.replace('_', " "),
            erased.keys
        )?;
        Ok(())
    }

    /// The organization that something is done in: the one that is named, that of the exchange it is about, or the
    /// configuration's.
    fn organization(&self, named: Option<&str>, record: Option<u128>) -> Result<String> {
        if let Some(named) = named {
            return Ok(named.to_owned());
        }
        let found = record.map(|record| self.ledger.content_organization(record)).transpose()?.flatten();
        Ok(found.unwrap_or_else(|| self.settings.organization.to_string()))
    }

    fn hold(&self, console: &mut Console<'_>, filter: &HoldArguments, reason: &str) -> Result<()> {
        let record = filter.record.as_deref().map(record_id).transpose()?;
        let held = NewHold {
            organization: self.organization(filter.organization.as_deref(), record)?,
            team: filter.team.clone(),
            user: filter.user.clone(),
            record,
            from_us: point(filter.from.as_deref())?,
            to_us: point(filter.to.as_deref())?,
            reason: reason.to_owned(),
        };
        let hold = self.ledger.hold_content(&held, store::ACTOR)?;
        match self.json {
            true => writeln!(console.out, "{}", serde_json::to_string(&hold)?)?,
            false => writeln!(console.out, "Hold {} is in force.", hold.id)?,
        }
        Ok(())
    }

    fn holds(&self, console: &mut Console<'_>, released: bool) -> Result<()> {
        let holds = self.ledger.content_holds(None, released)?;
        if self.json {
            for hold in &holds {
                writeln!(console.out, "{}", serde_json::to_string(hold)?)?;
            }
            return Ok(());
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| ABSENT.to_owned());
        let row = |hold: &Hold| {
            vec![
                hold.id.clone(),
                hold.held.organization.clone(),
                text(&hold.held.team),
                text(&hold.held.user),
                time::show(hold.created_at_us),
                hold.released_at_us.map_or_else(|| ABSENT.to_owned(), time::show),
                hold.held.reason.clone(),
            ]
        };
        let rows: Vec<Vec<String>> = holds.iter().map(row).collect();
        let heads = ["ID", "ORGANIZATION", "TEAM", "USER", "SINCE", "RELEASED", "REASON"];
        table::write(console.out, &heads, &[], &rows)?;
        Ok(())
    }
}

/// Why, and what of whom, as the trail tells it.
fn told(reason: &str, more: &[(&str, &str)], filter: &ContentFilter) -> String {
    let asked = view::asked(filter);
    let asked = asked.iter().map(|(name, value)| (*name, value.as_str()));
    admin::told(std::iter::once(("purpose", reason)).chain(more.iter().copied()).chain(asked))
}

/// Says of how many exchanges the content could not be opened.
fn warn(console: &mut Console<'_>, unopened: usize, more: &str) -> Result<()> {
    if unopened > 0 {
        writeln!(console.err, "warning: the content of {unopened} exchanges could not be opened: {more}")?;
    }
    Ok(())
}

fn verify(console: &mut Console<'_>, file: &Path, key: Option<&str>) -> Result<Outcome> {
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    match export::verify(BufReader::new(opened), key) {
        Ok(verified) => {
            let end = if verified.is_complete() { "complete" } else { "NOT complete" };
            let (lines, parts) = (verified.lines, verified.parts);
            writeln!(console.out, "{lines} lines in {parts} parts are as they were exported; {end}.")?;
            if let Some(id) = &verified.begins {
                writeln!(console.out, "Missing: what comes before this, which begins before exchange {id}.")?;
            }
            if let Some(id) = &verified.goes_on {
                writeln!(console.out, "Missing: what follows, which begins before exchange {id}.")?;
            }
            let of: Vec<String> =
                verified.of.iter().map(|(name, value)| format!("{name} {value:?}")).collect();
            let of = if of.is_empty() { "all that was kept".to_owned() } else { of.join(", ") };
            writeln!(console.out, "Of {of}.")?;
            warn(console, verified.unopened, "each line says why")?;
            writeln!(console.out, "Signed with {}.", verified.public_key)?;
            if key.is_none() {
                writeln!(
                    console.err,
                    "note: compare the key with that of the exporter, or give --public-key"
                )?;
            }
            Ok(if verified.is_complete() { Outcome::Fine } else { Outcome::Failed })
        }
        Err(flaw) => {
            writeln!(console.err, "error: {}: {flaw}", file.display())?;
            Ok(Outcome::Failed)
        }
    }
}

fn checked(reason: &str) -> Result<String> {
    if reason.trim().is_empty() || reason.len() > narrows_ledger::content::HOLD_TEXT_MAX {
        bail!("--reason has 1 to {} bytes", narrows_ledger::content::HOLD_TEXT_MAX);
    }
    Ok(reason.to_owned())
}

fn record_id(id: &str) -> Result<u128> {
    let number = uuid::Uuid::try_parse(id).map(|id| id.as_u128());
    number.map_err(|_malformed| {
        anyhow!("`{id}` is not a record's id; it is a UUID, the x-narrows-request-id of an answer")
    })
}

fn point(text: Option<&str>) -> Result<Option<i64>> {
    text.map(|text| time::point_us(text, -1, time::now_us())).transpose()
}

fn read(filter: &ContentFilterArguments) -> Result<ContentFilter> {
    Ok(ContentFilter {
        organization: filter.organization.clone(),
        team: filter.team.clone(),
        user: filter.user.clone(),
        service_account: filter.service_account.clone(),
        from_us: point(filter.from.as_deref())?,
        to_us: point(filter.to.as_deref())?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::narrows;
    use super::*;
    use crate::config::Secret;
    use narrows_ledger::{AuditFilter, ContentState, LedgerOptions, NewContent, NewSide};
    use narrows_policy::Caller;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(30);

    const MASTER: &str = "5a";

    /// A store and its configuration.
    struct Kept(tempfile::TempDir);

    impl Kept {
        fn new() -> Kept {
            let kept = Kept(tempfile::tempdir().unwrap());
            let master = MASTER.repeat(32);
            let text = format!(
                "version: 1\norganization: acme\nstore: {{path: n.db}}\nmaster_key: '{master}'\nproviders: {{}}\n"
            );
            std::fs::write(kept.path("n.yaml"), text).unwrap();
            kept
        }

        fn path(&self, name: &str) -> String {
            self.0.path().join(name).display().to_string()
        }

        fn ledger(&self) -> Ledger {
            let ledger = Ledger::open(&self.0.path().join("n.db"), LedgerOptions::default()).unwrap();
            ledger.wrap_content(Arc::new(master(MASTER)));
            ledger
        }

        /// Keeps what ada said in an organization.
        fn say(&self, record: u128, organization: &str, request: &str, answer: &str) {
            let ledger = self.ledger();
            let side = |text: &str| NewSide {
                state: ContentState::Stored,
                whole_bytes: text.len() as u64,
                bytes: text.as_bytes().to_vec(),
            };
            let caller =
                Caller { organization: organization.into(), user: Some("ada".into()), ..Caller::default() };
            assert!(ledger.submit_content(Box::new(NewContent {
                record,
                caller: Arc::new(caller),
                at_us: 4_000_000_000_000_000,
                retention: Duration::from_secs(3_600),
                request: side(request),
                answer: side(answer),
            })));
            ledger.close(PATIENCE).unwrap();
        }

        fn run(&self, arguments: &[&str]) -> (u8, String, String) {
            narrows(&[&["content", "--config", &self.path("n.yaml")], arguments].concat())
        }
    }

    fn master(byte: &str) -> MasterKey {
        MasterKey::parse(&Secret::new(byte.repeat(32))).unwrap()
    }

    #[test]
    fn a_part_alone_is_verified_and_is_not_complete() {
        let kept = Kept::new();
        kept.say(7, "acme", "a question", "an answer");
        let filter = ContentFilter { user: Some("ada".into()), ..ContentFilter::default() };
        let before = Some(9);
        let asked = Asked { filter: &filter, before, reason: "case 7", actor: "cli", now_us: 1 };
        let part = export::part(&kept.ledger(), &master(MASTER), &asked).unwrap();
        std::fs::write(kept.path("part.jsonl"), part.text).unwrap();
        let (code, out, _) = narrows(&["content", "verify", &kept.path("part.jsonl")]);
        assert!(
            code == 1 && out.contains("1 lines in 1 parts are as they were exported; NOT complete"),
            "{out}"
        );
        assert!(out.contains("before exchange 00000000-0000-0000-0000-000000000009"), "{out}");
        assert!(out.contains("Of user \"ada\"."), "{out}");
    }

    #[test]
    fn what_cannot_be_opened_is_told_and_not_in_the_way() {
        let kept = Kept::new();
        kept.say(7, "acme", "a question", "an answer");
        kept.ledger().rewrap_content(&master(MASTER), &master("5b"), "cli").unwrap();
        kept.say(8, "acme", "a question", "an answer");
        let (code, out, err) = kept.run(&["search", "--contains", "question", "--reason", "case 7"]);
        assert!(code == 0 && out.contains("1 found in all 2 exchanges"), "{out}{err}");
        assert!(err.contains("of 1 exchanges could not be opened") && err.contains("rewrap"), "{err}");
        let (code, out, err) = kept.run(&["search", "--contains", "question", "--reason", "x", "--json"]);
        assert!(code == 0 && out.contains(r#""records_unopened":1"#), "{out}{err}");
        let file = kept.path("export.jsonl");
        let (code, out, err) = kept.run(&["export", "--to-file", &file, "--reason", "case 7"]);
        assert!(
            code == 0 && out.contains("2 exchanges in 1 part") && err.contains("of 1 exchanges"),
            "{out}{err}"
        );
        let (code, out, err) = narrows(&["content", "verify", &file]);
        assert!(code == 0 && out.contains("; complete") && err.contains("of 1 exchanges"), "{out}{err}");
    }

    #[test]
    fn the_trail_says_what_of_whom_to_each_organization() {
        let kept = Kept::new();
        kept.say(7, "acme", "a question", "an answer");
        kept.say(8, "umbra", "a salary", "an answer");
        let id = "00000000-0000-0000-0000-000000000008";
        assert_eq!(kept.run(&["show", id, "--reason", "case 7"]).0, 0);
        let why = "é".repeat(256);
        assert_eq!(kept.run(&["search", "--contains", "salary", "--user", "ada", "--reason", &why]).0, 0);
        let file = kept.path("x.jsonl");
        let export = ["export", "--organization", "acme", "--to-file", &file, "--reason", "case 7"];
        assert_eq!(kept.run(&export).0, 0);
        let events = kept.ledger().audit_trail(&AuditFilter::default(), 10, None).unwrap().events;
        let said: Vec<_> = events
            .iter()
            .map(|event| {
                (&*event.action, event.organization.as_deref().unwrap_or("-"), event.rows.unwrap_or(9))
            })
            .collect();
        let expected = [
            ("content_exported", "acme", 1),
            ("content_searched", "umbra", 1),
            ("content_searched", "acme", 0),
            ("content_read", "umbra", 1),
        ];
        assert_eq!(said, expected);
        let detail = |place: usize| events[place].detail.as_deref().unwrap();
        assert_eq!(detail(0), r#"purpose="case 7" organization="acme""#);
        assert_eq!(detail(1), format!(r#"purpose="{why}" contains="salary" user="ada""#));
    }

    #[test]
    fn content_is_shown_exported_held_and_erased_where_the_store_is() {
        let kept = Kept::new();
        kept.say(7, "acme", "a question", "an answer");
        let (config, export) = (kept.path("n.yaml"), kept.path("export.jsonl"));
        let run = |arguments: &[&str]| kept.run(arguments);
        let id = "00000000-0000-0000-0000-000000000007";
        let (code, out, err) = run(&["show", id, "--reason", "case 7"]);
        assert!(code == 0 && out.contains("a question") && out.contains("an answer"), "{out}{err}");
        let (code, out, _) = run(&["search", "--contains", "QUESTION", "--reason", "case 7"]);
        assert!(code == 0 && out.contains(id) && out.contains("1 found in all 1"), "{out}");
        let (code, out, err) = run(&["export", "--to-file", &export, "--reason", "case 7"]);
        assert!(code == 0 && out.contains("1 exchanges in 1 part"), "{out}{err}");
        let key = out.trim_end().rsplit_once("Signed with ").unwrap().1.trim_end_matches('.').to_owned();
        let (code, out, _) = narrows(&["content", "verify", &export, "--public-key", &key]);
        assert!(code == 0 && out.contains("1 lines in 1 parts are as they were exported; complete"), "{out}");
        let changed = std::fs::read_to_string(&export).unwrap().replace("a question", "another");
        std::fs::write(&export, changed).unwrap();
        let (code, _, err) = narrows(&["content", "verify", &export]);
        assert!(code == 1 && err.contains("was changed"), "{err}");
        let (_, out, _) = run(&["hold", "--user", "ada", "--reason", "case 7"]);
        let hold = out.split(' ').nth(1).unwrap().to_owned();
        let (code, _, err) = run(&["erase", "--user", "ada", "--reason", "asked"]);
        assert!(code == 1 && err.contains(&hold), "{err}");
        assert!(run(&["holds"]).1.contains("case 7"));
        assert_eq!(run(&["release", &hold, "--reason", "over"]).0, 0);
        let (code, out, _) = run(&["erase", "--user", "ada", "--reason", "asked"]);
        assert!(
            code == 0 && out.contains("content of 1 exchanges of the user ada in the organization acme"),
            "{out}"
        );
        let (code, _, err) = run(&["erase", "--user", "adda", "--reason", "asked"]);
        assert!(
            code == 1 && err.contains("of the user `adda` was ever kept in the organization `acme`"),
            "{err}"
        );
        kept.say(8, "umbra", "a question", "an answer");
        let other = "00000000-0000-0000-0000-000000000008";
        let (code, out, _) = run(&["erase", "--record", other, "--reason", "asked"]);
        assert!(code == 0 && out.contains("of 1 exchanges") && out.contains("organization umbra"), "{out}");
        assert!(run(&["show", id, "--reason", "case 7"]).1.contains("erased"));
        let trail = narrows(&["audit", "--config", &config]).1;
        for action in
            ["content_read", "content_searched", "content_exported", "content_held", "content_erased"]
        {
            assert!(trail.contains(action), "{action}: {trail}");
        }
    }
}
