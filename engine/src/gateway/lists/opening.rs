//! Which list a start has in force: the newest that ever was here, whether it was written down or has its place in the
//! reserve alone.

use control::accept::Check;
use policy_release::root::RoleKeys;

use super::super::reserve::Reserved;
use super::*;

/// Lists that one gateway can ever have had in force; far more than there is time for.
const TURN_MAX: u64 = 1 << 53;

/// A list that was in force and is nowhere to be found: what it said is not known.
pub struct Missing {
    list: AcceptedList,
    why: String,
    /// It was being written when the process ended, and is the first that is: nothing but it is missing.
    unfinished: bool,
    /// Who signs lists by the trust root that it was accepted by; none where that is not known either.
    signers: Option<RoleKeys>,
}

/// Where lists are looked for.
struct Search<'s> {
    standing: &'s Standing,
    /// None: nothing is followed.
    store: Option<&'s dyn Store>,
    channel: &'s Channel,
    reserved: Option<&'s Reserved>,
    newest: &'s Known,
    now: Timestamp,
}

/// Why one is not found.
enum Lost {
    List(String),
    /// What stays in force beside it.
    Whole(String),
}

impl<L: Tended> Lists<L> {
    /// Reads back and verifies again the list of `channel` that was in force last. Where the state directory does not hold
    /// it any more, whoever holds the same bytes can help: their digest is known.
    pub fn open(
        standing: &Standing,
        ground: &Ground,
        store: Option<&dyn Store>,
        channel: &Channel,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let (gateway, memory) = (standing.gateway.clone(), standing.memory.clone());
        let kept = memory.lists(L::SHELF).remove(channel.as_str());
        let reserve = memory.reserve(L::SHELF, channel.as_str());
        let reserved = reserve.read()?;
        if reserved.as_ref().is_some_and(|reserved| reserved.torn) {
            control::warning!(
                "{}: one of its two slots is not whole: a write was cut off by a power cut or a kill, or the file was \
                 damaged; the other one counts",
                reserve.path().display()
            );
        }
        let newest = store.map_or_else(|| ground.now(), |store| newest(ground.now(), store));
        let search = Search { standing, store, channel, reserved: reserved.as_ref(), newest: &newest, now };
        let kept_turn = kept.as_ref().map(|kept| kept.turn);
        let reserved_turn = reserved.as_ref().map(Reserved::turn);
        let is_unfinished = reserved.as_ref().is_some_and(|reserved| reserved.unfinished);
        if let Some(turn) = reserved_turn.max(kept_turn).filter(|turn| *turn > TURN_MAX) {
            return Err(Failure::new(format_args!(
                "the state directory counts each {}: expected at most {TURN_MAX}, found {turn}",
                L::KIND
            ))
            .help("restore the state directory from a backup of this gateway"));
        }
        let unkept = reserved.as_ref().and_then(|reserved| reserved.list.as_ref());
        let unkept = unkept.filter(|list| Some(list.turn) > kept_turn).map(|list| (list, search.find(list)));
        let (in_force, missing) = match unkept {
            Some((_, Ok(found))) => (Some(InForce { kept: false, ..found }), None),
            unkept => {
                let missing = unkept.and_then(|(list, found)| {
                    let signers = standing.root_of(list.root).map(|root| root.role(L::ROLE).clone());
                    let unfinished = is_unfinished && list.turn == kept_turn.unwrap_or(0) + 1;
                    Some(Missing { list: list.clone(), why: found.err()?.to_string(), unfinished, signers })
                });
                let found = kept.as_ref().map(|kept| search.find(kept).map_err(|lost| lost.of::<L>(kept, channel)));
                (found.transpose()?, missing)
            }
        };
        Ok(Self {
            ground: ground.clone(),
            channel: channel.clone(),
            in_force,
            turn: reserved_turn.max(kept_turn).unwrap_or(0),
            // One that was found elsewhere gets its place whole.
            reserved: reserved_turn.filter(|_| !is_unfinished),
            missing,
            gateway,
            memory,
        })
    }

    /// What was in force last, where nobody looks for newer ones.
    pub fn known(mut self) -> Result<Option<InForce<L>>, Failure> {
        match self.missing.take() {
            Some(missing) => Err(self.lost(&missing)),
            None => Ok(self.in_force),
        }
    }

    /// The first look, after which nothing may be missing, and what is in force is written down. What is refused.
    pub fn begin(&mut self, store: &dyn Store, now: Timestamp) -> Result<Vec<Refusal>, Failure> {
        let looked = self.look(store, now);
        let mut passed_over = None;
        if let Some(missing) = self.missing.take()
            && !self.stands_for(&missing, store)
        {
            passed_over = Some(self.passed_over(&missing).ok_or_else(|| self.lost(&missing))?);
        }
        Ok(passed_over.into_iter().chain(looked.err()).chain(self.keep().err()).collect())
    }

    /// What is told where the missing list was being written when the process ended, and the store has a newer one by now: a
    /// kill in that moment stops no gateway.
    fn passed_over(&self, missing: &Missing) -> Option<Refusal> {
        let in_force = self.in_force.as_ref().filter(|in_force| in_force.turn > missing.list.turn)?;
        let (serial, found) = (missing.list.serial, in_force.serial());
        if !missing.unfinished || found <= serial {
            return None;
        }
        let expected = format!("the {} of serial {serial}, {}", L::KIND, missing.list.digest);
        let why =
            format!("nothing of it but this: the process ended while it was being written; in force is serial {found}");
        Some(Refusal::new(Check::State, expected, why, L::PASSED_OVER))
    }

    /// Whether the list that was just taken is the missing one, or may take away whatever that one said, and is newer.
    fn stands_for(&self, missing: &Missing, store: &dyn Store) -> bool {
        let Some(in_force) = self.in_force.as_ref().filter(|in_force| in_force.turn > missing.list.turn) else {
            return false;
        };
        let found = in_force.accepted();
        if (found.digest, found.whole) == (missing.list.digest, missing.list.whole) {
            return true;
        }
        let newest = newest(self.ground.now(), store).root;
        let is_forgotten = missing.signers.as_ref().is_some_and(|signers| signers != newest.role(L::ROLE));
        let is_forgotten = is_forgotten && Some(in_force.verified.list.head().issued) >= missing.list.issued;
        L::may_replace(&in_force.verified) && (is_forgotten || found.serial >= missing.list.serial)
    }

    fn lost(&self, missing: &Missing) -> Failure {
        let Missing { list: AcceptedList { serial, digest, root, .. }, why, signers, .. } = missing;
        let name = stores::layout::digest_name(digest);
        let message = format!(
            "the {} that was in force last (serial {serial}, {digest}) could not be written down then, and {why}",
            L::KIND
        );
        let with_root = match signers {
            Some(_) => String::new(),
            None => format!(", with the trust root that it holds by (roots/{root}.json)"),
        };
        let (instead, forgets) = (L::INSTEAD, L::FORGETS);
        Failure::new(message).help(format_args!(
            "put it into the store as {} (a gateway that wrote it down has it in its state directory as \
             {}/{name}){with_root}; or one of serial {serial} or higher {instead}; or remove {}: {forgets}",
            L::place(&self.channel),
            L::SHELF.folder(),
            self.memory.reserve(L::SHELF, self.channel.as_str()).path().display()
        ))
    }
}

impl Search<'_> {
    fn find<L: Tended>(&self, list: &AcceptedList) -> Result<InForce<L>, Lost> {
        let of_state =
            |digest: &Digest| self.standing.memory.list(L::SHELF, digest).map_err(|failure| failure.to_string());
        let of_reserve = |digest: &Digest| {
            let found = self.reserved.and_then(|reserved| reserved.envelope(digest));
            found.map(<[u8]>::to_vec).ok_or_else(|| "it is not there".to_owned())
        };
        let ours = of_state(&list.digest).and_then(|bytes| self.verified::<L>(bytes, list));
        let is_ours = ours.is_ok();
        let (verified, bytes, root) = ours.or_else(|of_state| {
            let reserved = of_reserve(&list.digest).and_then(|bytes| self.verified::<L>(bytes, list));
            reserved.or_else(|of_reserve| {
                let store = self.store.ok_or_else(|| "there is none".to_owned());
                let theirs = store.and_then(|of| L::fetch(of, self.channel).map_err(|fault| fault.to_string()));
                theirs.and_then(|bytes| self.verified::<L>(bytes, list)).map_err(|of_store| {
                    Lost::List(format!(
                        "the state directory ({of_state}), its reserve ({of_reserve}) or the store ({of_store})"
                    ))
                })
            })
        })?;
        let whole = list.whole.map(|digest| {
            let ours = of_state(&digest).and_then(|bytes| unsigned::<L>(&bytes, digest));
            ours.or_else(|of_state| {
                let reserved = of_reserve(&digest).and_then(|bytes| unsigned::<L>(&bytes, digest));
                reserved.map_err(|of_reserve| {
                    Lost::Whole(format!("the state directory ({of_state}) or its reserve ({of_reserve})"))
                })
            })
        });
        let (entries, whole) = match whole.transpose()? {
            Some((entries, envelope)) => (entries, Some(envelope)),
            None => (verified.list.clone(), None),
        };
        let in_force = InForce::new(News { verified, list: entries, whole }, bytes, root, list.turn, self.now);
        let issued = list.issued.unwrap_or(in_force.issued);
        let is_void = self.newest.is_void::<L>(list.root);
        Ok(InForce { root: list.root, issued, is_void, kept: is_ours, ..in_force })
    }

    /// `bytes` as `list`, by the trust root that it was accepted by, or by the latest: the same list may be signed again.
    /// By one that is still to be accepted, where it came by that.
    fn verified<L: Tended>(
        &self,
        bytes: Vec<u8>,
        list: &AcceptedList,
    ) -> Result<(VerifiedList<L>, Vec<u8>, &TrustRoot), String> {
        let mut why = "there is no trust root".to_owned();
        let roots = [self.standing.root_of(list.root), self.standing.root(), Some(&*self.newest.root)];
        for root in roots.into_iter().flatten() {
            match verify_list::<L>(&bytes, root) {
                Ok(verified) if verified.digest == list.digest => return Ok((verified, bytes, root)),
                Ok(_) => return Err("it is another one".to_owned()),
                Err(fault) => why = fault.to_string(),
            }
        }
        Err(why)
    }
}

impl Lost {
    /// Of a list that was written down.
    fn of<L: Tended>(&self, list: &AcceptedList, channel: &Channel) -> Failure {
        let help = match self {
            Self::List(_) => {
                format!("restore the state directory, or put it into the store as {}", L::place(channel))
            }
            Self::Whole(_) => "restore the state directory from a backup of this gateway".to_owned(),
        };
        let message = format!("the {} in force (serial {}, {}) {self}", L::KIND, list.serial, list.digest);
        Failure::new(message).help(help)
    }
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::List(places) => write!(f, "cannot be read from {places}"),
            Self::Whole(places) => {
                write!(f, "does not lift what lists before it revoke, and that cannot be read from {places}")
            }
        }
    }
}

/// All that held, which this gateway put together itself.
fn unsigned<L: Tended>(bytes: &[u8], digest: Digest) -> Result<(L, Envelope), String> {
    let envelope = Envelope::parse_kind(bytes, L::KIND).map_err(|fault| fault.to_string())?;
    if envelope.digest() != digest {
        return Err("it is another one".to_owned());
    }
    let list = L::read(envelope.payload()).map_err(|fault| fault.to_string())?;
    Ok((list, envelope))
}
