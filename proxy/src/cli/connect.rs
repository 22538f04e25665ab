//! `narrows connect`: points a client at a gateway.

mod check;

use super::args::{ConnectArguments, CreateArguments};
use super::{Console, Outcome, keys, table};
use crate::config::{BaseUrl, problem};
use crate::connect::{self, CLIENTS, Client, Done, Home, KEY_PLACEHOLDER, Plans, Values};
use anyhow::{Context, Result, anyhow, bail};
use narrows_ledger::{KEY_PREFIX, PresentedKey};
use serde_json::json;
use std::io::Read;
use std::path::Path;

/// The gateway that is meant if none is named.
const URL_DEFAULT: &str = "http://127.0.0.1:8080";
/// Variables for those who connect many clients.
const URL_VARIABLE: &str = "NARROWS_URL";
const KEY_VARIABLE: &str = "NARROWS_KEY";
/// Bytes of a key file; a key has under a hundred.
const KEY_FILE_BYTES_MAX: u64 = 4096;
/// Characters of a model's name.
const MODEL_CHARS_MAX: usize = 256;
/// The word that lists the clients.
const LIST: &str = "list";

/// A variable of the environment.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Runs the command.
pub(crate) fn connect(arguments: &ConnectArguments, console: &mut Console<'_>) -> Result<Outcome> {
    if arguments.client.as_deref() == Some(LIST) {
        return list(console, arguments.store.json);
    }
    let client = arguments.client.as_deref().map(named).transpose()?;
    if arguments.check {
        return check::check(client, arguments, console);
    }
    // The command line wants a client unless it is a check.
    let Some(client) = client else { return list(console, arguments.store.json) };
    if arguments.remove {
        return remove(client, &home(&variable)?, console);
    }
    let url = url(arguments.url.clone().or_else(|| variable(URL_VARIABLE)).as_deref(), console)?;
    let mut values = Values { url, key: String::new(), model: arguments.model.clone() };
    if let Some(model) = &values.model {
        fits(model)?;
    }
    warn_of_clear_text(client, &values.url, console)?;
    if arguments.write {
        let home = home(&variable)?;
        writable(client)?;
        // What cannot be written has to be known before a key is made.
        values.key = KEY_PLACEHOLDER.to_owned();
        Plans::write(client, &values, &home)?;
        values.key = match given_key(arguments, &variable)? {
            Some(key) => key,
            None if arguments.create_key => create_key(client, arguments, console)?,
            None => bail!(
                "no key: give one (--key-file FILE, {KEY_VARIABLE}, --key {KEY_PREFIX}…), or have one made (--create-key \
                 --user NAME)"
            ),
        };
        return write(client, &values, &home, console);
    }
    let key = match given_key(arguments, &variable)? {
        None if arguments.create_key => Some(create_key(client, arguments, console)?),
        key => key,
    };
    if key.is_none() {
        writeln!(console.err, "note: no key was given; put yours where {KEY_PLACEHOLDER} stands")?;
    }
    values.key = key.unwrap_or_else(|| KEY_PLACEHOLDER.to_owned());
    if arguments.shell { shell(client, &values, console) } else { print(client, &values, console) }
}

/// The client of that name, or an error that names the nearest.
fn named(name: &str) -> Result<&'static Client> {
    let names: Vec<&str> = CLIENTS.iter().map(|client| client.name).chain([LIST]).collect();
    connect::find(name).ok_or_else(|| {
        // People leave out what they take for granted: `claude`, `gemini`.
        let longer = names.iter().find(|known| !name.is_empty() && known.starts_with(name));
        let suggestion = longer
            .map_or_else(|| problem::did_you_mean(name, &names), |known| format!("did you mean `{known}`?"));
        anyhow!("there is no client `{name}`; {suggestion} `narrows connect list` shows all")
    })
}

fn home(variable: &dyn Fn(&str) -> Option<String>) -> Result<Home> {
    Home::of_user(variable).context("there is no home directory: HOME is not set")
}

/// The gateway's base URL as clients build on it: without a slash and without `/v1` at its end.
fn url(given: Option<&str>, console: &mut Console<'_>) -> Result<String> {
    let given = given.unwrap_or(URL_DEFAULT);
    let url = BaseUrl::parse(given)
        .map_err(|error| anyhow!("--url {error}; write scheme, host and port, as {URL_DEFAULT}"))?
        .to_string();
    match url.strip_suffix("/v1") {
        Some(base) => {
            writeln!(
                console.err,
                "note: `/v1` at the end of the URL is left out; it is added where the client wants it"
            )?;
            Ok(base.to_owned())
        }
        None => Ok(url),
    }
}

fn fits(model: &str) -> Result<()> {
    let fine = |c: char| !c.is_control() && !c.is_whitespace() && !"\"'\\`${}".contains(c);
    if model.is_empty() || model.chars().count() > MODEL_CHARS_MAX || !model.chars().all(fine) {
        bail!("--model `{}` is not a model's name", model.escape_debug());
    }
    Ok(())
}

fn warn_of_clear_text(client: &Client, url: &str, console: &mut Console<'_>) -> Result<()> {
    let Ok(parsed) = BaseUrl::parse(url) else { return Ok(()) };
    let here = parsed.host() == "localhost" || parsed.ip().is_some_and(|ip| ip.is_loopback());
    if parsed.is_tls() || here {
        return Ok(());
    }
    let refuses = if client.name == "gemini-cli" { ", and Gemini CLI refuses such a URL" } else { "" };
    writeln!(
        console.err,
        "warning: {url} is not encrypted: keys and prompts can be read on the way{refuses}; give the gateway's listener `tls`"
    )?;
    Ok(())
}

fn writable(client: &Client) -> Result<()> {
    if client.is_writable() {
        return Ok(());
    }
    let names: Vec<&str> =
        CLIENTS.iter().filter(|client| client.is_writable()).map(|client| client.name).collect();
    bail!(
        "{} has no settings file that can be written for it; run the same without --write and follow what is printed \
         (--write is for {})",
        client.title,
        names.join(", ")
    );
}

/// The key from the command line, a file (`-` for standard input) or the environment.
fn given_key(
    arguments: &ConnectArguments,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>> {
    let (key, from) = match (&arguments.key, &arguments.key_file) {
        (Some(key), _) => (key.clone(), "--key".to_owned()),
        (None, Some(file)) => (read_key(file)?, file.display().to_string()),
        (None, None) if arguments.create_key => return Ok(None),
        (None, None) => match variable(KEY_VARIABLE).filter(|key| !key.is_empty()) {
            Some(key) => (key, KEY_VARIABLE.to_owned()),
            None => return Ok(None),
        },
    };
    let key = key.trim().to_owned();
    match PresentedKey::parse(&key) {
        Ok(_) => Ok(Some(key)),
        Err(_) if !key.starts_with(KEY_PREFIX) => bail!(
            "{from} is not a virtual key: those begin with {KEY_PREFIX} (`narrows keys create` makes one); a provider's \
             own key stays with the gateway"
        ),
        Err(error) => bail!("{from} is not a whole virtual key: {error}"),
    }
}

fn read_key(file: &Path) -> Result<String> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(KEY_FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read the key from {}", file.display()))?;
    Ok(text)
}

/// Makes a key for this client.
fn create_key(client: &Client, arguments: &ConnectArguments, console: &mut Console<'_>) -> Result<String> {
    let owner =
        arguments.user.as_deref().map_or(client.name.to_owned(), |user| format!("{user}-{}", client.name));
    let asked = CreateArguments {
        name: Some(arguments.name.clone().unwrap_or(owner)),
        user: arguments.user.clone(),
        team: arguments.team.clone(),
        ..CreateArguments::default()
    };
    let created = keys::create(&arguments.store, &asked)?;
    writeln!(console.err, "Created key {} ({}).", created.info.id, created.info.name)?;
    Ok(created.key.expose().to_owned())
}

fn list(console: &mut Console<'_>, as_json: bool) -> Result<Outcome> {
    if as_json {
        for client in CLIENTS {
            let files: Vec<String> = client.setup.files.iter().map(Home::shown).collect();
            let speaks: Vec<&str> = client.speaks.iter().map(|dialect| dialect.as_str()).collect();
            let line = json!({
                "name": client.name, "title": client.title, "kind": client.kind.word(), "speaks": speaks, "routable": client.routable.word(),
                "enforceable": client.enforceable, "limits": client.limits, "recorded_as": client.recorded_as,
                "verified": client.verified.told(), "writes": files,
            });
            writeln!(console.out, "{line}")?;
        }
        return Ok(Outcome::Fine);
    }
    let row = |client: &&Client| {
        let written: Vec<String> = client.setup.files.iter().map(Home::shown).collect();
        let writes = if written.is_empty() { table::ABSENT.to_owned() } else { written.join(", ") };
        vec![client.name.to_owned(), client.title.to_owned(), client.routable.word().to_owned(), writes]
    };
    let rows: Vec<Vec<String>> = CLIENTS.iter().map(row).collect();
    table::write(console.out, &["CLIENT", "PROGRAM", "ROUTABLE", "--write CHANGES"], &[], &rows)?;
    Ok(Outcome::Fine)
}

fn print(client: &Client, values: &Values, console: &mut Console<'_>) -> Result<Outcome> {
    writeln!(console.out, "{} through {}", client.title, values.url)?;
    for section in connect::sections(client, values)? {
        writeln!(console.out, "\n{}:\n", section.title.replace('`', ""))?;
        for line in section.text.lines() {
            writeln!(console.out, "{}", format!("  {line}").trim_end())?;
        }
    }
    if !client.limits.is_empty() {
        writeln!(console.out, "\nKnow that\n")?;
        for limit in client.limits {
            writeln!(console.out, "  - {limit}")?;
        }
    }
    Ok(Outcome::Fine)
}

fn shell(client: &Client, values: &Values, console: &mut Console<'_>) -> Result<Outcome> {
    let exports = connect::exports(client, values);
    if exports.is_empty() {
        bail!("{} is not set up by variables of a shell; run the same without --shell", client.title);
    }
    write!(console.out, "{exports}")?;
    Ok(Outcome::Fine)
}

fn write(client: &Client, values: &Values, home: &Home, console: &mut Console<'_>) -> Result<Outcome> {
    told(Plans::write(client, values, home)?.carry_out()?, console)?;
    let start = values.fill(client.setup.start, client.model);
    writeln!(console.out, "{} now uses {}. Start it: {start}", client.title, values.url)?;
    Ok(Outcome::Fine)
}

fn remove(client: &Client, home: &Home, console: &mut Console<'_>) -> Result<Outcome> {
    writable(client)?;
    told(Plans::remove(client, home)?.carry_out()?, console)?;
    Ok(Outcome::Fine)
}

/// What became of every file.
fn told(done: Vec<(std::path::PathBuf, Done)>, console: &mut Console<'_>) -> Result<()> {
    for (path, done) in done {
        let path = path.display();
        match done {
            Done::Made => writeln!(console.out, "made {path}"),
            Done::Changed => {
                writeln!(console.out, "changed {path}; as it was before: {path}{}", connect::BACKUP)
            }
            Done::Unchanged => writeln!(console.out, "nothing to change in {path}"),
            Done::Restored => writeln!(console.out, "took the gateway's settings out of {path}"),
            Done::Deleted => writeln!(console.out, "deleted {path}, which held nothing else"),
        }?;
    }
    Ok(())
}
