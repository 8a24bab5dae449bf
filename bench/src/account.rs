//! Stage 5: the counters, alone, together with the decision, and while other threads charge the same ones.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use activation::counters::{Arena, LimitStates, Slots};
use bench_counts::Stage;
use bench_counts::policies::{Mix, World};
use policy::table::AgentId;

use crate::gateway::NOW_NS;

/// Nanoseconds between two requests.
const PACE_NS: u64 = 1_000;

/// Whose limits are charged.
const AGENT: AgentId = AgentId(3);

struct Account {
    world: Arc<World>,
    slots: Arc<Slots>,
    now_ns: u64,
    others: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

/// Charging two limits of one agent, while `others` threads do the same.
pub fn alone(others: usize) -> Box<dyn Stage> {
    let world = Arc::new(World::new(10, 10, Mix::Even));
    let slots = Arc::new(Arena::new().slots(&world.table, NOW_NS).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let others = (0..others).map(|_| {
        let (slots, world, stop) = (Arc::clone(&slots), Arc::clone(&world), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut states = LimitStates::default();
            while !stop.load(Ordering::Relaxed) {
                let _ = black_box(slots.charge(&world.table, AGENT, None, NOW_NS, &mut states));
            }
        })
    });
    let others = others.collect();
    Box::new(Account { world, slots, now_ns: NOW_NS, others, stop })
}

impl Stage for Account {
    fn run(&mut self) {
        let mut states = LimitStates::default();
        self.now_ns += PACE_NS;
        let charged = self.slots.charge(&self.world.table, AGENT, None, self.now_ns, &mut states);
        assert!(charged.is_ok(), "{charged:?}");
        black_box(&states);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for other in self.others.drain(..) {
            let _ = other.join();
        }
    }
}

struct Decided {
    /// Its table lies as a gateway's does.
    world: World<sys::Image>,
    slots: Slots,
    now_ns: u64,
}

/// From the proof of a token to two charged limits.
pub fn decided(agents: usize, routes: usize, mix: Mix) -> Box<dyn Stage> {
    let world = World::in_memory(agents, routes, mix, |image| sys::Image::new(&image).unwrap());
    let slots = Arena::new().slots(&world.table, NOW_NS).unwrap();
    Box::new(Decided { world, slots, now_ns: NOW_NS })
}

impl Stage for Decided {
    fn prepare(&mut self) {
        self.world.draw();
    }

    fn run(&mut self) {
        let (_, grant, origin) = self.world.decide_expecting(|table, agent| self.slots.expect(table, agent));
        let mut states = LimitStates::default();
        self.now_ns += PACE_NS;
        let charged = self.slots.charge(&self.world.table, grant.agent, None, self.now_ns, &mut states);
        assert!(charged.is_ok(), "{charged:?}");
        black_box((origin, &states));
    }
}
