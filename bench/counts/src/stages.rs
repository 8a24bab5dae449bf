//! The stages themselves.

use std::hint::black_box;

use policy::rate::{Gcra, gcra};

use crate::policies::{Mix, World};
use crate::{HEAD, Plain, Stage};

/// The reference of everything that looks at a head: bare httparse over the same bytes.
pub fn httparse() -> Box<dyn Stage> {
    Box::new(Plain(|| {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut fields);
        let _ = black_box(request.parse(black_box(HEAD)));
    }))
}

/// The head with its strict framing gate.
pub fn head() -> Box<dyn Stage> {
    let mut parsed = Box::new(http1::RequestHead::new());
    let bounds = http1::Bounds::default();
    Box::new(Plain(move || {
        let _ = black_box(http1::parse_request(black_box(HEAD), &bounds, &mut parsed));
    }))
}

/// The target and the host in their normal forms.
pub fn target() -> Box<dyn Stage> {
    let (mut path, mut host) = (Vec::with_capacity(256), Vec::with_capacity(64));
    Box::new(Plain(move || {
        host.clear();
        let _ = black_box(policy::target::normalise(black_box(b"/r000042/12345?page=2"), &mut path));
        let _ = black_box(policy::target::normalise_host(black_box(b"Api.Example:443"), &mut host));
    }))
}

/// From the proof of a token to the grant.
pub fn decide(agents: usize, routes: usize, mix: Mix) -> Box<dyn Stage> {
    Box::new(Decide(World::new(agents, routes, mix)))
}

struct Decide(World);

impl Stage for Decide {
    fn prepare(&mut self) {
        self.0.draw();
    }

    fn run(&mut self) {
        black_box(self.0.decide());
    }
}

/// The limits of the grant, as they are read to be charged, and two rate steps.
pub fn rate() -> Box<dyn Stage> {
    let world = World::new(10, 10, Mix::Even);
    let agent = world.decide().1.agent;
    let spec = Gcra { emission_interval_ns: 1_000, burst: 100 };
    let (mut state, mut now_ns) = (0, 1_000_000_000);
    Box::new(Plain(move || {
        black_box(world.table.limits(agent).count());
        for _ in 0..2 {
            now_ns += 1_000;
            state = black_box(gcra(black_box(state), now_ns, spec)).0;
        }
    }))
}
