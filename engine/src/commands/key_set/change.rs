//! The next set: what the present one holds, with a key more or less.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use identity::api_key;
use policy_release::bounds::SMALL_FILE_BYTES_MAX;
use policy_release::envelope::Role;
use policy_release::key_set::{FilledId, KeyHash, KeySet};
use policy_release::revocations::Sha256;
use policy_release::time::Timestamp;

use super::KeySetDesk;
use crate::commands::lists::{Begun, IssueArgs};
use crate::failure::Failure;
use crate::files;
use crate::pointing::Where;
use crate::span::{Span, distance};

/// How long the key before holds on beside a new one when nothing is said.
const OVERLAP: Span = Span { seconds: 86_400 };
/// Digits of a hash that tell one key of an id from the other.
const DIGITS_MIN: usize = 8;

/// What every change takes.
#[derive(Debug, Args)]
pub struct MakeArgs {
    #[command(flatten)]
    at: Where,
    /// Take ids that the release of the channel does not leave open: gateways ignore them until it does.
    #[arg(long)]
    unknown: bool,
    /// Go on with a set that holds by keys alone which the trust root no longer has, or with the newest that was seen from
    /// here where an older one was put into the store: every key in it was looked at.
    #[arg(long)]
    carry_on: bool,
    #[command(flatten)]
    issue: IssueArgs,
}

/// Which key of which id.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("key-given").required(true).args(["sha256", "key_file"]))]
pub struct GivenArgs {
    /// The id; with --key-file that of the key.
    #[arg(long, value_name = "ID", required_unless_present = "key_file")]
    id: Option<String>,
    /// SHA-256 over the whole key, as `adamant key new` prints it.
    #[arg(long, value_name = "HASH")]
    sha256: Option<Sha256>,
    /// The file of the key, as `adamant key new --out` writes it. The key itself goes nowhere.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// When the key begins to be valid; at once when absent.
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// When it ends; with the set when absent.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub struct AddArgs {
    #[command(flatten)]
    given: GivenArgs,
    #[command(flatten)]
    make: MakeArgs,
}

#[derive(Debug, Args)]
pub struct RotateArgs {
    #[command(flatten)]
    given: GivenArgs,
    /// How long the key before holds on: 90s, 30m, 12h, 30d or 4w; a day when absent.
    #[arg(long, value_name = "SPAN", conflicts_with = "at_once")]
    overlap: Option<Span>,
    /// Take the key before out at once.
    #[arg(long)]
    at_once: bool,
    #[command(flatten)]
    make: MakeArgs,
}

#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// An id. May be repeated.
    #[arg(long = "id", value_name = "ID", required = true)]
    ids: Vec<String>,
    /// One of its keys alone: what its hash begins with.
    #[arg(long, value_name = "DIGITS")]
    sha256: Option<String>,
    #[command(flatten)]
    make: MakeArgs,
}

#[derive(Debug, Args)]
pub struct RenewArgs {
    #[command(flatten)]
    make: MakeArgs,
}

impl GivenArgs {
    fn read(&self) -> Result<(String, KeyHash), Failure> {
        let (id, sha256) = match (&self.key_file, &self.id, self.sha256) {
            (Some(path), id, _) => of_file(path, id.as_deref())?,
            (None, Some(id), Some(sha256)) => (id.clone(), sha256),
            _ => return Err(Failure::new("expected --key-file, or --id with --sha256, found neither")),
        };
        Ok((id, KeyHash { sha256, from: self.from, until: self.until }))
    }
}

/// Id and hash of the key in a file.
fn of_file(path: &Path, wanted: Option<&str>) -> Result<(String, Sha256), Failure> {
    let secret = files::read_secret(path, SMALL_FILE_BYTES_MAX)?;
    let key = secret.text.lines().next().unwrap_or_default().trim();
    let found = api_key::parse(key.as_bytes()).map_err(|fault| Failure::at(path, fault))?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != found.id) {
        let message = format!("expected a key of id {wanted:?}, found one of {:?}", found.id);
        return Err(Failure::at(path, message).help("leave --id away, or give the other file"));
    }
    Ok((found.id.to_owned(), Sha256(api_key::digest(key.as_bytes()))))
}

impl AddArgs {
    pub fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let (id, hash) = self.given.read()?;
        self.make.change(out, |desk, next| {
            self.make.expect_open(desk, &id)?;
            if next.find(&id).is_some() {
                return Err(Failure::new(format_args!("API key {id} has a key already"))
                    .help("adamant key-set rotate gives it a new one, and lets the old one hold on for a while"));
            }
            next.lines.push(format!("adds     {}", shown(&id, &hash)));
            next.keys.push(FilledId { id, hashes: vec![hash] });
            Ok(())
        })
    }
}

impl RotateArgs {
    pub fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let (id, hash) = self.given.read()?;
        self.make.change(out, |desk, next| {
            self.make.expect_open(desk, &id)?;
            let ends = self.overlap.unwrap_or(OVERLAP).after(hash.from.unwrap_or(desk.now).max(desk.now));
            let key = next.find(&id).ok_or_else(|| {
                Failure::new(format_args!("API key {id} has no key yet")).help("adamant key-set add gives it its first one")
            })?;
            if key.hashes.iter().any(|known| known.sha256 == hash.sha256) {
                let message = format!("API key {id} has that key already");
                return Err(Failure::new(message).help("make a new one: adamant key new --moving"));
            }
            if self.at_once {
                key.hashes.clear();
            }
            let [before] = key.hashes.as_mut_slice() else {
                let told = format!("takes    all other keys of {id} out");
                if self.at_once {
                    key.hashes.push(hash.clone());
                    next.lines.extend([told, format!("adds     {}", shown(&id, &hash))]);
                    return Ok(());
                }
                let message = format!("API key {id} has two keys already, one of which takes the place of the other");
                return Err(Failure::new(message).help(format_args!(
                    "take one out first: adamant key-set remove --id {id} --sha256 DIGITS (adamant key-set show); or give \
                     it this one --at-once"
                )));
            };
            before.until = before.until.into_iter().chain(ends).min();
            let told = [format!("keeps    {}", shown(&id, before)), format!("adds     {}", shown(&id, &hash))];
            key.hashes.push(hash);
            next.lines.extend(told);
            Ok(())
        })
    }
}

impl RemoveArgs {
    pub fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        if let Some(digits) = self.sha256.as_ref().filter(|digits| digits.len() < DIGITS_MIN) {
            return Err(Failure::new(format_args!("--sha256: expected {DIGITS_MIN} digits or more, found {digits:?}")));
        }
        let is_meant = |hash: &KeyHash| {
            self.sha256.as_ref().is_none_or(|digits| hash.sha256.to_string().starts_with(&digits.to_lowercase()))
        };
        self.make.change(out, |_, next| {
            for id in &self.ids {
                let none = || {
                    Failure::new(format_args!("API key {id} has no such key in the set"))
                        .help("adamant key-set show says what is in it")
                };
                let key = next.find(id).ok_or_else(none)?;
                if let (Some(digits), 2..) = (&self.sha256, key.hashes.iter().filter(|hash| is_meant(hash)).count()) {
                    let message =
                        format!("--sha256: expected the digits of one key, found that {digits} begins several of {id}");
                    return Err(Failure::new(message).help("give more digits, or leave --sha256 away to take out all"));
                }
                let gone: Vec<_> = key.hashes.extract_if(.., |hash| is_meant(hash)).collect();
                if gone.is_empty() {
                    return Err(none());
                }
                next.lines.extend(gone.iter().map(|hash| format!("removes  {}", shown(id, hash))));
                next.keys.retain(|key| !key.hashes.is_empty());
            }
            Ok(())
        })
    }
}

impl RenewArgs {
    pub fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        self.make.change(out, |desk, next| match &desk.list {
            Some(set) => {
                let made = distance(desk.now, set.issued);
                next.lines.push(format!("from     serial {}, made {} ({made})", set.serial, set.issued));
                let keys = next.keys.iter().flat_map(|key| key.hashes.iter().map(|hash| shown(&key.id, hash)));
                next.lines.extend(keys.map(|key| format!("keeps    {key}")).collect::<Vec<_>>());
                Ok(())
            }
            None => Err(Failure::new(format_args!("channel {} has no key set", desk.channel))
                .help("adamant key-set add makes the first one")),
        })
    }
}

impl MakeArgs {
    fn change(
        &self,
        out: &mut dyn Write,
        edit: impl FnOnce(&KeySetDesk, &mut Next) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let desk: KeySetDesk = self.issue.open(&self.at)?;
        if !desk.root.has(Role::Keys) {
            let message =
                format!("trust root version {} has nobody in the role keys, who could sign", desk.root.version());
            return Err(Failure::new(message).help("give it a key: adamant trust add --role keys"));
        }
        self.expect_newest(&desk)?;
        let mut next = Next::of(&desk);
        // Otherwise whoever stole the key of the role would stay in, signed by the new one.
        if let Some(version) = desk.older.filter(|_| !self.carry_on && !next.keys.is_empty()) {
            let message = format!(
                "the key set of channel {} holds by trust root version {version} alone: the keys in it are not signed again \
                 unseen",
                desk.channel
            );
            return Err(Failure::new(message).help(
                "look at it (adamant key-set show); if every key in it is meant, say --carry-on; take the others out with \
                 adamant key-set remove --carry-on",
            ));
        }
        edit(&desk, &mut next)?;
        let keys = next.keys.clone();
        let issued = self.issue.issue(&desk, |Begun { policy, serial, expires }| {
            KeySet::new(&policy, desk.channel.as_str(), serial, desk.now, expires, keys)
        })?;
        next.tell(&issued.list, desk.now, out)?;
        issued.tell(&desk, out)
    }

    /// Refuses a store that goes behind what was seen from here: a key that was taken out since would be signed again.
    fn expect_newest(&self, desk: &KeySetDesk) -> Result<(), Failure> {
        let Some(behind) = desk.behind.as_ref().filter(|_| !self.carry_on) else {
            desk.warn_of_behind();
            return Ok(());
        };
        Err(Failure::new(&behind.told).help(format_args!(
            "who put back what is in the store? Publish the newest again (adamant key-set publish {} …), then run this again; \
             or say --carry-on, which goes on from the newest",
            behind.path.display()
        )))
    }

    /// Refuses an id that the release does not leave open: nobody would get in by it.
    fn expect_open(&self, desk: &KeySetDesk, id: &str) -> Result<(), Failure> {
        let Some(release) = desk.release.as_ref().filter(|_| !self.unknown) else { return Ok(()) };
        let all_the_same = "To fill it all the same, say --unknown";
        match release.api_keys.iter().find(|key| key.id == id) {
            Some(key) if key.sha256.is_none() => Ok(()),
            Some(_) => {
                let message = format!("the release of the channel pins the key of {id}: no key set takes its place");
                Err(Failure::new(message)
                    .help(format_args!("leave sha256 of that [[api_key]] away in the next release. {all_the_same}")))
            }
            None => {
                let open = release.api_keys.iter().filter(|key| key.sha256.is_none()).map(|key| key.id.as_str());
                let near = policy_source::nearest(id, open);
                let near = near.map_or_else(String::new, |near| format!("did you mean {near:?}? "));
                Err(Failure::new(format_args!("the release of the channel has no API key {id:?}"))
                    .help(format_args!("{near}{all_the_same}")))
            }
        }
    }
}

/// A set in the making.
pub struct Next {
    keys: Vec<FilledId>,
    /// What changes, for people.
    lines: Vec<String>,
}

impl Next {
    /// The present set, without keys that are over.
    fn of(desk: &KeySetDesk) -> Self {
        let mut keys = desk.list.as_ref().map(|set| set.keys().to_vec()).unwrap_or_default();
        let mut lines = Vec::new();
        for key in &mut keys {
            let ended = key.hashes.extract_if(.., |hash| hash.has_ended(desk.now));
            lines.extend(ended.map(|hash| format!("drops    {}", shown(&key.id, &hash))));
        }
        keys.retain(|key| !key.hashes.is_empty());
        Self { keys, lines }
    }

    /// From the present set to `set`, which somebody made.
    pub fn between(desk: &KeySetDesk, set: &KeySet) -> Self {
        let all = |set: Option<&KeySet>| -> Vec<(String, KeyHash)> {
            let keys = set.into_iter().flat_map(KeySet::keys);
            keys.flat_map(|key| key.hashes.iter().map(|hash| (key.id.clone(), hash.clone()))).collect()
        };
        let (before, after) = (all(desk.list.as_ref()), all(Some(set)));
        let gone = before.iter().filter(|key| !after.contains(key)).map(|(id, hash)| ("removes  ", id, hash));
        let added = after.iter().filter(|key| !before.contains(key)).map(|(id, hash)| ("adds     ", id, hash));
        let lines = gone.chain(added).map(|(word, id, hash)| format!("{word}{}", shown(id, hash))).collect();
        Self { keys: set.keys().to_vec(), lines }
    }

    fn find(&mut self, id: &str) -> Option<&mut FilledId> {
        self.keys.iter_mut().find(|key| key.id == id)
    }

    /// What becomes of it, for people.
    pub fn tell(&self, set: &KeySet, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        writeln!(out, "key set  channel {}, serial {}", set.channel, set.serial)?;
        writeln!(out, "  policy   {}", set.policy_name)?;
        self.lines.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
        writeln!(out, "  holds    keys of {}", crate::commands::signing::plural(set.keys().len(), "id"))?;
        writeln!(out, "  until    {} ({}); then they are refused", set.expires, distance(now, set.expires))?;
        Ok(())
    }
}

/// `ci-1 6b86b273ff34, until 2027-01-31T00:00:00Z`.
pub fn shown(id: &str, hash: &KeyHash) -> String {
    let from = hash.from.map_or_else(String::new, |from| format!(", from {from}"));
    let until = hash.until.map_or_else(String::new, |until| format!(", until {until}"));
    format!("{id} {}{from}{until}", hash.thumbprint())
}
