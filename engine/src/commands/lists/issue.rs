//! Making the next list: its term and serial, its signatures, and where it goes.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use policy_release::envelope::Envelope;
use policy_release::lists::ListFault;
use policy_release::time::Timestamp;

use super::{ListDesk, Published, read};
use crate::commands::signing;
use crate::commands::trust::words;
use crate::failure::Failure;
use crate::files::{self, Access, Existing};
use crate::pointing::Where;
use crate::signer::KeyArgs;
use crate::span::Span;

/// How a list is made.
#[derive(Debug, Args)]
pub struct IssueArgs {
    /// When it ends, like 2027-01-31T00:00:00Z; after 30 days (a key set: 90, at most 366) when absent.
    #[arg(long, value_name = "TIME", conflicts_with = "span")]
    expires: Option<Timestamp>,
    /// How long it holds: 90s, 30m, 12h, 30d or 4w.
    #[arg(long = "for", id = "span", value_name = "SPAN")]
    span: Option<Span>,
    /// Its serial; one above that of the present one when absent.
    #[arg(long, value_name = "N")]
    serial: Option<u64>,
    /// Name of the policy, where the channel has neither a pointer nor a list that is believed, or a pointer of another policy.
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// The pointer that is there is of another policy than --policy says: it is the wrong one.
    #[arg(long, requires = "policy")]
    other_policy: bool,
    /// Write it there and publish nothing, so that others can sign it first.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
}

/// What is published.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// What enough people signed.
    file: PathBuf,
    #[command(flatten)]
    at: Where,
    /// What is there, pointer or list, is of another policy than the file: it is the wrong one.
    #[arg(long)]
    other_policy: bool,
}

/// What every list begins with.
pub struct Begun {
    pub policy: String,
    pub serial: u64,
    pub expires: Timestamp,
}

/// A list that was written.
pub struct Issued<L> {
    pub list: L,
    pub path: PathBuf,
    /// Who signed it, in words.
    pub signed: String,
    /// It stands in the store.
    pub published: bool,
}

impl PublishArgs {
    /// What is to be published where: that it may follow what is there is certain.
    pub fn open<L: Published>(&self) -> Result<(ListDesk<L>, Envelope, L), Failure> {
        let (envelope, list) = read::<L>(&self.file)?;
        // Whoever made it was asked whether the channel is meant.
        let desk = ListDesk::open(&self.at, Some(list.head().policy_name), self.other_policy)?;
        desk.warn_of_behind();
        desk.expect_next(&list, envelope.digest()).map_err(|failure| failure.in_file(&self.file))?;
        if !self.other_policy {
            desk.expect_same_policy(&list)?;
        }
        Ok((desk, envelope, list))
    }
}

impl IssueArgs {
    /// Refuses to go on from what the store has, where that is not believed and --serial does not say that it is replaced.
    /// Where the policy is named, the channel may be new.
    pub fn open<L: Published>(&self, at: &Where) -> Result<ListDesk<L>, Failure> {
        let desk = ListDesk::open(at, self.policy.as_deref(), self.other_policy)?;
        desk.expect_believed(self.serial)?;
        Ok(desk)
    }

    /// Makes the list, signs it, and publishes or writes it.
    pub fn issue<L: Published>(
        &self,
        desk: &ListDesk<L>,
        make: impl FnOnce(Begun) -> Result<L, ListFault>,
    ) -> Result<Issued<L>, Failure> {
        let expires = self.expires.or_else(|| self.span.unwrap_or(L::SPAN).after(desk.now));
        let expires = expires.filter(|expires| *expires > desk.now).ok_or_else(|| {
            Failure::new(format_args!("expected a {} that expires in the future; it is {}", L::KIND, desk.now))
        })?;
        let (policy, serial) = (desk.policy_name(self.policy.as_deref())?, desk.serial(self.serial)?);
        let list = make(Begun { policy, serial, expires }).map_err(Failure::new)?;
        let mut envelope = list.to_envelope().map_err(Failure::new)?;
        let signers = self.keys.open()?;
        for signer in &signers {
            signing::may_sign(&desk.chain, L::ROLES, &signer.public())?;
        }
        for signer in &signers {
            signer.sign(&mut envelope)?;
        }
        let path = match &self.out {
            Some(path) => {
                files::write(path, &envelope.to_bytes(), Access::Everyone, Existing::Refuse)?;
                path.clone()
            }
            None => desk.publish(&list, &envelope)?,
        };
        let signed = words(&desk.root.standing(L::ROLE, &envelope));
        Ok(Issued { list, path, signed, published: self.out.is_none() })
    }
}

impl<L: Published> Issued<L> {
    /// Where it is, and what comes next.
    pub fn tell(&self, desk: &ListDesk<L>, out: &mut dyn Write) -> Result<(), Failure> {
        let (path, command) = (self.path.display(), L::WORDS.command);
        writeln!(out, "  signed   {}", self.signed)?;
        writeln!(out, "wrote {path}")?;
        if self.published {
            let (channel, kind) = (&desk.channel, L::KIND);
            writeln!(
                out,
                "gateways of channel {channel} that serve policy {} have it in force within a second of seeing that file, unless \
                 they have a {kind} with a higher serial (adamant status tells)",
                self.list.head().policy_name
            )?;
            return Ok(());
        }
        let store = desk.store.path().display();
        writeln!(out, "the store is as it was; next, each of the others: {command} sign {path} --key KEY")?;
        writeln!(out, "then: {command} publish {path} --store {store} …")?;
        Ok(())
    }
}
