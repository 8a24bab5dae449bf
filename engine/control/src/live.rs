//! What is in force beneath the activations, before the workers: compiled against every table that is in use, and swapped in at
//! once, so that neither a slow exchange nor a release that waits holds it up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use activation::live::Live;
use policy::model::Policy;
use policy::table::Table;
use policy_release::time::Timestamp;

use crate::assemble::Frozen;

/// What is compiled from the names of a list to the numbers of a table.
pub trait Compile: Send + Sync + 'static {
    type Compiled: Default + Send + Sync;

    /// As it is at `now`; the `generation`th that is.
    fn compile(&self, policy: &Policy, table: &Table<sys::Image>, now: Timestamp, generation: u64) -> Self::Compiled;

    /// Times at which it is compiled into something else.
    fn ends(&self) -> impl Iterator<Item = Timestamp>;
}

/// Shared by the control threads.
pub struct Register<L: Compile>(Arc<Mutex<Inner<L>>>);

struct Inner<L: Compile> {
    list: Option<Arc<L>>,
    /// The time that `list` was compiled by.
    now: Option<Timestamp>,
    /// When the next entry lapses, and when the last one of those that have.
    lapses: Option<Timestamp>,
    lapsed: Option<Timestamp>,
    generation: u64,
    tables: Vec<Known<L>>,
    /// Out of force; a worker may still look into one.
    retired: Vec<Arc<L::Compiled>>,
}

/// A table that is in use, or was.
struct Known<L: Compile> {
    /// Keeps its address from being another one's.
    table: Weak<Table<sys::Image>>,
    policy: Arc<Policy>,
    live: Weak<Live<L::Compiled>>,
}

impl<L: Compile> Clone for Register<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L: Compile> Default for Register<L> {
    fn default() -> Self {
        let (tables, retired) = (Vec::new(), Vec::new());
        let inner = Inner { list: None, now: None, lapses: None, lapsed: None, generation: 0, tables, retired };
        Self(Arc::new(Mutex::new(inner)))
    }
}

impl<L: Compile> Register<L> {
    fn inner(&self) -> MutexGuard<'_, Inner<L>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What activations of `frozen` look at; with the present list in it before any worker can.
    pub(crate) fn live_of(&self, frozen: &Frozen) -> Arc<Live<L::Compiled>> {
        let mut inner = self.inner();
        inner.tidy();
        let same = |known: &&Known<L>| std::ptr::eq(known.table.as_ptr(), Arc::as_ptr(&frozen.table));
        if let Some(live) = inner.tables.iter().find(same).and_then(|known| known.live.upgrade()) {
            return live;
        }
        let live = Arc::new(Live::default());
        if let Some(compiled) = inner.compiled(&frozen.policy, &frozen.table) {
            live.put(compiled, inner.generation);
        }
        let (table, policy) = (Arc::downgrade(&frozen.table), Arc::clone(&frozen.policy));
        inner.tables.push(Known { table, policy, live: Arc::downgrade(&live) });
        live
    }

    /// Puts `list` in force, but for what has lapsed at `now`. From here on every worker goes by it.
    pub fn put(&self, list: Arc<L>, now: Timestamp) {
        let mut inner = self.inner();
        inner.list = Some(list);
        inner.put(now);
    }

    /// Takes the list out of force that was put: from here on every worker goes by none.
    pub fn clear(&self, now: Timestamp) {
        let mut inner = self.inner();
        inner.list = None;
        inner.put(now);
    }

    /// To be called now and then: entries lapse with what they revoke, by the clock that it ends by, and are in force again
    /// where that clock goes back. Frees what is out of force. True where entries lapsed or came back.
    pub fn tidy(&self, now: Timestamp) -> bool {
        let mut inner = self.inner();
        let lapse = inner.lapses.is_some_and(|lapses| lapses <= now);
        let come_back = inner.lapsed.is_some_and(|lapsed| now < lapsed);
        if lapse || come_back {
            inner.put(now);
        }
        inner.tidy();
        lapse || come_back
    }
}

impl<L: Compile> Inner<L> {
    fn put(&mut self, now: Timestamp) {
        self.tidy();
        self.generation += 1;
        self.now = Some(now);
        let ends = || self.list.iter().flat_map(|list| list.ends());
        self.lapses = ends().filter(|until| *until > now).min();
        self.lapsed = ends().filter(|until| *until <= now).max();
        let of_tables = self.tables.iter().filter_map(|known| {
            let (live, table) = (known.live.upgrade()?, known.table.upgrade()?);
            // Nothing, where nothing is in force any more.
            Some((live, self.compiled(&known.policy, &table).unwrap_or_default()))
        });
        // All at once: whoever sees the one finds the others too.
        let of_tables: Vec<_> = of_tables.collect();
        for (live, compiled) in of_tables {
            self.retired.push(live.put(compiled, self.generation));
        }
    }

    fn compiled(&self, policy: &Policy, table: &Table<sys::Image>) -> Option<Arc<L::Compiled>> {
        let (list, now) = (self.list.as_ref()?, self.now?);
        Some(Arc::new(list.compile(policy, table, now, self.generation)))
    }

    fn tidy(&mut self) {
        self.retired.retain(|compiled| Arc::strong_count(compiled) > 1);
        self.tables.retain(|known| known.live.strong_count() > 0);
    }
}
