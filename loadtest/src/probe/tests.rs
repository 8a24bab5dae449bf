//! The probes tell those that do the work from those that do not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use super::origin::Origin;
use super::{Probed, ask_at};
use crate::target::{Material, Work};
use crate::wire;

fn material() -> (Material, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Material::new(folder.path()).unwrap(), folder)
}

/// Answers each request by its head.
fn server(answer: impl Fn(&str) -> String + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                let (mut socket, mut received, mut block) = (socket, Vec::new(), [0; 8_192]);
                while let Ok(count @ 1..) = socket.read(&mut block) {
                    received.extend_from_slice(&block[..count]);
                    while let Some(end) = wire::head_end(&received) {
                        let head: Vec<u8> = received.drain(..end).collect();
                        socket.write_all(answer(&String::from_utf8_lossy(&head)).as_bytes()).unwrap();
                    }
                }
            });
        }
    });
    address
}

fn response(status: u16, content: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{content}", content.len())
}

fn failed(probed: &Probed) -> Vec<&str> {
    probed.probes.iter().filter(|probe| !probe.passed).map(|probe| probe.request.as_str()).collect()
}

#[test]
fn a_server_that_answers_200_to_everything_does_no_work() {
    let (material, _folder) = material();
    let origin = Origin::start().unwrap();
    let address = server(|_| response(200, "anything"));
    for work in [Work::PassThrough, Work::ApiKey, Work::Es256, Work::Rs256] {
        let probed = ask_at(address, work, &origin, &material);
        assert_eq!(failed(&probed).len(), probed.probes.len(), "{work:?}: {:?}", probed.probes);
        assert!(!probed.does());
    }
}

#[test]
fn the_origin_itself_passes_through_and_does_nothing_else() {
    let (material, _folder) = material();
    let origin = Origin::start().unwrap();
    assert!(ask_at(origin.address, Work::PassThrough, &origin, &material).does());
    let probed = ask_at(origin.address, Work::Es256, &origin, &material);
    assert_eq!(probed.probes.iter().filter(|probe| probe.passed).count(), 2, "{:?}", probed.probes);
    let leaks = probed.probes.iter().filter(|probe| probe.found.contains("the origin was asked"));
    assert_eq!(leaks.count(), 10);
}

#[test]
fn one_that_refuses_and_asks_the_origin_all_the_same_does_not_pass() {
    let (material, _folder) = material();
    let origin = Origin::start().unwrap();
    let behind = origin.address;
    let address = server(move |head| {
        let mut socket = std::net::TcpStream::connect(behind).unwrap();
        socket.write_all(head.as_bytes()).unwrap();
        let count = socket.read(&mut [0; 1_024]).unwrap();
        assert!(count > 0);
        response(401, "no")
    });
    let probed = ask_at(address, Work::ApiKey, &origin, &material);
    assert!(failed(&probed).contains(&"an unknown key"), "{:?}", probed.probes);
    assert!(probed.why_not.unwrap().contains("401, and the origin was asked"));
}

#[test]
fn nobody_there_is_told() {
    let (material, _folder) = material();
    let origin = Origin::start().unwrap();
    let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let probed = ask_at(address, Work::Mtls, &origin, &material);
    assert!(!probed.does());
    assert!(
        probed.probes.iter().all(|probe| !probe.passed && probe.found.contains("no answer")),
        "{:?}",
        probed.probes
    );
}
