use super::*;

struct Rests(Cell<u32>);

impl Owner for Rests {
    fn rest(&self) {
        self.0.set(self.0.get() + 1);
    }

    fn revoked(&self, _: &Sweep<'_>) -> Option<Reason> {
        None
    }

    fn judged(&self, _: &mut Judge<'_>) -> Standing {
        Standing::Undecided
    }

    fn finish(&self) {}
}

#[test]
fn who_waits_for_long_rests_and_rests_again() {
    crate::probe::runtime(8).unwrap().block_on(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let deadlines = Rc::new(Deadlines::default());
        let deadline = deadlines.slot(&Rc::new(TcpStream::from_std(stream).unwrap()));
        let owner = Rc::new(Rests(Cell::new(0)));
        deadline.belongs_to(&owner);
        let sweep = |sweeps: u16| (0..sweeps).map(|_| deadlines.sweep(0, 0, None)).sum::<usize>();
        sweep(REST_SWEEPS - 1);
        deadline.clear();
        sweep(REST_SWEEPS - 1);
        assert_eq!(owner.0.get(), 0, "an exchange came between");
        deadline.runs_on(1);
        sweep(REST_SWEEPS);
        assert_eq!(owner.0.get(), 0, "an exchange is no rest, however long");
        deadline.clear();
        sweep(REST_SWEEPS);
        assert_eq!(owner.0.get(), 1);
        sweep(REST_AGAIN_SWEEPS - 1);
        assert_eq!(owner.0.get(), 1);
        sweep(1);
        assert_eq!(owner.0.get(), 2);
    });
}
